//! Where a debugger wants a CPU to stop.
//!
//! Nothing is looked at while a CPU runs through blocks. In a page of memory that has been seen where a breakpoint is, no block goes on to the
//! breakpoint's offset, nor begins there ([`Blocks`](crate::block::Blocks) knows these pages), and such a page is not entered but by the search for a block. So
//! the way to a breakpoint always leads through that search. Pages with a watch point are not in the soft TLB, so an access to them is always a
//! slow one.

use solderless_model::memory::PAGE;
use solderless_model::{Place, Stop, Stops, Watched};

/// What is asked of a CPU, and how far that has been told. None of it is state.
#[derive(Debug, Default)]
pub struct Halts {
    stops: Stops,
    /// The virtual addresses of breakpoints, in order.
    virtuals: Vec<u64>,
    /// The physical ones.
    physicals: Vec<u64>,
    /// The breakpoints have changed, and blocks do not know yet.
    changed: bool,
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

/// The addresses, which are in order, in the page of one.
fn within(addresses: &[u64], at: u64) -> &[u64] {
    let page = at & !(PAGE - 1);
    let from = addresses.partition_point(|at| *at < page);
    let rest = &addresses[from..];
    &rest[..rest.partition_point(|at| *at <= page | (PAGE - 1))]
}

impl Halts {
    /// Takes over what is asked. Says whether the watch points have changed.
    pub(crate) fn set(&mut self, stops: &Stops) -> bool {
        let watching = self.stops.watchpoints != stops.watchpoints;
        self.changed |= self.stops.breakpoints != stops.breakpoints;
        self.stops = stops.clone();
        let addresses = |of: fn(&Place) -> Option<u64>| {
            let mut all: Vec<_> = stops.breakpoints.iter().filter_map(of).collect();
            all.sort_unstable();
            all
        };
        self.virtuals = addresses(|place| match place {
            Place::Virtual(at) => Some(*at),
            Place::Physical(_) => None,
        });
        self.physicals = addresses(|place| match place {
            Place::Physical(at) => Some(*at),
            Place::Virtual(_) => None,
        });
        watching
    }

    /// Whether the breakpoints have changed since this was asked last, or blocks have forgotten them.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Blocks have forgotten where breakpoints are.
    pub(crate) fn forgotten(&mut self) {
        self.changed = self.breaks();
    }

    /// Whether there are breakpoints.
    pub(crate) fn breaks(&self) -> bool {
        !self.stops.breakpoints.is_empty()
    }

    /// All of them.
    pub(crate) fn breakpoints(&self) -> &[Place] {
        &self.stops.breakpoints
    }

    /// Whether one is at a virtual address.
    pub(crate) fn is_at(&self, va: u64) -> bool {
        self.virtuals.binary_search(&va).is_ok()
    }

    /// Whether one is in a virtual page.
    #[inline]
    pub(crate) fn is_in_page(&self, va: u64) -> bool {
        !self.virtuals.is_empty() && !within(&self.virtuals, va).is_empty()
    }

    /// Whether one can be at a virtual address: not before the physical one is known.
    pub(crate) fn may_be_at(&self, va: u64) -> bool {
        !self.physicals.is_empty() || self.is_at(va)
    }

    /// The offsets of those in a page that is at a virtual and a physical address.
    pub(crate) fn offsets(&self, va: u64, pa: u64) -> impl Iterator<Item = u16> {
        let all = within(&self.virtuals, va)
            .iter()
            .chain(within(&self.physicals, pa));
        all.map(|at| (at % PAGE) as u16)
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
