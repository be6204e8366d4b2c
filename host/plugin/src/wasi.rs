//! WASI 0.2 without an outside: what the standard libraries of languages import, answered from the call alone.
//!
//! No environment, no arguments, no files; standard input is at its end, output and error are the log; the clocks show the
//! time of the call; random numbers follow from a seed and the number of the call; all waiting is over at once. So a call
//! that is run again does the same again.
//!
//! What is offered is what a component imports, under the version it imports: any function of the five packages that
//! has no answer here may be imported, and traps when it is called. (Nothing can be done with a file or a stream that
//! nobody can get.)

use wasmtime::{
    StoreContextMut,
    component::{LinkerInstance, ResourceType, types::ComponentItem},
};

use crate::guest::Guest;

mod cli;
mod clocks;
mod io;
mod random;

/// The packages that may be imported, in any 0.2 version.
const PACKAGES: [&str; 5] = ["cli", "clocks", "filesystem", "io", "random"];

/// A guest that ended itself by `wasi:cli/exit`.
#[derive(Debug, thiserror::Error)]
#[error("the guest exited with status {0}")]
pub(crate) struct Exit(pub(crate) u8);

/// A guest that called what has no answer in here.
#[derive(Debug, thiserror::Error)]
#[error("the guest called {0}, which an operator cannot use")]
pub(crate) struct NotOffered(String);

/// Package and interface of an import such as `wasi:io/streams@0.2.6`, if it is one of WASI that may be imported.
pub(crate) fn parse(import: &str) -> Option<(&str, &str)> {
    let (package, rest) = import.strip_prefix("wasi:")?.split_once('/')?;
    let (interface, version) = rest.split_once('@')?;
    (PACKAGES.contains(&package) && version.starts_with("0.2.")).then_some((package, interface))
}

/// Offers one item that a component imports of one interface; false if it is no function and no resource.
pub(crate) fn offer(
    at: &mut LinkerInstance<'_, Guest>,
    (package, interface): (&str, &str),
    name: &str,
    item: &ComponentItem,
) -> wasmtime::Result<bool> {
    match item {
        ComponentItem::Type(_) => Ok(true),
        ComponentItem::Resource(_) => {
            // Resources hold nothing in the host: the number in a handle says all, if there ever is a handle.
            at.resource(name, resource(name), |mut cx: StoreContextMut<'_, Guest>, _| {
                cx.data_mut().handles.dropped();
                Ok(())
            })?;
            Ok(true)
        }
        ComponentItem::ComponentFunc(_) => {
            let known = match package {
                "cli" => cli::offer(at, interface, name)?,
                "clocks" => clocks::offer(at, interface, name)?,
                "io" => io::offer(at, interface, name)?,
                "random" => random::offer(at, interface, name)?,
                _ => false,
            };
            if !known {
                let path = format!("wasi:{package}/{interface}#{name}");
                match (interface, name) {
                    ("preopens", "get-directories") => at.func_wrap(name, |_, ()| Ok((no_directories(),)))?,
                    _ => at.func_new(name, move |_, _, _, _| Err(NotOffered(path.clone()).into()))?,
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn no_directories() -> Vec<(wasmtime::component::Resource<Descriptor>, String)> {
    Vec::new()
}

/// The host's type for a resource of this name: one for all interfaces and versions, so that they fit together.
fn resource(name: &str) -> ResourceType {
    match name {
        "error" => ResourceType::host::<io::IoError>(),
        "pollable" => ResourceType::host::<io::Pollable>(),
        "input-stream" => ResourceType::host::<io::InputStream>(),
        "output-stream" => ResourceType::host::<io::OutputStream>(),
        "terminal-input" => ResourceType::host::<cli::TerminalInput>(),
        "terminal-output" => ResourceType::host::<cli::TerminalOutput>(),
        "descriptor" => ResourceType::host::<Descriptor>(),
        "directory-entry-stream" => ResourceType::host::<DirectoryEntryStream>(),
        _ => ResourceType::host::<Unknown>(),
    }
}

/// An open file. There is none.
enum Descriptor {}
/// A folder being listed. There is none.
enum DirectoryEntryStream {}
/// A resource that WASI 0.2 did not have when this was written. There is none.
enum Unknown {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_told_apart() {
        let check = |import, expect| assert_eq!(parse(import), expect, "{import}");
        check("wasi:io/streams@0.2.6", Some(("io", "streams")));
        check("wasi:filesystem/types@0.2.12", Some(("filesystem", "types")));
        check("wasi:io/streams@0.3.0", None);
        check("wasi:io/streams@0.20.0", None);
        check("wasi:io/streams", None);
        check("wasi:sockets/tcp@0.2.6", None);
        check("wasi:http/types@0.2.6", None);
        check("evil:io/streams@0.2.6", None);
    }
}
