//! A MIPS32 Release 2 CPU: the cores 4KEc, 24Kc, 24Kf, 34Kf (one thread) and 74Kf.
//!
//! MIPS32 Architecture (MD00083, MD00086, MD00090) and the cores' software user's manuals. The configuration registers
//! advertise what is there and nothing else: [`CpuModel`](crate::CpuModel) says of each core what is left out.
//!
//! Every instruction takes one cycle of `clock`, which is what guest time is made of, unless the machine wants more of them in a
//! cycle. Runs are exact: however a run is
//! cut into slices, by deadlines or by single steps, the same things happen at the same instructions.

use solderless_model::{
    BuildError, BusKind, Cx, Device, Engine, EngineInfo, Interface, Model, Pin, Processor,
    PropError, State, StateError, Stop, Tier, TimerId, Wires,
};

use crate::block::{Blocks, Found, once};
use crate::core::Core;
use crate::cp0::{COUNTER, status};
use crate::exception::Exception;
use crate::exec::{self, Exit};
use crate::fpu::Fcsr;
use crate::generate::Left;
use crate::model::{Identity, Props};
use crate::translate::MAX;
use crate::victims::Victims;

/// Inputs "ip": pin n is Cause.IPn. 0 and 1 are software's, and their pins do nothing.
const IP: u16 = 8;
/// Input "nmi": a rising edge is a non-maskable interrupt.
const NMI: u64 = 1 << IP;

/// Instructions in a slice at most.
const SLICE: u64 = 1 << 30;

/// The CPU.
#[derive(Debug, State)]
pub struct Mips32Cpu {
    core: Box<Core>,
    #[state(skip = "derived from memory")]
    blocks: Blocks,
    #[state(skip = "derived: the machine's memory map that the derived fields were made from")]
    generation: Option<u64>,
}

/// The general registers, as the assembler names them.
const GENERAL: [&str; 32] = [
    "zero", "at", "v0", "v1", "a0", "a1", "a2", "a3", "t0", "t1", "t2", "t3", "t4", "t5", "t6",
    "t7", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "t8", "t9", "k0", "k1", "gp", "sp", "s8",
    "ra",
];
/// The others that a person looks at, with their gdb numbers.
const SPECIAL: [(&str, usize); 6] = [
    ("pc", 37),
    ("hi", 34),
    ("lo", 33),
    ("status", 32),
    ("cause", 36),
    ("badvaddr", 35),
];
const FPU_REGISTERS: [(&str, usize); 2] = [("fcsr", 70), ("fir", 71)];

impl Model for Mips32Cpu {
    const TYPE: &'static str = "mips32-cpu";
    const SUMMARY: &'static str = "MIPS32 Release 2 CPU: 4KEc, 24Kc, 24Kf, 34Kf, 74Kf";
    type Props = Props;

    fn interface(props: &Props) -> Result<Interface, PropError> {
        Identity::new(props)?;
        Ok(Interface::on(BusKind::System)
            .initiator()
            .inputs("ip", IP)
            .optional_inputs("nmi", 1)
            .part::<Victims>(&[("victim-tlb", false)], props.victim_tlb))
    }

    fn build(props: Props, wires: Wires<'_>) -> Result<Self, BuildError> {
        let identity = Identity::new(&props).map_err(|e| BuildError(e.to_string()))?;
        Ok(Self {
            core: Core::new(identity, wires.fit(Victims::new)).into(),
            blocks: Blocks::new(),
            generation: None,
        })
    }
}

impl Device for Mips32Cpu {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        let instructions = self.core.instructions;
        self.blocks.clear(&mut self.core);
        let mut victims = self.core.victims.clone();
        if let Some(victims) = victims.get_mut() {
            *victims = Victims::new();
        }
        let notices = std::mem::take(&mut self.core.notices);
        *self.core = Core::new(self.core.identity, victims);
        self.core.instructions = instructions;
        self.core.notices = notices;
        self.core.notices.begin(cx.now());
        self.core.sample(cx);
        // Compare is zero, and is not to match at once.
        self.core.set_count(cx.now(), 1);
        self.core.arm_counter(cx);
    }

    fn line(&mut self, cx: &mut Cx<'_>, _: Pin, _: bool) {
        self.core.sample(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        if id == COUNTER {
            self.core.counter_matches(cx);
        }
    }

    fn processor(&mut self) -> Option<&mut dyn Processor> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.blocks.clear(&mut self.core);
        self.generation = None;
        self.core.tlb.restored();
        self.core.mode_changed();
        self.core.pins = cx.levels() as u32 & 0xff;
        self.core.notices.left_exception_level(cx.now());
        if self.core.match_at != u64::MAX {
            cx.arm(COUNTER, self.core.match_at);
        }
        Ok(())
    }
}

impl Core {
    /// Looks at the inputs.
    fn sample(&mut self, cx: &Cx<'_>) {
        let levels = cx.levels();
        self.pins = levels as u32 & 0xff;
        let nmi = levels & NMI != 0;
        self.nmi |= nmi && !self.nmi_level;
        self.nmi_level = nmi;
    }
}

