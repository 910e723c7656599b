//! What generated code is asked for and what it gives, whether there is a generator for the host or not.

use solderless_model::memory::PAGE;

/// A page of memory: the number of the memory in `Vcpu::memory`, and of the page in it.
pub type Home = (u32, u32);

/// A place for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct To {
    /// The page.
    pub home: Home,
    /// What it is for: which of the page's tables of blocks has it.
    pub kind: u8,
    /// Its first instruction, in units from the start of the page.
    pub unit: u16,
}

impl To {
    /// The place at an offset in bytes, if it is on the same page.
    pub fn beside(self, offset: u32, unit_bits: u8) -> Option<Self> {
        let at = (u32::from(self.unit) << unit_bits).wrapping_add(offset);
        (at < PAGE as u32).then_some(Self {
            unit: (at >> unit_bits) as u16,
            ..self
        })
    }
}

/// How generated code was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// To the CPU's address, where there is none.
    Unknown,
    /// Something has happened that must be looked at first.
    Event,
    /// The block at the CPU's address has more instructions than may be executed.
    Budget,
    /// The CPU is not as the block at its address needs it: it is to be interpreted.
    Interpret,
}

/// Where blocks are, for what they link to.
pub struct Place<'a> {
    /// The block that is emitted.
    pub here: To,
    /// The address of its page, if that says what the physical one is, and its links may lead to any such address.
    pub direct: Option<u64>,
    /// What is at such an address.
    pub find: &'a mut dyn FnMut(u64) -> Option<To>,
}

/// Where the code is that all blocks share, from the start of the cache.
#[derive(Debug, Clone, Copy)]
pub struct Ways {
    /// What calls the interpreter.
    pub slow: u32,
    /// What goes on behind such a call that does not return to its block.
    pub after: u32,
    /// Where code goes whose page is not known.
    pub fetch: u32,
    /// Where code goes that the budget does not suffice for, and where blocks go that are to be interpreted.
    pub budget: u32,
    pub interpret: u32,
    /// The ways to the units of a page that have no code: that to the first, and how far it is from one to the next.
    pub unknown: (u32, u32),
}

impl Ways {
    /// The way to a unit that has no code.
    pub fn unknown(&self, unit: u16) -> u32 {
        self.unknown.0 + u32::from(unit) * self.unknown.1
    }
}

/// A jump from a block to another: the place of its displacement, from the start of the code or of the cache.
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

/// A block to generate code of: its first instruction, in units from the start of the page; how deep in loops it is.
#[derive(Debug)]
pub struct Member<B> {
    pub unit: u16,
    pub block: B,
    pub depth: u32,
}
