//! What the user is told of a guest that cannot go on, or not as it was meant: each in one line, once.
//!
//! Nothing of it is looked for where code is executed: an instruction that traps is seen as it traps, and a guest that stays
//! at exception level between two slices.

use solderless_engine::Physical;
use solderless_model::memory::PAGE;
use solderless_model::{Cx, Page};

use crate::core::Core;
use crate::exception::{Access, RESET_VECTOR};
use crate::exec::Op;
use crate::isa::in_order;
use crate::model::Extension;
use crate::tlb::Entry;
use crate::width::Width;

/// Guest time at exception level, in ns, after which a guest is not expected to leave it.
const LONG: u64 = 1_000_000_000;
/// The same in exceptions taken there. A handler that is itself mapped takes one before it returns.
const MANY: u32 = 1_000_000;

/// Exceptions of one instruction, each of which was returned from to that instruction, after which it is not expected to be
/// executed.
const AGAIN: u32 = 100_000;

/// What was said, and what has been seen so far.
#[derive(Debug, Default)]
pub struct Notices<W = u32> {
    left_out: bool,
    machine_check: bool,
    stuck: bool,
    /// The CPU was reset and has not run since.
    fresh: bool,
    /// When it was last seen outside of exception level, in guest time.
    outside_at: u64,
    /// Exceptions taken at exception level since.
    pub nested: u32,
    /// Where the last handler returned to.
    returned: W,
    /// A handler has returned since this was last looked at.
    left: bool,
    /// The last exception that was no interrupt: EPC, BadVAddr, ExcCode.
    last: (W, W, u32),
    /// How often it came again after a return to its instruction.
    again: u32,
}

impl<W: Width> Notices<W> {
    /// The CPU was reset.
    pub fn begin(&mut self, now: u64) {
        self.fresh = true;
        self.left_exception_level(now);
    }

    /// An instruction has raised an exception, not at exception level.
    pub fn taken(&mut self, epc: W, bad_vaddr: W, code: u32) {
        let this = (epc, bad_vaddr, code);
        match this == self.last && epc == self.returned {
            true => self.again = self.again.saturating_add(1),
            false => (self.last, self.again) = (this, 0),
        }
    }

    /// A handler of exceptions returns to an address.
    pub fn returns(&mut self, to: W) {
        (self.returned, self.left) = (to, true);
    }

    /// Whether the CPU has left exception level by a return since this was last asked.
    pub fn has_left(&mut self) -> bool {
        std::mem::take(&mut self.left)
    }

    /// The CPU is not at exception level.
    pub fn left_exception_level(&mut self, now: u64) {
        self.outside_at = now;
        self.nested = 0;
    }
}

/// A cause of an exception by its ExcCode, in words (MIPS32 Architecture volume III, table "ExcCode field").
fn cause_name(code: u32) -> &'static str {
    match code {
        0 => "Interrupt",
        1 => "TLB Modified",
        2 => "TLB miss of a load or fetch",
        3 => "TLB miss of a store",
        4 => "Address Error of a load or fetch",
        5 => "Address Error of a store",
        6 => "Bus Error of a fetch",
        7 => "Bus Error of a load or store",
        8 => "System Call",
        9 => "Breakpoint",
        10 => "Reserved Instruction",
        11 => "Coprocessor Unusable",
        12 => "Overflow",
        13 => "Trap",
        15 => "Floating Point",
        24 => "Machine Check",
        _ => "an unknown cause",
    }
}

impl<W: Width> Core<W> {
    pub fn address_of(&self, op: &Op<W>) -> W {
        self.pc.offset(u32::from(op.at()) * 4)
    }

    /// A TLB write was refused because another entry matches an address of the new one.
    #[cold]
    pub fn tell_machine_check(
        &mut self,
        op: &Op<W>,
        cx: &mut Cx<'_>,
        index: usize,
        entry: &Entry<W>,
        random: bool,
    ) {
        if std::mem::replace(&mut self.notices.machine_check, true) {
            return;
        }
        let pc = self.address_of(op);
        let name = if random { "TLBWR" } else { "TLBWI" };
        let show = |index: usize, e: &Entry<W>| {
            let global = if e.global() { ", global" } else { "" };
            format!(
                "entry {index} (EntryHi {:#010x}, PageMask {:#x}{global})",
                e.hi, e.mask
            )
        };
        if let Some((place, other)) = self.tlb.clashing(index, entry) {
            cx.warn(format_args!(
                "the guest takes a Machine Check at pc {pc:#010x}: {name} writes {} although {} is for the same address",
                show(index, entry),
                show(place, other),
            ));
        }
    }

    /// The instruction at an address, if that is in memory.
    pub fn word_at(&mut self, cx: &Cx<'_>, va: W) -> Option<u32> {
        let (pa, _) = self.translate(va, Access::Fetch).ok()?;
        let Physical::Memory { ram, offset, .. } = self.vcpu.frame(cx, pa) else {
            return None;
        };
        let ram = self.vcpu.memory.rams.get(ram as usize)?;
        let raw = ram.read_u32(offset + pa % PAGE).ok()?;
        Some(in_order(self, raw))
    }

