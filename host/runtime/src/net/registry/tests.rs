//! Who may open a channel, who waits, and for how long.

use wasmill_wire::Checksum;

use super::*;
use crate::exchange::gate;

fn open(job: u64, attempt: u64, writer: u32) -> Open {
    Open { job: JobId(job), attempt: Attempt(attempt), edge: 0, writer, reader: 0, layout: 1 }
}

fn inlets(opens: &[Open]) -> Inlets {
    let layout = Arc::new(Layout { columns: Vec::new(), event_times: false, key_hashes: false });
    let (_gate, senders) = gate(opens.len());
    opens.iter().zip(senders).map(|(open, sender)| (*open, (sender.into_inlet(), layout.clone()))).collect()
}

fn channel(incoming: &Arc<Incoming>, number: u32) -> Channel {
    Channel { incoming: Arc::downgrade(incoming), number }
}

#[test]
fn a_channel_opens_once_in_its_own_attempt() {
    let incoming = Incoming::new("peer".into(), Checksum::None);
    let (mut registry, life) = (Registry::default(), Arc::new(Life::new()));
    let ask = |registry: &mut Registry, open| match registry.open(open, channel(&incoming, 1)) {
        Answer::Bound { .. } => "bound".to_owned(),
        Answer::Waits => "waits".to_owned(),
        Answer::Refused(reason, _) => format!("{reason:?}"),
    };
    assert_eq!(ask(&mut registry, open(1, 2, 0)), "waits");
    assert_eq!(ask(&mut registry, open(1, 1, 0)), "waits");
    assert_eq!(ask(&mut registry, open(1, 3, 0)), "waits");
    let wanted = [open(1, 2, 0), open(1, 2, 1)];
    let (answers, before) = registry.register((JobId(1), Attempt(2)), &life, inlets(&wanted)).expect("it is the first");
    let answers: Vec<String> =
        answers.iter().map(|(_, answer)| format!("{answer:?}").chars().take(7).collect()).collect();
    assert_eq!((answers, before.len()), (vec!["Bound {".to_owned(), "Refused".to_owned()], 0));
    assert_eq!(ask(&mut registry, open(1, 2, 0)), "Unknown", "it has been opened");
    assert_eq!(ask(&mut registry, open(1, 2, 1)), "bound");
    assert_eq!(ask(&mut registry, open(1, 2, 2)), "Unknown", "there is none");
    assert_eq!(ask(&mut registry, Open { layout: 2, ..open(1, 2, 1) }), "Unknown", "another plan");
    assert_eq!(ask(&mut registry, open(1, 1, 0)), "Stale");
    assert!(registry.register((JobId(1), Attempt(2)), &life, Inlets::new()).is_none(), "an attempt runs once");
    let (_, before) = registry.register((JobId(1), Attempt(3)), &life, Inlets::new()).expect("it is later");
    assert_eq!(before.len(), 2, "the channels of the attempt before are closed");
    assert!(registry.release(JobId(1), Attempt(2)).is_empty(), "it is not the one that runs");
    assert!(registry.release(JobId(1), Attempt(3)).is_empty());
    assert_eq!(ask(&mut registry, open(1, 3, 0)), "Stale", "it has ended");
    assert_eq!(ask(&mut registry, open(1, 4, 0)), "waits");
}

#[test]
fn who_waits_too_long_or_has_gone_waits_no_more() {
    let (incoming, gone) = (Incoming::new("peer".into(), Checksum::None), Incoming::new("gone".into(), Checksum::None));
    let mut registry = Registry::default();
    registry.open(open(1, 1, 0), channel(&incoming, 5));
    registry.open(open(1, 1, 1), channel(&gone, 6));
    drop(gone);
    for _ in 0..WAIT_TICKS {
        assert!(registry.tick().is_empty());
    }
    let late: Vec<u32> = registry.tick().iter().map(|channel| channel.number).collect();
    assert_eq!((late, registry.is_waited_for()), (vec![5], false));
}

#[test]
fn what_is_remembered_is_bounded() {
    let incoming = Incoming::new("peer".into(), Checksum::None);
    let (mut registry, life) = (Registry::default(), Arc::new(Life::new()));
    for job in 0..ENDED_MAX as u64 + 10 {
        registry.register((JobId(job), Attempt(1)), &life, Inlets::new()).expect("it is the first");
        registry.release(JobId(job), Attempt(1));
    }
    assert_eq!((registry.ended.len(), registry.jobs.len()), (ENDED_MAX, 0));
    for writer in 0..=WAITING_MAX as u32 {
        registry.open(open(u64::MAX, 1, writer), channel(&incoming, writer + 1));
    }
    assert_eq!(registry.waiting.len(), WAITING_MAX);
}
