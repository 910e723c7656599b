//! How a CPU executes instructions, and what that has cost.

/// How a CPU executes instructions. What the guest sees does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// One after the other, by functions of the program.
    #[default]
    Interp,
    /// What is executed often, by code that is generated for the host.
    Jit {
        /// How often a piece of code is executed by the interpreter before; at least once.
        after: u32,
    },
}

impl Engine {
    /// Generated code for what has proven to be worth it.
    pub const JIT: Self = Self::Jit { after: 64 };
}

/// A way in which an engine executes what it has decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tier {
    /// Blocks that would be executed in this way now.
    pub blocks: u64,
    /// Instructions that were.
    pub instructions: u64,
}

/// What a CPU's engine has done since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineInfo {
    /// The engine in use.
    pub engine: Engine,
    /// What is interpreted.
    pub interpreter: Tier,
    /// What is executed as generated code.
    pub native: Tier,
    /// Times that the block at an address was looked up, from outside of generated code, and known.
    pub hits: u64,
    /// Times that it was not, so that it was decoded.
    pub misses: u64,
    /// Blocks that code was generated for.
    pub generated: u64,
    /// Guest instructions in them.
    pub generated_instructions: u64,
    /// Loops that code was generated for once more, as a whole.
    pub loops: u64,
    /// Bytes of generated code now.
    pub code_bytes: u64,
    /// Time that generating took, in ns.
    pub generating_ns: u64,
    /// Times that generated code was entered from the interpreter.
    pub entries: u64,
    /// Pages of code that were found changed.
    pub invalidated: u64,
    /// Times that all decoded and generated code was thrown away.
    pub flushes: u64,
}

/// An exception or interrupt that a CPU has taken, as a trace has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Instructions that the CPU had executed before the block in which it came.
    pub instructions: u64,
    /// Where execution can go on.
    pub pc: u64,
    /// What it is, as the manuals call it.
    pub cause: &'static str,
    /// The address that it is about, if it is about one.
    pub address: Option<u64>,
    /// Where its handler begins.
    pub handler: u64,
}
