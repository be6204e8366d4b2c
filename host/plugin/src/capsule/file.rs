//! A capsule as a file: a line that says what it is, a header, the buffers that the header counts.

use std::{
    fs::OpenOptions,
    io::{Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use wasmill_model::{
    Timestamp,
    descriptor::{Context, Descriptor},
    reply::TimeDomain,
};

use super::{Arguments, Call, Capsule, Column, Error, Failure, SIZE_MAX};
use crate::{digest::Digest, entries::Answer, guest::CallTime, instance::Notice, limits::Limits};

/// The first bytes, with the version of the format.
const MAGIC: &[u8] = b"wasmill capsule 1\n";

/// Bytes of the header, at most.
const HEADER_MAX: usize = 8 << 20;

/// All that is no buffer. A number in place of a buffer is its length; they follow in the order of the fields.
#[derive(Serialize, Deserialize)]
struct Header {
    digest: Digest,
    component: Option<usize>,
    context: Context,
    descriptor: Descriptor,
    limits: Limits,
    seed: u64,
    calls_before: u64,
    started_ms: Timestamp,
    at: Option<At>,
    call: HeaderCall,
    /// Buffers behind those of the call: counts, sub-keys, values.
    #[serde(default)]
    reads: Vec<(usize, HeaderColumn, HeaderColumn)>,
    failure: Failure,
}

#[derive(Serialize, Deserialize)]
struct At {
    now_ms: Timestamp,
    watermark: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "kebab-case")]
enum HeaderCall {
    Open,
    Process {
        input: u32,
        arguments: HeaderArguments,
    },
    OnTimers {
        processing_time: bool,
        arguments: HeaderArguments,
    },
    /// None: the end of all input.
    OnNotice {
        watermark: Option<Timestamp>,
    },
}

#[derive(Serialize, Deserialize)]
struct HeaderArguments {
    rows: u32,
    event_times: Option<usize>,
    columns: Vec<HeaderColumn>,
    groups: Option<(u32, usize)>,
    state: Vec<HeaderColumn>,
}

#[derive(Serialize, Deserialize)]
struct HeaderColumn {
    validity: Option<usize>,
    offsets: Option<usize>,
    values: usize,
}

/// Writes a capsule to a new file. Without the component, if there is no room for it.
pub fn write(capsule: &Capsule, path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write { action: "write", path: path.to_owned(), source };
    let mut bytes = encode(capsule, true)?;
    if bytes.len() > SIZE_MAX {
        bytes = encode(capsule, false)?;
    }
    if bytes.len() > SIZE_MAX {
        return Err(Error::TooLarge { size: bytes.len() });
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(&bytes).map_err(|source| {
        // Half a capsule is of no use to anyone.
        let _ = std::fs::remove_file(path);
        failed(source)
    })
}

/// Reads a capsule. It may come from anyone: lengths are checked against what is there.
pub fn read(path: &Path) -> Result<Capsule, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(SIZE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    decode(&bytes).map_err(|reason| Error::Malformed { path: path.to_owned(), reason })
}

fn encode(capsule: &Capsule, with_component: bool) -> Result<Vec<u8>, Error> {
    let mut buffers: Vec<&[u8]> = Vec::new();
    let component = capsule.component.as_ref().filter(|_| with_component);
    buffers.extend(component.map(Vec::as_slice));
    let call = match &capsule.call {
        Call::Open => HeaderCall::Open,
        Call::Process { input, arguments } => {
            HeaderCall::Process { input: *input, arguments: HeaderArguments::of(arguments, &mut buffers) }
        }
        Call::OnTimers { domain, arguments } => HeaderCall::OnTimers {
            processing_time: *domain == TimeDomain::ProcessingTime,
            arguments: HeaderArguments::of(arguments, &mut buffers),
        },
        Call::OnNotice(Notice::Watermark(time)) => HeaderCall::OnNotice { watermark: Some(*time) },
        Call::OnNotice(Notice::EndOfInput) => HeaderCall::OnNotice { watermark: None },
    };
    let read = |answer| {
        let Answer { counts, sub_keys, values }: &Answer = answer;
        buffers.push(counts);
        (counts.len(), HeaderColumn::of(sub_keys, &mut buffers), HeaderColumn::of(values, &mut buffers))
    };
    let reads = capsule.reads.iter().map(read).collect();
    let header = Header {
        digest: capsule.digest,
        component: component.map(Vec::len),
        context: capsule.context.clone(),
        descriptor: capsule.descriptor.clone(),
        limits: capsule.limits.clone(),
        seed: capsule.seed,
        calls_before: capsule.calls_before,
        started_ms: capsule.started_ms,
        at: capsule.at.map(|CallTime { now_ms, watermark }| At { now_ms, watermark }),
        call,
        reads,
        failure: capsule.failure.clone(),
    };
    let header = serde_json::to_vec(&header).expect("a header has text for keys");
    if header.len() > HEADER_MAX {
        return Err(Error::TooLarge { size: header.len() });
    }
    let length = u32::try_from(header.len()).expect("it is at most 8 MiB");
    let mut bytes = [MAGIC, &length.to_le_bytes(), &header].concat();
    buffers.iter().for_each(|buffer| bytes.extend_from_slice(buffer));
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<Capsule, String> {
    if bytes.len() > SIZE_MAX {
        return Err(format!("it has more than {SIZE_MAX} bytes"));
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is no capsule, or one of another version")?;
    let (length, rest) = rest.split_first_chunk().ok_or("it ends before its header")?;
    let length = u32::from_le_bytes(*length) as usize;
    let (header, buffers) =
        rest.split_at_checked(length).filter(|_| length <= HEADER_MAX).ok_or("it ends in its header")?;
    let header: Header = serde_json::from_slice(header).map_err(|error| format!("its header is none: {error}"))?;
    let mut buffers = Buffers(buffers);
    let component = buffers.maybe(header.component)?;
    let call = match header.call {
        HeaderCall::Open => Call::Open,
        HeaderCall::Process { input, arguments } => {
            Call::Process { input, arguments: arguments.into_arguments(&mut buffers)? }
        }
        HeaderCall::OnTimers { processing_time, arguments } => Call::OnTimers {
            domain: if processing_time { TimeDomain::ProcessingTime } else { TimeDomain::EventTime },
            arguments: arguments.into_arguments(&mut buffers)?,
        },
        HeaderCall::OnNotice { watermark } => Call::OnNotice(watermark.map_or(Notice::EndOfInput, Notice::Watermark)),
    };
    let mut reads = Vec::new();
    for (counts, sub_keys, values) in header.reads {
        let counts = buffers.next(counts)?;
        let sub_keys = sub_keys.into_column(&mut buffers)?;
        reads.push(Answer { counts, sub_keys, values: values.into_column(&mut buffers)? });
    }
    if !buffers.0.is_empty() {
        return Err(format!("there are {} bytes behind its last buffer", buffers.0.len()));
    }
    Ok(Capsule {
        digest: header.digest,
        component,
        context: header.context,
        descriptor: header.descriptor,
        limits: header.limits,
        seed: header.seed,
        calls_before: header.calls_before,
        started_ms: header.started_ms,
        at: header.at.map(|At { now_ms, watermark }| CallTime { now_ms, watermark }),
        call,
        reads,
        failure: header.failure,
    })
}

/// What is left of the buffers.
struct Buffers<'a>(&'a [u8]);

impl Buffers<'_> {
    fn next(&mut self, length: usize) -> Result<Vec<u8>, String> {
        let (buffer, rest) = self.0.split_at_checked(length).ok_or("it ends in a buffer")?;
        self.0 = rest;
        Ok(buffer.to_vec())
    }

    fn maybe(&mut self, length: Option<usize>) -> Result<Option<Vec<u8>>, String> {
        length.map(|length| self.next(length)).transpose()
    }
}

impl HeaderArguments {
    /// The lengths of the buffers, which are added to those to be written.
    fn of<'a>(arguments: &'a Arguments, buffers: &mut Vec<&'a [u8]>) -> Self {
        let Arguments { rows, event_times, columns, groups, state } = arguments;
        buffers.extend(event_times.as_deref());
        let lengths = columns.iter().map(|column| HeaderColumn::of(column, buffers)).collect();
        buffers.extend(groups.as_ref().map(|(_, of_row)| of_row.as_slice()));
        Self {
            rows: *rows,
            event_times: event_times.as_ref().map(Vec::len),
            columns: lengths,
            groups: groups.as_ref().map(|(count, of_row)| (*count, of_row.len())),
            state: state.iter().map(|column| HeaderColumn::of(column, buffers)).collect(),
        }
    }

    fn into_arguments(self, buffers: &mut Buffers<'_>) -> Result<Arguments, String> {
        let event_times = buffers.maybe(self.event_times)?;
        let columns: Result<_, String> = self.columns.into_iter().map(|c| c.into_column(buffers)).collect();
        let columns = columns?;
        let groups = self.groups.map(|(count, length)| Ok((count, buffers.next(length)?)));
        let groups = groups.transpose().map_err(|reason: String| reason)?;
        let state: Result<_, String> = self.state.into_iter().map(|c| c.into_column(buffers)).collect();
        Ok(Arguments { rows: self.rows, event_times, columns, groups, state: state? })
    }
}

impl HeaderColumn {
    fn of<'a>(column: &'a Column, buffers: &mut Vec<&'a [u8]>) -> Self {
        let Column { validity, offsets, values } = column;
        buffers.extend(validity.as_deref());
        buffers.extend(offsets.as_deref());
        buffers.push(values);
        let length = |buffer: &Option<Vec<u8>>| buffer.as_ref().map(Vec::len);
        Self { validity: length(validity), offsets: length(offsets), values: values.len() }
    }

    fn into_column(self, buffers: &mut Buffers<'_>) -> Result<Column, String> {
        let (validity, offsets) = (buffers.maybe(self.validity)?, buffers.maybe(self.offsets)?);
        Ok(Column { validity, offsets, values: buffers.next(self.values)? })
    }
}
