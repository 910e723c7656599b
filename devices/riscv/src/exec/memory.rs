//! Loads, stores, and everything else that takes an address.
//!
//! The quick way is a hit in the soft TLB. A miss translates, enters the page, asks the bus where there is no memory, or raises
//! the exception.

use solderless_engine::{Exit, Physical, Reached};
use solderless_model::Cx;
use solderless_model::memory::PAGE;

use super::{Handler, Op, next};
use crate::core::Core;
use crate::csr::{USER, envcfg};
use crate::inst::{Cbo, Load};
use crate::trap::{Access, Fault, Trap, cause};

/// Bytes of the blocks that CBO instructions work on.
pub const CACHE_BLOCK: u64 = 64;

/// Where an address leads: a physical address, and a memory and the offset in it.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub pa: u64,
    memory: Option<(u32, u64)>,
    /// What is there can be written.
    writable: bool,
}

impl Core {
    /// Where an access leads within a page, which is entered in the soft TLB if it is memory.
    ///
    /// # Errors
    /// It is not allowed.
    pub fn place(&mut self, cx: &Cx<'_>, va: u64, access: Access) -> Result<Place, Trap> {
        let mapping = self.translate(cx, va, access);
        let mapping = mapping.map_err(|fault| fault.of(access, va))?;
        let mut place = Place {
            pa: mapping.pa,
            memory: None,
            writable: true,
        };
        if let Physical::Memory {
            ram: index,
            offset,
            writable,
        } = self.vcpu.frame(cx, mapping.pa)
        {
            place.memory = Some((index, offset + mapping.pa % PAGE));
            place.writable = writable;
            let rights = (mapping.readable, writable && mapping.writable);
            let there = (index, offset);
            self.vcpu
                .fill_wide(va, mapping.pa, there, rights, mapping.span);
        }
        Ok(place)
    }

