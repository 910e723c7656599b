//! Loads, stores, and everything else that takes an address.
//!
//! The quick way is a hit in the soft TLB. A miss goes through [`Core::load`] or [`Core::store`], which translate, fill the
//! soft TLB, ask the bus where there is no memory, or raise the exception.

use solderless_engine::{Exit, Physical, Reached};
use solderless_model::Cx;

use super::pair::{Piece, single};
use super::{DONE, Handler, Mode, Op, after, next, place};
use crate::core::Core;
use crate::exception::{Access, Exception, Fault};
use crate::ir::{Kind, Step};

/// A value in the CPU's byte order, or from it.
macro_rules! in_order {
    ($value:expr, $big:expr) => {
        if $big { ($value).swap_bytes() } else { $value }
    };
}

/// What an access that was not quick did.
pub enum Done<T> {
    /// It reached memory.
    Quiet(T),
    /// It reached a device or code: what this has brought about must be looked at.
    Event(T),
}

impl Core {
    /// Reads `size` bytes (1, 2, 4, 8), naturally aligned, as the bus carries them.
    ///
    /// # Errors
    /// An exception was taken.
    #[cold]
    #[inline(never)]
    pub fn load(&mut self, op: &Op, cx: &mut Cx<'_>, va: u32, size: u8) -> Result<Done<u64>, Exit> {
        let (pa, dirty) = self.reach(op, va, size, Access::Load)?;
        self.stop_before(op, va, pa, size, false)?;
        if let Physical::Memory {
            ram: index,
            offset,
            writable,
        } = self.vcpu.frame(cx, pa.into())
            && let Some(ram) = self.vcpu.memory.rams.get(index as usize)
        {
            let at = offset + u64::from(pa & 0xfff);
            let value = match size {
                1 => ram.read_u8(at).map(u64::from),
                2 => ram.read_u16(at).map(u64::from),
                4 => ram.read_u32(at).map(u64::from),
                _ => ram.read_u64(at),
            };
            if let Ok(value) = value {
                let place = (index, offset);
                self.vcpu
                    .fill(va.into(), pa.into(), place, writable && dirty);
                return Ok(Done::Quiet(value));
            }
        }
        self.advance_to(op, cx);
        match self.on_bus(cx, |cx| cx.bus_read(pa.into(), size)) {
            Ok(value) => Ok(Done::Event(value)),
            Err(_) => Err(self.raise(op, Exception::Memory(Fault::Bus, Access::Load, va))),
        }
    }

    /// Writes `size` bytes (1, 2, 4, 8), naturally aligned, as the bus carries them.
    ///
    /// # Errors
    /// An exception was taken.
    #[cold]
    #[inline(never)]
    pub fn store(
        &mut self,
        op: &Op,
        cx: &mut Cx<'_>,
        va: u32,
        size: u8,
        value: u64,
    ) -> Result<Done<()>, Exit> {
        let (pa, _) = self.reach(op, va, size, Access::Store)?;
        self.stop_before(op, va, pa, size, true)?;
        if let Physical::Memory {
            ram: index,
            offset,
            writable: true,
        } = self.vcpu.frame(cx, pa.into())
            && let Some(ram) = self.vcpu.memory.rams.get(index as usize)
        {
            let at = offset + u64::from(pa & 0xfff);
            let written = match size {
                1 => ram.write_u8(at, value as u8),
                2 => ram.write_u16(at, value as u16),
                4 => ram.write_u32(at, value as u32),
                _ => ram.write_u64(at, value),
            };
            if written.is_ok() {
                if ram.news() {
                    return Ok(Done::Event(()));
                }
                self.vcpu.fill(va.into(), pa.into(), (index, offset), true);
                return Ok(Done::Quiet(()));
            }
        }
        self.advance_to(op, cx);
        match self.on_bus(cx, |cx| cx.bus_write(pa.into(), size, value)) {
            Ok(()) => Ok(Done::Event(())),
            Err(_) => Err(self.raise(op, Exception::Memory(Fault::Bus, Access::Store, va))),
        }
    }

    /// Leaves the block before an access if a debugger wants the CPU to stop there; a branch whose slot makes it is begun again.
    #[inline]
    fn stop_before(
        &mut self,
        op: &Op,
        va: u32,
        pa: u32,
        size: u8,
        write: bool,
    ) -> Result<(), Exit> {
        match self.vcpu.watches() {
            true => self.stop_if_watched(op, va, pa, size, write),
            false => Ok(()),
        }
    }

