//! The child as a process: started, fed, listened to, stopped.

use std::{
    fmt,
    io::{self, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::protocol::{self, Request, Response};

/// Bytes of the child's standard error that are kept: the last words of a crash.
const STDERR_MAX: u64 = 16 << 10;

/// How long a child may take to end after it has closed its output.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// How a child ended that gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It was stopped at its deadline.
    Deadline,
    /// It used up its processor time.
    Cpu,
    /// It asked for more memory than it may have.
    Memory,
    /// It was killed from outside, as the kernel does when the machine runs out of memory.
    Killed,
    /// Anything else: an exit code, a signal; with its last words.
    Other(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline => f.write_str("the deadline passed"),
            Self::Cpu => f.write_str("its processor time ran out"),
            Self::Memory => f.write_str("it needed more memory than allowed"),
            Self::Killed => f.write_str("it was killed from outside"),
            Self::Other(how) => f.write_str(how),
        }
    }
}

/// Why an exchange gave no response.
#[derive(Debug)]
pub(super) enum Broken {
    /// The child could not be started.
    Start(io::Error),
    /// The child ended before it had answered.
    Ended(End),
}

/// Starts a child, hands it a request, and takes its response.
pub(super) fn exchange(
    program: &PathBuf,
    args: &[String],
    request: &Request,
    payload: &[u8],
    response_max: u64,
    deadline: Duration,
) -> Result<(Response, Vec<u8>), Broken> {
    let mut command = Command::new(program);
    // Nothing of the parent's environment is of use to it, and secrets may stand in it.
    command.args(args).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Broken::Start)?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut stderr = child.stderr.take().expect("it is piped");
    let until = Instant::now() + deadline;
    thread::scope(|scope| {
        // A child that ends early breaks the pipe; its end tells more than that.
        scope.spawn(move || drop(protocol::write(&mut stdin, request, payload)));
        let last_words = scope.spawn(move || last_words(&mut stderr));
        let (answered, answer) = mpsc::channel();
        scope.spawn(move || {
            let header = protocol::read_header::<Response>(&mut stdout);
            let response = header.and_then(|h| Ok((h, protocol::read_payload(&mut stdout, response_max)?)));
            // The parent has given up on it: no one listens.
            drop(answered.send(response));
        });
        let answer = answer.recv_timeout(until.saturating_duration_since(Instant::now()));
        let status = match &answer {
            Err(_) => stop(&mut child),
            Ok(Ok(_)) => stop(&mut child),
            Ok(Err(_)) => wait_or_stop(&mut child),
        };
        // With the child all pipes are closed, so that the threads end.
        let words = last_words.join().unwrap_or_default();
        match answer {
            Err(_) => Err(Broken::Ended(End::Deadline)),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Broken::Ended(end(status, &error, &words))),
        }
    })
}

/// Stops the child, whatever it is doing. It has not been waited for, so that its id is still its own.
fn stop(child: &mut Child) -> io::Result<ExitStatus> {
    child.kill()?;
    child.wait()
}

/// Waits for a child that has closed its output and so is ending.
fn wait_or_stop(child: &mut Child) -> io::Result<ExitStatus> {
    let until = Instant::now() + LAST_MOMENTS;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(1));
    }
    stop(child)
}

/// Reads to the end, and keeps the last part.
fn last_words(stderr: &mut impl Read) -> String {
    let mut kept = Vec::new();
    let mut chunk = vec![0; STDERR_MAX as usize];
    while let Ok(read @ 1..) = stderr.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..read]);
        let excess = kept.len().saturating_sub(STDERR_MAX as usize);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

fn end(status: io::Result<ExitStatus>, error: &io::Error, words: &str) -> End {
    use std::os::unix::process::ExitStatusExt;
    let status = match status {
        Ok(status) => status,
        Err(error) => return End::Other(format!("it could not be waited for: {error}")),
    };
    if status.signal() == Some(libc::SIGXCPU) {
        return End::Cpu;
    }
    if status.signal() == Some(libc::SIGKILL) {
        return End::Killed;
    }
    // What Rust's allocator says before it ends the process.
    if words.contains("memory allocation of") || words.contains("Cannot allocate memory") {
        return End::Memory;
    }
    let words = if words.is_empty() { String::new() } else { format!(": {words}") };
    End::Other(if status.success() { format!("{error}{words}") } else { format!("{status}{words}") })
}
