//! Functions of text. Characters are Unicode's, counted from 1.

use wasmill_sdk::prelude::*;

use crate::{
    node::{Rewrite, Search},
    vector::{Lane, Strings, Texts, Values, Vector, all_errors, both_valid, null},
};

fn boolean(vector: Vector<'_>, values: Vec<bool>) -> Vector<'_> {
    Vector { values: Values::Boolean(Lane::Made(values)), ..vector }
}

/// Whether texts match a pattern in which `%` stands for any text, `_` for any character, and `\` takes the meaning of the next.
pub(crate) fn like<'c>(vector: Vector<'c>, pattern: &str, has_case: bool, count: usize) -> Vector<'c> {
    let Values::Text(texts) = &vector.values else { return null(vector.errors) };
    let pattern = Pattern::new(pattern, has_case);
    let values = (0..count).map(|row| pattern.matches(texts.get(row))).collect();
    boolean(vector, values)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    AnyText,
    AnyCharacter,
    Is(char),
}

struct Pattern {
    tokens: Vec<Token>,
    has_case: bool,
}

impl Pattern {
    fn new(pattern: &str, has_case: bool) -> Self {
        let mut tokens = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            tokens.push(match character {
                '%' => Token::AnyText,
                '_' => Token::AnyCharacter,
                // A pattern that ends in `\` means it.
                '\\' => Token::Is(folded(characters.next().unwrap_or('\\'), has_case)),
                other => Token::Is(folded(other, has_case)),
            });
        }
        tokens.dedup_by(|a, b| *a == Token::AnyText && *b == Token::AnyText);
        Self { tokens, has_case }
    }

    /// Goes back only to the last `%`: the time is at most that of the text by the pattern.
    fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut place = 0;
        let mut retry = None;
        loop {
            let before = rest.clone();
            let fits = match (self.tokens.get(place), rest.next()) {
                (Some(Token::AnyText), _) => {
                    retry = Some((place, before.clone()));
                    rest = before;
                    place += 1;
                    continue;
                }
                (None, None) => return true,
                (Some(Token::AnyCharacter), Some(_)) => true,
                (Some(Token::Is(wanted)), Some(found)) => *wanted == folded(found, self.has_case),
                (Some(_), None) => return false,
                (None, Some(_)) => false,
            };
            if fits {
                place += 1;
                continue;
            }
            let Some((any, mut from)) = retry.take() else { return false };
            if from.next().is_none() {
                return false;
            }
            retry = Some((any, from.clone()));
            (rest, place) = (from, any + 1);
        }
    }
}

/// Characters whose lower case is one character are compared by it.
fn folded(character: char, has_case: bool) -> char {
    if has_case {
        return character;
    }
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => character,
    }
}

pub(crate) fn search<'c>(search: Search, a: Vector<'c>, b: Vector<'c>, count: usize) -> Vector<'c> {
    let errors = all_errors(a.errors, b.errors);
    let (Values::Text(texts), Values::Text(parts)) = (&a.values, &b.values) else { return null(errors) };
    let holds = |row: usize| {
        let (text, part) = (texts.get(row), parts.get(row));
        match search {
            Search::Starts => text.starts_with(part),
            Search::Ends => text.ends_with(part),
            Search::Contains => text.contains(part),
        }
    };
    let values = Values::Boolean(Lane::Made((0..count).map(holds).collect()));
    Vector { values, valid: both_valid(a.valid, b.valid), errors }
}

