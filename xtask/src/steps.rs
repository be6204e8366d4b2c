//! Steps of a long command: each is announced, timed, and ends everything if it fails.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How much of a command an error repeats.
const SHOWN_CHARS: usize = 80;

/// The steps done so far.
pub(crate) struct Steps {
    began: Instant,
    done: Vec<(String, Duration)>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), done: Vec::new() }
    }

    /// Does one step.
    pub(crate) fn step(&mut self, title: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n== {title}");
        let began = Instant::now();
        let result = work();
        let taken = began.elapsed();
        match &result {
            Ok(()) => println!("== {title}: {}", seconds(taken)),
            Err(_) => {
                println!("== {title}: failed after {}\nsteps: {} passed, 1 failed", seconds(taken), self.done.len())
            }
        }
        self.done.push((title.to_owned(), taken));
        result.with_context(|| format!("step `{title}`"))
    }

    /// Lists the steps with their times, and ends with a line that counts them.
    pub(crate) fn finish(self) {
        println!("\nall steps, in {}:", seconds(self.began.elapsed()));
        for (title, taken) in &self.done {
            println!("{:>8}  {title}", seconds(*taken));
        }
        println!("steps: {} passed, 0 failed", self.done.len());
    }
}

/// Runs a command to its end; anything but success is an error that shows the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    println!("$ {line}");
    let status = command.status().with_context(|| format!("could not start `{line}`"))?;
    if !status.success() {
        // The whole of it stands above.
        let cut = line.char_indices().nth(SHOWN_CHARS).map_or(line.clone(), |(end, _)| format!("{} ...", &line[..end]));
        bail!("`{cut}` ended with {status}");
    }
    Ok(())
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let arguments = command.get_args().map(|argument| {
        let text = argument.to_string_lossy();
        if text.contains([' ', '*', '(', '[', '"']) { format!("'{text}'") } else { text.into_owned() }
    });
    std::iter::once(program.into_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// A time as people say it: `0.4 s`, `12 s`, `3 min 07 s`.
pub(crate) fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    match whole {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{whole} s"),
        _ => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        let cases = [(0, "0.0 s"), (440, "0.4 s"), (9_940, "9.9 s"), (12_300, "12 s"), (187_000, "3 min 07 s")];
        for (millis, text) in cases {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let error = run(Command::new("false").arg("a b")).expect_err("false fails");
        assert_eq!(error.to_string(), "`false 'a b'` ended with exit status: 1");
    }

    #[test]
    fn a_long_command_is_cut() {
        let error = run(Command::new("false").arg("x".repeat(200))).expect_err("false fails").to_string();
        assert_eq!(error, format!("`false {} ...` ended with exit status: 1", "x".repeat(74)));
    }

    #[test]
    fn a_failing_step_names_itself() {
        let mut steps = Steps::new();
        steps.step("good", || Ok(())).expect("does nothing");
        let error = steps.step("bad", || bail!("broken")).expect_err("fails");
        assert_eq!(format!("{error:#}"), "step `bad`: broken");
    }
}
