//! Templates: host code for the frequent instructions, against the engine's assembler.
//!
//! What is frequent is generated: arithmetic, branches, loads and stores that hit the soft TLB, floating point with
//! ordinary numbers. Everything else, and every case that is not quickly done, is left to the interpreter's function for the
//! instruction. The way in which control leaves a block that ends in a branch is in `flow`.

use std::marker::PhantomData;
use std::mem::offset_of;

use solderless_engine::host::{self, Assembler, Binary, Extend, If, Mem, Size, T0};
use solderless_engine::{Emitter as Emission, Frame, Slow, Src, Templates};

use crate::core::Core;
use crate::exec::{self, Due, Missed, Mode};
use crate::fpu::Fcsr;
use crate::ir::{Block, End, HI, Inst, Kind, LO, Step};
use crate::isa::{Mips, mode};
use crate::width::Width;

mod alu;
mod flow;
mod fp;
mod known;
mod memory;
mod system;
mod wide;

use known::Known;

/// The engine's emitter, for these templates.
type Emitter<'a, A, W> = Emission<'a, Mips<W>, A>;

/// The base of all displacements is this much into the [`Core`], so that the general registers are within a short one.
const fn bias<W: Width>() -> usize {
    offset_of!(Core<W>, r) + 16 * size_of::<W>()
}

/// The displacement of what is at an offset in the [`Core`].
const fn place<W: Width>(offset: usize) -> i32 {
    offset as i32 - bias::<W>() as i32
}

/// The displacement of a general register's place in the core.
const fn home<W>(register: u8) -> i32 {
    (register as i32 - 16) * size_of::<W>() as i32
}

/// The displacements of fields of the [`Core`].
struct At<W>(PhantomData<W>);

impl<W: Width> At<W> {
    const PC: i32 = place::<W>(offset_of!(Core<W>, pc));
    const LATCH: i32 = place::<W>(offset_of!(Core<W>, latch));
    const FCSR: i32 = place::<W>(offset_of!(Core<W>, fcsr));
    const FPR: i32 = place::<W>(offset_of!(Core<W>, fpr));
    const DUE: i32 = place::<W>(offset_of!(Core<W>, fp_due) + offset_of!(Due, again));
    const DUE_OPERANDS: i32 = place::<W>(offset_of!(Core<W>, fp_due) + offset_of!(Due, operands));
}

/// The width of registers and addresses.
const fn width<W: Width>() -> host::Width {
    if W::WIDE {
        host::Width::W64
    } else {
        host::Width::W32
    }
}

/// How a register holds a number with a sign, of fewer bits.
const fn signed<W: Width>() -> Extend {
    if W::WIDE {
        Extend::SignWide
    } else {
        Extend::Sign
    }
}

/// How a register holds 32 bits.
const fn word<W: Width>() -> Extend {
    if W::WIDE {
        Extend::SignWide
    } else {
        Extend::Zero
    }
}

/// The registers that compiled code uses most: v0, v1, a0 to a3, s0, s1, sp.
const USUAL: [u8; 9] = [2, 3, 4, 5, 6, 7, 16, 17, 29];

/// What is known while a block is emitted.
#[derive(Debug)]
pub struct Context {
    registers: Known,
    mode: Mode,
    kernel: bool,
    /// Addresses are made of 32 bits.
    short: bool,
    /// What can be written of EntryLo.
    entry_lo: u64,
    /// The step that is being emitted, and the instructions of its block.
    step: Option<Step>,
    len: u8,
    /// The instruction behind it, if it is the last one and in the slot of the block's branch, and [`alu::writes_only_a`].
    slot: Option<Inst>,
    /// What the branch tests, if a step has left it to the end of the block.
    latched: Option<flow::Latched>,
    /// A comparison that is left to the branch, and the operand that is kept for it.
    told: Option<(Inst, Option<alu::Operand>)>,
    /// CTC1 was executed.
    fcsr_written: bool,
}

