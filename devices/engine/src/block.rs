//! Decoded code, kept by physical page.
//!
//! A page has a table of blocks for each mode of the CPU that code depends on, and separate ones for addresses that say themselves
//! what page is meant. Blocks link to others of the same table only, so a link needs no check: as long as the page is what it was, so
//! is the block. When code changes, all blocks of its page go. What tells that is a bitmap of the page's 64-byte lines, so that data next
//! to code does not cost the code.
//!
//! A block is interpreted at first. One that is executed often gets generated code as well, which is entered instead.

use rustc_hash::FxHashMap as HashMap;

use solderless_model::memory::PAGE;
use solderless_model::{Cx, Engine, Place};

use crate::Guest;
use crate::generate::{self, Home, Left, Member, To};
use crate::isa::{Bytes, Isa, Straight};
use crate::links::Links;
use crate::loops::loop_around;
use crate::native::{AVAILABLE, Native};
use crate::vcpu::{CodeAt, Frame};

/// A block that is not there yet: its place in a table, or a link that can be made.
pub const NONE: u32 = u32::MAX;
/// A link that cannot be made, as it leads to another page.
const ELSEWHERE: u32 = u32::MAX - 1;
/// Blocks that are too many.
const LIMIT: usize = 1 << 19;
/// Samples of a block after which code is generated for the loop it is in.
const SAMPLES: u8 = 2;
/// What is added to the number of a mode for addresses that say what the physical page is.
const DIRECT: u8 = 0x80;

/// A block, ready to be executed.
#[derive(Debug)]
pub struct Code<Op> {
    /// What is executed.
    pub ops: Vec<Op>,
    /// Instructions.
    pub len: u32,
    /// The blocks that follow it, where it is left by its branch, and by its end.
    pub links: [u32; 2],
    /// It depends on a second page, which must be looked up each time: nothing links to it.
    across: bool,
    /// How often it was interpreted.
    runs: u32,
    /// Where its generated code is, from the start of the cache; 0 if there is none.
    pub native: u32,
    /// How often it was met by chance.
    samples: u8,
}

/// The blocks of a page, by their first instruction.
#[derive(Debug)]
struct Table {
    /// By unit of the page.
    blocks: Box<[u32]>,
    /// Where there are some.
    used: Vec<u16>,
    /// The addresses of their generated code, if there is some for the page.
    native: Option<Box<[usize]>>,
}

#[derive(Debug, Default)]
struct CodePage {
    /// Lines that hold code, one bit each.
    lines: u64,
    /// Its tables, by what they are for.
    tables: Vec<(u8, u32)>,
}

impl CodePage {
    fn table(&self, kind: u8) -> Option<u32> {
        let mut tables = self.tables.iter();
        tables.find(|(k, _)| *k == kind).map(|(_, table)| *table)
    }

    /// Notes that lines of it hold code, and has writes to it noticed.
    fn cover<I: Isa>(&mut self, core: &mut I::Core, home: Home, start: u32, len: u32) {
        if self.lines == 0
            && let vcpu = I::vcpu_mut(core)
            && let Some(ram) = vcpu.memory.rams.get(home.0 as usize)
        {
            ram.watch(home.1, true);
            vcpu.protect(home.0, home.1);
        }
        let (first, last) = (start / 64, (start + len - 1) / 64);
        self.lines |= u64::MAX << (first & 63) & u64::MAX >> (63 - last.min(63));
    }
}

/// What the code at an address is for, with the CPU as it is.
fn kind<I: Isa>(core: &I::Core, va: u64) -> u8 {
    match I::direct(core, va) {
        Some(_) => I::mode(core) | DIRECT,
        None => I::mode(core),
    }
}

/// Generated code, and what leads to it.
#[derive(Debug)]
struct Generated<I: Isa> {
    code: Native<I>,
    links: Links,
    /// The table of code addresses of pages that have none.
    none: Box<[usize]>,
}

/// What was done so far, for statistics.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Instructions executed.
    pub executed: u64,
    /// Those of them that generated code has executed, itself or with the interpreter's help.
    pub native_executed: u64,
    /// Times a block was looked up and known.
    pub hits: u64,
    /// Times it was not, and was decoded.
    pub misses: u64,
    /// Blocks that code was generated for.
    pub generated: u64,
    /// Instructions in them.
    pub generated_instructions: u64,
    /// Loops that code was generated for once more.
    pub loops: u64,
    /// Time that took, in ns.
    pub generating_ns: u64,
    /// Times generated code was entered from outside.
    pub entries: u64,
    /// Pages whose code changed.
    pub invalidated: u64,
    /// Times all code was thrown away.
    pub flushes: u64,
}

