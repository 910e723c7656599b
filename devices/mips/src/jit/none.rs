//! No generated code: a host that there is no emitter for. Nothing here is ever made.

use solderless_model::Cx;

use crate::block::To;
use crate::core::Core;
use crate::exec::Mode;
use crate::generate::{Emitted, Left, Member, Place};

/// Whether code can be generated.
pub const AVAILABLE: bool = false;

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
