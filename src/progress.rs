//! A bar on the terminal while something takes longer than a moment.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What takes less is done before a person has read anything.
const MOMENT: Duration = Duration::from_millis(500);

/// A bar on standard error, if that is a terminal.
#[derive(Debug)]
pub struct Bar {
    what: &'static str,
    start: Instant,
    bar: Option<ProgressBar>,
    terminal: bool,
}

impl Bar {
    /// A bar that is not shown yet.
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            start: Instant::now(),
            bar: None,
            terminal: io::stderr().is_terminal(),
        }
    }

    /// So many bytes of so many are done.
    pub fn at(&mut self, done: u64, of: u64) {
        if !self.terminal || self.start.elapsed() < MOMENT {
            return;
        }
        let (what, new) = (self.what, self.bar.is_none());
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(
                "{msg} [{wide_bar}] {bytes}/{total_bytes} ({bytes_per_sec})",
            );
            let bar = ProgressBar::with_draw_target(Some(of), ProgressDrawTarget::stderr());
            // The template is a constant, and a good one.
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.with_message(what)
        });
        bar.set_position(done);
        if new {
            bar.tick();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
