//! What the server counts of itself, and how it is told in OpenMetrics text.

use std::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::http::StatusCode;

use crate::{
    connections::Census,
    routes::{ROUTES, Route},
};

/// Counters of each route, and of what found none.
#[derive(Debug)]
pub(crate) struct Counters {
    routes: Vec<Counter>,
    pub(crate) panics: AtomicU64,
}

#[derive(Debug, Default)]
struct Counter {
    /// By the first digit of the status, from 1.
    answers: [AtomicU64; 5],
    micros: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { routes: (0..=ROUTES.len()).map(|_| Counter::default()).collect(), panics: AtomicU64::new(0) }
    }
}

impl Counters {
    /// Counts an answer of a route; of none, if the request found no route.
    pub(crate) fn count(&self, route: Option<&'static Route>, status: StatusCode, took: Duration) {
        let number = route.map_or(ROUTES.len(), |route| route.id as usize);
        let counter = &self.routes[number];
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        counter.answers[class].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counter.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// OpenMetrics text, without its end.
    pub(crate) fn render(&self, census: Census, streams: usize) -> String {
        let mut text = String::new();
        self.write(&mut text, census, streams).expect("a string takes everything");
        text
    }

    fn write(&self, text: &mut String, census: Census, streams: usize) -> fmt::Result {
        text.push_str(
            "# TYPE wasmill_http_requests counter\n# HELP wasmill_http_requests Requests that were answered.\n",
        );
        for (name, counter) in self.named() {
            for (class, count) in (1..).zip(&counter.answers) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    writeln!(text, "wasmill_http_requests_total{{route=\"{name}\",status=\"{class}xx\"}} {count}")?;
                }
            }
        }
        text.push_str(
            "# TYPE wasmill_http_request_seconds counter\n# UNIT wasmill_http_request_seconds seconds\n\
             # HELP wasmill_http_request_seconds Time until answers began, on the whole.\n",
        );
        for (name, counter) in self.named() {
            let micros = counter.micros.load(Ordering::Relaxed);
            if micros > 0 {
                let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
                writeln!(text, "wasmill_http_request_seconds_total{{route=\"{name}\"}} {seconds}.{rest:06}")?;
            }
        }
        let figures = [
            ("connections", "gauge", "Connections that are open.", census.open as u64),
            ("streams", "gauge", "Streams of events, logs and rows that are open.", streams as u64),
            ("connections_evicted", "counter", "Idle connections that made room for others.", census.evicted),
            ("connections_refused", "counter", "Connections for which there was no room.", census.refused),
            ("panics", "counter", "Requests that met a fault of the server.", self.panics.load(Ordering::Relaxed)),
        ];
        for (name, kind, about, value) in figures {
            let suffix = if kind == "counter" { "_total" } else { "" };
            writeln!(text, "# TYPE wasmill_http_{name} {kind}\n# HELP wasmill_http_{name} {about}")?;
            writeln!(text, "wasmill_http_{name}{suffix} {value}")?;
        }
        Ok(())
    }

    fn named(&self) -> impl Iterator<Item = (String, &Counter)> {
        let names = ROUTES.iter().map(|route| route.id.name()).chain(["none".to_owned()]);
        names.zip(&self.routes)
    }
}
