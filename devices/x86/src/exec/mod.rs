//! The interpreter: each instruction of a block becomes an [`Op`] with the function that executes it.

use iced_x86::Mnemonic;
use solderless_engine::Exit;
use solderless_model::Cx;

use crate::core::{CS, Core, RSP, attention, flag};
use crate::inst::{Address, Block, Inst, NO_REGISTER, Operand, RIP, mask};
use crate::trap::{Fault, vector::DB};

mod alu;
mod bits;
mod crypto;
mod flow;
mod fpu_image;
mod moves;
mod simd;
mod sse;
mod string;
mod system;
mod vector;
mod x87;

/// Why a block is left at an instruction.
#[derive(Debug, Clone, Copy)]
pub enum Leave {
    /// It raises an exception, and has changed nothing.
    Fault(Fault),
    /// It was executed, and the CPU's address is that of the next one.
    Exit(Exit),
    /// A debugger wants the CPU to stop before it.
    Stop,
}

/// What an instruction comes to.
pub type Step<T = ()> = Result<T, Leave>;

/// Executes one op.
pub type Handler = fn(&mut Core, &Op, &mut Cx<'_>) -> Step;

/// An instruction, ready to be executed.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    run: Handler,
    pub inst: Inst,
}

/// Executes ops from the first one on.
pub fn run(core: &mut Core, ops: &[Op], cx: &mut Cx<'_>) -> Exit {
    let limited = core.begin();
    let left = ops.iter().find_map(|op| step(core, op, cx, limited));
    let exit = match (left, ops.last()) {
        (Some(exit), _) => exit,
        (None, Some(last)) if core.attention != 0 => {
            let exit = core.shadow(Exit::Goto);
            core.finish(last, cx, exit)
        }
        (None, Some(last)) => core.finish(last, cx, Exit::Fall),
        (None, None) => Exit::Event,
    };
    core.settle_lazy();
    exit
}

