//! The constants in a text of Rust, read without its grammar: what the tests compare with the list is found in no time.

/// A number or truth value, or the name of a constant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    /// The functions and constants that it stands in: `Uart16550::numbered`.
    pub within: String,
    /// As it is written.
    pub text: String,
    /// Where it starts.
    pub at: usize,
}

/// Whether a text is the name of a constant.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Number(&'t str),
    Mark(u8),
}

use Token::{Mark, Number, Word};

/// The words, numbers and marks of a text, each with its place; a text in quotes is the mark `"`.
fn tokens(text: &str) -> Vec<(Token<'_>, usize)> {
    let bytes = text.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    let mut all = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let start = i;
        match bytes[i] {
            b'/' if at(i + 1) == b'/' => i += text[i..].find('\n').unwrap_or(text.len() - i),
            b'/' if at(i + 1) == b'*' => {
                i += text[i..].find("*/").map_or(text.len() - i, |n| n + 2)
            }
            b'"' => {
                i += 1;
                while i < bytes.len() && bytes[i] != b'"' {
                    i += 1 + usize::from(bytes[i] == b'\\');
                }
                i += 1;
                all.push((Mark(b'"'), start));
            }
            // A character, not a lifetime.
            b'\'' if at(i + 1) == b'\\' => i += 3 + text[i + 3..].find('\'').unwrap_or(0),
            b'\'' if text[i + 1..].chars().nth(1) == Some('\'') => {
                i += 2 + text[i + 1..].chars().next().map_or(0, char::len_utf8);
            }
            b'0'..=b'9' => {
                while is_word(at(i)) || at(i) == b'.' && at(i + 1).is_ascii_digit() {
                    i += 1;
                }
                all.push((Number(&text[start..i]), start));
            }
            b if is_word(b) => {
                while is_word(at(i)) {
                    i += 1;
                }
                all.push((Word(&text[start..i]), start));
            }
            b => {
                i += 1;
                if !b.is_ascii_whitespace() {
                    all.push((Mark(b), start));
                }
            }
        }
    }
    all
}

/// The place behind the bracket that closes the one at a place.
fn behind(tokens: &[(Token<'_>, usize)], open: usize) -> usize {
    let mut depth = 0;
    for (n, (token, _)) in tokens.iter().enumerate().skip(open) {
        match token {
            Mark(b'{' | b'[' | b'(') => depth += 1,
            Mark(b'}' | b']' | b')') => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return n + 1;
        }
    }
    tokens.len()
}

/// The type that an `impl` is of, from what stands behind the word.
fn of_impl<'t>(tokens: &[(Token<'t>, usize)]) -> &'t str {
    let (mut name, mut depth) = ("", 0i32);
    for (n, (token, _)) in tokens.iter().enumerate() {
        match *token {
            Mark(b'{') | Word("where") => break,
            Mark(b'<' | b'(' | b'[') => depth += 1,
            Mark(b'>') if n > 0 && tokens[n - 1].0 == Mark(b'-') => {}
            Mark(b'>' | b')' | b']') => depth -= 1,
            Word("for") if depth == 0 => name = "",
            Word(word) if depth == 0 => name = word,
            _ => {}
        }
    }
    name
}

fn is_constant(word: &str) -> bool {
    word.len() > 1
        && word.starts_with(|c: char| c.is_ascii_uppercase())
        && !word.contains(|c: char| c.is_ascii_lowercase())
}

/// The constants in a text that stand in a function or a constant, in order. Tests are left out.
pub fn constants(text: &str) -> Vec<Constant> {
    let tokens = tokens(text);
    let token = |n: usize| tokens.get(n).map_or(Mark(0), |(token, _)| *token);
    let mut all = Vec::new();
    // What stands around: its name, the depth of brackets, and whether a `;` ends it.
    let mut around: Vec<(&str, usize, bool)> = Vec::new();
    let mut next: Option<(&str, usize)> = None;
    let (mut depth, mut n) = (0, 0);
    while n < tokens.len() {
        let before = n.checked_sub(1).map_or(Mark(b';'), token);
        match token(n) {
            Mark(b'#') => {
                let open = n + 1 + usize::from(token(n + 1) == Mark(b'!'));
                let said = [token(open + 1), token(open + 2), token(open + 3)];
                n = behind(&tokens, open);
                if said[0] == Word("test") || said == [Word("cfg"), Mark(b'('), Word("test")] {
                    while !matches!(token(n), Mark(b'{' | b';' | 0)) {
                        n += 1;
                    }
                    n = if token(n) == Mark(b'{') {
                        behind(&tokens, n)
                    } else {
                        n + 1
                    };
                }
                continue;
            }
            Mark(b'{' | b'[' | b'(') => {
                depth += 1;
                if token(n) == Mark(b'{')
                    && let Some((name, _)) = next.take_if(|(_, at)| *at + 1 == depth)
                {
                    around.push((name, depth, false));
                }
            }
            Mark(b'}' | b']' | b')') => {
                around.pop_if(|(_, at, _)| *at == depth);
                depth = depth.saturating_sub(1);
            }
            Mark(b';') => {
                next.take_if(|(_, at)| *at == depth);
                around.pop_if(|(_, at, ends)| *ends && *at == depth);
            }
            Word("fn" | "trait") => {
                if let Word(name) = token(n + 1) {
                    next = Some((name, depth));
                }
            }
            Word("impl") if matches!(before, Mark(b'}' | b';' | b']' | b'{') | Word("unsafe")) => {
                next = Some((of_impl(&tokens[n + 1..]), depth));
            }
            Word("connections") if token(n + 1) == Mark(b'!') => {
                next = Some(("connections", depth))
            }
            Word("const" | "static") if !matches!(before, Mark(b'<' | b',')) => {
                if let (Word(name), Mark(b':')) = (token(n + 1), token(n + 2)) {
                    around.push((name, depth, true));
                    n += 2;
                }
            }
            // Not a field of a tuple.
            Number(_) if before == Mark(b'.') && (n < 2 || token(n - 2) != Mark(b'.')) => {}
            Number(text) => all.push((text, tokens[n].1, around.clone())),
            Word(text) if is_constant(text) || ["true", "false"].contains(&text) => {
                all.push((text, tokens[n].1, around.clone()));
            }
            _ => {}
        }
        n += 1;
    }
    let made = all.into_iter().filter(|(.., around)| !around.is_empty());
    made.map(|(text, at, around)| {
        let names: Vec<_> = around.iter().map(|(name, ..)| *name).collect();
        Constant {
            within: names.join("::"),
            text: text.to_owned(),
            at,
        }
    })
    .collect()
}
