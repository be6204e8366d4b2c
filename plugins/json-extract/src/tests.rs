//! Values out of small texts.

use wasmill_sdk::{Row, Timestamp, testing::Harness};

use super::*;

#[derive(Row, Debug, Clone, PartialEq)]
struct Event {
    n: i64,
    payload: Option<String>,
}

fn open(config: &str) -> Result<Harness<JsonExtract>, String> {
    Harness::<JsonExtract>::setup().config(config).input::<Event>().open()
}

fn event(payload: &str) -> Event {
    Event { n: 1, payload: Some(payload.to_owned()) }
}

const USER: &str = r#"{
    "column": "payload",
    "fields": {
        "id": { "type": "int64" },
        "mail": { "path": "user.mails[1]", "type": "utf8" },
        "score": { "path": "$.user.score", "type": "float64" },
        "ok": { "path": "ok", "type": "boolean" },
        "at": { "path": "at", "type": "timestamp" },
        "user": { "path": "user", "type": "json" }
    },
    "invalid": "null"
}"#;

#[derive(Row, Debug, Clone, PartialEq, Default)]
struct User {
    id: Option<i64>,
    mail: Option<String>,
    score: Option<f64>,
    ok: Option<bool>,
    at: Option<Timestamp>,
    user: Option<String>,
}

/// What comes of texts, each in a call of its own or all in one.
fn users(payloads: &[&str]) -> Vec<User> {
    let mut one = open(USER).expect("it opens");
    let mut all = open(USER).expect("it opens");
    for payload in payloads {
        one.process([event(payload)]).expect("no row fails");
        one.replace_instance().expect("it opens again");
    }
    all.process(payloads.iter().map(|payload| event(payload))).expect("no row fails");
    let users = all.take::<User>("out");
    assert_eq!(one.take::<User>("out"), users);
    users
}

