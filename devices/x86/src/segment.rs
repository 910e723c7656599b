//! Segments, and transfers that go through descriptors: far jumps, calls and returns, and task switches.
//!
//! Intel SDM, volume 3, chapters 3, 5 and 7.

use solderless_model::Cx;

use crate::core::{
    CS, Core, DS, ES, FS, GS, RSP, SS, Segment, Table, access, attention, cr0, flag,
};
use crate::mmu::canonical;
use crate::trap::{Fault, Stack};

/// Whether a selector is null.
pub fn null(selector: u16) -> bool {
    selector & !3 == 0
}

/// What a descriptor says.
pub fn parse(selector: u16, raw: u64) -> Segment {
    let limit = (raw & 0xffff | raw >> 32 & 0xf_0000) as u32;
    let access = (raw >> 40 & 0xff | raw >> 40 & 0xf000) as u16;
    Segment {
        selector,
        access,
        limit: match access & access::GRANULAR {
            0 => limit,
            _ => limit << 12 | 0xfff,
        },
        base: raw >> 16 & 0xff_ffff | raw >> 32 & 0xff00_0000,
    }
}

/// How a task is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    Jump,
    Call,
    Interrupt,
    Return,
}

/// Types of system descriptors.
mod kind {
    pub const TSS16: u16 = 1;
    pub const LDT: u16 = 2;
    pub const CALL16: u16 = 4;
    pub const TASK: u16 = 5;
    pub const TSS32: u16 = 9;
    pub const CALL32: u16 = 12;
    pub const BUSY: u16 = 2;
}

impl Core {
    /// Loads a segment register as real mode does: its limit stays.
    pub fn set_real_segment(&mut self, n: u8, selector: u16) {
        let seg = &mut self.segs[usize::from(n) % 6];
        seg.selector = selector;
        seg.base = u64::from(selector) << 4;
        if n == CS {
            // What protected mode has left of rights is gone with a far jump.
            seg.access = access::PRESENT
                | access::S
                | access::CODE
                | access::RW
                | access::ACCESSED
                | seg.access & access::BIG;
        }
    }

    /// Loads a segment register as virtual-8086 mode has it.
    fn set_virtual_segment(&mut self, n: u8, selector: u16) {
        let mut seg = Segment::real(selector);
        seg.access |= 3 << 5;
        self.segs[usize::from(n) % 6] = seg;
    }

    /// Where the descriptor of a selector is.
    fn place_of(&self, selector: u16, size: u64) -> Option<u64> {
        let (base, limit) = match selector & 4 {
            0 => (self.gdtr.base, u64::from(self.gdtr.limit)),
            _ if !self.ldtr.is(access::PRESENT) => return None,
            _ => (self.ldtr.base, u64::from(self.ldtr.limit)),
        };
        let at = u64::from(selector & !7);
        (at + size - 1 <= limit).then(|| base.wrapping_add(at))
    }

    /// Reads the descriptor of a selector.
    ///
    /// # Errors
    /// It is not in its table.
    pub fn descriptor(&mut self, cx: &mut Cx<'_>, selector: u16) -> Result<u64, Fault> {
        let at = self.place_of(selector, 8).ok_or(Fault::gp(selector))?;
        self.read_system(cx, at, 8)
    }

    /// Sets bits of the sixth byte of a descriptor.
    fn mark(&mut self, cx: &mut Cx<'_>, selector: u16, raw: u64, bits: u16) -> Result<(), Fault> {
        let old = (raw >> 40) as u8;
        let new = old | bits as u8;
        match self.place_of(selector, 8) {
            Some(at) if new != old => self.write_system(cx, at.wrapping_add(5), 1, new.into()),
            _ => Ok(()),
        }
    }

    /// Loads a segment register other than CS.
    ///
    /// # Errors
    /// The selector is none for it.
    pub fn load_segment(&mut self, cx: &mut Cx<'_>, n: u8, selector: u16) -> Result<(), Fault> {
        if !self.protected() {
            self.set_real_segment(n, selector);
        } else if self.virtual8086() {
            self.set_virtual_segment(n, selector);
        } else {
            let segment = match n {
                SS => self.stack_segment(cx, selector, self.cpl)?,
                _ => self.data_segment(cx, selector)?,
            };
            self.segs[usize::from(n) % 6] = segment;
        }
        if n == SS {
            self.attention |= attention::SHADOW;
        }
        let before = self.mode;
        self.mode_changed();
        if self.mode != before {
            // What follows in the block was made for another mode.
            self.attention |= attention::EVENT;
        }
        Ok(())
    }

