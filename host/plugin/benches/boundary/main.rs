//! What a call costs: operators on bare bindings beside the same work done natively, 1,024 rows of 8 columns a call.
//!
//! Measured is the processor time of the thread, so that neighbours on the machine are not. Divide by 1,024 for a row.

use std::{hint::black_box, sync::Arc, time::Duration};

use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, StringViewArray, builder::StringViewBuilder, cast::AsArray,
};
use criterion::{
    Criterion, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use rustix::time::{ClockId, clock_gettime};
use wasmill_model::{
    Batch,
    reply::{Groups, Outcome, Reply},
};

mod operators;

use operators::{AT, Operator, bids};

const ROWS: usize = 1_024;

/// As in the product: glibc's takes large vectors from the kernel each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Processor time of the calling thread.
struct ThreadTime(WallTime);

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.try_into().expect("below a second"))
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        self.0.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self.0.formatter()
    }
}

/// The rows that a reply leaves; none: those of the call, which the caller has.
fn apply(batch: &Batch, reply: Reply) -> Option<Batch> {
    match reply.emissions.into_iter().next().expect("one port").rows {
        Outcome::Unchanged => None,
        Outcome::Keep(mask) => Some(batch.keep(&mask)),
        Outcome::Extend { take: None, columns } => Some(with(batch, columns)),
        Outcome::Replace(batch) => Some(batch),
        other => panic!("{other:?}"),
    }
}

fn with(batch: &Batch, columns: Vec<ArrayRef>) -> Batch {
    let mut batch = batch.clone();
    batch.columns.extend(columns.into_iter().map(Some));
    batch
}

fn numbers(batch: &Batch) -> &Int64Array {
    batch.column(0).as_primitive::<Int64Type>()
}

mod native {
    use super::*;

    pub(crate) fn keep(batch: &Batch) -> Batch {
        let mask: BooleanArray = numbers(batch).values().iter().map(|n| Some(n & 1 == 0)).collect();
        batch.keep(&mask)
    }

    pub(crate) fn map(batch: &Batch) -> Batch {
        let twice = numbers(batch).values().iter().map(|n| n.wrapping_mul(2));
        with(batch, vec![Arc::new(Int64Array::from_iter_values(twice))])
    }

    pub(crate) fn count(groups: &Groups, state: &Int64Array) -> Int64Array {
        let mut counts = state.values().to_vec();
        groups.of_row.iter().for_each(|&group| counts[group as usize] += 1);
        counts.into()
    }

    pub(crate) fn rewrite(batch: &Batch) -> Batch {
        let column = |(place, column): (usize, &ArrayRef)| -> ArrayRef {
            match column.as_primitive_opt::<Int64Type>() {
                Some(numbers) => {
                    let numbers = numbers.values().iter().map(|&n| if place == 2 { n * 9 / 10 } else { n });
                    Arc::new(Int64Array::from_iter_values(numbers))
                }
                None => {
                    let texts: &StringViewArray = column.as_string_view();
                    let mut made = StringViewBuilder::with_capacity(texts.len()).with_fixed_block_size(1 << 17);
                    for text in texts.iter().flatten() {
                        made.append_value(text.strip_prefix("https://").unwrap_or(text));
                    }
                    Arc::new(made.finish())
                }
            }
        };
        let mut made = Batch::new(batch.rows, batch.columns.iter().flatten().enumerate().map(column).collect());
        made.event_times = batch.event_times.clone();
        made
    }
}

/// The same work without a boundary.
type Native = fn(&Batch) -> Batch;

fn calls(criterion: &mut Criterion<ThreadTime>) {
    let batch = bids(ROWS);
    let mut group = criterion.benchmark_group("call");
    group.throughput(Throughput::Elements(ROWS as u64));
    let natives: [(&str, Native); 4] =
        [("pass", Batch::clone), ("keep", native::keep), ("map", native::map), ("rewrite", native::rewrite)];
    for (mode, native) in natives {
        let mut operator = Operator::start(mode);
        group.bench_function(format!("{mode}/guest"), |b| {
            b.iter(|| apply(&batch, operator.instance.process(AT, 0, &batch, None, &[]).expect("a good reply")));
        });
        group.bench_function(format!("{mode}/native"), |b| b.iter(|| native(black_box(&batch))));
    }
    let (groups, state) = operators::groups(ROWS);
    let mut operator = Operator::start("count-one");
    group.bench_function("count/guest", |b| {
        b.iter(|| operator.instance.process(AT, 0, &batch, Some(&groups), &state[..1]).expect("a good reply"));
    });
    let counts = state[0].as_primitive::<Int64Type>();
    group.bench_function("count/native", |b| b.iter(|| native::count(black_box(&groups), black_box(counts))));
    group.finish();

    let mut group = criterion.benchmark_group("one_row");
    let one = bids(1);
    for mode in ["pass", "map"] {
        let mut operator = Operator::start(mode);
        group.bench_function(mode, |b| {
            b.iter(|| apply(&one, operator.instance.process(AT, 0, &one, None, &[]).expect("a good reply")));
        });
    }
    group.finish();
}

fn starts(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("start");
    group.bench_function("instantiate", |b| b.iter(|| Operator::instantiate("keep")));
    group.bench_function("instantiate_and_open", |b| b.iter(|| Operator::start("keep")));
    let batch = bids(256);
    group.bench_function("instantiate_open_and_call_256", |b| {
        b.iter(|| Operator::start("keep").instance.process(AT, 0, &batch, None, &[]).expect("a good reply"));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime(WallTime)).warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2)).sample_size(50);
    targets = calls, starts
}
criterion_main!(benches);
