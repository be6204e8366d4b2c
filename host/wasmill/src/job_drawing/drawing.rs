//! The job as a drawing: a box a chain, top to bottom; above each vertex the edges into it, below it its ports.
//!
//! An edge is named by the port it comes from, so that the drawing says everything also where lines cannot be followed.

use console::{Style, measure_text_width};
use wasmill_model::graph::{Edge, PortSchema};
use wasmill_runtime::Job;

use super::{kind, paths, text};
use crate::terminal::Terminal;

/// The characters of lines.
struct Strokes {
    top: [&'static str; 2],
    bottom: [&'static str; 2],
    across: &'static str,
    down: &'static str,
    arrow: &'static str,
}

const ASCII: Strokes = Strokes { top: ["+", "+"], bottom: ["+", "+"], across: "-", down: "|", arrow: "v" };
const BOXES: Strokes =
    Strokes { top: ["╭", "╮"], bottom: ["╰", "╯"], across: "─", down: "│", arrow: "▼" };

/// What a line says, and so how it looks.
#[derive(Debug, Clone, Copy)]
enum Tone {
    Vertex,
    Flow,
    Detail,
}

/// Draws a job.
pub(crate) fn draw(job: &Job, terminal: &Terminal) -> String {
    let strokes = if terminal.unicode { BOXES } else { ASCII };
    let mut drawing = Drawing { job, terminal, strokes, out: String::new() };
    drawing.title();
    for place in 0..job.plan.chains.len() {
        drawing.chain(place);
    }
    drawing.out
}

struct Drawing<'a> {
    job: &'a Job,
    terminal: &'a Terminal,
    strokes: Strokes,
    out: String,
}

impl Drawing<'_> {
    fn title(&mut self) {
        let graph = &self.job.graph;
        let ends = if self.job.is_bounded() { "ends by itself" } else { "does not end by itself" };
        let slots = plural(graph.slots(), "slot");
        let title = format!("job {}: {slots}, {} key groups, {ends}", graph.name, graph.key_groups);
        for line in wrapped(&title, self.terminal.width, "  ") {
            self.out.push_str(&self.terminal.paint(&Style::new().bold(), &line));
            self.out.push('\n');
        }
    }

    fn chain(&mut self, place: usize) {
        let chain = &self.job.plan.chains[place];
        let head = chain.vertices[0];
        let before = |edge: &Edge| self.job.plan.chain_of(edge.from) + 1 == place;
        if !self.job.graph.inputs_of(head).any(before) {
            self.out.push('\n');
        }
        let mut above = Vec::new();
        self.edges_into(head, self.terminal.width - 2, &mut above);
        for (tone, line) in above {
            let line = self.painted(tone, &line);
            self.out.push_str(&format!("  {line}\n"));
        }
        let title = format!(" chain {}, {} ", place + 1, plural(chain.parallelism, "subtask"));
        self.edge_of_box(self.strokes.top, &title);
        let inner = self.terminal.width - 4;
        let mut lines = Vec::new();
        for &vertex in &chain.vertices {
            if vertex != head {
                self.edges_into(vertex, inner, &mut lines);
            }
            self.vertex(vertex, inner, &mut lines);
        }
        let down = self.painted(Tone::Detail, self.strokes.down);
        for (tone, line) in lines {
            let pad = " ".repeat(inner.saturating_sub(measure_text_width(&line)));
            let line = self.painted(tone, &line);
            self.out.push_str(&format!("{down} {line}{pad} {down}\n"));
        }
        self.edge_of_box(self.strokes.bottom, "");
    }

    /// The upper or the lower edge of a box, with a title in it.
    fn edge_of_box(&mut self, [left, right]: [&str; 2], title: &str) {
        let room = self.terminal.width - 3;
        let across = self.strokes.across;
        let rest = across.repeat(room.saturating_sub(measure_text_width(title)));
        let [before, after] = [format!("{left}{across}"), format!("{rest}{right}")];
        let [before, after] = [before, after].map(|line| self.painted(Tone::Detail, &line));
        self.out.push_str(&format!("{before}{title}{after}\n"));
    }

