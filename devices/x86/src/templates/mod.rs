//! Templates: host code for the frequent instructions, against the engine's assembler.
//!
//! Code is generated for segments that are all of memory, as systems of 32 and 64 bits have them: integer arithmetic, moves, the
//! stack, jumps and branches, with accesses that hit the soft TLB. Everything else, and every case that is not quickly done, is
//! left to the interpreter's function for the instruction.
//!
//! The arithmetic flags are kept in [`Core::kept`] at the end of each block, and before each instruction that may raise an
//! exception. What sets them in between, and is itself followed by what sets all of them, does not keep them.

use std::mem::offset_of;

use iced_x86::Mnemonic;
use solderless_engine::host::{
    Assembler, Binary, Extend, If, Mem, Operand as Host, Reach, Reg, Shift, Size, T0, T1, Width,
};
use solderless_engine::{Emitter as Emission, Frame, Slow, Src, Straight, Templates};

use crate::core::{Core, FS, GS, Segment, mode};
use crate::exec;
use crate::inst::{Address, Block, Inst, NO_REGISTER, Operand, RIP};
use crate::isa::X86;

mod alu;
mod flags;
mod flow;
mod moves;

/// The engine's emitter, for these templates.
type Emitter<'a, A> = Emission<'a, X86, A>;

/// The base of all displacements is this much into the [`Core`].
const BIAS: usize = offset_of!(Core, x);

/// The displacement of what is at an offset in the [`Core`].
const fn place(offset: usize) -> i32 {
    offset as i32 - BIAS as i32
}

/// The displacement of a general register's place in the core.
const fn home(register: u8) -> i32 {
    register as i32 * 8
}

/// The registers that compiled code uses most, in that order.
const USUAL: [u8; 16] = [0, 4, 1, 2, 3, 7, 6, 5, 8, 9, 10, 12, 13, 14, 15, 11];

/// What is known while a block is emitted.
#[derive(Debug)]
pub struct Context {
    mode: u8,
    /// Instructions of the block whose flags somebody may look at, one bit each.
    live: u64,
    /// Where in the code the host's conditions are the guest's flags.
    flags_at: Option<usize>,
}

impl Context {
    /// Bytes of an address.
    fn word(&self) -> u8 {
        2 << (self.mode & 3)
    }

    /// The width of an address.
    fn width(&self) -> Width {
        width(self.word())
    }

    /// Whether code is generated at all.
    fn generates(&self) -> bool {
        self.mode & (mode::FLAT | mode::SINGLE) == mode::FLAT
    }
}

// SAFETY: the templates below read and write fields of the `Core` by their displacements, and guest memory by `reach`; they leave by
// the emitter's ways only.
#[allow(unsafe_code, reason = "see the crate's documentation")]
unsafe impl<A: Assembler> Templates<A> for X86 {
    const FRAME: Frame = Frame {
        bias: BIAS,
        width: Width::W64,
        unit_bits: 0,
        pc: place(offset_of!(Core, pc)),
        vcpu: place(offset_of!(Core, vcpu)),
        home,
        registers: 16,
        zero: None,
        pair: None,
        usual: &USUAL,
    };
    type Known = Context;

    fn known(core: &Core) -> Context {
        Context {
            mode: core.mode,
            live: 0,
            flags_at: None,
        }
    }

