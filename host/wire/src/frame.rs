//! Frames: a header of 24 bytes, and a body whose length it says.

use arrow_buffer::Buffer;
use wasmill_model::{
    Timestamp,
    ids::{Attempt, CheckpointId, Incarnation, JobId, TaskManagerId},
};

use crate::{CLUSTER_BYTES_MAX, Error, FRAME_BYTES_MAX, WORDS_BYTES_MAX};

/// Bytes before each frame's body.
pub const HEADER_BYTES: usize = 24;

/// What a HELLO begins with.
pub(crate) const MAGIC: [u8; 8] = *b"WASMILL\0";

const FLAG_MORE: u8 = 1;
const HELLO_BYTES_MIN: usize = 46;

/// Whether frames carry a checksum. Under TLS they need none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Crc32c,
    None,
}

/// One life of a TaskManager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    pub taskmanager: TaskManagerId,
    pub incarnation: Incarnation,
}

/// The first frame in each direction: who speaks, and whom it takes the other for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Versions of the protocol that the speaker knows; in the answer, the one that is taken.
    pub version_min: u16,
    pub version_max: u16,
    pub cluster: String,
    pub from: Identity,
    pub to: Identity,
}

/// The way of an edge's rows from one subtask to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Open {
    pub job: JobId,
    pub attempt: Attempt,
    /// The edge's place in the job graph.
    pub edge: u32,
    pub writer: u32,
    pub reader: u32,
    /// [`crate::Layout::fingerprint`] of its batches.
    pub layout: u64,
}

/// Why a channel or a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Everything came through to the end.
    Finished,
    /// The attempt was stopped on the other side.
    Stopped,
    /// A later attempt runs there, or this one has ended.
    Stale,
    /// The attempt did not start there in time.
    NotStarted,
    /// There is no such channel in the attempt, or its batches have another layout.
    Unknown,
    /// HELLO names another cluster, TaskManager, incarnation or version.
    NotMeant,
    /// What came was not what the protocol allows.
    Protocol,
    /// The process ends, or has no room.
    Leaving,
}

/// What travels. Channel 0 is the connection itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Hello(Hello),
    Open {
        channel: u32,
        open: Open,
    },
    /// A batch, or a part of one; numbered in each channel from 0. `more`: the rest follows in the next DATA of the channel.
    Data {
        channel: u32,
        sequence: u64,
        more: bool,
        body: Vec<u8>,
    },
    Watermark {
        channel: u32,
        time: Timestamp,
    },
    Idle {
        channel: u32,
    },
    /// What comes before it belongs to the checkpoint, what comes behind it does not.
    Barrier {
        channel: u32,
        checkpoint: CheckpointId,
        savepoint: bool,
    },
    End {
        channel: u32,
    },
    Credit {
        channel: u32,
        batches: u32,
        bytes: u64,
    },
    Close {
        channel: u32,
        reason: Reason,
        words: String,
    },
    /// Says that somebody is there, to a peer that has heard nothing else for a while.
    Ping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Hello = 1,
    Open = 2,
    Data = 3,
    Watermark = 4,
    Idle = 5,
    End = 6,
    Credit = 7,
    Close = 8,
    Ping = 9,
    Barrier = 10,
}

/// What stands before a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) bytes: u32,
    pub(crate) kind: Kind,
    flags: u8,
    channel: u32,
    checksum: u32,
    sequence: u64,
}

impl Reason {
    const ALL: [Self; 8] = [
        Self::Finished,
        Self::Stopped,
        Self::Stale,
        Self::NotStarted,
        Self::Unknown,
        Self::NotMeant,
        Self::Protocol,
        Self::Leaving,
    ];
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::Hello,
            Self::Open,
            Self::Data,
            Self::Watermark,
            Self::Idle,
            Self::End,
            Self::Credit,
            Self::Close,
            Self::Ping,
            Self::Barrier,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// How long a body of this kind may be.
    fn lengths(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Hello => HELLO_BYTES_MIN..=HELLO_BYTES_MIN + CLUSTER_BYTES_MAX,
            Self::Open => 36..=36,
            Self::Data => 1..=FRAME_BYTES_MAX,
            Self::Watermark => 8..=8,
            Self::Barrier => 9..=9,
            Self::Idle | Self::End | Self::Ping => 0..=0,
            Self::Credit => 12..=12,
            Self::Close => 1..=1 + WORDS_BYTES_MAX,
        }
    }

    /// Whether its frames are numbered.
    fn has_sequence(self) -> bool {
        self == Self::Data
    }

    /// Whether its frames belong to a channel; of CLOSE some do.
    fn fits_channel(self, channel: u32) -> bool {
        match self {
            Self::Hello | Self::Ping => channel == 0,
            Self::Close => true,
            _ => channel != 0,
        }
    }

    fn flag(self) -> u8 {
        if self == Self::Data { FLAG_MORE } else { 0 }
    }
}