#[test]
fn values_are_found_where_the_paths_lead() {
    let text =
        r#"{"x":[{"id":9}],"at":"1970-01-01T00:00:01Z","id":7,"ok":true,"user":{"score":2,"mails":["a","b\u00e9"]}}"#;
    let expect = User {
        id: Some(7),
        mail: Some("bé".to_owned()),
        score: Some(2.0),
        ok: Some(true),
        at: Some(Timestamp(1000)),
        user: Some(r#"{"score":2,"mails":["a","bé"]}"#.replace("é", "\\u00e9")),
    };
    assert_eq!(users(&[text]), [expect]);
}

#[test]
fn what_is_not_there_or_null_is_null() {
    let nothing = User::default();
    for text in ["{}", "[]", "1", "\"id\"", "null", r#"{"id":null,"user":null,"at":null}"#, r#"{"ID":1}"#] {
        assert_eq!(users(&[text]), std::slice::from_ref(&nothing), "{text}");
    }
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    let id = |text: &str| users(&[&format!(r#"{{"id":{text}}}"#)])[0].id;
    assert_eq!([id("1.0"), id("1e3"), id("-0.0")], [Some(1), Some(1000), Some(0)]);
    assert_eq!([id("9223372036854775807"), id("-9223372036854775808")], [Some(i64::MAX), Some(i64::MIN)]);
    assert_eq!([id("9223372036854775808"), id("1.5"), id("\"1\""), id("1e300")], [None; 4]);
    assert_eq!([id("true"), id("[1]"), id("{}")], [None; 3]);
}

#[test]
fn of_several_members_of_one_name_the_last_counts() {
    let user = users(&[r#"{"id":1,"user":{"score":1,"mails":["",""]},"id":2,"user":{"mails":["a"]}}"#]);
    let expect = User { id: Some(2), user: Some(r#"{"mails":["a"]}"#.to_owned()), ..User::default() };
    assert_eq!(user, [expect]);
}

#[test]
fn invalid_text_gives_nulls_or_fails_with_its_row() {
    let broken = ["", "{", r#"{"id":1} x"#, r#"{"id":01}"#, r#"{"id":1,}"#, "{'id':1}", r#"{"id":"\ud800"}"#, "NaN"];
    for text in broken {
        assert_eq!(users(&[text]), [User::default()], "{text}");
        let mut harness = open(&USER.replace(r#""null""#, r#""reject""#)).expect("it opens");
        let failure = harness.process([event("{}"), event(text)]).expect_err(text);
        assert_eq!(failure.row, Some(1));
        assert!(failure.message.starts_with("column `payload`: no JSON: "), "{}", failure.message);
    }
    let mut harness = open(&USER.replace(r#""null""#, r#""reject""#)).expect("it opens");
    let failure = harness.process([event(r#"{"id":"x"}"#)]).expect_err("a string is no number");
    assert_eq!(failure.message, "column `payload`: field `id` is no int64");
    harness.process([Event { n: 1, payload: None }]).expect("a null has no fields");
    assert_eq!(harness.take::<User>("out"), [User::default()]);
}

#[test]
fn required_fields_hold_no_nulls() {
    #[derive(Row, Debug, PartialEq)]
    struct Id {
        n: i64,
        id: i64,
    }
    for invalid in ["null", "reject"] {
        let config = format!(
            r#"{{"column":"payload","invalid":"{invalid}","fields":{{"id":{{"type":"int64","required":true}}}}}}"#
        );
        let mut harness = open(&config).expect("it opens");
        harness.process([event(r#"{"id":3}"#)]).expect("it is there");
        assert_eq!(harness.take::<Id>("out"), [Id { n: 1, id: 3 }]);
        for row in [event("{}"), event(r#"{"id":null}"#), Event { n: 1, payload: None }] {
            let failure = harness.process([event(r#"{"id":3}"#), row]).expect_err("it is missing");
            let expect = (Some(1), "column `payload`: field `id` is missing");
            assert_eq!((failure.row, failure.message.as_str()), expect);
        }
    }
}

#[test]
fn one_path_may_lie_in_another() {
    #[derive(Row, Debug, PartialEq)]
    struct Parts {
        all: Option<String>,
        a: Option<String>,
        b: Option<i64>,
        again: Option<f64>,
    }
    let config = r#"{"column":"payload","invalid":"null","fields":{"all":{"path":"$","type":"json"},
        "a":{"type":"json"},"b":{"path":"a.b","type":"int64"},"again":{"path":"a.b","type":"float64"}}}"#;
    let mut harness = open(config).expect("it opens");
    harness.process([event(r#"{"a":{"b":5}}"#), event(r#" [1] "#)]).expect("no row fails");
    let first = Parts {
        all: Some(r#"{"a":{"b":5}}"#.to_owned()),
        a: Some(r#"{"b":5}"#.to_owned()),
        b: Some(5),
        again: Some(5.0),
    };
    let second = Parts { all: Some("[1]".to_owned()), a: None, b: None, again: None };
    assert_eq!(harness.take::<Parts>("out"), [first, second]);
}

#[test]
fn text_nested_deeply_does_no_harm() {
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let text = format!(r#"{{"id":1,"x":{}}}"#, deep(50_000));
    assert_eq!(users(&[&text])[0].id, Some(1));
    assert_eq!(users(&[&deep(50_000)]), [User::default()]);
}

#[test]
fn wrong_settings_are_refused_before_the_job_starts() {
    let check = |config: &str, message: &str| assert_eq!(open(config).expect_err(message), message);
    check(r#"{"fields":{}}"#, "`column` is missing");
    check(r#"{"column":"payload","fields":{}}"#, "`fields` names no field");
    check(r#"{"column":"n","fields":{}}"#, "column `n` is int64, expected utf8");
    let field = |inner: &str| format!(r#"{{"column":"payload","fields":{{"a":{inner}}}}}"#);
    check(&field("{}"), "fields: a: `type` is missing");
    check(
        &field(r#"{"type":"text"}"#),
        "fields: a: type: expected one of int64, float64, timestamp, boolean, utf8, json, found \"text\"",
    );
    check(&field(r#"{"type":"utf8","paht":"x"}"#), "fields: a: unknown key `paht`; known keys: path, type, required");
    check(
        &field(r#"{"type":"utf8","path":"a."}"#),
        "fields.a.path: `a.`: a name is empty; `[\"\"]` is the member whose name is",
    );
}