    /// Reads so many bytes that are in one page.
    fn read_place(&self, place: Place, size: u8) -> Option<u64> {
        let (ram, at) = place.memory?;
        let ram = self.vcpu.memory.rams.get(ram as usize)?;
        let mut bytes = [0; 8];
        ram.read(at, bytes.get_mut(..usize::from(size))?).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// Writes so many bytes that are in one page; says whether somebody watches it. `None` if it is no memory that can be
    /// written.
    fn write_place(&mut self, place: Place, size: u8, value: u64) -> Option<bool> {
        self.write_bytes(place, value.to_le_bytes().get(..usize::from(size))?)
    }

    fn write_bytes(&mut self, place: Place, bytes: &[u8]) -> Option<bool> {
        let (index, at) = place.memory.filter(|_| place.writable)?;
        let ram = self.vcpu.memory.rams.get(index as usize)?;
        ram.write(at, bytes).ok()?;
        Some(ram.news())
    }

    /// Reads memory, and nothing else, aligned; gives the physical address too.
    ///
    /// # Errors
    /// It is not allowed, or no memory.
    pub fn read_memory(&mut self, cx: &Cx<'_>, va: u64, size: u8) -> Result<(u64, u64), Trap> {
        let place = self.place(cx, va, Access::Load)?;
        let value = self.read_place(place, size);
        let fault = || Fault::Access.of(Access::Load, va);
        Ok((value.ok_or_else(fault)?, place.pa))
    }

    /// Changes what is in memory, and nothing else, aligned; says whether somebody watches it.
    ///
    /// # Errors
    /// It is not allowed, or no memory.
    pub fn change_memory(
        &mut self,
        cx: &Cx<'_>,
        va: u64,
        size: u8,
        new: impl FnOnce(u64) -> u64,
    ) -> Result<bool, Trap> {
        let place = self.place(cx, va, Access::Store)?;
        let fault = || Fault::Access.of(Access::Store, va);
        let old = self.read_place(place, size).ok_or_else(fault)?;
        self.write_place(place, size, new(old)).ok_or_else(fault)
    }

    /// Reads `size` bytes, and says whether that could have changed something.
    ///
    /// # Errors
    /// An exception was taken.
    #[cold]
    #[inline(never)]
    fn load(&mut self, op: &Op, cx: &mut Cx<'_>, va: u64, size: u8) -> Result<(u64, bool), Exit> {
        self.stop_before(op, cx, va, size, false)?;
        if va & (u64::from(size) - 1) != 0 {
            return match self.load_misaligned(cx, va, size) {
                Ok(value) => Ok((value, false)),
                Err(trap) => Err(self.raise(op, trap)),
            };
        }
        let place = self.place(cx, va, Access::Load);
        let place = place.map_err(|trap| self.raise(op, trap))?;
        if let Some(value) = self.read_place(place, size) {
            return Ok((value, false));
        }
        self.advance_to(op, cx);
        match self.on_bus(cx, |cx| cx.bus_read(place.pa, size)) {
            Ok(value) => Ok((value, true)),
            Err(_) => Err(self.raise(op, Fault::Access.of(Access::Load, va))),
        }
    }

    /// Writes `size` bytes, and says whether that could have changed something besides memory.
    ///
    /// # Errors
    /// An exception was taken.
    #[cold]
    #[inline(never)]
    fn store(
        &mut self,
        op: &Op,
        cx: &mut Cx<'_>,
        va: u64,
        size: u8,
        value: u64,
    ) -> Result<bool, Exit> {
        self.stop_before(op, cx, va, size, true)?;
        if va & (u64::from(size) - 1) != 0 {
            let stored = self.store_misaligned(cx, va, size, value);
            return stored.map_err(|trap| self.raise(op, trap));
        }
        let place = self.place(cx, va, Access::Store);
        let place = place.map_err(|trap| self.raise(op, trap))?;
        if let Some(watched) = self.write_place(place, size, value) {
            return Ok(watched);
        }
        self.advance_to(op, cx);
        match self.on_bus(cx, |cx| cx.bus_write(place.pa, size, value)) {
            Ok(()) => Ok(true),
            Err(_) => Err(self.raise(op, Fault::Access.of(Access::Store, va))),
        }
    }

    /// Leaves the block before an access if a debugger wants the CPU to stop there.
    ///
    /// # Errors
    /// It is left.
    #[inline]
    pub fn stop_before(
        &mut self,
        op: &Op,
        cx: &Cx<'_>,
        va: u64,
        size: u8,
        write: bool,
    ) -> Result<(), Exit> {
        match self.vcpu.watches() {
            true => self.stop_if_watched(op, cx, va, size, write),
            false => Ok(()),
        }
    }

    #[cold]
    fn stop_if_watched(
        &mut self,
        op: &Op,
        cx: &Cx<'_>,
        va: u64,
        size: u8,
        write: bool,
    ) -> Result<(), Exit> {
        let access = if write { Access::Store } else { Access::Load };
        // An access that raises an exception is none.
        let Ok(mapping) = self.translate(cx, va, access) else {
            return Ok(());
        };
        let pc = self.pc_of(op);
        let reached = Reached {
            pc,
            va,
            pa: mapping.pa,
            size,
            write,
        };
        let not_executed = self.rest(op) + 1;
        if self.vcpu.stops_before(reached, not_executed) {
            self.vcpu.budget += not_executed;
            self.pc = pc;
            return Err(Exit::Event);
        }
        Ok(())
    }

    /// Asks the bus. A device may write to memory meanwhile.
    fn on_bus<R>(&mut self, cx: &mut Cx<'_>, ask: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        self.lend(cx);
        let answer = ask(cx);
        self.reserved.take_back();
        answer
    }

    /// The parts of an access in its page and in the next: the address and the bytes of each.
    fn parts(&self, va: u64, size: u8) -> ((u64, u8), Option<(u64, u8)>) {
        let left = PAGE - va % PAGE;
        match u64::from(size).checked_sub(left) {
            None | Some(0) => ((va, size), None),
            Some(rest) => {
                let next = self.address(va.wrapping_add(left));
                ((va, left as u8), Some((next, rest as u8)))
            }
        }
    }

    /// A misaligned access to memory. There is none to devices.
    fn load_misaligned(&mut self, cx: &Cx<'_>, va: u64, size: u8) -> Result<u64, Trap> {
        if !self.identity.zicclsm {
            return Err(Trap::new(cause::LOAD_MISALIGNED, va));
        }
        let ((va, size), second) = self.parts(va, size);
        let (low, _) = self.read_memory(cx, va, size)?;
        let Some((next, rest)) = second else {
            return Ok(low);
        };
        let (high, _) = self.read_memory(cx, next, rest)?;
        Ok(low | high << (8 * size))
    }

    fn store_misaligned(
        &mut self,
        cx: &Cx<'_>,
        va: u64,
        size: u8,
        value: u64,
    ) -> Result<bool, Trap> {
        if !self.identity.zicclsm {
            return Err(Trap::new(cause::STORE_MISALIGNED, va));
        }
        let ((va, size), second) = self.parts(va, size);
        let fault = |va| move || Fault::Access.of(Access::Store, va);
        let first = self.place(cx, va, Access::Store)?;
        // Nothing is written unless all of it can be.
        let second = match second {
            None => None,
            Some((next, rest)) => {
                let place = self.place(cx, next, Access::Store)?;
                let there = place.memory.filter(|_| place.writable);
                there.ok_or_else(fault(next))?;
                Some((place, rest))
            }
        };
        let written = self.write_place(first, size, value);
        let mut watched = written.ok_or_else(fault(va))?;
        if let Some((place, rest)) = second {
            watched |= self
                .write_place(place, rest, value >> (8 * size))
                .unwrap_or(false);
        }
        Ok(watched)
    }
}

#[inline(always)]
fn address(core: &Core, op: &Op) -> u64 {
    core.address(core.x[op.b].wrapping_add_signed(op.imm.into()))
}

/// Goes on after an access that was slow.
#[inline(always)]
fn finish(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>, event: bool) -> Exit {
    match event {
        false => next(core, rest, cx),
        true => core.after(op, Exit::Event),
    }
}

macro_rules! loads {
    ($($load:ident $read:ident: $ty:ty, |$value:ident| $register:expr;)*) => {
        pub fn load(load: Load) -> Handler {
            match load {
                $(Load::$load => {
                    fn run(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
                        let va = address(core, op);
                        match core.vcpu.wide.$read(va) {
                            Some($value) => {
                                core.x[op.a] = $register;
                                next(core, rest, cx)
                            }
                            None => slow(core, op, rest, cx),
                        }
                    }
                    #[cold]
                    #[inline(never)]
                    fn slow(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
                        let va = address(core, op);
                        match core.load(op, cx, va, size_of::<$ty>() as u8) {
                            Ok((value, event)) => {
                                let $value = value as $ty;
                                core.x[op.a] = $register;
                                finish(core, op, rest, cx, event)
                            }
                            Err(exit) => exit,
                        }
                    }
                    run
                })*
            }
        }
    };
}

loads! {
    B read_u8: u8, |value| value as i8 as u64;
    H read_u16: u16, |value| value as i16 as u64;
    W read_u32: u32, |value| value as i32 as u64;
    D read_u64: u64, |value| value;
    Bu read_u8: u8, |value| value.into();
    Hu read_u16: u16, |value| value.into();
    Wu read_u32: u32, |value| value.into();
}

macro_rules! stores {
    ($($size:pat => $write:ident: $ty:ty;)*) => {
        pub fn store(size: u8) -> Handler {
            match size {
                $($size => {
                    fn run(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
                        let va = address(core, op);
                        match core.vcpu.wide.$write(va, core.x[op.c] as $ty) {
                            true => next(core, rest, cx),
                            false => slow(core, op, rest, cx),
                        }
                    }
                    #[cold]
                    #[inline(never)]
                    fn slow(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
                        let (va, value) = (address(core, op), core.x[op.c] as $ty);
                        match core.store(op, cx, va, size_of::<$ty>() as u8, value.into()) {
                            Ok(event) => finish(core, op, rest, cx, event),
                            Err(exit) => exit,
                        }
                    }
                    run
                })*
            }
        }
    };
}

stores! {
    1 => write_u8: u8;
    2 => write_u16: u16;
    4 => write_u32: u32;
    _ => write_u64: u64;
}

pub fn fp_load(size: u8) -> Handler {
    fn run<const SIZE: u8>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
        if !core.fp_on() {
            return core.illegal(op);
        }
        let va = address(core, op);
        let quick = match SIZE {
            4 => core.vcpu.wide.read_u32(va).map(u64::from),
            _ => core.vcpu.wide.read_u64(va),
        };
        let (value, event) = match quick {
            Some(value) => (value, false),
            None => match core.load(op, cx, va, SIZE) {
                Ok(done) => done,
                Err(exit) => return exit,
            },
        };
        core.set_f(
            op.a,
            if SIZE == 4 {
                u64::MAX << 32 | value
            } else {
                value
            },
        );
        finish(core, op, rest, cx, event)
    }
    match size {
        4 => run::<4>,
        _ => run::<8>,
    }
}

