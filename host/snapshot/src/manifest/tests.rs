//! Manifests are read as they were written, or not at all.

use serde_json::json;

use super::*;

fn hash(digit: char) -> Hash {
    digit.to_string().repeat(HASH_DIGITS).parse().expect("it is one")
}

fn file(name: &str, key_groups: Range<u32>, kind: Kind, checkpoint: u64) -> SnapshotFile {
    let name = format!("cluster-1/job-7/files/{checkpoint}/count/{name}.redb").parse().expect("it is a name");
    SnapshotFile { name, bytes: 45_056, blake3: hash('a'), key_groups, kind, checkpoint: CheckpointId(checkpoint) }
}

fn manifest() -> Manifest {
    let state = StateSchema {
        id: 1,
        name: "count".to_owned(),
        kind: "value".to_owned(),
        key: Vec::new(),
        columns: Vec::new(),
        cells: Vec::new(),
    };
    let source = Vertex {
        name: "orders".to_owned(),
        parallelism: 2,
        plugin: None,
        schema: Vec::new(),
        files: Vec::new(),
        subtasks: vec![Subtask {
            subtask: 1,
            position: Some(json!({ "file": "a", "byte": 7 })),
            transaction: None,
            unfinished: None,
            left_behind: false,
            ended: false,
        }],
    };
    let operator = Vertex {
        name: "count".to_owned(),
        parallelism: 2,
        plugin: Some("sha256:00".to_owned()),
        schema: vec![state],
        files: vec![
            file("0-a", 0..8, Kind::Full, 40),
            file("1-b", 8..16, Kind::Full, 40),
            file("0-c", 0..8, Kind::Delta, 41),
        ],
        subtasks: Vec::new(),
    };
    Manifest {
        version: VERSION,
        cluster: "cluster-1".to_owned(),
        job: JobId(7),
        checkpoint: CheckpointId(u64::MAX),
        parent: Some(CheckpointId(41)),
        savepoint: None,
        time_ms: 1_700_000_000_000,
        engine: "0.1.0".to_owned(),
        key_groups: 16,
        job_file: JobFile::from("[job]\nname = \"wörds\"\n".to_owned()),
        vertices: vec![source, operator],
    }
}

fn written(manifest: &Manifest) -> String {
    String::from_utf8(manifest.to_bytes().expect("it can be")).expect("it is JSON")
}

fn read(text: &str) -> Result<Manifest, String> {
    Manifest::from_bytes("m.json", text.as_bytes()).map_err(|error| error.to_string())
}

/// A text with its right hash behind it.
fn resealed(text: &str) -> String {
    let body = text.split_once(SEAL.0).expect("it has one").0;
    format!("{body}{}{}{}", SEAL.0, Hash::of(body.as_bytes()), SEAL.1)
}

#[test]
fn a_manifest_reads_as_it_is_written() {
    let mut savepoint = manifest();
    savepoint.savepoint = Some("before-v2".to_owned());
    for manifest in [manifest(), savepoint] {
        assert_eq!(read(&written(&manifest)), Ok(manifest));
    }
}

#[test]
fn its_hash_is_the_last_field_and_ids_are_strings() {
    let text = written(&manifest());
    let json: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!((&json["job"], &json["checkpoint"]), (&json!("7"), &json!("18446744073709551615")));
    assert_eq!(json["vertices"][1]["files"][2]["checkpoint"], json!("41"));
    assert_eq!(json["vertices"][1]["files"][0]["key_groups"], json!({ "start": 0, "end": 8 }));
    let (body, hash) = text.split_once(",\n  \"blake3\": \"").expect("it has one");
    assert_eq!(hash.lines().collect::<Vec<_>>(), [&format!("{}\"", Hash::of(body.as_bytes())), "}"]);
}

#[test]
fn every_flipped_bit_and_every_truncation_is_found() {
    let bytes = manifest().to_bytes().expect("it can be");
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = Manifest::from_bytes("m.json", &flipped);
        assert!(matches!(read, Err(Error::Damaged { .. })), "bit {bit}: {read:?}");
    }
    for length in 0..bytes.len() {
        let read = Manifest::from_bytes("m.json", &bytes[..length]);
        assert!(matches!(read, Err(Error::Damaged { .. })), "{length}: {read:?}");
    }
    let read = Manifest::from_bytes("m.json", &[&bytes[..], b"\n"].concat());
    assert!(matches!(read, Err(Error::Damaged { .. })));
}

