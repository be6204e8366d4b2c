//! What is to happen at fail points, as it is written: `snapshot.sync=2*off->1*eio;sink.publish=kill`.
//!
//! The form is that of the `fail` library: a point, `=`, and terms behind each other by `->`. A term is an action, before it a number
//! and `*` if it is only for so many hits. After the last term nothing happens any more.

use std::{fmt, time::Duration};

use crate::Point;

/// What happens at a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is said, and nothing else.
    Print,
    /// The process dies at once.
    Kill,
    /// The disk gives an error.
    Eio,
    /// The disk is full.
    Enospc,
    /// It takes so long.
    Sleep(Duration),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Print => write!(f, "print"),
            Self::Kill => write!(f, "kill"),
            Self::Eio => write!(f, "eio"),
            Self::Enospc => write!(f, "enospc"),
            Self::Sleep(time) => write!(f, "sleep({})", time.as_millis()),
        }
    }
}

/// What happens at the hits of one point, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script(Vec<Term>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Term {
    /// For so many hits; none: for all that come.
    hits: Option<u64>,
    /// None: nothing happens.
    action: Option<Action>,
}

impl Script {
    /// What happens at a hit; the first one is 0.
    pub(crate) fn at(&self, hit: u64) -> Option<Action> {
        let mut before = 0;
        for term in &self.0 {
            let Some(hits) = term.hits else { return term.action };
            before += hits;
            if hit < before {
                return term.action;
            }
        }
        None
    }
}

/// Why what is written says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoScript {
    part: String,
    reason: &'static str,
}

impl fmt::Display for NoScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not understand `{}` in {}: {}", self.part, crate::VARIABLE, self.reason)
    }
}

impl std::error::Error for NoScript {}

pub(crate) fn parse(text: &str) -> Result<Vec<(Point, Script)>, NoScript> {
    text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(one).collect()
}

fn one(part: &str) -> Result<(Point, Script), NoScript> {
    let wrong = |reason| NoScript { part: part.to_owned(), reason };
    let (name, terms) = part.split_once('=').ok_or_else(|| wrong("expected POINT=ACTION"))?;
    let point = Point::ALL.iter().find(|point| point.name() == name.trim());
    // One that does not exist would never do anything, and whoever tests with it would think that all is well.
    let point = point.ok_or_else(|| wrong("there is no such fail point"))?;
    let terms = terms.split("->").map(|term| parsed(term.trim()).ok_or_else(|| wrong(TERM)));
    Ok((*point, Script(terms.collect::<Result<_, _>>()?)))
}

const TERM: &str = "expected off, print, kill, eio, enospc or sleep(MILLISECONDS), before it perhaps a number and `*`";

fn parsed(text: &str) -> Option<Term> {
    let (hits, action) = match text.split_once('*') {
        Some((hits, action)) => (Some(hits.trim().parse().ok()?), action.trim()),
        None => (None, text),
    };
    let action = match action {
        "off" => None,
        "print" => Some(Action::Print),
        "kill" => Some(Action::Kill),
        "eio" => Some(Action::Eio),
        "enospc" => Some(Action::Enospc),
        sleep => {
            let ms = sleep.strip_prefix("sleep(")?.strip_suffix(')')?.parse().ok()?;
            Some(Action::Sleep(Duration::from_millis(ms)))
        }
    };
    Some(Term { hits, action })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_follow_each_other() {
        let scripts = parse(" snapshot.sync=2*off->1*eio->sleep(20) ; sink.publish = kill;").expect("it is one");
        assert_eq!(scripts.len(), 2);
        let (point, script) = &scripts[0];
        let sleep = Some(Action::Sleep(Duration::from_millis(20)));
        assert_eq!(*point, Point::SnapshotSync);
        assert_eq!((0..5).map(|hit| script.at(hit)).collect::<Vec<_>>(), [None, None, Some(Action::Eio), sleep, sleep]);
        let (point, script) = &scripts[1];
        assert_eq!((*point, script.at(0), script.at(9)), (Point::SinkPublish, Some(Action::Kill), Some(Action::Kill)));
        let once = parse("sink.sync=1*enospc").expect("it is one");
        assert_eq!((once[0].1.at(0), once[0].1.at(1)), (Some(Action::Enospc), None));
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for (text, reason) in [
            ("sink.sync", "expected POINT=ACTION"),
            ("sink.never=kill", "there is no such fail point"),
            ("sink.sync=explode", TERM),
            ("sink.sync=x*kill", TERM),
            ("sink.sync=sleep(long)", TERM),
        ] {
            assert_eq!(parse(text), Err(NoScript { part: text.to_owned(), reason }));
        }
    }
}