pub fn fp_store(size: u8) -> Handler {
    fn run<const SIZE: u8>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
        if !core.fp_on() {
            return core.illegal(op);
        }
        let (va, value) = (address(core, op), core.f[usize::from(op.c & 31)]);
        let quick = match SIZE {
            4 => core.vcpu.wide.write_u32(va, value as u32),
            _ => core.vcpu.wide.write_u64(va, value),
        };
        if quick {
            return next(core, rest, cx);
        }
        match core.store(op, cx, va, SIZE, value) {
            Ok(event) => finish(core, op, rest, cx, event),
            Err(exit) => exit,
        }
    }
    match size {
        4 => run::<4>,
        _ => run::<8>,
    }
}

/// Cache-block operations. There are no caches: what is to be written back or dropped is allowed or not, and no more. Memory is
/// what CBO.ZERO works on.
pub fn cbo(cbo: Cbo) -> Handler {
    match cbo {
        Cbo::Zero => cbo_zero,
        Cbo::Inval => |core, op, rest, cx| cbo_manage(core, op, rest, cx, envcfg::CBIE),
        Cbo::Clean | Cbo::Flush => {
            |core, op, rest, cx| cbo_manage(core, op, rest, cx, envcfg::CBCFE)
        }
    }
}

/// Whether the modes above allow it, which they say in a field of menvcfg and senvcfg.
fn enabled(core: &Core, field: u64) -> bool {
    let c = &core.csr;
    let above = core.is_machine() || c.menvcfg & field != 0;
    above && (core.privilege != USER || !core.identity.s || c.senvcfg & field != 0)
}