impl Header {
    /// Reads a header, and checks all of it but the checksum.
    pub(crate) fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Error> {
        let mut reader = Reader(bytes);
        let length = reader.u32()?;
        let [kind, flags, spare @ ..] = reader.take::<4>()?;
        let kind = Kind::from_byte(kind).ok_or(Error::Kind(kind))?;
        if !kind.lengths().contains(&(length as usize)) {
            return Err(Error::Length { kind: kind as u8, bytes: length });
        }
        let header = Self {
            bytes: length,
            kind,
            flags,
            channel: reader.u32()?,
            checksum: reader.u32()?,
            sequence: reader.u64()?,
        };
        if flags & !kind.flag() != 0 || spare != [0, 0] {
            return Err(Error::Header("a flag is set that means nothing"));
        }
        if !kind.fits_channel(header.channel) {
            return Err(Error::Header("it names a channel where there is none, or none where there is"));
        }
        if !kind.has_sequence() && header.sequence != 0 {
            return Err(Error::Header("it is numbered and should not be"));
        }
        Ok(header)
    }

    fn write(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[4] = self.kind as u8;
        bytes[5] = self.flags;
        bytes[8..12].copy_from_slice(&self.channel.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[16..].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    /// Checks the body against the checksum.
    pub(crate) fn check(self, checksum: Checksum, body: &[u8]) -> Result<(), Error> {
        let found = match checksum {
            Checksum::None => 0,
            Checksum::Crc32c => crc32c::crc32c_append(self.own_checksum(), body),
        };
        if found == self.checksum { Ok(()) } else { Err(Error::Checksum { said: self.checksum, found }) }
    }

    /// The checksum of the header, with nothing where the checksum stands.
    fn own_checksum(self) -> u32 {
        crc32c::crc32c(&Self { checksum: 0, ..self }.write())
    }

    /// The bytes of a header before a body in these pieces.
    fn sealed<'a>(mut self, checksum: Checksum, body: impl Iterator<Item = &'a [u8]>) -> [u8; HEADER_BYTES] {
        if checksum == Checksum::Crc32c {
            self.checksum = body.fold(self.own_checksum(), crc32c::crc32c_append);
        }
        self.write()
    }
}

/// The header of a DATA frame whose body is in these pieces.
pub(crate) fn data_header(
    (channel, sequence, more): (u32, u64, bool),
    checksum: Checksum,
    head: &[u8],
    pieces: &[Buffer],
) -> [u8; HEADER_BYTES] {
    let bytes = head.len() + pieces.iter().map(Buffer::len).sum::<usize>();
    let header = Header {
        bytes: u32::try_from(bytes).expect("frames are cut to their maximum"),
        kind: Kind::Data,
        flags: if more { FLAG_MORE } else { 0 },
        channel,
        checksum: 0,
        sequence,
    };
    header.sealed(checksum, std::iter::once(head).chain(pieces.iter().map(Buffer::as_slice)))
}

impl Frame {
    /// Appends the frame's bytes.
    ///
    /// # Panics
    /// If a name or a body is longer than it may be.
    pub fn write(&self, checksum: Checksum, to: &mut Vec<u8>) {
        let mut body = Vec::new();
        let (kind, channel, sequence, flags) = self.write_body(&mut body);
        assert!(kind.lengths().contains(&body.len()), "a body of {} bytes in a frame of kind {kind:?}", body.len());
        let header = Header { bytes: body.len() as u32, kind, flags, channel, checksum: 0, sequence };
        to.extend_from_slice(&header.sealed(checksum, std::iter::once(&body[..])));
        to.append(&mut body);
    }

