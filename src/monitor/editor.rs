//! Editing a line on a terminal that is raw.
//!
//! The line editors of crates take over the terminal and block until a line is there. Here the guest's console shares the
//! terminal and the machine runs on while a line is typed, so this one is fed bytes as they come.

use std::mem::take;

/// The lines kept to come back to.
const HISTORY: usize = 500;

/// The longest line.
const LONGEST: usize = 4096;

/// What a terminal sends for a key that has no character.
#[derive(Debug, Default, PartialEq, Eq)]
enum Sequence {
    #[default]
    None,
    /// ESC.
    Escape,
    /// ESC [ or ESC O, and the digits behind it.
    Control(Vec<u8>),
}

/// A line being typed, and those typed before.
#[derive(Debug)]
pub struct Editor {
    prompt: &'static str,
    line: Vec<char>,
    cursor: usize,
    history: Vec<String>,
    /// Which line of the history is shown, and what was typed before it was.
    shown: Option<(usize, Vec<char>)>,
    sequence: Sequence,
    /// Bytes of a character that has more.
    partial: Vec<u8>,
}

impl Editor {
    /// An empty line behind a prompt.
    pub fn new(prompt: &'static str) -> Self {
        Self {
            prompt,
            line: Vec::new(),
            cursor: 0,
            history: Vec::new(),
            shown: None,
            sequence: Sequence::None,
            partial: Vec::new(),
        }
    }

    /// What shows the prompt and what has been typed.
    pub fn draw(&self) -> String {
        let line: String = self.line.iter().collect();
        let back = self.line.len() - self.cursor;
        let back = match back {
            0 => String::new(),
            back => format!("\x1b[{back}D"),
        };
        format!("\r{}{line}\x1b[K{back}", self.prompt)
    }

