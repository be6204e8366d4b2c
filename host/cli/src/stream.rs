//! Server-sent events: read one after another, taken up again where a connection broke.

use std::{
    io::{BufRead, BufReader, Read},
    thread,
    time::Duration,
};

use crate::{client::Client, error::Error, output::tell, transport::Failure};

/// Bytes of a line, at most: a row, or a line that an operator logged.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// Bytes of one event, at most.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// How often in a row a stream is opened without a single event before it is given up: a minute or more.
const FRUITLESS_MAX: u32 = 20;

/// The wait before a stream is opened again; it doubles, up to the last.
const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_LAST: Duration = Duration::from_secs(5);

/// Whether a stream can be taken up where it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The server keeps what was sent, and sends what follows.
    Yes,
    /// What passes while nobody listens is gone.
    No,
}

/// Reads a stream until it ends, or until the reader of its data says that it has enough by an error of its own.
/// `more` gets the data of each event.
pub(crate) fn follow<E: From<Error>>(
    client: &Client,
    path: &str,
    kept: Kept,
    mut more: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let mut last_id: Option<String> = None;
    let (mut fruitless, mut wait) = (0, WAIT_FIRST);
    loop {
        let mut fruitful = false;
        let after = last_id.clone().filter(|_| kept == Kept::Yes);
        let lost = match client.stream(path, after.as_deref()) {
            Err(failure) if !failure.passes(true) => return Err(failure.into_error().into()),
            Err(failure) => failure,
            Ok(stream) => {
                let mut events = Events::new(stream);
                loop {
                    match events.next(client, path) {
                        Ok(event) if event.kind == "end" => return Ok(()),
                        Ok(event) => {
                            fruitful = true;
                            if kept == Kept::Yes && is_known(&event.id, &last_id) {
                                continue;
                            }
                            more(&event.data)?;
                            last_id = event.id.or(last_id);
                        }
                        Err(Lost::Connection(failure)) => break failure,
                        Err(Lost::Sense(error)) => return Err(error.into()),
                    }
                }
            }
        };
        if fruitful {
            (fruitless, wait) = (0, WAIT_FIRST);
        }
        fruitless += 1;
        if fruitless > FRUITLESS_MAX {
            return Err(lost.into_error().into());
        }
        if fruitless == 2 {
            tell(&format!("{lost}; trying again\n"));
        }
        thread::sleep(wait);
        wait = (2 * wait).min(WAIT_LAST);
    }
}

/// Whether an event was seen already: it came once more after the stream was taken up.
fn is_known(id: &Option<String>, last: &Option<String>) -> bool {
    let number = |id: &Option<String>| id.as_ref().and_then(|id| id.parse::<u64>().ok());
    matches!((number(id), number(last)), (Some(id), Some(last)) if id <= last)
}

/// Why there is no next event.
enum Lost {
    Connection(Failure),
    /// What came is no stream of events.
    Sense(Error),
}

/// An event with data.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    kind: String,
    data: String,
}

/// The events of one connection.
struct Events<R> {
    reader: BufReader<R>,
}

impl<R: Read> Events<R> {
    fn new(stream: R) -> Self {
        Self { reader: BufReader::new(stream) }
    }

    /// The next event that has data. Comments, which only show that somebody is there, are passed over.
    fn next(&mut self, client: &Client, path: &str) -> Result<Event, Lost> {
        let mut event = Event::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let taken = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            let lost = |error: std::io::Error| Lost::Connection(Failure::cut_off(client.server(), &error));
            taken.map_err(lost)?;
            if line.last() != Some(&b'\n') {
                return Err(match line.len() as u64 == LINE_BYTES_MAX {
                    true => Lost::Sense(client.nonsense(path, "a line of the stream has no end")),
                    false => lost(std::io::ErrorKind::UnexpectedEof.into()),
                });
            }
            let text = std::str::from_utf8(&line)
                .map_err(|_| Lost::Sense(client.nonsense(path, "a line of the stream is not UTF-8")))?;
            let text = text.trim_end_matches(['\n', '\r']);
            if text.is_empty() {
                if event.data.is_empty() && event.kind.is_empty() {
                    event = Event::default();
                    continue;
                }
                return Ok(event);
            }
            let (field, value) = text.split_once(':').unwrap_or((text, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => event.id = Some(value.to_owned()),
                "event" => event.kind = value.to_owned(),
                "data" => {
                    if event.data.len() + value.len() > EVENT_BYTES_MAX {
                        return Err(Lost::Sense(client.nonsense(path, "an event of the stream has no end")));
                    }
                    if !event.data.is_empty() {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                }
                _ => {}
            }
        }
    }
}

/// The data of an event as what it is to be.
pub(crate) fn read<T: serde::de::DeserializeOwned>(client: &Client, path: &str, data: &str) -> Result<T, Error> {
    serde_json::from_str(data).map_err(|e| client.nonsense(path, &e.to_string()))
}

#[cfg(test)]
mod tests;
