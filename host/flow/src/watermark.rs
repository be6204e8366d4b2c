//! The watermark of several channels together: the inputs of a subtask, or the splits of a source.
//!
//! A channel is ACTIVE, IDLE (nothing is expected of it for now, so it holds nobody up) or FINISHED (it never says anything again).
//! Together they are at the smallest watermark of the active channels, which never falls: a channel that comes back from
//! being idle behind the others is simply late.

use wasmill_model::{Timestamp, time};

/// Where channels are, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Active: no row with an event time up to this one is expected any more.
    Watermark(Timestamp),
    /// All channels that have not finished are idle. The watermark stands.
    Idle,
    /// All channels have finished: the watermark is `time::MAX`.
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Active,
    Idle,
    Finished,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    status: Status,
    watermark: Timestamp,
}

/// Combines the watermarks of channels. Each event returns what they are together now, if that has changed.
#[derive(Debug, Clone)]
pub struct Watermarks {
    channels: Vec<Channel>,
    watermark: Timestamp,
    status: Status,
    /// The active channel with the lowest watermark.
    held_by: Option<usize>,
}

impl Watermarks {
    /// So many channels, at least one, all active and without a watermark.
    pub fn new(channels: usize) -> Self {
        assert!(channels > 0, "no channel, no watermark");
        let channel = Channel { status: Status::Active, watermark: time::MIN };
        Self { channels: vec![channel; channels], watermark: time::MIN, status: Status::Active, held_by: Some(0) }
    }

    /// A channel says that no row up to this time will come by it any more. It is active then. A watermark below the
    /// channel's last one is ignored.
    pub fn advance(&mut self, channel: usize, watermark: Timestamp) -> Option<Progress> {
        let channel = &mut self.channels[channel];
        if channel.status == Status::Finished {
            return None;
        }
        channel.status = Status::Active;
        channel.watermark = channel.watermark.max(watermark);
        self.combine()
    }

    /// Nothing is expected of a channel for now.
    pub fn idle(&mut self, channel: usize) -> Option<Progress> {
        self.set_status(channel, Status::Idle)
    }

    /// A channel has rows again.
    pub fn active(&mut self, channel: usize) -> Option<Progress> {
        self.set_status(channel, Status::Active)
    }

    /// Nothing ever comes by a channel any more. All later events of it are ignored.
    pub fn finish(&mut self, channel: usize) -> Option<Progress> {
        self.set_status(channel, Status::Finished)
    }

    /// The watermark of all channels together.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// The channel that holds the others back: the first of the active ones with the lowest watermark.
    pub fn held_by(&self) -> Option<usize> {
        self.held_by
    }

    /// What all channels are together.
    pub fn progress(&self) -> Progress {
        match self.status {
            Status::Active => Progress::Watermark(self.watermark),
            Status::Idle => Progress::Idle,
            Status::Finished => Progress::Finished,
        }
    }

    fn set_status(&mut self, channel: usize, status: Status) -> Option<Progress> {
        let channel = &mut self.channels[channel];
        if channel.status == Status::Finished || channel.status == status {
            return None;
        }
        channel.status = status;
        self.combine()
    }

