//! Files in and out, a piece at a time: an upload is hashed while it is written, and is gone when its client goes away.

use std::{fs::File, io};

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wasmill_model::fault::Code;

use crate::{Backend, asked::Asked, backend::Upload, body::Arriving, problem::Refusal, shared::Api};

/// What is read from a file at once.
const PIECE_BYTES: usize = 64 << 10;

/// Writes a body to the upload folder. The file is removed with the value, wherever that is dropped.
pub(crate) async fn receive<B: Backend>(api: &Api<B>, asked: Asked, dry_run: bool) -> Result<Upload, Refusal> {
    let claimed = claimed(&asked)?;
    let (name, version) = (asked.part("name").to_owned(), asked.part("version").to_owned());
    // The time spent waiting is not held against the client: its body is looked at only afterwards.
    let _turn = api.shared.uploads.acquire().await.expect("the server never closes it");
    let file =
        NamedTempFile::with_prefix_in("upload-", api.backend.upload_folder()).map_err(|error| unwritable(&error))?;
    let mut arriving = asked.arriving(api.backend.upload_bytes_max(), &api.shared.limits);
    let digest = write(&mut arriving, &file).await?;
    if claimed.is_some_and(|claimed| claimed != digest) {
        let detail = format!(
            "could not take the upload: its digest is {}, and the request says {}",
            shown(&digest),
            shown(&claimed.unwrap_or_default())
        );
        return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::DigestMismatch, detail));
    }
    Ok(Upload { name, version, file, bytes: arriving.bytes(), digest, dry_run })
}

async fn write(arriving: &mut Arriving, file: &NamedTempFile) -> Result<[u8; 32], Refusal> {
    let handle = file.as_file().try_clone().map_err(|error| unwritable(&error))?;
    let mut handle = tokio::fs::File::from_std(handle);
    let mut hasher = Sha256::new();
    while let Some(chunk) = arriving.next().await? {
        hasher.update(&chunk);
        handle.write_all(&chunk).await.map_err(|error| unwritable(&error))?;
    }
    handle.flush().await.map_err(|error| unwritable(&error))?;
    Ok(hasher.finalize().into())
}

/// The SHA-256 that `content-digest` (RFC 9530) names; other algorithms in it are passed over.
fn claimed(asked: &Asked) -> Result<Option<[u8; 32]>, Refusal> {
    const NAME: &str = "content-digest";
    let wrong = || Refusal::malformed("could not read `content-digest`: it is to be `sha-256=:BASE64:`");
    if !asked.headers().contains_key(NAME) {
        return Ok(None);
    }
    let value = asked.header(NAME).ok_or_else(wrong)?;
    let named = value.split(',').find_map(|one| one.trim().strip_prefix("sha-256="));
    let base64 = named.and_then(|rest| rest.strip_prefix(':')).and_then(|rest| rest.strip_suffix(':'));
    let bytes = base64.and_then(|base64| STANDARD.decode(base64).ok()).ok_or_else(wrong)?;
    <[u8; 32]>::try_from(bytes).map(Some).map_err(|_| wrong())
}

fn shown(digest: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in digest {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}

/// The disk does not take it. What exactly is wrong with it is for whoever runs the JobManager.
fn unwritable(error: &io::Error) -> Refusal {
    let detail = format!("could not store the upload: {}", error.kind());
    Refusal::new(StatusCode::INSUFFICIENT_STORAGE, Code::ServerBusy, detail).hint("see to the disk of the JobManager")
}

/// A file, to its end, but no more than was said. One that is shorter breaks the answer off.
pub(crate) fn pieces(file: File, bytes: u64) -> impl Stream<Item = io::Result<Bytes>> {
    let file = tokio::fs::File::from_std(file).take(bytes);
    stream::try_unfold((file, bytes), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let read = file.read_buf(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((piece.freeze(), (file, left - read as u64))))
    })
}