impl Mips32Cpu {
    /// A register of coprocessor 0 as MFC0 reads it, but without its effects; `now` is the guest time in ns.
    pub fn cp0(&self, register: u32, select: u32, now: u64) -> u32 {
        self.core.cp0((register & 31) << 3 | select & 7, now)
    }

    /// Looks at what may have happened outside since it did last: time, changed code, the memory map, inputs. Takes an
    /// interrupt. Gives the reason to stop if there is one, else grants instructions until there will be.
    fn attend(&mut self, cx: &mut Cx<'_>, end: u64) -> Option<Stop> {
        let core = &mut self.core;
        core.advance(core.granted - core.budget, core.pc, cx);
        core.granted = 0;
        core.budget = 0;
        let mut stores = std::mem::take(&mut core.code_stores);
        for (ram, offset) in stores.drain(..) {
            self.blocks.stored(core, ram, offset);
        }
        core.code_stores = stores;
        for ram in 0..core.rams.len() {
            if core.rams[ram].any_stale() {
                for page in core.rams[ram].take_stale() {
                    self.blocks.invalidate(core, (ram as u32, page));
                }
            }
        }
        let generation = cx.map_generation();
        if self.generation != Some(generation) || self.blocks.full() {
            self.generation = Some(generation);
            self.blocks.clear(core);
        }
        core.sample(cx);
        if core.instructions >= end {
            return Some(Stop::Limit);
        }
        let (now, deadline) = (cx.now(), cx.deadline());
        if core.cp0.status & status::EXL == 0 {
            core.notices.left_exception_level(now);
        } else {
            core.tell_endless(cx);
        }
        if now >= deadline {
            return Some(Stop::Deadline);
        }
        if core.nmi {
            core.nmi = false;
            core.waiting = false;
            core.enter_nmi();
        }
        if core.waiting {
            if !core.pending() {
                return Some(Stop::Wait);
            }
            core.waiting = false;
        }
        if core.interrupted() {
            core.enter(Exception::Interrupt, core.pc, false);
        }
        let cycles = (deadline - now)
            .min(1_000_000_000)
            .saturating_mul(core.rate)
            .saturating_sub(core.carry)
            .div_ceil(1_000_000_000);
        core.granted = cycles.min(end - core.instructions).clamp(1, SLICE) as i64;
        core.budget = core.granted;
        None
    }

    /// Executes blocks until the budget is used up, or something has happened.
    fn execute(&mut self, cx: &mut Cx<'_>) {
        let Self { core, blocks, .. } = self;
        // The block that was left, and by which way, as long as that can become a link.
        let mut from = None;
        while core.budget > 0 {
            let mut id = match blocks.find(core, cx) {
                Found::Block(id) => id,
                Found::Once(code) => return only(core, cx, &code.ops, code.len),
                Found::Raised => {
                    from = None;
                    continue;
                }
            };
            if let Some((from, way)) = from.take() {
                blocks.link(from, way, id);
            }
            while let Some(code) = blocks.list.get(id as usize) {
                let native = code.native;
                if native != 0 {
                    match blocks.enter(core, cx, native) {
                        Left::Event => return,
                        Left::Budget => {
                            blocks.sample(core, cx);
                            return rest(core, cx);
                        }
                        Left::Unknown => {}
                        Left::Interpret => {
                            if !interpret(core, blocks, cx) {
                                return;
                            }
                        }
                    }
                    break;
                }
                if blocks.warmed(core, cx, id) {
                    continue;
                }
                let Some(code) = blocks.list.get(id as usize) else {
                    break;
                };
                core.budget -= i64::from(code.len);
                if core.budget < 0 {
                    core.budget += i64::from(code.len);
                    return rest(core, cx);
                }
                core.len = code.len;
                let way = exec::run(core, &code.ops, cx) as usize;
                if way > Exit::Goto as usize {
                    return;
                }
                match code.links.get(way) {
                    Some(link) if blocks.list.get(*link as usize).is_some() => id = *link,
                    _ => {
                        from = Some((id, way));
                        break;
                    }
                }
            }
        }
    }
}

/// Executes what is left of the budget, which is less than a block.
fn rest(core: &mut Core, cx: &mut Cx<'_>) {
    if core.budget > 0
        && let Found::Once(code) = once(core, cx, (core.budget as usize).min(MAX))
    {
        only(core, cx, &code.ops, code.len);
    }
}

/// Interprets the block at the CPU's address, which has generated code; says whether others may follow.
fn interpret(core: &mut Core, blocks: &mut Blocks, cx: &mut Cx<'_>) -> bool {
    let Found::Block(id) = blocks.find(core, cx) else {
        return false;
    };
    let Some(code) = blocks.list.get(id as usize) else {
        return false;
    };
    core.budget -= i64::from(code.len);
    if core.budget < 0 {
        core.budget += i64::from(code.len);
        rest(core, cx);
        return false;
    }
    core.len = code.len;
    exec::run(core, &code.ops, cx) as usize <= Exit::Goto as usize
}