    /// The edges into a vertex, each with the port it comes from.
    fn edges_into(&self, vertex: usize, width: usize, lines: &mut Vec<(Tone, String)>) {
        let edges: Vec<&Edge> = self.job.graph.inputs_of(vertex).collect();
        let several = edges.len() > 1;
        let down = self.strokes.down;
        for edge in &edges {
            let from = &self.job.graph.vertices[edge.from];
            let mut label = format!("{}.{}, {}", from.name, from.ports[edge.port].name, edge.exchange.name());
            let key = self.job.graph.key_of(edge);
            if !key.is_empty() {
                label.push_str(&format!(" by {}", key.join(", ")));
            }
            if several {
                label.push_str(&format!(", input {}", edge.input));
            }
            let texts = wrapped(&label, width.saturating_sub(4), "");
            lines.extend(texts.into_iter().map(|text| (Tone::Flow, format!("  {down} {text}"))));
        }
        if !edges.is_empty() {
            lines.push((Tone::Flow, format!("  {}", self.strokes.arrow)));
        }
    }

    fn vertex(&self, place: usize, width: usize, lines: &mut Vec<(Tone, String)>) {
        let vertex = &self.job.graph.vertices[place];
        let mut title = format!("{} {}", kind(vertex), vertex.name);
        if let Some(connector) = text(vertex, "connector") {
            title.push_str(&format!(": {connector}"));
        }
        for path in paths(vertex) {
            title.push_str(&format!(" {path}"));
        }
        if let Some(plugin) = text(vertex, "plugin") {
            title.push_str(&format!(": {}", plugin.rsplit('/').next().unwrap_or(plugin)));
        }
        if let Some(digest) = self.job.digest(place) {
            title.push_str(&format!(" {}", digest.short()));
        }
        lines.extend(wrapped(&title, width, "  ").into_iter().map(|line| (Tone::Vertex, line)));
        for (port, read) in vertex.ports.iter().zip(&self.job.plan.wanted[place]) {
            lines.extend(port_lines(port, read, width).into_iter().map(|line| (Tone::Detail, line)));
        }
    }

    fn painted(&self, tone: Tone, line: &str) -> String {
        let style = match tone {
            Tone::Vertex => Style::new().bold().cyan(),
            Tone::Flow => Style::new().yellow(),
            Tone::Detail => Style::new().dim(),
        };
        self.terminal.paint(&style, line)
    }
}

/// A port with its schema, and which columns nobody reads, as those are never made.
fn port_lines(port: &PortSchema, read: &[bool], width: usize) -> Vec<String> {
    let times = if port.event_times { " with event times" } else { "" };
    let mut lines = wrapped(&format!("{}{times} {}", port.name, port.schema), width - 2, "  ");
    let unread: Vec<&str> = port.schema.names().zip(read).filter(|(_, read)| !**read).map(|(name, _)| name).collect();
    if !unread.is_empty() {
        let all = unread.len() == port.schema.len();
        let names = if all { "any of it".to_owned() } else { unread.join(", ") };
        lines.extend(wrapped(&format!("nobody reads {names}"), width - 4, "").into_iter().map(|l| format!("  {l}")));
    }
    lines.into_iter().map(|line| format!("  {line}")).collect()
}

/// `1 slot`, `2 slots`.
fn plural(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Lines of at most this many columns, broken between words where that can be; all but the first begin with `indent`.
fn wrapped(text: &str, width: usize, indent: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word;
        loop {
            let first = lines.len() == 1;
            let line = lines.last_mut().expect("there is always a line");
            let empty = line.is_empty() || (!first && line == indent);
            let gap = usize::from(!empty);
            let used = measure_text_width(line) + gap;
            let room = width.saturating_sub(used);
            if measure_text_width(word) <= room {
                line.push_str(&" ".repeat(gap));
                line.push_str(word);
                break;
            }
            if empty {
                // It fits no line: cut it.
                let cut = word
                    .char_indices()
                    .map(|(at, c)| at + c.len_utf8())
                    .take_while(|&end| measure_text_width(&word[..end]) <= room);
                let cut = cut.last().unwrap_or_else(|| word.chars().next().map_or(0, char::len_utf8));
                let (head, rest) = word.split_at(cut);
                line.push_str(head);
                word = rest;
            }
            lines.push(indent.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words_and_words_that_fit_no_line_are_cut() {
        let check = |text, width, expected: &[&str]| assert_eq!(wrapped(text, width, "  "), expected, "{text}");
        check("one two three", 20, &["one two three"]);
        check("one two three", 8, &["one two", "  three"]);
        check("a/very/long/path b", 8, &["a/very/l", "  ong/pa", "  th b"]);
        check("", 8, &[""]);
        check("żółw żółw", 6, &["żółw", "  żółw"]);
        check("漢字漢字", 5, &["漢字", "  漢", "  字"]);
    }
}