    fn data_segment(&mut self, cx: &mut Cx<'_>, selector: u16) -> Result<Segment, Fault> {
        if null(selector) {
            return Ok(Segment::null(selector));
        }
        let raw = self.descriptor(cx, selector)?;
        let segment = parse(selector, raw);
        let code = segment.is(access::CODE);
        let conforming = code && segment.is(access::DC);
        let rpl = (selector & 3) as u8;
        if !segment.is(access::S)
            || code && !segment.is(access::RW)
            || !conforming && (rpl > segment.dpl() || self.cpl > segment.dpl())
        {
            return Err(Fault::gp(selector));
        }
        if !segment.is(access::PRESENT) {
            return Err(Fault::np(selector));
        }
        self.mark(cx, selector, raw, access::ACCESSED)?;
        Ok(segment)
    }

    fn stack_segment(&mut self, cx: &mut Cx<'_>, selector: u16, cpl: u8) -> Result<Segment, Fault> {
        if null(selector) {
            let allowed = self.is64() && cpl != 3 && selector & 3 == u16::from(cpl);
            return match allowed {
                true => Ok(Segment::null(selector)),
                false => Err(Fault::gp(0)),
            };
        }
        let raw = self.descriptor(cx, selector)?;
        let segment = parse(selector, raw);
        if !segment.is(access::S | access::RW)
            || segment.is(access::CODE)
            || (selector & 3) as u8 != cpl
            || segment.dpl() != cpl
        {
            return Err(Fault::gp(selector));
        }
        if !segment.is(access::PRESENT) {
            return Err(Fault::ss(selector));
        }
        self.mark(cx, selector, raw, access::ACCESSED)?;
        Ok(segment)
    }

    /// The stack segment that a TSS names for a privilege level.
    ///
    /// # Errors
    /// It is none for it.
    pub fn inner_stack(
        &mut self,
        cx: &mut Cx<'_>,
        selector: u16,
        cpl: u8,
    ) -> Result<Segment, Fault> {
        if null(selector) {
            return Err(Fault::ts(selector));
        }
        self.stack_segment(cx, selector, cpl)
            .map_err(|fault| match fault.vector {
                crate::trap::vector::GP => Fault::ts(selector),
                _ => fault,
            })
    }

    /// SS and ESP that the TSS has for a privilege level.
    ///
    /// # Errors
    /// It does not reach so far.
    pub fn stack_of_tss(&mut self, cx: &mut Cx<'_>, cpl: u8) -> Result<(u16, u64), Fault> {
        let tr = self.tr;
        let wide = tr.kind() & 8 != 0;
        let (at, size) = match wide {
            true => (4 + 8 * u64::from(cpl), 4),
            false => (2 + 4 * u64::from(cpl), 2),
        };
        if at + 2 * u64::from(size) - 1 > tr.limit.into() {
            return Err(Fault::ts(tr.selector));
        }
        let sp = self.read_system(cx, tr.base.wrapping_add(at), size)?;
        let ss = self.read_system(cx, tr.base.wrapping_add(at + u64::from(size)), 2)?;
        Ok((ss as u16, sp))
    }

    /// A stack pointer of a TSS of long mode.
    ///
    /// # Errors
    /// It does not reach so far, or has no address.
    pub fn stack_of_tss64(&mut self, cx: &mut Cx<'_>, at: u64) -> Result<u64, Fault> {
        let tr = self.tr;
        if at + 7 > tr.limit.into() {
            return Err(Fault::ts(tr.selector));
        }
        let sp = self.read_system(cx, tr.base.wrapping_add(at), 8)?;
        match canonical(sp) {
            true => Ok(sp),
            false => Err(Fault::ss(0)),
        }
    }

    /// LLDT.
    ///
    /// # Errors
    /// The selector is none of an LDT.
    pub fn load_ldt(&mut self, cx: &mut Cx<'_>, selector: u16) -> Result<(), Fault> {
        self.ldtr = match null(selector) {
            true => Segment::null(selector),
            false => self.system_segment(cx, selector, &[kind::LDT])?.0,
        };
        Ok(())
    }

