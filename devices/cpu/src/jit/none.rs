//! No generated code: a host that there is no emitter for. Nothing here is ever made.

use solderless_model::Cx;

use crate::block::To;
use crate::core::Core;
use crate::exec::Mode;
use crate::ir::Block;

/// Whether code can be generated.
pub const AVAILABLE: bool = false;

/// How generated code was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Unknown,
    Event,
    Budget,
    Interpret,
}

/// Where a block is, for what it links to.
pub struct Place<'a> {
    pub here: To,
    pub kseg0: Option<u32>,
    pub find: &'a mut dyn FnMut(u32) -> Option<To>,
}

/// A jump from a block to another.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub site: usize,
    pub to: To,
}

/// A block of generated code.
#[derive(Debug)]
pub struct Emitted {
    pub entries: Vec<u32>,
    pub links: Vec<Link>,
}

/// A block to generate code of.
#[derive(Debug)]
pub struct Member {
    pub word: u16,
    pub block: Block,
    pub depth: u32,
}

/// All generated code: there is none.
#[derive(Debug)]
pub enum Native {}

impl Native {
    pub fn new() -> Option<Self> {
        None
    }
    pub fn unknown(&self, _: u16) -> usize {
        match *self {}
    }
    pub fn address(&self, _: u32) -> usize {
        match *self {}
    }
    pub fn bytes(&self) -> usize {
        match *self {}
    }
    pub fn full(&self) -> bool {
        match *self {}
    }
    pub fn clear(&mut self) {
        match *self {}
    }
    pub fn redirect(&mut self, _: u32, _: To, _: Option<u32>) {
        match *self {}
    }
    pub fn replace(&mut self, _: u32, _: u32) {
        match *self {}
    }
    pub fn emit(&mut self, _: &[Member], _: Mode, _: bool, _: Place<'_>) -> Option<Emitted> {
        match *self {}
    }
    pub fn enter(&self, _: u32, _: &mut Core, _: &mut Cx<'_>) -> Left {
        match *self {}
    }
}
