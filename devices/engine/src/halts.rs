//! Where a debugger wants a CPU to stop.
//!
//! Nothing is looked at while a CPU runs through blocks. No block goes on to where a breakpoint may be, nor begins there: such a place
//! is found by its offset in the page, whatever the page, so the way there always leads through the search for a block. Pages
//! with a watch point are not in the soft TLB, so an access to them is always a slow one.

use solderless_model::memory::PAGE;
use solderless_model::{Place, Stop, Stops, Watched};

/// What is asked of a CPU, and how far that has been told. None of it is state.
#[derive(Debug, Default)]
pub struct Halts {
    stops: Stops,
    /// The offsets of breakpoints in their pages, in order.
    offsets: Vec<u16>,
    /// Why the CPU is about to stop.
    hit: Option<Stop>,
    /// The instants, by instructions executed and address, at which it stopped last: there it goes on. Of breakpoints and of watch
    /// points.
    passed: [Option<(u64, u64)>; 2],
}

/// An access that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    /// The address at which the instruction can be begun again.
    pub pc: u64,
    /// The virtual address of the access.
    pub va: u64,
    /// The physical one.
    pub pa: u64,
    /// Bytes.
    pub size: u8,
    /// It writes.
    pub write: bool,
}

impl Halts {
    /// Takes over what is asked. Says whether the breakpoints have changed.
    pub(crate) fn set(&mut self, stops: &Stops) -> bool {
        let changed = self.stops.breakpoints != stops.breakpoints;
        self.stops = stops.clone();
        let offset = |place: &Place| (place.address() % PAGE) as u16;
        self.offsets = stops.breakpoints.iter().map(offset).collect();
        self.offsets.sort_unstable();
        self.offsets.dedup();
        changed
    }

    /// Whether a breakpoint may be at an address, by its place in the page.
    pub(crate) fn may_break(&self, at: u64) -> bool {
        !self.offsets.is_empty() && self.offsets.binary_search(&((at % PAGE) as u16)).is_ok()
    }

    /// Whether there are breakpoints.
    pub(crate) fn breaks(&self) -> bool {
        !self.offsets.is_empty()
    }

    /// How far it is from an address to where the next breakpoint may be in its page.
    pub(crate) fn until_break(&self, at: u64) -> Option<usize> {
        let at = at % PAGE;
        let mut later = self.offsets.iter().map(|offset| u64::from(*offset));
        later
            .find(|offset| *offset > at)
            .map(|offset| (offset - at) as usize)
    }

    /// The CPU is to stop, at a breakpoint, before the instruction at an address.
    pub(crate) fn stops_at(&mut self, instructions: u64, va: u64, pa: Option<u64>) -> bool {
        if self.passed[0] == Some((instructions, va)) {
            return false;
        }
        let here = |place: &&Place| match place {
            Place::Virtual(at) => *at == va,
            Place::Physical(at) => Some(*at) == pa,
        };
        let found = self.stops.breakpoints.iter().find(here);
        self.hit = found.map(|place| Stop::Break(*place));
        self.hit.is_some()
    }

    /// Whether something is watched in the page of an access.
    pub(crate) fn watches_page(&self, va: u64, pa: u64) -> bool {
        let page = |at: u64| at & !(PAGE - 1);
        let in_page = |at: u64, from: u64, len: u64| {
            page(at) < from.saturating_add(len) && from <= at | (PAGE - 1)
        };
        self.stops.watchpoints.iter().any(|watch| match watch.at {
            Place::Virtual(from) => in_page(va, from, watch.len),
            Place::Physical(from) => in_page(pa, from, watch.len),
        })
    }

    /// Whether anything is watched.
    #[inline]
    pub(crate) fn watches(&self) -> bool {
        !self.stops.watchpoints.is_empty()
    }

    /// The CPU is to stop before an access.
    pub(crate) fn stops_before(&mut self, instructions: u64, reached: Reached) -> bool {
        if self.passed[1] == Some((instructions, reached.pc)) {
            return false;
        }
        let found = self.stops.watchpoints.iter().find(|watch| {
            let (at, from) = match watch.at {
                Place::Virtual(from) => (reached.va, from),
                Place::Physical(from) => (reached.pa, from),
            };
            let meets = from < at.saturating_add(reached.size.into())
                && at < from.saturating_add(watch.len);
            meets && watch.on.meets(reached.write)
        });
        self.hit = found.map(|watch| {
            Stop::Watch(Watched {
                watch: *watch,
                at: reached.va,
                write: reached.write,
            })
        });
        self.hit.is_some()
    }

    /// Why the CPU stops here, if it does; it will go on from here.
    pub(crate) fn take(&mut self, instructions: u64, pc: u64) -> Option<Stop> {
        let stop = self.hit.take()?;
        let kind = usize::from(matches!(stop, Stop::Watch(_)));
        self.passed[kind] = Some((instructions, pc));
        Some(stop)
    }

    /// A run begins.
    pub(crate) fn begin(&mut self) {
        self.hit = None;
    }
}
