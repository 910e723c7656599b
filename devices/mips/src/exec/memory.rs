//! Loads, stores, and everything else that takes an address.
//!
//! The quick way is a hit in the soft TLB. A miss goes through [`Core::load`] or [`Core::store`], which translate, fill the
//! soft TLB, ask the bus where there is no memory, or raise the exception.

use solderless_engine::{Exit, Physical, Reached};
use solderless_model::Cx;

use super::pair::{Piece, single};
use super::{Handler, Mode, Op, after, next, no_more, place};
use crate::core::Core;
use crate::exception::{Access, Exception, Fault};
use crate::ir::{Kind, Step};
use crate::width::Width;

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

impl<W: Width> Core<W> {
    /// Reads `size` bytes (1, 2, 4, 8), naturally aligned, as the bus carries them.
    ///
    /// # Errors
    /// An exception was taken.
    #[cold]
    #[inline(never)]
    pub fn load(
        &mut self,
        op: &Op<W>,
        cx: &mut Cx<'_>,
        va: W,
        size: u8,
    ) -> Result<Done<u64>, Exit> {
        let (pa, dirty) = self.reach(op, va, size, Access::Load)?;
        self.stop_before(op, va, pa, size, false)?;
        if let Physical::Memory {
            ram: index,
            offset,
            writable,
        } = self.vcpu.frame(cx, pa)
            && let Some(ram) = self.vcpu.memory.rams.get(index as usize)
        {
            let at = offset + (pa & 0xfff);
            let value = match size {
                1 => ram.read_u8(at).map(u64::from),
                2 => ram.read_u16(at).map(u64::from),
                4 => ram.read_u32(at).map(u64::from),
                _ => ram.read_u64(at),
            };
            if let Ok(value) = value {
                let place = (index, offset);
                W::fill(&mut self.vcpu, va, pa, place, writable && dirty);
                return Ok(Done::Quiet(value));
            }
        }
        self.advance_to(op, cx);
        match self.on_bus(cx, |cx| cx.bus_read(pa, size)) {
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
        op: &Op<W>,
        cx: &mut Cx<'_>,
        va: W,
        size: u8,
        value: u64,
    ) -> Result<Done<()>, Exit> {
        let (pa, _) = self.reach(op, va, size, Access::Store)?;
        self.stop_before(op, va, pa, size, true)?;
        if let Physical::Memory {
            ram: index,
            offset,
            writable: true,
        } = self.vcpu.frame(cx, pa)
            && let Some(ram) = self.vcpu.memory.rams.get(index as usize)
        {
            let at = offset + (pa & 0xfff);
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
                W::fill(&mut self.vcpu, va, pa, (index, offset), true);
                return Ok(Done::Quiet(()));
            }
        }
        self.advance_to(op, cx);
        match self.on_bus(cx, |cx| cx.bus_write(pa, size, value)) {
            Ok(()) => Ok(Done::Event(())),
            Err(_) => Err(self.raise(op, Exception::Memory(Fault::Bus, Access::Store, va))),
        }
    }

