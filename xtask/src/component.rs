//! The little that is told about a finished component (its size, its digest, what of WASI it asks for), and what is added to it.

use sha2::{Digest, Sha256};

/// Bytes of a component's first eight: magic, then layer 1 (a component) instead of layer 0 (a module).
const HEADER: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];
/// The number of the import section in a component.
const IMPORTS: u8 = 10;
/// The number of a section that is for tools.
const CUSTOM: u8 = 0;

/// The component with one more custom section behind all others.
pub(crate) fn with_section(mut bytes: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let mut section = length(name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(data);
    bytes.push(CUSTOM);
    bytes.extend(length(section.len()));
    bytes.extend(section);
    bytes
}

/// A length as sections and names begin with: what `leb128` reads.
fn length(mut left: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// SHA-256 in hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The WASI interfaces that a component imports; an error says why the bytes are no component.
pub(crate) fn wasi_imports(bytes: &[u8]) -> Result<Vec<String>, &'static str> {
    let mut rest = bytes.strip_prefix(&HEADER).ok_or("it is not a component")?;
    let mut names = Vec::new();
    while let Some((&id, after)) = rest.split_first() {
        let (length, after) = leb128(after).ok_or("a section has no length")?;
        let (section, after) = after.split_at_checked(length).ok_or("a section is cut off")?;
        if id == IMPORTS {
            names.extend(names_in(section));
        }
        rest = after;
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Every `wasi:...` name in an import section. All text there is names, so nothing else can look like one.
fn names_in(section: &[u8]) -> impl Iterator<Item = String> {
    let starts = section.windows(5).enumerate().filter(|(_, window)| window == b"wasi:").map(|(start, _)| start);
    starts.map(|start| {
        let is_name = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b":/@.-".contains(byte);
        section[start..].iter().take_while(|byte| is_name(byte)).map(|&byte| char::from(byte)).collect()
    })
}

/// An unsigned number of at most 32 bits, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (place, &byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[place + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        for (id, content) in sections {
            bytes.push(*id);
            bytes.push(u8::try_from(content.len()).expect("the test's sections are short"));
            bytes.extend_from_slice(content);
        }
        bytes
    }

    #[test]
    fn finds_imports_and_nothing_else() {
        let import = b"\x02\x00\x14wasi:cli/exit@0.2.6\x05\x00\x00\x19wasmill:operator/log@0.1.0\x05\x01".as_slice();
        let bytes = component(&[(0, b"wasi:io/poll@0.2.6"), (IMPORTS, import), (IMPORTS, import)]);
        assert_eq!(wasi_imports(&bytes), Ok(vec!["wasi:cli/exit@0.2.6".to_owned()]));
        assert_eq!(wasi_imports(&component(&[])), Ok(vec![]));
    }

    #[test]
    fn a_section_is_added_behind_the_others() {
        let made = with_section(component(&[]), "name", &[7; 200]);
        let (head, data) = made.split_at(made.len() - 200);
        assert_eq!(head, [&HEADER[..], &[CUSTOM, 0xcd, 0x01, 4], b"name"].concat());
        assert_eq!(data, [7; 200]);
        assert_eq!(leb128(&length(300)), Some((300, &[][..])));
    }

    #[test]
    fn what_is_no_component_is_refused() {
        assert_eq!(wasi_imports(b"\0asm\x01\0\0\0"), Err("it is not a component"));
        let mut cut = component(&[(IMPORTS, b"abc")]);
        cut.pop();
        assert_eq!(wasi_imports(&cut), Err("a section is cut off"));
        cut.truncate(HEADER.len() + 1);
        assert_eq!(wasi_imports(&cut), Err("a section has no length"));
    }

    #[test]
    fn digest_is_sha_256_in_hex() {
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
