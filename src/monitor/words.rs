//! A command line taken apart as QEMU's monitor does.

/// The words of a line. Blanks part them; between double quotes a word may have blanks, and `\"`, `\\`, `\'`, `\n` and `\r`
/// stand for the character.
///
/// # Errors
/// A quote that is not closed, or another character behind a `\`.
pub fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_word(quoted)?,
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = behind.trim_start();
    }
    Ok(words)
}

/// The word up to the closing quote, and what follows that.
fn quoted_word(text: &str) -> Result<(String, &str), String> {
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((word, &text[at + 1..])),
            '\\' => word.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, 'r')) => '\r',
                Some((_, c @ ('\\' | '\'' | '"'))) => c,
                Some((_, c)) => return Err(format!("unsupported escape code: '\\{c}'")),
                None => break,
            }),
            c => word.push(c),
        }
    }
    Err("unterminated string".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_line_is_words_or_a_reason(line in ".*") {
            let _ = words(&line);
        }

        #[test]
        fn a_quoted_word_is_itself(word in "\\PC*") {
            let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
            let line = format!("a \"{escaped}\" b");
            prop_assert_eq!(words(&line).unwrap(), ["a", word.as_str(), "b"]);
        }
    }

    #[test]
    fn quotes_hold_a_word_together() {
        for (line, expected) in [
            ("", &[][..]),
            ("  info   status ", &["info", "status"]),
            (
                r#"migrate "exec:gzip -c > STATEFILE.gz""#,
                &["migrate", "exec:gzip -c > STATEFILE.gz"],
            ),
            (r#"savevm "a \"b\" \\ c""#, &["savevm", r#"a "b" \ c"#]),
            (r#"a """#, &["a", ""]),
            (r#"exec:cat>"x y""#, &[r#"exec:cat>"x"#, r#"y""#]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        assert_eq!(words(r#"a "b"#).unwrap_err(), "unterminated string");
        assert_eq!(words(r#"a "\"#).unwrap_err(), "unterminated string");
        assert_eq!(
            words(r#""\q""#).unwrap_err(),
            "unsupported escape code: '\\q'"
        );
    }
}
