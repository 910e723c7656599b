//! What generated code is asked for and what it gives, whether there is a generator for the host ([`crate::jit`]) or not.

use crate::block::To;
use crate::ir::Block;

/// How generated code was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// To the address in [`Core::pc`](crate::core::Core::pc), where there is none.
    Unknown,
    /// Something has happened that must be looked at first.
    Event,
    /// The block at [`Core::pc`](crate::core::Core::pc) has more instructions than may be executed.
    Budget,
    /// The FPU is not as the block at [`Core::pc`](crate::core::Core::pc) needs it: it is to be interpreted.
    Interpret,
}

/// Where blocks are, for what they link to.
pub struct Place<'a> {
    /// The block that is emitted.
    pub here: To,
    /// The address of its page, if that is in kseg0 and its links may lead to any address there.
    pub kseg0: Option<u32>,
    /// What is at an address of kseg0.
    pub find: &'a mut dyn FnMut(u32) -> Option<To>,
}

/// A jump from a block to another: the place of its displacement, from the start of the block or of the cache.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub site: usize,
    pub to: To,
}

/// Generated code of one block or several.
#[derive(Debug)]
pub struct Emitted {
    /// Where the blocks are entered, from the start of the cache.
    pub entries: Vec<u32>,
    /// Jumps that lead out of generated code so far.
    pub links: Vec<Link>,
}

/// A block to generate code of: its first instruction, in words from the start of the page; how deep in loops it is.
#[derive(Debug)]
pub struct Member {
    pub word: u16,
    pub block: Block,
    pub depth: u32,
}
