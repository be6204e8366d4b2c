//! Plugins that only a program writes: small or large ones that are dear to read, compile or load.

use std::fmt::Write as _;

use anyhow::Result;

use crate::template;

/// The innermost of nested loops over many locals: compilers work out which of them live where.
pub fn loops(depth: usize) -> Result<Vec<u8>> {
    const LOCALS: usize = 200;
    let mut text = format!("(func (param i32) (result i32) (local{})", " i32".repeat(LOCALS));
    for at in 0..depth {
        let (to, from) = (at % LOCALS + 1, at * 7 % LOCALS + 1);
        write!(text, "(loop (local.set {to} (i32.add (local.get {from}) (local.get {})))", (to * 3) % LOCALS + 1)?;
    }
    for at in 0..depth {
        write!(text, "(br_if 0 (local.get {})))", at * 11 % LOCALS + 1)?;
    }
    text.push_str("(local.get 1))");
    template::component(&text)
}

/// One function with many calls, across which many values must be kept.
pub fn calls(count: usize) -> Result<Vec<u8>> {
    const LOCALS: usize = 200;
    let mut text = "(func $next (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))".to_owned();
    write!(text, "(func (param i32) (result i32) (local{})", " i32".repeat(LOCALS))?;
    for at in 0..count {
        writeln!(text, "(local.set {} (call $next (local.get {})))", at % LOCALS + 1, at * 7 % LOCALS + 1)?;
    }
    template::component(&(text + "(local.get 1))"))
}

/// Many functions.
pub fn functions(count: usize) -> Result<Vec<u8>> {
    template::component(&"(func (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))\n".repeat(count))
}

/// One branch with many targets.
pub fn branches(count: usize) -> Result<Vec<u8>> {
    template::component(&format!("(func (param i32) (block (br_table {} (local.get 0))))", "0 ".repeat(count)))
}

/// A type of 2 to the `depth` bytes.
pub fn tuples(depth: usize) -> Result<Vec<u8>> {
    let mut text = "(component (type $t0 (tuple u8 u8))".to_owned();
    for at in 0..depth {
        write!(text, "(type $t{} (tuple $t{at} $t{at}))", at + 1)?;
    }
    template::component(&(text + ")"))
}

/// Lists of lists, and so on.
pub fn lists(depth: usize) -> Result<Vec<u8>> {
    let mut text = "(component (type $t0 (list u8))".to_owned();
    for at in 0..depth {
        write!(text, "(type $t{} (list $t{at}))", at + 1)?;
    }
    template::component(&(text + ")"))
}

/// Components within components.
pub fn nested(depth: usize) -> Vec<u8> {
    const HEAD: [u8; 8] = [0, b'a', b's', b'm', 13, 0, 1, 0];
    let mut inner = HEAD.to_vec();
    for _ in 0..depth {
        let mut outer = HEAD.to_vec();
        section(&mut outer, 4, &inner);
        inner = outer;
    }
    inner
}

/// A good component with this many more core instances, each with a memory.
pub fn instances(count: usize) -> Result<Vec<u8>> {
    let mut bytes = template::component("")?;
    let modules = wasmill_plugin::inspect::inspect(&bytes)?.modules;
    let module = wat::parse_str("(module (memory 1))")?;
    section(&mut bytes, 1, &module);
    let mut list = Vec::new();
    number(&mut list, count);
    for _ in 0..count {
        list.push(0);
        number(&mut list, modules as usize);
        list.push(0);
    }
    section(&mut bytes, 2, &list);
    Ok(bytes)
}

/// A good component with so many bytes in a custom section.
pub fn custom(name: &str, size: usize) -> Result<Vec<u8>> {
    let mut bytes = template::component("")?;
    let mut content = Vec::new();
    number(&mut content, name.len());
    content.extend_from_slice(name.as_bytes());
    content.resize(content.len() + size, 0x1b);
    section(&mut bytes, 0, &content);
    Ok(bytes)
}

fn section(to: &mut Vec<u8>, id: u8, content: &[u8]) {
    to.push(id);
    number(to, content.len());
    to.extend_from_slice(content);
}

/// LEB128.
fn number(to: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return to.push(low);
        }
        to.push(low | 0x80);
    }
}