#[test]
fn what_is_not_understood_is_refused() {
    let text = written(&manifest());
    let later = resealed(&text.replace("\"version\": 1,", "\"version\": 2, \"shards\": [],"));
    let expect = "could not read manifest m.json: it is of version 2, and this program knows version 1\n  hint: use the \
                  version of Wasmill that wrote it, or a later one";
    assert_eq!(read(&later), Err(expect.to_owned()));
    let without = resealed(&text.replace("  \"version\": 1,\n", ""));
    assert!(read(&without).expect_err("it has none").contains("it is of version none"));
    let unknown = resealed(&text.replace("\"key_groups\": 16", "\"key_groups\": 16, \"colour\": 3"));
    assert!(read(&unknown).expect_err("nobody knows it").contains("unknown field `colour`"));
    let upper = text.to_uppercase();
    assert!(read(&upper).expect_err("it is no manifest").contains("it was cut off, or is no manifest"));
    let outside = resealed(&text.replace("job-7/files/41", "../../files/41"));
    assert!(read(&outside).expect_err("it leads out").contains("cannot be a name in it"));
}

#[test]
fn what_cannot_be_a_checkpoint_is_refused() {
    let check = |expect: &str, change: fn(&mut Manifest)| {
        let mut manifest = manifest();
        change(&mut manifest);
        let error = manifest.to_bytes().expect_err("it cannot be").to_string();
        assert_eq!(error, format!("could not use manifest {}: {expect}", manifest.checkpoint));
    };
    check("`a/b` is no name of a savepoint", |m| m.savepoint = Some("a/b".to_owned()));
    check("`` is no name of a savepoint", |m| m.savepoint = Some(String::new()));
    check("checkpoint-0.5 cannot go on from checkpoint-0.5", |m| {
        (m.checkpoint, m.parent) = (CheckpointId(5), Some(CheckpointId(5)));
    });
    check("0 key groups; there are 1 to 32768", |m| m.key_groups = 0);
    check("its job file has another blake3", |m| m.job_file.text.push('x'));
    check("it has two `count`", |m| m.vertices[0].name = "count".to_owned());
    check("`orders` has no subtasks", |m| m.vertices[0].parallelism = 0);
    check("`orders` has a subtask 1 of 1", |m| m.vertices[0].parallelism = 1);
    let of = |file: &str| format!("file cluster-1/job-7/files/{file}.redb ");
    check(&format!("{}is of key groups 0..17 of 16", of("41/count/0-c")), |m| {
        m.vertices[1].files[2].key_groups.end = 17;
    });
    check(&format!("{}is of key groups 8..8 of 16", of("41/count/0-c")), |m| {
        m.vertices[1].files[2].key_groups = 8..8;
    });
    check(&format!("{}comes before the older {}", of("41/count/0-c"), of("40/count/1-b")[5..].trim_end()), |m| {
        m.vertices[1].files.swap(1, 2);
    });
    check(&format!("{}is of the later checkpoint-0.41", of("41/count/0-c")), |m| {
        (m.checkpoint, m.parent) = (CheckpointId(40), None);
    });
    check("key group 8 of `count` has no full snapshot to begin with", |m| drop(m.vertices[1].files.remove(1)));
    check("key group 3 of `count` has no full snapshot to begin with", |m| {
        m.vertices[1].files[0].key_groups = 0..3;
    });
}

/// Files as `first-end kind checkpoint`, and the segments of some key groups as `first-end: checkpoints`.
#[track_caller]
fn check_segments(files: &[(Range<u32>, Kind, u64)], key_groups: Range<u32>, expect: &[&str]) {
    let mut vertex = manifest().vertices.remove(1);
    let each = files.iter().enumerate();
    vertex.files = each.map(|(n, (range, kind, id))| file(&n.to_string(), range.clone(), *kind, *id)).collect();
    let shown = |segment: &Segment<'_>| {
        let ids: Vec<String> = segment.files.iter().map(|file| file.checkpoint.0.to_string()).collect();
        format!("{:?}: {}", segment.key_groups, ids.join(" "))
    };
    let found: Vec<String> = vertex.segments(key_groups).iter().map(shown).collect();
    assert_eq!(found, expect);
}

#[test]
fn segments_begin_with_the_newest_full_file() {
    use Kind::{Delta, Full};
    let plain = [(0..16, Full, 1), (0..16, Delta, 2), (0..16, Delta, 3)];
    check_segments(&plain, 0..16, &["0..16: 1 2 3"]);
    check_segments(&plain, 3..5, &["3..5: 1 2 3"]);
    // Two subtasks became three, and one of them has written all of its own anew. What it has removed since, the old full
    // file still has, and no delta says so any more.
    let rescaled = [(0..8, Full, 1), (8..16, Full, 1), (0..8, Delta, 2), (5..11, Full, 3), (5..11, Delta, 4)];
    check_segments(&rescaled, 0..16, &["0..5: 1 2", "5..11: 3 4", "11..16: 1"]);
    check_segments(&rescaled, 4..9, &["4..5: 1 2", "5..9: 3 4"]);
    check_segments(&[(0..8, Full, 1)], 6..10, &["6..8: 1", "8..10: "]);
    check_segments(&[], 0..16, &["0..16: "]);
}
