//! A bar on the terminal while something takes longer than a moment.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

/// What takes less is done before a person has read anything.
const MOMENT: Duration = Duration::from_millis(500);
/// How long a bar stays as it is.
const REDRAW: Duration = Duration::from_millis(100);
/// Width of a terminal that does not say it.
const COLUMNS: u16 = 80;

/// A bar on standard error, if that is a terminal.
#[derive(Debug)]
pub struct Bar {
    what: &'static str,
    start: Instant,
    drawn: Option<Instant>,
    terminal: bool,
}

impl Bar {
    /// A bar that is not shown yet.
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            start: Instant::now(),
            drawn: None,
            terminal: io::stderr().is_terminal(),
        }
    }

    /// So many bytes of so many are done.
    pub fn at(&mut self, done: u64, of: u64) {
        let time = self.start.elapsed();
        if !self.terminal || time < MOMENT || self.drawn.is_some_and(|at| at.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let columns = tcgetwinsize(io::stderr()).map_or(COLUMNS, |size| size.ws_col);
        let line = line(self.what, done, of, time, columns.into());
        // A bar that cannot be shown is no reason to stop.
        let _ = write!(io::stderr(), "\r{line}");
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// The bar, one column narrower than the terminal, with the numbers if there is room for nothing else.
fn line(what: &str, done: u64, of: u64, time: Duration, columns: usize) -> String {
    let mib = |bytes: f64| format!("{:.1} MiB", bytes / f64::from(1 << 20));
    let speed = mib(done as f64 / time.as_secs_f64());
    let numbers = format!("{}/{} ({speed}/s)", mib(done as f64), mib(of as f64));
    let width = columns.saturating_sub(what.len() + numbers.len() + 5);
    let full = (done as f64 / of.max(1) as f64 * width as f64) as usize;
    let rest = width.saturating_sub(full);
    format!("{what} [{:#<full$}{:-<rest$}] {numbers}", "", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_its_line() {
        let second = Duration::from_secs(1);
        for (done, columns, expected) in [
            (0, 48, "saving [----------] 0.0 MiB/8.0 MiB (0.0 MiB/s)"),
            (
                4 << 20,
                48,
                "saving [#####-----] 4.0 MiB/8.0 MiB (4.0 MiB/s)",
            ),
            (
                8 << 20,
                48,
                "saving [##########] 8.0 MiB/8.0 MiB (8.0 MiB/s)",
            ),
            (8 << 20, 20, "saving [] 8.0 MiB/8.0 MiB (8.0 MiB/s)"),
        ] {
            assert_eq!(line("saving", done, 8 << 20, second, columns), expected);
        }
    }
}
