//! What a job would be, for people.

use wasmill_rest::{Beginning, EdgeDetail, Plan, SinkGuarantee, StateChange, StateFate, VertexDetail, VertexKind};

use crate::{
    harmless,
    table::{self, Column},
    terminal::{Color, Terminal},
};

const VERTICES: [Column<VertexDetail>; 5] = [
    Column::text("vertex", |vertex| harmless::line(&vertex.name, 63)),
    Column::text("kind", |vertex| kind(vertex.kind).to_owned()),
    Column::number("par", |vertex| vertex.parallelism.to_string()),
    Column::number("chain", |vertex| vertex.chain.to_string()),
    Column::text("plugin", |vertex| plugin(vertex.plugin.as_deref())),
];

const EDGES: [Column<EdgeDetail>; 4] = [
    Column::text("from", |edge| harmless::line(&edge.from, 130)),
    Column::text("to", |edge| harmless::line(&edge.to, 63)),
    Column::text("exchange", |edge| match &edge.key[..] {
        [] => harmless::line(&edge.exchange, 20),
        key => format!("{} by {}", harmless::line(&edge.exchange, 20), harmless::line(&key.join(", "), 200)),
    }),
    Column::wide_text("rows", |edge| harmless::line(&edge.schema, 2_000)),
];

pub(crate) fn table(plan: &Plan) -> String {
    drawn(plan, &Terminal::stdout(Color::Auto))
}

fn drawn(plan: &Plan, terminal: &Terminal) -> String {
    let vertices = table::draw(terminal, &VERTICES, &plan.vertices);
    let edges = table::draw(terminal, &EDGES, &plan.edges);
    let (name, Plan { slots, slots_free, .. }) = (harmless::line(&plan.name, 100), plan);
    let room = if slots <= slots_free { "" } else { ": too few, it would wait" };
    let begins = plan.beginning.as_ref().map_or_else(String::new, |beginning| begun(beginning, terminal));
    let promised = guarantees(&plan.guarantees);
    format!("{vertices}\n{edges}\n{begins}{promised}job {name} needs {slots} slots, {slots_free} are free{room}\n")
}

const STATE: [Column<StateChange>; 5] = [
    Column::text("state of", |change| harmless::line(&change.vertex, 63)),
    Column::wide_text("kind", |change| kind(change.kind).to_owned()),
    Column::text("what", |change| harmless::line(&change.what, 100)),
    Column::text("becomes", |change| fate(change.fate).to_owned()),
    Column::text("why", |change| harmless::line(change.detail.as_deref().unwrap_or_default(), 200)),
];

/// What becomes of what a job begins from.
pub(crate) fn beginning(beginning: &Beginning) -> String {
    begun(beginning, &Terminal::stdout(Color::Auto))
}

fn begun(beginning: &Beginning, terminal: &Terminal) -> String {
    let from = harmless::line(&beginning.from, 100);
    match &beginning.state[..] {
        [] => format!("begins from {from}, in which there is no state\n"),
        state => format!("{}\nbegins from {from}\n", table::draw(terminal, &STATE, state)),
    }
}

fn fate(fate: StateFate) -> &'static str {
    match fate {
        StateFate::Kept => "kept",
        StateFate::Renamed => "renamed",
        StateFate::New => "new",
        StateFate::Dropped => "dropped",
        StateFate::Incompatible => "incompatible",
    }
}

/// What is promised about the rows that reach each sink, a line each.
pub(crate) fn guarantees(guarantees: &[SinkGuarantee]) -> String {
    let line = |SinkGuarantee { sink, about, visible, .. }: &SinkGuarantee| {
        let [sink, about, visible] = [sink, about, visible].map(|text| harmless::line(text, 200));
        format!("  {sink:<8} {about}; rows can be seen {visible}\n")
    };
    guarantees.iter().map(line).collect()
}

/// The word for a kind of vertex.
pub(crate) fn kind(kind: VertexKind) -> &'static str {
    match kind {
        VertexKind::Source => "source",
        VertexKind::Operator => "operator",
        VertexKind::Sink => "sink",
    }
}

/// A digest, as much of it as tells plugins apart.
pub(crate) fn plugin(digest: Option<&str>) -> String {
    digest.map_or_else(
        || "-".to_owned(),
        |digest| harmless::line(digest.trim_start_matches("sha256:"), 12).replace("...", ""),
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_plan_fits_a_narrow_terminal() {
        let vertex = |name: &str, kind, chain, plugin: Option<&str>| VertexDetail {
            name: name.to_owned(),
            kind,
            parallelism: 4,
            chain,
            plugin: plugin.map(str::to_owned),
            metrics: None,
        };
        let edge = |from: &str, to: &str, key: &[&str]| EdgeDetail {
            from: from.to_owned(),
            to: to.to_owned(),
            exchange: if key.is_empty() { "forward" } else { "hash" }.to_owned(),
            key: key.iter().map(|&key| key.to_owned()).collect(),
            schema: "card utf8, amount float64, a column with a long name int64".to_owned(),
            queued_bytes: 0,
        };
        let digest = format!("sha256:{}", "ab12".repeat(16));
        let plan = Plan {
            name: "fraud".to_owned(),
            slots: 4,
            slots_free: 2,
            vertices: vec![
                vertex("payments", VertexKind::Source, 0, None),
                vertex("an-operator-with-a-rather-long-name", VertexKind::Operator, 1, Some(&digest)),
                vertex("al\u{1b}[31merts", VertexKind::Sink, 1, None),
            ],
            edges: vec![
                edge("payments.out", "an-operator-with-a-rather-long-name", &["card", "country"]),
                edge("an-operator-with-a-rather-long-name.suspicious", "alerts", &[]),
            ],
            warnings: Vec::new(),
            beginning: None,
            guarantees: Vec::new(),
        };
        let narrow = Terminal { attended: true, redraws: true, width: 60, columns: 60, colors: false, unicode: false };
        let drawn_narrow = drawn(&plan, &narrow);
        assert!(drawn_narrow.lines().all(|line| console::measure_text_width(line) <= 60), "{drawn_narrow}");
        expect![[r#"
            ------------------------------------------------------------
             vertex               kind       par   chain   plugin
            ============================================================
             payments             source       4       0   -
            ------------------------------------------------------------
             an-operator-with-a   operator     4       1   ab12ab12ab12
             -rather-long-name
            ------------------------------------------------------------
             al\u{1b}[31merts     sink         4       1   -
            ------------------------------------------------------------
            ------------------------------------------------------------
             from                   to                    exchange
            ============================================================
             payments.out           an-operator-with-a-   hash by card,
                                    rather-long-name      country
            ------------------------------------------------------------
             an-operator-with-a-r   alerts                forward
             ather-long-name.susp
             icious
            ------------------------------------------------------------
            job fraud needs 4 slots, 2 are free: too few, it would wait
        "#]]
        .assert_eq(&drawn_narrow);
    }
}
