//! Texts that end the run when the guest prints them.

use std::cell::Cell;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use super::outside::Post;
use super::say;
use crate::machine::{Backlog, Sink, Word};
use crate::visible::visible;

/// The status where none is given.
const STATUS: u8 = 1;

/// A text that ends the run, and with what status: `TEXT`, or `STATUS:TEXT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitOn {
    text: String,
    status: u8,
}

impl FromStr for ExitOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let status = text.split_once(':').filter(|(status, _)| {
            !status.is_empty() && status.bytes().all(|digit| digit.is_ascii_digit())
        });
        let (status, text) = match status {
            Some((status, text)) => {
                let status = status.parse();
                (status.map_err(|_| "a status is 0 to 255".to_owned())?, text)
            }
            None => (STATUS, text),
        };
        if text.is_empty() {
            return Err("there is no text".to_owned());
        }
        let text = text.to_owned();
        Ok(Self { text, status })
    }
}

/// A slot's characters on their way out, looked through for texts.
pub(super) struct Watched {
    pub name: String,
    pub texts: Rc<[ExitOn]>,
    /// One was printed, to this slot or another.
    pub found: Rc<Cell<bool>>,
    pub post: Post,
    /// The last characters, as many as the longest text has.
    pub last: Vec<u8>,
    /// Where they go.
    pub inner: Option<Box<dyn Sink>>,
}

impl Watched {
    fn look(&mut self, byte: u8) {
        let most = self.texts.iter().map(|exit| exit.text.len()).max();
        if Some(self.last.len()) == most {
            self.last.remove(0);
        }
        self.last.push(byte);
        let found = self
            .texts
            .iter()
            .find(|exit| self.last.ends_with(exit.text.as_bytes()));
        if let Some(ExitOn { text, status }) = found {
            self.found.set(true);
            let name = &self.name;
            say(&visible(&format!(
                "{name}: '{text}' ends the run with status {status}\n"
            )));
            // A machine that has ended needs no telling.
            let _ = self.post.word(Word::Quit(*status));
        }
    }
}

impl Sink for Watched {
    fn send(&mut self, bytes: &[u8]) {
        if let Some(inner) = &mut self.inner {
            inner.send(bytes);
        }
        for byte in bytes {
            if !self.found.get() {
                self.look(*byte);
            }
        }
    }

    fn wait(&mut self) -> Option<Duration> {
        self.inner.as_mut()?.wait()
    }

    fn backlog(&self) -> Backlog {
        self.inner
            .as_ref()
            .map(|inner| inner.backlog())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_may_stand_before_a_text() {
        let exit = |text: &str, status| {
            let text = text.to_owned();
            Ok(ExitOn { text, status })
        };
        assert_eq!("Kernel panic".parse(), exit("Kernel panic", 1));
        assert_eq!("0:all passed".parse(), exit("all passed", 0));
        assert_eq!("error: x".parse(), exit("error: x", 1));
        assert_eq!(":x".parse(), exit(":x", 1));
        assert_eq!("0:3:x".parse(), exit("3:x", 0));
        for wrong in ["", "0:", "256:x"] {
            wrong.parse::<ExitOn>().expect_err(wrong);
        }
    }
}