/// All decoded code.
#[derive(Debug)]
pub struct Blocks<I: Isa> {
    pub list: Vec<Code<I::Op>>,
    free: Vec<u32>,
    tables: Vec<Table>,
    pages: HashMap<Home, CodePage>,
    /// Blocks that go on in another page, by their place and that page.
    across: HashMap<(To, Home), u32>,
    /// `None` until there is a warm block.
    generated: Option<Generated<I>>,
    /// The physical page that each page of memory is seen at, as far as generated code relies on it: code that jumps to others
    /// without looking, and what it jumps to. `None` if it is seen at several.
    seats: HashMap<Home, Option<u64>>,
    /// Where breakpoints may be: offsets, in order, in the pages that have been seen at the address of one.
    breaks: HashMap<Home, Vec<u16>>,
    /// Whether code is generated.
    pub engine: Engine,
    pub counts: Counts,
}

/// Where the next instruction is.
pub enum Found<Op> {
    /// In this block.
    Block(u32),
    /// Not where blocks are kept: these ops, which are good for once, and how many instructions they are.
    Once(Vec<Op>, u32),
    /// The fetch raised an exception.
    Raised,
    /// Not executed: a debugger wants the CPU to stop there.
    Stop,
}

/// Where an instruction is fetched from.
enum Source {
    Memory { pa: u64, ram: u32, offset: u64 },
    Bus(u64),
}

/// Whether generated code can rely on a page of memory being seen at a physical page, and at no other.
fn seat(seats: &mut HashMap<Home, Option<u64>>, home: Home, page: u64) -> bool {
    *seats.entry(home).or_insert(Some(page)) == Some(page)
}

/// Units in a page.
const fn units<I: Isa>() -> usize {
    PAGE as usize >> I::UNIT_BITS
}

/// The unit of its page that an address or an offset is in.
fn unit<I: Isa>(at: u64) -> usize {
    (at % PAGE) as usize >> I::UNIT_BITS
}

impl<I: Guest> Blocks<I> {
    /// Nothing decoded yet, and code generated if that is possible.
    pub fn new() -> Self {
        Self {
            list: Vec::new(),
            free: Vec::new(),
            tables: Vec::new(),
            pages: HashMap::default(),
            across: HashMap::default(),
            generated: None,
            seats: HashMap::default(),
            breaks: HashMap::default(),
            engine: match AVAILABLE {
                true => Engine::JIT,
                false => Engine::Interp,
            },
            counts: Counts::default(),
        }
    }

    /// The number of the table of blocks for the CPU's address, and the block that starts there, if they are known.
    #[inline]
    fn known(&self, core: &I::Core) -> Option<(u32, u32)> {
        let pc = I::pc(core);
        let number = I::vcpu(core).code_table(pc, I::code_key(core, pc))?;
        let table = self.tables.get(number as usize)?;
        let aligned = pc & ((1 << I::UNIT_BITS) - 1) == 0;
        let block = *table.blocks.get(unit::<I>(pc))?;
        (aligned && block != NONE).then_some((number, block))
    }

    /// The block that starts at the CPU's address.
    pub fn find(&mut self, core: &mut I::Core, cx: &mut Cx<'_>) -> Found<I::Op> {
        if let Some((_, block)) = self.known(core) {
            self.counts.hits += 1;
            return Found::Block(block);
        }
        self.make(core, cx)
    }

