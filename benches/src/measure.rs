//! What a process costs, from its start to its end: CPU seconds of all its threads and of the processes it waited
//! for, and its memory at the highest.

use std::{
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use wait4::Wait4 as _;

/// What a process cost and said.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
    pub(crate) peak_bytes: u64,
    pub(crate) stdout: String,
}

/// Runs a program to its end; one that fails is an error that shows what it said.
pub(crate) fn run(program: &Path, arguments: &[String]) -> Result<Measured> {
    let line = format!("{} {}", program.display(), arguments.join(" "));
    let began = Instant::now();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("could not start `{line}`"))?;
    let mut stdout = child.stdout.take().expect("is piped");
    let mut stderr = child.stderr.take().expect("is piped");
    // Both pipes are read at the same time: a process that fills one of them would wait for ever.
    let errors = thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut bytes = Vec::new();
    stdout.read_to_end(&mut bytes).with_context(|| format!("could not read what `{line}` says"))?;
    let stderr = errors.join().expect("reading a pipe does not panic")?;
    let used = child.wait4().with_context(|| format!("could not wait for `{line}`"))?;
    let stdout = String::from_utf8_lossy(&bytes).into_owned();
    if !used.status.success() {
        bail!("`{line}` ended with {}:\n{stdout}{}", used.status, String::from_utf8_lossy(&stderr));
    }
    Ok(Measured {
        cpu_seconds: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        wall_seconds: began.elapsed().as_secs_f64(),
        peak_bytes: used.rusage.maxrss,
        stdout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Measured> {
        run(Path::new("sh"), &["-c".to_owned(), script.to_owned()])
    }

    #[test]
    fn work_costs_cpu_and_memory() {
        let idle = shell("echo done").expect("sh is there");
        let busy = shell("i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done").expect("sh is there");
        assert_eq!(idle.stdout, "done\n");
        assert!(busy.cpu_seconds > idle.cpu_seconds, "{busy:?} after {idle:?}");
        assert!(idle.peak_bytes > 100_000, "{idle:?}");
    }

    #[test]
    fn a_failure_shows_what_was_said() {
        let error = shell("echo out; echo err >&2; exit 3").expect_err("ends with 3").to_string();
        assert!(error.ends_with("ended with exit status: 3:\nout\nerr\n"), "{error}");
        assert!(run(Path::new("/nowhere/at-all"), &[]).is_err());
    }
}