    #[cold]
    fn stop_if_watched(
        &mut self,
        op: &Op,
        va: u32,
        pa: u32,
        size: u8,
        write: bool,
    ) -> Result<(), Exit> {
        let at = u32::from(op.at()) - u32::from(op.slot());
        let pc = self.pc.wrapping_add(at * 4);
        let reached = Reached {
            pc: pc.into(),
            va: va.into(),
            pa: pa.into(),
            size,
            write,
        };
        let not_executed = i64::from(self.vcpu.len) - i64::from(at);
        if self.vcpu.stops_before(reached, not_executed) {
            self.vcpu.budget += not_executed;
            self.pc = pc;
            return Err(Exit::Event);
        }
        Ok(())
    }

    /// The same for a store that is not made in one go, or that other things go with.
    #[inline]
    fn stop_before_store(&mut self, op: &Op, va: u32, size: u8) -> Result<(), Exit> {
        if self.vcpu.watches()
            && let Ok((pa, _)) = self.translate(va, Access::Store)
        {
            self.stop_if_watched(op, va, pa, size, true)?;
        }
        Ok(())
    }

    /// Asks the bus. A device may write to memory meanwhile.
    fn on_bus<R>(&mut self, cx: &mut Cx<'_>, ask: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        self.lend(cx);
        let answer = ask(cx);
        self.ll_bit.take_back();
        answer
    }

    /// The physical address for an access, and whether the page may be written.
    fn reach(&mut self, op: &Op, va: u32, size: u8, access: Access) -> Result<(u32, bool), Exit> {
        let reached = match va & (u32::from(size) - 1) {
            0 => self.translate(va, access),
            _ => Err(Fault::Address),
        };
        reached.map_err(|fault| self.raise(op, Exception::Memory(fault, access, va)))
    }
}

/// A load or store that generated code could not do at once, as a number: what it is, the register, its place in its block and
/// whether that is a delay slot, and the instructions of the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed(u32);

impl Missed {
    /// What such a number has and no site's.
    const MARK: u32 = 1 << 31;
    const KINDS: [&[Kind]; 12] = [
        &[Kind::Lb],
        &[Kind::Lbu],
        &[Kind::Lh],
        &[Kind::Lhu],
        &[Kind::Lw],
        &[Kind::Lwc1, Kind::Lwxc1],
        &[Kind::Ldc1, Kind::Ldxc1, Kind::Luxc1],
        &[Kind::Sb],
        &[Kind::Sh],
        &[Kind::Sw],
        &[Kind::Swc1, Kind::Swxc1],
        &[Kind::Sdc1, Kind::Sdxc1, Kind::Suxc1],
    ];

    /// Of a step of a block with this many instructions; `None` if it is no load or store of a whole register.
    pub fn new(step: &Step, len: u8) -> Option<Self> {
        let kinds = Self::KINDS.iter();
        let kind = kinds.clone().position(|k| k.contains(&step.inst.kind))?;
        let register = match step.inst.kind {
            Kind::Lb | Kind::Lbu | Kind::Lh | Kind::Lhu | Kind::Lw => step.inst.a,
            _ => step.inst.c,
        };
        let parts = [
            u32::from(place(step)),
            len.into(),
            register.into(),
            kind as u32,
        ];
        let [place, len, register, kind] = parts;
        Some(Self(
            Self::MARK | kind << 24 | register << 16 | len << 8 | place,
        ))
    }

    /// From a number, if it is one of these.
    pub fn from_bits(bits: u32) -> Option<Self> {
        (bits & Self::MARK != 0).then_some(Self(bits))
    }

    /// As a number.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Instructions from the start of the block, and of the block.
    pub fn place(self) -> (u8, u8) {
        (self.op().at(), (self.0 >> 8) as u8)
    }

    fn op(self) -> Op {
        Op::nothing(self.0 as u8)
    }

    /// The first of the kinds that are like it.
    fn kind(self) -> Kind {
        Self::KINDS[(self.0 >> 24 & 0xf) as usize % Self::KINDS.len()][0]
    }
}

