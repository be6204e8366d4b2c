//! Links between documents: what a relative link names exists, and so does the heading it points to.

use std::collections::BTreeSet;

use crate::{File, Finding, Tree};

/// Reports relative links in Markdown files that lead nowhere.
#[must_use]
pub fn links(tree: &Tree) -> Vec<Finding> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for path in &tree.paths {
        known.insert(path);
        known.extend(path.match_indices('/').map(|(place, _)| &path[..place]));
    }
    let documents = tree.files.iter().filter(|file| file.has_ending("md"));
    documents.flat_map(|file| dead_links(file, &known, &tree.files)).collect()
}

fn dead_links(file: &File, known: &BTreeSet<&str>, files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, target) in targets(&file.text) {
        let (path, heading) = target.split_once('#').map_or((target.as_str(), None), |(p, h)| (p, Some(h)));
        let Some(place) = resolve(&file.path, path) else {
            findings.push(Finding::new(&file.path, line, format!("link `{target}` leaves the repository")));
            continue;
        };
        if !place.is_empty() && !known.contains(place.as_str()) {
            findings.push(Finding::new(&file.path, line, format!("link `{target}` leads nowhere")));
            continue;
        }
        let document = files.iter().find(|other| other.path == place && other.has_ending("md"));
        if let (Some(heading), Some(document)) = (heading, document)
            && !headings(&document.text).contains(heading)
        {
            findings.push(Finding::new(&file.path, line, format!("link `{target}`: there is no such heading")));
        }
    }
    findings
}

/// The lines of a document that are no code, with spans of code left out.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        (!in_code && !fence).then(|| (number, line.split('`').step_by(2).collect()))
    })
}

/// Relative link targets, `[text](target)` and `[name]: target`, with their lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let inline = line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        let named = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
        for target in inline.chain(named) {
            let target = target.split_whitespace().next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

/// A path relative to the folder of a document, from the root; none if it leads out of the repository.
fn resolve(document: &str, path: &str) -> Option<String> {
    if path.is_empty() {
        return Some(document.to_owned());
    }
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The names that headings get: lower case, spaces become `-`, marks vanish.
fn headings(text: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let lines = text.lines().filter(move |line| {
        in_code ^= line.trim_start().starts_with("```");
        !in_code
    });
    let titles =
        lines.filter_map(|line| line.strip_prefix('#')).map(|rest| rest.trim_start_matches('#').trim().to_lowercase());
    let slug = |title: String| -> String {
        title.replace(' ', "-").chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    titles.map(slug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[&str]) {
        let files = vec![
            File::new("docs/a.md", text),
            File::new("docs/b/c.md", "# A `title`, of sorts\n```\n# no title\n```\n"),
        ];
        let paths = vec!["docs/a.md".to_owned(), "docs/b/c.md".to_owned(), "picture.png".to_owned()];
        let found: Vec<String> = links(&Tree { files, paths }).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn good_links() {
        check("[c](b/c.md) ![p](../picture.png \"title\") [folder](b) [d](./b/)\n[x]: b/c.md\n", &[]);
        check("[c](b/c.md#a-title-of-sorts) [here](#top)\n## Top\n", &[]);
        check("[out](https://example.com/x.md) `[code](nowhere.md)`\n```\n[code](nowhere.md)\n```\n", &[]);
    }

    #[test]
    fn dead_links_are_found() {
        check("fine\n[c](c.md) [c](b/c.md)\n", &["docs/a.md:2: link `c.md` leads nowhere"]);
        check("[x]: d.md\n", &["docs/a.md:1: link `d.md` leads nowhere"]);
        check("[c](b/c.md#no-title)\n", &["docs/a.md:1: link `b/c.md#no-title`: there is no such heading"]);
        check("[here](#nowhere)\n", &["docs/a.md:1: link `#nowhere`: there is no such heading"]);
        check("[out](../../x.md)\n", &["docs/a.md:1: link `../../x.md` leaves the repository"]);
    }
}
