//! Tables for people: rules where a terminal shows them, fewer columns where it is narrow.

use comfy_table::{CellAlignment, ContentArrangement, presets};
use console::measure_text_width;

use crate::terminal::Terminal;

/// A column of a table of such rows.
#[derive(Debug)]
pub struct Column<R> {
    pub name: &'static str,
    is_text: bool,
    /// Whether it is left out where there is little room.
    wide: bool,
    cell: fn(&R) -> String,
}

impl<R> Column<R> {
    /// Of text, which begins at the left.
    pub const fn text(name: &'static str, cell: fn(&R) -> String) -> Self {
        Self { name, is_text: true, wide: false, cell }
    }

    /// Of numbers, which end at the right.
    pub const fn number(name: &'static str, cell: fn(&R) -> String) -> Self {
        Self { name, is_text: false, wide: false, cell }
    }

    /// Of text, left out where there is little room.
    pub const fn wide_text(name: &'static str, cell: fn(&R) -> String) -> Self {
        Self { name, is_text: true, wide: true, cell }
    }

    /// Of numbers, left out where there is little room.
    pub const fn wide_number(name: &'static str, cell: fn(&R) -> String) -> Self {
        Self { name, is_text: false, wide: true, cell }
    }
}

/// Draws a table, of fewer columns on a terminal that the whole one does not fit. It ends without a line break.
pub fn draw<'a, R: 'a>(
    terminal: &Terminal,
    columns: impl IntoIterator<Item = &'a Column<R>>,
    rows: impl IntoIterator<Item = &'a R>,
) -> String {
    let (columns, rows): (Vec<_>, Vec<_>) = (columns.into_iter().collect(), rows.into_iter().collect());
    let whole = laid_out(terminal, &columns, &rows).to_string();
    let fits = !terminal.attended || whole.lines().all(|line| measure_text_width(line) <= terminal.columns);
    let shown = if fits {
        whole
    } else {
        let narrow: Vec<_> = columns.into_iter().filter(|column| !column.wide).collect();
        let mut table = laid_out(terminal, &narrow, &rows);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(terminal.columns as u16);
        table.to_string()
    };
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    lines.join("\n")
}

fn laid_out<R>(terminal: &Terminal, columns: &[&Column<R>], rows: &[&R]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(match terminal {
        Terminal { attended: true, unicode: true, .. } => presets::UTF8_HORIZONTAL_ONLY,
        Terminal { attended: true, .. } => presets::ASCII_HORIZONTAL_ONLY,
        _ => presets::NOTHING,
    });
    table.set_header(columns.iter().map(|column| column.name));
    for row in rows {
        table.add_row(columns.iter().map(|column| (column.cell)(row)));
    }
    for (place, column) in columns.iter().enumerate() {
        if let (false, Some(shown)) = (column.is_text, table.column_mut(place)) {
            shown.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