/// Does a load or store that generated code could not do at once, at an address.
pub fn missed(core: &mut Core, what: Missed, va: u32, cx: &mut Cx<'_>) -> Exit {
    let op = what.op();
    let register = (what.0 >> 16) as u8;
    core.vcpu.len = what.0 >> 8 & 0xff;
    let big = core.identity.big_endian;
    let done = match what.kind() {
        Kind::Lb => core.missed_load(&op, cx, va, 1, |core, raw| {
            core.r[register] = raw as i8 as u32
        }),
        Kind::Lbu => core.missed_load(&op, cx, va, 1, |core, raw| {
            core.r[register] = raw as u8 as u32
        }),
        Kind::Lh => core.missed_load(&op, cx, va, 2, |core, raw| {
            core.r[register] = in_order!(raw as u16, big) as i16 as u32;
        }),
        Kind::Lhu => core.missed_load(&op, cx, va, 2, |core, raw| {
            core.r[register] = in_order!(raw as u16, big).into();
        }),
        Kind::Lw => core.missed_load(&op, cx, va, 4, |core, raw| {
            core.r[register] = in_order!(raw as u32, big);
        }),
        Kind::Lwc1 => core.missed_load(&op, cx, va, 4, |core, raw| {
            core.set_fpr32(register, in_order!(raw as u32, big));
        }),
        Kind::Ldc1 => core.missed_load(&op, cx, va, 8, |core, raw| {
            core.set_fpr64(register, in_order!(raw, big));
        }),
        Kind::Sb => core.store(&op, cx, va, 1, core.r[register].into()),
        Kind::Sh => core.store(
            &op,
            cx,
            va,
            2,
            in_order!(core.r[register] as u16, big).into(),
        ),
        Kind::Sw => core.store(&op, cx, va, 4, in_order!(core.r[register], big).into()),
        Kind::Swc1 => core.store(&op, cx, va, 4, in_order!(core.fpr32(register), big).into()),
        _ => core.store(&op, cx, va, 8, in_order!(core.fpr64(register), big)),
    };
    match done {
        Ok(Done::Quiet(())) => Exit::Next,
        Ok(Done::Event(())) => after(core, &op, &DONE, cx),
        Err(exit) => exit,
    }
}

impl Core {
    fn missed_load(
        &mut self,
        op: &Op,
        cx: &mut Cx<'_>,
        va: u32,
        size: u8,
        put: impl FnOnce(&mut Self, u64),
    ) -> Result<Done<()>, Exit> {
        let (raw, done) = match self.load(op, cx, va, size)? {
            Done::Quiet(raw) => (raw, Done::Quiet(())),
            Done::Event(raw) => (raw, Done::Event(())),
        };
        put(self, raw);
        Ok(done)
    }
}

/// Goes on after a slow load with its value, or leaves.
macro_rules! finish {
    ($done:expr, $core:ident, $op:ident, $rest:ident, $cx:ident, |$value:pat_param| $then:expr) => {
        match $done {
            Ok(Done::Quiet($value)) => {
                $then;
                next($core, $rest, $cx)
            }
            Ok(Done::Event($value)) => {
                $then;
                after($core, $op, $rest, $cx)
            }
            Err(exit) => exit,
        }
    };
}
pub(super) use finish;