    /// Takes bytes from the terminal up to the end of a line. Returns that line and how many bytes were taken; what the
    /// terminal should show is added to `echo`. `complete` says how a line up to the cursor could go on.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        echo: &mut String,
        complete: &dyn Fn(&str) -> Vec<String>,
    ) -> (Option<String>, usize) {
        for (index, &byte) in bytes.iter().enumerate() {
            if let Some(line) = self.byte(byte, echo, complete) {
                return (Some(line), index + 1);
            }
        }
        (None, bytes.len())
    }

    fn byte(
        &mut self,
        byte: u8,
        echo: &mut String,
        complete: &dyn Fn(&str) -> Vec<String>,
    ) -> Option<String> {
        match (&mut self.sequence, byte) {
            (Sequence::Escape, b'[' | b'O') => {
                self.sequence = Sequence::Control(Vec::new());
                return None;
            }
            (Sequence::Control(digits), b'0'..=b'9' | b';') => {
                digits.push(byte);
                return None;
            }
            (Sequence::Control(digits), _) => {
                let digits = take(digits);
                self.sequence = Sequence::None;
                self.key(byte, &digits, echo);
                return None;
            }
            (Sequence::Escape, _) => {
                self.sequence = Sequence::None;
                return None;
            }
            (Sequence::None, _) => {}
        }
        match byte {
            b'\r' | b'\n' => return Some(self.enter(echo)),
            0x1b => self.sequence = Sequence::Escape,
            0x01 => self.key(b'H', b"", echo),
            0x02 => self.key(b'D', b"", echo),
            0x04 => self.key(b'~', b"3", echo),
            0x05 => self.key(b'F', b"", echo),
            0x06 => self.key(b'C', b"", echo),
            0x0e => self.key(b'B', b"", echo),
            0x10 => self.key(b'A', b"", echo),
            0x08 | 0x7f if self.cursor > 0 => self.delete(self.cursor - 1, self.cursor, echo),
            0x0b => self.delete(self.cursor, self.line.len(), echo),
            0x15 => self.delete(0, self.cursor, echo),
            0x17 => {
                let typed = &self.line[..self.cursor];
                let word = typed.iter().rposition(|c| *c != ' ');
                let start = typed[..word.unwrap_or(0)].iter().rposition(|c| *c == ' ');
                self.delete(start.map_or(0, |blank| blank + 1), self.cursor, echo);
            }
            0x03 => {
                echo.push_str("^C\r\n");
                self.set(Vec::new());
                self.shown = None;
                echo.push_str(&self.draw());
            }
            0x0c => {
                echo.push_str("\x1b[H\x1b[2J");
                echo.push_str(&self.draw());
            }
            b'\t' => self.complete(echo, complete),
            0x20..=0x7e | 0x80.. => self.character(byte, echo),
            _ => {}
        }
        None
    }

    fn enter(&mut self, echo: &mut String) -> String {
        echo.push_str("\r\n");
        let line: String = take(&mut self.line).into_iter().collect();
        self.cursor = 0;
        self.shown = None;
        if !line.trim().is_empty() && self.history.last() != Some(&line) {
            if self.history.len() == HISTORY {
                self.history.remove(0);
            }
            self.history.push(line.clone());
        }
        line
    }

    /// A key that a terminal sends as a sequence, by its last byte and the digits before.
    fn key(&mut self, last: u8, digits: &[u8], echo: &mut String) {
        let (cursor, end) = (self.cursor, self.line.len());
        match (last, digits) {
            (b'A', _) => self.recall(true),
            (b'B', _) => self.recall(false),
            (b'C', _) => self.cursor = (cursor + 1).min(end),
            (b'D', _) => self.cursor = cursor.saturating_sub(1),
            (b'H', _) | (b'~', b"1" | b"7") => self.cursor = 0,
            (b'F', _) | (b'~', b"4" | b"8") => self.cursor = end,
            (b'~', b"3") if cursor < end => return self.delete(cursor, cursor + 1, echo),
            _ => return,
        }
        echo.push_str(&self.draw());
    }

    fn set(&mut self, line: Vec<char>) {
        self.cursor = line.len();
        self.line = line;
    }

    /// Shows the line before the one shown, or the one behind it.
    fn recall(&mut self, older: bool) {
        let at = self
            .shown
            .as_ref()
            .map_or(self.history.len(), |(at, _)| *at);
        let to = if older {
            at.checked_sub(1)
        } else {
            (at < self.history.len()).then_some(at + 1)
        };
        let Some(to) = to else { return };
        match self.history.get(to) {
            Some(line) => {
                let line = line.chars().collect();
                let typed = match self.shown.take() {
                    Some((_, typed)) => typed,
                    None => take(&mut self.line),
                };
                self.shown = Some((to, typed));
                self.set(line);
            }
            None => {
                if let Some((_, typed)) = self.shown.take() {
                    self.set(typed);
                }
            }
        }
    }

    fn delete(&mut self, from: usize, to: usize, echo: &mut String) {
        self.line.drain(from..to);
        self.cursor = from;
        echo.push_str(&self.draw());
    }

    fn character(&mut self, byte: u8, echo: &mut String) {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                let typed: Vec<char> = text.chars().collect();
                self.insert(&typed, echo);
            }
            Err(e) if e.error_len().is_none() => return,
            // Not a character at all.
            Err(_) => {}
        }
        self.partial.clear();
    }

    fn insert(&mut self, typed: &[char], echo: &mut String) {
        if self.line.len() + typed.len() > LONGEST {
            return;
        }
        self.line
            .splice(self.cursor..self.cursor, typed.iter().copied());
        self.cursor += typed.len();
        if self.cursor == self.line.len() {
            echo.extend(typed);
        } else {
            echo.push_str(&self.draw());
        }
    }

    /// Adds what all ways to go on have in common, or shows them.
    fn complete(&mut self, echo: &mut String, complete: &dyn Fn(&str) -> Vec<String>) {
        let typed: String = self.line[..self.cursor].iter().collect();
        let word = typed.rsplit(' ').next().unwrap_or_default();
        let ways = complete(&typed);
        let Some(first) = ways.first() else { return };
        let common = ways.iter().fold(first.as_str(), |common, way| {
            let same = common.chars().zip(way.chars()).take_while(|(a, b)| a == b);
            &common[..same.map(|(c, _)| c.len_utf8()).sum()]
        });
        let mut more: Vec<char> = common[word.len().min(common.len())..].chars().collect();
        if ways.len() == 1 {
            more.push(' ');
        }
        if more.is_empty() {
            echo.push_str(&format!("\r\n{}\r\n", ways.join("  ")));
            echo.push_str(&self.draw());
        } else {
            self.insert(&more, echo);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_key_does_harm(keys in prop::collection::vec(prop_oneof![
            any::<u8>(), prop::sample::select(b"ab \t\x1b[ABCDHF3~\x01\x05\x7f\r".to_vec()),
        ], 0..200)) {
            let mut editor = Editor::new("> ");
            let mut rest = &keys[..];
            while !rest.is_empty() {
                let (_, used) = editor.feed(rest, &mut String::new(), &|line| {
                    vec![format!("{}é", line.rsplit(' ').next().unwrap_or_default())]
                });
                rest = &rest[used..];
                prop_assert!(used > 0 && editor.cursor <= editor.line.len());
            }
        }
    }

    /// Types at an editor; returns the lines entered and what is left on the line, with the cursor.
    fn typed(editor: &mut Editor, keys: &str) -> (Vec<String>, String) {
        let ways = |line: &str| {
            let word = line.rsplit(' ').next().unwrap_or_default();
            let names = ["savevm", "stop", "status", "système"].into_iter();
            names
                .filter(|n| n.starts_with(word))
                .map(str::to_owned)
                .collect()
        };
        let (mut lines, mut rest) = (Vec::new(), keys.as_bytes());
        while !rest.is_empty() {
            let (line, used) = editor.feed(rest, &mut String::new(), &ways);
            lines.extend(line);
            rest = &rest[used..];
        }
        let mut line: Vec<char> = editor.line.clone();
        line.insert(editor.cursor, '|');
        (lines, line.into_iter().collect())
    }

    #[test]
    fn a_line_is_edited() {
        for (keys, line) in [
            ("abc", "abc|"),
            ("abc\x7f\x08d", "ad|"),
            ("abc\x1b[D\x1b[Dx", "ax|bc"),
            ("abc\x02\x02\x06x", "abx|c"),
            ("abc\x01x\x05y", "xabcy|"),
            ("abc\x1b[Hx\x1b[Fy", "xabcy|"),
            ("abc\x1bOHx\x1b[4~y", "xabcy|"),
            ("abc\x01\x1b[3~\x04", "|c"),
            ("ab cd\x1b[D\x0b", "ab c|"),
            ("ab cd\x1b[D\x15", "|d"),
            ("ab cd  \x17x", "ab x|"),
            ("ab\x17\x17", "|"),
            ("ab\x03c", "c|"),
            ("\x7f\x04\x1b[D\x1b[C\x1b[A\x1b[B", "|"),
            ("a\x1b[1;5Cb\x1bxc\x00", "abc|"),
            ("grün\x7f\x7fß", "grß|"),
            ("sa\t", "savevm |"),
            ("st\t", "st|"),
            ("x s\x1b[Dsto\t", "x stop |s"),
            ("q\t", "q|"),
            ("sy\t", "système |"),
        ] {
            let got = typed(&mut Editor::new("> "), keys);
            assert_eq!(got, (Vec::new(), line.to_owned()), "{keys:?}");
        }
    }

    #[test]
    fn earlier_lines_come_back() {
        let mut editor = Editor::new("> ");
        let (lines, _) = typed(&mut editor, "one\rtwo\rtwo\r \r");
        assert_eq!(lines, ["one", "two", "two", " "]);
        let up = "\x1b[A";
        for (keys, line) in [
            ("new", "new|"),
            (up, "two|"),
            (up, "one|"),
            (up, "one|"),
            ("\x1b[B", "two|"),
            ("\x0e", "new|"),
            ("\x0e", "new|"),
            ("\x10!", "two!|"),
        ] {
            assert_eq!(typed(&mut editor, keys).1, line, "{keys:?}");
        }
        assert_eq!(typed(&mut editor, "\r\x1b[A").1, "two!|");
    }

    #[test]
    fn the_screen_follows() {
        let mut editor = Editor::new("> ");
        let mut echo = String::new();
        editor.feed(b"ac\x1b[Db", &mut echo, &|_| Vec::new());
        assert_eq!(echo, "ac\r> ac\x1b[K\x1b[1D\r> abc\x1b[K\x1b[1D");
    }
}
