//! One subtask: a thread that feeds a chain from a source or from its gate, from start to commit.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use wasmill_flow::{Event, Progress as Together, Watermarks};

use crate::{
    chain::Chain,
    clock::now_ms,
    error::Error,
    exchange::{Element, Gate, Received},
    signal::{Signal, Wish},
    source::Head,
};

/// How far a subtask has come.
#[derive(Debug)]
pub enum Progress {
    Running,
    /// All input has been handled; the results are durable, not yet visible.
    Prepared,
    Committed,
    Failed(Error),
    /// It ended because it was told to.
    Stopped,
}

/// Where a chain's rows come from.
pub(crate) enum Feed {
    Source(Box<Head>),
    /// The input that each channel of the gate leads to.
    Gate {
        gate: Gate,
        input_of_channel: Vec<usize>,
    },
}

/// Runs a subtask to its end and says how far it comes. `make` opens everything on the subtask's own thread.
pub(crate) fn run(
    name: &str,
    subtask: u32,
    signal: &Signal,
    make: impl FnOnce() -> Result<(Chain, Feed), Error>,
    mut report: impl FnMut(Progress),
) {
    let result = catch_unwind(AssertUnwindSafe(|| -> Result<(), Error> {
        let (mut chain, feed) = make()?;
        report(Progress::Running);
        match feed {
            Feed::Source(mut head) => head.run(&mut chain, signal)?,
            Feed::Gate { gate, input_of_channel } => run_gate(&mut chain, &gate, &input_of_channel)?,
        }
        chain.prepare()?;
        report(Progress::Prepared);
        match signal.wait_above(Wish::Drain, None) {
            Wish::Commit => chain.commit(),
            _ => Err(Error::Stopped),
        }
    }));
    report(match result {
        Ok(Ok(())) => Progress::Committed,
        Ok(Err(Error::Stopped)) => {
            signal.failure().map_or(Progress::Stopped, |failure| Progress::Failed(failure.into()))
        }
        Ok(Err(error)) => Progress::Failed(error),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let message = text.unwrap_or_else(|| "no message".to_owned());
            Progress::Failed(Error::Panic { chain: name.to_owned(), subtask, message })
        }
    });
}

fn run_gate(chain: &mut Chain, gate: &Gate, input_of_channel: &[usize]) -> Result<(), Error> {
    let mut watermarks = Watermarks::new(input_of_channel.len());
    loop {
        let received = match gate.try_receive() {
            Received::Timeout => {
                chain.flush()?;
                let began = Instant::now();
                let received = gate.receive(next_timer(chain).into_iter().chain(chain.flush_at()).min());
                chain.nodes[0].counters.idle_since(began);
                received
            }
            received => received,
        };
        let together = match received {
            Received::Stopped => return Err(Error::Stopped),
            Received::Timeout => None,
            Received::Element { channel, element } => match element {
                Element::Batch(batch) => {
                    let together = watermarks.active(channel);
                    chain.process(0, input_of_channel[channel], &batch)?;
                    together
                }
                Element::Watermark(watermark) => watermarks.advance(channel, watermark),
                Element::Idle => watermarks.idle(channel),
                Element::End => watermarks.finish(channel),
            },
        };
        match together {
            Some(Together::Watermark(watermark)) => chain.round(0, Event::Watermark(watermark))?,
            Some(Together::Idle) => chain.round(0, Event::Idle)?,
            Some(Together::Finished) => return chain.round(0, Event::End),
            None => {}
        }
        if chain.next_processing_time().is_some() {
            chain.fire_processing_timers(now_ms())?;
        }
    }
}

fn next_timer(chain: &Chain) -> Option<Instant> {
    let wait_ms = chain.next_processing_time()?.saturating_sub(now_ms()).max(0);
    // Waking early does no harm; a time far away must not overflow the clock.
    Some(Instant::now() + Duration::from_millis((wait_ms as u64).min(60_000)))
}