fn cbo_zero(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    if !enabled(core, envcfg::CBZE) {
        return core.illegal(op);
    }
    let va = core.address(core.x[op.b]);
    let start = va & !(CACHE_BLOCK - 1);
    let mut words = (start..).step_by(8).take(CACHE_BLOCK as usize / 8);
    if words.all(|at| core.vcpu.wide.write_u64(at, 0)) {
        return next(core, rest, cx);
    }
    if let Err(exit) = core.stop_before(op, cx, start, CACHE_BLOCK as u8, true) {
        return exit;
    }
    let place = core.place(cx, start, Access::Store);
    let written = place.and_then(|place| {
        let written = core.write_bytes(place, &[0; CACHE_BLOCK as usize]);
        written.ok_or_else(|| Fault::Access.of(Access::Store, va))
    });
    match written {
        Ok(event) => finish(core, op, rest, cx, event),
        // What it was asked for is what the exception tells of.
        Err(trap) => core.raise(op, Trap { value: va, ..trap }),
    }
}

fn cbo_manage(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>, field: u64) -> Exit {
    if !enabled(core, field) {
        return core.illegal(op);
    }
    let va = core.address(core.x[op.b]);
    // Whoever may read or write it.
    if core.place(cx, va, Access::Load).is_err()
        && let Err(trap) = core.place(cx, va, Access::Store)
    {
        return core.raise(op, trap);
    }
    next(core, rest, cx)
}