/// The place of a floating point register, as long as they are in pairs.
fn half(register: usize) -> u8 {
    (register / 2 * 4 + register % 2) as u8
}

/// Executes ops that are no block.
fn only(core: &mut Core, cx: &mut Cx<'_>, ops: &[exec::Op], len: u32) {
    core.budget -= i64::from(len);
    core.len = len;
    // However it is left, the caller looks at everything anew.
    exec::run(core, ops, cx);
}

impl Processor for Mips32Cpu {
    fn run(&mut self, cx: &mut Cx<'_>, limit: u64) -> Stop {
        self.core.tell_nothing_to_execute(cx);
        let begin = self.core.instructions;
        let end = begin.saturating_add(limit);
        loop {
            if let Some(stop) = self.attend(cx, end) {
                self.blocks.counts.executed += self.core.instructions - begin;
                self.core.settle_fcsr();
                return stop;
            }
            self.execute(cx);
        }
    }

    fn set_pace(&mut self, per_cycle: f64) {
        let clock = self.core.identity.clock;
        self.core.rate = ((clock as f64 * per_cycle) as u64).max(clock);
    }

    fn instructions(&self) -> u64 {
        self.core.instructions
    }

    fn set_engine(&mut self, engine: Engine) -> bool {
        let there = engine == Engine::Interp || crate::jit::AVAILABLE;
        if there {
            self.blocks.engine = engine;
            // What was generated is not used any more.
            self.blocks.clear(&mut self.core);
        }
        there
    }

    fn engine_info(&self) -> EngineInfo {
        let counts = self.blocks.counts;
        let (interpreted, native) = self.blocks.tiers();
        EngineInfo {
            engine: self.blocks.engine,
            interpreter: Tier {
                blocks: interpreted as u64,
                instructions: counts.executed - counts.native_executed,
            },
            native: Tier {
                blocks: native as u64,
                instructions: counts.native_executed,
            },
            hits: counts.hits,
            misses: counts.misses,
            generated: counts.generated,
            generated_instructions: counts.generated_instructions,
            loops: counts.loops,
            code_bytes: self.blocks.native_bytes() as u64,
            generating_ns: counts.generating_ns,
            entries: counts.entries,
            invalidated: counts.invalidated,
            flushes: counts.flushes,
        }
    }

    fn pc(&self) -> u64 {
        self.core.pc.into()
    }

    fn set_pc(&mut self, pc: u64) {
        self.core.pc = pc as u32;
        self.core.waiting = false;
    }

    fn registers(&self) -> Vec<(&'static str, u64)> {
        let cp0 = &self.core.cp0;
        let fpu: &[(&str, usize)] = match self.core.identity.fpu {
            true => &FPU_REGISTERS,
            false => &[],
        };
        let numbered = GENERAL
            .into_iter()
            .zip(0..)
            .chain(SPECIAL)
            .chain(fpu.iter().copied());
        let numbered = numbered.filter_map(|(name, n)| Some((name, self.register(n)?)));
        let others = [
            ("epc", cp0.epc),
            ("errorepc", cp0.error_epc),
            ("entryhi", cp0.entry_hi),
            ("ebase", cp0.ebase),
        ];
        let others = others.map(|(name, value)| (name, u64::from(value)));
        numbered.chain(others).collect()
    }

    fn register(&self, number: usize) -> Option<u64> {
        let core = &self.core;
        Some(match number {
            0..=31 => core.r[number as u8].into(),
            32 => core.cp0.status.into(),
            33 => core.r[crate::ir::LO].into(),
            34 => core.r[crate::ir::HI].into(),
            35 => core.cp0.bad_vaddr.into(),
            36 => core.cause().into(),
            37 => core.pc.into(),
            38..=69 if core.cp0.status & status::FR != 0 => core.fpr[number - 38],
            38..=69 => core.fpr32(half(number - 38)).into(),
            70 => core.fcsr.0.into(),
            71 => core.identity.fir.into(),
            _ => return None,
        })
    }

    fn set_register(&mut self, number: usize, value: u64) -> bool {
        let core = &mut self.core;
        match number {
            1..=31 => core.r[number as u8] = value as u32,
            32 => {
                core.set_status(value as u32);
                core.mode_changed();
            }
            33 => core.r[crate::ir::LO] = value as u32,
            34 => core.r[crate::ir::HI] = value as u32,
            35 => core.cp0.bad_vaddr = value as u32,
            36 => core.cp0.set_cause(value as u32),
            37 => self.set_pc(value),
            38..=69 if core.cp0.status & status::FR != 0 => core.fpr[number - 38] = value,
            38..=69 => {
                core.fpr[number - 38] = core.fpr[number - 38] & !0xffff_ffff | value & 0xffff_ffff
            }
            70 => core.fcsr = Fcsr(value as u32 & Fcsr::WRITABLE),
            _ => return false,
        }
        true
    }
}
