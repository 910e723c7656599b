//! Accesses: memory by way of the soft TLB where it is known, and devices.

use solderless_engine::{Exit, Physical, Reached};
use solderless_model::memory::PAGE;
use solderless_model::{Cx, Cycle, On, Space};

use crate::core::{Core, attention};
use crate::exec::{Leave, Op};
use crate::mmu::Access;
use crate::trap::Fault;

/// Where an access leads within a page.
#[derive(Debug, Clone, Copy)]
struct Place {
    pa: u64,
    /// A memory, and the offset in it.
    memory: Option<(u32, u64)>,
    writable: bool,
}

impl Core {
    /// Where an access leads, which is entered in the soft TLB if it is memory and an access of the mode that the CPU is in.
    fn place(&mut self, cx: &Cx<'_>, va: u64, access: Access, user: bool) -> Result<Place, Fault> {
        let mapping = self.translate(cx, va, access, user)?;
        let mut place = Place {
            pa: mapping.pa,
            memory: None,
            writable: true,
        };
        if self.apic.claims(mapping.pa) {
            return Ok(place);
        }
        if let Physical::Memory {
            ram,
            offset,
            writable,
        } = self.vcpu.frame(cx, mapping.pa)
        {
            place.memory = Some((ram, offset + mapping.pa % PAGE));
            place.writable = writable;
            if user == (self.cpl == 3) {
                let rights = (true, writable && mapping.writable);
                let there = (ram, offset);
                self.vcpu
                    .fill_wide(va, mapping.pa, there, rights, mapping.span);
            }
        }
        Ok(place)
    }

    /// Reads what is at a place, so many bytes in one page.
    fn read_place(&mut self, cx: &mut Cx<'_>, place: Place, to: &mut [u8]) {
        if let Some((ram, at)) = place.memory
            && let Some(ram) = self.vcpu.memory.rams.get(ram as usize)
            && ram.read(at, to).is_ok()
        {
            return;
        }
        self.attention |= attention::EVENT;
        for (at, piece) in pieces(place.pa, to.len()) {
            let at_bus = place.pa + at as u64;
            let value = match self.apic.claims(at_bus) {
                true => Ok(self.apic_lanes(cx, at_bus)),
                false => cx.bus_read(at_bus, piece),
            };
            // Nobody drives the lines where nothing answers.
            let value = value.unwrap_or(u64::MAX).to_le_bytes();
            let to = to.iter_mut().skip(at).take(piece.into());
            to.zip(value).for_each(|(to, from)| *to = from);
        }
    }

    fn write_place(&mut self, cx: &mut Cx<'_>, place: Place, from: &[u8]) {
        if let Some((ram, at)) = place.memory.filter(|_| place.writable)
            && let Some(ram) = self.vcpu.memory.rams.get(ram as usize)
            && ram.write(at, from).is_ok()
        {
            if ram.news() {
                self.attention |= attention::EVENT;
            }
            return;
        }
        self.attention |= attention::EVENT;
        for (at, piece) in pieces(place.pa, from.len()) {
            let mut value = [0; 8];
            let from = from.iter().skip(at).take(piece.into());
            value
                .iter_mut()
                .zip(from)
                .for_each(|(to, from)| *to = *from);
            let (at, value) = (place.pa + at as u64, u64::from_le_bytes(value));
            if self.apic.claims(at) {
                // Registers have 16 bytes each, of which the first four are something.
                if at & 15 == 0 {
                    self.apic_write(cx, at, value as u32);
                }
                continue;
            }
            // What nobody takes is lost.
            let _ = cx.bus_write(at, piece, value);
        }
    }

    /// What is at an address of the local APIC's registers.
    fn apic_lanes(&mut self, cx: &Cx<'_>, at: u64) -> u64 {
        u64::from(self.apic_read(cx, at & 0xff0)) >> (8 * (at & 15)).min(63)
    }

