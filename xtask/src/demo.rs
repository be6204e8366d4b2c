//! `cargo xtask demo`: from a fresh clone to running jobs and a small cluster, saying in plain words what happens.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{plugins, steps::run, workspace::Workspace};

mod cluster;

/// How many words are shown.
const SHOWN: usize = 10;

/// Builds what is needed, runs both jobs, and a third on a cluster.
pub(crate) fn run_jobs(workspace: &Workspace) -> Result<()> {
    println!(
        "This builds Wasmill and its operators, then runs two jobs on this machine and a third on a small cluster.\n\
         The first build compiles a WebAssembly engine and takes some minutes; later ones take seconds.\n\
         Nothing is written outside {}.",
        workspace.shown(&workspace.target).display()
    );
    println!("\n1. Build the operators: each becomes a WebAssembly component in target/plugins/.");
    plugins::build(workspace)?;
    println!("\n2. Build the program that runs jobs, target/release/wasmill.");
    run(workspace.native(&["build", "--release"]).args(["--bin", "wasmill"]))?;
    let wasmill = workspace.program("wasmill");

    println!("\n3. Watch this machine for fifteen seconds: a job without an end, which is then asked to stop.");
    run(Command::new(&wasmill).current_dir(&workspace.root).args([
        "run",
        "examples/host-metrics/job.toml",
        "--for",
        "15s",
    ]))?;

    println!("\n4. Count the words of this project's own documentation: a job that ends by itself.");
    let counts = count_words(workspace, &wasmill)?;
    println!("\nThe {SHOWN} most frequent of {} different words, leaving out those without a letter:\n", counts.len());
    let with_letters = counts.iter().filter(|(word, _)| word.contains(char::is_alphabetic));
    for (word, count) in with_letters.take(SHOWN) {
        println!("{count:>8}  {word}");
    }
    println!("\n5. The same on a cluster.");
    cluster::run_job(workspace, &wasmill, fresh_folder(&workspace.target.join("demo-cluster"))?)?;
    println!("{}", epilogue());
    Ok(())
}

/// What to do next.
fn epilogue() -> &'static str {
    "
The first two jobs ran in one process, the third on two. Their operators are WebAssembly components: the engine gave each only the columns it
asked for, kept its state outside of it, and would have replaced it, had it failed.

Try next:
  target/release/wasmill run examples/nexmark/q1.toml             ten million bids through one operator
  target/release/wasmill run examples/nexmark/keyed-count.toml    the same bids counted by bidder, on two threads
  target/release/wasmill run examples/fraud/job.toml              payments, judged by rules that change meanwhile
  target/release/wasmill run examples/wordcount/job.toml --set 'source.text.path=FILES'    your own words
  target/release/wasmill plugin inspect target/plugins/tokenizer.wasm    what the engine knows of an operator
  change plugins/tokenizer/src/lib.rs, run `cargo xtask plugins`, and run a job again
  docs/README.md    the contract, and how to write an operator of your own"
}

/// Runs the word count over the documentation; words and counts, the most frequent first.
fn count_words(workspace: &Workspace, wasmill: &Path) -> Result<Vec<(String, u64)>> {
    let output = fresh_folder(&workspace.target.join("demo"))?.join("words.jsonl");
    run(Command::new(wasmill)
        .current_dir(&workspace.root)
        .args(["run", "examples/wordcount/job.toml"])
        .args(["--set", "source.text.path=[\"README.md\", \"docs/**/*.md\"]"])
        .args(["--set", &format!("sink.counts.path={}", workspace.shown(&output).display())]))?;
    let lines =
        fs::read_to_string(&output).with_context(|| format!("the job wrote no result to {}", output.display()))?;
    most_frequent(&lines)
}

fn fresh_folder(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("could not empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("could not make the folder {}", folder.display()))?;
    Ok(folder.to_owned())
}

/// The last count of each word. A job that reports every change gives growing counts, one that reports at the end
/// gives one; the greatest is the last in both.
fn most_frequent(lines: &str) -> Result<Vec<(String, u64)>> {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    for line in lines.lines() {
        let row: Value =
            serde_json::from_str(line).with_context(|| format!("a row of the result is no JSON: {line}"))?;
        let (Some(word), Some(count)) = (row["word"].as_str(), row["count"].as_u64()) else {
            bail!("a row of the result has no `word` and `count`: {line}");
        };
        let greatest = counts.entry(word.to_owned()).or_default();
        *greatest = count.max(*greatest);
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_count_of_a_word_is_the_one_that_counts() {
        let lines = "{\"word\":\"a\",\"count\":1}\n{\"word\":\"b\",\"count\":3}\n{\"word\":\"a\",\"count\":4}\n";
        let counts = most_frequent(lines).expect("is well formed");
        assert_eq!(counts, [("a".to_owned(), 4), ("b".to_owned(), 3)]);
    }

    #[test]
    fn a_result_of_another_shape_is_shown() {
        let error = most_frequent("{\"n\":1}\n").expect_err("has no word").to_string();
        assert_eq!(error, "a row of the result has no `word` and `count`: {\"n\":1}");
    }
}