    #[cold]
    fn make(&mut self, core: &mut I::Core, cx: &mut Cx<'_>) -> Found<I::Op> {
        let va = I::pc(core);
        let breaks = I::vcpu(core).halts.breaks();
        // It stops there even if nothing can be fetched.
        if breaks && I::vcpu(core).halts.is_at(va) {
            return once::<I>(core, cx, 1);
        }
        let (pa, ram, offset) = match source::<I>(core, cx, va) {
            Ok(Source::Memory { pa, ram, offset }) => (pa, ram, offset),
            Ok(Source::Bus(_)) => return once::<I>(core, cx, 1),
            Err(fault) => return raised::<I>(core, cx, fault, va, false),
        };
        let here = place::<I>(core, va, ram, offset);
        if breaks {
            let offsets: Vec<_> = I::vcpu(core).halts.offsets(va, pa).collect();
            for offset in offsets {
                self.cut(core, here.home, offset);
            }
            let breaks = self.breaks.get(&here.home);
            if breaks.is_some_and(|all| all.binary_search(&((offset % PAGE) as u16)).is_ok()) {
                return once::<I>(core, cx, 1);
            }
        }
        if I::direct(core, va).is_some()
            && let Some(seat) = self.seats.get_mut(&here.home)
            && seat.is_some_and(|page| page != pa / PAGE)
        {
            *seat = None;
            self.unseat(core, here.home);
        }
        let code_at = CodeAt {
            va,
            key: I::code_key(core, va),
            pa,
            translated: I::translated(core, va),
            mode: I::mode(core),
        };
        let page = self.pages.entry(here.home).or_default();
        let number = page.table(here.kind);
        // Most often only the way to the block is forgotten.
        if let Some(number) = number
            && let Some(table) = self.tables.get(number as usize)
            && let Some(known) = table.blocks.get(usize::from(here.unit)).copied()
            && known != NONE
        {
            self.counts.hits += 1;
            let native = self.native_table(number);
            I::vcpu_mut(core).note_code_table(code_at, number, native);
            return Found::Block(known);
        }
        let Some(block) = decode::<I>(core, ram, offset, &self.breaks) else {
            return self.make_across(core, cx, ram, offset);
        };
        let start = (offset % PAGE) as u32;
        let inside = |to: Option<u32>| match to {
            Some(to) if start.wrapping_add(to) < PAGE as u32 => NONE,
            _ => ELSEWHERE,
        };
        let links = [inside(block.taken()), inside(Some(block.bytes()))];
        page.cover::<I>(core, here.home, start, block.bytes());
        let number = number.unwrap_or_else(|| {
            self.tables.push(Table {
                blocks: vec![NONE; units::<I>()].into(),
                used: Vec::new(),
                native: None,
            });
            let number = self.tables.len() as u32 - 1;
            page.tables.push((here.kind, number));
            number
        });
        let native = self.native_table(number);
        I::vcpu_mut(core).note_code_table(code_at, number, native);
        let id = self.add(core, &block, links, false);
        if let Some(table) = self.tables.get_mut(number as usize)
            && let Some(place) = table.blocks.get_mut(usize::from(here.unit))
        {
            *place = id;
            table.used.push(here.unit);
        }
        Found::Block(id)
    }

    /// A block whose first instruction goes on in the next page, which is another one each time it is looked at.
    fn make_across(
        &mut self,
        core: &mut I::Core,
        cx: &mut Cx<'_>,
        ram: u32,
        offset: u64,
    ) -> Found<I::Op> {
        let va = I::pc(core);
        let next = (va | (PAGE - 1)).wrapping_add(1);
        let Ok(Source::Memory {
            ram: next_ram,
            offset: next_offset,
            ..
        }) = source::<I>(core, cx, next)
        else {
            return once::<I>(core, cx, 1);
        };
        let here = place::<I>(core, va, ram, offset);
        let next_home = home(next_ram, next_offset);
        if let Some(id) = self.across.get(&(here, next_home)) {
            self.counts.hits += 1;
            return Found::Block(*id);
        }
        let rest = first_bytes::<I>(core, next_ram, next_offset);
        let Some(block) = I::decode(core, bytes::<I>(core, ram, offset, &rest), 1) else {
            return once::<I>(core, cx, 1);
        };
        let here_bytes = (PAGE - offset % PAGE) as u32;
        let next_bytes = block.bytes().saturating_sub(here_bytes).max(1);
        for (home, start, len) in [
            (here.home, (offset % PAGE) as u32, here_bytes),
            (next_home, 0, next_bytes),
        ] {
            let page = self.pages.entry(home).or_default();
            page.cover::<I>(core, home, start, len);
        }
        let id = self.add(core, &block, [ELSEWHERE; 2], true);
        self.across.insert((here, next_home), id);
        Found::Block(id)
    }

