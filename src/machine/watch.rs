//! What of a machine's memory is written.

use std::collections::BTreeSet;

use solderless_model::memory::Dirty;
use solderless_model::{NEWEST, StateError};

use super::Machine;

/// One who wants to know which pages of a machine's memory are written, by whomever: its CPU, its devices, its loader. Any number
/// can be there, each with its own answers. Stores to pages that were written and not asked about since cost nothing.
///
/// It is of the memory that the machine has now: one that is [replaced](Machine::replace) is another.
#[derive(Debug)]
pub struct Watch(Vec<Block>);

/// A block of memory that is state.
#[derive(Debug)]
struct Block {
    /// Whose it is, and which of its blocks.
    place: (String, usize),
    dirty: Dirty,
}

impl Machine {
    /// Watches all memory that is state: what a stream of the machine has as its memory.
    ///
    /// # Errors
    /// As for [`Machine::save`].
    pub fn watch(&self) -> Result<Watch, StateError> {
        let sections = self.save(NEWEST)?;
        let blocks = sections.into_iter().flat_map(|section| {
            let path = section.path;
            let blocks = section.memory.into_iter().enumerate();
            blocks.map(move |(number, ram)| Block {
                place: (path.clone(), number),
                dirty: ram.dirty(),
            })
        });
        Ok(Watch(blocks.collect()))
    }
}

impl Watch {
    /// The pages that were written since this was asked last, by their section, which of its blocks, and their numbers.
    pub fn written(&self) -> Vec<(&str, usize, BTreeSet<u32>)> {
        let blocks = self.0.iter().map(|block| {
            let (path, number) = &block.place;
            (path.as_str(), *number, block.dirty.written())
        });
        blocks
            .filter(|block: &(_, _, BTreeSet<_>)| !block.2.is_empty())
            .collect()
    }
}
