//! What an instruction set says of itself.

use std::fmt::Debug;

use solderless_model::memory::Ram;
use solderless_model::{Cx, Stop};

use crate::emit::Emitter;
use crate::frame::Frame;
use crate::host::{Assembler, If, Reg};
use crate::vcpu::Vcpu;

/// How execution left a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// By its branch, which was taken.
    Taken,
    /// At its end.
    Fall,
    /// To the CPU's address.
    Goto,
    /// To the CPU's address, and something has happened that must be looked at first.
    Event,
    /// The same, to wait for an interrupt.
    Wait,
    /// Not at all: it goes on with the next instruction, which is for the caller to execute.
    Next,
}

/// A decoded piece of straight code.
pub trait Straight: Debug {
    /// Instructions.
    fn instructions(&self) -> u8;
    /// Bytes: what follows it is so far from its start.
    fn bytes(&self) -> u32;
    /// How far it is from its start to where its branch leads, if that is known.
    fn taken(&self) -> Option<u32>;
    /// How far it is to what may follow it, as far as that is known.
    fn followers(&self) -> Vec<u32>;
    /// Whether it goes where a register says, and that is neither a call nor a return: there is most often a table of what
    /// it may lead to.
    fn is_computed(&self) -> bool;
}

/// The code to decode: the rest of a page of memory, or some bytes, and what comes behind.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a> {
    /// A memory, where in it, and how many bytes.
    pub(crate) page: Option<(&'a Ram, u64, usize)>,
    /// The bytes behind these.
    pub(crate) rest: &'a [u8],
}

impl Bytes<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.page.map_or(0, |p| p.2) + self.rest.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies them from a place on, as many as there are and fit; says how many that is.
    pub fn copy(&self, at: usize, to: &mut [u8]) -> usize {
        let (page, len) = match self.page {
            Some((ram, offset, len)) => {
                let (page, _) = to.split_at_mut(len.saturating_sub(at).min(to.len()));
                match ram.read(offset + at as u64, page) {
                    Ok(()) => (page.len(), len),
                    Err(_) => return 0,
                }
            }
            None => (0, 0),
        };
        let rest = self.rest.get((at + page).saturating_sub(len)..);
        let rest = rest.into_iter().flatten();
        let to = to.iter_mut().skip(page).zip(rest);
        page + to.map(|(to, byte)| *to = *byte).count()
    }

    /// Two of them, the first being the lowest byte; `None` behind the end, as for the others.
    pub fn u16(&self, at: usize) -> Option<u16> {
        match self.page {
            Some((ram, offset, len)) if at + 2 <= len => ram.read_u16(offset + at as u64).ok(),
            _ => self.array(at).map(u16::from_le_bytes),
        }
    }

    /// Four of them.
    pub fn u32(&self, at: usize) -> Option<u32> {
        match self.page {
            Some((ram, offset, len)) if at + 4 <= len => ram.read_u32(offset + at as u64).ok(),
            _ => self.array(at).map(u32::from_le_bytes),
        }
    }

    /// One of them.
    pub fn u8(&self, at: usize) -> Option<u8> {
        match self.page {
            Some((ram, offset, len)) if at < len => ram.read_u8(offset + at as u64).ok(),
            Some((_, _, len)) => self.rest.get(at - len).copied(),
            None => self.rest.get(at).copied(),
        }
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        (self.copy(at, &mut bytes) == N).then_some(bytes)
    }
}

