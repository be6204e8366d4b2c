//! The first rows of what a job has written to files, so that they need not be opened. Standard output shows itself.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use wasmill_model::graph::Role;
use wasmill_runtime::Job;

/// Lines that are shown of a file, and bytes of each.
const LINES_MAX: usize = 5;
const LINE_BYTES_MAX: u64 = 400;

/// The head of each text file that a sink of the job has written.
pub(super) fn of(job: &Job, base: &Path) -> String {
    let mut text = String::new();
    for vertex in job.graph.vertices.iter().filter(|vertex| matches!(vertex.role, Role::Sink)) {
        let setting = |name: &'static str| vertex.spec.settings.get(name);
        let connector = setting("connector").and_then(|connector| connector.string().ok());
        let path = setting("path").and_then(|path| path.path(base).ok());
        // With several subtasks there are several files of other names; the report has counted their rows.
        let (Some(path), Some("file")) = (path, connector) else { continue };
        let Some(lines) = head(&path) else { continue };
        text += &format!("{}: {}\n", vertex.name, path.display());
        for line in lines {
            text += &format!("  {line}\n");
        }
    }
    text
}

/// The first lines of a file, if it is one of text.
fn head(path: &Path) -> Option<Vec<String>> {
    let mut file = BufReader::new(File::open(path).ok()?);
    let mut lines = Vec::new();
    while lines.len() < LINES_MAX {
        let mut line = Vec::new();
        let read = file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
        if read == 0 {
            break;
        }
        if line.contains(&0) {
            return None;
        }
        let text: String = String::from_utf8_lossy(&line).trim_end().chars().filter(|c| !c.is_control()).collect();
        if line.last() != Some(&b'\n') && read as u64 == LINE_BYTES_MAX {
            lines.push(text + " ...");
            break;
        }
        lines.push(text);
    }
    Some(lines)
}
