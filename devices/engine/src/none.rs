//! No generated code: a host that there is no assembler for. Nothing here is ever made.

use std::marker::PhantomData;

use solderless_model::Cx;

use crate::generate::{Emitted, Left, Member, Place, To};
use crate::isa::Isa;

/// Whether code can be generated.
pub const AVAILABLE: bool = false;

/// All generated code: there is none.
#[derive(Debug)]
pub struct Native<I>(Never, PhantomData<I>);

#[derive(Debug, Clone, Copy)]
enum Never {}

impl<I: Isa> Native<I> {
    pub fn new() -> Option<Self> {
        None
    }
    pub fn unknown(&self, _: u16) -> usize {
        match self.0 {}
    }
    pub fn address(&self, _: u32) -> usize {
        match self.0 {}
    }
    pub fn bytes(&self) -> usize {
        match self.0 {}
    }
    pub fn full(&self) -> bool {
        match self.0 {}
    }
    pub fn clear(&mut self) {
        match self.0 {}
    }
    pub fn redirect(&mut self, _: u32, _: To, _: Option<u32>) {
        match self.0 {}
    }
    pub fn replace(&mut self, _: u32, _: u32) {
        match self.0 {}
    }
    pub fn emit(&mut self, _: &I::Core, _: &[Member<I::Block>], _: Place<'_>) -> Option<Emitted> {
        match self.0 {}
    }
    pub fn enter(&self, _: u32, _: &mut I::Core, _: &mut Cx<'_>) -> Left {
        match self.0 {}
    }
}
