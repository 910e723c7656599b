//! Generated code for x86-64: a block of the intermediate form becomes host instructions, by a template for each kind.
//!
//! What is frequent is generated: arithmetic, branches, loads and stores that hit the soft TLB, floating point with
//! ordinary numbers. Everything else, and every case that is not quickly done, calls the interpreter's function for the
//! instruction, so that there is one meaning of each. The call names a [`Site`]: which instruction it is, of which block, and
//! whether it is in a delay slot. That is all an exception needs to be precise, as registers are written back before the
//! call, and a block counts its instructions when it is entered and gives back those that it does not execute.
//!
//! The address of a page is in the [`Core`], not in its code, which is the same wherever the page is mapped. Blocks jump to
//! one another directly within a page, and anywhere in kseg0, where a virtual address says what the physical one is; all
//! other ways go through the table of code pages in the [`Core`].

#![allow(
    clippy::useless_conversion,
    clippy::cast_lossless,
    reason = "what the assembler's macro makes of registers and displacements"
)]

use dynasmrt::{DynasmApi, dynasm};
use solderless_jit::{Cache, Guest};
use solderless_model::Cx;

use crate::block::To;
use crate::core::Core;
use crate::exec::{self, Exit, Missed, Mode, Op};
use crate::generate::{Emitted, Left, Link, Member, Place};
use crate::ir::{Block, Kind, Step};

mod alu;
mod asm;
mod flow;
mod fp;
mod known;
mod memory;
mod stubs;
mod system;

use asm::{Asm, Code, Homes, If, Label, Src, at};
use known::Known;
use stubs::Stubs;

/// Whether code can be generated.
pub const AVAILABLE: bool = true;
/// Bytes of generated code that are kept.
const SIZE: usize = 32 << 20;
/// More than any block needs.
const ROOM: usize = 32 << 10;

/// What the interpreter is asked for besides sites and accesses: to find the page of the code at [`Core::pc`].
const FETCH: u32 = u32::MAX >> 1;

/// An instruction that generated code may leave to the interpreter.
#[derive(Debug)]
struct Site {
    op: Op,
    /// Instructions of its block.
    len: u32,
}

/// What generated code has at hand besides the [`Core`].
#[derive(Debug)]
pub struct World<'a, 'b> {
    sites: &'a [Site],
    cx: &'a mut Cx<'b>,
}

impl Guest for Core {
    type World<'a, 'b: 'a> = World<'a, 'b>;

    fn slow(&mut self, world: &mut World<'_, '_>, what: u32, with: u32) -> u32 {
        if what == FETCH {
            return match self.fetch(world.cx) {
                true => Exit::Goto as u32,
                false => stubs::UNKNOWN as u32,
            };
        }
        if let Some(missed) = Missed::from_bits(what) {
            #[cfg(debug_assertions)]
            crate::block::check_missed(self, world.cx, missed);
            return exec::missed(self, missed, with, world.cx) as u32;
        }
        let Some(site) = world.sites.get(what as usize) else {
            return Exit::Event as u32;
        };
        self.len = site.len;
        #[cfg(debug_assertions)]
        crate::block::check_site(self, world.cx, &site.op);
        exec::one(self, &site.op, world.cx) as u32
    }
}

impl Place<'_> {
    /// Bytes from the start of the page to the block.
    fn offset(&self) -> u32 {
        u32::from(self.here.word) * 4
    }

    /// What is at an offset from the block in kseg0.
    fn kseg0_at(&mut self, offset: u32) -> Option<To> {
        let va = self.kseg0?.wrapping_add(self.offset()).wrapping_add(offset);
        (self.find)(va)
    }

    /// The same for an address within the 256 MiB around the block, with that address.
    fn region(&mut self, target: u32) -> Option<(u32, To)> {
        let va = self.kseg0? & 0xf000_0000 | target;
        Some((va, (self.find)(va)?))
    }
}

/// All generated code.
#[derive(Debug)]
pub struct Native {
    cache: Cache<Core>,
    stubs: Stubs,
    sites: Vec<Site>,
}