    fn add(&mut self, core: &I::Core, block: &I::Block, links: [u32; 2], across: bool) -> u32 {
        self.counts.misses += 1;
        let id = self.free.pop().unwrap_or_else(|| {
            self.list.push(Code {
                ops: Vec::new(),
                len: 0,
                links,
                across,
                runs: 0,
                native: 0,
                samples: 0,
            });
            self.list.len() as u32 - 1
        });
        if let Some(code) = self.list.get_mut(id as usize) {
            // What the ops of a block were in that is gone is used again.
            let mut ops = std::mem::take(&mut code.ops);
            ops.clear();
            I::lower(core, block, &mut ops);
            *code = Code {
                ops,
                len: block.instructions().into(),
                links,
                across,
                runs: 0,
                native: 0,
                samples: 0,
            };
        }
        id
    }

    /// Links a block to the one that was found behind it.
    pub fn link(&mut self, from: u32, way: usize, to: u32) {
        if self.list.get(to as usize).is_none_or(|c| c.across) {
            return;
        }
        if let Some(link) = self
            .list
            .get_mut(from as usize)
            .and_then(|c| c.links.get_mut(way))
            && *link == NONE
        {
            *link = to;
        }
    }

    /// Where the table of code addresses that belongs to a table of blocks is in the host's memory.
    fn native_table(&self, table: u32) -> usize {
        let Some(generated) = &self.generated else {
            return 0;
        };
        self.tables
            .get(table as usize)
            .and_then(|t| t.native.as_deref())
            .unwrap_or(&generated.none)
            .as_ptr() as usize
    }

    /// Counts an execution of a block by the interpreter, and generates code for one that is warm. Says whether there is
    /// code now.
    pub fn warmed(&mut self, core: &mut I::Core, cx: &mut Cx<'_>, id: u32) -> bool {
        let Some(code) = self.list.get_mut(id as usize) else {
            return false;
        };
        code.runs = code.runs.wrapping_add(1);
        self.engine == Engine::Jit { after: code.runs } && self.generate(core, cx, id).is_some()
    }

    /// Makes code of the block at the CPU's address.
    #[cold]
    fn generate(&mut self, core: &mut I::Core, cx: &mut Cx<'_>, id: u32) -> Option<()> {
        if self.generated.is_none() {
            self.begin(core);
        }
        let here = here::<I>(core, cx)?;
        let table = self.pages.get(&here.home)?.table(here.kind)?;
        // A block across pages is not in a table, and stays with the interpreter.
        self.tables
            .get(table as usize)
            .filter(|t| t.blocks.get(usize::from(here.unit)) == Some(&id))?;
        let member = Member {
            unit: here.unit,
            block: decode_at::<I>(core, here.home, here.unit, &self.breaks)?,
            depth: 0,
        };
        self.emit(core, cx, here, table, &[member])
    }

    /// Makes code of blocks of a page.
    fn emit(
        &mut self,
        core: &mut I::Core,
        cx: &mut Cx<'_>,
        here: To,
        table: u32,
        members: &[Member<I::Block>],
    ) -> Option<()> {
        let start = std::time::Instant::now();
        let generated = self.generated.as_mut().filter(|g| !g.code.full())?;
        let page = I::pc(core) & !(PAGE - 1);
        let seats = &mut self.seats;
        let direct = I::direct(core, page).map(|pa| pa / PAGE);
        let direct = direct.filter(|pa| seat(seats, here.home, *pa));
        let direct = direct.map(|_| page);
        // What is found is looked up with the CPU's knowledge of frames, which emission does not use.
        let mut frames = std::mem::take(&mut I::vcpu_mut(core).memory);
        let emitted = {
            let mode = here.kind;
            let core: &I::Core = core;
            let mut find = |va: u64| {
                let pa = I::direct(core, va)?;
                let home = match frames.frame(cx, pa) {
                    Frame::Memory { ram, offset, .. } => home(ram, offset),
                    Frame::Registers => return None,
                };
                seat(seats, home, pa / PAGE).then_some(To {
                    home,
                    kind: mode,
                    unit: unit::<I>(va) as u16,
                })
            };
            let place = generate::Place {
                here,
                direct,
                find: &mut find,
            };
            generated.code.emit(core, members, place)
        };
        I::vcpu_mut(core).memory = frames;
        let emitted = emitted?;
        for link in emitted.links {
            let (site, to) = (link.site as u32, link.to);
            let known = self
                .pages
                .get(&to.home)
                .and_then(|p| p.table(to.kind))
                .and_then(|t| {
                    self.tables
                        .get(t as usize)?
                        .blocks
                        .get(usize::from(to.unit))
                })
                .and_then(|block| self.list.get(*block as usize))
                .map_or(0, |code| code.native);
            if known == 0 {
                generated.links.want(site, here.home, to);
            } else {
                generated.code.redirect(site, to, Some(known));
                generated.links.made(site, here.home, to);
            }
        }
        let none = &generated.none;
        let own = self.tables.get_mut(table as usize)?;
        let first = own.native.is_none();
        let natives = own.native.get_or_insert_with(|| none.clone());
        if first {
            I::vcpu_mut(core).move_native_table(table, natives.as_ptr() as usize);
        }
        for (member, entry) in members.iter().zip(emitted.entries) {
            let to = To {
                unit: member.unit,
                ..here
            };
            for site in generated.links.take_wanted(to) {
                generated.code.redirect(site, to, Some(entry));
            }
            let unit = usize::from(member.unit);
            if let Some(native) = natives.get_mut(unit) {
                *native = generated.code.address(entry);
            }
            let block = own.blocks.get(unit).copied().unwrap_or(NONE);
            if let Some(code) = self.list.get_mut(block as usize) {
                if member.depth > 0 {
                    code.samples = SAMPLES;
                }
                if code.native != 0 {
                    generated.code.replace(code.native, entry);
                }
                code.native = entry;
            }
            self.counts.generated += 1;
            self.counts.generated_instructions += u64::from(member.block.instructions());
        }
        self.counts.generating_ns += start.elapsed().as_nanos() as u64;
        Some(())
    }

