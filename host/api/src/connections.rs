//! Who is connected: a bounded number, in which a connection that does something has precedence over one that does nothing.
//!
//! A client that opens connections and sends nothing, or heads that never end, thus keeps nobody out.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Counts connections and requests: the order in which they became idle.
    clock: u64,
    places: HashMap<u64, Place>,
    evicted: u64,
    refused: u64,
}

#[derive(Debug)]
struct Place {
    /// Since when, if it does nothing.
    idle_since: Option<u64>,
    leave: Arc<Notify>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u64,
    connections: Arc<Connections>,
    leave: Arc<Notify>,
    requests: AtomicUsize,
}

/// How many there are, and how many had to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) open: usize,
    pub(crate) evicted: u64,
    pub(crate) refused: u64,
}

impl Connections {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), table: Mutex::default() })
    }

    /// A place for one more; if all are taken, that of the one that has been idle longest. None if all are busy.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Arc<Seat>> {
        let mut table = self.table();
        if table.places.len() >= self.max && !table.evict() {
            table.refused += 1;
            return None;
        }
        table.clock += 1;
        let (number, leave) = (table.clock, Arc::new(Notify::new()));
        table.places.insert(number, Place { idle_since: Some(number), leave: Arc::clone(&leave) });
        Some(Arc::new(Seat { number, connections: Arc::clone(self), leave, requests: AtomicUsize::new(0) }))
    }

    /// Closes the connection that has been idle longest, if there is one.
    pub(crate) fn evict(&self) -> bool {
        self.table().evict()
    }

    pub(crate) fn census(&self) -> Census {
        let table = self.table();
        Census { open: table.places.len(), evicted: table.evicted, refused: table.refused }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is whole between any two statements below.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn evict(&mut self) -> bool {
        let idle = |(number, place): (&u64, &Place)| place.idle_since.map(|since| (since, *number));
        let Some((_, number)) = self.places.iter().filter_map(idle).min() else {
            return false;
        };
        if let Some(place) = self.places.remove(&number) {
            place.leave.notify_one();
            self.evicted += 1;
        }
        true
    }
}

impl Seat {
    /// Of the connections of this server, which have all had others.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Resolves when another takes the place.
    pub(crate) async fn left(&self) {
        self.leave.notified().await;
    }

    /// A request begins; it lasts until its answer has gone out.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        if self.requests.fetch_add(1, Ordering::AcqRel) == 0 {
            self.mark(|_| None);
        }
        Busy(Arc::clone(self))
    }

    fn mark(&self, idle_since: impl Fn(u64) -> Option<u64>) {
        let mut table = self.connections.table();
        table.clock += 1;
        let clock = table.clock;
        if let Some(place) = table.places.get_mut(&self.number) {
            place.idle_since = idle_since(clock);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.table().places.remove(&self.number);
    }
}

/// While it lives, its connection is busy.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.mark(Some);
        }
    }
}

/// The body of an answer: as long as it goes out, its connection is busy.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) body: Body,
    pub(crate) _busy: Busy,
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_idle_for_longest_makes_room() {
        let connections = Connections::new(2);
        let (first, second) =
            (connections.admit().expect("there is room"), connections.admit().expect("there is room"));
        let request = first.busy();
        assert!(connections.admit().is_some(), "the second is idle");
        assert_eq!(connections.census(), Census { open: 1, evicted: 1, refused: 0 });
        let third = connections.admit().expect("the one before was dropped");
        let other = third.busy();
        assert!(connections.admit().is_none(), "both are busy");
        assert_eq!(connections.census(), Census { open: 2, evicted: 1, refused: 1 });
        drop(request);
        assert!(connections.admit().is_some(), "the first is idle again");
        drop((first, second, other, third));
        assert_eq!(connections.census(), Census { open: 0, evicted: 2, refused: 1 });
    }

    #[test]
    fn a_connection_is_busy_until_its_last_request_is_answered() {
        let connections = Connections::new(1);
        let only = connections.admit().expect("there is room");
        let (one, two) = (only.busy(), only.busy());
        drop(one);
        assert!(connections.admit().is_none());
        drop(two);
        assert!(connections.evict());
        assert!(!connections.evict(), "there is none any more");
    }
}
