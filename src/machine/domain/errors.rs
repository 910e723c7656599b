//! What the guest does that there is no sensible answer to, as the log has it at its second level: by place, so that one
//! place that does it all the time does not hide the others.

use std::collections::BTreeMap;
use std::fmt;

use solderless_model::DevId;

/// Lines of one place in full; of later ones those whose number is a power of ten.
const IN_FULL: u64 = 5;
/// Places that are told apart; what others do counts together.
const PLACES: usize = 1000;
/// Places that are named at the end.
const NAMED: usize = 20;

/// An access to the bus by a master.
#[derive(Debug, Clone, Copy)]
pub struct Master {
    /// The master.
    pub dev: DevId,
    at: u64,
    size: u8,
    /// What it writes.
    value: Option<u64>,
    /// It was said that nothing is there: it may go to the bus in several pieces.
    pub told: bool,
}

impl Master {
    /// Reads `size` bytes, or writes them.
    pub fn new(dev: DevId, at: u64, size: u8, value: Option<u64>) -> Self {
        Self {
            dev,
            at,
            size,
            value,
            told: false,
        }
    }
}

impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, size, .. } = self;
        let bytes = if *size == 1 { "byte" } else { "bytes" };
        match self.value {
            None => write!(f, "read of {size} {bytes} at {at:#010x}"),
            Some(value) => {
                let digits = usize::from(*size) * 2 + 2;
                write!(
                    f,
                    "write of {size} {bytes}, {value:#0digits$x}, at {at:#010x}"
                )
            }
        }
    }
}

/// Who, and from where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    device: String,
    /// The instruction, if it was one.
    pc: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.device)?;
        match self.pc {
            Some(pc) => write!(f, " from pc {pc:#010x}"),
            None => Ok(()),
        }
    }
}

/// How often it happened, by place.
#[derive(Debug, Default)]
pub struct GuestErrors {
    places: BTreeMap<Place, u64>,
    elsewhere: u64,
}

impl GuestErrors {
    /// Logs what a device has to say of the guest, during an access of the CPU or not.
    #[cold]
    pub fn note(
        &mut self,
        device: &str,
        pc: u64,
        access: Option<Master>,
        what: fmt::Arguments<'_>,
    ) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let place = Place {
            device: device.to_owned(),
            pc: access.map(|_| pc),
        };
        let room = self.places.len() < PLACES;
        let count = match self.places.get_mut(&place) {
            Some(count) => count,
            None if room => self.places.entry(place.clone()).or_default(),
            None => &mut self.elsewhere,
        };
        *count = count.saturating_add(1);
        let times = match *count {
            n if n <= IN_FULL => String::new(),
            n if n == 10_u64.pow(n.ilog10()) => format!(" ({n} times from here)"),
            _ => return,
        };
        match access {
            Some(access) => tracing::debug!("{device}: {what}: {access}, pc {pc:#010x}{times}"),
            None => tracing::debug!("{device}: {what}{times}"),
        }
    }

    /// Logs how often it happened where not all was logged.
    pub fn sum_up(&self) {
        let mut often: Vec<_> = self.places.iter().filter(|(_, n)| **n > IN_FULL).collect();
        often.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        for (place, count) in often.iter().take(NAMED) {
            tracing::debug!("{place}: {count} times in all");
        }
        let rest = often.iter().skip(NAMED).map(|(_, n)| **n).sum::<u64>() + self.elsewhere;
        if rest > 0 {
            tracing::debug!("elsewhere: {rest} times in all");
        }
    }
}
