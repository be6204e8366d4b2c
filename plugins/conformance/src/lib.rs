//! The standard operators in the real host: what the tests and the bench beside this have in common.

mod driver;

use std::sync::Arc;

pub use driver::{Cuts, Driver, Row};

use wasmill_model::{
    DataType, Field, Schema,
    descriptor::{Context, Descriptor, Input},
};
use wasmill_plugin::{CallTime, Engine, EngineOptions, Instance, InstanceOptions, Interrupt, Limits, Plugin, describe};

/// When all calls are made.
pub const AT: CallTime = CallTime { now_ms: 1_700_000_000_000, watermark: 0 };

/// The bytes of an operator as `cargo xtask plugins` left it.
pub fn component(name: &str) -> Vec<u8> {
    let path = format!("{}/../../target/wasm32-wasip2/plugin/plugin_{name}.wasm", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}; run `cargo xtask plugins` first"))
}

/// An input of these columns, the key first.
pub fn input(columns: &[(&str, DataType)], key: Option<&str>) -> Input {
    let field = |&(name, data_type): &(&str, DataType)| Field::new(name, data_type);
    let schema = Schema::new(columns.iter().map(field).collect()).expect("different names");
    Input { schema, key: key.map(|name| vec![name.into()]), event_times: false }
}

/// A component, compiled.
pub fn compile(name: &str) -> Plugin {
    let engine = Engine::new(&EngineOptions::default()).expect("an engine");
    Plugin::compile(&engine, &component(name)).expect("a plugin")
}

/// An opened instance, and what it said it is.
pub fn start(name: &str, config: &str, input: Input) -> (Instance, Descriptor) {
    let plugin = compile(name);
    let descriptor = describe(&plugin, Limits::default(), config, std::slice::from_ref(&input));
    let descriptor = descriptor.expect("it describes itself");
    (instance(&plugin, name, config, input, &descriptor), descriptor)
}

/// An opened instance of a component that has described itself so.
pub fn instance(plugin: &Plugin, name: &str, config: &str, input: Input, descriptor: &Descriptor) -> Instance {
    let context = Context {
        job: "conformance".into(),
        operator: name.into(),
        subtask: 0,
        parallelism: 1,
        config: config.into(),
        inputs: vec![input],
        extra: Vec::new(),
    };
    let options = InstanceOptions {
        limits: Limits::default(),
        context,
        descriptor: descriptor.clone(),
        log: Arc::new(|line| panic!("{line:?}")),
        seed: 0,
        now_ms: AT.now_ms,
        entries: None,
        interrupt: Interrupt::default(),
    };
    let mut instance = plugin.instantiate(options).expect("it starts");
    instance.open().expect("it opens");
    instance
}
