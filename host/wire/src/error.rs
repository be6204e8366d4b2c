//! What is wrong with what came from the network, or with what should go into it.

/// A violation of the protocol, after which a connection can only be closed; and batches that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("a frame of kind {kind} says it has {bytes} bytes")]
    Length { kind: u8, bytes: u32 },
    #[error("a frame is of kind {0}, which there is not")]
    Kind(u8),
    #[error("a frame's header is not well-formed: {0}")]
    Header(&'static str),
    #[error("a frame's checksum is {said:#010x}, but that of its bytes is {found:#010x}")]
    Checksum { said: u32, found: u32 },
    #[error("a frame's body is not well-formed: {0}")]
    Body(&'static str),
    #[error("it does not begin as this protocol does")]
    Magic,
    #[error("a batch has more than {} bytes", crate::BATCH_BYTES_MAX)]
    BatchBytes,
    #[error("a batch is not well-formed: {0}")]
    Batch(String),
    #[error("more came than there was credit for")]
    Overrun,
    #[error("more credit came back than was used")]
    Credit,
    /// Of a batch that should be sent.
    #[error("a batch of {bytes} bytes is larger than can be sent")]
    TooLarge { bytes: usize },
}

impl Error {
    pub(crate) fn batch(reason: impl std::fmt::Display) -> Self {
        Self::Batch(reason.to_string())
    }
}