    /// LTR.
    ///
    /// # Errors
    /// The selector is none of a TSS that is available.
    pub fn load_task_register(&mut self, cx: &mut Cx<'_>, selector: u16) -> Result<(), Fault> {
        if null(selector) {
            return Err(Fault::gp(0));
        }
        let kinds = [kind::TSS32, kind::TSS16];
        let kinds = if self.long() { &kinds[..1] } else { &kinds };
        let (mut tss, raw) = self.system_segment(cx, selector, kinds)?;
        self.mark(cx, selector, raw, kind::BUSY)?;
        tss.access |= kind::BUSY;
        self.tr = tss;
        Ok(())
    }

    /// Reads a system descriptor of one of some types, in the GDT.
    fn system_segment(
        &mut self,
        cx: &mut Cx<'_>,
        selector: u16,
        kinds: &[u16],
    ) -> Result<(Segment, u64), Fault> {
        if selector & 4 != 0 {
            return Err(Fault::gp(selector));
        }
        let raw = self.descriptor(cx, selector)?;
        let mut segment = parse(selector, raw);
        if segment.is(access::S) || !kinds.contains(&segment.kind()) {
            return Err(Fault::gp(selector));
        }
        if !segment.is(access::PRESENT) {
            return Err(Fault::np(selector));
        }
        if self.long() {
            let at = self.place_of(selector, 16).ok_or(Fault::gp(selector))?;
            let high = self.read_system(cx, at.wrapping_add(8), 8)?;
            segment.base |= high << 32;
            if !canonical(segment.base) {
                return Err(Fault::gp(selector));
            }
        }
        Ok((segment, raw))
    }

    /// Enters a code segment at an instruction pointer.
    ///
    /// # Errors
    /// That is not in it; nothing has changed.
    fn enter(&mut self, cs: Segment, cpl: u8, ip: u64) -> Result<(), Fault> {
        let long = self.long() && cs.is(access::LONG);
        if long && !canonical(ip) || !long && ip > cs.limit.into() {
            return Err(Fault::gp(0));
        }
        self.cpl = cpl;
        self.segs[usize::from(CS)] = Segment {
            selector: cs.selector & !3 | u16::from(cpl),
            ..cs
        };
        self.mode_changed();
        self.set_rip(ip);
        Ok(())
    }

    /// Enters a paragraph of code in real or virtual-8086 mode.
    ///
    /// # Errors
    /// The address is beyond it.
    fn enter_paragraph(&mut self, selector: u16, ip: u64) -> Result<(), Fault> {
        let virtual8086 = self.virtual8086();
        let limit = if virtual8086 {
            0xffff
        } else {
            self.seg(CS).limit
        };
        if ip > limit.into() {
            return Err(Fault::gp(0));
        }
        match virtual8086 {
            true => self.set_virtual_segment(CS, selector),
            false => self.set_real_segment(CS, selector),
        }
        self.mode_changed();
        self.set_rip(ip);
        Ok(())
    }

    /// The segment of a far jump or call that is no gate, for the level that the CPU is on.
    fn code_segment(&mut self, cx: &mut Cx<'_>, selector: u16, raw: u64) -> Result<Segment, Fault> {
        let cs = parse(selector, raw);
        let rpl = (selector & 3) as u8;
        let allowed = match cs.is(access::DC) {
            true => cs.dpl() <= self.cpl,
            false => cs.dpl() == self.cpl && rpl <= self.cpl,
        };
        let both = self.long() && cs.is(access::LONG | access::BIG);
        if !cs.is(access::S | access::CODE) || !allowed || both {
            return Err(Fault::gp(selector));
        }
        if !cs.is(access::PRESENT) {
            return Err(Fault::np(selector));
        }
        self.mark(cx, selector, raw, access::ACCESSED)?;
        Ok(cs)
    }