    /// Reads bytes at a linear address, for user or supervisor mode.
    ///
    /// # Errors
    /// The page fault; nothing was read of a device.
    pub fn read_bytes(
        &mut self,
        cx: &mut Cx<'_>,
        va: u64,
        to: &mut [u8],
        user: bool,
        access: Access,
    ) -> Result<(), Fault> {
        let here = ((PAGE - va % PAGE) as usize).min(to.len());
        let first = self.place(cx, va, access, user)?;
        let (low, high) = to.split_at_mut(here);
        if high.is_empty() {
            self.read_place(cx, first, low);
            return Ok(());
        }
        let next = self.beside(va, here as u64);
        let second = self.place(cx, next, access, user)?;
        self.read_place(cx, first, low);
        self.read_place(cx, second, high);
        Ok(())
    }

    /// Writes bytes at a linear address, all or none.
    ///
    /// # Errors
    /// The page fault.
    pub fn write_bytes(
        &mut self,
        cx: &mut Cx<'_>,
        va: u64,
        from: &[u8],
        user: bool,
    ) -> Result<(), Fault> {
        let here = ((PAGE - va % PAGE) as usize).min(from.len());
        let first = self.place(cx, va, Access::Write, user)?;
        let (low, high) = from.split_at(here);
        if high.is_empty() {
            self.write_place(cx, first, low);
            return Ok(());
        }
        let next = self.beside(va, here as u64);
        let second = self.place(cx, next, Access::Write, user)?;
        self.write_place(cx, first, low);
        self.write_place(cx, second, high);
        Ok(())
    }

    /// Reads a number of so many bytes as supervisor: descriptors, and what an exception finds.
    ///
    /// # Errors
    /// The page fault.
    pub fn read_system(&mut self, cx: &mut Cx<'_>, va: u64, size: u8) -> Result<u64, Fault> {
        self.read_number(cx, va, size, false, Access::Read)
    }

    /// Writes one.
    ///
    /// # Errors
    /// The page fault.
    pub fn write_system(
        &mut self,
        cx: &mut Cx<'_>,
        va: u64,
        size: u8,
        value: u64,
    ) -> Result<(), Fault> {
        let bytes = value.to_le_bytes();
        let bytes = bytes.get(..usize::from(size)).unwrap_or(&bytes);
        self.write_bytes(cx, va, bytes, false)
    }

    fn read_number(
        &mut self,
        cx: &mut Cx<'_>,
        va: u64,
        size: u8,
        user: bool,
        access: Access,
    ) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        let to = bytes.get_mut(..usize::from(size)).unwrap_or_default();
        self.read_bytes(cx, va, to, user, access)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads an operand of so many bytes.
    ///
    /// # Errors
    /// An exception, or a debugger wants the CPU to stop here.
    #[inline(always)]
    pub fn load(&mut self, cx: &mut Cx<'_>, op: &Op, va: u64, size: u8) -> Result<u64, Leave> {
        let wide = &self.vcpu.wide;
        let known = match size {
            1 => wide.read_u8(va).map(u64::from),
            2 => wide
                .read_unaligned(va)
                .map(|b| u16::from_le_bytes(b).into()),
            4 => wide
                .read_unaligned(va)
                .map(|b| u32::from_le_bytes(b).into()),
            _ => wide.read_unaligned(va).map(u64::from_le_bytes),
        };
        match known {
            Some(value) => Ok(value),
            None => self.load_slowly(cx, op, va, size, Access::Read),
        }
    }

    /// Reads an operand that is written next.
    ///
    /// # Errors
    /// As of [`Core::load`].
    #[inline(always)]
    pub fn load_to_change(
        &mut self,
        cx: &mut Cx<'_>,
        op: &Op,
        va: u64,
        size: u8,
    ) -> Result<u64, Leave> {
        match self.vcpu.wide.physical(va, 1, true).is_some() {
            true => self.load(cx, op, va, size),
            false => self.load_slowly(cx, op, va, size, Access::Write),
        }
    }

    #[cold]
    #[inline(never)]
    fn load_slowly(
        &mut self,
        cx: &mut Cx<'_>,
        op: &Op,
        va: u64,
        size: u8,
        access: Access,
    ) -> Result<u64, Leave> {
        if self.vcpu.watches() {
            self.stop_if_watched(cx, op, va, size.into(), access == Access::Write)?;
        }
        self.advance_to(op, cx);
        Ok(self.read_number(cx, va, size, self.cpl == 3, access)?)
    }

