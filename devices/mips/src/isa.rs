//! What the engine has to know of MIPS.

use std::convert::Infallible;
use std::marker::PhantomData;

use solderless_engine::{Bytes, Exit, Isa, Straight, Vcpu};
use solderless_model::{Cx, Stop};

use crate::core::Core;
use crate::cp0::status;
use crate::decode::{self, Decoded};
use crate::exception::{Access, Exception, Fault};
use crate::exec::{self, Missed, Mode, Op};
use crate::ir::{Block, Step};
use crate::model::Extension;
use crate::translate::{MAX, slot, translate};
use crate::width::Width;

/// The instruction set of a [`Core`].
#[derive(Debug)]
pub struct Mips<W = u32>(PhantomData<W>, Infallible);

impl Straight for Block {
    fn instructions(&self) -> u8 {
        self.len
    }

    fn bytes(&self) -> u32 {
        self.past()
    }

    fn taken(&self) -> Option<u32> {
        Block::taken(self)
    }

    fn followers(&self) -> Vec<u32> {
        Block::followers(self).collect()
    }

    fn is_computed(&self) -> bool {
        Block::is_computed(self)
    }
}

/// What functions are chosen by.
pub fn mode<W: Width>(core: &Core<W>) -> Mode {
    Mode {
        big_endian: core.identity.big_endian,
    }
}

pub fn in_order<W: Width>(core: &Core<W>, raw: u32) -> u32 {
    if core.identity.big_endian {
        raw.swap_bytes()
    } else {
        raw
    }
}

/// Translates up to `most` instructions of so many words, as far as they are there.
fn translate_words<W: Width, const N: usize>(
    core: &Core<W>,
    bytes: &Bytes<'_>,
    most: usize,
) -> Option<Block> {
    let mut raw = [[0; 4]; N];
    let count = bytes.copy(0, raw.as_flattened_mut()) / 4;
    let words = match core.identity.big_endian {
        true => raw.map(u32::from_be_bytes),
        false => raw.map(u32::from_le_bytes),
    };
    translate(words.get(..count)?, most, core.set())
}

impl<W: Width> Isa for Mips<W> {
    type Core = Core<W>;
    type Block = Block;
    type Op = Op<W>;
    type Fault = Fault;

    const UNIT_BITS: u8 = 2;
    /// A branch and what is in its slot.
    const LONGEST: usize = 8;
    const MOST: usize = MAX;

    #[inline(always)]
    fn vcpu(core: &Core<W>) -> &Vcpu {
        &core.vcpu
    }

    #[inline(always)]
    fn vcpu_mut(core: &mut Core<W>) -> &mut Vcpu {
        &mut core.vcpu
    }

    #[inline(always)]
    fn pc(core: &Core<W>) -> u64 {
        core.pc.into()
    }

    fn mode(core: &Core<W>) -> u8 {
        core.mode.number()
    }

    #[inline(always)]
    fn code_key(core: &Core<W>, va: u64) -> Option<u64> {
        core.code_key(W::cut(va), core.mode)
    }

    fn direct(_: &Core<W>, va: u64) -> Option<u64> {
        W::direct(W::cut(va))
    }

    fn translated(_: &Core<W>, va: u64) -> bool {
        W::mapped(W::cut(va))
    }

    fn translate(core: &mut Core<W>, _: &Cx<'_>, va: u64) -> Result<u64, Fault> {
        if va & 3 != 0 {
            return Err(Fault::Address);
        }
        let (pa, _) = core.translate(W::cut(va), Access::Fetch)?;
        Ok(pa)
    }

    fn fetch(_: &mut Core<W>, cx: &mut Cx<'_>, pa: u64, to: &mut Vec<u8>) -> Result<(), Fault> {
        match cx.bus_read(pa, 4) {
            Ok(raw) => {
                to.extend((raw as u32).to_le_bytes());
                Ok(())
            }
            Err(_) => Err(Fault::Bus),
        }
    }

    fn fetch_fault(core: &mut Core<W>, cx: &mut Cx<'_>, fault: Fault, va: u64, second: bool) {
        if va & 1 != 0 {
            let what = "the code at this odd address";
            core.tell_left_out(cx, W::cut(va), Extension::Mips16e, what);
        }
        core.fetch_fault(fault, W::cut(va), second);
    }