    /// A far jump.
    ///
    /// # Errors
    /// It does not lead there.
    pub fn far_jump(&mut self, cx: &mut Cx<'_>, selector: u16, ip: u64) -> Result<(), Fault> {
        if self.paragraphs() {
            return self.enter_paragraph(selector, ip);
        }
        if null(selector) {
            return Err(Fault::gp(0));
        }
        let raw = self.descriptor(cx, selector)?;
        if parse(selector, raw).is(access::S) {
            let cs = self.code_segment(cx, selector, raw)?;
            return self.enter(cs, self.cpl, ip);
        }
        match self.gate(cx, selector, raw)? {
            Gate::Task(tss) => self.switch_task(cx, tss, Switch::Jump),
            Gate::Call { cs, ip, .. } => {
                if !cs.is(access::DC) && cs.dpl() != self.cpl {
                    return Err(Fault::gp(cs.selector));
                }
                self.enter(cs, self.cpl, ip)
            }
        }
    }

    /// What a system descriptor that is jumped to or called leads to.
    fn gate(&mut self, cx: &mut Cx<'_>, selector: u16, raw: u64) -> Result<Gate, Fault> {
        let gate = parse(selector, raw);
        let long = self.long();
        let size = match gate.kind() {
            kind::CALL32 if long => 8,
            _ if long => return Err(Fault::gp(selector)),
            kind::CALL32 => 4,
            kind::CALL16 => 2,
            kind::TASK | kind::TSS16 | kind::TSS32 => 0,
            _ => return Err(Fault::gp(selector)),
        };
        if gate.dpl() < self.cpl || u16::from(gate.dpl()) < selector & 3 {
            return Err(Fault::gp(selector));
        }
        if !gate.is(access::PRESENT) {
            return Err(Fault::np(selector));
        }
        let to = (raw >> 16) as u16;
        match gate.kind() {
            kind::TASK => return Ok(Gate::Task(to)),
            kind::TSS16 | kind::TSS32 => return Ok(Gate::Task(selector)),
            _ => {}
        }
        let mut ip = raw & 0xffff;
        if size != 2 {
            ip |= raw >> 32 & 0xffff_0000;
        }
        if long {
            let at = self.place_of(selector, 16).ok_or(Fault::gp(selector))?;
            ip |= self.read_system(cx, at.wrapping_add(8), 4)? << 32;
        }
        if null(to) {
            return Err(Fault::gp(0));
        }
        let cs = parse(to, self.descriptor(cx, to)?);
        let wrong = long && (!cs.is(access::LONG) || cs.is(access::BIG));
        if !cs.is(access::S | access::CODE) || cs.dpl() > self.cpl || wrong {
            return Err(Fault::gp(to));
        }
        if !cs.is(access::PRESENT) {
            return Err(Fault::np(to));
        }
        let parameters = (raw >> 32 & 0x1f) as u8;
        Ok(Gate::Call {
            cs,
            ip,
            size,
            parameters,
        })
    }

    /// A far call, which returns to the address behind it.
    ///
    /// # Errors
    /// It does not lead there; nothing but memory has changed.
    pub fn far_call(
        &mut self,
        cx: &mut Cx<'_>,
        selector: u16,
        ip: u64,
        size: u8,
        back: u64,
    ) -> Result<(), Fault> {
        let cs_now = self.seg(CS).selector;
        let mut stack = self.stack();
        if self.paragraphs() {
            self.push_on(cx, &mut stack, size, cs_now.into())?;
            self.push_on(cx, &mut stack, size, back)?;
            self.enter_paragraph(selector, ip)?;
            self.x[usize::from(RSP)] = stack.sp;
            return Ok(());
        }
        if null(selector) {
            return Err(Fault::gp(0));
        }
        let raw = self.descriptor(cx, selector)?;
        if parse(selector, raw).is(access::S) {
            let cs = self.code_segment(cx, selector, raw)?;
            self.push_on(cx, &mut stack, size, cs_now.into())?;
            self.push_on(cx, &mut stack, size, back)?;
            self.enter(cs, self.cpl, ip)?;
            self.x[usize::from(RSP)] = stack.sp;
            return Ok(());
        }
        let (cs, ip, size, parameters) = match self.gate(cx, selector, raw)? {
            Gate::Task(tss) => {
                self.set_rip(back);
                return self.switch_task(cx, tss, Switch::Call);
            }
            Gate::Call {
                cs,
                ip,
                size,
                parameters,
            } => (cs, ip, size, parameters),
        };
        let inner = !cs.is(access::DC) && cs.dpl() < self.cpl;
        let cpl = if inner { cs.dpl() } else { self.cpl };
        let mut new = stack;
        if inner {
            new = self.stack_for(cx, cpl)?;
            let old = stack;
            self.push_on(cx, &mut new, size, old.ss.selector.into())?;
            self.push_on(cx, &mut new, size, old.sp)?;
            if size != 8 {
                let count = u64::from(parameters);
                for n in (0..count).rev() {
                    let mut from = old;
                    from.sp = old.sp.wrapping_add(n * u64::from(size));
                    let parameter = self.pop_from(cx, &mut from, size)?;
                    self.push_on(cx, &mut new, size, parameter)?;
                }
            }
        }
        self.push_on(cx, &mut new, size, cs_now.into())?;
        self.push_on(cx, &mut new, size, back)?;
        self.enter(cs, cpl, ip)?;
        self.segs[usize::from(SS)] = new.ss;
        self.x[usize::from(RSP)] = new.sp;
        self.mode_changed();
        Ok(())
    }

