//! Exceptions and interrupts: from a vector to the state that a handler finds.
//!
//! Intel SDM, volume 3, chapter 6.

use solderless_model::{Cx, Cycle, On, Request};

use crate::core::{CS, Core, RSP, SS, Segment, access, flag};
use crate::segment::{Switch, null, parse};

/// Vectors of exceptions.
pub mod vector {
    pub const DE: u8 = 0;
    pub const DB: u8 = 1;
    pub const NMI: u8 = 2;
    pub const BP: u8 = 3;
    pub const OF: u8 = 4;
    pub const BR: u8 = 5;
    pub const UD: u8 = 6;
    pub const NM: u8 = 7;
    pub const DF: u8 = 8;
    pub const TS: u8 = 10;
    pub const NP: u8 = 11;
    pub const SS: u8 = 12;
    pub const GP: u8 = 13;
    pub const PF: u8 = 14;
    pub const MF: u8 = 16;
    pub const XM: u8 = 19;
}

/// An exception that an instruction raises, which can be begun again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub vector: u8,
    pub error: Option<u32>,
    /// What CR2 gets.
    pub address: Option<u64>,
}

impl Fault {
    /// One without an error code.
    pub const fn plain(vector: u8) -> Self {
        Self {
            vector,
            error: None,
            address: None,
        }
    }

    pub const fn ud() -> Self {
        Self::plain(vector::UD)
    }

    const fn with(vector: u8, error: u32) -> Self {
        Self {
            vector,
            error: Some(error),
            address: None,
        }
    }

    /// A general protection exception; `selector` with its RPL bits is what it is about.
    pub const fn gp(selector: u16) -> Self {
        Self::with(vector::GP, selector as u32 & 0xfffc)
    }

    pub const fn ts(selector: u16) -> Self {
        Self::with(vector::TS, selector as u32 & 0xfffc)
    }

    pub const fn np(selector: u16) -> Self {
        Self::with(vector::NP, selector as u32 & 0xfffc)
    }

    pub const fn ss(selector: u16) -> Self {
        Self::with(vector::SS, selector as u32 & 0xfffc)
    }

    /// That of an access that is not in a segment.
    pub const fn of_segment(n: u8) -> Self {
        match n {
            SS => Self::ss(0),
            _ => Self::gp(0),
        }
    }

    /// The same with these bits in the error code.
    fn and(self, bits: u32) -> Self {
        Self {
            error: self.error.map(|error| error | bits),
            ..self
        }
    }

    /// Whether a second one of these makes a double fault.
    fn contributes(self) -> bool {
        matches!(
            self.vector,
            vector::DE | vector::TS | vector::NP | vector::SS | vector::GP
        )
    }
}

/// Where an interrupt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Exception,
    /// An instruction for it.
    Software,
    External,
}

/// Bits of an error code.
const EXT: u32 = 1;
const IDT: u32 = 2;

/// A stack that is pushed to before anything of the CPU changes.
#[derive(Debug, Clone, Copy)]
pub struct Stack {
    pub ss: Segment,
    pub sp: u64,
    /// Bytes of the pointer.
    pub size: u8,
    pub user: bool,
}

impl Core {
    /// The stack as it is.
    pub fn stack(&self) -> Stack {
        Stack {
            ss: *self.seg(SS),
            sp: self.x[usize::from(RSP)],
            size: self.stack_size,
            user: self.cpl == 3,
        }
    }

    /// Pushes so many bytes.
    ///
    /// # Errors
    /// The stack has no room for them, or they cannot be written.
    pub fn push_on(
        &mut self,
        cx: &mut Cx<'_>,
        stack: &mut Stack,
        size: u8,
        value: u64,
    ) -> Result<(), Fault> {
        let mask = crate::inst::mask(stack.size);
        let offset = stack.sp.wrapping_sub(size.into()) & mask;
        let va = self.on_stack(stack, offset, size)?;
        let bytes = value.to_le_bytes();
        let bytes = bytes.get(..usize::from(size)).unwrap_or(&bytes);
        self.write_bytes(cx, va, bytes, stack.user)?;
        stack.sp = stack.sp & !mask | offset;
        Ok(())
    }

