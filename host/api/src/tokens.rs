//! Who may what: roles, and the tokens that stand for them.
//!
//! Of a token only its SHA-256 is kept, so nothing that is printed, logged or dumped can show one. A token that is shown is
//! hashed and compared with all of them, each in constant time.

use std::{fmt, fs::File, io::Read, path::Path};

use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Error;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Looks, uploads plugins, runs and ends jobs.
    Deployer,
    /// All that, and drains workers.
    Admin,
    /// A TaskManager; nothing else.
    Worker,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Deployer, Self::Admin, Self::Worker];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Admin => "admin",
            Self::Worker => "worker",
        }
    }

    /// Whether this role may do what takes the other.
    #[must_use]
    pub fn allows(self, needed: Self) -> bool {
        let rank = |role| match role {
            Self::Viewer => Some(1),
            Self::Deployer => Some(2),
            Self::Admin => Some(3),
            Self::Worker => None,
        };
        match (rank(self), rank(needed)) {
            (Some(has), Some(needed)) => has >= needed,
            (has, needed) => has == needed,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token that was found: which one it is, and its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) number: usize,
    pub(crate) role: Role,
}

/// The tokens of a file.
pub(crate) struct Tokens(Vec<(Role, [u8; 32])>);

/// Bytes of the file of tokens, and lines that count: some hundred are more than a cluster has.
const FILE_BYTES_MAX: u64 = 1 << 20;
const TOKENS_MAX: usize = 1_024;
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

impl Tokens {
    /// Reads a file that nobody but its owner may read.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let failed = |why: String| Error::Tokens { path: path.to_owned(), why };
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
        if !metadata.is_file() {
            return Err(failed("it is no file".to_owned()));
        }
        if let Some(mode) = mode(&metadata).filter(|mode| mode & 0o077 != 0) {
            return Err(failed(format!("its mode is {mode:04o}, so others may read it\n  hint: chmod 600")));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
        Self::parse(&text).map_err(failed)
    }

    /// Reads lines `ROLE TOKEN`; empty ones and those that begin with `#` are passed over. What is said of a wrong line holds
    /// nothing of it.
    fn parse(text: &str) -> Result<Self, String> {
        let mut tokens: Vec<(Role, [u8; 32])> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |why: &str| Err(format!("line {}: {why}", index + 1));
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((role, token)) = line.split_once([' ', '\t']) else {
                return wrong("it is not `ROLE TOKEN`");
            };
            let Some(role) = Role::ALL.into_iter().find(|known| known.as_str() == role) else {
                return wrong("its role is none of viewer, deployer, admin and worker");
            };
            let token = token.trim_start();
            if !TOKEN_BYTES.contains(&token.len()) || !token.bytes().all(is_token_byte) {
                return wrong("a token is 16 to 256 letters, digits or -._~+/=");
            }
            let digest = Sha256::digest(token).into();
            if tokens.iter().any(|(_, other)| *other == digest) {
                return wrong("this token has a line already");
            }
            if tokens.len() == TOKENS_MAX {
                return wrong("there are more than 1024 tokens");
            }
            tokens.push((role, digest));
        }
        if tokens.is_empty() {
            return Err("there is no token in it".to_owned());
        }
        Ok(Self(tokens))
    }

    /// The token, if it is one of these. How long this takes says nothing about which, or how nearly.
    pub(crate) fn find(&self, token: &str) -> Option<Known> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for (number, (role, known)) in self.0.iter().enumerate() {
            if bool::from(known.ct_eq(&digest)) {
                found = Some(Known { number, role: *role });
            }
        }
        found
    }
}

/// Of `token68` (RFC 9110), which is what stands behind `Bearer`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    Some(metadata.mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    const TEXT: &str =
        "# those of the team\nviewer aaaaaaaaaaaaaaaa\n\n  admin\tbbbbbbbbbbbbbbbb=\nworker  cccccccccccccccc\n";

    #[test]
    fn roles_include_each_other_but_for_workers() {
        let allowed = |role: Role| Role::ALL.map(|needed| role.allows(needed));
        assert_eq!(allowed(Role::Viewer), [true, false, false, false]);
        assert_eq!(allowed(Role::Deployer), [true, true, false, false]);
        assert_eq!(allowed(Role::Admin), [true, true, true, false]);
        assert_eq!(allowed(Role::Worker), [false, false, false, true]);
    }

    #[test]
    fn tokens_are_found_and_never_shown() {
        let tokens = Tokens::parse(TEXT).expect("it is well-formed");
        let role = |token| tokens.find(token).map(|known| known.role);
        assert_eq!(role("aaaaaaaaaaaaaaaa"), Some(Role::Viewer));
        assert_eq!(role("bbbbbbbbbbbbbbbb="), Some(Role::Admin));
        assert_eq!(role("cccccccccccccccc"), Some(Role::Worker));
        for wrong in ["", "aaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaa", "AAAAAAAAAAAAAAAA"] {
            assert_eq!(role(wrong), None);
        }
        assert_eq!(format!("{tokens:?}"), "Tokens(3)");
    }

    #[test]
    fn wrong_lines_are_named_by_number_only() {
        let check = |text: &str, expect: &str| {
            let why = Tokens::parse(text).expect_err("it is wrong");
            assert!(why.contains(expect), "{why}");
            assert!(!why.contains("secret"), "{why}");
        };
        check("", "there is no token");
        check("viewer", "line 1: it is not `ROLE TOKEN`");
        check("# x\nsecretrole secretsecretsecret", "line 2: its role");
        check("viewer secret", "line 1: a token is 16 to 256");
        check("viewer secret secretsecretsecret", "line 1: a token is 16 to 256");
        check("viewer secretsecretsecret\nadmin secretsecretsecret", "line 2: this token has a line already");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("there is room");
        fs::write(&file, TEXT).expect("there is room");
        let with_mode = |mode| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("it is ours");
            Tokens::read(file.path()).map(|tokens| tokens.0.len()).map_err(|error| error.to_string())
        };
        assert_eq!(with_mode(0o600), Ok(3));
        assert_eq!(with_mode(0o400), Ok(3));
        for mode in [0o640, 0o604, 0o622, 0o644] {
            assert!(with_mode(mode).is_err_and(|message| message.contains("others may read it")));
        }
        assert!(Tokens::read(Path::new("/nowhere/at/all")).is_err());
        assert!(Tokens::read(Path::new("/")).is_err());
    }
}