    /// The stack that the TSS has for an inner level.
    fn stack_for(&mut self, cx: &mut Cx<'_>, cpl: u8) -> Result<Stack, Fault> {
        if self.long() {
            return Ok(Stack {
                ss: Segment::null(cpl.into()),
                sp: self.stack_of_tss64(cx, 4 + 8 * u64::from(cpl))?,
                size: 8,
                user: false,
            });
        }
        let (ss, sp) = self.stack_of_tss(cx, cpl)?;
        let ss = self.inner_stack(cx, ss, cpl)?;
        Ok(Stack {
            ss,
            sp,
            size: if ss.is(access::BIG) { 4 } else { 2 },
            user: false,
        })
    }

    /// The code segment that a return leads to.
    fn returned_to(&mut self, cx: &mut Cx<'_>, selector: u16) -> Result<Segment, Fault> {
        if null(selector) {
            return Err(Fault::gp(0));
        }
        let cs = parse(selector, self.descriptor(cx, selector)?);
        let rpl = (selector & 3) as u8;
        let conforming = cs.is(access::DC);
        if !cs.is(access::S | access::CODE)
            || rpl < self.cpl
            || conforming && cs.dpl() > rpl
            || !conforming && cs.dpl() != rpl
        {
            return Err(Fault::gp(selector));
        }
        if !cs.is(access::PRESENT) {
            return Err(Fault::np(selector));
        }
        Ok(cs)
    }

    /// The stack segment that a return to an outer level, or in long mode, finds.
    fn returned_stack(
        &mut self,
        cx: &mut Cx<'_>,
        selector: u16,
        cpl: u8,
        cs: &Segment,
    ) -> Result<Segment, Fault> {
        if null(selector) && self.long() && cs.is(access::LONG) && cpl != 3 {
            return Ok(Segment::null(selector));
        }
        self.stack_segment(cx, selector, cpl)
    }

    /// Takes from data segments what an outer level must not see.
    fn drop_segments(&mut self) {
        for n in [ES, DS, FS, GS] {
            let seg = &mut self.segs[usize::from(n)];
            let conforming = seg.is(access::CODE | access::DC);
            if seg.dpl() < self.cpl && !conforming && seg.is(access::PRESENT) {
                *seg = Segment::null(0);
            }
        }
    }

    /// RETF, which takes so many bytes more from the stack.
    ///
    /// # Errors
    /// It does not lead anywhere; nothing has changed.
    pub fn far_return(&mut self, cx: &mut Cx<'_>, size: u8, more: u64) -> Result<(), Fault> {
        let mut stack = self.stack();
        let ip = self.pop_from(cx, &mut stack, size)?;
        let selector = self.pop_from(cx, &mut stack, size)? as u16;
        let add = |stack: &mut Stack| {
            let mask = crate::inst::mask(stack.size);
            stack.sp = stack.sp & !mask | stack.sp.wrapping_add(more) & mask;
        };
        add(&mut stack);
        if self.paragraphs() {
            self.enter_paragraph(selector, ip)?;
            self.x[usize::from(RSP)] = stack.sp;
            return Ok(());
        }
        let cs = self.returned_to(cx, selector)?;
        let rpl = (selector & 3) as u8;
        if rpl == self.cpl {
            self.enter(cs, rpl, ip)?;
            self.x[usize::from(RSP)] = stack.sp;
            return Ok(());
        }
        let sp = self.pop_from(cx, &mut stack, size)?;
        let ss = self.pop_from(cx, &mut stack, size)? as u16;
        let ss = self.returned_stack(cx, ss, rpl, &cs)?;
        self.enter(cs, rpl, ip)?;
        self.leave_to(ss, sp);
        let mut outer = self.stack();
        add(&mut outer);
        self.x[usize::from(RSP)] = outer.sp;
        Ok(())
    }

