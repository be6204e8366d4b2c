//! The forms that names in requests have. None can be a path: what is stored is addressed by digest, and no name reaches a
//! file system.

use wasmill_model::fault::Code;
use wasmill_rest::Problem;

/// The form of a part of a path or of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Of a plugin: `[a-z0-9][a-z0-9-]{0,62}`.
    Name,
    /// Of a plugin: `[0-9A-Za-z.+-]{1,64}`, beginning with a letter or digit.
    Version,
    /// `sha256:` and 64 hexadecimal digits, small letters.
    Digest,
    /// `job-7`.
    Job,
    /// `taskmanager-3`.
    Worker,
    /// `job-7.cancel`, `job-7.stop`.
    Operation,
    /// Of compiled code: `[0-9A-Za-z][0-9A-Za-z_-]{0,127}`.
    Key,
    /// The name of an error: `[a-z0-9-]{1,64}`.
    Code,
    /// `vertex.port`.
    Edge,
    /// `[0-9A-Za-z_-]{1,63}`.
    Savepoint,
}

impl Form {
    /// The form of a part of a path, by what the route calls it.
    #[must_use]
    pub fn of(parameter: &str) -> Option<Self> {
        Some(match parameter {
            "name" => Self::Name,
            "version" => Self::Version,
            "digest" => Self::Digest,
            "job" => Self::Job,
            "worker" => Self::Worker,
            "operation" => Self::Operation,
            "key" => Self::Key,
            "code" => Self::Code,
            "edge" => Self::Edge,
            "savepoint" => Self::Savepoint,
            _ => return None,
        })
    }

    /// What names of this form look like.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Name => "1 to 63 of a-z, 0-9 and -, the first no -",
            Self::Version => "1 to 64 of letters, digits, ., + and -, the first a letter or digit",
            Self::Digest => "sha256: and 64 hexadecimal digits in small letters",
            Self::Job => "job- and a number",
            Self::Worker => "taskmanager- and a number",
            Self::Operation => "a job, a point, and cancel or stop",
            Self::Key => "1 to 128 of letters, digits, _ and -, the first a letter or digit",
            Self::Code => "1 to 64 of a-z, 0-9 and -",
            Self::Edge => "a vertex, a point and a port",
            Self::Savepoint => "1 to 63 of letters, digits, - and _",
        }
    }

    #[must_use]
    pub fn fits(self, text: &str) -> bool {
        match self {
            Self::Name => is_name(text, 63),
            Self::Version => {
                let known = |byte: u8| byte.is_ascii_alphanumeric() || b".+-".contains(&byte);
                (1..=64).contains(&text.len()) && text.bytes().all(known) && text.as_bytes()[0].is_ascii_alphanumeric()
            }
            Self::Digest => text.strip_prefix("sha256:").is_some_and(|hex| {
                hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            }),
            Self::Job => is_numbered(text, "job-"),
            Self::Worker => is_numbered(text, "taskmanager-"),
            Self::Operation => text
                .split_once('.')
                .is_some_and(|(job, kind)| is_numbered(job, "job-") && matches!(kind, "cancel" | "stop")),
            Self::Key => {
                let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
                (1..=128).contains(&text.len()) && text.bytes().all(known) && text.as_bytes()[0].is_ascii_alphanumeric()
            }
            Self::Code => is_name(text, 64),
            Self::Savepoint => {
                let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
                (1..=63).contains(&text.len()) && text != "-" && text.bytes().all(known)
            }
            Self::Edge => {
                let part = |part: &str| (1..=128).contains(&part.len()) && !part.contains(char::is_control);
                text.split_once('.').is_some_and(|(vertex, port)| part(vertex) && part(port))
            }
        }
    }

    pub(crate) fn check(self, what: &str, text: &str) -> Result<(), Problem> {
        if self.fits(text) {
            return Ok(());
        }
        let shown: String = text.chars().take(80).collect();
        let detail = format!("could not take `{}` for {what}: it is to be {}", shown.escape_debug(), self.about());
        Err(Problem::new(400, Code::RequestMalformed, detail))
    }
}

fn is_name(text: &str, max: usize) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=max).contains(&text.len()) && text.bytes().all(known) && text.as_bytes()[0] != b'-'
}

/// An id as it is printed: no sign, no leading zero, within 64 bits.
fn is_numbered(text: &str, prefix: &str) -> bool {
    let number = text.strip_prefix(prefix);
    number.is_some_and(|digits| digits.parse::<u64>().is_ok_and(|number| number.to_string() == digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nobody may pass anywhere.
    const HOSTILE: [&str; 14] =
        ["", ".", "..", "../x", "a/b", "a\\b", "a\0", "a b", "/etc/passwd", "a\n", "\u{e9}", "C:", "%2e%2e", "-"];

    #[track_caller]
    fn check(form: Form, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(form.fits(text), "{form:?} takes {text:?}");
        }
        for text in bad.iter().chain(&HOSTILE) {
            assert!(!form.fits(text), "{form:?} refuses {text:?}");
        }
    }

    #[test]
    fn forms_take_what_they_say_and_no_more() {
        let (long, longer) = ("a".repeat(63), "a".repeat(129));
        let digest = format!("sha256:{}", "0f".repeat(32));
        check(Form::Name, &["a", "0", "word-count", "a-", &long], &["A", "-a", "a.b", "a_b", &longer]);
        check(Form::Savepoint, &["a", "before-v2", "Job_7", &long], &["a.b", "a/b", &longer]);
        check(Form::Version, &["1", "1.2.3-rc.1+5", "v1", "A"], &[".1", "+1", "1/2", "1:2", &longer]);
        check(Form::Digest, &[&digest], &["sha256:", &digest[..70], &digest.to_uppercase(), &format!("{digest}0")]);
        check(Form::Job, &["job-0", "job-7", "job-18446744073709551615"], &["job-", "job--1", "job-+1", "job-07", "7"]);
        check(Form::Worker, &["taskmanager-1"], &["taskmanager-", "worker-1", "taskmanager-1x"]);
        check(Form::Operation, &["job-7.cancel", "job-7.stop"], &["job-7", "job-7.", "job-7.run", "job-x.stop"]);
        check(Form::Key, &["0f_A-"], &["a.b", &longer]);
        check(Form::Code, &["not-found"], &["Not", &longer]);
        for good in ["a.out", "count.late"] {
            assert!(Form::Edge.fits(good));
        }
        for bad in ["", "a", ".a", "a.", "a.\n", "a\0.b"] {
            assert!(!Form::Edge.fits(bad));
        }
    }
}
