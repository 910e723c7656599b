//! The GT-64120's timer/counters (GT-64120 datasheet, timer/counter registers).

use solderless_model::State;

const SECOND: u128 = 1_000_000_000;

/// How a timer/counter runs, from its two bits of the control register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Disabled: the count stands still.
    Stopped,
    /// Counts down to zero once.
    Counter,
    /// Counts down to zero, then starts again from the programmed value.
    Timer,
}

impl Mode {
    /// The mode of timer/counter `n` for a value of TC_CONTROL: EnTC is bit 2n, SelTC bit 2n + 1.
    pub(super) fn of(control: u32, n: usize) -> Self {
        match control >> (2 * n) & 3 {
            1 => Self::Counter,
            3 => Self::Timer,
            _ => Self::Stopped,
        }
    }
}

/// One timer/counter. Its count is computed from the time, never ticked.
#[derive(Debug, Default, State)]
pub(super) struct Counter {
    /// The programmed value.
    reload: u32,
    /// The count at `since`.
    count: u32,
    /// Guest time from which `count` runs down, nanoseconds.
    since: u64,
    /// Guest time of the expiry that is waited for.
    pub(super) due: Option<u64>,
}

impl Counter {
    /// A counter just programmed with `value`.
    pub(super) fn programmed(value: u32, now: u64) -> Self {
        Self {
            reload: value,
            count: value,
            since: now,
            due: None,
        }
    }

    fn ticks(&self, now: u64, tclk: u64) -> u128 {
        u128::from(now.saturating_sub(self.since)) * u128::from(tclk) / SECOND
    }

    /// The count at a point of time, with TClk at `tclk` hertz.
    pub(super) fn count(&self, mode: Mode, now: u64, tclk: u64) -> u32 {
        let ticks = self.ticks(now, tclk);
        let start = u128::from(self.count);
        match mode {
            Mode::Stopped => self.count,
            _ if ticks <= start => (start - ticks) as u32,
            Mode::Counter => 0,
            Mode::Timer => {
                let period = u128::from(self.reload) + 1;
                self.reload - ((ticks - start - 1) % period) as u32
            }
        }
    }

    /// The mode changes at `now`: the count goes on from where the old mode has brought it.
    pub(super) fn switch(&mut self, old: Mode, now: u64, tclk: u64) {
        self.count = self.count(old, now, tclk);
        self.since = now;
        self.due = None;
    }

    /// When the count reaches zero next, strictly after `now`.
    pub(super) fn next_expiry(&self, mode: Mode, now: u64, tclk: u64) -> Option<u64> {
        let ticks = self.ticks(now, tclk);
        let start = u128::from(self.count);
        let at = match mode {
            Mode::Stopped => return None,
            _ if ticks < start => start,
            Mode::Counter => return None,
            Mode::Timer => {
                let period = u128::from(self.reload) + 1;
                start + ((ticks - start) / period + 1) * period
            }
        };
        let ns = (at * SECOND).div_ceil(u128::from(tclk.max(1)));
        u64::try_from(u128::from(self.since) + ns).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCLK: u64 = 100_000_000;

    #[test]
    fn counts_follow_the_mode() {
        let c = Counter::programmed(5, 1000);
        for (mode, now, count) in [
            (Mode::Stopped, 2000, 5),
            (Mode::Counter, 1000, 5),
            (Mode::Counter, 1009, 5),
            (Mode::Counter, 1010, 4),
            (Mode::Counter, 1050, 0),
            (Mode::Counter, u64::MAX, 0),
            (Mode::Timer, 1050, 0),
            (Mode::Timer, 1060, 5),
            (Mode::Timer, 1110, 0),
            (Mode::Timer, 1120, 5),
        ] {
            assert_eq!(c.count(mode, now, TCLK), count, "{mode:?} at {now}");
        }
    }

    #[test]
    fn expiries_lie_where_the_count_is_zero() {
        let c = Counter::programmed(5, 1000);
        for (mode, now, at) in [
            (Mode::Stopped, 1000, None),
            (Mode::Counter, 1000, Some(1050)),
            (Mode::Counter, 1050, None),
            (Mode::Timer, 1049, Some(1050)),
            (Mode::Timer, 1050, Some(1110)),
            (Mode::Timer, 1109, Some(1110)),
        ] {
            assert_eq!(c.next_expiry(mode, now, TCLK), at, "{mode:?} at {now}");
        }
        assert_eq!(c.next_expiry(Mode::Timer, u64::MAX, TCLK), None);
        let slow = Counter::programmed(1, 0);
        assert_eq!(slow.next_expiry(Mode::Counter, 0, 3), Some(333_333_334));
    }

    #[test]
    fn a_switch_keeps_the_count() {
        let mut c = Counter::programmed(100, 0);
        c.switch(Mode::Counter, 305, TCLK);
        assert_eq!(c.count(Mode::Stopped, 9999, TCLK), 70);
        c.switch(Mode::Stopped, 1000, TCLK);
        assert_eq!(c.count(Mode::Timer, 1700, TCLK), 0);
        assert_eq!(c.count(Mode::Timer, 1710, TCLK), 100);
    }
}
