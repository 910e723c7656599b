//! All generated code of a CPU.

use solderless_jit::{Cache, Guest};
use solderless_model::Cx;

use crate::asm::Asm;
use crate::emit::{Made, Site, emit};
use crate::frame::Homes;
use crate::generate::{Emitted, Left, Member, Place, To, Ways};
use crate::host::{Assembled, Assembler, Code, Stubs};
use crate::isa::{Exit, Isa, Templates};

/// Bytes of generated code that are kept.
const SIZE: usize = 32 << 20;
/// More than any block needs.
const ROOM: usize = 32 << 10;

/// What generated code has at hand besides the CPU.
#[derive(Debug)]
pub struct World<'a, 'b, I: Isa> {
    sites: &'a [Site<I::Op>],
    cx: &'a mut Cx<'b>,
}

/// The guest of generated code, by its instruction set.
#[derive(Debug)]
struct Run<I>(std::marker::PhantomData<I>);

impl<I: Isa> Guest for Run<I> {
    type Core = I::Core;
    type World<'a, 'b: 'a> = World<'a, 'b, I>;

    fn slow(core: &mut I::Core, world: &mut World<'_, '_, I>, what: u32, with: u64) -> u32 {
        if what == Stubs::FETCH {
            return match I::find_code(core, world.cx) {
                true => Exit::Goto as u32,
                false => Stubs::UNKNOWN as u32,
            };
        }
        if what >> 31 != 0 {
            #[cfg(debug_assertions)]
            crate::block::check_missed::<I>(core, world.cx, what);
            return I::missed(core, what, with, world.cx) as u32;
        }
        let Some(site) = world.sites.get(what as usize) else {
            return Exit::Event as u32;
        };
        I::vcpu_mut(core).len = site.len;
        #[cfg(debug_assertions)]
        crate::block::check_op::<I>(core, world.cx, &site.op);
        I::one(core, &site.op, world.cx) as u32
    }
}

/// See the module.
#[derive(Debug)]
pub struct Native<I: Isa> {
    cache: Cache<Run<I>>,
    stubs: Stubs,
    ways: Ways,
    sites: Vec<Site<I::Op>>,
}

/// Whether code can be generated.
pub const AVAILABLE: bool = true;

impl<I: Templates<Assembled>> Native<I> {
    /// An empty cache; `None` if the host gives no memory to execute.
    pub fn new() -> Option<Self> {
        let mut cache = Cache::new(SIZE)
            .inspect_err(|e| {
                tracing::warn!("no memory for generated code, so it is interpreted: {e}")
            })
            .ok()?;
        let stubs = Stubs::install(&mut cache, const { &I::FRAME })?;
        Some(Self {
            cache,
            ways: stubs.ways,
            stubs,
            sites: Vec::new(),
        })
    }

    /// The address that leads out of generated code, for tables of it, by unit of a page.
    pub fn unknown(&self, unit: u16) -> usize {
        self.address(self.ways.unknown(unit))
    }

    /// The address of code in the host's memory.
    pub fn address(&self, code: u32) -> usize {
        self.cache.base() + code as usize
    }

    /// Bytes of code.
    pub fn bytes(&self) -> usize {
        self.cache.used()
    }

    /// Whether there is no room for another block.
    pub fn full(&self) -> bool {
        self.cache.left() < ROOM
    }

    /// Forgets all code.
    pub fn clear(&mut self) {
        self.cache.truncate(self.stubs.end);
        self.sites.clear();
    }

    /// Makes a jump lead to the code of a block, or out if it has none.
    pub fn redirect(&mut self, site: u32, to: To, code: Option<u32>) {
        let to = code.unwrap_or(self.ways.unknown(to.unit));
        // SAFETY: sites are those of links, and what they lead to is the code of that block, or the way out there.
        #[allow(unsafe_code, reason = "see the crate's documentation")]
        unsafe {
            self.cache.redirect(site, to);
        }
    }

    /// Makes an entry of code lead to another one of the same block.
    pub fn replace(&mut self, old: u32, new: u32) {
        // SAFETY: both are entries of the same block.
        #[allow(unsafe_code, reason = "see the crate's documentation")]
        unsafe {
            self.cache.replace(old, new);
        }
    }

    /// Makes code of a block, or of the blocks of a loop, in the order of their places.
    pub fn emit(
        &mut self,
        core: &I::Core,
        members: &[Member<I::Block>],
        place: Place<'_>,
    ) -> Option<Emitted> {
        let Place { here, direct, find } = place;
        let (ways, kept) = (self.ways, self.sites.len());
        let mut make = |sites: &mut Vec<_>, homes| {
            let mut place = Place {
                here,
                direct,
                find: &mut *find,
            };
            emit::<I, Assembled>(core, members, &mut place, &ways, sites, homes)
        };
        let mut homes = None;
        if members.iter().any(|m| m.depth > 0) {
            let Asm { uses, .. } = make(&mut self.sites, None).asm;
            let usual = Homes::usual(const { &I::FRAME }, Assembled::HOMES.len());
            homes = Some(usual.most_used(&uses));
            self.sites.truncate(kept);
        }
        let Made {
            asm,
            mut links,
            entries,
        } = make(&mut self.sites, homes);
        let entries: Vec<usize> = entries.into_iter().map(|label| asm.place(label)).collect();
        let Code { near, far } = asm.finish(self.cache.next(), self.cache.next_far(0))?;
        // SAFETY: templates keep to the contract of the crate, as whoever implements them has promised; the stubs do so too.
        #[allow(unsafe_code, reason = "see the crate's documentation")]
        let start = unsafe {
            self.cache.install_far(&far)?;
            self.cache.install(&near)
        }?;
        for link in &mut links {
            link.site = match link.site.checked_sub(near.len()) {
                None => link.site + start as usize,
                Some(far) => self.cache.next_far(0) as usize + far,
            };
        }
        let entries = entries.into_iter().map(|at| start + at as u32).collect();
        Some(Emitted { entries, links })
    }

    /// Runs the code of the block at the CPU's address, and what it leads to.
    pub fn enter(&self, entry: u32, core: &mut I::Core, cx: &mut Cx<'_>) -> Left {
        let mut world = World {
            sites: &self.sites,
            cx,
        };
        match self.cache.enter(self.stubs.gate, entry, core, &mut world) {
            Stubs::UNKNOWN => Left::Unknown,
            Stubs::BUDGET => Left::Budget,
            Stubs::INTERPRET => Left::Interpret,
            _ => Left::Event,
        }
    }
}