    /// The stack of an outer level.
    fn leave_to(&mut self, ss: Segment, sp: u64) {
        self.segs[usize::from(SS)] = ss;
        self.mode_changed();
        self.set_reg(RSP, self.stack_size, sp);
        self.drop_segments();
        self.mode_changed();
    }

    /// IRET.
    ///
    /// # Errors
    /// It does not lead anywhere; nothing has changed.
    pub fn interrupt_return(&mut self, cx: &mut Cx<'_>, size: u8) -> Result<(), Fault> {
        let mut stack = self.stack();
        let v86 = self.protected() && self.virtual8086();
        if v86 && self.iopl() < 3 {
            return Err(Fault::gp(0));
        }
        if self.protected() && !v86 && self.flags & flag::NT != 0 {
            if self.long() {
                return Err(Fault::gp(0));
            }
            let back = self.read_system(cx, self.tr.base, 2)? as u16;
            return self.switch_task(cx, back, Switch::Return);
        }
        let ip = self.pop_from(cx, &mut stack, size)?;
        let selector = self.pop_from(cx, &mut stack, size)? as u16;
        let flags = self.pop_from(cx, &mut stack, size)?;
        if self.paragraphs() {
            self.enter_paragraph(selector, ip)?;
            self.x[usize::from(RSP)] = stack.sp;
            let iopl = if v86 { 0 } else { flag::IOPL };
            self.put_flags(flags, size, iopl | flag::IF | flag::RF);
            self.nmi_blocked = false;
            return Ok(());
        }
        if flags & flag::VM != 0 && self.cpl == 0 && size == 4 && !self.long() {
            return self.return_to_virtual(cx, &mut stack, ip, selector, flags);
        }
        let cs = self.returned_to(cx, selector)?;
        let rpl = (selector & 3) as u8;
        let outer = rpl != self.cpl;
        let mut allowed = flag::RF;
        if self.cpl <= self.iopl() {
            allowed |= flag::IF;
        }
        if self.cpl == 0 {
            allowed |= flag::IOPL;
        }
        let next = match outer || self.is64() {
            true => {
                let sp = self.pop_from(cx, &mut stack, size)?;
                let ss = self.pop_from(cx, &mut stack, size)? as u16;
                Some((self.returned_stack(cx, ss, rpl, &cs)?, sp))
            }
            false => None,
        };
        self.enter(cs, rpl, ip)?;
        self.put_flags(flags, size, allowed);
        match next {
            Some((ss, sp)) => {
                self.segs[usize::from(SS)] = ss;
                self.mode_changed();
                self.set_reg(RSP, self.stack_size, sp);
                if outer {
                    self.drop_segments();
                }
            }
            None => self.x[usize::from(RSP)] = stack.sp,
        }
        self.nmi_blocked = false;
        self.mode_changed();
        Ok(())
    }

    fn return_to_virtual(
        &mut self,
        cx: &mut Cx<'_>,
        stack: &mut Stack,
        ip: u64,
        cs: u16,
        flags: u64,
    ) -> Result<(), Fault> {
        let mut popped = [0; 6];
        for value in &mut popped {
            *value = self.pop_from(cx, stack, 4)?;
        }
        let [sp, ss, es, ds, fs, gs] = popped;
        if ip > 0xffff {
            return Err(Fault::gp(0));
        }
        self.put_flags(flags, 4, flag::RF | flag::IF | flag::IOPL | flag::VM);
        for (n, selector) in [(ES, es), (SS, ss), (DS, ds), (FS, fs), (GS, gs)] {
            self.set_virtual_segment(n, selector as u16);
        }
        self.set_virtual_segment(CS, cs);
        self.cpl = 3;
        self.mode_changed();
        self.x[usize::from(RSP)] = sp;
        self.set_rip(ip);
        self.nmi_blocked = false;
        Ok(())
    }

