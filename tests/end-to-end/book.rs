//! The documentation is true: the parts made from the code are those of this code, and its commands do what it shows.
//!
//! A `console` block is a sequence of commands, `$ ` before each, with what they print; all blocks of a page run in one
//! folder, in order. `...` stands for any lines, `[..]` for any part of a line, `# exit code 2` behind a command for how
//! it ends; in the folder, `wasmill` leads to the clone. A block with `file=NAME` behind its language is written to that file first.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::{Running, cache, target};

const BEGIN: &str = "<!-- made from the code: ";
const END: &str = "<!-- end -->";

/// Set it to have the pages rewritten.
const BLESS: &str = "BLESS";

fn docs() -> PathBuf {
    root().join("docs")
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The pages of the standard operators, with their text.
fn operators() -> Vec<(PathBuf, String)> {
    let folders = fs::read_dir(root().join("plugins")).expect("there are operators");
    let pages = folders.map(|folder| folder.expect("the folder can be listed").path().join("README.md"));
    pages.filter_map(|page| fs::read_to_string(&page).ok().map(|text| (page, text))).collect()
}

/// All pages, with their text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut folders = vec![docs()];
    let mut pages = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the documentation is there") {
            let path = entry.expect("the folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).expect("a page is text");
                pages.push((path, text));
            }
        }
    }
    pages.sort();
    pages
}

/// A part as the binary prints it.
fn part(name: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmill"));
    command.arg("reference").args(name.split(' ')).current_dir(root()).arg("--cache").arg(cache());
    command.arg("--components").arg(target().join("plugins"));
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
    ended.stdout
}

/// The page with every part made from the code put in anew.
fn made_anew(text: &str) -> String {
    let mut made = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let (name, behind) = behind.split_once(" -->").expect("a mark is closed");
        let (_, behind) = behind.split_once(END).unwrap_or_else(|| panic!("part `{name}` has no end"));
        let part = part(name);
        made += &format!("{before}{BEGIN}{name} -->\n{}\n{END}", part.trim_end());
        rest = behind;
    }
    made + rest
}

#[test]
fn what_is_made_from_the_code_is_up_to_date() {
    let mut parts = 0;
    for (path, text) in operators() {
        let name = path.parent().and_then(Path::file_name).expect("it is in a folder").to_string_lossy();
        assert_eq!(text.matches(&format!("{BEGIN}plugin {name} -->")).count(), 1, "{} has its keys", path.display());
        assert!(!text.contains(" |  | "), "{} says what each key means", path.display());
    }
    for (path, text) in pages().into_iter().chain(operators()) {
        parts += text.matches(BEGIN).count();
        let made = made_anew(&text);
        if made == text {
            continue;
        }
        if std::env::var_os(BLESS).is_some() {
            fs::write(&path, made).expect("a page can be written");
        } else {
            panic!("{} is not what the code says: run this test with {BLESS}=1", path.display());
        }
    }
    assert!(parts >= 29, "{parts} parts: the marks have been lost");
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let contents = fs::read_to_string(docs().join("SUMMARY.md")).expect("there is a table of contents");
    for (path, _) in pages() {
        let name = path.strip_prefix(docs()).expect("the page is in the book").display().to_string();
        assert!(name == "SUMMARY.md" || contents.contains(&format!("({name})")), "SUMMARY.md does not name {name}");
    }
}

/// What a page has a reader do.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Write { file: String, text: String },
    Run { command: String, code: i32, shows: Vec<String> },
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some((_, file)) = info.split_once("file=") {
            steps.push(Step::Write { file: file.to_owned(), text: block.join("\n") + "\n" });
        } else if info == "console" {
            for line in block {
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(command), _) => {
                        let (command, code) = command.split_once("# exit code ").unwrap_or((command, "0"));
                        let code = code.trim().parse().expect("an exit code is a number");
                        steps.push(Step::Run { command: command.trim().to_owned(), code, shows: Vec::new() });
                    }
                    (None, Some(Step::Run { shows, .. })) => shows.push(line.to_owned()),
                    (None, _) => panic!("output before any command: {line}"),
                }
            }
        }
    }
    steps
}

/// Whether lines are those that a page shows.
fn is_shown(lines: &[&str], shown: &[String]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, _) => lines.is_empty(),
        (Some((first, rest)), _) if first == "..." => (0..=lines.len()).any(|from| is_shown(&lines[from..], rest)),
        (Some((first, rest)), Some((line, left))) => line_is_shown(line, first) && is_shown(left, rest),
        (Some(_), None) => false,
    }
}