    fn write_body(&self, to: &mut Vec<u8>) -> (Kind, u32, u64, u8) {
        match self {
            Self::Hello(hello) => {
                hello.write(to);
                (Kind::Hello, 0, 0, 0)
            }
            Self::Open { channel, open } => {
                open.write(to);
                (Kind::Open, *channel, 0, 0)
            }
            Self::Data { channel, sequence, more, body } => {
                to.extend_from_slice(body);
                (Kind::Data, *channel, *sequence, if *more { FLAG_MORE } else { 0 })
            }
            Self::Watermark { channel, time } => {
                to.extend_from_slice(&time.to_le_bytes());
                (Kind::Watermark, *channel, 0, 0)
            }
            Self::Idle { channel } => (Kind::Idle, *channel, 0, 0),
            Self::Barrier { channel, checkpoint, savepoint } => {
                to.extend_from_slice(&checkpoint.0.to_le_bytes());
                to.push(u8::from(*savepoint));
                (Kind::Barrier, *channel, 0, 0)
            }
            Self::End { channel } => (Kind::End, *channel, 0, 0),
            Self::Credit { channel, batches, bytes } => {
                to.extend_from_slice(&batches.to_le_bytes());
                to.extend_from_slice(&bytes.to_le_bytes());
                (Kind::Credit, *channel, 0, 0)
            }
            Self::Close { channel, reason, words } => {
                to.push(*reason as u8);
                let end = (0..=WORDS_BYTES_MAX.min(words.len())).rev().find(|&end| words.is_char_boundary(end));
                to.extend_from_slice(&words.as_bytes()[..end.unwrap_or(0)]);
                (Kind::Close, *channel, 0, 0)
            }
            Self::Ping => (Kind::Ping, 0, 0, 0),
        }
    }

    /// The frame of a header and a body that has the length the header says.
    pub(crate) fn read(header: Header, body: Vec<u8>) -> Result<Self, Error> {
        let Header { kind, flags, channel, sequence, .. } = header;
        let mut reader = Reader(&body);
        let frame = match kind {
            Kind::Data => return Ok(Self::Data { channel, sequence, more: flags & FLAG_MORE != 0, body }),
            Kind::Hello => Self::Hello(Hello::read(&mut reader)?),
            Kind::Open => Self::Open { channel, open: Open::read(&mut reader)? },
            Kind::Watermark => Self::Watermark { channel, time: reader.u64()? as i64 },
            Kind::Idle => Self::Idle { channel },
            Kind::Barrier => {
                let checkpoint = CheckpointId(reader.u64()?);
                let savepoint = match reader.take::<1>()? {
                    [0] => false,
                    [1] => true,
                    _ => return Err(Error::Body("a barrier of a kind that there is not")),
                };
                Self::Barrier { channel, checkpoint, savepoint }
            }
            Kind::End => Self::End { channel },
            Kind::Credit => Self::Credit { channel, batches: reader.u32()?, bytes: reader.u64()? },
            Kind::Close => {
                let [reason] = reader.take::<1>()?;
                let reason = Reason::ALL.into_iter().find(|known| *known as u8 == reason);
                let reason = reason.ok_or(Error::Body("a reason that there is not"))?;
                Self::Close { channel, reason, words: reader.words()? }
            }
            Kind::Ping => Self::Ping,
        };
        if reader.0.is_empty() { Ok(frame) } else { Err(Error::Body("bytes are left over")) }
    }
}

impl Hello {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&MAGIC);
        to.extend_from_slice(&self.version_min.to_le_bytes());
        to.extend_from_slice(&self.version_max.to_le_bytes());
        for identity in [self.from, self.to] {
            to.extend_from_slice(&identity.taskmanager.0.to_le_bytes());
            to.extend_from_slice(&identity.incarnation.0.to_le_bytes());
        }
        to.extend_from_slice(&(self.cluster.len() as u16).to_le_bytes());
        to.extend_from_slice(self.cluster.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        if reader.take::<8>()? != MAGIC {
            return Err(Error::Magic);
        }
        let (version_min, version_max) = (reader.u16()?, reader.u16()?);
        let mut identity = || -> Result<Identity, Error> {
            Ok(Identity { taskmanager: TaskManagerId(reader.u64()?), incarnation: Incarnation(reader.u64()?) })
        };
        let (from, to) = (identity()?, identity()?);
        if usize::from(reader.u16()?) != reader.0.len() {
            return Err(Error::Body("a name ends before or behind its end"));
        }
        Ok(Self { version_min, version_max, cluster: reader.words()?, from, to })
    }
}

impl Open {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.job.0.to_le_bytes());
        to.extend_from_slice(&self.attempt.0.to_le_bytes());
        for part in [self.edge, self.writer, self.reader] {
            to.extend_from_slice(&part.to_le_bytes());
        }
        to.extend_from_slice(&self.layout.to_le_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            job: JobId(reader.u64()?),
            attempt: Attempt(reader.u64()?),
            edge: reader.u32()?,
            writer: reader.u32()?,
            reader: reader.u32()?,
            layout: reader.u64()?,
        })
    }
}

/// Takes a body apart.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(Error::Body("it is too short"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// All that is left, as text that can be shown.
    fn words(&mut self) -> Result<String, Error> {
        let text = std::str::from_utf8(self.0).map_err(|_| Error::Body("text that is none"))?;
        self.0 = &[];
        if text.chars().any(char::is_control) {
            return Err(Error::Body("text that cannot be shown"));
        }
        Ok(text.to_owned())
    }
}