    /// Sets the flags that a value of so many bytes has: those that anybody may set, and these.
    pub fn put_flags(&mut self, value: u64, size: u8, also: u64) {
        self.settle();
        let always = flag::ARITHMETIC | flag::TF | flag::DF | flag::NT | flag::AC | self.id_flag();
        let there = match size {
            2 => 0xffff,
            _ => u64::MAX,
        };
        let which = (always | also) & there;
        self.flags = self.flags & !which | value & which | flag::ONE;
        self.keep_flags();
        self.mode_changed();
    }

    /// EFLAGS.ID, which those have that have CPUID.
    fn id_flag(&self) -> u64 {
        match self.has(crate::model::feature::CPUID) {
            true => flag::ID,
            false => 0,
        }
    }

    /// Switches to the task of a TSS.
    ///
    /// # Errors
    /// It is none that can be switched to.
    pub fn switch_task(
        &mut self,
        cx: &mut Cx<'_>,
        selector: u16,
        how: Switch,
    ) -> Result<(), Fault> {
        let wrong = match how {
            Switch::Return => Fault::ts(selector),
            _ => Fault::gp(selector),
        };
        if null(selector) || selector & 4 != 0 {
            return Err(wrong);
        }
        let raw = self.descriptor(cx, selector)?;
        let mut tss = parse(selector, raw);
        let busy = if how == Switch::Return { kind::BUSY } else { 0 };
        let wide = tss.kind() == kind::TSS32 | busy;
        if tss.is(access::S) || !wide && tss.kind() != kind::TSS16 | busy {
            return Err(wrong);
        }
        if !tss.is(access::PRESENT) {
            return Err(Fault::np(selector));
        }
        if tss.limit < if wide { 0x67 } else { 0x2b } {
            return Err(Fault::ts(selector));
        }
        let new = self.read_task(cx, &tss, wide)?;
        self.settle();
        let mut flags = self.flags;
        if how == Switch::Return {
            flags &= !flag::NT;
        }
        self.write_task(cx, flags)?;
        let old = self.tr;
        if matches!(how, Switch::Jump | Switch::Return)
            && let Some(at) = self.place_of(old.selector, 8)
        {
            let rights = self.read_system(cx, at.wrapping_add(5), 1)?;
            self.write_system(cx, at.wrapping_add(5), 1, rights & !u64::from(kind::BUSY))?;
        }
        if matches!(how, Switch::Call | Switch::Interrupt) {
            self.write_system(cx, tss.base, 2, old.selector.into())?;
        }
        if how != Switch::Return {
            self.mark(cx, selector, raw, kind::BUSY)?;
        }
        tss.access |= kind::BUSY;
        self.tr = tss;
        self.cr0 |= cr0::TS;
        self.mode_changed();
        if wide && self.is(cr0::PG) {
            self.cr3 = new.cr3;
            self.vcpu.forget_pages();
        }
        self.dr[7] &= !0x155;
        self.flags = new.flags & 0x37_7fd5 | flag::ONE;
        if matches!(how, Switch::Call | Switch::Interrupt) {
            self.flags |= flag::NT;
        }
        self.keep_flags();
        for (to, from) in self.x.iter_mut().zip(new.x) {
            *to = from;
        }
        self.ldtr = Segment::null(0);
        for n in [ES, SS, DS, FS, GS, CS] {
            self.segs[usize::from(n)] = Segment::null(new.segs[usize::from(n)]);
        }
        self.load_task(cx, &new)
    }