    /// The block at the CPU's address is about to be executed at an instant that has nothing to do with it: if that is so
    /// again and again, it is executed often, and code is generated for the loop it is in.
    pub fn sample(&mut self, core: &mut I::Core, cx: &mut Cx<'_>) {
        if let Some((table, id)) = self.known(core)
            && let Some(code) = self.list.get_mut(id as usize)
        {
            code.samples = code.samples.saturating_add(1);
            if code.samples == SAMPLES {
                self.generate_loop(core, cx, table);
            }
        }
    }

    /// Makes code of the loop around the block at the CPU's address.
    #[cold]
    fn generate_loop(&mut self, core: &mut I::Core, cx: &mut Cx<'_>, table: u32) -> Option<()> {
        let here = here::<I>(core, cx)?;
        let known = &self.tables.get(table as usize)?.used;
        let decoded = |unit| decode_at::<I>(core, here.home, unit, &self.breaks);
        let members = loop_around(here, I::UNIT_BITS, known, decoded)?;
        self.emit(core, cx, here, table, &members)?;
        self.counts.loops += 1;
        Some(())
    }

    /// Prepares for generating code. Where that is not possible, nothing is tried again.
    fn begin(&mut self, core: &mut I::Core) {
        match Native::new() {
            Some(code) => {
                let none = (0..units::<I>())
                    .map(|unit| code.unknown(unit as u16))
                    .collect();
                self.generated = Some(Generated {
                    code,
                    links: Links::default(),
                    none,
                });
                // They know of no table of code addresses.
                I::vcpu_mut(core).forget_code();
            }
            None => self.engine = Engine::Interp,
        }
    }

    /// Runs the generated code of a block, which is at the CPU's address, and what it leads to.
    pub fn enter(&mut self, core: &mut I::Core, cx: &mut Cx<'_>, native: u32) -> Left {
        let executed = |core: &I::Core| {
            let vcpu = I::vcpu(core);
            vcpu.instructions.wrapping_add_signed(vcpu.executed(0))
        };
        let before = executed(core);
        let left = match &self.generated {
            Some(generated) => generated.code.enter(native, core, cx),
            None => Left::Interpret,
        };
        self.counts.entries += 1;
        self.counts.native_executed += executed(core) - before;
        left
    }

    /// Blocks that are interpreted, and those that have generated code.
    pub fn tiers(&self) -> (usize, usize) {
        let native = |code: &Code<I::Op>| code.native != 0;
        let free = self.free.iter();
        let free = free.filter(|id| self.list.get(**id as usize).is_some_and(native));
        let generated = self.list.iter().filter(|code| native(code)).count() - free.count();
        (self.list.len() - self.free.len() - generated, generated)
    }

    /// Bytes of generated code.
    pub fn native_bytes(&self) -> usize {
        self.generated.as_ref().map_or(0, |g| g.code.bytes())
    }

