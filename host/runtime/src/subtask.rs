//! One subtask: a thread that feeds a chain from a source or from its gate, from start to commit.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use wasmill_flow::{Alignment, Event, Progress as Together, Step, Watermarks};
use wasmill_model::{ids::CheckpointId, portions::Asks, time};

use crate::{
    activity::{Activity, Doing},
    chain::Chain,
    checkpoint::{At, Checkpointer},
    clock::now_ms,
    error::Error,
    exchange::{Barrier, Element, Gate, Received},
    signal::{Signal, Wish},
    source::Head,
};

/// How far a subtask has come.
#[derive(Debug)]
pub enum Progress {
    Running,
    /// Its part of a checkpoint is durable: a [`crate::checkpoint::SubtaskPart`] in JSON.
    Part {
        at: At,
        content: String,
    },
    /// It could not take its part of a checkpoint.
    Declined {
        checkpoint: CheckpointId,
        reason: String,
    },
    /// Its sinks have made visible what belongs to the checkpoints up to this one.
    CommittedUpTo(CheckpointId),
    /// Its source will soon have read what it was given.
    Asks(Asks),
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

/// What a subtask is made of.
pub(crate) struct Made {
    pub(crate) chain: Chain,
    pub(crate) feed: Feed,
    /// `None`: it takes part in no checkpoints.
    pub(crate) checkpoints: Option<Checkpointer>,
    /// It goes on from where all its input had been handled.
    pub(crate) had_ended: bool,
}

/// Runs a subtask to its end and says how far it comes. `make` opens everything on the subtask's own thread.
pub(crate) fn run(
    (name, subtask): (&str, u32),
    signal: &Signal,
    activity: &Activity,
    make: impl FnOnce() -> Result<Made, Error>,
    mut report: impl FnMut(Progress),
) {
    let result = catch_unwind(AssertUnwindSafe(|| -> Result<(), Error> {
        let mut made = make()?;
        report(Progress::Running);
        let lived = made.live(signal, activity, &mut report);
        if let (Err(Error::Stopped), Some(checkpoints)) = (&lived, &mut made.checkpoints) {
            // What is complete becomes visible, also at the end.
            checkpoints.follow(&mut made.chain, signal)?;
        }
        lived
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

impl Made {
    /// From the first row to the commit.
    fn live(&mut self, signal: &Signal, activity: &Activity, report: &mut impl FnMut(Progress)) -> Result<(), Error> {
        let Self { chain, feed, checkpoints, had_ended } = self;
        match feed {
            _ if *had_ended => {
                chain.nodes.iter().for_each(|node| node.counters.set_watermark(node.subtask, time::MAX));
                chain.send_end()?;
            }
            Feed::Source(head) => head.run(chain, signal, checkpoints, report)?,
            Feed::Gate { gate, input_of_channel } => {
                GateReader::new(gate, input_of_channel, signal, activity).run(chain, checkpoints)?;
            }
        }
        activity.stand(Together::Finished, None);
        self.end()?;
        report(Progress::Prepared);
        loop {
            let changes = signal.changes();
            match signal.get() {
                Wish::Commit => return self.chain.commit(),
                Wish::Stop => return Err(Error::Stopped),
                Wish::Run | Wish::Drain => {}
            }
            if let Some(checkpoints) = &mut self.checkpoints
                && checkpoints.follow(&mut self.chain, signal)?
            {
                // What has become visible is not to be waited for any more.
                self.end()?;
            }
            activity.keep(Doing::WaitingForCommit);
            signal.wait(changes, None);
        }
    }

    /// Makes everything durable.
    fn end(&mut self) -> Result<(), Error> {
        let positions = match &self.feed {
            Feed::Source(head) => Some(head.positions()),
            Feed::Gate { .. } => None,
        };
        match &mut self.checkpoints {
            Some(checkpoints) => checkpoints.end(&mut self.chain, positions),
            None => self.chain.prepare(),
        }
    }
}

/// Feeds a chain from its gate.
struct GateReader<'a> {
    gate: &'a Gate,
    input_of_channel: &'a [usize],
    signal: &'a Signal,
    activity: &'a Activity,
    watermarks: Watermarks,
    alignment: Alignment,
    /// The newest barrier that has come.
    barrier: Option<Barrier>,
    /// Changes of the signal that were looked at.
    looked_at: Option<u64>,
}

impl<'a> GateReader<'a> {
    fn new(gate: &'a Gate, input_of_channel: &'a [usize], signal: &'a Signal, activity: &'a Activity) -> Self {
        let channels = input_of_channel.len();
        let (watermarks, alignment) = (Watermarks::new(channels), Alignment::new(channels));
        activity.stand(watermarks.progress(), watermarks.held_by());
        Self { gate, input_of_channel, signal, activity, watermarks, alignment, barrier: None, looked_at: None }
    }

    fn run(&mut self, chain: &mut Chain, checkpoints: &mut Option<Checkpointer>) -> Result<(), Error> {
        loop {
            if let Some(checkpoints) = checkpoints {
                self.look(chain, checkpoints)?;
            }
            let together = match self.receive(chain)? {
                Received::Stopped => return Err(Error::Stopped),
                Received::Timeout => None,
                Received::Element { channel, element } => {
                    let is_rows = matches!(element, Element::Batch(_));
                    let together = self.take(chain, checkpoints, channel, element)?;
                    self.note(together, is_rows);
                    together
                }
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

    /// Writes down how time and barriers stand after something has come.
    fn note(&self, together: Option<Together>, is_rows: bool) {
        let held_by = self.watermarks.held_by();
        match together {
            Some(progress) => self.activity.stand(progress, held_by),
            None => self.activity.hold(held_by),
        }
        if !is_rows {
            self.activity.align(&self.alignment);
        }
    }

    fn receive(&self, chain: &mut Chain) -> Result<Received, Error> {
        match self.gate.try_receive() {
            Received::Timeout => {
                chain.flush()?;
                self.activity.keep(Doing::WaitingForInput);
                let began = Instant::now();
                let received = self.gate.receive(next_timer(chain).into_iter().chain(chain.flush_at()).min());
                chain.nodes[0].counters.idle_since(began);
                Ok(received)
            }
            received => Ok(received),
        }
    }

    fn take(
        &mut self,
        chain: &mut Chain,
        checkpoints: &mut Option<Checkpointer>,
        channel: usize,
        element: Element,
    ) -> Result<Option<Together>, Error> {
        Ok(match element {
            Element::Batch(batch) => {
                let together = self.watermarks.active(channel);
                chain.process(0, self.input_of_channel[channel], &batch)?;
                together
            }
            Element::Watermark(watermark) => self.watermarks.advance(channel, watermark),
            Element::Idle => self.watermarks.idle(channel),
            Element::Barrier(barrier) => {
                let newest = self.barrier.map(|barrier| barrier.checkpoint);
                if newest < Some(barrier.checkpoint) {
                    self.barrier = Some(barrier);
                }
                let step = self.alignment.barrier(channel, barrier.checkpoint);
                self.step(chain, checkpoints, step)?;
                None
            }
            Element::End => {
                let step = self.alignment.finish(channel);
                self.step(chain, checkpoints, step)?;
                self.watermarks.finish(channel)
            }
        })
    }

    fn step(&mut self, chain: &mut Chain, checkpoints: &mut Option<Checkpointer>, step: Step) -> Result<(), Error> {
        if step != Step::None {
            self.gate.hold(|channel| self.alignment.is_held(channel));
        }
        match (step, self.barrier, checkpoints) {
            (Step::Aligned(_), Some(barrier), Some(checkpoints)) => checkpoints.take(chain, barrier, None),
            _ => Ok(()),
        }
    }

    /// Looks how far checkpoints are, if anything has changed.
    fn look(&mut self, chain: &mut Chain, checkpoints: &mut Checkpointer) -> Result<(), Error> {
        let changes = self.signal.changes();
        if self.looked_at.replace(changes) == Some(changes) {
            return Ok(());
        }
        checkpoints.follow(chain, self.signal)?;
        if let Some(checkpoint) = self.signal.checkpoints().given_up
            && self.alignment.give_up(checkpoint)
        {
            self.gate.hold(|channel| self.alignment.is_held(channel));
            self.activity.align(&self.alignment);
        }
        Ok(())
    }
}

fn next_timer(chain: &Chain) -> Option<Instant> {
    let wait_ms = chain.next_processing_time()?.saturating_sub(now_ms()).max(0);
    // Waking early does no harm; a time far away must not overflow the clock.
    Some(Instant::now() + Duration::from_millis((wait_ms as u64).min(60_000)))
}