/// Loads of a general register: how the soft TLB is read, and what the register gets, given the value in the CPU's byte
/// order.
macro_rules! loads {
    ($($name:ident, $read:ident: $ty:ty, |$value:ident| $register:expr;)*) => {$(
        pub struct $name<const BIG: bool>;
        impl<const BIG: bool> $name<BIG> {
            #[inline(always)]
            fn register(raw: $ty) -> u32 {
                let $value = if BIG { raw.swap_bytes() } else { raw };
                $register
            }
        }
        impl<const BIG: bool> Piece for $name<BIG> {
            #[inline(always)]
            fn quick(core: &mut Core, b: u32, _: u32, imm: u32) -> Option<u32> {
                let va = b.wrapping_add(imm);
                core.vcpu.soft.$read(va).map(Self::register)
            }
            fn slow(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Result<Done<()>, Exit> {
                let va = core.r[op.b].wrapping_add(op.imm);
                let (raw, done) = match core.load(op, cx, va, size_of::<$ty>() as u8)? {
                    Done::Quiet(raw) => (raw, Done::Quiet(())),
                    Done::Event(raw) => (raw, Done::Event(())),
                };
                core.r[op.a] = Self::register(raw as $ty);
                Ok(done)
            }
        }
    )*};
}

loads! {
    Lb, read_u8: u8, |value| value as i8 as u32;
    Lbu, read_u8: u8, |value| value.into();
    Lh, read_u16: u16, |value| value as i16 as u32;
    Lhu, read_u16: u16, |value| value.into();
    Lw, read_u32: u32, |value| value;
}

macro_rules! stores {
    ($($name:ident, $write:ident: $ty:ty;)*) => {$(
        pub struct $name<const BIG: bool>;
        impl<const BIG: bool> Piece for $name<BIG> {
            #[inline(always)]
            fn quick(core: &mut Core, b: u32, c: u32, imm: u32) -> Option<u32> {
                let va = b.wrapping_add(imm);
                let value = c as $ty;
                let raw = if BIG { value.swap_bytes() } else { value };
                core.vcpu.soft.$write(va, raw).then_some(0)
            }
            fn slow(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Result<Done<()>, Exit> {
                let va = core.r[op.b].wrapping_add(op.imm);
                let value = core.r[op.c] as $ty;
                let raw = if BIG { value.swap_bytes() } else { value };
                core.store(op, cx, va, size_of::<$ty>() as u8, raw.into())
            }
        }
    )*};
}

stores! {
    Sb, write_u8: u8;
    Sh, write_u16: u16;
    Sw, write_u32: u32;
}

/// How many bytes an address is into its word, counted from the end that holds the low bits.
#[inline(always)]
fn shift<const BIG: bool>(va: u32) -> u32 {
    if BIG {
        (3 - (va & 3)) * 8
    } else {
        (va & 3) * 8
    }
}

/// What LWL leaves in a register of value `old`, given the aligned word.
#[inline(always)]
fn merge_left(word: u32, old: u32, shift: u32) -> u32 {
    let up = 24 - shift;
    word << up | old & !(u32::MAX << up)
}

/// What LWR leaves.
#[inline(always)]
fn merge_right(word: u32, old: u32, shift: u32) -> u32 {
    word >> shift | old & !(u32::MAX >> shift)
}

fn load_part<const BIG: bool, const LEFT: bool>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = core.r[op.b].wrapping_add(op.imm);
    match core.vcpu.soft.read_u32(va & !3) {
        Some(raw) => {
            core.r[op.a] = part::<BIG, LEFT>(raw, core.r[op.c], va);
            next(core, rest, cx)
        }
        None => load_part_slow::<BIG, LEFT>(core, op, rest, cx),
    }
}

#[inline(always)]
fn part<const BIG: bool, const LEFT: bool>(raw: u32, old: u32, va: u32) -> u32 {
    let word = if BIG { raw.swap_bytes() } else { raw };
    match LEFT {
        true => merge_left(word, old, shift::<BIG>(va)),
        false => merge_right(word, old, shift::<BIG>(va)),
    }
}

#[cold]
#[inline(never)]
fn load_part_slow<const BIG: bool, const LEFT: bool>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = core.r[op.b].wrapping_add(op.imm);
    // BadVAddr is to show the address as it was computed.
    let done = match core.translate(va, Access::Load) {
        Ok(_) => core.load(op, cx, va & !3, 4),
        Err(fault) => Err(core.raise(op, Exception::Memory(fault, Access::Load, va))),
    };
    finish!(done, core, op, rest, cx, |raw| {
        core.r[op.a] = part::<BIG, LEFT>(raw as u32, core.r[op.c], va);
    })
}

fn store_part<const BIG: bool, const LEFT: bool>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = core.r[op.b].wrapping_add(op.imm);
    let value = core.r[op.c];
    let Some(raw) = core.vcpu.soft.read_u32(va & !3) else {
        return store_part_slow::<BIG, LEFT>(core, op, rest, cx);
    };
    let old = if BIG { raw.swap_bytes() } else { raw };
    let shift = shift::<BIG>(va);
    let new = match LEFT {
        true => value >> (24 - shift) | old & !(u32::MAX >> (24 - shift)),
        false => value << shift | old & !(u32::MAX << shift),
    };
    let raw = if BIG { new.swap_bytes() } else { new };
    if core.vcpu.soft.write_u32(va & !3, raw) {
        next(core, rest, cx)
    } else {
        store_part_slow::<BIG, LEFT>(core, op, rest, cx)
    }
}

/// Byte by byte, so that a device sees only those that are written.
#[cold]
#[inline(never)]
fn store_part_slow<const BIG: bool, const LEFT: bool>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = core.r[op.b].wrapping_add(op.imm);
    let value = core.r[op.c];
    let shift = shift::<BIG>(va);
    let count = if LEFT { shift / 8 + 1 } else { 4 - shift / 8 };
    let first = if LEFT == BIG { va } else { va & !3 };
    if let Err(exit) = core.stop_before_store(op, first, count as u8) {
        return exit;
    }
    let mut event = false;
    for i in 0..count {
        // LEFT stores the highest bytes of the register, downwards from `va`; the other the lowest, upwards.
        let (byte, step) = match LEFT {
            true => (value >> (24 - 8 * i), i.wrapping_neg()),
            false => (value >> (8 * i), i),
        };
        let to = match BIG {
            true => va.wrapping_sub(step),
            false => va.wrapping_add(step),
        };
        match core.store(op, cx, to, 1, u64::from(byte & 0xff)) {
            Ok(Done::Quiet(())) => {}
            Ok(Done::Event(())) => event = true,
            Err(exit) => return exit,
        }
    }
    if event {
        after(core, op, rest, cx)
    } else {
        next(core, rest, cx)
    }
}

