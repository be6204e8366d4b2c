//! The engine: how guest code is compiled, where its memory lives, and the clock that interrupts it.
//!
//! A process that runs operators has one, in `Mode::Pooling`. The worker child that inspects and compiles has one in
//! `Mode::OnDemand`: the pool reserves terabytes of address space, which the child's own limits refuse. What either
//! compiles, the other loads, because everything that decides how code is made is set in one place, `config`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use wasmill_model::{
    fault::{Code, Coded},
    limits,
};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, RegallocAlgorithm};

/// How often a running guest can be interrupted. Deadlines are counted in these.
pub const TICK: Duration = Duration::from_millis(2);

/// Address space kept for one linear memory. With the guard behind it no access of a 32-bit guest needs a check.
const MEMORY_RESERVATION: u64 = 4 << 30;
const MEMORY_GUARD: u64 = 32 << 20;

/// Guest stack. Host functions run on the rest of the thread's stack, of which they need at most 256 KiB.
const STACK_BYTES: usize = 512 << 10;

/// Core instances of one component. Components of one language's own parts have 2 to 4; CPython brings a hundred and more,
/// one for each extension module.
pub(crate) const CORE_INSTANCES_PER_COMPONENT: u32 = 512;

/// Memories and tables of one component, and tables of one of its modules. The limiter of each instance sums them: many
/// memories have no more than one.
pub(crate) const MEMORIES_PER_COMPONENT: u32 = 4;
pub(crate) const TABLES_PER_COMPONENT: u32 = 16;
pub(crate) const TABLES_PER_MODULE: u32 = 8;

/// The defaults of `EngineOptions`: what a limit may be, an instance can have.
pub(crate) const MEMORY_BYTES_MAX: u64 = limits::MEMORY_BYTES_MAX;
pub(crate) const TABLE_ELEMENTS_MAX: u32 = limits::TABLE_ELEMENTS_MAX as u32;

/// Core instances in the pool for each component instance in it. They are small, so that plenty is cheap.
const CORE_INSTANCES_AVERAGE: u32 = 8;

/// Tables in the pool for each component instance in it: the guest's own and the one that its imports go by.
const TABLES_AVERAGE: u32 = 4;

/// Bytes of each table that are zeroed by hand when its instance goes; what is beyond goes back to the system. Few tables
/// are larger, and giving back memory of a process interrupts all its threads.
const TABLE_KEEP_RESIDENT: usize = 4 << 10;

/// The same of each linear memory.
const MEMORY_KEEP_RESIDENT: usize = 256 << 10;

/// Where instances get their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// From slots reserved beforehand: an instance starts in microseconds.
    Pooling,
    /// From the operating system, at each start.
    OnDemand,
}

/// How much care the compiler takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    Optimized,
    /// One pass over each function, in time that grows with its length only; for components that the optimizing
    /// compiler does not finish in time. Code it made is loaded by any engine.
    Baseline,
}

/// What an engine is made of.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    pub mode: Mode,
    /// Instances that can live at one time. `Pooling` only; each reserves 4 GiB of address space and no memory.
    pub pool_instances: u32,
    /// Bytes that any linear memory may grow to, whatever the limits of its instance. At most 4 GiB.
    pub memory_bytes_max: u64,
    /// Elements that any table may grow to, whatever the limits of its instance.
    pub table_elements_max: u32,
    /// What `Engine` compiles with.
    pub tier: Tier,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Pooling,
            pool_instances: 8_192,
            memory_bytes_max: MEMORY_BYTES_MAX,
            table_elements_max: TABLE_ELEMENTS_MAX,
            tier: Tier::Optimized,
        }
    }
}

/// An engine could not be made.
#[derive(Debug, thiserror::Error)]
#[error("could not make an engine for {} instances in mode {:?}: {reason}", options.pool_instances, options.mode)]
pub struct Error {
    options: EngineOptions,
    reason: String,
}

impl Coded for Error {
    fn code(&self) -> Code {
        Code::SystemResources
    }
}

/// Compiles, loads and runs guest code. Cheap to clone; its clock stops when the last clone goes.
#[derive(Clone)]
pub struct Engine {
    mode: Mode,
    inner: wasmtime::Engine,
    ticker: Arc<Ticker>,
}

impl Engine {
    /// An engine and its clock.
    pub fn new(options: &EngineOptions) -> Result<Self, Error> {
        let failed = |reason: String| Error { options: options.clone(), reason };
        let inner = wasmtime::Engine::new(&config(options)).map_err(|error| failed(format!("{error:#}")))?;
        let ticker =
            Ticker::start(inner.clone()).map_err(|error| failed(format!("its clock did not start: {error}")))?;
        Ok(Self { mode: options.mode, inner, ticker: Arc::new(ticker) })
    }