    /// Writes an operand.
    ///
    /// # Errors
    /// As of [`Core::load`].
    #[inline(always)]
    pub fn store(
        &mut self,
        cx: &mut Cx<'_>,
        op: &Op,
        va: u64,
        size: u8,
        value: u64,
    ) -> Result<(), Leave> {
        let wide = &mut self.vcpu.wide;
        let known = match size {
            1 => wide.write_u8(va, value as u8),
            2 => wide.write_unaligned(va, (value as u16).to_le_bytes()),
            4 => wide.write_unaligned(va, (value as u32).to_le_bytes()),
            _ => wide.write_unaligned(va, value.to_le_bytes()),
        };
        match known {
            true => Ok(()),
            false => self.store_slowly(cx, op, va, size, value),
        }
    }

    #[cold]
    #[inline(never)]
    fn store_slowly(
        &mut self,
        cx: &mut Cx<'_>,
        op: &Op,
        va: u64,
        size: u8,
        value: u64,
    ) -> Result<(), Leave> {
        if self.vcpu.watches() {
            self.stop_if_watched(cx, op, va, size.into(), true)?;
        }
        self.advance_to(op, cx);
        let bytes = value.to_le_bytes();
        let bytes = bytes.get(..usize::from(size)).unwrap_or(&bytes);
        Ok(self.write_bytes(cx, va, bytes, self.cpl == 3)?)
    }

    /// Reads an operand of 16 bytes.
    ///
    /// # Errors
    /// As of [`Core::load`].
    #[inline(always)]
    pub fn load_16(&mut self, cx: &mut Cx<'_>, op: &Op, va: u64) -> Result<u128, Leave> {
        let mut bytes = [0; 16];
        match self.vcpu.wide.read_unaligned(va) {
            Some(known) => bytes = known,
            None => self.load_wide(cx, op, va, &mut bytes)?,
        }
        Ok(u128::from_le_bytes(bytes))
    }

    /// Writes one.
    ///
    /// # Errors
    /// As of [`Core::load`].
    #[inline(always)]
    pub fn store_16(
        &mut self,
        cx: &mut Cx<'_>,
        op: &Op,
        va: u64,
        value: u128,
    ) -> Result<(), Leave> {
        match self.vcpu.wide.write_unaligned(va, value.to_le_bytes()) {
            true => Ok(()),
            false => self.store_wide(cx, op, va, &value.to_le_bytes()),
        }
    }

    /// Reads an operand of any size up to a page.
    ///
    /// # Errors
    /// As of [`Core::load`].
    #[inline(never)]
    pub fn load_wide(
        &mut self,
        cx: &mut Cx<'_>,
        op: &Op,
        va: u64,
        to: &mut [u8],
    ) -> Result<(), Leave> {
        if self.vcpu.watches() {
            self.stop_if_watched(cx, op, va, to.len() as u16, false)?;
        }
        self.advance_to(op, cx);
        Ok(self.read_bytes(cx, va, to, self.cpl == 3, Access::Read)?)
    }

    /// Writes one, all or nothing.
    ///
    /// # Errors
    /// As of [`Core::load`].
    #[inline(never)]
    pub fn store_wide(
        &mut self,
        cx: &mut Cx<'_>,
        op: &Op,
        va: u64,
        from: &[u8],
    ) -> Result<(), Leave> {
        if self.vcpu.watches() {
            self.stop_if_watched(cx, op, va, from.len() as u16, true)?;
        }
        self.advance_to(op, cx);
        Ok(self.write_bytes(cx, va, from, self.cpl == 3)?)
    }

    /// Looks whether an operand can be written, without doing it.
    ///
    /// # Errors
    /// It cannot.
    pub fn probe_write(&mut self, cx: &Cx<'_>, va: u64, size: u8) -> Result<(), Fault> {
        let user = self.cpl == 3;
        self.place(cx, va, Access::Write, user)?;
        let last = self.beside(va, u64::from(size).saturating_sub(1));
        if (va ^ last) & !(PAGE - 1) != 0 {
            self.place(cx, last, Access::Write, user)?;
        }
        Ok(())
    }