    fn combine(&mut self) -> Option<Progress> {
        let before = self.progress();
        let active = self.channels.iter().enumerate().filter(|(_, c)| c.status == Status::Active);
        let lowest = active.map(|(place, c)| (c.watermark, place)).min();
        self.held_by = lowest.map(|(_, place)| place);
        let finished = self.channels.iter().all(|c| c.status == Status::Finished);
        (self.status, self.watermark) = match lowest {
            Some((watermark, _)) => (Status::Active, self.watermark.max(watermark)),
            None if finished => (Status::Finished, time::MAX),
            None => (Status::Idle, self.watermark),
        };
        let now = self.progress();
        (now != before).then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    /// Runs a script of one event a line, and prints what each changes.
    fn check(channels: usize, script: &str, expect: Expect) {
        let mut watermarks = Watermarks::new(channels);
        let mut transcript = String::new();
        for line in script.split(';').map(str::trim).filter(|l| !l.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let channel: usize = words[1].parse().expect("a channel");
            let changed = match words[0] {
                "advance" => watermarks.advance(channel, words[2].parse().expect("a time")),
                "idle" => watermarks.idle(channel),
                "active" => watermarks.active(channel),
                "finish" => watermarks.finish(channel),
                other => panic!("no event {other}"),
            };
            let changed = changed.map_or("-".to_string(), |p| format!("{p:?}"));
            transcript += &format!("{line:<14} {changed}\n");
        }
        expect.assert_eq(&transcript);
    }

    #[test]
    fn the_slowest_active_channel_decides() {
        check(
            2,
            "advance 0 10; advance 1 5; advance 1 7; advance 0 20; advance 1 30; advance 1 25",
            expect![[r#"
                advance 0 10   -
                advance 1 5    Watermark(5)
                advance 1 7    Watermark(7)
                advance 0 20   -
                advance 1 30   Watermark(20)
                advance 1 25   -
            "#]],
        );
    }

    #[test]
    fn an_idle_channel_holds_nobody_up_and_comes_back_without_taking_time_back() {
        check(
            2,
            "advance 0 10; idle 1; advance 0 20; active 1; advance 1 15; advance 0 30; advance 1 22; idle 1; idle 1",
            expect![[r#"
                advance 0 10   -
                idle 1         Watermark(10)
                advance 0 20   Watermark(20)
                active 1       -
                advance 1 15   -
                advance 0 30   -
                advance 1 22   Watermark(22)
                idle 1         Watermark(30)
                idle 1         -
            "#]],
        );
    }

    #[test]
    fn all_idle_is_idle_and_the_watermark_stands() {
        check(
            2,
            "advance 0 10; advance 1 12; idle 0; idle 1; active 0; idle 0; advance 1 11",
            expect![[r#"
                advance 0 10   -
                advance 1 12   Watermark(10)
                idle 0         Watermark(12)
                idle 1         Idle
                active 0       Watermark(12)
                idle 0         Idle
                advance 1 11   Watermark(12)
            "#]],
        );
    }

    #[test]
    fn finished_channels_are_at_the_end_of_time() {
        check(
            3,
            "advance 0 10; finish 1; finish 2; advance 2 3; active 2; idle 0; finish 0; advance 0 50",
            expect![[r#"
                advance 0 10   -
                finish 1       -
                finish 2       Watermark(10)
                advance 2 3    -
                active 2       -
                idle 0         Idle
                finish 0       Finished
                advance 0 50   -
            "#]],
        );
    }

    #[test]
    fn the_channel_that_holds_the_others_back_is_named() {
        let mut watermarks = Watermarks::new(3);
        assert_eq!(watermarks.held_by(), Some(0), "nothing is known of any");
        watermarks.advance(0, 10);
        assert_eq!(watermarks.held_by(), Some(1));
        watermarks.advance(1, 30);
        watermarks.idle(2);
        assert_eq!(watermarks.held_by(), Some(0));
        watermarks.finish(0);
        assert_eq!(watermarks.held_by(), Some(1));
        watermarks.idle(1);
        assert_eq!(watermarks.held_by(), None, "nobody is waited for");
        watermarks.active(2);
        assert_eq!(watermarks.held_by(), Some(2));
    }

    proptest! {
        #[test]
        fn the_watermark_never_falls_and_never_passes_an_active_channel_that_was_never_idle(
            events in prop::collection::vec((0..4_u8, 0..3_usize, -50..50_i64), 0..60)
        ) {
            let mut watermarks = Watermarks::new(3);
            let (mut last, mut always_active, mut own) = (time::MIN, [true; 3], [time::MIN; 3]);
            for (event, channel, time) in events {
                match event {
                    0 | 1 => {
                        own[channel] = own[channel].max(time);
                        watermarks.advance(channel, time)
                    }
                    2 => {
                        always_active[channel] = false;
                        watermarks.idle(channel)
                    }
                    _ => watermarks.active(channel),
                };
                prop_assert!(watermarks.watermark() >= last);
                last = watermarks.watermark();
                for channel in 0..3 {
                    prop_assert!(!always_active[channel] || last <= own[channel]);
                }
            }
        }
    }
}
