//! What a job promises about the rows that reach a sink, from what its sources and that sink can do. The page of guarantees is made of it.

use std::fmt;

/// Whether a source can go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Replay {
    /// What it brought since a checkpoint cannot be brought again.
    Never,
    /// From where it was at a checkpoint it brings the very same again.
    Exact,
}

/// How a sink makes rows visible, in the job that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// In pieces, each once a checkpoint that has its rows is complete; without checkpoints when it is full or old enough.
    Pieces,
    /// All at once when the job is done.
    Whole,
    /// At once, and nothing can be taken back.
    AtOnce,
    /// Never.
    Nothing,
}

/// How often a row counts, whatever fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

/// What is promised about the rows that reach a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guarantee {
    pub times: Times,
    delivery: Delivery,
    /// Whether the job goes on from checkpoints, and does not begin from its beginning after a failure.
    checkpoints: bool,
}

impl Guarantee {
    /// Of a sink that rows of these sources reach.
    pub fn of(sources: impl IntoIterator<Item = Replay>, delivery: Delivery, checkpoints: bool) -> Self {
        let replay = sources.into_iter().min().unwrap_or(Replay::Exact);
        let times = match (replay, delivery) {
            (_, Delivery::AtOnce) => Times::AtLeastOnce,
            (_, Delivery::Pieces) if !checkpoints => Times::AtLeastOnce,
            (Replay::Never, _) => Times::AtMostOnce,
            (Replay::Exact, _) => Times::ExactlyOnce,
        };
        Self { times, delivery, checkpoints }
    }

    /// When rows can be seen.
    pub fn visible(&self) -> &'static str {
        match (self.delivery, self.checkpoints) {
            (Delivery::Pieces, true) => {
                "with the next checkpoint after a file is full or old enough, or with a savepoint"
            }
            (Delivery::Pieces, false) => "when a file is full or old enough",
            (Delivery::Whole, _) => "when the job is done",
            (Delivery::AtOnce, _) => "at once",
            (Delivery::Nothing, _) => "never",
        }
    }
}

impl Times {
    pub fn name(self) -> &'static str {
        match self {
            Self::AtMostOnce => "at-most-once",
            Self::AtLeastOnce => "at-least-once",
            Self::ExactlyOnce => "exactly-once",
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = self.times.name().replace('-', " ");
        match self.delivery {
            Delivery::Nothing => write!(f, "state {times}")?,
            _ => f.write_str(&times)?,
        }
        // After a failure the job does all of its work again.
        if self.checkpoints { Ok(()) } else { f.write_str(", from the beginning") }
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fmt::Write as _, fs, path::Path};

    use super::*;
    use crate::testing;

    const SOURCES: [(&str, &str); 3] = [
        ("[`file`](connectors.md#source-file)", "connector = \"file\"\npath = \"a\"\nformat = \"lines\""),
        ("[`nexmark`](connectors.md#source-nexmark)", "connector = \"nexmark\"\nevents = 1"),
        ("[`host-metrics`](connectors.md#source-host-metrics)", "connector = \"host-metrics\"\ncount = 1"),
    ];
    const FILE: &str = "connector = \"file\"\npath = \"o\"\n";

    fn sinks() -> Vec<(&'static str, String)> {
        let file = |rest: &str| format!("{FILE}{rest}");
        vec![
            ("[`file`](connectors.md#sink-file) that rolls", file("format = \"json\"\nroll = {}")),
            ("`file` of text, as a whole", file("format = \"csv\"\nroll = false")),
            ("`file` of Parquet or Arrow, as a whole", file("format = \"parquet\"\nroll = false")),
            ("[`blackhole`](connectors.md#sink-blackhole)", "connector = \"blackhole\"".to_owned()),
        ]
    }

    /// What is promised for each source and each sink, in a job with checkpoints where the sink lets it have some.
    fn table() -> String {
        let base = Path::new(".");
        let sinks: Vec<_> =
            sinks().into_iter().map(|(name, text)| (name, testing::sink(&text, base).expect("it is a sink"))).collect();
        let mut table = "| sink | rows can be seen |".to_owned();
        let mut rule = "|---|---|".to_owned();
        for (name, _) in SOURCES {
            write!(table, " from {name} |").expect("a string takes everything");
            rule += "---|";
        }
        write!(table, "\n{rule}\n").expect("a string takes everything");
        for (name, sink) in &sinks {
            let checkpoints = sink.check_checkpoints(true).is_ok();
            let of = |replay| Guarantee::of([replay], sink.delivery(true), checkpoints);
            write!(table, "| {name} | {} |", of(Replay::Exact).visible()).expect("a string takes everything");
            for (_, text) in SOURCES {
                let source = testing::source(text, base).expect("it is a source");
                write!(table, " {} |", of(source.replay())).expect("a string takes everything");
            }
            table.push('\n');
        }
        table
    }

    #[test]
    fn the_table_of_the_page_is_what_the_connectors_say() {
        const MARKS: (&str, &str) = ("<!-- made from the connectors -->\n", "<!-- end -->");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/guarantees.md");
        let page = fs::read_to_string(&path).expect("it is there");
        let (before, rest) = page.split_once(MARKS.0).expect("the page has its marks");
        let (_, after) = rest.split_once(MARKS.1).expect("the page has its marks");
        let expect = format!("{before}{}{}{}{after}", MARKS.0, table(), MARKS.1);
        if env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, &expect).expect("it is ours");
        } else {
            assert_eq!(page, expect, "UPDATE_EXPECT=1 writes it");
        }
    }

    #[test]
    fn the_weakest_source_counts_and_what_cannot_be_taken_back_may_come_twice() {
        use Delivery::{AtOnce, Nothing, Pieces, Whole};
        let check = |sources: &[Replay], delivery, checkpoints, expect: &str| {
            assert_eq!(Guarantee::of(sources.iter().copied(), delivery, checkpoints).to_string(), expect);
        };
        let (exact, never) = (Replay::Exact, Replay::Never);
        check(&[exact, exact], Pieces, true, "exactly once");
        check(&[exact, never], Pieces, true, "at most once");
        check(&[exact], Pieces, false, "at least once, from the beginning");
        check(&[exact], Whole, false, "exactly once, from the beginning");
        check(&[never], Whole, true, "at most once");
        check(&[exact], AtOnce, true, "at least once");
        check(&[never], Nothing, true, "state at most once");
        check(&[], Nothing, true, "state exactly once");
    }
}