    /// Time since the engine was made, as of its last tick: for what is measured in every call.
    pub(crate) fn elapsed_at_tick(&self) -> Duration {
        Duration::from_nanos(self.ticker.shared.ticked_at_ns.load(Ordering::Relaxed))
    }

    /// Time since the engine was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.ticker.shared.started.elapsed()
    }

    /// Ticks of its clock since it was made.
    pub(crate) fn ticks(&self) -> u64 {
        self.ticker.shared.ticks.load(Ordering::Relaxed)
    }

    /// The wasmtime engine, for the modules of this crate.
    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Everything that decides how code is compiled and run. Only what `options` names may differ between two engines that
/// exchange compiled code.
fn config(options: &EngineOptions) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(false)
        // Costs 240 ns a call, and nothing of the contract is asynchronous.
        .concurrency_support(false)
        .max_wasm_stack(STACK_BYTES)
        .memory_reservation(MEMORY_RESERVATION)
        .memory_guard_size(MEMORY_GUARD)
        .memory_may_move(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    match options.tier {
        Tier::Optimized => config.cranelift_opt_level(OptLevel::Speed),
        Tier::Baseline => {
            config.cranelift_opt_level(OptLevel::None).cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass)
        }
    };
    config.allocation_strategy(match options.mode {
        Mode::OnDemand => InstanceAllocationStrategy::OnDemand,
        Mode::Pooling => InstanceAllocationStrategy::Pooling(pool(options)),
    });
    config
}

fn pool(options: &EngineOptions) -> PoolingAllocationConfig {
    let instances = options.pool_instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_AVERAGE).max(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(TABLES_AVERAGE))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_tables_per_module(TABLES_PER_MODULE)
        .max_memory_size(usize::try_from(options.memory_bytes_max.min(MEMORY_RESERVATION)).expect("4 GiB fit usize"))
        .table_elements(options.table_elements_max as usize)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        // Only what was written is zeroed, which the kernel knows; where it cannot say, the first bytes are.
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(100);
    pool
}

/// The thread that advances the engine's epoch.
struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    started: Instant,
    ticked_at_ns: AtomicU64,
    ticks: AtomicU64,
    stop: AtomicBool,
}

impl Ticker {
    fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let (ticked_at_ns, ticks) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { started: Instant::now(), ticked_at_ns, ticks, stop: AtomicBool::new(false) });
        let clock = Arc::clone(&shared);
        let run = move || {
            while !clock.stop.load(Ordering::Relaxed) {
                thread::park_timeout(TICK);
                let elapsed = u64::try_from(clock.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                clock.ticked_at_ns.store(elapsed, Ordering::Relaxed);
                clock.ticks.fetch_add(1, Ordering::Relaxed);
                engine.increment_epoch();
            }
        };
        let thread = thread::Builder::new().name("guest-clock".into()).stack_size(64 << 10).spawn(run)?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only counts: it cannot have panicked.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Component;

    use super::*;

    const COMPONENT: &str = r#"(component
        (core module $m
            (memory (export "memory") 1)
            (func (export "f") (result i32) (i32.load (i32.const 8))))
        (core instance $i (instantiate $m))
        (func (export "f") (result u32) (canon lift (core func $i "f"))))"#;

    fn engine(mode: Mode, tier: Tier) -> Engine {
        Engine::new(&EngineOptions { mode, tier, pool_instances: 10, ..EngineOptions::default() }).expect("an engine")
    }

    #[test]
    #[allow(unsafe_code)]
    fn code_compiled_on_demand_loads_into_a_pool() {
        let wasm = wat::parse_str(COMPONENT).expect("a component");
        let pooling = engine(Mode::Pooling, Tier::Optimized);
        for tier in [Tier::Optimized, Tier::Baseline] {
            let code = engine(Mode::OnDemand, tier).wasmtime().precompile_component(&wasm).expect("it compiles");
            // SAFETY: the bytes come from the compiler, one line above.
            let loaded = unsafe { Component::deserialize(pooling.wasmtime(), &code) };
            if let Err(error) = loaded {
                panic!("{tier:?}: {error:#}");
            }
        }
    }

    #[test]
    fn dropping_the_last_clone_ends_the_clock() {
        let first = engine(Mode::OnDemand, Tier::Optimized);
        let weak = Arc::downgrade(&first.ticker);
        let second = first.clone();
        drop(first);
        assert!(weak.upgrade().is_some());
        drop(second);
        assert!(weak.upgrade().is_none());
    }
}