impl Native {
    /// An empty cache; `None` if the host gives no memory to execute.
    pub fn new() -> Option<Self> {
        let mut cache = Cache::new(SIZE)
            .inspect_err(|e| {
                tracing::warn!("no memory for generated code, so it is interpreted: {e}")
            })
            .ok()?;
        let stubs = Stubs::install(&mut cache)?;
        Some(Self {
            cache,
            stubs,
            sites: Vec::new(),
        })
    }

    /// The address that leads out of generated code, for tables of it, by word of a page.
    pub fn unknown(&self, word: u16) -> usize {
        self.address(self.stubs.unknown(word))
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
        let to = code.unwrap_or(self.stubs.unknown(to.word));
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

    /// Makes code of a block, or of the blocks of a loop, in the order of their places: these jump to one another directly, and
    /// have the general registers that they use most in host registers.
    pub fn emit(
        &mut self,
        members: &[Member],
        mode: Mode,
        kernel: bool,
        mut place: Place<'_>,
    ) -> Option<Emitted> {
        let mut homes = Homes::USUAL;
        if members.iter().any(|m| m.depth > 0) {
            let sites = self.sites.len();
            let mut trial = self.emitter(members, mode, kernel, &mut place, homes)?;
            trial.emit();
            homes = Homes::most_used(&trial.asm.uses);
            self.sites.truncate(sites);
        }
        let mut emitter = self.emitter(members, mode, kernel, &mut place, homes)?;
        emitter.emit();
        let Emitter {
            asm,
            mut links,
            entries,
            ..
        } = emitter;
        let entries: Vec<usize> = entries.into_iter().map(|label| asm.place(label)).collect();
        let Code { near, far } = asm.finish(self.cache.next(), self.cache.next_far(0))?;
        // SAFETY: the emitter keeps to the contract of the crate: code uses the core it is given, the stack within the frame
        // of the gate, and guest memory through the soft TLB, which holds pages of memory only; it calls nothing but the
        // stubs.
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

    fn emitter<'a, 'p>(
        &'a mut self,
        members: &'a [Member],
        mode: Mode,
        kernel: bool,
        place: &'a mut Place<'p>,
        homes: Homes,
    ) -> Option<Emitter<'a, 'p>> {
        let mut asm = Asm::new(homes);
        let heads = members.iter().map(|m| (m.word, asm.label())).collect();
        let slow = (homes != Homes::USUAL).then(|| asm.label());
        Some(Emitter {
            block: &members.first()?.block,
            members,
            heads,
            slow,
            jumps: None,
            asm,
            mode,
            big: mode.big_endian,
            kernel,
            place,
            stubs: &self.stubs,
            sites: &mut self.sites,
            step: None,
            cold: Vec::new(),
            leaves: Vec::new(),
            links: Vec::new(),
            entries: Vec::new(),
            next: None,
            fcsr_written: false,
            known: Known::NOTHING,
        })
    }

    /// Runs the code of the block at [`Core::pc`], and what it leads to.
    pub fn enter(&self, entry: u32, core: &mut Core, cx: &mut Cx<'_>) -> Left {
        let mut world = World {
            sites: &self.sites,
            cx,
        };
        let left = self.cache.enter(self.stubs.gate, entry, core, &mut world);
        match left {
            stubs::UNKNOWN => Left::Unknown,
            stubs::BUDGET => Left::Budget,
            stubs::INTERPRET => Left::Interpret,
            _ => Left::Event,
        }
    }
}

/// Where code goes on that the interpreter is asked for, and where it comes back.
#[derive(Debug, Clone, Copy)]
struct Slow {
    from: Label,
    back: Label,
    /// What it is asked for.
    what: u32,
    /// The host register and the displacement whose sum is the address of an access.
    address: (u8, i32),
    /// The general register whose value is in `eax` where it comes back, although its place is in memory.
    held: Option<u8>,
}

/// A likely branch is not taken: instructions that are not executed are given back.
struct Leave {
    from: Label,
    rest: u8,
}

/// What is left to the interpreter, or leads out, from the block that is `offset` into its page.
enum Cold {
    /// The interpreter does what the number says.
    Slow { slow: Slow, offset: i32 },
    /// The block is not executed: its instructions are given back, and this is gone to.
    Refuse {
        from: Label,
        len: u8,
        to: u32,
        offset: i32,
    },
    /// A jump to another block.
    Link { from: Label, to: To },
}

/// Computed jumps from blocks to one another.
#[derive(Debug, Clone, Copy)]
struct Jumps {
    /// For each word from the first block to the last, how far it is to its code from the table.
    table: Label,
    /// Where it is elsewhere.
    others: Label,
}

/// The code of blocks in the making.
struct Emitter<'a, 'p> {
    asm: Asm,
    members: &'a [Member],
    /// Where the blocks start, by word of the page.
    heads: Vec<(u16, Label)>,
    jumps: Option<Jumps>,
    /// What calls the interpreter, if the stub for that does not do.
    slow: Option<Label>,
    /// The block that is being emitted.
    block: &'a Block,
    mode: Mode,
    big: bool,
    kernel: bool,
    place: &'a mut Place<'p>,
    stubs: &'a Stubs,
    sites: &'a mut Vec<Site>,
    /// The step that is being emitted.
    step: Option<Step>,
    /// What is emitted at the far end.
    cold: Vec<Cold>,
    leaves: Vec<Leave>,
    links: Vec<Link>,
    /// Where the blocks are entered from elsewhere.
    entries: Vec<Label>,
    /// The word where the next block to emit starts.
    next: Option<u16>,
    /// CTC1 was executed.
    fcsr_written: bool,
    known: Known,
}

impl<'a> Emitter<'a, '_> {
    fn emit(&mut self) {
        self.enter();
        let members = self.members;
        for (n, member) in members.iter().enumerate() {
            self.next = members.get(n + 1).map(|next| next.word);
            self.asm.weight = 4_u64.pow(member.depth.min(8));
            self.member(member, n);
        }
        self.asm.far();
        for cold in std::mem::take(&mut self.cold) {
            self.cold(cold);
        }
        if let Some(jumps) = self.jumps {
            self.jumps(jumps);
        }
        if let Some(label) = self.slow {
            self.asm.bind(label);
            stubs::slow(&mut self.asm, self.stubs.after);
        }
    }

    /// Emits the ways into the blocks.
    fn enter(&mut self) {
        if self.asm.homes == Homes::USUAL {
            self.entries = self.heads.iter().map(|(_, label)| *label).collect();
            return;
        }
        for (_, head) in self.heads.clone() {
            let entry = self.asm.label();
            self.asm.bind(entry);
            self.entries.push(entry);
            self.change_homes(Homes::USUAL, self.asm.homes);
            self.asm.jump(head);
        }
    }

    /// Has other general registers in host registers.
    fn change_homes(&mut self, from: Homes, to: Homes) {
        let changes = || from.pairs().zip(to.pairs()).filter(|(from, to)| from != to);
        for ((register, host), _) in changes() {
            self.asm.spill(register, host);
        }
        for (_, (register, host)) in changes() {
            self.asm.fill(register, host);
        }
    }

    /// Has the general registers where they usually are, as they must be when others are gone to.
    fn usual_homes(&mut self) {
        self.change_homes(self.asm.homes, Homes::USUAL);
    }

    fn member(&mut self, member: &'a Member, n: usize) {
        self.block = &member.block;
        self.place.here.word = member.word;
        self.known = Known::NOTHING;
        if let Some((_, head)) = self.heads.get(n) {
            self.asm.bind(*head);
        }
        self.body();
        match self.known.again(self.block) {
            Some(known) if member.depth > 0 => self.go_round(known),
            _ => self.end(),
        }
        for Leave { from, rest } in std::mem::take(&mut self.leaves) {
            self.asm.bind(from);
            dynasm!(self.asm.ops; .arch x64; add r13, BYTE rest as i8);
            self.go(self.block.past());
        }
    }

    /// Emits a block up to its end.
    fn body(&mut self) {
        self.fcsr_written = false;
        let len = self.block.len;
        let offset = self.place.offset().cast_signed();
        let arithmetic = |s: &Step| fp::is_arithmetic(s.inst.kind);
        if self.block.steps.iter().any(arithmetic) {
            use crate::fpu::Fcsr;
            let from = self.asm.label();
            dynasm!(self.asm.ops; .arch x64
                ; mov eax, [rbx + at::FCSR]
                ; and eax, Fcsr::NOTED_MASK.cast_signed()
                ; cmp eax, Fcsr::NOTED.cast_signed()
            );
            self.asm.jump_if(If::NotEqual as u8, from);
            let (len, to) = (0, self.stubs.interpret);
            self.cold.push(Cold::Refuse {
                from,
                len,
                to,
                offset,
            });
        }
        let from = self.asm.label();
        dynasm!(self.asm.ops; .arch x64; sub r13, BYTE len as i8);
        self.asm.jump_if(If::Sign as u8, from);
        let to = self.stubs.budget;
        self.cold.push(Cold::Refuse {
            from,
            len,
            to,
            offset,
        });
        for step in &self.block.steps {
            self.step = Some(*step);
            let inst = &self.known.simplify(step.inst);
            let done = self.alu(inst)
                || self.memory(inst)
                || self.flow(inst)
                || self.fp(inst)
                || self.system(inst);
            if !done {
                let site = self.site();
                self.call(site, offset);
                self.fcsr_written |= inst.kind == Kind::Ctc1;
            }
            self.known.pass(inst);
        }
    }

    fn cold(&mut self, cold: Cold) {
        match cold {
            Cold::Slow { slow, offset } => {
                self.asm.bind(slow.from);
                match slow.address {
                    (base, 0) => self.asm.mov(asm::EAX, Src::Reg(base)),
                    (base, by) => self.asm.lea(asm::EAX, base, by),
                }
                self.call(slow.what, offset);
                if let Some(register) = slow.held {
                    let held = self.asm.src(register);
                    self.asm.mov(asm::EAX, held);
                }
                self.asm.jump(slow.back);
            }
            Cold::Refuse {
                from,
                len,
                to,
                offset,
            } => {
                self.asm.bind(from);
                if len != 0 {
                    dynasm!(self.asm.ops; .arch x64; add r13, BYTE len as i8);
                }
                self.usual_homes();
                dynasm!(self.asm.ops; .arch x64; mov eax, DWORD offset);
                self.asm.jump_out(to);
            }
            Cold::Link { from, to } => {
                self.asm.bind(from);
                self.link(to);
            }
        }
    }

    /// The place of the step in the block.
    fn at(&self) -> u8 {
        self.step.map_or(0, |s| s.at)
    }

    /// The site of the step.
    fn site(&mut self) -> u32 {
        if let Some(step) = &self.step {
            self.sites.push(Site {
                op: exec::op(step, self.mode),
                len: self.block.len.into(),
            });
        }
        self.sites.len() as u32 - 1
    }

    /// Has the interpreter execute the instruction of a site, or do an access.
    fn call(&mut self, what: u32, offset: i32) {
        dynasm!(self.asm.ops; .arch x64; mov edx, DWORD what.cast_signed(); mov ecx, DWORD offset);
        match self.slow {
            Some(label) => self.asm.call(label),
            None => self.asm.call_out(self.stubs.slow),
        }
    }

    /// A way to the interpreter for the step, and back behind what is generated for it.
    fn slow(&mut self) -> Slow {
        let site = self.site();
        self.way(site)
    }

    /// The same for a load or store, whose address is given with it.
    fn missed(&mut self) -> Slow {
        let step = self.step.as_ref();
        match step.and_then(|step| Missed::new(step, self.block.len)) {
            Some(missed) => self.way(missed.bits()),
            None => self.slow(),
        }
    }

    /// A way to the interpreter and back, with what it is asked for.
    fn way(&mut self, what: u32) -> Slow {
        Slow {
            from: self.asm.label(),
            back: self.asm.label(),
            what,
            address: (asm::EAX, 0),
            held: None,
        }
    }

    /// Where an instruction ends that the interpreter may be asked for.
    fn back(&mut self, slow: Slow) {
        self.asm.bind(slow.back);
        if let Some(register) = slow.held {
            self.asm.hold(register);
        }
        let offset = self.place.offset().cast_signed();
        self.cold.push(Cold::Slow { slow, offset });
    }
}
