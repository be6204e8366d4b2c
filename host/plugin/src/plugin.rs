//! A plugin: a compiled component, linked to what it may import and checked to export the contract. Made once, started
//! often.

use std::{fmt, sync::Arc};

use wasmill_model::fault::{Code, Coded};
use wasmtime::component::{
    Component, ComponentExportIndex, InstancePre, Linker,
    types::{ComponentFunc, ComponentItem},
};

use crate::{
    binding::{arguments, descriptor, reply},
    capsule::Recorder,
    digest::Digest,
    engine::Engine,
    guest::{self, Guest},
    wasi,
};

/// The interface a plugin exports. One of another 0.1 version is taken as well.
const GUEST: &str = "wasmill:operator/guest@0.1.0";

/// The package of the contract, and its interfaces that have functions.
const CONTRACT: &str = "wasmill:operator/";
const IMPORTABLE: [&str; 6] = ["clock", "data", "description", "log", "metrics", "state"];

/// A component that cannot be used as a plugin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not use plugin {digest}: it imports {}, which an operator cannot have", imports.join(", "))]
    Imports { digest: Digest, imports: Vec<String> },
    #[error("could not use plugin {digest}: it does not export `{GUEST}`")]
    NoGuest { digest: Digest },
    #[error("could not use plugin {digest}: its export `{GUEST}` has no function `{function}`")]
    NoFunction { digest: Digest, function: &'static str },
    #[error("could not use plugin {digest}: its function `{function}` is not the contract's: {reason}")]
    Signature { digest: Digest, function: &'static str, reason: String },
    #[error("could not compile plugin {digest}: {reason}")]
    Compile { digest: Digest, reason: String },
    #[error("could not use plugin {digest}: could not link it: {reason}")]
    Link { digest: Digest, reason: String },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Imports { .. } => Code::ImportNotGranted,
            Self::NoGuest { .. } | Self::NoFunction { .. } | Self::Signature { .. } | Self::Link { .. } => {
                Code::Interface
            }
            Self::Compile { .. } => Code::Feature,
        }
    }
}

/// A compiled component, ready to be started. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
    recorder: Option<Arc<Recorder>>,
}

struct Inner {
    engine: Engine,
    digest: Digest,
    pre: InstancePre<Guest>,
    exports: Exports,
}

/// Where the functions of `guest` are. Each has been found to have the type of the contract.
pub(crate) struct Exports {
    pub(crate) describe: ComponentExportIndex,
    pub(crate) open: ComponentExportIndex,
    pub(crate) process: ComponentExportIndex,
    pub(crate) on_timers: ComponentExportIndex,
    pub(crate) on_notice: ComponentExportIndex,
}

impl Plugin {
    /// A plugin of a component that `engine` compiled or loaded. The digest is of the component's bytes.
    pub fn from_component(engine: &Engine, component: &Component, digest: Digest) -> Result<Self, Error> {
        let linker = link(engine, component, digest)?;
        let pre =
            linker.instantiate_pre(component).map_err(|error| Error::Link { digest, reason: format!("{error:#}") })?;
        let exports = check_exports(&pre, digest)?;
        Ok(Self { inner: Arc::new(Inner { engine: engine.clone(), digest, pre, exports }), recorder: None })
    }

    /// The same plugin, of whose instances failed calls are saved.
    pub fn recorded_by(self, recorder: Recorder) -> Self {
        Self { recorder: Some(Arc::new(recorder)), ..self }
    }

    /// Compiles the component in this process, for tests and benches. Strangers' components go by `PluginStore`: a few
    /// kilobytes can keep a compiler busy for minutes, or make it panic.
    pub fn compile(engine: &Engine, wasm: &[u8]) -> Result<Self, Error> {
        let digest = Digest::of(wasm);
        let component = Component::from_binary(engine.wasmtime(), wasm);
        let component = component.map_err(|error| Error::Compile { digest, reason: format!("{error:#}") })?;
        Self::from_component(engine, &component, digest)
    }

    /// Of the component's bytes.
    pub fn digest(&self) -> Digest {
        self.inner.digest
    }

    pub(crate) fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.recorder.as_ref()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn pre(&self) -> &InstancePre<Guest> {
        &self.inner.pre
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.inner.exports
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("digest", &self.inner.digest).finish_non_exhaustive()
    }
}

/// Offers the component exactly what it imports, or lists all that it cannot have.
fn link(engine: &Engine, component: &Component, digest: Digest) -> Result<Linker<Guest>, Error> {
    let engine = engine.wasmtime();
    let mut linker = Linker::new(engine);
    let mut refused = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = &import.ty else {
            refused.push(format!("`{name}`"));
            continue;
        };
        let wasi = wasi::parse(name);
        let contract = own_interface(name);
        if wasi.is_none() && contract.is_none() {
            refused.push(format!("`{name}`"));
            continue;
        }
        let failed = |error: wasmtime::Error| Error::Link { digest, reason: format!("{name}: {error:#}") };
        let mut at = linker.instance(name).map_err(failed)?;
        for (item_name, item) in instance.exports(engine) {
            let offered = match (wasi, contract, &item.ty) {
                (Some(interface), ..) => wasi::offer(&mut at, interface, item_name, &item.ty),
                (_, Some(interface), ComponentItem::ComponentFunc(_)) => guest::offer(&mut at, interface, item_name),
                (.., item) => Ok(matches!(item, ComponentItem::Type(_))),
            };
            if !offered.map_err(failed)? {
                refused.push(format!("`{name}#{item_name}`"));
            }
        }
    }
    if refused.is_empty() { Ok(linker) } else { Err(Error::Imports { digest, imports: refused }) }
}

/// The interface of an import such as `wasmill:operator/log@0.1.0`, if it may be imported.
pub(crate) fn own_interface(import: &str) -> Option<&str> {
    let (interface, version) = import.strip_prefix(CONTRACT)?.split_once('@')?;
    (IMPORTABLE.contains(&interface) && version.starts_with("0.1.")).then_some(interface)
}

/// The one type check: calls rely on it.
fn check_exports(pre: &InstancePre<Guest>, digest: Digest) -> Result<Exports, Error> {
    let component = pre.component();
    let (_, guest) = component.get_export(None, GUEST).ok_or(Error::NoGuest { digest })?;
    let function = |name: &'static str| match component.get_export(Some(&guest), name) {
        Some((ComponentItem::ComponentFunc(function), index)) => Ok((function, index)),
        _ => Err(Error::NoFunction { digest, function: name }),
    };
    let check =
        |name, (function, index): (ComponentFunc, ComponentExportIndex), result: wasmtime::Result<()>| match result {
            _ if function.async_() => Err(Error::Signature { digest, function: name, reason: "it is async".into() }),
            Ok(()) => Ok(index),
            Err(error) => Err(Error::Signature { digest, function: name, reason: format!("{error:#}") }),
        };
    let types = pre.instance_type();
    macro_rules! checked {
        ($name:literal, $params:ty, $result:ty) => {{
            let found = function($name)?;
            let result = found.0.typecheck::<$params, $result>(&types);
            check($name, found, result)?
        }};
    }
    Ok(Exports {
        describe: checked!("describe", descriptor::Params<'static>, descriptor::Results),
        open: checked!("open", descriptor::OpenParams<'static>, descriptor::OpenResults),
        process: checked!("process", arguments::Process<'static>, reply::Results),
        on_timers: checked!("on-timers", arguments::OnTimers<'static>, reply::Results),
        on_notice: checked!("on-notice", arguments::OnNotice, reply::Results),
    })
}