    /// Loads the segments of a new task; an exception is one of that.
    fn load_task(&mut self, cx: &mut Cx<'_>, new: &Task) -> Result<(), Fault> {
        let [es, cs, ss, ds, fs, gs] = new.segs;
        self.pc = new.ip;
        if self.virtual8086() {
            self.cpl = 3;
            for (n, selector) in [ES, CS, SS, DS, FS, GS].into_iter().zip(new.segs) {
                self.set_virtual_segment(n, selector);
            }
            self.mode_changed();
            self.set_rip(new.ip);
            return Ok(());
        }
        let as_task = |fault: Fault| match fault.vector {
            crate::trap::vector::GP => Fault {
                vector: crate::trap::vector::TS,
                ..fault
            },
            _ => fault,
        };
        self.cpl = (cs & 3) as u8;
        self.load_ldt(cx, new.ldt).map_err(as_task)?;
        if null(cs) {
            return Err(Fault::ts(cs));
        }
        let raw = self.descriptor(cx, cs).map_err(as_task)?;
        let code = parse(cs, raw);
        let level = match code.is(access::DC) {
            true => code.dpl() <= self.cpl,
            false => code.dpl() == self.cpl,
        };
        if !code.is(access::S | access::CODE) || !level {
            return Err(Fault::ts(cs));
        }
        if !code.is(access::PRESENT) {
            return Err(Fault::np(cs));
        }
        let stack = self.stack_segment(cx, ss, self.cpl).map_err(as_task)?;
        self.segs[usize::from(SS)] = stack;
        for (n, selector) in [(ES, es), (DS, ds), (FS, fs), (GS, gs)] {
            self.segs[usize::from(n)] = self.data_segment(cx, selector).map_err(as_task)?;
        }
        self.segs[usize::from(CS)] = code;
        self.mode_changed();
        if new.ip > code.limit.into() {
            return Err(Fault::gp(0));
        }
        self.set_rip(new.ip);
        Ok(())
    }

    fn read_task(&mut self, cx: &mut Cx<'_>, tss: &Segment, wide: bool) -> Result<Task, Fault> {
        let mut task = Task::default();
        let mut read = |core: &mut Self, at: u64, size: u8| {
            core.read_system(cx, tss.base.wrapping_add(at), size)
        };
        if wide {
            task.cr3 = read(self, 0x1c, 4)?;
            task.ip = read(self, 0x20, 4)?;
            task.flags = read(self, 0x24, 4)?;
            for n in 0..8u64 {
                task.x[n as usize] = read(self, 0x28 + 4 * n, 4)?;
            }
            for n in 0..6u64 {
                task.segs[n as usize] = read(self, 0x48 + 4 * n, 2)? as u16;
            }
            task.ldt = read(self, 0x60, 2)? as u16;
        } else {
            task.ip = read(self, 0x0e, 2)?;
            task.flags = read(self, 0x10, 2)?;
            for n in 0..8u64 {
                task.x[n as usize] = read(self, 0x12 + 2 * n, 2)? | 0xffff_0000;
            }
            for n in 0..4u64 {
                task.segs[n as usize] = read(self, 0x22 + 2 * n, 2)? as u16;
            }
            task.ldt = read(self, 0x2a, 2)? as u16;
        }
        Ok(task)
    }

    /// Saves what the task that is left was at.
    fn write_task(&mut self, cx: &mut Cx<'_>, flags: u64) -> Result<(), Fault> {
        let tr = self.tr;
        let wide = tr.kind() & 8 != 0;
        let ip = self.rip();
        let mut write = |core: &mut Self, at: u64, size: u8, value: u64| {
            core.write_system(cx, tr.base.wrapping_add(at), size, value)
        };
        if wide {
            write(self, 0x20, 4, ip)?;
            write(self, 0x24, 4, flags)?;
            for n in 0..8u64 {
                write(self, 0x28 + 4 * n, 4, self.x[n as usize])?;
            }
            for n in 0..6u64 {
                write(self, 0x48 + 4 * n, 2, self.segs[n as usize].selector.into())?;
            }
        } else {
            write(self, 0x0e, 2, ip)?;
            write(self, 0x10, 2, flags)?;
            for n in 0..8u64 {
                write(self, 0x12 + 2 * n, 2, self.x[n as usize])?;
            }
            for n in 0..4u64 {
                write(self, 0x22 + 2 * n, 2, self.segs[n as usize].selector.into())?;
            }
        }
        Ok(())
    }

    /// LGDT and LIDT.
    pub fn set_table(&mut self, interrupts: bool, limit: u16, base: u64) {
        let table = Table { base, limit };
        match interrupts {
            true => self.idtr = table,
            false => self.gdtr = table,
        }
    }
}

/// What a descriptor that is no segment leads to.
enum Gate {
    Task(u16),
    Call {
        cs: Segment,
        ip: u64,
        size: u8,
        parameters: u8,
    },
}

/// What a TSS holds of a task.
#[derive(Default)]
struct Task {
    cr3: u64,
    ip: u64,
    flags: u64,
    x: [u64; 8],
    /// ES, CS, SS, DS, FS, GS.
    segs: [u16; 6],
    ldt: u16,
}