    /// An instruction is reserved.
    #[cold]
    pub fn tell_reserved(&mut self, op: &Op<W>, cx: &mut Cx<'_>) {
        if self.notices.left_out {
            return;
        }
        let pc = self.address_of(op);
        if let Some(word) = self.word_at(cx, pc)
            && let Some(extension) = Extension::of(word)
        {
            self.tell_left_out(cx, pc, extension, &format!("the instruction {word:#010x}"));
        }
    }

    /// The guest has code at an address that belongs to an extension.
    #[cold]
    pub fn tell_left_out(&mut self, cx: &mut Cx<'_>, pc: W, extension: Extension, what: &str) {
        if self.identity.left_out.contains(&extension)
            && !std::mem::replace(&mut self.notices.left_out, true)
        {
            cx.warn(format_args!(
                "{what} at pc {pc:#010x} is of {extension}, which this model of the core leaves out: the guest takes an exception"
            ));
        }
    }

    /// The CPU is not at exception level. Tells if one instruction has raised the same exception so often that it will not be
    /// executed.
    pub fn tell_returning(&mut self, cx: &mut Cx<'_>) {
        let notices = &mut self.notices;
        if notices.again < AGAIN || std::mem::replace(&mut notices.stuck, true) {
            return;
        }
        let (epc, bad, code) = notices.last;
        let name = cause_name(code);
        cx.warn(format_args!(
            "the guest returns from a handler of exceptions to the instruction that raised it, again and again: {name}, EPC {epc:#010x}, BadVAddr {bad:#010x}"
        ));
    }

    /// The CPU is at exception level. Tells if it has been there for so long that it will not leave.
    #[cold]
    pub fn tell_endless(&mut self, cx: &mut Cx<'_>) {
        let notices = &mut self.notices;
        let long = cx.now().saturating_sub(notices.outside_at) >= LONG;
        let c = &self.cp0;
        let code = c.cause >> 2 & 31;
        // Software may have set Status.EXL itself.
        let taken = code != 0 || !c.epc.is_zero();
        // What led there has been told.
        let told = notices.machine_check && code == 24;
        if notices.stuck || told || !taken || (notices.nested < MANY && !long) {
            return;
        }
        notices.stuck = true;
        let how = match notices.nested {
            0..=1 => "stays in a handler of exceptions",
            _ => "takes exceptions in its handlers of exceptions",
        };
        let name = cause_name(code);
        let [epc, bad, pc] = [c.epc, c.bad_vaddr, self.pc];
        let status = c.status;
        let nothing = match epc == W::signed(RESET_VECTOR) {
            true => ": it has nothing to execute at the reset vector",
            _ => "",
        };
        cx.warn(format_args!(
            "the guest {how} and does not return: {name}, EPC {epc:#010x}, BadVAddr {bad:#010x}, Status {status:#010x}, now at pc {pc:#010x}{nothing}"
        ));
    }

    /// Tells of a machine that was just reset and has nothing to execute.
    #[inline]
    pub fn tell_nothing_to_execute(&mut self, cx: &mut Cx<'_>) {
        if std::mem::take(&mut self.notices.fresh) && self.pc == W::signed(RESET_VECTOR) {
            self.look_at_reset_vector(cx);
        }
    }

    #[cold]
    fn look_at_reset_vector(&mut self, cx: &mut Cx<'_>) {
        const AT: u32 = RESET_VECTOR & 0x1fff_ffff;
        // What the CPU is about to fetch anyway.
        self.vcpu.advance(0, RESET_VECTOR.into(), cx);
        let first = cx.bus_read(AT.into(), 4);
        let what = match first {
            Err(_) => "nothing answers there",
            Ok(0) => "there are zeros",
            Ok(0xffff_ffff) => "there are ones, as in erased flash",
            Ok(_) => return,
        };
        let mut next = (4..16)
            .step_by(4)
            .map(|by| cx.bus_read(u64::from(AT) + by, 4));
        let alike = next.all(|word| word == first);
        // Boards have registers among these, so that the page is not memory, and the next one is.
        let pages = [0, PAGE].map(|by| cx.page(u64::from(AT) + by));
        let differs = pages.into_iter().any(|page| match (page, first) {
            (Page::Memory { ram, offset, .. }, Ok(word)) => (offset..offset + PAGE)
                .step_by(4)
                .any(|at| ram.read_u32(at).map(u64::from) != Ok(word)),
            _ => false,
        });
        if alike && !differs && !std::mem::replace(&mut self.notices.stuck, true) {
            cx.warn(format_args!(
                "the CPU has nothing to execute at the reset vector {RESET_VECTOR:#010x} (physical {AT:#010x}): {what}"
            ));
        }
    }
}