/// All texts behind each other; null if one of them is.
pub(crate) fn concat(vectors: Vec<Vector<'_>>, count: usize) -> Vector<'_> {
    let mut texts = Texts::with_capacity(count);
    for row in 0..count {
        for vector in &vectors {
            if let Values::Text(values) = &vector.values {
                texts.open().push_str(values.get(row));
            }
        }
        texts.end();
    }
    let is_null = vectors.iter().any(|vector| !matches!(vector.values, Values::Text(_)));
    let (mut valid, mut errors) = (None, Vec::new());
    for vector in vectors {
        valid = both_valid(valid, vector.valid);
        errors = all_errors(errors, vector.errors);
    }
    if is_null {
        return null(errors);
    }
    Vector { values: Values::Text(Strings::Made(texts)), valid, errors }
}

pub(crate) fn rewrite(rewrite: Rewrite, vector: Vector<'_>, count: usize) -> Vector<'_> {
    let Values::Text(values) = &vector.values else { return null(vector.errors) };
    let mut texts = Texts::with_capacity(count);
    for row in 0..count {
        let text = values.get(row);
        match rewrite {
            Rewrite::Lower => texts.open().extend(text.chars().flat_map(char::to_lowercase)),
            Rewrite::Upper => texts.open().extend(text.chars().flat_map(char::to_uppercase)),
            Rewrite::Trim => texts.open().push_str(text.trim()),
            Rewrite::TrimStart => texts.open().push_str(text.trim_start()),
            Rewrite::TrimEnd => texts.open().push_str(text.trim_end()),
        }
        texts.end();
    }
    Vector { values: Values::Text(Strings::Made(texts)), ..vector }
}

pub(crate) fn replace<'c>(text: Vector<'c>, from: Vector<'c>, to: Vector<'c>, count: usize) -> Vector<'c> {
    let errors = all_errors(all_errors(text.errors, from.errors), to.errors);
    let (Values::Text(values), Values::Text(from_values), Values::Text(to_values)) =
        (&text.values, &from.values, &to.values)
    else {
        return null(errors);
    };
    let mut texts = Texts::with_capacity(count);
    for row in 0..count {
        let (text, from, to) = (values.get(row), from_values.get(row), to_values.get(row));
        let mut rest = text;
        // Nothing is nowhere to be found.
        while let Some((before, behind)) = rest.split_once(from).filter(|_| !from.is_empty()) {
            texts.open().push_str(before);
            texts.open().push_str(to);
            rest = behind;
        }
        texts.push(rest);
    }
    let valid = both_valid(both_valid(text.valid, from.valid), to.valid);
    Vector { values: Values::Text(Strings::Made(texts)), valid, errors }
}

pub(crate) fn length(vector: Vector<'_>, count: usize) -> Vector<'_> {
    let Values::Text(texts) = &vector.values else { return null(vector.errors) };
    let values = (0..count).map(|row| texts.get(row).chars().count() as i64).collect();
    Vector { values: Values::Whole(Lane::Made(values)), ..vector }
}

/// The characters from a number on; those before the first count, but are none.
pub(crate) fn substring<'c>(
    text: Vector<'c>,
    from: Vector<'c>,
    length: Option<Vector<'c>>,
    count: usize,
) -> Vector<'c> {
    let mut errors = all_errors(text.errors, from.errors);
    let mut valid = both_valid(text.valid, from.valid);
    let (Values::Text(values), Values::Whole(starts)) = (&text.values, &from.values) else { return null(errors) };
    let lengths = match length {
        None => None,
        Some(length) => {
            errors = all_errors(errors, length.errors);
            valid = both_valid(valid, length.valid);
            let Values::Whole(lengths) = length.values else { return null(errors) };
            Some(lengths)
        }
    };
    let mut texts = Texts::with_capacity(count);
    for row in 0..count {
        let start = starts.get(row);
        let end = lengths.as_ref().map_or(i64::MAX, |lengths| start.saturating_add(lengths.get(row).max(0)));
        let skipped = usize::try_from(start.saturating_sub(1)).unwrap_or(0);
        let taken = usize::try_from(end.saturating_sub(start.max(1))).unwrap_or(0);
        texts.open().extend(values.get(row).chars().skip(skipped).take(taken));
        texts.end();
    }
    Vector { values: Values::Text(Strings::Made(texts)), valid, errors }
}
