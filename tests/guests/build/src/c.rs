//! C by clang and wasi-libc: bindings from the contract, a core module, and a component of it with the preview 1 adapter.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_bindgen_core::{Files, wit_parser::Resolve};
use wit_component::ComponentEncoder;

use crate::{Folders, run_tool};

/// What the system's package manager calls the tool chain.
const PACKAGES: [&str; 4] = ["clang", "lld", "wasi-libc", "libclang-rt-dev-wasm32"];

pub(crate) fn build(folders: &Folders, source: &Path) -> Result<Vec<u8>> {
    let work = folders.work("c-plain")?;
    write_bindings(&folders.wit, &work)?;
    if !tool_chain_works(&work) {
        install_tool_chain()?;
    }
    let core = work.join("core.wasm");
    run_tool(
        clang()
            .args([
                "-O2",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-Wno-unused-parameter",
                "-mexec-model=reactor",
                "-Wl,--strip-debug",
            ])
            .arg("-I")
            .arg(&work)
            .args([source.join("operator.c"), work.join("operator.c"), work.join("operator_component_type.o")])
            .arg("-o")
            .arg(&core),
    )?;
    let component = ComponentEncoder::default()
        .module(&fs::read(&core)?)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?
        .validate(true)
        .encode()
        .context("could not make a component of the core module")?;
    Ok(component)
}

/// Writes `operator.h`, `operator.c` and `operator_component_type.o`.
fn write_bindings(wit: &Path, folder: &Path) -> Result<()> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).context("could not read the contract")?;
    let world = resolve.select_world(&[package], Some("operator"))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    for (name, bytes) in files.iter() {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

fn clang() -> Command {
    let mut clang = Command::new("clang");
    clang.arg("--target=wasm32-wasi");
    clang
}

/// Whether a program that uses the C library links.
fn tool_chain_works(work: &Path) -> bool {
    let probe = work.join("probe.c");
    let text = "#include <stdlib.h>\nvoid *probe(void) { return malloc(8); }\n";
    fs::write(&probe, text).is_ok()
        && run_tool(clang().arg("-mexec-model=reactor").arg(&probe).arg("-o").arg(work.join("probe.wasm"))).is_ok()
}

fn install_tool_chain() -> Result<()> {
    let sentence = format!("the C tool chain is missing; install the packages {} by hand", PACKAGES.join(", "));
    eprintln!("installing {}", PACKAGES.join(", "));
    run_tool(Command::new("apt-get").args(["update", "-qq"])).context(sentence.clone())?;
    run_tool(
        Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(PACKAGES)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
    .context(sentence)
}