fn line_is_shown(line: &str, shown: &str) -> bool {
    match shown.split_once("[..]") {
        None => line.trim_end() == shown.trim_end(),
        Some((before, behind)) => line.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| line_is_shown(&rest[at..], behind))
        }),
    }
}

/// Does what a page says, in a folder of its own that keeps only what cargo builds.
fn follow(name: &str, page: &str) {
    let steps = steps(page);
    if steps.is_empty() {
        return;
    }
    let home = target().join("book").join(name.replace('/', "-"));
    if home.exists() {
        fs::remove_dir_all(&home).expect("the folder of the last time can be removed");
    }
    fs::create_dir_all(&home).expect("folders can be made");
    let home = home.canonicalize().expect("it was just made");
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the clone is there");
    // What projects depend on is built once for all of them.
    let cargo = format!("[build]\ntarget-dir = \"{}\"\n", target().join("end-to-end-projects").display());
    fs::create_dir(home.join(".cargo")).expect("folders can be made");
    fs::write(home.join(".cargo/config.toml"), cargo).expect("the folder takes files");
    std::os::unix::fs::symlink(clone, home.join("wasmill")).expect("links can be made");
    let binary = Path::new(env!("CARGO_BIN_EXE_wasmill")).parent().expect("it is in a folder").to_owned();
    let path = std::env::join_paths(
        [binary].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").expect("there is a path"))),
    );
    let path = path.expect("no folder has a colon in its name");
    let mut folder = home.clone();
    for step in steps {
        match step {
            Step::Write { file, text } => fs::write(folder.join(file), text).expect("the page's folders are there"),
            Step::Run { command, code, shows } => {
                let note = home.join(".folder");
                let script = format!("{command}\ncode=$?\npwd > '{}'\nexit $code", note.display());
                let mut bash = Command::new("bash");
                bash.args(["-c", &format!("exec 2>&1\n{script}")]).current_dir(&folder);
                bash.env("PATH", &path).env("WASMILL_CACHE", cache()).env("NO_COLOR", "1").env_remove("RUSTFLAGS");
                bash.env("PLUGINS", target().join("plugins")).env_remove("CARGO_TARGET_DIR");
                let ended = Running::start(bash).end();
                assert_eq!(ended.code, Some(code), "{name}: $ {command}\n{}", ended.stdout);
                let lines: Vec<&str> = ended.stdout.lines().collect();
                let told =
                    || format!("{name}: $ {command}\nprints\n{}\n\nthe page shows\n{}", ended.stdout, shows.join("\n"));
                assert!(shows.is_empty() || is_shown(&lines, &shows), "{}", told());
                folder = PathBuf::from(fs::read_to_string(&note).expect("bash has written it").trim_end());
            }
        }
    }
}

#[test]
fn every_command_does_what_the_book_shows() {
    for (path, text) in pages() {
        let name = path.strip_prefix(docs()).expect("the page is in the book").display().to_string();
        follow(name.trim_end_matches(".md"), &text);
    }
}

#[test]
fn a_page_that_is_not_true_is_found() {
    let page = "```text file=a.txt\nx\ny\n```\n```console\n$ cat a.txt\nx\n...\n$ false # exit code 1\n```\n";
    assert_eq!(
        steps(page),
        [
            Step::Write { file: "a.txt".into(), text: "x\ny\n".into() },
            Step::Run { command: "cat a.txt".into(), code: 0, shows: vec!["x".into(), "...".into()] },
            Step::Run { command: "false".into(), code: 1, shows: Vec::new() },
        ]
    );
    for (lines, shown, expect) in [
        (&["a", "b"][..], &["a", "b"][..], true),
        (&["a", "b"], &["a"], false),
        (&["a"], &["a", "b"], false),
        (&["a", "b", "c"], &["...", "c"], true),
        (&["took 3 ms."], &["took [..] ms."], true),
        (&["took 3 s."], &["took [..] ms."], false),
    ] {
        let shown: Vec<String> = shown.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(is_shown(lines, &shown), expect, "{lines:?} {shown:?}");
    }
    let wrong = "```console\n$ echo a\nb\n```\n";
    let found = std::panic::catch_unwind(|| follow("the-test-of-the-book", wrong));
    assert!(found.is_err(), "a wrong page passes");
}
