//! Loads, stores and atomic operations: a hit in the soft TLB is generated, everything else is left to the interpreter.

use solderless_engine::host::{Assembler, Binary, Extend, If, Mem, Reach, Size, T0, T1, T2, Width};
use solderless_engine::{Slow, Src};

use super::{Emitter, slow};
use crate::exec::Amo;
use crate::inst::{Inst, Kind, Load, SINK};

/// Emits an instruction of this family; false if it is of another, or one that is left to the interpreter.
pub fn emit<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    match inst.kind {
        Kind::Load(load) => self::load(e, inst, load),
        Kind::Store(bytes) => store(e, inst, size(bytes)),
        Kind::Amo(amo, bytes) => self::amo(e, inst, amo, size(bytes)),
        _ => return false,
    }
    true
}

/// The size of a value of so many bytes.
fn size(bytes: u8) -> Size {
    match bytes {
        1 => Size::B1,
        2 => Size::B2,
        4 => Size::B4,
        _ => Size::B8,
    }
}

/// The bits of an address of an access of a size that must be zero.
pub fn alignment(size: Size) -> u8 {
    match size {
        Size::B1 => 0,
        Size::B2 => 1,
        Size::B4 => 3,
        Size::B8 => 7,
    }
}

/// Gives the place in the host's memory, or goes on at `slow`. `by` is added to the base register; of the sum, the bits in `low`
/// must be zero.
pub fn reach<A: Assembler>(
    e: &mut Emitter<'_, A>,
    inst: &Inst,
    by: i32,
    low: u8,
    write: bool,
    slow: &Slow,
) -> Mem {
    let base = e.asm.value(inst.b, T0);
    e.asm.addresses(inst.b);
    let (base, by) = match e.known.rv32 {
        true => {
            e.asm.add_to(Width::W32, T0, base, by);
            (T0, 0)
        }
        false => (base, by),
    };
    e.asm.reach(&Reach {
        width: Width::W64,
        base,
        by,
        known: None,
        write,
        low,
        span: 1,
        slow: slow.from,
    })
}

fn load<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, load: Load) {
    let (size, extend) = match load {
        Load::B => (Size::B1, Extend::SignWide),
        Load::H => (Size::B2, Extend::SignWide),
        Load::W => (Size::B4, Extend::SignWide),
        Load::D => (Size::B8, Extend::Zero),
        Load::Bu => (Size::B1, Extend::Zero),
        Load::Hu => (Size::B2, Extend::Zero),
        Load::Wu => (Size::B4, Extend::Zero),
    };
    let mut slow = slow(e, inst);
    let place = reach(e, inst, inst.imm, alignment(size), false, &slow);
    let to = e.asm.target(inst.a, T0);
    e.asm.load(size, extend, to, place);
    if inst.a != SINK {
        e.asm.put(inst.a, to);
        if to == T0 {
            slow.holds(inst.a);
        }
    }
    e.back(slow);
}

fn store<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, size: Size) {
    let slow = slow(e, inst);
    let place = reach(e, inst, inst.imm, alignment(size), true, &slow);
    match e.asm.src(inst.c) {
        Src::Imm(value) => e.asm.store_imm(size, value, place),
        Src::Reg(from) => e.asm.store(size, from, place),
        from => {
            e.asm.set(T2, from);
            e.asm.store(size, T2, place);
        }
    }
    e.back(slow);
}

/// CPUs take turns, so nobody comes between the load and the store. What may be written may be read.
fn amo<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, amo: Amo, size: Size) {
    let slow = slow(e, inst);
    let place = reach(e, inst, 0, alignment(size), true, &slow);
    e.asm.address(T1, place);
    let place = Mem::at(T1, 0);
    e.asm.load(size, Extend::SignWide, T2, place);
    let with = e.asm.src(inst.c);
    let operation = match amo {
        Amo::Add => Some(Binary::Add),
        Amo::Xor => Some(Binary::Xor),
        Amo::And => Some(Binary::And),
        Amo::Or => Some(Binary::Or),
        _ => None,
    };
    let chosen = match amo {
        Amo::Min => Some(If::Less),
        Amo::Max => Some(If::Greater),
        Amo::Minu => Some(If::Below),
        Amo::Maxu => Some(If::Above),
        _ => None,
    };
    match (operation, chosen) {
        (Some(operation), _) => {
            e.asm.set(T0, Src::Reg(T2));
            e.asm.op(operation, T0, with);
        }
        (_, Some(condition)) => {
            // Values are sign-extended, which keeps the order of unsigned ones.
            match size {
                Size::B4 => e.asm.set_extended(size, Extend::SignWide, T0, with),
                _ => e.asm.set(T0, with),
            }
            e.asm.op(Binary::Cmp, T2, Src::Reg(T0));
            e.asm.move_if(Width::W64, condition, T0, T2);
        }
        _ => e.asm.set(T0, with),
    }
    e.asm.store(size, T0, place);
    if inst.a != SINK {
        e.asm.put(inst.a, T2);
    }
    e.back(slow);
}
