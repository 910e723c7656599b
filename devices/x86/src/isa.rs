//! What the engine has to know of x86.

use solderless_engine::{Bytes, Exit, Isa, Vcpu};
use solderless_model::{Cx, Stop};

use crate::core::{Core, cr0, mode};
use crate::exec::{self, Op};
use crate::inst::{self, Block};
use crate::trap::Fault;

/// The instruction set of a [`Core`].
#[derive(Debug)]
pub enum X86 {}

impl Isa for X86 {
    type Core = Core;
    type Block = Block;
    type Op = Op;
    type Fault = Fault;

    const UNIT_BITS: u8 = 0;
    const LONGEST: usize = inst::LONGEST;
    const MOST: usize = inst::MOST;

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
        core.mode
    }

    #[inline(always)]
    fn code_key(core: &Core, _: u64) -> Option<u64> {
        Some(core.code_key)
    }

    fn direct(core: &Core, va: u64) -> Option<u64> {
        (!core.is(cr0::PG)).then(|| core.by_a20(va))
    }

    fn translated(core: &Core, _: u64) -> bool {
        core.is(cr0::PG)
    }

    fn translate(core: &mut Core, cx: &Cx<'_>, va: u64) -> Result<u64, Fault> {
        core.translate_code(cx, va)
    }

    fn fetch(_: &mut Core, cx: &mut Cx<'_>, pa: u64, to: &mut Vec<u8>) -> Result<(), Fault> {
        // Nobody drives the lines where nothing answers.
        to.push(cx.bus_read(pa, 1).map_or(u8::MAX, |byte| byte as u8));
        Ok(())
    }

    fn fetch_fault(core: &mut Core, cx: &mut Cx<'_>, fault: Fault, _: u64, _: bool) {
        core.vcpu.budget -= 1;
        core.raise(cx, fault);
        if std::mem::take(&mut core.attention) != 0 {
            core.vcpu.attention();
        }
    }

    fn decode(core: &Core, bytes: Bytes<'_>, most: usize) -> Option<Block> {
        let most = if core.mode & mode::SINGLE != 0 {
            1
        } else {
            most
        };
        inst::decode(core.bits.into(), core.identity.features, &bytes, most)
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

    fn poll(core: &mut Core, cx: &mut Cx<'_>) -> Option<Stop> {
        if core.sleeps() {
            return Some(Stop::Wait);
        }
        core.interrupt(cx);
        // It may have been told to wait until another has it start.
        core.sleeps().then_some(Stop::Wait)
    }

    fn settle(core: &mut Core) {
        core.settle();
    }

    fn check_op(core: &Core, op: &Op, _: &dyn Fn(u32) -> Option<u32>) {
        assert!(
            core.vcpu.budget >= 0 && u32::from(op.inst.index_in_block) < core.vcpu.len,
            "{op:?} at {:#x}",
            core.pc
        );
    }
}