    /// Lines of a page were written: forgets its blocks if there was code in one of them.
    pub fn written(&mut self, core: &I::Core, home: Home, lines: u64) {
        let Some(page) = self.pages.get_mut(&home) else {
            return;
        };
        if page.lines & lines == 0 {
            return;
        }
        page.lines = 0;
        self.counts.invalidated += 1;
        if let Some(ram) = I::vcpu(core).memory.rams.get(home.0 as usize) {
            ram.watch(home.1, false);
        }
        for (_, table) in &page.tables {
            let Some(table) = self.tables.get_mut(*table as usize) else {
                continue;
            };
            let none = self.generated.as_ref().map(|g| &g.none);
            for unit in table.used.drain(..).map(usize::from) {
                self.free
                    .push(std::mem::replace(&mut table.blocks[unit], NONE));
                if let (Some(native), Some(none)) = (&mut table.native, none) {
                    native[unit] = none[unit];
                }
            }
        }
        if let Some(generated) = &mut self.generated {
            for (site, to) in generated.links.forget(home) {
                generated.code.redirect(site, to, None);
            }
        }
        let free = &mut self.free;
        self.across.retain(|(first, second), id| {
            let gone = first.home == home || *second == home;
            if gone {
                free.push(*id);
            }
            !gone
        });
    }

    /// Forgets the blocks of a page.
    fn invalidate(&mut self, core: &I::Core, home: Home) {
        self.written(core, home, u64::MAX);
    }

    /// Whether there are so many blocks that it is better to start anew.
    pub fn full(&self) -> bool {
        self.list.len() - self.free.len() >= LIMIT
            || self.generated.as_ref().is_some_and(|g| g.code.full())
    }

    /// The machine's memory map has changed: forgets what is known of pages. Code is kept by where it is in memory, and stays
    /// unless it relies on what is elsewhere now.
    pub fn map_changed(&mut self, core: &mut I::Core, cx: &Cx<'_>) {
        I::forget_pages(core);
        let memory = &mut I::vcpu_mut(core).memory;
        memory.forget_map();
        let mut moved = Vec::new();
        self.seats.retain(|here, page| {
            let stays = page.is_none_or(|page| match memory.frame(cx, page * PAGE) {
                Frame::Memory { ram, offset, .. } => home(ram, offset) == *here,
                Frame::Registers => false,
            });
            if !stays {
                moved.push(*here);
            }
            stays
        });
        for home in moved {
            self.unseat(core, home);
        }
        I::vcpu_mut(core).halts.forgotten();
    }

    /// Breakpoints are elsewhere now. That costs the blocks of the pages concerned.
    #[cold]
    pub fn breakpoints_changed(&mut self, core: &mut I::Core, cx: &Cx<'_>) {
        let places = I::vcpu(core).halts.breakpoints().to_vec();
        let offsets: Vec<_> = places
            .iter()
            .map(|at| (at.address() % PAGE) as u16)
            .collect();
        let mut joined = Vec::new();
        self.breaks.retain(|home, cuts| {
            let before = cuts.len();
            cuts.retain(|cut| offsets.contains(cut));
            if cuts.len() < before {
                joined.push(*home);
            }
            !cuts.is_empty()
        });
        // What is decoded again goes on where it did not before.
        for home in joined {
            self.invalidate(core, home);
        }
        // Pages that are translated are looked at when they are entered the next time.
        I::vcpu_mut(core).forget_code_pages();
        // Into the others code jumps without looking. Where an address is one of these in another mode only, it is the physical one.
        for place in places {
            let pa = match place {
                Place::Physical(pa) => pa,
                Place::Virtual(va) => I::direct(core, va).unwrap_or(va),
            };
            if let Frame::Memory { ram, offset, .. } = I::vcpu_mut(core).frame(cx, pa) {
                self.cut(core, home(ram, offset), (pa % PAGE) as u16);
            }
        }
    }

    /// No block of a page goes on to this offset from now on, nor begins there.
    fn cut(&mut self, core: &I::Core, home: Home, offset: u16) {
        let cuts = self.breaks.entry(home).or_default();
        if let Err(at) = cuts.binary_search(&offset) {
            cuts.insert(at, offset);
            self.invalidate(core, home);
        }
    }

    /// A page of memory is not seen where it was, or not only there: its code goes, and that of the pages that jump to it.
    fn unseat(&mut self, core: &I::Core, home: Home) {
        let generated = self.generated.as_mut();
        let from = generated.map(|g| g.links.cut(home));
        for from in from.into_iter().flatten() {
            self.invalidate(core, from);
        }
        self.invalidate(core, home);
    }

