//! Changes of bytes that know nothing of what the bytes mean.

use crate::random::Random;

/// Changes of one input, at most: more leave nothing of it.
const CHANGES_MAX: usize = 6;

/// Changes some bytes. `other`: what pieces are taken from.
pub fn bytes(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(CHANGES_MAX) {
        once(input, other, random);
    }
}

fn once(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    if input.is_empty() {
        let count = random.below(16);
        input.extend(random.bytes(count));
        return;
    }
    let at = random.below(input.len());
    match random.below(9) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = random.draw() as u8,
        2 => input[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
        3 => overwrite(input, at, &(random.odd_number() as u32).to_le_bytes()),
        4 => overwrite(input, at, &random.odd_number().to_le_bytes()),
        5 => {
            input.drain(at..(at + 1 + random.below(32)).min(input.len()));
        }
        6 => {
            let piece = piece(input, random).to_vec();
            input.splice(at..at, piece);
        }
        7 => input.truncate(at),
        _ => {
            let piece = piece(other, random).to_vec();
            let end = if random.once_in(2) { at } else { (at + piece.len()).min(input.len()) };
            input.splice(at..end, piece);
        }
    }
}

fn overwrite(input: &mut [u8], at: usize, with: &[u8]) {
    input[at..].iter_mut().zip(with).for_each(|(to, from)| *to = *from);
}

fn piece<'a>(of: &'a [u8], random: &mut Random) -> &'a [u8] {
    if of.is_empty() {
        return of;
    }
    let start = random.below(of.len());
    let length = 1 + random.below(64);
    &of[start..(start + length).min(of.len())]
}
