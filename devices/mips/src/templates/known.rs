//! What is known of general registers at a place in a block.

use super::alu::{kept, writes_only_a};
use crate::ir::{Block, End, HI, Inst, Kind, LO};

/// Registers with HI, LO and the place of writes to register 0.
const COUNT: usize = 35;

/// What the instructions before a place in a block say of registers.
#[derive(Debug)]
pub struct Known {
    values: [Option<u32>; COUNT],
    /// Those that are multiples of four, one bit each.
    aligned: u64,
    /// A comparison whose result is still in its register, as its operands are, but for one that was [`kept`].
    compared: Option<Inst>,
}

impl Known {
    /// What is known at the start of a block.
    pub const NOTHING: Self = {
        let mut values = [None; COUNT];
        values[0] = Some(0);
        Self {
            values,
            aligned: 1,
            compared: None,
        }
    };

    /// The value of a register.
    pub fn value(&self, register: u8) -> Option<u32> {
        self.values.get(usize::from(register)).copied().flatten()
    }

    /// A register is a multiple of four.
    pub fn aligned(&self, register: u8) -> bool {
        self.aligned >> (register & 63) & 1 != 0
    }

    /// The comparison whose result a register holds, if it can be made again.
    pub fn compared(&self, register: u8) -> Option<Inst> {
        self.compared.filter(|inst| inst.a == register)
    }

    /// An instruction in a simpler form, if what it computes is known.
    pub fn simplify(&self, inst: Inst) -> Inst {
        let Some(b) = self.value(inst.b) else {
            return inst;
        };
        let value = match inst.kind {
            Kind::Addiu => b.wrapping_add(inst.imm),
            Kind::Ori => b | inst.imm,
            Kind::Xori => b ^ inst.imm,
            Kind::Andi => b & inst.imm,
            Kind::Sll => b << (inst.imm & 31),
            _ => return inst,
        };
        Inst {
            kind: Kind::Li,
            imm: value,
            ..inst
        }
    }

    /// Whether an instruction computes what is known from the number that the one before it loads, and takes its place: nobody
    /// can see that one.
    pub fn folds(inst: &Inst, next: &Inst) -> bool {
        let computes = matches!(
            next.kind,
            Kind::Addiu | Kind::Ori | Kind::Xori | Kind::Andi | Kind::Sll
        );
        inst.kind == Kind::Li && computes && next.a == inst.a && next.b == inst.a
    }

    /// What is known at the start of a block that is executed again and again, from the second time on, if its first execution
    /// has taught something; `self` is what is known at its end.
    pub fn again(&self, block: &Block) -> Option<Self> {
        let taken = match block.end {
            End::Branch { taken, .. } | End::Latched { taken } => taken,
            _ => return None,
        };
        let mut aligned = self.aligned;
        loop {
            let mut known = Self {
                aligned,
                ..Self::NOTHING
            };
            for step in &block.steps {
                let inst = known.simplify(step.inst);
                known.pass(&inst);
            }
            if aligned & known.aligned == aligned {
                let known = Self {
                    aligned,
                    ..Self::NOTHING
                };
                return (taken == 0 && aligned != Self::NOTHING.aligned).then_some(known);
            }
            aligned &= known.aligned;
        }
    }

    /// Goes past an instruction.
    pub fn pass(&mut self, inst: &Inst) {
        let multiple = inst.imm & 3 == 0;
        if !writes_only_a(inst.kind) && self.compared.is_some_and(|inst| kept(&inst).is_some()) {
            self.compared = None;
        }
        match inst.kind {
            Kind::Nop | Kind::Sb | Kind::Sh | Kind::Trap(_) | Kind::TrapImm(_) => {}
            Kind::Latch(_) | Kind::LatchTarget | Kind::Skip(_) | Kind::SkipLatched => {}
            Kind::Mult | Kind::Multu | Kind::Madd | Kind::Maddu | Kind::Msub | Kind::Msubu => {
                self.write(HI, None, false);
                self.write(LO, None, false);
            }
            Kind::Sw => self.learn_aligned(inst, multiple),
            Kind::Li => self.write(inst.a, Some(inst.imm), multiple),
            Kind::Addiu => self.write(inst.a, None, multiple && self.aligned(inst.b)),
            Kind::Move => self.write(inst.a, self.value(inst.b), self.aligned(inst.b)),
            Kind::Lb | Kind::Lbu | Kind::Lh | Kind::Lhu => self.write(inst.a, None, false),
            Kind::Lw => {
                self.learn_aligned(inst, multiple);
                self.write(inst.a, None, false);
            }
            kind if writes_only_a(kind) => {
                self.write(inst.a, None, false);
                let compares = matches!(kind, Kind::Slt | Kind::Sltu | Kind::Slti | Kind::Sltiu);
                if compares && (kept(inst).is_some() || inst.a != inst.b && inst.a != inst.c) {
                    self.compared = Some(*inst);
                }
            }
            _ => *self = Self::NOTHING,
        }
    }

    /// An access to a word by way of a register did not raise an exception.
    fn learn_aligned(&mut self, inst: &Inst, multiple: bool) {
        self.aligned |= u64::from(multiple) << (inst.b & 63);
    }

    fn write(&mut self, register: u8, value: Option<u32>, aligned: bool) {
        let uses = |inst: &Inst| [inst.a, inst.b, inst.c].contains(&register);
        if self.compared.as_ref().is_some_and(uses) {
            self.compared = None;
        }
        if let Some(place) = self.values.get_mut(usize::from(register)) {
            *place = value;
        }
        let bit = 1 << (register & 63);
        self.aligned = if aligned {
            self.aligned | bit
        } else {
            self.aligned & !bit
        };
    }
}