    fn begin(_: &mut Emitter<'_, A>, _: &Block) {}

    fn body(e: &mut Emitter<'_, A>, block: &Block) {
        e.known.live = flags::live(&block.insts);
        e.known.flags_at = None;
        e.take();
        for inst in &block.insts {
            let done = e.known.generates()
                && (flow::is_left_to_end(e, inst) || moves::emit(e, inst) || alu::emit(e, inst));
            if !done {
                e.leave_to_interpreter(exec::op(inst));
            }
        }
    }

    fn end(e: &mut Emitter<'_, A>, block: &Block) {
        match block.last() {
            Some(last) if e.known.generates() && flow::is_left_to_end(e, last) => {
                flow::end(e, last)
            }
            // What ends a block otherwise does not come back.
            Some(last) if last.ends => {}
            _ => e.end_at(block.bytes()),
        }
    }

    fn condition(e: &mut Emitter<'_, A>, block: &Block) -> If {
        block
            .last()
            .map_or(If::Equal, |last| flags::condition(e, last))
    }

    fn wrap(e: &mut Emitter<'_, A>, sum: Reg) {
        if e.known.word() == 4 {
            shorten(e, sum);
        }
    }
}

/// A way to the interpreter for an instruction, and back behind what is generated for it.
fn slow<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> Slow {
    e.slow(exec::op(inst))
}

/// Clears what is above four bytes of a host register.
fn shorten<A: Assembler>(e: &mut Emitter<'_, A>, register: Reg) {
    e.asm.extend(Size::B4, Extend::Zero, register, register);
}

/// The width of a computation on so many bytes, four or eight.
fn width(bytes: u8) -> Width {
    match bytes {
        8 => Width::W64,
        _ => Width::W32,
    }
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

/// Where the lowest bytes of a general register can be read.
fn operand<A: Assembler>(e: &Emitter<'_, A>, register: u8) -> Host {
    match e.asm.src(register) {
        Src::Reg(host) => Host::Reg(host),
        Src::Mem(at) => Host::Mem(Mem::field(at)),
        Src::Imm(value) => Host::Imm(value),
    }
}

/// Gives the lowest bytes of a general register what a host register has there, which is zero above four.
fn put<A: Assembler>(e: &mut Emitter<'_, A>, register: u8, bytes: u8, from: Reg) {
    match (bytes, e.asm.place_of(register)) {
        (4 | 8, _) => e.asm.put(register, from),
        (_, Src::Reg(host)) => {
            e.asm.wrote(register);
            e.asm.merge(size(bytes), host, from);
        }
        _ => {
            e.asm.wrote(register);
            e.asm.store(size(bytes), from, Mem::field(home(register)));
        }
    }
}

/// Whether the place of a memory operand can be computed here.
fn is_near<A: Assembler>(e: &Emitter<'_, A>, inst: &Inst) -> bool {
    let segment = match inst.memory.segment {
        FS => e.known.mode & mode::FS != 0,
        GS => e.known.mode & mode::GS != 0,
        crate::core::CS => e.known.word() == 8,
        _ => true,
    };
    let numbers = inst.memory.disp as i64 == inst.memory.disp as i32 as i64
        || e.known.word() == 4
        || inst.memory.base == NO_REGISTER && inst.memory.index == NO_REGISTER;
    segment && numbers && inst.address_size == e.known.word()
}

/// The offset of a memory operand: a host register and a displacement, of all bits of an address, the sum of which may leave them.
fn offset<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> (Reg, i32) {
    let Address {
        base,
        index,
        scale,
        disp,
        ..
    } = inst.memory;
    let width = e.known.width();
    let wide = width == Width::W64;
    let by = disp as i32;
    if index != NO_REGISTER {
        // The second scratch register is free until the soft TLB is asked.
        let second = e.asm.value(index, T0);
        let shift = scale.trailing_zeros() as u8;
        let mut sum = match base {
            NO_REGISTER => {
                e.asm.mov(width, T0, Host::Reg(second));
                e.asm.shift(width, Shift::Shl, T0, Some(shift));
                Mem::at(T0, 0)
            }
            _ => {
                let first = e.asm.value(base, T1);
                Mem {
                    shift,
                    ..Mem::sum(first, second, 0)
                }
            }
        };
        if wide {
            e.asm.address(T0, sum);
            return (T0, by);
        }
        sum.by = by;
        e.asm.address(T0, sum);
        shorten(e, T0);
        return (T0, 0);
    }
    match base {
        NO_REGISTER if wide && disp as i64 != i64::from(by) => e.asm.mov_wide(T0, disp),
        NO_REGISTER => e.asm.mov(width, T0, Host::Imm(by)),
        RIP => e.address_of(T0, disp as u32),
        _ => {
            let register = e.asm.value(base, T0);
            e.asm.addresses(base);
            // A sum that leaves 32 bits is left to the interpreter, but not one that always does.
            if wide || (-0x1_0000..0x1_0000).contains(&by) {
                return (register, by);
            }
            e.asm.add_to(Width::W32, T0, register, by);
        }
    }
    (T0, 0)
}

/// Gives the place of a memory operand in the host's memory, or goes on at `slow`.
fn reach<A: Assembler>(
    e: &mut Emitter<'_, A>,
    inst: &Inst,
    bytes: u8,
    write: bool,
    slow: &Slow,
) -> Mem {
    let (mut base, mut by) = offset(e, inst);
    if let FS | GS = inst.memory.segment {
        let segment =
            offset_of!(Core, segs) + usize::from(inst.memory.segment) * size_of::<Segment>();
        let of = Mem::field(place(segment + offset_of!(Segment, base)));
        let width = e.known.width();
        e.asm.add_to(width, T0, base, by);
        e.asm.binary(width, Binary::Add, T0, Host::Mem(of));
        (base, by) = (T0, 0);
    }
    reach_at(e, base, by, bytes, write, slow)
}

/// The same for an address.
fn reach_at<A: Assembler>(
    e: &mut Emitter<'_, A>,
    base: Reg,
    by: i32,
    bytes: u8,
    write: bool,
    slow: &Slow,
) -> Mem {
    e.asm.reach(&Reach {
        width: Width::W64,
        base,
        by,
        known: None,
        write,
        low: 0,
        span: bytes,
        slow: slow.from,
    })
}

/// Loads the memory operand into a host register; gives the way to the interpreter.
fn load<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, bytes: u8, to: Reg) -> Slow {
    let slow = slow(e, inst);
    let place = reach(e, inst, bytes, false, &slow);
    e.asm.load(size(bytes), Extend::Zero, to, place);
    slow
}

/// Whether an operand is memory.
fn is_memory(operand: Operand) -> bool {
    matches!(operand, Operand::Mem(_))
}

/// Whether a mnemonic is one of a list.
fn is(inst: &Inst, of: &[Mnemonic]) -> bool {
    of.contains(&inst.mnemonic)
}