/// Executes a single op of a block.
pub fn one(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Exit {
    let limited = core.begin();
    let exit = match step(core, op, cx, limited) {
        Some(exit) => exit,
        None if core.stepping => core.finish(op, cx, Exit::Goto),
        None if core.attention != 0 => {
            let exit = core.shadow(Exit::Goto);
            core.finish(op, cx, exit)
        }
        None => Exit::Next,
    };
    core.settle_lazy();
    exit
}

/// Executes one op; gives how it leaves the block, if it does.
#[inline(always)]
fn step(core: &mut Core, op: &Op, cx: &mut Cx<'_>, limited: bool) -> Option<Exit> {
    if limited && core.is_beyond(op) {
        return Some(core.left(op, Leave::Fault(Fault::gp(0)), cx));
    }
    match (op.run)(core, op, cx) {
        Ok(()) if core.attention == 0 => None,
        Ok(()) => core.attend(op, cx),
        Err(leave) => Some(core.left(op, leave, cx)),
    }
}

/// Adds the ops of a block.
pub fn lower(block: &Block, ops: &mut Vec<Op>) {
    ops.extend(block.insts.iter().map(op));
}

/// Makes an op of an instruction.
pub fn op(inst: &Inst) -> Op {
    Op {
        run: handler(inst),
        inst: *inst,
    }
}

fn handler(inst: &Inst) -> Handler {
    let m = inst.mnemonic;
    alu::handler(m)
        .or_else(|| bits::handler(m))
        .or_else(|| moves::handler(inst))
        .or_else(|| flow::handler(inst))
        .or_else(|| string::handler(inst.code))
        .or_else(|| system::handler(m))
        .or_else(|| vector::handler(inst))
        .or_else(|| simd::handler(m))
        .or_else(|| sse::handler(m))
        .or_else(|| x87::handler(inst))
        .or_else(|| fpu_image::handler(inst))
        .or_else(|| crypto::handler(m))
        .unwrap_or(match m {
            Mnemonic::Nop
            | Mnemonic::Pause
            | Mnemonic::Reservednop
            | Mnemonic::Prefetchnta
            | Mnemonic::Prefetcht0
            | Mnemonic::Prefetcht1
            | Mnemonic::Prefetcht2
            | Mnemonic::Lfence
            | Mnemonic::Mfence
            | Mnemonic::Sfence => nothing,
            _ => undefined,
        })
}

fn nothing(_: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    Ok(())
}

fn undefined(_: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    Err(Fault::ud().into())
}

impl Core {
    /// A block begins; says whether the limit of the code segment has to be looked at.
    #[inline(always)]
    fn begin(&mut self) -> bool {
        self.stepping = self.flags & flag::TF != 0;
        !self.is64() && self.seg(CS).limit != u32::MAX
    }

    /// Whether an instruction is not all within the limit of the code segment.
    fn is_beyond(&self, op: &Op) -> bool {
        let last = self.ip_of(self.pc_of(op)) + u64::from(op.inst.len) - 1;
        last > self.seg(CS).limit.into()
    }

    /// Computes flags that were put off in a block: the next one may be generated code.
    #[inline(always)]
    fn settle_lazy(&mut self) {
        if self.lazy {
            self.settle();
        }
    }

    /// Looks at what an instruction has left to look at.
    #[cold]
    fn attend(&mut self, op: &Op, cx: &mut Cx<'_>) -> Option<Exit> {
        match self.attention {
            attention::SHADOW => {
                // Behind the next one.
                self.attention = attention::EVENT;
                None
            }
            _ => {
                let exit = self.attended(Exit::Event);
                Some(self.finish(op, cx, exit))
            }
        }
    }

    /// Something was looked for that an instruction has left to look at, which is left with this.
    fn attended(&mut self, exit: Exit) -> Exit {
        let attention = std::mem::take(&mut self.attention);
        if attention & attention::SHADOW != 0 {
            // Nothing may interrupt the next instruction, wherever it is.
            return self.shadow(Exit::Goto);
        }
        let shadowed = std::mem::take(&mut self.shadowed);
        if shadowed {
            self.mode_changed();
        }
        match exit {
            Exit::Wait => exit,
            _ if shadowed || attention != 0 => Exit::Event,
            _ => exit,
        }
    }

    /// The next instruction is not in this block, and nothing may interrupt it.
    #[cold]
    fn shadow(&mut self, exit: Exit) -> Exit {
        self.shadowed = true;
        self.mode_changed();
        self.attention = attention::EVENT;
        exit
    }

    /// Goes on behind an op, which was executed.
    fn finish(&mut self, op: &Op, cx: &mut Cx<'_>, exit: Exit) -> Exit {
        self.after(op, exit);
        self.executed(cx, exit)
    }

    /// An instruction was executed, and leads to the CPU's address: takes the debug exception if it began with EFLAGS.TF.
    #[inline(always)]
    fn executed(&mut self, cx: &mut Cx<'_>, exit: Exit) -> Exit {
        match self.stepping {
            true => self.single_step(cx),
            false => exit,
        }
    }

    /// Leaves the block at an op.
    fn left(&mut self, op: &Op, leave: Leave, cx: &mut Cx<'_>) -> Exit {
        let rest = self.rest(op);
        match leave {
            Leave::Exit(exit) => {
                self.vcpu.budget += rest;
                let exit = self.attended(exit);
                self.executed(cx, exit)
            }
            Leave::Fault(fault) => {
                self.pc = self.pc_of(op);
                self.vcpu.budget += rest;
                self.raise(cx, fault);
                self.attended(Exit::Goto)
            }
            Leave::Stop => {
                self.pc = self.pc_of(op);
                self.vcpu.budget += rest + 1;
                Exit::Event
            }
        }
    }

    #[cold]
    fn single_step(&mut self, cx: &mut Cx<'_>) -> Exit {
        self.dr[6] |= 1 << 14;
        self.halted = false;
        self.raise(cx, Fault::plain(DB));
        self.attention = 0;
        Exit::Event
    }

    /// The offset that an address says.
    #[inline(always)]
    pub fn offset(&self, op: &Op) -> u64 {
        let Address {
            base,
            index,
            scale,
            disp,
            ..
        } = op.inst.memory;
        let mut at = disp;
        match base {
            NO_REGISTER => {}
            // The displacement is from the start of the block.
            RIP => at = at.wrapping_add(self.pc),
            n => at = at.wrapping_add(self.x[usize::from(n & 15)]),
        }
        if index != NO_REGISTER {
            let index = self.x[usize::from(index & 15)];
            at = at.wrapping_add(index.wrapping_mul(scale.into()));
        }
        at & mask(op.inst.address_size)
    }

    /// The linear address of the memory operand, of so many bytes.
    ///
    /// # Errors
    /// It is not in its segment.
    #[inline(always)]
    pub fn address(&self, op: &Op, size: u8, write: bool) -> Step<u64> {
        let offset = self.offset(op);
        Ok(self.linear(op.inst.memory.segment, offset, size, write)?)
    }

    /// The value of an operand.
    ///
    /// # Errors
    /// It is memory, and that cannot be read.
    #[inline(always)]
    pub fn get(&mut self, cx: &mut Cx<'_>, op: &Op, n: usize) -> Step<u64> {
        Ok(match op.inst.ops[n] {
            Operand::Reg(n, size) => self.reg(n, size),
            Operand::Imm => op.inst.imm & mask(op.inst.size),
            Operand::Mem(size) => {
                let va = self.address(op, size, false)?;
                self.load(cx, op, va, size)?
            }
            Operand::High(n) => self.reg(n, 2) >> 8,
            Operand::Seg(n) => self.seg(n).selector.into(),
            _ => 0,
        })
    }

    /// Sets an operand.
    ///
    /// # Errors
    /// It is memory, and that cannot be written.
    #[inline(always)]
    pub fn put(&mut self, cx: &mut Cx<'_>, op: &Op, n: usize, value: u64) -> Step {
        match op.inst.ops[n] {
            Operand::Reg(n, size) => self.set_reg(n, size, value),
            Operand::Mem(size) => {
                let va = self.address(op, size, true)?;
                self.store(cx, op, va, size, value)?;
            }
            Operand::High(n) => {
                let old = self.reg(n, 2);
                self.set_reg(n, 2, old & 0xff | (value & 0xff) << 8);
            }
            _ => {}
        }
        Ok(())
    }

    /// The value of an operand that is set next.
    ///
    /// # Errors
    /// It is memory, and that cannot be written.
    #[inline(always)]
    pub fn get_to_change(&mut self, cx: &mut Cx<'_>, op: &Op, n: usize) -> Step<u64> {
        match op.inst.ops[n] {
            Operand::Mem(size) => {
                let va = self.address(op, size, true)?;
                self.load_to_change(cx, op, va, size)
            }
            _ => self.get(cx, op, n),
        }
    }

    /// Pushes a value of so many bytes.
    ///
    /// # Errors
    /// The stack has no room for it.
    #[inline(always)]
    pub fn push(&mut self, cx: &mut Cx<'_>, op: &Op, size: u8, value: u64) -> Step {
        let to = self.x[usize::from(RSP)].wrapping_sub(size.into()) & mask(self.stack_size);
        let va = self.linear(crate::core::SS, to, size, true)?;
        self.store(cx, op, va, size, value)?;
        self.set_stack_pointer(to);
        Ok(())
    }

    /// The value on top of the stack.
    ///
    /// # Errors
    /// It cannot be read.
    #[inline(always)]
    pub fn top(&mut self, cx: &mut Cx<'_>, op: &Op, size: u8) -> Step<u64> {
        let from = self.reg(RSP, self.stack_size);
        let va = self.linear(crate::core::SS, from, size, false)?;
        self.load(cx, op, va, size)
    }

    /// Takes so many bytes from the stack.
    #[inline(always)]
    pub fn drop(&mut self, bytes: u64) {
        let to = self.x[usize::from(RSP)].wrapping_add(bytes);
        self.set_stack_pointer(to);
    }

    #[inline(always)]
    fn set_stack_pointer(&mut self, to: u64) {
        self.set_reg(RSP, self.stack_size, to);
    }

    /// Goes to an instruction pointer of so many bytes, behind an op.
    ///
    /// # Errors
    /// How the block is left, or the exception.
    #[inline(always)]
    pub fn go(&mut self, op: &Op, ip: u64, size: u8, direct: bool) -> Step {
        let to = ip & mask(size);
        let inside = match self.is64() {
            true => crate::mmu::canonical(to),
            false => to <= self.seg(CS).limit.into(),
        };
        if !inside {
            return Err(Fault::gp(0).into());
        }
        let linear = self.linear_of(to);
        // A link leads to where the address is no shorter than it was computed.
        let straight = linear == self.past(op).wrapping_add(op.inst.imm);
        self.pc = linear;
        Err(Leave::Exit(match direct && straight {
            true => Exit::Taken,
            false => Exit::Goto,
        }))
    }
}