    /// Leaves the block before an access if a debugger wants the CPU to stop there.
    #[cold]
    fn stop_if_watched(
        &mut self,
        cx: &Cx<'_>,
        op: &Op,
        va: u64,
        size: u16,
        write: bool,
    ) -> Result<(), Leave> {
        let access = if write { Access::Write } else { Access::Read };
        // An access that raises an exception is none.
        let Ok(mapping) = self.translate(cx, va, access, self.cpl == 3) else {
            return Ok(());
        };
        let reached = Reached {
            pc: self.pc_of(op),
            va,
            pa: mapping.pa,
            size: size.min(u8::MAX.into()) as u8,
            write,
        };
        match self.vcpu.stops_before(reached, self.rest(op) + 1) {
            true => Err(Leave::Stop),
            false => Ok(()),
        }
    }

    /// Lets the time pass that instructions have taken up to this one.
    fn advance_to(&mut self, op: &Op, cx: &mut Cx<'_>) {
        let pc = self.pc_of(op);
        self.vcpu.advance(self.vcpu.executed(self.rest(op)), pc, cx);
    }

    /// Reads a port.
    pub fn port_in(&mut self, cx: &mut Cx<'_>, op: &Op, port: u16, size: u8) -> u64 {
        self.advance_to(op, cx);
        self.attention |= attention::EVENT;
        let mut value = 0;
        for (at, piece) in pieces(port.into(), size.into()) {
            let port = u64::from(port.wrapping_add(at as u16));
            let part = cx.cycle(On::Own, Cycle::read(Space::Io, port, piece));
            let part = part.unwrap_or(u64::MAX) & crate::inst::mask(piece);
            value |= part << (8 * at);
        }
        value
    }

    /// Writes a port.
    pub fn port_out(&mut self, cx: &mut Cx<'_>, op: &Op, port: u16, size: u8, value: u64) {
        self.advance_to(op, cx);
        self.attention |= attention::EVENT;
        for (at, piece) in pieces(port.into(), size.into()) {
            let port = u64::from(port.wrapping_add(at as u16));
            let part = value >> (8 * at) & crate::inst::mask(piece);
            // What nobody takes is lost.
            let _ = cx.cycle(On::Own, Cycle::write(Space::Io, port, piece, part));
        }
    }
}

/// The aligned pieces of an access, as a bus has them: where each starts in it, and its bytes.
fn pieces(at: u64, len: usize) -> impl Iterator<Item = (usize, u8)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let left = len.checked_sub(done).filter(|left| *left != 0)?;
        let aligned = 1usize << ((at + done as u64) | 8).trailing_zeros();
        let mut piece = aligned.min(8);
        while piece > left {
            piece /= 2;
        }
        let start = done;
        done += piece;
        Some((start, piece as u8))
    })
}

impl From<Fault> for Leave {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What is left of a block when nothing more of it is executed.
impl Core {
    /// Instructions of the block that come after an op.
    #[inline]
    pub fn rest(&self, op: &Op) -> i64 {
        i64::from(self.vcpu.len) - i64::from(op.inst.index_in_block) - 1
    }

    /// The linear address of an op.
    #[inline]
    pub fn pc_of(&self, op: &Op) -> u64 {
        self.wrap(self.pc.wrapping_add(op.inst.at.into()))
    }

    /// The linear address behind an op.
    #[inline]
    pub fn past(&self, op: &Op) -> u64 {
        self.wrap(self.pc.wrapping_add(op.inst.past().into()))
    }

    /// A linear address of code.
    #[inline]
    pub fn wrap(&self, va: u64) -> u64 {
        match self.is64() {
            true => va,
            false => va & 0xffff_ffff,
        }
    }

    /// Goes on behind an op, which needs a look at what it did.
    pub fn after(&mut self, op: &Op, exit: Exit) -> Exit {
        self.pc = self.past(op);
        self.vcpu.budget += self.rest(op);
        exit
    }
}
