//! What the tests of CPUs know of each architecture: one row of one table, which they go through.

mod mips;
mod riscv;
mod x86;

use std::collections::BTreeSet;

use solderless::compose::{self, Loaded, Options};
use solderless::machine::{Fittings, Machine};
use solderless::registry;
use solderless_testing::TARGETS;

pub use mips::unmapped;
pub use riscv::Program as RiscvProgram;

/// Makes the program of a seed.
pub type Random = Box<dyn Fn(u64) -> Guest>;

/// Bytes by their distance from some place, as far as they are known.
pub type Bytes<'a> = dyn FnMut(u64) -> Option<u8> + 'a;

/// An architecture.
pub struct Architecture {
    /// Its name in the registry.
    pub name: &'static str,
    /// What makes random programs; `None` where the test is to be skipped, for want of a compiler.
    pub random: fn() -> Option<Random>,
    /// How many of them a run of the tests has, where nobody says another number.
    pub programs: u64,
    /// The instruction that the bytes from some place on are, in words, and how many bytes it has; of a CPU that is big-endian
    /// or not.
    pub listed: fn(&mut Bytes<'_>, bool) -> (String, u64),
}

/// All of them.
pub static ARCHITECTURES: &[Architecture] = &[mips::MIPS, riscv::RISCV, x86::X86];

/// The architecture with this name.
pub fn named(name: &str) -> &'static Architecture {
    let found = ARCHITECTURES.iter().find(|a| a.name == name);
    found.unwrap_or_else(|| panic!("there is no row for {name}"))
}

/// A program, and a machine with no more in it than the program can tell.
pub struct Guest {
    /// The board, of a text of its own.
    pub board: Loaded,
    /// What is special about the CPU, for messages.
    pub about: String,
    /// Physical addresses, and what is there at first.
    pub memory: Vec<(u64, Vec<u8>)>,
    /// What is in registers at first, by their names.
    pub registers: Vec<(&'static str, u64)>,
    /// Where it starts.
    pub pc: u64,
    /// Instructions before anything random is executed, almost all of them; more than the program executes; and more than
    /// whatever comes after it.
    pub instructions: [u64; 3],
    /// Where an address is in physical memory, as far as that is known.
    pub physical: fn(u64) -> Option<u64>,
}

impl Guest {
    /// The board of a text.
    fn board(text: &str) -> Loaded {
        let loaded = compose::open_text("bare", text, &Options::default());
        loaded.unwrap_or_else(|e| panic!("{}", e.render(false)))
    }

    /// Its machine, ready to start.
    pub fn machine(&self) -> Machine {
        let built = Machine::new(&self.board.plan, Fittings::default());
        let mut machine = built.expect("a machine");
        for (at, bytes) in &self.memory {
            machine.load(*at, bytes).expect("there is memory");
        }
        let cpu = machine.cpu().expect("a CPU");
        for (name, value) in &self.registers {
            let place = cpu.named(name);
            let place = place.unwrap_or_else(|| panic!("there is no register {name}"));
            assert!(cpu.set_register(place, (*value).into()), "{name}");
        }
        cpu.set_pc(self.pc);
        machine
    }

    /// Whether its CPU is big-endian.
    pub fn big_endian(&self) -> bool {
        let mut cpus = self
            .board
            .plan
            .devices
            .iter()
            .filter_map(|d| d.interface.cpu);
        cpus.next().expect("a CPU").big_endian
    }
}

#[test]
fn every_architecture_is_tested() {
    let registered = registry::ARCHITECTURES.iter().map(|a| a.name());
    let registered: BTreeSet<_> = registered.collect();
    let rows: BTreeSet<_> = ARCHITECTURES.iter().map(|a| a.name).collect();
    assert_eq!(rows, registered, "random programs");
    let targets: BTreeSet<_> = TARGETS.iter().map(|t| t.architecture).collect();
    assert_eq!(targets, registered, "tools");
}