    fn decode(core: &Core<W>, bytes: Bytes<'_>, most: usize) -> Option<Block> {
        // Most are short, and need no more words than these.
        const SHORT: usize = 15;
        let short = translate_words::<W, { SHORT + 1 }>(core, &bytes, most.min(SHORT))?;
        if usize::from(short.len) < SHORT || most <= SHORT {
            return Some(short);
        }
        translate_words::<W, { MAX + 1 }>(core, &bytes, most)
    }

    fn lower(core: &Core<W>, block: &Block, to: &mut Vec<Op<W>>) {
        exec::lower(block, mode(core), to);
    }

    #[inline(always)]
    fn run(core: &mut Core<W>, ops: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
        exec::run(core, ops, cx)
    }

    #[inline(always)]
    fn one(core: &mut Core<W>, op: &Op<W>, cx: &mut Cx<'_>) -> Exit {
        exec::one(core, op, cx)
    }

    fn missed(core: &mut Core<W>, what: u32, with: u64, cx: &mut Cx<'_>) -> Exit {
        match Missed::from_bits(what) {
            Some(missed) => exec::missed(core, missed, W::cut(with), cx),
            None => Exit::Event,
        }
    }

    fn find_code(core: &mut Core<W>, cx: &Cx<'_>) -> bool {
        core.find_code(cx)
    }

    fn sample(core: &mut Core<W>, cx: &mut Cx<'_>) {
        core.sample(cx);
        let inside = core.cp0.status & status::EXL != 0;
        if core.notices.has_left() || !inside {
            core.notices.left_exception_level(cx.now());
        }
        if inside {
            core.tell_endless(cx);
        }
        core.tell_returning(cx);
    }

    fn poll(core: &mut Core<W>, _: &mut Cx<'_>) -> Option<Stop> {
        if core.nmi {
            core.nmi = false;
            core.waiting = false;
            core.enter_nmi();
        }
        if core.waiting {
            if !core.pending() {
                return Some(Stop::Wait);
            }
            core.waiting = false;
        }
        if core.interrupted() {
            core.enter(Exception::Interrupt, core.pc, false);
        }
        None
    }

    fn settle(core: &mut Core<W>) {
        core.settle_fcsr();
    }

    fn forget_pages(core: &mut Core<W>) {
        core.forget_all();
    }

    fn check_op(core: &Core<W>, op: &Op<W>, code: &dyn Fn(u32) -> Option<u32>) {
        let at = u32::from(op.at());
        let pc = core.pc.offset(at * 4);
        assert!(
            core.vcpu.budget >= 0 && at < core.vcpu.len,
            "{op:?} at {pc:#x}"
        );
        // The page may not be mapped any more, and what stands for a branch is no instruction.
        let Some(word) = code(at * 4).map(|raw| in_order(core, raw)) else {
            return;
        };
        let inst = match decode::decode(word, core.set()) {
            _ if op.slot() => slot(word, core.set()),
            Decoded::Plain(inst) => inst,
            _ => return,
        };
        let step = Step {
            inst,
            at: op.at(),
            slot: op.slot(),
        };
        assert!(
            op.same(&exec::op(&step, mode(core))),
            "{op:?} at {pc:#x}, where {inst:?} is"
        );
    }

    fn check_missed(core: &Core<W>, what: u32, code: &dyn Fn(u32) -> Option<u32>) {
        let Some(missed) = Missed::from_bits(what) else {
            return;
        };
        let (at, len) = missed.place();
        let pc = core.pc.offset(u32::from(at) * 4);
        assert!(core.vcpu.budget >= 0 && at < len, "{missed:?} at {pc:#x}");
        // The page may not be mapped any more.
        let Some(word) = code(u32::from(at) * 4).map(|raw| in_order(core, raw)) else {
            return;
        };
        let step = |slot| match decode::decode(word, core.set()) {
            Decoded::Plain(inst) => Missed::new(&Step { inst, at, slot }, len),
            _ => None,
        };
        assert!(
            [step(false), step(true)].contains(&Some(missed)),
            "{missed:?} at {pc:#x}, where {word:#x} is"
        );
    }
}