    /// Forgets everything.
    pub fn clear(&mut self, core: &mut I::Core) {
        let generated = self.generated.take().map(|mut g| {
            g.code.clear();
            g.links = Links::default();
            g
        });
        *self = Self {
            generated,
            engine: self.engine,
            counts: Counts {
                flushes: self.counts.flushes + 1,
                ..self.counts
            },
            ..Self::new()
        };
        I::forget_pages(core);
        I::vcpu_mut(core).memory.clear();
        I::vcpu_mut(core).halts.forgotten();
    }
}

/// Where code at an address is kept that lies in memory.
fn place<I: Isa>(core: &I::Core, va: u64, ram: u32, offset: u64) -> To {
    To {
        home: home(ram, offset),
        kind: kind::<I>(core, va),
        unit: unit::<I>(offset) as u16,
    }
}

/// Where the code at the CPU's address is, if that is in memory.
fn here<I: Isa>(core: &mut I::Core, cx: &Cx<'_>) -> Option<To> {
    let va = I::pc(core);
    match source::<I>(core, cx, va) {
        Ok(Source::Memory { ram, offset, .. }) => Some(place::<I>(core, va, ram, offset)),
        _ => None,
    }
}

fn home(ram: u32, offset: u64) -> Home {
    (ram, (offset / PAGE) as u32)
}

