//! Paths into JSON: `$.user.emails[0]`, `["first name"]`. The `$` may be left out, and so may the dot of the first name.

use wasmill_sdk::prelude::*;

/// One step deeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into an object.
    Member(String),
    /// Into an array.
    Element(usize),
}

/// Steps a path may have: each costs stack when JSON is read.
const STEPS_MAX: usize = 32;

/// The steps of a path; `$` has none.
pub(crate) fn parse(path: &str) -> Result<Vec<Step>, String> {
    let wrong = |why: &str| format!("`{path}`: {why}");
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    let mut at_begin = rest.len() == path.len();
    if path.is_empty() {
        return Err("is empty; `$` is the whole text".to_owned());
    }
    while !rest.is_empty() {
        let step;
        (step, rest) = match rest.strip_prefix('[') {
            Some(inside) => bracket(inside).map_err(wrong)?,
            None => {
                let name = match rest.strip_prefix('.') {
                    Some(name) => name,
                    None if at_begin => rest,
                    None => return Err(wrong("expected `.` or `[` behind a step")),
                };
                let (name, rest) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
                if name.is_empty() {
                    return Err(wrong("a name is empty; `[\"\"]` is the member whose name is"));
                }
                (Step::Member(name.to_owned()), rest)
            }
        };
        at_begin = false;
        steps.push(step);
    }
    if steps.len() > STEPS_MAX {
        return Err(wrong("has more than 32 steps"));
    }
    Ok(steps)
}

/// What stands behind a bracket, and what behind its end.
fn bracket(inside: &str) -> Result<(Step, &str), &'static str> {
    if let Some(quoted) = inside.strip_prefix('"') {
        let (name, rest) = quoted.split_once("\"]").ok_or("a `[\"` has no `\"]`")?;
        return Ok((Step::Member(name.to_owned()), rest));
    }
    let (number, rest) = inside.split_once(']').ok_or("a `[` has no `]`")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|_| is_number);
    Ok((Step::Element(number.ok_or("expected a number from 0, or a quoted name, in `[]`")?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let member = |name: &str| Step::Member(name.to_owned());
        let check = |path, steps: &[Step]| assert_eq!(parse(path).as_deref(), Ok(steps), "{path}");
        check("$", &[]);
        check("a", &[member("a")]);
        check("$.a.żółw", &[member("a"), member("żółw")]);
        check("a[0].b[12]", &[member("a"), Step::Element(0), member("b"), Step::Element(12)]);
        check("[3]", &[Step::Element(3)]);
        check(r#"$["a.b"][""].c"#, &[member("a.b"), member(""), member("c")]);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["", "$.", ".", "a..b", "a.", "a[", "a[]", "a[x]", "a[-1]", "a[+1]", "[\"a", "a[0]b", "$a.b."] {
            assert!(parse(path).is_err(), "{path}");
        }
        assert!(parse(&"[0]".repeat(33)).is_err());
        assert_eq!(parse("a[x]"), Err("`a[x]`: expected a number from 0, or a quoted name, in `[]`".to_owned()));
    }
}
