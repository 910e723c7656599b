//! What the engine has to know of RISC-V.

use solderless_engine::{Bytes, Exit, Isa, Vcpu};
use solderless_model::{Cx, Stop};

use crate::core::Core;
use crate::decode::{decode, is_long};
use crate::exec::{self, Op};
use crate::inst::{Block, Inst};
use crate::trap::{Access, Fault};

/// The instruction set of a [`Core`].
#[derive(Debug)]
pub enum Riscv {}

/// Instructions in a block at most.
const MOST: usize = 64;

impl Isa for Riscv {
    type Core = Core;
    type Block = Block;
    type Op = Op;
    type Fault = Fault;

    const UNIT_BITS: u8 = 1;
    const LONGEST: usize = 4;
    const MOST: usize = MOST;

    #[inline(always)]
    fn vcpu(core: &Core) -> &Vcpu {
        &core.vcpu
    }

    #[inline(always)]
    fn vcpu_mut(core: &mut Core) -> &mut Vcpu {
        &mut core.vcpu
    }

    #[inline(always)]
    fn pc(core: &Core) -> u64 {
        core.pc
    }

    fn mode(core: &Core) -> u8 {
        core.mode()
    }

    #[inline(always)]
    fn code_key(core: &Core, _: u64) -> Option<u64> {
        Some(core.code_key)
    }

    fn direct(core: &Core, va: u64) -> Option<u64> {
        core.direct.then_some(va)
    }

    fn translated(core: &Core, _: u64) -> bool {
        !core.direct
    }

    fn translate(core: &mut Core, cx: &Cx<'_>, va: u64) -> Result<u64, Fault> {
        Ok(core.translate(cx, va, Access::Fetch)?.pa)
    }

    fn fetch(_: &mut Core, cx: &mut Cx<'_>, pa: u64, to: &mut Vec<u8>) -> Result<(), Fault> {
        match cx.bus_read(pa, 2) {
            Ok(half) => {
                to.extend((half as u16).to_le_bytes());
                Ok(())
            }
            Err(_) => Err(Fault::Access),
        }
    }

    fn fetch_fault(core: &mut Core, _: &mut Cx<'_>, fault: Fault, va: u64, _: bool) {
        let va = core.address(va);
        core.fetch_fault(fault, va);
    }

    fn decode(core: &Core, bytes: Bytes<'_>, most: usize) -> Option<Block> {
        let mut block = Block { insts: Vec::new() };
        let mut at = 0;
        while block.insts.len() < most {
            let Some(raw) = instruction(&bytes, at) else {
                break;
            };
            let inst = Inst {
                at: at as u16,
                index: block.insts.len() as u8,
                ..decode(raw, &core.identity)
            };
            at += usize::from(inst.size);
            block.insts.push(inst);
            if inst.ends_block() {
                break;
            }
        }
        (!block.insts.is_empty()).then_some(block)
    }

    fn lower(_: &Core, block: &Block, to: &mut Vec<Op>) {
        exec::lower(block, to);
    }

    #[inline(always)]
    fn run(core: &mut Core, ops: &[Op], cx: &mut Cx<'_>) -> Exit {
        exec::run(core, ops, cx)
    }

    #[inline(always)]
    fn one(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Exit {
        exec::one(core, op, cx)
    }

    fn missed(_: &mut Core, _: u32, _: u64, _: &mut Cx<'_>) -> Exit {
        // No template asks for it.
        Exit::Event
    }

    fn find_code(core: &mut Core, cx: &Cx<'_>) -> bool {
        core.find_code(cx)
    }

    fn sample(core: &mut Core, cx: &mut Cx<'_>) {
        core.sample(cx);
    }

    fn poll(core: &mut Core, _: &mut Cx<'_>) -> Option<Stop> {
        if core.waiting {
            if core.pending() & core.csr.mie == 0 {
                return Some(Stop::Wait);
            }
            core.waiting = false;
        }
        core.interrupt();
        None
    }

    fn forget_pages(core: &mut Core) {
        core.forget_pages();
    }

    fn check_op(core: &Core, op: &Op, code: &dyn Fn(u32) -> Option<u32>) {
        let (at, index) = op.place();
        assert!(
            core.vcpu.budget >= 0 && u32::from(index) < core.vcpu.len,
            "{op:?} at {:#x}",
            core.pc
        );
        // The page may not be mapped any more, and this does not tell of an instruction at its end.
        let Some(raw) = code(at.into()) else {
            return;
        };
        let inst = Inst {
            at,
            index,
            ..decode(raw, &core.identity)
        };
        assert!(
            op.same(&exec::op(&inst)),
            "{op:?} at {:#x}, where {inst:?} is",
            core.pc
        );
    }
}

/// The bits of the instruction at an offset; `None` if not all of them are there.
fn instruction(bytes: &Bytes<'_>, at: usize) -> Option<u32> {
    let low = bytes.u16(at)?;
    match is_long(low) {
        true => bytes.u32(at),
        false => Some(low.into()),
    }
}
