//! What is expected and what was found, side by side, line by line.

use similar::{ChangeTag, TextDiff};

/// Lines around a difference.
const CONTEXT: usize = 2;

/// Lines of a diff that are shown.
const LINES_MAX: usize = 60;

/// Lines beyond which no best pairing is looked for: it takes time that grows with the product of both.
const PAIRED_MAX: usize = 5_000;

/// A line of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// `-`: expected and not found; `+`: found and not expected; ` `: both; `~`: about the diff itself.
    pub(crate) sign: char,
    pub(crate) text: String,
}

/// The lines that differ, with some around them; none: they are the same.
pub(crate) fn diff(expected: &[String], found: &[String]) -> Vec<Line> {
    if expected == found {
        return Vec::new();
    }
    if expected.len().max(found.len()) > PAIRED_MAX {
        return first_difference(expected, found);
    }
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let diff = TextDiff::from_slices(&expected, &found);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(CONTEXT) {
        let first = group.first().map_or(0, |op| op.old_range().start);
        if first > 0 || !lines.is_empty() {
            lines.push(Line { sign: '~', text: format!("row {first}") });
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            lines.push(Line { sign, text: change.value().to_owned() });
        }
    }
    cut(lines)
}

fn first_difference(expected: &[String], found: &[String]) -> Vec<Line> {
    let same = expected.iter().zip(found).take_while(|(expected, found)| expected == found).count();
    let mut lines = vec![Line { sign: '~', text: format!("row {same}") }];
    let line = |sign| move |text: &String| Line { sign, text: text.clone() };
    lines.extend(expected[same..].iter().take(CONTEXT).map(line('-')));
    lines.extend(found[same..].iter().take(CONTEXT).map(line('+')));
    lines.push(Line { sign: '~', text: format!("{} rows are expected, {} were found", expected.len(), found.len()) });
    lines
}

fn cut(mut lines: Vec<Line>) -> Vec<Line> {
    let more = lines.len().saturating_sub(LINES_MAX);
    if more > 0 {
        lines.truncate(LINES_MAX);
        lines.push(Line { sign: '~', text: format!("and {more} lines more") });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &str, found: &str, expect: &str) {
        let rows = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines = diff(&rows(expected), &rows(found));
        let text: Vec<String> = lines.iter().map(|line| format!("{}{}", line.sign, line.text)).collect();
        assert_eq!(text.join("|"), expect, "{expected} / {found}");
    }

    #[test]
    fn only_what_differs_is_shown_with_what_is_around_it() {
        check("a b c", "a b c", "");
        check("a b c", "a x c", " a|-b|+x| c");
        check("", "a", "+a");
        check("a", "", "-a");
        check("1 2 3 4 5 6", "1 2 3 4 5 7", "~row 3| 4| 5|-6|+7");
        check("1 2 3 4 5 6 7 8 9 0", "x 2 3 4 5 6 7 8 9 y", "-1|+x| 2| 3|~row 7| 8| 9|-0|+y");
    }

    #[test]
    fn a_long_diff_is_cut() {
        let rows = |of: &str| (0..100).map(|i| format!("{of}{i}")).collect::<Vec<_>>();
        let lines = diff(&rows("a"), &rows("b"));
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines[LINES_MAX].text, "and 140 lines more");
        let many = |last: &str| (0..PAIRED_MAX).map(|i| i.to_string()).chain([last.to_owned()]).collect::<Vec<_>>();
        let lines = diff(&many("a"), &many("b"));
        assert_eq!(lines[0].text, format!("row {PAIRED_MAX}"));
    }
}