/// An instruction set, and a CPU that executes it. The engine is generic over it.
pub trait Isa: Sized + 'static {
    /// A CPU: its registers, and among its fields a [`Vcpu`].
    type Core: Debug;
    /// Decoded code.
    type Block: Straight;
    /// What the interpreter executes.
    type Op: Copy + Debug;
    /// Why an instruction cannot be fetched.
    type Fault: Copy + Debug;

    /// Instructions start at multiples of two to the power of this.
    const UNIT_BITS: u8;
    /// Bytes that the first instruction of a block has at most, with what cannot be torn from it.
    const LONGEST: usize;
    /// Instructions in a block at most.
    const MOST: usize;

    fn vcpu(core: &Self::Core) -> &Vcpu;
    fn vcpu_mut(core: &mut Self::Core) -> &mut Vcpu;
    /// The address of the next instruction; while a block runs, of its first one.
    fn pc(core: &Self::Core) -> u64;
    /// A number, below 128, of all that decoded and generated code depends on besides its bytes.
    fn mode(core: &Self::Core) -> u8;
    /// What an address of code is looked up with, besides its page: see [`Vcpu::set_code_key`]. `None` if the page is to be
    /// translated each time.
    fn code_key(core: &Self::Core, va: u64) -> Option<u64>;
    /// The physical address, if the virtual one says which that is, whatever the state of the CPU as long as its mode is the
    /// same.
    fn direct(core: &Self::Core, va: u64) -> Option<u64>;
    /// Whether something translates an address, which may be the identity.
    fn translated(core: &Self::Core, va: u64) -> bool;
    /// The physical address of code.
    ///
    /// # Errors
    /// It cannot be fetched.
    fn translate(core: &mut Self::Core, cx: &Cx<'_>, va: u64) -> Result<u64, Self::Fault>;
    /// Fetches an instruction, or a piece of one, where there is no memory.
    ///
    /// # Errors
    /// Nothing answers.
    fn fetch(
        core: &mut Self::Core,
        cx: &mut Cx<'_>,
        pa: u64,
        to: &mut Vec<u8>,
    ) -> Result<(), Self::Fault>;
    /// Takes the exception of the fetch at an address; `second` says that it belongs to the instruction before it. It costs as
    /// much as an instruction.
    fn fetch_fault(
        core: &mut Self::Core,
        cx: &mut Cx<'_>,
        fault: Self::Fault,
        va: u64,
        second: bool,
    );
    /// Decodes straight code, up to `most` instructions: one more if the last needs it. `None` if the bytes do not suffice for the first
    /// instruction.
    fn decode(core: &Self::Core, bytes: Bytes<'_>, most: usize) -> Option<Self::Block>;
    /// Adds what the interpreter executes for a block.
    fn lower(core: &Self::Core, block: &Self::Block, to: &mut Vec<Self::Op>);
    /// Executes a block, the instructions of which were subtracted from the budget. Those that are not reached are given back.
    fn run(core: &mut Self::Core, ops: &[Self::Op], cx: &mut Cx<'_>) -> Exit;
    /// Executes one instruction of a block.
    fn one(core: &mut Self::Core, op: &Self::Op, cx: &mut Cx<'_>) -> Exit;
    /// Does what generated code could not do at once: a number with its highest bit set that a template gave to
    /// [`Emitter::way`], and the value that was computed before it.
    fn missed(core: &mut Self::Core, what: u32, with: u64, cx: &mut Cx<'_>) -> Exit;
    /// Finds the page of the code at the CPU's address again, for generated code, or takes the exception of its fetch. False if
    /// that is not so quickly done.
    fn find_code(core: &mut Self::Core, cx: &Cx<'_>) -> bool;

    /// Looks at the inputs, between two runs of blocks.
    fn sample(core: &mut Self::Core, cx: &mut Cx<'_>);
    /// Takes what is due at an instruction's boundary, such as an interrupt; a reason to stop if there is one.
    fn poll(core: &mut Self::Core, cx: &mut Cx<'_>) -> Option<Stop>;
    /// The run is over: what was put off is done.
    fn settle(_core: &mut Self::Core) {}
    /// Forgets what is known of virtual pages, by [`Vcpu::forget_pages`] and beyond.
    fn forget_pages(core: &mut Self::Core) {
        Self::vcpu_mut(core).forget_pages();
    }

    /// Panics if an op that generated code leaves to the interpreter is not the instruction in memory at its address, as far
    /// as that can be told. `code` gives the bytes at an offset from the CPU's address. For builds with debug assertions.
    fn check_op(_core: &Self::Core, _op: &Self::Op, _code: &dyn Fn(u32) -> Option<u32>) {}
    /// The same for [`Isa::missed`].
    fn check_missed(_core: &Self::Core, _what: u32, _code: &dyn Fn(u32) -> Option<u32>) {}
}

/// Templates: host code for the frequent instructions of a guest, written against a host's [`Assembler`].
///
/// # Safety
/// What is emitted keeps to the contract of the code cache: it uses the guest's core within the fields that it knows, guest
/// memory by way of [`Assembler::reach`] only, and leaves by the ways that the [`Emitter`] offers.
#[allow(unsafe_code, reason = "see above")]
pub unsafe trait Templates<A: Assembler>: Isa {
    /// Where generated code finds what it works on.
    const FRAME: Frame;
    /// What is known while a block is emitted.
    type Known;

    /// Nothing is known yet, of a block at the CPU's address.
    fn known(core: &Self::Core) -> Self::Known;
    /// Emits a block up to its end, budget included ([`Emitter::take`]).
    fn body(e: &mut Emitter<'_, Self, A>, block: &Self::Block);
    /// Emits the end of a block.
    fn end(e: &mut Emitter<'_, Self, A>, block: &Self::Block);
    /// Forgets what is known: another block is emitted.
    fn begin(e: &mut Emitter<'_, Self, A>, block: &Self::Block);
    /// What is known at the start of a block that leads to itself, from its second execution on, if its first has taught something.
    /// Then it is emitted once more for all executions but the first.
    fn again(_e: &Emitter<'_, Self, A>, _block: &Self::Block) -> Option<Self::Known> {
        None
    }
    /// Tests the condition of the block's branch; gives the one that says whether it is taken.
    fn condition(e: &mut Emitter<'_, Self, A>, block: &Self::Block) -> If;
    /// Makes the sum in a register an address, where addresses are shorter than registers.
    fn wrap(_e: &mut Emitter<'_, Self, A>, _sum: Reg) {}
    /// A register that [`Templates::condition`] has given its value as if the branch is taken, and the value it has if it is not.
    fn told(_e: &Emitter<'_, Self, A>, _block: &Self::Block) -> Option<(u8, i32)> {
        None
    }
}
