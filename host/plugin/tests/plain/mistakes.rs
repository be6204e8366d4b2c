//! Answers that the contract does not allow: each is refused, and said what it is.

use wasmill_model::reply::TimeDomain;
use wasmill_plugin::CallError;

use crate::fixture::{AT, Setup, cells, groups, rows};

/// Mode, and what is wrong.
const REFUSED: &[(&str, &str)] = &[
    ("port", "port 9 of 6"),
    ("port-twice", "port `pass`: it is named twice"),
    ("other-input", "port `other`: rows of input 0, but it emits those of input 1"),
    ("pass-extend", "port `pass`: `extend`, which a port of shape `pass` cannot do"),
    ("pass-replace", "port `pass`: `replace`, which a port of shape `pass` cannot do"),
    ("extend-unchanged", "port `extend`: `unchanged`, which a port of shape `extend` cannot do"),
    ("key-keep", "port `key`: `keep`, which a port of shape `key` cannot do"),
    ("new-take", "port `new`: `take`, which a port of shape `new` cannot do"),
    ("keep-length", "port `pass`: `keep`: a bitmap of 2 bytes for 3 bits"),
    ("keep-spare", "port `pass`: `keep`: a bitmap with bits set beyond its 3"),
    ("take-length", "port `pass`: `take`: 5 bytes, which are no whole number of 4-byte values"),
    ("take-row", "port `pass`: `take`: row 3 of 3"),
    ("extend-take-row", "port `extend`: `take`: row 7 of 3"),
    ("extend-missing", "port `extend`: column `t` is missing"),
    ("extend-twice", "port `extend`: column `n` is given twice"),
    ("extend-index", "port `extend`: column 2 of 2 that it adds"),
    ("values-length", "port `extend`: column `n` (int64): 2 values for 3 rows"),
    ("values-odd", "port `extend`: column `n` (int64): 23 bytes, which are no whole number of 8-byte values"),
    ("offsets-none", "port `extend`: column `t` (utf8): no offsets, which utf8 needs"),
    ("offsets-given", "port `extend`: column `n` (int64): offsets, which int64 has none of"),
    (
        "offsets-length",
        "port `extend`: column `t` (utf8): 3 offsets for 3 values, which need one more than there are values",
    ),
    ("offsets-start", "port `extend`: column `t` (utf8): the first offset is 1, not 0"),
    ("offsets-fall", "port `extend`: column `t` (utf8): offset 2 is 1, below the 2 before it"),
    ("offsets-end", "port `extend`: column `t` (utf8): the offsets end at 4, the values at 3"),
    ("offsets-short", "port `extend`: column `t` (utf8): the offsets end at 3, the values at 4"),
    ("utf8", "port `extend`: column `t` (utf8): value 1 is not UTF-8"),
    ("utf8-split", "port `extend`: column `t` (utf8): value 0 is not UTF-8"),
    ("null", "port `extend`: column `n` (int64): 1 nulls, in a column that has none"),
    ("validity-length", "port `new`: column `b` (boolean): validity: a bitmap of 2 bytes for 3 bits"),
    ("validity-spare", "port `new`: column `b` (boolean): validity: a bitmap with bits set beyond its 3"),
    ("boolean-length", "port `new`: column `b` (boolean): a bitmap of 2 bytes for 3 bits"),
    ("boolean-spare", "port `new`: column `b` (boolean): a bitmap with bits set beyond its 3"),
    ("replace-columns", "port `new`: 1 columns of 2"),
    ("replace-times", "port `new`: event times, which the port's rows do not have"),
    ("replace-no-times", "port `timed`: no event times, which the port's rows have"),
    ("replace-times-length", "port `timed`: event times: 2 values for 3 rows"),
    ("entry-cell", "entries of cell 9, which it did not declare"),
    ("entry-value", "entries of cell `count` (value): it has a value only"),
    ("entry-put-list", "entries of cell `l` (list): `put`, which is for maps"),
    ("entry-append-map", "entries of cell `m` (map): `append`, which is for lists"),
    ("entry-group", "entries of cell `m` (map): group 2 of 2"),
    ("entry-no-sub-keys", "entries of cell `m` (map): no sub-keys, which it needs"),
    ("entry-no-values", "entries of cell `m` (map): no values, which it needs"),
    ("entry-sub-keys-length", "entries of cell `m` (map): sub-keys (int64): 1 values for 2 rows"),
    ("entry-null", "entries of cell `m` (map): values (int64): 1 nulls, in a column that has none"),
    ("entry-clear-values", "entries of cell `m` (map): values, which it has no use for"),
    ("cells", "updates for 1 of 2 value cells"),
    ("cell-length", "cell `count` (int64): 1 values for 2 rows"),
    ("cell-type", "cell `count` (int64): offsets, which int64 has none of"),
    ("cell-marks", "cell `count` (int64): marked groups: a bitmap of 0 bytes for 2 bits"),
    ("cell-marked-length", "cell `count` (int64): 1 values for 2 rows"),
    ("timer-group", "timers: group 2 of 2"),
    ("timer-times", "timers: 1 times for 2 groups"),
    ("timer-odd", "timers: 7 bytes, which are no whole number of 8-byte values"),
];

#[test]
fn answers_that_break_a_rule_are_refused() {
    for (mode, expect) in REFUSED {
        let mut opened = Setup::new(&format!("bad:{mode}")).start().unwrap();
        match opened.process_keyed() {
            Err(CallError::BadReply { function: "process", what }) => assert_eq!(what, *expect, "{mode}"),
            other => panic!("{mode}: {other:?}"),
        }
        assert!(!opened.instance.is_dead());
    }
}

#[test]
fn bytes_behind_a_null_are_nobodys_business() {
    let reply = Setup::new("bad:null-garbage").start().unwrap().process_keyed().unwrap();
    assert_eq!(reply.emissions.len(), 1);
}

#[test]
fn a_bad_answer_says_which_function_gave_it() {
    let mut opened = Setup::new("bad:timer-pass").start().unwrap();
    let mut due = rows(&[1]);
    due.columns.remove(0);
    let reply = opened.instance.on_timers(AT, TimeDomain::EventTime, &due, &groups(1, &[0]), &cells(&[None]));
    let expect = "the operator answered `on-timers` with what the contract does not allow: port `pass`: \
                  a port of shape `pass` cannot emit timers";
    assert_eq!(reply.unwrap_err().to_string(), expect);
}
