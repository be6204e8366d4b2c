//! Text of others on its way to a terminal: nothing in it may steer the terminal or pass for a line of ours.

/// The text as one line: line breaks and characters that steer a terminal or turn text around are escaped.
pub fn line(text: &str, characters_max: usize) -> String {
    cleaned(text, characters_max, |_| false)
}

/// The same with its line breaks.
pub(crate) fn text(text: &str, characters_max: usize) -> String {
    cleaned(text, characters_max, |c| c == '\n')
}

fn cleaned(text: &str, characters_max: usize, allowed: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(text.len().min(4 * characters_max));
    let mut characters = text.chars();
    for c in characters.by_ref().take(characters_max) {
        let hidden = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if hidden && !allowed(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    if characters.next().is_some() {
        clean.push_str("...");
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(line("a\u{1b}[31mb\nc\u{202e}d\té", 100), "a\\u{1b}[31mb\\nc\\u{202e}d\\té");
        assert_eq!(text("a\u{7}\nb", 100), "a\\u{7}\nb");
        assert_eq!(line("abcdef", 3), "abc...");
        assert_eq!(line("abc", 3), "abc");
    }
}
