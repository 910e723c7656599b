//! The terminal: raw while a machine has it, as it was before on every way out.

use std::io::IsTerminal;
use std::sync::{Mutex, Once, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// The escape key, Ctrl-A, and what follows it.
const ESCAPE: u8 = 0x01;

const HELP: &str = "\r\n\
    Ctrl-A h    this help\r\n\
    Ctrl-A x    end the program\r\n\
    Ctrl-A b    send a break\r\n\
    Ctrl-A c    switch between the console and the monitor\r\n\
    Ctrl-A Ctrl-A    send Ctrl-A\r\n";

/// The settings to go back to, and the raw ones. The terminal is the process's, hence a static.
static SETTINGS: Mutex<Option<(Termios, Termios)>> = Mutex::new(None);

fn apply(raw: bool) {
    let settings = SETTINGS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((before, during)) = &*settings {
        // There is nobody to tell when the terminal has gone away.
        let _ = tcsetattr(
            std::io::stdin(),
            OptionalActions::Now,
            if raw { during } else { before },
        );
    }
}

/// Makes the terminal raw, if standard input is one. Returns whether it is.
pub fn take() -> bool {
    static HOOK: Once = Once::new();
    if !std::io::stdin().is_terminal() {
        return false;
    }
    if let Ok(before) = tcgetattr(std::io::stdin()) {
        let mut during = before.clone();
        during.make_raw();
        *SETTINGS.lock().unwrap_or_else(PoisonError::into_inner) = Some((before, during));
        apply(true);
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                next(info);
            }));
        });
    }
    true
}

/// Puts the terminal back as it was.
pub fn restore() {
    apply(false);
    *SETTINGS.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Puts the terminal back while the program is stopped.
pub fn leave() {
    apply(false);
}

/// Makes the terminal raw again after the program was stopped and continued.
pub fn resume() {
    apply(true);
}

/// What the keys typed so far mean.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// For the guest or the monitor.
    Text(Vec<u8>),
    /// A break condition for the guest.
    Break,
    /// Switch between the guest and the monitor.
    Switch,
    /// End the program.
    Quit,
    /// Show this to the person.
    Say(&'static str),
}

/// Tells the escape sequences from the guest's input.
#[derive(Debug, Default)]
pub struct Keys {
    escaped: bool,
}

impl Keys {
    /// Sorts what was typed.
    pub fn sort(&mut self, bytes: &[u8]) -> Vec<Typed> {
        let mut out: Vec<Typed> = Vec::new();
        let text = |out: &mut Vec<Typed>, byte| match out.last_mut() {
            Some(Typed::Text(text)) => text.push(byte),
            _ => out.push(Typed::Text(vec![byte])),
        };
        for &byte in bytes {
            if !std::mem::take(&mut self.escaped) {
                if byte == ESCAPE {
                    self.escaped = true
                } else {
                    text(&mut out, byte)
                }
                continue;
            }
            match byte {
                b'x' => out.push(Typed::Quit),
                b'h' | b'?' => out.push(Typed::Say(HELP)),
                b'b' => out.push(Typed::Break),
                b'c' => out.push(Typed::Switch),
                ESCAPE => text(&mut out, ESCAPE),
                _ => out.push(Typed::Say("\r\nCtrl-A h shows the keys\r\n")),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_told_from_input() {
        let mut keys = Keys::default();
        assert_eq!(
            keys.sort(b"ls\x01\x01\x01b\r\x01"),
            [
                Typed::Text(b"ls\x01".into()),
                Typed::Break,
                Typed::Text(b"\r".into())
            ]
        );
        assert_eq!(keys.sort(b"xy"), [Typed::Quit, Typed::Text(b"y".into())]);
        assert_eq!(keys.sort(b"\x01h\x01c"), [Typed::Say(HELP), Typed::Switch]);
    }
}
