//! Text of files and guests on its way to a person's terminal, where some characters would be orders.

use std::borrow::Cow;
use std::path::Path;

/// Whether a character is an order to a terminal, or changes the order in which the others are shown (UAX #9).
fn is_order(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character at a place of a text is one that all our text may have: the end of a line, or a tabulator.
fn is_layout(text: &str, at: usize, c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        '\r' => text[at..].starts_with("\r\n"),
        _ => false,
    }
}

/// A text with orders to the terminal shown instead of given: as Rust writes them, `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    let gives_orders = |(at, c)| is_order(c) && !is_layout(text, at, c);
    if !text.char_indices().any(gives_orders) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices() {
        match gives_orders((at, c)) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    out.into()
}

/// A name on its one line: with ends of lines shown too, so that it cannot make lines that others seem to say.
pub fn name(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_order) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_order(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    out.into()
}

/// A path as a message names it.
pub fn shown(path: &Path) -> String {
    name(&path.to_string_lossy()).into_owned()
}

/// A text with something of equal length in place of each such order, so that places in the text stay what they are.
pub fn replaced(text: &str) -> Cow<'_, str> {
    let gives_orders = |(at, c)| is_order(c) && !is_layout(text, at, c);
    if !text.char_indices().any(gives_orders) {
        return text.into();
    }
    let characters = text.char_indices();
    let shown = characters.map(|(at, c)| match (gives_orders((at, c)), c.len_utf8()) {
        (false, _) => c,
        (true, 1) => '?',
        (true, 2) => '¿',
        (true, _) => char::REPLACEMENT_CHARACTER,
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn orders_are_shown() {
        assert_eq!(visible("plain\n\ttext\r\n"), "plain\n\ttext\r\n");
        assert_eq!(
            visible("a\u{1b}]0;x\u{7}\rb\u{9b}31m\u{202e}"),
            "a\\u{1b}]0;x\\u{7}\\u{d}b\\u{9b}31m\\u{202e}"
        );
    }

    proptest! {
        #[test]
        fn no_text_gives_orders(text in "\\PC*|[\\x00-\\xff\u{202a}-\u{2069}]*") {
            for shown in [visible(&text), replaced(&text)] {
                for (at, c) in shown.char_indices() {
                    prop_assert!(!is_order(c) || is_layout(&shown, at, c), "{shown:?}");
                }
            }
            prop_assert!(!name(&text).contains(is_order));
            prop_assert_eq!(replaced(&text).len(), text.len());
        }
    }
}
