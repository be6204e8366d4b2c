//! The figures as a table for people and as JSON for programs.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde_json::{Value, json};

use crate::runs::Figures;

/// All figures, with what they mean below.
pub(crate) fn table(figures: &[Figures]) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["run", "demand", "measured", "", "native", "of native", "wall", "memory", "rows"]);
    for figure in figures {
        table.add_row([
            figure.name.to_owned(),
            figure.demand.map_or_else(String::new, millions),
            millions(figure.rate()),
            verdict(figure).to_owned(),
            millions(figure.native_rate()),
            format!("{:.0} %", 100.0 * figure.rate() / figure.native_rate()),
            format!("{:.2} s", figure.job.wall_seconds),
            format!("{:.0} MB", figure.job.peak_bytes as f64 / 1e6),
            (if figure.agrees { "agree" } else { "DIFFER" }).to_owned(),
        ]);
    }
    for place in [1, 2, 4, 5, 6, 7] {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\nmillions of events (wordcount: words) per CPU second, user and system time of the whole process")
}

/// One object.
pub(crate) fn object(figure: &Figures) -> Value {
    json!({
        "run": figure.name,
        "events": figure.events,
        "demand_events_per_cpu_s": figure.demand,
        "events_per_cpu_s": figure.rate(),
        "native_events_per_cpu_s": figure.native_rate(),
        "cpu_seconds": figure.job.cpu_seconds,
        "wall_seconds": figure.job.wall_seconds,
        "peak_bytes": figure.job.peak_bytes,
        "native_cpu_seconds": figure.native.cpu_seconds,
        "native_wall_seconds": figure.native.wall_seconds,
        "native_peak_bytes": figure.native.peak_bytes,
        "rows_agree": figure.agrees,
    })
}

fn millions(rate: f64) -> String {
    format!("{:.1} M", rate / 1e6)
}

fn verdict(figure: &Figures) -> &'static str {
    match figure.demand {
        Some(demand) if figure.rate() >= demand => "reached",
        Some(_) => "missed",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measured;

    fn figures(cpu_seconds: f64, agrees: bool) -> Figures {
        let measured =
            |cpu_seconds| Measured { cpu_seconds, wall_seconds: 1.0, peak_bytes: 50_000_000, stdout: String::new() };
        let (job, native) = (measured(cpu_seconds), measured(0.5));
        Figures { name: "q1", demand: Some(25e6), events: 20_000_000, job, native, agrees }
    }

    #[test]
    fn demand_and_disagreement_are_seen() {
        let reached = table(&[figures(0.8, true)]);
        assert!(
            ["25.0 M", "reached", "40.0 M", "62 %", "50 MB", "agree"].iter().all(|t| reached.contains(t)),
            "{reached}"
        );
        let missed = table(&[figures(1.0, false)]);
        assert!(["20.0 M", "missed", "50 %", "DIFFER"].iter().all(|text| missed.contains(text)), "{missed}");
    }

    #[test]
    fn the_object_has_the_rate() {
        let object = object(&figures(1.0, false));
        assert_eq!(object["events_per_cpu_s"], 20e6);
        assert_eq!(object["rows_agree"], false);
    }
}