fn load_linked<const BIG: bool>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    let va = core.r[op.b].wrapping_add(op.imm);
    let done = core.load(op, cx, va, 4);
    if done.is_ok() {
        core.ll_bit.set(true);
        core.ll_va = va;
        if let Ok((pa, _)) = core.translate(va, Access::Load) {
            core.cp0.ll_addr = pa >> 4;
        }
    }
    finish!(done, core, op, rest, cx, |raw| {
        let raw = raw as u32;
        core.r[op.a] = if BIG { raw.swap_bytes() } else { raw };
    })
}

/// SC does as SW where it succeeds. Where it fails the address is still translated, and faults.
fn store_conditional<const BIG: bool>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = core.r[op.b].wrapping_add(op.imm);
    let value = core.r[op.c];
    let raw = if BIG { value.swap_bytes() } else { value };
    let succeeds = core.ll_bit.held() && core.ll_va == va;
    if succeeds && let Err(exit) = core.stop_before_store(op, va, 4) {
        return exit;
    }
    core.ll_bit.set(false);
    if succeeds {
        if core.vcpu.soft.write_u32(va, raw) {
            core.r[op.a] = 1;
            return next(core, rest, cx);
        }
        let done = core.store(op, cx, va, 4, raw.into());
        return finish!(done, core, op, rest, cx, |()| core.r[op.a] = 1);
    }
    match core.reach(op, va, 4, Access::Store) {
        Ok(_) => {
            core.r[op.a] = 0;
            next(core, rest, cx)
        }
        Err(exit) => exit,
    }
}

/// SYNCI translates its address and does no more: decoded code is never stale.
fn synci(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    let va = core.r[op.b].wrapping_add(op.imm);
    match core.reach(op, va, 1, Access::Load) {
        Ok(_) => next(core, rest, cx),
        Err(exit) => exit,
    }
}

/// CACHE. There is nothing in the caches: operations by address translate it, Index Load Tag finds an invalid line.
fn cache(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    if let Err(exit) = core.privileged(op) {
        return exit;
    }
    let va = core.r[op.b].wrapping_add(op.imm);
    const INDEX_LOAD_TAG: u8 = 1;
    match op.c >> 2 {
        INDEX_LOAD_TAG => {
            let place = if op.c & 3 == 0 { 0 } else { 2 };
            core.cp0.tag_lo[place] = 0;
        }
        operation if operation >= 4 => {
            if let Err(exit) = core.reach(op, va, 1, Access::Load) {
                return exit;
            }
        }
        _ => {}
    }
    next(core, rest, cx)
}

/// The functions for both byte orders.
macro_rules! either {
    ($mode:expr, $($function:tt)+) => {
        if $mode.big_endian { either!(@ true, $($function)+) } else { either!(@ false, $($function)+) }
    };
    (@ $big:literal, $function:ident) => { $function::<$big> };
    (@ $big:literal, $function:ident $side:literal) => { $function::<$big, $side> };
}

/// The function of an instruction of this family.
pub fn handler(kind: Kind, mode: Mode) -> Option<Handler> {
    Some(match kind {
        Kind::Lb => single::<Lb<false>>,
        Kind::Lbu => single::<Lbu<false>>,
        Kind::Lh if mode.big_endian => single::<Lh<true>>,
        Kind::Lh => single::<Lh<false>>,
        Kind::Lhu if mode.big_endian => single::<Lhu<true>>,
        Kind::Lhu => single::<Lhu<false>>,
        Kind::Lw if mode.big_endian => single::<Lw<true>>,
        Kind::Lw => single::<Lw<false>>,
        Kind::Lwl => either!(mode, load_part true),
        Kind::Lwr => either!(mode, load_part false),
        Kind::Ll => either!(mode, load_linked),
        Kind::Sb => single::<Sb<false>>,
        Kind::Sh if mode.big_endian => single::<Sh<true>>,
        Kind::Sh => single::<Sh<false>>,
        Kind::Sw if mode.big_endian => single::<Sw<true>>,
        Kind::Sw => single::<Sw<false>>,
        Kind::Swl => either!(mode, store_part true),
        Kind::Swr => either!(mode, store_part false),
        Kind::Sc => either!(mode, store_conditional),
        Kind::Synci => synci,
        Kind::Cache => cache,
        kind => return super::fp::memory(kind, mode),
    })
}
