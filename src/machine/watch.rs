//! What of a machine's memory is written.

use std::collections::BTreeSet;

use solderless_model::memory::Dirty;
use solderless_model::{NEWEST, Section, StateError};

use super::Machine;

/// One who wants to know which pages of a machine's memory are written, by whomever: its CPU, its devices, its loader. Any number
/// can be there, each with its own answers. Stores to pages that were written and not asked about since cost nothing.
///
/// It is of the memory that the machine has now: one that is [replaced](Machine::replace) is another.
#[derive(Debug)]
pub struct Watch(Vec<Watched>);

/// A block of memory that is state.
#[derive(Debug)]
pub struct Watched {
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
        Ok(Watch::of(&self.save(NEWEST)?))
    }
}

impl Watch {
    /// Watches the memory of a machine's sections.
    pub fn of(sections: &[Section]) -> Self {
        let blocks = sections.iter().flat_map(|section| {
            let blocks = section.memory.iter().enumerate();
            blocks.map(move |(number, ram)| Watched {
                place: (section.path.clone(), number),
                dirty: ram.dirty(),
            })
        });
        Self(blocks.collect())
    }

    /// The blocks, in the order of the sections.
    pub fn blocks(&self) -> &[Watched] {
        &self.0
    }

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

impl Watched {
    /// The pages of it that were written since this was asked last.
    pub fn written(&self) -> BTreeSet<u32> {
        self.dirty.written()
    }
}