/// Up to `most` instructions from the CPU's address on, to be executed once; what cannot be torn from the last may be one more.
pub fn once<I: Isa>(core: &mut I::Core, cx: &mut Cx<'_>, most: usize) -> Found<I::Op> {
    let va = I::pc(core);
    let mut most = most;
    if I::vcpu(core).halts.breaks() {
        if stops_here::<I>(core, cx) {
            return Found::Stop;
        }
        most = 1;
    }
    let mut fetched = Vec::new();
    let mut memory = None;
    match source::<I>(core, cx, va) {
        Ok(Source::Memory { ram, offset, .. }) => memory = Some((ram, offset)),
        Ok(Source::Bus(pa)) => {
            if let Err(fault) = fetch::<I>(core, cx, pa, &mut fetched) {
                return raised::<I>(core, cx, fault, va, false);
            }
        }
        Err(fault) => return raised::<I>(core, cx, fault, va, false),
    }
    // What there is at first suffices most often; what else the first instruction needs is fetched until it does.
    loop {
        let bytes = match memory {
            Some((ram, offset)) => bytes::<I>(core, ram, offset, &fetched),
            None => Bytes {
                page: None,
                rest: &fetched,
            },
        };
        let most = if fetched.is_empty() {
            most.min(I::MOST)
        } else {
            1
        };
        let len = bytes.len();
        if let Some(block) = I::decode(core, bytes, most) {
            let mut ops = Vec::new();
            I::lower(core, &block, &mut ops);
            return Found::Once(ops, block.instructions().into());
        }
        let next = va.wrapping_add(len as u64);
        let more = match source::<I>(core, cx, next) {
            Ok(Source::Memory { ram, offset, .. }) => {
                fetched.extend(first_bytes::<I>(core, ram, offset));
                Ok(())
            }
            Ok(Source::Bus(pa)) => fetch::<I>(core, cx, pa, &mut fetched),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = more {
            return raised::<I>(core, cx, fault, next, true);
        }
    }
}

/// The four bytes of code at an offset from the CPU's address, if they are in memory.
#[cfg(debug_assertions)]
fn code_there<I: Isa>(core: &mut I::Core, cx: &Cx<'_>) -> Vec<u8> {
    let va = I::pc(core);
    match source::<I>(core, cx, va) {
        Ok(Source::Memory { ram, offset, .. }) => {
            let mut bytes = vec![0; (PAGE - offset % PAGE) as usize];
            let ram = I::vcpu(core).memory.rams.get(ram as usize);
            if ram.is_none_or(|ram| ram.read(offset, &mut bytes).is_err()) {
                bytes.clear();
            }
            bytes
        }
        _ => Vec::new(),
    }
}

/// Checks that an op that generated code leaves to the interpreter is the instruction at its address.
#[cfg(debug_assertions)]
pub fn check_op<I: Isa>(core: &mut I::Core, cx: &Cx<'_>, op: &I::Op) {
    let bytes = code_there::<I>(core, cx);
    I::check_op(core, op, &|at| word(&bytes, at));
}

/// Checks the same of an access.
#[cfg(debug_assertions)]
pub fn check_missed<I: Isa>(core: &mut I::Core, cx: &Cx<'_>, what: u32) {
    let bytes = code_there::<I>(core, cx);
    I::check_missed(core, what, &|at| word(&bytes, at));
}

#[cfg(debug_assertions)]
fn word(bytes: &[u8], at: u32) -> Option<u32> {
    let bytes = bytes.get(at as usize..at as usize + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// What the address of an instruction leads to.
fn source<I: Isa>(core: &mut I::Core, cx: &Cx<'_>, va: u64) -> Result<Source, I::Fault> {
    let pa = I::translate(core, cx, va)?;
    Ok(match I::vcpu_mut(core).frame(cx, pa) {
        Frame::Memory { ram, offset, .. } => Source::Memory {
            pa,
            ram,
            offset: offset + pa % PAGE,
        },
        Frame::Registers => Source::Bus(pa),
    })
}

/// Fetches from where there is no memory.
fn fetch<I: Isa>(
    core: &mut I::Core,
    cx: &mut Cx<'_>,
    pa: u64,
    to: &mut Vec<u8>,
) -> Result<(), I::Fault> {
    let pc = I::pc(core);
    let vcpu = I::vcpu_mut(core);
    vcpu.advance(vcpu.executed(0), pc, cx);
    I::fetch(core, cx, pa, to)
}

/// The code at an offset in memory up to the end of its page, and what is behind that.
fn bytes<'a, I: Isa>(core: &'a I::Core, ram: u32, offset: u64, rest: &'a [u8]) -> Bytes<'a> {
    let ram = I::vcpu(core).memory.rams.get(ram as usize);
    let left = |size: u64| (PAGE - offset % PAGE).min(size.saturating_sub(offset)) as usize;
    Bytes {
        page: ram.map(|ram| (&**ram, offset, left(ram.size()))),
        rest,
    }
}

/// What an instruction that began in the page before can need of this one.
fn first_bytes<I: Isa>(core: &I::Core, ram: u32, offset: u64) -> Vec<u8> {
    let there = bytes::<I>(core, ram, offset, &[]);
    (0..I::LONGEST).map_while(|at| there.u8(at)).collect()
}

/// The block at an offset in memory, up to where a breakpoint may be; `None` as for [`Isa::decode`].
fn decode<I: Isa>(
    core: &I::Core,
    ram: u32,
    offset: u64,
    breaks: &HashMap<Home, Vec<u16>>,
) -> Option<I::Block> {
    let all = bytes::<I>(core, ram, offset, &[]);
    let start = (offset % PAGE) as u16;
    let cuts = breaks.get(&home(ram, offset));
    if let Some(cut) = cuts.and_then(|cuts| cuts.iter().find(|cut| **cut > start)) {
        let until = usize::from(cut - start);
        let before = Bytes {
            page: all.page.map(|(ram, at, len)| (ram, at, len.min(until))),
            rest: all.rest,
        };
        // What reaches across it cannot be torn, and is alone.
        return I::decode(core, before, I::MOST).or_else(|| I::decode(core, all, 1));
    }
    I::decode(core, all, I::MOST)
}

/// Whether the CPU is to stop before the instruction at its address.
#[cold]
fn stops_here<I: Isa>(core: &mut I::Core, cx: &Cx<'_>) -> bool {
    let va = I::pc(core);
    if !I::vcpu(core).halts.may_be_at(va) {
        return false;
    }
    let pa = I::translate(core, cx, va).ok();
    let vcpu = I::vcpu_mut(core);
    let instructions = vcpu.instructions.wrapping_add_signed(vcpu.executed(0));
    vcpu.halts.stops_at(instructions, va, pa)
}

/// The same at a unit of a page.
fn decode_at<I: Isa>(
    core: &I::Core,
    (ram, page): Home,
    unit: u16,
    breaks: &HashMap<Home, Vec<u16>>,
) -> Option<I::Block> {
    let within = u64::from(unit) << I::UNIT_BITS;
    decode::<I>(core, ram, u64::from(page) * PAGE + within, breaks)
}

/// The exception of a fetch is taken.
fn raised<I: Isa>(
    core: &mut I::Core,
    cx: &mut Cx<'_>,
    fault: I::Fault,
    va: u64,
    second: bool,
) -> Found<I::Op> {
    I::fetch_fault(core, cx, fault, va, second);
    Found::Raised
}