    /// Leaves the block before an access if a debugger wants the CPU to stop there; a branch whose slot makes it is begun again.
    #[inline]
    fn stop_before(
        &mut self,
        op: &Op<W>,
        va: W,
        pa: u64,
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
        op: &Op<W>,
        va: W,
        pa: u64,
        size: u8,
        write: bool,
    ) -> Result<(), Exit> {
        let at = u32::from(op.at()) - u32::from(op.slot());
        let pc = self.pc.offset(at * 4);
        let reached = Reached {
            pc: pc.into(),
            va: va.into(),
            pa,
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
    fn stop_before_store(&mut self, op: &Op<W>, va: W, size: u8) -> Result<(), Exit> {
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

    /// The address of an access by register and immediate.
    #[inline(always)]
    pub fn address(&self, op: &Op<W>) -> W {
        W::address(self.r[op.b].offset(op.imm), self.short)
    }

    /// The physical address for an access, and whether the page may be written.
    fn reach(&mut self, op: &Op<W>, va: W, size: u8, access: Access) -> Result<(u64, bool), Exit> {
        let reached = match va.low() & (u32::from(size) - 1) {
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
    const KINDS: [&[Kind]; 15] = [
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
        &[Kind::Lwu],
        &[Kind::Ld],
        &[Kind::Sd],
    ];

    /// Of a step of a block with this many instructions; `None` if it is no load or store of a whole register.
    pub fn new(step: &Step, len: u8) -> Option<Self> {
        let kinds = Self::KINDS.iter();
        let kind = kinds.clone().position(|k| k.contains(&step.inst.kind))?;
        let register = match step.inst.kind {
            Kind::Lb | Kind::Lbu | Kind::Lh | Kind::Lhu | Kind::Lw => step.inst.a,
            Kind::Lwu | Kind::Ld => step.inst.a,
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
        (self.op::<u32>().at(), (self.0 >> 8) as u8)
    }

    fn op<W: Width>(self) -> Op<W> {
        Op::nothing(self.0 as u8)
    }

    /// The first of the kinds that are like it.
    fn kind(self) -> Kind {
        Self::KINDS[(self.0 >> 24 & 0xf) as usize % Self::KINDS.len()][0]
    }
}

/// Does a load or store that generated code could not do at once, at an address.
pub fn missed<W: Width>(core: &mut Core<W>, what: Missed, va: W, cx: &mut Cx<'_>) -> Exit {
    let op = what.op::<W>();
    let register = (what.0 >> 16) as u8;
    core.vcpu.len = what.0 >> 8 & 0xff;
    let big = core.identity.big_endian;
    let done = match what.kind() {
        Kind::Lb => core.missed_load(&op, cx, va, 1, |core, raw| {
            core.r[register] = W::signed(raw as i8 as u32);
        }),
        Kind::Lbu => core.missed_load(&op, cx, va, 1, |core, raw| {
            core.r[register] = W::from(u32::from(raw as u8));
        }),
        Kind::Lh => core.missed_load(&op, cx, va, 2, |core, raw| {
            core.r[register] = W::signed(in_order!(raw as u16, big) as i16 as u32);
        }),
        Kind::Lhu => core.missed_load(&op, cx, va, 2, |core, raw| {
            core.r[register] = W::from(u32::from(in_order!(raw as u16, big)));
        }),
        Kind::Lw => core.missed_load(&op, cx, va, 4, |core, raw| {
            core.r[register] = W::signed(in_order!(raw as u32, big));
        }),
        Kind::Lwu => core.missed_load(&op, cx, va, 4, |core, raw| {
            core.r[register] = in_order!(raw as u32, big).into();
        }),
        Kind::Ld => core.missed_load(&op, cx, va, 8, |core, raw| {
            core.r[register] = W::cut(in_order!(raw, big));
        }),
        Kind::Lwc1 => core.missed_load(&op, cx, va, 4, |core, raw| {
            core.set_fpr32(register, in_order!(raw as u32, big));
        }),
        Kind::Ldc1 => core.missed_load(&op, cx, va, 8, |core, raw| {
            core.set_fpr64(register, in_order!(raw, big));
        }),
        Kind::Sb => core.store(&op, cx, va, 1, core.r[register].low().into()),
        Kind::Sh => core.store(
            &op,
            cx,
            va,
            2,
            in_order!(core.r[register].low() as u16, big).into(),
        ),
        Kind::Sw => {
            let value = core.r[register].low();
            core.store(&op, cx, va, 4, in_order!(value, big).into())
        }
        Kind::Sd => {
            let value: u64 = core.r[register].into();
            core.store(&op, cx, va, 8, in_order!(value, big))
        }
        Kind::Swc1 => core.store(&op, cx, va, 4, in_order!(core.fpr32(register), big).into()),
        _ => core.store(&op, cx, va, 8, in_order!(core.fpr64(register), big)),
    };
    match done {
        Ok(Done::Quiet(())) => Exit::Next,
        Ok(Done::Event(())) => after(core, &op, &no_more(), cx),
        Err(exit) => exit,
    }
}

impl<W: Width> Core<W> {
    fn missed_load(
        &mut self,
        op: &Op<W>,
        cx: &mut Cx<'_>,
        va: W,
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
            fn register<W: Width>(raw: $ty) -> W {
                let $value = if BIG { raw.swap_bytes() } else { raw };
                $register
            }
        }
        impl<W: Width, const BIG: bool> Piece<W> for $name<BIG> {
            #[inline(always)]
            fn quick(core: &mut Core<W>, b: W, _: W, imm: u32) -> Option<W> {
                let va = W::address(b.offset(imm), core.short);
                W::$read(&core.vcpu, va).map(Self::register)
            }
            fn slow(core: &mut Core<W>, op: &Op<W>, cx: &mut Cx<'_>) -> Result<Done<()>, Exit> {
                let va = core.address(op);
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
    Lb, read_u8: u8, |value| W::signed(value as i8 as u32);
    Lbu, read_u8: u8, |value| u32::from(value).into();
    Lh, read_u16: u16, |value| W::signed(value as i16 as u32);
    Lhu, read_u16: u16, |value| u32::from(value).into();
    Lw, read_u32: u32, |value| W::signed(value);
    Lwu, read_u32: u32, |value| value.into();
    Ld, read_u64: u64, |value| W::cut(value);
}

macro_rules! stores {
    ($($name:ident, $write:ident: $ty:ty;)*) => {$(
        pub struct $name<const BIG: bool>;
        impl<const BIG: bool> $name<BIG> {
            #[inline(always)]
            fn raw<W: Width>(register: W) -> $ty {
                let value = register.into() as $ty;
                if BIG { value.swap_bytes() } else { value }
            }
        }
        impl<W: Width, const BIG: bool> Piece<W> for $name<BIG> {
            #[inline(always)]
            fn quick(core: &mut Core<W>, b: W, c: W, imm: u32) -> Option<W> {
                let va = W::address(b.offset(imm), core.short);
                W::$write(&mut core.vcpu, va, Self::raw(c)).then(W::default)
            }
            fn slow(core: &mut Core<W>, op: &Op<W>, cx: &mut Cx<'_>) -> Result<Done<()>, Exit> {
                let va = core.address(op);
                let raw = Self::raw(core.r[op.c]);
                core.store(op, cx, va, size_of::<$ty>() as u8, raw.into())
            }
        }
    )*};
}

stores! {
    Sb, write_u8: u8;
    Sh, write_u16: u16;
    Sw, write_u32: u32;
    Sd, write_u64: u64;
}

/// Words and doublewords that LWL, LDL and the like access parts of.
trait Part: Copy + Into<u64> {
    const BYTES: u32;
    fn of(raw: u64) -> Self;
    /// As a general register holds it.
    fn register<W: Width>(self) -> W;
    fn swapped(self) -> Self;
    fn read<W: Width>(core: &Core<W>, va: W) -> Option<Self>;
    fn write<W: Width>(core: &mut Core<W>, va: W, raw: Self) -> bool;
}

macro_rules! parts {
    ($($ty:ident, $read:ident, $write:ident, |$value:ident| $register:expr;)*) => {$(
        impl Part for $ty {
            const BYTES: u32 = $ty::BITS / 8;
            #[inline(always)]
            fn of(raw: u64) -> Self {
                raw as Self
            }
            #[inline(always)]
            fn register<W: Width>(self) -> W {
                let $value = self;
                $register
            }
            #[inline(always)]
            fn swapped(self) -> Self {
                self.swap_bytes()
            }
            #[inline(always)]
            fn read<W: Width>(core: &Core<W>, va: W) -> Option<Self> {
                W::$read(&core.vcpu, va)
            }
            #[inline(always)]
            fn write<W: Width>(core: &mut Core<W>, va: W, raw: Self) -> bool {
                W::$write(&mut core.vcpu, va, raw)
            }
        }
    )*};
}

parts! {
    u32, read_u32, write_u32, |value| W::signed(value);
    u64, read_u64, write_u64, |value| W::cut(value);
}

/// How many bits an address is into its word, counted from the end that holds the low bits.
#[inline(always)]
fn shift<P: Part, const BIG: bool>(va: u32) -> u32 {
    let last = P::BYTES - 1;
    match BIG {
        true => (last - (va & last)) * 8,
        false => (va & last) * 8,
    }
}

/// The address of the whole that a part is of.
#[inline(always)]
fn whole<P: Part, W: Width>(va: W) -> W {
    va & !W::from(P::BYTES - 1)
}

/// What LWL leaves in a register of value `old`, given the aligned word, and LWR.
#[inline(always)]
fn merge<P: Part, const LEFT: bool>(word: u64, old: u64, shift: u32) -> u64 {
    let up = 8 * P::BYTES - 8 - shift;
    match LEFT {
        true => word << up | old & !(u64::MAX << up),
        false => {
            let all = u64::MAX >> (64 - 8 * P::BYTES);
            word >> shift | old & !(all >> shift)
        }
    }
}

fn load_part<W: Width, P: Part, const BIG: bool, const LEFT: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = core.address(op);
    match P::read(core, whole::<P, W>(va)) {
        Some(raw) => {
            core.r[op.a] = part::<W, P, BIG, LEFT>(raw, core.r[op.c], va);
            next(core, rest, cx)
        }
        None => load_part_slow::<W, P, BIG, LEFT>(core, op, rest, cx),
    }
}

#[inline(always)]
fn part<W: Width, P: Part, const BIG: bool, const LEFT: bool>(raw: P, old: W, va: W) -> W {
    let word = if BIG { raw.swapped() } else { raw };
    let shift = shift::<P, BIG>(va.low());
    P::of(merge::<P, LEFT>(word.into(), old.into(), shift)).register()
}

#[cold]
#[inline(never)]
fn load_part_slow<W: Width, P: Part, const BIG: bool, const LEFT: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = core.address(op);
    // BadVAddr is to show the address as it was computed.
    let done = match core.translate(va, Access::Load) {
        Ok(_) => core.load(op, cx, whole::<P, W>(va), P::BYTES as u8),
        Err(fault) => Err(core.raise(op, Exception::Memory(fault, Access::Load, va))),
    };
    finish!(done, core, op, rest, cx, |raw| {
        core.r[op.a] = part::<W, P, BIG, LEFT>(P::of(raw), core.r[op.c], va);
    })
}

fn store_part<W: Width, P: Part, const BIG: bool, const LEFT: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = core.address(op);
    let value = P::of(core.r[op.c].into()).into();
    let Some(raw) = P::read(core, whole::<P, W>(va)) else {
        return store_part_slow::<W, P, BIG, LEFT>(core, op, rest, cx);
    };
    let old = if BIG { raw.swapped() } else { raw }.into();
    let shift = shift::<P, BIG>(va.low());
    let down = 8 * P::BYTES - 8 - shift;
    let all = u64::MAX >> (64 - 8 * P::BYTES);
    let new = P::of(match LEFT {
        true => value >> down | old & !(all >> down),
        false => value << shift | old & !(u64::MAX << shift),
    });
    let raw = if BIG { new.swapped() } else { new };
    if P::write(core, whole::<P, W>(va), raw) {
        next(core, rest, cx)
    } else {
        store_part_slow::<W, P, BIG, LEFT>(core, op, rest, cx)
    }
}

/// Byte by byte, so that a device sees only those that are written.
#[cold]
#[inline(never)]
fn store_part_slow<W: Width, P: Part, const BIG: bool, const LEFT: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = core.address(op);
    let value: u64 = core.r[op.c].into();
    let shift = shift::<P, BIG>(va.low());
    let count = match LEFT {
        true => shift / 8 + 1,
        false => P::BYTES - shift / 8,
    };
    let first = if LEFT == BIG { va } else { whole::<P, W>(va) };
    if let Err(exit) = core.stop_before_store(op, first, count as u8) {
        return exit;
    }
    let mut event = false;
    for i in 0..count {
        // LEFT stores the highest bytes of the register, downwards from `va`; the other the lowest, upwards.
        let (byte, step) = match LEFT {
            true => (value >> (8 * P::BYTES - 8 - 8 * i), i.wrapping_neg()),
            false => (value >> (8 * i), i),
        };
        let to = match BIG {
            true => va.offset(step.wrapping_neg()),
            false => va.offset(step),
        };
        match core.store(op, cx, to, 1, byte & 0xff) {
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

fn load_linked<W: Width, P: Part, const BIG: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = core.address(op);
    let done = core.load(op, cx, va, P::BYTES as u8);
    if done.is_ok() {
        core.ll_bit.set(true);
        core.ll_va = va;
        if let Ok((pa, _)) = core.translate(va, Access::Load) {
            core.cp0.ll_addr = (pa >> 4) as u32;
        }
    }
    finish!(done, core, op, rest, cx, |raw| {
        let raw = P::of(raw);
        core.r[op.a] = if BIG { raw.swapped() } else { raw }.register();
    })
}

/// SC does as SW where it succeeds. Where it fails the address is still translated, and faults.
fn store_conditional<W: Width, P: Part, const BIG: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = core.address(op);
    let value = P::of(core.r[op.c].into());
    let raw = if BIG { value.swapped() } else { value };
    let succeeds = core.ll_bit.held() && core.ll_va == va;
    if succeeds && let Err(exit) = core.stop_before_store(op, va, P::BYTES as u8) {
        return exit;
    }
    core.ll_bit.set(false);
    if succeeds {
        if P::write(core, va, raw) {
            core.r[op.a] = true.into();
            return next(core, rest, cx);
        }
        let done = core.store(op, cx, va, P::BYTES as u8, raw.into());
        return finish!(done, core, op, rest, cx, |()| core.r[op.a] = true.into());
    }
    match core.reach(op, va, P::BYTES as u8, Access::Store) {
        Ok(_) => {
            core.r[op.a] = false.into();
            next(core, rest, cx)
        }
        Err(exit) => exit,
    }
}

/// SYNCI translates its address and does no more: decoded code is never stale.
fn synci<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    let va = core.address(op);
    match core.reach(op, va, 1, Access::Load) {
        Ok(_) => next(core, rest, cx),
        Err(exit) => exit,
    }
}

/// CACHE. There is nothing in the caches: operations by address translate it, Index Load Tag finds an invalid line.
fn cache<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    if let Err(exit) = core.privileged(op) {
        return exit;
    }
    let va = core.address(op);
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
    (@ $big:literal, single $what:ident) => { single::<_, $what<$big>> };
    (@ $big:literal, $function:ident $part:ident) => { $function::<_, $part, $big> };
    (@ $big:literal, $function:ident $part:ident $side:literal) => { $function::<_, $part, $big, $side> };
}

/// The function of an instruction of this family.
pub fn handler<W: Width>(kind: Kind, mode: Mode) -> Option<Handler<W>> {
    Some(match kind {
        Kind::Lb => single::<_, Lb<false>>,
        Kind::Lbu => single::<_, Lbu<false>>,
        Kind::Lh => either!(mode, single Lh),
        Kind::Lhu => either!(mode, single Lhu),
        Kind::Lw => either!(mode, single Lw),
        Kind::Lwl => either!(mode, load_part u32 true),
        Kind::Lwr => either!(mode, load_part u32 false),
        Kind::Ll => either!(mode, load_linked u32),
        Kind::Sb => single::<_, Sb<false>>,
        Kind::Sh => either!(mode, single Sh),
        Kind::Sw => either!(mode, single Sw),
        Kind::Swl => either!(mode, store_part u32 true),
        Kind::Swr => either!(mode, store_part u32 false),
        Kind::Sc => either!(mode, store_conditional u32),
        Kind::Lwu => either!(mode, single Lwu),
        Kind::Ld => either!(mode, single Ld),
        Kind::Ldl => either!(mode, load_part u64 true),
        Kind::Ldr => either!(mode, load_part u64 false),
        Kind::Lld => either!(mode, load_linked u64),
        Kind::Sd => either!(mode, single Sd),
        Kind::Sdl => either!(mode, store_part u64 true),
        Kind::Sdr => either!(mode, store_part u64 false),
        Kind::Scd => either!(mode, store_conditional u64),
        Kind::Synci => synci,
        Kind::Cache => cache,
        kind => return super::fp::memory(kind, mode),
    })
}
