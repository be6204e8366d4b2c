//! Components that are well-formed and hold nothing but imports: interfaces with types of all kinds, within one another, with
//! names of any length, used again and again.

use std::fmt::Write as _;

use crate::random::Random;

const PRIMITIVES: [&str; 12] = ["bool", "u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "string"];

/// Names of interfaces: granted ones, the contract's, and others.
const INTERFACES: [&str; 8] = [
    "wasi:io/streams@0.2.6",
    "wasi:cli/stdout@0.2.0",
    "wasi:http/types@0.2.10",
    "wasmill:operator/log@0.1.0",
    "wasmill:operator/metrics@0.1.9",
    "wasmill:operator/guest@0.1.0",
    "wasmill:operator/guest@0.9.0",
    "else:where/door@1.0.0",
];

/// A component with some imports.
pub(super) fn component(random: &mut Random) -> Vec<u8> {
    let mut text = "(component ".to_owned();
    let first = random.below(INTERFACES.len());
    for place in 0..=random.below(3) {
        let name = INTERFACES[(first + place) % INTERFACES.len()];
        let import = interface(random);
        write!(text, "(import \"{name}\" (instance {import}))").expect("a string takes all that is written");
    }
    text.push(')');
    // What the text form refuses is text, and refused too.
    wat::parse_str(&text).unwrap_or_else(|_| text.into_bytes())
}

/// Types, each of which may use those before it, and functions over them.
fn interface(random: &mut Random) -> String {
    let mut text = String::new();
    let mut names: Vec<String> = PRIMITIVES.map(str::to_owned).into();
    for place in 0..random.below(12) {
        let made = compound(&names, random);
        let name = format!("{}{place}", "n".repeat(length(random)));
        write!(text, "(type $r{place} {made})(export \"{name}\" (type $t{place} (eq $r{place})))")
            .expect("a string takes all that is written");
        names.push(format!("$t{place}"));
        // The last are the deepest.
        names.push(format!("$t{place}"));
    }
    for place in 0..random.below(8) {
        let params: String =
            (0..random.below(6)).map(|i| format!("(param \"p{i}\" {})", random.pick(&names))).collect();
        let result = if random.once_in(2) { format!("(result {})", random.pick(&names)) } else { String::new() };
        write!(text, "(export \"f{place}\" (func {params} {result}))").expect("a string takes all that is written");
    }
    text
}

fn length(random: &mut Random) -> usize {
    if random.once_in(30) { random.below(20_000) } else { 1 + random.below(20) }
}

fn compound(names: &[String], random: &mut Random) -> String {
    let parts = |random: &mut Random, form: &dyn Fn(usize, &str) -> String| -> String {
        (0..=random.below(5)).map(|place| form(place, random.pick(names).as_str())).collect()
    };
    let one = random.pick(names).clone();
    match random.below(9) {
        0 => format!("(list {one})"),
        1 => format!("(option {one})"),
        2 => format!("(result {one} (error {}))", random.pick(names)),
        3 => format!("(tuple {})", parts(random, &|_, ty| format!("{ty} "))),
        4 => format!("(variant {})", parts(random, &|place, ty| format!("(case \"c{place}\" {ty})"))),
        5 => format!("(enum {})", parts(random, &|place, _| format!("\"e{place}\" "))),
        6 => format!("(flags {})", parts(random, &|place, _| format!("\"b{place}\" "))),
        7 => {
            let name = "f".repeat(length(random));
            format!("(record (field \"{name}\" {one}))")
        }
        _ => format!("(record {})", parts(random, &|place, ty| format!("(field \"f{place}\" {ty})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_are_well_formed() {
        let good = (0..200).filter(|&number| component(&mut Random::new(3, number)).starts_with(b"\0asm")).count();
        assert!(good > 150, "{good} of 200");
    }
}