// SAFETY: the templates below read and write fields of the `Core` by their displacements, and guest memory by `reach`; they leave by
// the emitter's ways only.
#[allow(unsafe_code, reason = "see the crate's documentation")]
unsafe impl<W: Width, A: Assembler> Templates<A> for Mips<W> {
    const FRAME: Frame = Frame {
        bias: bias::<W>(),
        width: width::<W>(),
        unit_bits: 2,
        pc: At::<W>::PC,
        vcpu: place::<W>(offset_of!(Core<W>, vcpu)),
        home: home::<W>,
        // HI of 32 bits stands for HI and LO together.
        registers: if W::WIDE { LO + 1 } else { HI + 1 },
        zero: Some(0),
        pair: if W::WIDE { None } else { Some(HI) },
        usual: &USUAL,
    };
    type Known = Context;

    fn known(core: &Core<W>) -> Context {
        Context {
            registers: Known::NOTHING,
            mode: mode(core),
            kernel: core.mode.kernel(),
            short: core.short,
            entry_lo: W::entry_lo(&core.identity).into(),
            step: None,
            len: 0,
            slot: None,
            latched: None,
            told: None,
            fcsr_written: false,
        }
    }

    fn begin(e: &mut Emitter<'_, A, W>, block: &Block) {
        e.known.registers = Known::NOTHING;
        e.known.len = block.len;
    }

    fn body(e: &mut Emitter<'_, A, W>, block: &Block) {
        e.known.fcsr_written = false;
        e.known.latched = None;
        e.known.told = None;
        if block.steps.iter().any(|s| fp::is_arithmetic(s.inst.kind)) {
            let from = e.asm.label();
            e.asm
                .load(Size::B4, Extend::Zero, T0, Mem::field(At::<W>::FCSR));
            let [mask, noted] = [Fcsr::NOTED_MASK, Fcsr::NOTED].map(u32::cast_signed);
            e.asm.op_low(Binary::And, T0, Src::Imm(mask));
            e.asm.op_low(Binary::Cmp, T0, Src::Imm(noted));
            e.asm.jump_if(If::NotEqual, from);
            e.interpret(from);
        }
        e.take();
        for (n, step) in block.steps.iter().enumerate() {
            e.known.step = Some(*step);
            let behind = block.steps.get(n + 1..).unwrap_or_default();
            e.known.slot = match (block.end, behind) {
                (End::Latched { .. }, [slot]) => {
                    Some(slot.inst).filter(|inst| alu::writes_only_a(inst.kind))
                }
                _ => None,
            };
            let inst = &e.known.registers.simplify(step.inst);
            let folded = behind
                .first()
                .is_some_and(|next| Known::folds(inst, &next.inst));
            let done = folded
                || alu::leave_to_branch(e, inst, behind, block.end)
                || wide::emit(e, inst)
                || alu::emit(e, inst)
                || memory::emit(e, inst)
                || flow::emit(e, inst)
                || fp::emit(e, inst)
                || system::emit(e, inst);
            if !done {
                let op = exec::op(step, e.known.mode);
                e.leave_to_interpreter(op);
                e.known.fcsr_written |= inst.kind == Kind::Ctc1;
            }
            e.known.registers.pass(inst);
        }
    }

    fn end(e: &mut Emitter<'_, A, W>, block: &Block) {
        flow::end(e, block);
    }

    fn again(e: &Emitter<'_, A, W>, block: &Block) -> Option<Context> {
        let registers = e.known.registers.again(block)?;
        Some(Context {
            registers,
            mode: e.known.mode,
            kernel: e.known.kernel,
            short: e.known.short,
            entry_lo: e.known.entry_lo,
            step: None,
            len: block.len,
            slot: None,
            latched: None,
            told: None,
            fcsr_written: false,
        })
    }

    fn condition(e: &mut Emitter<'_, A, W>, block: &Block) -> If {
        flow::condition(e, block)
    }

    fn told(e: &Emitter<'_, A, W>, block: &Block) -> Option<(u8, i32)> {
        flow::told(e, block)
    }
}

/// A way to the interpreter for the step, and back behind what is generated for it.
fn slow<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>) -> Slow {
    match e.known.step {
        Some(step) => {
            let op = exec::op(&step, e.known.mode);
            e.slow(op)
        }
        None => e.way(0),
    }
}

/// The same for a load or store, whose address is given with it.
fn missed<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>) -> Slow {
    let (step, len) = (e.known.step, e.known.len);
    match step.and_then(|step| Missed::new(&step, len)) {
        Some(missed) => e.way(missed.bits()),
        None => slow(e),
    }
}
