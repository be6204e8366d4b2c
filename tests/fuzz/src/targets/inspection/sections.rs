//! Changes of a component's binary form that keep most of it readable: they work on whole sections.

use std::ops::Range;

use crate::{mutate, random::Random};

/// Bytes before the first section.
const HEAD: usize = 8;

/// Sections of a component whose content is a module, or another component.
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// A section: where it begins, and where its content lies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    id: u8,
    start: usize,
    content: Range<usize>,
}

/// The sections from `start` on, as far as they can be told apart.
fn sections(bytes: &[u8]) -> Vec<Section> {
    let mut found = Vec::new();
    let mut at = HEAD;
    while let Some(&id) = bytes.get(at) {
        let Some((length, after)) = number(bytes, at + 1) else { break };
        let Some(end) = after.checked_add(length).filter(|&end| end <= bytes.len()) else { break };
        found.push(Section { id, start: at, content: after..end });
        at = end;
    }
    found
}

/// The LEB128 number at a place, and where it ends.
fn number(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value as usize, at));
        }
    }
    None
}

fn section(id: u8, length: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    let mut rest = length;
    loop {
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            break;
        }
        bytes.push(low | 0x80);
    }
    bytes.extend_from_slice(content);
    bytes
}

/// Changes one section. `other`: another component, to take sections from.
pub(super) fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let found = sections(input);
    if found.is_empty() {
        return mutate::bytes(input, other, random);
    }
    let Section { id, start, content } = random.pick(&found).clone();
    let whole = start..content.end;
    match random.below(8) {
        0 => drop(input.drain(whole)),
        1 => {
            let copy = input[whole].to_vec();
            let to = random.pick(&found).start;
            input.splice(to..to, copy);
        }
        2 => {
            let copy: Vec<u8> = input.drain(whole).collect();
            let to = random.pick(&found).start.min(input.len());
            input.splice(to..to, copy);
        }
        3 => {
            let length = match random.below(3) {
                0 => (content.len() as u64).wrapping_add(1 + random.below(8) as u64),
                1 => (content.len() as u64).wrapping_sub(1 + random.below(8) as u64),
                _ => random.odd_number(),
            };
            let lie = section(id, length, &input[content]);
            input.splice(whole, lie);
        }
        4 => {
            let theirs = sections(other);
            if !theirs.is_empty() {
                let theirs = random.pick(&theirs);
                input.splice(start..start, other[theirs.start..theirs.content.end].iter().copied());
            }
        }
        5 => input[start] = random.below(16) as u8,
        _ => {
            let mut inner = input[content].to_vec();
            if [CORE_MODULE, COMPONENT].contains(&id) && !random.once_in(4) {
                change(&mut inner, other, random);
            } else {
                mutate::bytes(&mut inner, other, random);
            }
            let changed = section(id, inner.len() as u64, &inner);
            input.splice(whole, changed);
        }
    }
}

/// Puts a component in, between two sections.
pub(super) fn insert(input: &mut Vec<u8>, part: &[u8], random: &mut Random) {
    let found = sections(input);
    let at = if found.is_empty() { input.len() } else { random.pick(&found).start };
    let whole = section(COMPONENT, part.len() as u64, part);
    input.splice(at..at, whole);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_told_apart_and_put_together() {
        let component = wasmill_hostile::template::component("").expect("it is a component");
        let found = sections(&component);
        assert!(found.len() > 5 && found.iter().any(|section| section.id == CORE_MODULE));
        assert_eq!(found.last().map(|last| last.content.end), Some(component.len()));
        let mut same = component[..HEAD].to_vec();
        for Section { id, content, .. } in found {
            same.extend(section(id, content.len() as u64, &component[content]));
        }
        // Numbers can be written longer than need be.
        assert_eq!(sections(&same).len(), sections(&component).len());
    }

    #[test]
    fn what_is_no_component_is_changed_all_the_same() {
        for number in 0..100 {
            let mut input = b"\0asm".to_vec();
            change(&mut input, b"", &mut Random::new(1, number));
        }
    }
}
