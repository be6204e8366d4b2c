//! What an output stream can show: how wide it is, whether colours and lines that change are welcome.

use std::env;

use console::{Style, Term};

/// Columns of what is not drawn on a terminal.
const WIDTH_ELSEWHERE: usize = 80;
/// Lines longer than this are hard to follow, however wide a terminal is.
const WIDTH_MAX: usize = 100;
/// Narrower than this nothing can be laid out; the terminal breaks the lines then.
const WIDTH_MIN: usize = 30;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    Auto,
    Always,
    Never,
}

/// What a stream can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Whether it is one, and not a file or a pipe.
    pub attended: bool,
    /// Whether a line may be drawn over.
    pub redraws: bool,
    /// Columns for lines that are read from end to end.
    pub width: usize,
    /// Columns there are, for tables.
    pub columns: usize,
    pub colors: bool,
    /// Whether it shows more than ASCII.
    pub unicode: bool,
}

impl Terminal {
    /// Standard output.
    pub fn stdout(color: Color) -> Self {
        Self::of(&Term::stdout(), color)
    }

    /// Standard error.
    pub fn stderr(color: Color) -> Self {
        Self::of(&Term::stderr(), color)
    }

    fn of(term: &Term, color: Color) -> Self {
        let attended = term.is_term();
        let dumb = env::var("TERM").is_ok_and(|term| term == "dumb");
        let no_color = env::var("NO_COLOR").is_ok_and(|value| !value.is_empty());
        let width = if attended { usize::from(term.size().1) } else { WIDTH_ELSEWHERE };
        Self {
            attended,
            redraws: attended && !dumb,
            width: width.clamp(WIDTH_MIN, WIDTH_MAX),
            columns: width.max(WIDTH_MIN),
            colors: match color {
                Color::Auto => attended && !dumb && !no_color,
                Color::Always => true,
                Color::Never => false,
            },
            unicode: attended && !dumb && speaks_utf8(),
        }
    }

    /// The text in a style, where there are colours.
    pub fn paint(&self, style: &Style, text: &str) -> String {
        if self.colors { style.clone().force_styling(true).apply_to(text).to_string() } else { text.to_owned() }
    }
}

/// Whether the locale is one of UTF-8.
fn speaks_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| env::var(name).ok()).find(|v| !v.is_empty());
    set.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