    /// Pops so many bytes.
    ///
    /// # Errors
    /// As of [`Core::push_on`].
    pub fn pop_from(&mut self, cx: &mut Cx<'_>, stack: &mut Stack, size: u8) -> Result<u64, Fault> {
        let mask = crate::inst::mask(stack.size);
        let va = self.on_stack(stack, stack.sp & mask, size)?;
        let mut bytes = [0; 8];
        let to = bytes.get_mut(..usize::from(size)).unwrap_or_default();
        self.read_bytes(cx, va, to, stack.user, crate::mmu::Access::Read)?;
        stack.sp = stack.sp & !mask | stack.sp.wrapping_add(size.into()) & mask;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The linear address of an offset in a stack.
    fn on_stack(&self, stack: &Stack, offset: u64, size: u8) -> Result<u64, Fault> {
        if stack.size == 8 {
            return match crate::mmu::canonical(offset) {
                true => Ok(offset),
                false => Err(Fault::ss(0)),
            };
        }
        match crate::mmu::within(&stack.ss, offset, size.into()) {
            true => Ok(stack.ss.base.wrapping_add(offset) & 0xffff_ffff),
            false => Err(Fault::ss(0)),
        }
    }

    /// Takes an exception, with the CPU's address that of the instruction that raised it.
    #[cold]
    pub fn raise(&mut self, cx: &mut Cx<'_>, fault: Fault) {
        let mut fault = fault;
        self.attention = 0;
        loop {
            if let Some(address) = fault.address {
                self.cr2 = address;
            }
            let Err(second) = self.deliver(cx, fault.vector, fault.error, Source::Exception) else {
                return;
            };
            let page = fault.vector == vector::PF;
            let double = (fault.contributes() || page) && second.contributes()
                || page && second.vector == vector::PF;
            if fault.vector == vector::DF {
                self.shut_down = true;
                cx.guest_error(format_args!(
                    "triple fault at {:#x}:{:#x}: the CPU shuts down, and the board resets",
                    self.seg(CS).selector,
                    self.rip()
                ));
                cx.request(Request::Reset);
                self.vcpu.attention();
                return;
            }
            fault = match double {
                true => Fault::with(vector::DF, 0),
                false => second,
            };
        }
    }

    /// Goes to the handler of a vector. Nothing has changed if that is not possible.
    ///
    /// # Errors
    /// Why not.
    pub fn deliver(
        &mut self,
        cx: &mut Cx<'_>,
        vector: u8,
        error: Option<u32>,
        source: Source,
    ) -> Result<(), Fault> {
        self.settle();
        match self.protected() {
            true => self.deliver_by_gate(cx, vector, error, source),
            false => self.deliver_real(cx, vector),
        }
    }

    fn deliver_real(&mut self, cx: &mut Cx<'_>, vector: u8) -> Result<(), Fault> {
        let at = u64::from(vector) * 4;
        if at + 3 > self.idtr.limit.into() {
            return Err(Fault::gp(0));
        }
        let entry = self.read_system(cx, self.idtr.base.wrapping_add(at), 4)?;
        let mut stack = self.stack();
        let (flags, cs, ip) = (self.flags, self.seg(CS).selector, self.rip());
        self.push_on(cx, &mut stack, 2, flags)?;
        self.push_on(cx, &mut stack, 2, cs.into())?;
        self.push_on(cx, &mut stack, 2, ip)?;
        self.x[usize::from(RSP)] = stack.sp;
        self.flags &= !(flag::IF | flag::TF | flag::AC | flag::RF);
        self.set_real_segment(CS, (entry >> 16) as u16);
        self.mode_changed();
        self.set_rip(entry & 0xffff);
        Ok(())
    }

    fn deliver_by_gate(
        &mut self,
        cx: &mut Cx<'_>,
        vector: u8,
        error: Option<u32>,
        source: Source,
    ) -> Result<(), Fault> {
        let ext = if source == Source::Software { 0 } else { EXT };
        let long = self.long();
        let entry = if long { 16 } else { 8 };
        let at = u64::from(vector) * entry;
        let about = Fault::with(vector::GP, u32::from(vector) << 3 | IDT | ext);
        if at + entry - 1 > self.idtr.limit.into() {
            return Err(about);
        }
        let at = self.idtr.base.wrapping_add(at);
        let gate = self.read_system(cx, at, 8)?;
        let high = match long {
            true => self.read_system(cx, at.wrapping_add(8), 8)?,
            false => 0,
        };
        let rights = (gate >> 40) as u16;
        let kind = rights & 0x1f;
        let size = match kind {
            _ if long && !matches!(kind, 14 | 15) => return Err(about),
            14 | 15 if long => 8,
            14 | 15 => 4,
            6 | 7 => 2,
            5 => 0,
            _ => return Err(about),
        };
        if source == Source::Software && (rights >> 5 & 3) < self.cpl.into() {
            return Err(about);
        }
        if rights & access::PRESENT == 0 {
            return Err(Fault {
                vector: vector::NP,
                ..about
            });
        }
        let selector = (gate >> 16) as u16;
        if kind == 5 {
            self.switch_task(cx, selector, Switch::Interrupt)?;
            if let Some(error) = error {
                let mut stack = self.stack();
                let size = if self.tr.kind() & 8 != 0 { 4 } else { 2 };
                self.push_on(cx, &mut stack, size, error.into())?;
                self.x[usize::from(RSP)] = stack.sp;
            }
            return Ok(());
        }
        let offset = gate & 0xffff
            | if size == 2 {
                0
            } else {
                gate >> 32 & 0xffff_0000
            }
            | if long { high << 32 } else { 0 };
        if null(selector) {
            return Err(Fault::gp(0).and(ext));
        }
        let and_ext = |fault: Fault| fault.and(ext);
        let mut cs = parse(selector, self.descriptor(cx, selector).map_err(and_ext)?);
        if !cs.is(access::S | access::CODE) || cs.dpl() > self.cpl {
            return Err(Fault::gp(selector).and(ext));
        }
        if long && (cs.is(access::BIG) || !cs.is(access::LONG)) {
            return Err(Fault::gp(selector).and(ext));
        }
        if !cs.is(access::PRESENT) {
            return Err(Fault::np(selector).and(ext));
        }
        let old = (*self.seg(SS), self.x[usize::from(RSP)]);
        let v86 = self.virtual8086();
        let inner = !cs.is(access::DC) && cs.dpl() < self.cpl;
        let cpl = if cs.is(access::DC) {
            self.cpl
        } else {
            cs.dpl()
        };
        if v86 && cpl != 0 {
            return Err(Fault::gp(selector).and(ext));
        }
        let ist = (gate >> 32 & 7) as u8;
        let mut stack = self.stack();
        if inner || long {
            if long {
                let at = match (ist, inner) {
                    (0, true) => Some(4 + 8 * u64::from(cpl)),
                    (0, false) => None,
                    (ist, _) => Some(28 + 8 * u64::from(ist)),
                };
                if let Some(at) = at {
                    stack.sp = self.stack_of_tss64(cx, at).map_err(and_ext)?;
                }
                stack.sp &= !15;
                stack.size = 8;
                if inner {
                    stack.ss = Segment::null(cpl.into());
                }
            } else {
                let (ss, sp) = self.stack_of_tss(cx, cpl).map_err(and_ext)?;
                stack.ss = self.inner_stack(cx, ss, cpl).map_err(and_ext)?;
                stack.sp = sp;
                stack.size = if stack.ss.is(access::BIG) { 4 } else { 2 };
            }
            stack.user = cpl == 3;
        }
        if !long {
            let ip = if size == 2 { offset & 0xffff } else { offset };
            if ip > cs.limit.into() {
                return Err(Fault::gp(0).and(ext));
            }
        }
        let flags = match source {
            // So that a fault at a breakpoint's instruction does not come again.
            Source::Exception if vector != vector::DB => self.flags | flag::RF,
            _ => self.flags,
        };
        if v86 && inner {
            for n in [5u8, 4, 3, 0] {
                let selector = self.seg(n).selector;
                self.push_on(cx, &mut stack, size, selector.into())?;
            }
        }
        if inner || long {
            self.push_on(cx, &mut stack, size, old.0.selector.into())?;
            self.push_on(cx, &mut stack, size, old.1)?;
        }
        let (old_cs, ip) = (self.seg(CS).selector, self.rip());
        self.push_on(cx, &mut stack, size, flags)?;
        self.push_on(cx, &mut stack, size, old_cs.into())?;
        self.push_on(cx, &mut stack, size, ip)?;
        if let Some(error) = error {
            self.push_on(cx, &mut stack, size, error.into())?;
        }
        // All of it is written: now it goes there.
        if v86 && inner {
            for n in [0usize, 3, 4, 5] {
                self.segs[n] = Segment::null(0);
            }
        }
        self.segs[usize::from(SS)] = stack.ss;
        self.x[usize::from(RSP)] = match (long, inner) {
            (false, true) => stack.sp & 0xffff_ffff,
            _ => stack.sp,
        };
        self.flags &= !(flag::TF | flag::NT | flag::VM | flag::RF);
        if kind & 1 == 0 {
            self.flags &= !flag::IF;
        }
        self.cpl = cpl;
        cs.selector = selector & !3 | u16::from(cpl);
        self.segs[usize::from(CS)] = cs;
        self.mode_changed();
        self.set_rip(offset);
        Ok(())
    }

    /// Takes an interrupt that is pending and can be taken, if there is one.
    pub fn interrupt(&mut self, cx: &mut Cx<'_>) {
        if self.apic.init {
            self.initialize(cx);
        }
        if self.apic.waits {
            let Some(page) = self.apic.start.take() else {
                return;
            };
            self.apic.waits = false;
            self.set_real_segment(CS, u16::from(page) << 8);
            self.mode_changed();
            self.set_rip(0);
        }
        self.apic.start = None;
        if self.attention != 0 {
            // Behind an instruction that nothing may interrupt yet.
            return;
        }
        if self.smi_pending && !self.smm {
            self.enter_smm(cx);
        } else if self.nmi_pending && !self.nmi_blocked {
            self.nmi_pending = false;
            self.nmi_blocked = true;
            self.take(cx, vector::NMI);
        } else if self.flags & flag::IF != 0 {
            self.maskable(cx);
        }
    }

    /// Takes an interrupt that flags can keep away, if there is one.
    fn maskable(&mut self, cx: &mut Cx<'_>) {
        if let Some(vector) = self.apic.pending() {
            self.apic.take(vector);
            self.take(cx, vector);
        } else if self.intr && self.apic.passes_external() {
            // Who drove the line may have thought better of it; then it is the controller that says so.
            if let Ok(vector) = cx.cycle(On::Own, Cycle::Acknowledge) {
                self.take(cx, vector as u8);
            }
        }
    }

    fn take(&mut self, cx: &mut Cx<'_>, vector: u8) {
        self.halted = false;
        if let Err(fault) = self.deliver(cx, vector, None, Source::External) {
            self.raise(cx, fault);
        }
        // What was written of code is looked at before the handler begins.
        self.attention = 0;
        self.shadowed = false;
    }

    /// Whether something would wake the CPU from HLT.
    pub fn wakes(&self) -> bool {
        let maskable = self.apic.pending().is_some() || self.intr && self.apic.passes_external();
        self.nmi_pending && !self.nmi_blocked
            || self.smi_pending && !self.smm
            || self.apic.init
            || maskable && self.flags & flag::IF != 0
    }

    /// Whether nothing is executed until something comes.
    pub fn sleeps(&self) -> bool {
        let woken = self.apic.init || self.apic.waits && self.apic.start.is_some();
        !woken && (self.apic.waits || self.shut_down || self.halted && !self.wakes())
    }
}
