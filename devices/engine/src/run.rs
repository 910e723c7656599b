//! A CPU with its engine: the run loop.

use solderless_model::{Cx, Engine as Choice, EngineInfo, Stop, Stops, Tier};

use crate::Guest;
use crate::block::{Blocks, Found, once};
use crate::generate::Left;
use crate::isa::{Exit, Isa};
use crate::native::AVAILABLE;

/// What executes a CPU's instructions: everything derived from memory, none of it state.
#[derive(Debug)]
pub struct Engine<I: Isa> {
    blocks: Blocks<I>,
    /// The machine's memory map that the blocks were made from.
    generation: Option<u64>,
    /// Room for what is told of pages that were written.
    written: Vec<(u32, u64)>,
}

impl<I: Guest> Default for Engine<I> {
    fn default() -> Self {
        Self {
            blocks: Blocks::new(),
            generation: None,
            written: Vec::new(),
        }
    }
}

impl<I: Guest> Engine<I> {
    /// Forgets everything that is derived from memory: at a reset, and when state was loaded.
    pub fn clear(&mut self, core: &mut I::Core) {
        self.blocks.clear(core);
        self.generation = None;
    }

    /// Executes instructions: until the deadline, a wait, or `limit` of them, which may be passed by what cannot be torn from the
    /// last.
    pub fn run(&mut self, core: &mut I::Core, cx: &mut Cx<'_>, limit: u64) -> Stop {
        let begin = I::vcpu(core).instructions;
        I::vcpu_mut(core).halts.begin();
        let end = begin.saturating_add(limit);
        loop {
            if let Some(stop) = self.attend(core, cx, end) {
                self.blocks.counts.executed += I::vcpu(core).instructions - begin;
                I::settle(core);
                return stop;
            }
            self.execute(core, cx);
        }
    }

    /// Looks at what may have happened outside since it did last: time, changed code, the memory map, inputs. Gives the
    /// reason to stop if there is one, else grants instructions until there will be.
    fn attend(&mut self, core: &mut I::Core, cx: &mut Cx<'_>, end: u64) -> Option<Stop> {
        let pc = I::pc(core);
        let vcpu = I::vcpu_mut(core);
        vcpu.advance(vcpu.executed(0), pc, cx);
        vcpu.granted = 0;
        vcpu.budget = 0;
        for index in 0..vcpu.memory.rams.len() {
            let vcpu = I::vcpu_mut(core);
            if let Some(ram) = vcpu.memory.rams.get(index)
                && ram.news()
            {
                for page in ram.take_news(&mut self.written) {
                    vcpu.protect(index as u32, page);
                }
                for (page, lines) in self.written.drain(..) {
                    self.blocks.written(core, (index as u32, page), lines);
                }
            }
        }
        let generation = cx.map_generation();
        if self.blocks.full() {
            self.blocks.clear(core);
        }
        if self.generation.replace(generation) != Some(generation) {
            self.blocks.map_changed(core, cx);
        }
        if I::vcpu_mut(core).halts.take_changed() {
            self.blocks.breakpoints_changed(core, cx);
        }
        I::sample(core, cx);
        let instructions = I::vcpu(core).instructions;
        if let Some(stop) = I::vcpu_mut(core).halts.take(instructions, pc) {
            return Some(stop);
        }
        if instructions >= end {
            return Some(Stop::Limit);
        }
        let (now, deadline) = (cx.now(), cx.deadline());
        if now >= deadline {
            return Some(Stop::Deadline);
        }
        if let Some(stop) = I::poll(core, cx) {
            return Some(stop);
        }
        // What was taken may have written to memory, and have taken time.
        if I::vcpu(core).memory.rams.iter().any(|ram| ram.news()) {
            return self.attend(core, cx, end);
        }
        let (now, deadline) = (cx.now(), cx.deadline());
        if now >= deadline {
            return Some(Stop::Deadline);
        }
        I::vcpu_mut(core).grant(deadline - now, end - instructions);
        None
    }

    /// Executes blocks until the budget is used up, or something has happened.
    fn execute(&mut self, core: &mut I::Core, cx: &mut Cx<'_>) {
        let blocks = &mut self.blocks;
        // The block that was left, and by which way, as long as that can become a link.
        let mut from = None;
        while I::vcpu(core).budget > 0 {
            let invalidated = blocks.counts.invalidated;
            let mut id = match blocks.find(core, cx) {
                Found::Block(id) => id,
                Found::Once(ops, len) => {
                    only::<I>(core, cx, &ops, len);
                    return;
                }
                Found::Raised => {
                    from = None;
                    continue;
                }
                Found::Stop => return,
            };
            if let Some((from, way)) = from.take()
                && invalidated == blocks.counts.invalidated
            {
                blocks.link(from, way, id);
            }
            while let Some(code) = blocks.list.get(id as usize) {
                let native = code.native;
                if native != 0 {
                    match blocks.enter(core, cx, native) {
                        Left::Event => return,
                        Left::Budget => {
                            blocks.sample(core, cx);
                            return rest::<I>(core, cx);
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
                if !begin::<I>(core, code.len) {
                    return rest::<I>(core, cx);
                }
                let way = I::run(core, &code.ops, cx) as usize;
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

    /// Has the CPU stop where a debugger wants it.
    pub fn set_stops(&mut self, core: &mut I::Core, stops: &Stops) {
        if I::vcpu_mut(core).halts.set(stops) {
            I::forget_pages(core);
        }
    }

    /// Chooses how instructions are executed from now on; false where that is not to be had.
    pub fn choose(&mut self, core: &mut I::Core, engine: Choice) -> bool {
        let there = engine == Choice::Interp || AVAILABLE;
        if there {
            self.blocks.engine = engine;
            // What was generated is not used any more.
            self.blocks.clear(core);
        }
        there
    }

    /// What was done so far.
    pub fn info(&self) -> EngineInfo {
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
}

/// Takes the instructions of a block from the budget, if it suffices.
#[inline(always)]
fn begin<I: Isa>(core: &mut I::Core, len: u32) -> bool {
    let vcpu = I::vcpu_mut(core);
    if vcpu.budget < i64::from(len) {
        return false;
    }
    vcpu.budget -= i64::from(len);
    vcpu.len = len;
    true
}

/// Executes what is left of the budget, which is less than a block.
fn rest<I: Isa>(core: &mut I::Core, cx: &mut Cx<'_>) {
    let budget = I::vcpu(core).budget;
    if budget > 0
        && let Found::Once(ops, len) = once::<I>(core, cx, (budget as usize).min(I::MOST))
    {
        only::<I>(core, cx, &ops, len);
    }
}

/// Interprets the block at the CPU's address, which has generated code; says whether others may follow.
fn interpret<I: Guest>(core: &mut I::Core, blocks: &mut Blocks<I>, cx: &mut Cx<'_>) -> bool {
    let Found::Block(id) = blocks.find(core, cx) else {
        return false;
    };
    let Some(code) = blocks.list.get(id as usize) else {
        return false;
    };
    if !begin::<I>(core, code.len) {
        rest::<I>(core, cx);
        return false;
    }
    I::run(core, &code.ops, cx) as usize <= Exit::Goto as usize
}

/// Executes ops that are no block. However it is left, the caller looks at everything anew.
fn only<I: Isa>(core: &mut I::Core, cx: &mut Cx<'_>, ops: &[I::Op], len: u32) {
    let vcpu = I::vcpu_mut(core);
    vcpu.budget -= i64::from(len);
    vcpu.len = len;
    I::run(core, ops, cx);
}
