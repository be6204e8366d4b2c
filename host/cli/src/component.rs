//! What a client must know of a component to upload it: its digest, and the name and version it wants to have.

use std::{fmt::Write, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use wasmill_model::manifest::{self, Manifest};

/// Digits of the digest in the version of a component that says none.
const VERSION_DIGITS: usize = 12;

/// Characters of a plugin's name, at most.
const NAME_MAX: usize = 63;

/// A component, read.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) bytes: Vec<u8>,
    digest: [u8; 32],
    manifest: Manifest,
}

impl Component {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes).into();
        // Whether the manifest is as it should be is for the server to say.
        let manifest = section(&bytes, manifest::SECTION).and_then(|json| Manifest::parse(json).ok());
        Self { bytes, digest, manifest: manifest.unwrap_or_default() }
    }

    /// `sha256:` and 64 hexadecimal digits.
    pub(crate) fn digest(&self) -> String {
        format!("sha256:{}", self.digits())
    }

    fn digits(&self) -> String {
        self.digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string succeeds");
            text
        })
    }

    /// As the header `Content-Digest` has it (RFC 9530).
    pub(crate) fn content_digest(&self) -> String {
        format!("sha-256=:{}:", STANDARD.encode(self.digest))
    }

    /// The name its manifest gives it, or one made of its file's.
    pub(crate) fn name(&self, file: &Path) -> String {
        self.manifest.name.clone().filter(|name| name.len() <= NAME_MAX).unwrap_or_else(|| name_of(file))
    }

    /// The version its manifest gives it, or one made of its digest.
    pub(crate) fn version(&self) -> String {
        self.manifest.version.clone().unwrap_or_else(|| format!("0.0.0-{}", self.short_digest()))
    }

    /// A version like this one that nothing else has: what is built anew while its version stays.
    pub(crate) fn version_beside(&self, version: &str) -> String {
        let separator = if version.contains('-') { '.' } else { '-' };
        // What follows a `+` is of no account, and would come before the rest.
        let version = version.split('+').next().unwrap_or_default();
        format!("{version}{separator}dev.{}", self.short_digest())
    }

    /// The first digits of the digest. As the part of a version it may not be a number with a zero before it: it is longer
    /// then, by as many digits as it takes to have a letter.
    fn short_digest(&self) -> String {
        let digits = self.digits();
        let is_bad = |text: &str| text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        let len = (VERSION_DIGITS..=digits.len()).find(|len| !is_bad(&digits[..*len]));
        digits[..len.unwrap_or(digits.len())].to_owned()
    }
}

/// A plugin's name made of a file's: what a name cannot have becomes `-`.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let known = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let name: String = stem.chars().map(known).take(NAME_MAX).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "plugin".to_owned() } else { name.to_owned() }
}

/// The content of the custom section of this name in a WebAssembly file. None if there is none, or the file is none.
fn section<'a>(bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = bytes.strip_prefix(b"\0asm")?.get(4..)?;
    while let [id, behind @ ..] = rest {
        let (size, behind) = number(behind)?;
        let content = behind.get(..size)?;
        rest = &behind[size..];
        if *id != 0 {
            continue;
        }
        let (len, text) = number(content)?;
        if text.get(..len)? == name.as_bytes() {
            return Some(&text[len..]);
        }
    }
    None
}

/// A number of 32 bits as WebAssembly writes it, and what follows.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(u32::try_from(value).ok()?).ok()?, &bytes[place + 1..]));
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A component that is nothing but its manifest.
    pub(crate) fn wasm(manifest: Option<&str>) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        bytes.extend([1, 2, 9, 9]);
        if let Some(json) = manifest {
            let mut content = vec![manifest::SECTION.len() as u8];
            content.extend(manifest::SECTION.bytes().chain(json.bytes()));
            bytes.push(0);
            let len = content.len();
            bytes.extend([(len & 0x7f) as u8 | 0x80, (len >> 7) as u8]);
            bytes.extend(content);
        }
        bytes
    }

    #[test]
    fn a_component_is_called_as_its_manifest_says() {
        let component = Component::new(wasm(Some(r#"{"name":"fraud-score","version":"1.2.0"}"#)));
        assert_eq!((component.name(Path::new("x.wasm")), component.version()), ("fraud-score".into(), "1.2.0".into()));
        let short = &component.digest()[7..19];
        assert_eq!(component.version_beside("1.2.0"), format!("1.2.0-dev.{short}"));
        assert_eq!(component.version_beside("1.2.0-rc.1+7"), format!("1.2.0-rc.1.dev.{short}"));
    }

    #[test]
    fn a_component_without_a_manifest_is_called_after_its_file_and_its_digest() {
        for bytes in
            [wasm(None), wasm(Some("{\"name\": 7}")), b"\0asm".to_vec(), b"\0asm\0\0\0\0\0\xff".to_vec(), vec![]]
        {
            let component = Component::new(bytes);
            assert_eq!(component.version(), format!("0.0.0-{}", &component.digest()[7..19]));
            assert_eq!(component.name(Path::new("/a/Rust_Plain.wasm")), "rust-plain");
        }
        let name = |file: &str| name_of(Path::new(file));
        assert_eq!(
            [name("__.wasm"), name("é b.wasm"), name(&"a".repeat(80))],
            ["plugin".into(), "b".into(), "a".repeat(63)]
        );
    }

    #[test]
    fn digests_are_those_that_others_compute() {
        let component = Component::new(b"abc".to_vec());
        let expect = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(component.digest(), expect);
        assert_eq!(component.content_digest(), "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:");
    }

    #[test]
    fn a_version_never_ends_in_a_number_with_a_zero_before_it() {
        let mut component = Component::new(Vec::new());
        component.digest = [0x01; 32];
        component.digest[7] = 0xab;
        assert_eq!(component.version(), "0.0.0-01010101010101a");
        component.digest[0] = 0x11;
        assert_eq!(component.version(), "0.0.0-110101010101");
    }
}
