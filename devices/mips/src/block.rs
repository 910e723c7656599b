//! Decoded code, kept by physical page.
//!
//! A page has a table of blocks for each [`CodeMode`], as that is what code depends on, and separate ones for kseg0. Blocks
//! link to others of the same table only, so a link needs no check: as long as the page is what it was, so is the block.
//! When code changes, all blocks of its page go. What tells that is a bitmap of the page's 64-byte lines, so that data next
//! to code does not cost the code.
//!
//! A block is interpreted at first. One that is executed often gets generated code as well, which is entered instead.

use rustc_hash::FxHashMap as HashMap;

use solderless_model::memory::PAGE;
use solderless_model::{Cx, Engine};

use crate::core::{CodeMode, Core, Frame};
use crate::exception::{Access, Fault};
use crate::exec::{self, Mode, Op};
use crate::generate::{Left, Member, Place};
use crate::ir::Block;
use crate::jit::{AVAILABLE, Native};
use crate::links::Links;
use crate::loops::loop_around;
use crate::model::Extension;
use crate::translate::{MAX, translate};

/// A block that is not there yet: its place in a table, or a link that can be made.
pub const NONE: u32 = u32::MAX;
/// A link that cannot be made, as it leads to another page.
const ELSEWHERE: u32 = u32::MAX - 1;
/// Blocks that are too many.
const LIMIT: usize = 1 << 19;
/// Samples of a block after which code is generated for the loop it is in.
const SAMPLES: u8 = 2;
/// Words in a page.
const WORDS: usize = PAGE as usize / 4;

/// A block, ready to be executed.
#[derive(Debug)]
pub struct Code {
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

/// A page of memory: the number of the memory in [`Core::rams`], and of the page in it.
pub type Home = (u32, u32);

/// The blocks of a page, by their first instruction.
#[derive(Debug)]
struct Table {
    blocks: Box<[u32; WORDS]>,
    /// Where there are some.
    used: Vec<u16>,
    /// The addresses of their generated code, if there is some for the page.
    native: Option<Box<[usize; WORDS]>>,
}

/// Tables that a page can have.
const KINDS: usize = 2 * CodeMode::COUNT;

#[derive(Debug, Default)]
struct CodePage {
    /// Lines that hold code, one bit each.
    lines: u64,
    /// Its tables, by what they are for.
    tables: [Option<u32>; KINDS],
}

/// A place for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct To {
    /// The page.
    pub home: Home,
    /// What it is for: the number of the table among those of the page.
    pub kind: u8,
    /// Its first instruction, in words from the start of the page.
    pub word: u16,
}

impl To {
    /// The place at an offset in bytes, if it is on the same page.
    pub fn beside(self, offset: u32) -> Option<Self> {
        let at = (u32::from(self.word) * 4).wrapping_add(offset);
        (at < PAGE as u32).then_some(Self {
            word: (at / 4) as u16,
            ..self
        })
    }
}

/// What the code at an address is for, with the CPU as it is.
fn kind(core: &Core, va: u32) -> u8 {
    let kseg0 = if va >> 29 == 4 { CodeMode::COUNT } else { 0 };
    (core.mode.index() + kseg0) as u8
}

/// Generated code, and what leads to it.
#[derive(Debug)]
struct Generated {
    code: Native,
    links: Links,
    /// The table of code addresses of pages that have none.
    none: Box<[usize; WORDS]>,
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
#[derive(Debug, Default)]
pub struct Blocks {
    pub list: Vec<Code>,
    free: Vec<u32>,
    tables: Vec<Table>,
    pages: HashMap<Home, CodePage>,
    /// Branches in the last word of a page, by that page, the page of the slot, and what they are for.
    across: HashMap<(Home, Home, u8), u32>,
    /// `None` until there is a warm block.
    generated: Option<Generated>,
    /// Whether code is generated.
    pub engine: Engine,
    pub counts: Counts,
}

/// Where the next instruction is.
pub enum Found {
    /// In this block.
    Block(u32),
    /// Not where blocks are kept: these ops, which are good for once.
    Once(Code),
    /// The fetch raised an exception.
    Raised,
}

/// Where an instruction is fetched from.
enum Source {
    Memory { pa: u32, ram: u32, offset: u64 },
    Bus(u32),
}

impl Blocks {
    /// Nothing decoded yet, and code generated if that is possible.
    pub fn new() -> Self {
        Self {
            engine: match AVAILABLE {
                true => Engine::JIT,
                false => Engine::Interp,
            },
            ..Self::default()
        }
    }

    /// The block that starts at the CPU's address.
    pub fn find(&mut self, core: &mut Core, cx: &mut Cx<'_>) -> Found {
        let pc = core.pc;
        if let Some(table) = core.code_table(pc)
            && pc & 3 == 0
            && let Some(table) = self.tables.get(table as usize)
        {
            let block = table.blocks[(pc >> 2) as usize % WORDS];
            if block != NONE {
                self.counts.hits += 1;
                return Found::Block(block);
            }
        }
        self.make(core, cx)
    }

    #[cold]
    fn make(&mut self, core: &mut Core, cx: &mut Cx<'_>) -> Found {
        let pc = core.pc;
        let (pa, ram, offset) = match source(core, cx, pc) {
            Ok(Source::Memory { pa, ram, offset }) => (pa, ram, offset),
            Ok(Source::Bus(_)) => return once(core, cx, 1),
            Err(fault) => {
                if pc & 1 != 0 {
                    core.tell_left_out(cx, pc, Extension::Mips16e, "the code at this odd address");
                }
                return raised(core, fault, pc, false);
            }
        };
        let home = home(ram, offset);
        let start = (offset % PAGE) as u32;
        let kind = kind(core, pc);
        // Most often only the way to the block is forgotten.
        let number = self.pages.get(&home);
        let number = number.and_then(|page| page.tables.get(usize::from(kind)).copied().flatten());
        if let Some(number) = number
            && let Some(table) = self.tables.get(number as usize)
            && let known = table.blocks[(start / 4) as usize % WORDS]
            && known != NONE
        {
            self.counts.hits += 1;
            core.note_code_table(pc, pa, number, self.native_table(number));
            return Found::Block(known);
        }
        let Some(block) = decode(core, ram, offset) else {
            return self.make_across(core, cx, ram, offset);
        };
        let inside = |to: Option<u32>| match to {
            Some(to) if start.wrapping_add(to) < PAGE as u32 => NONE,
            _ => ELSEWHERE,
        };
        let code = Code {
            links: [inside(block.taken()), inside(Some(block.past()))],
            ..code(core, &block)
        };
        self.cover(core, home, start, block.past());
        let table = self.table(home, kind);
        core.note_code_table(pc, pa, table, self.native_table(table));
        let id = self.add(code);
        if let Some(table) = self.tables.get_mut(table as usize) {
            let word = (start / 4) as usize % WORDS;
            table.blocks[word] = id;
            table.used.push(word as u16);
        }
        Found::Block(id)
    }

    /// A branch in the last word of a page, with its slot in the next, which is another one each time it is looked at.
    fn make_across(&mut self, core: &mut Core, cx: &mut Cx<'_>, ram: u32, offset: u64) -> Found {
        let Ok(Source::Memory {
            ram: next_ram,
            offset: next_offset,
            ..
        }) = source(core, cx, core.pc.wrapping_add(4))
        else {
            return once(core, cx, 1);
        };
        let homes = (home(ram, offset), home(next_ram, next_offset));
        let key = (homes.0, homes.1, kind(core, core.pc));
        if let Some(id) = self.across.get(&key) {
            self.counts.hits += 1;
            return Found::Block(*id);
        }
        let mut both = words(core, ram, offset, 1);
        both.extend(words(core, next_ram, next_offset, 1));
        let Some(block) = translate(&both, 2, core.fp) else {
            return once(core, cx, 1);
        };
        self.cover(core, homes.0, (offset % PAGE) as u32, 4);
        self.cover(core, homes.1, 0, 4);
        let id = self.add(Code {
            across: true,
            ..code(core, &block)
        });
        self.across.insert(key, id);
        Found::Block(id)
    }

    fn add(&mut self, code: Code) -> u32 {
        self.counts.misses += 1;
        if let Some(id) = self.free.pop()
            && let Some(place) = self.list.get_mut(id as usize)
        {
            *place = code;
            return id;
        }
        self.list.push(code);
        self.list.len() as u32 - 1
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

    /// The table of a page, made if there is none.
    fn table(&mut self, home: Home, kind: u8) -> u32 {
        let page = self.pages.entry(home).or_default();
        let place = &mut page.tables[usize::from(kind) % KINDS];
        *place.get_or_insert_with(|| {
            self.tables.push(Table {
                blocks: Box::new([NONE; WORDS]),
                used: Vec::new(),
                native: None,
            });
            self.tables.len() as u32 - 1
        })
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
    pub fn warmed(&mut self, core: &mut Core, cx: &mut Cx<'_>, id: u32) -> bool {
        let Some(code) = self.list.get_mut(id as usize) else {
            return false;
        };
        code.runs = code.runs.wrapping_add(1);
        self.engine == Engine::Jit { after: code.runs } && self.generate(core, cx, id).is_some()
    }

    /// Makes code of the block at the CPU's address.
    #[cold]
    fn generate(&mut self, core: &mut Core, cx: &mut Cx<'_>, id: u32) -> Option<()> {
        if self.generated.is_none() {
            self.begin(core);
        }
        let here = here(core, cx)?;
        let word = usize::from(here.word) % WORDS;
        let table = self.pages.get(&here.home)?.tables[usize::from(here.kind) % KINDS]?;
        // A branch at the end of a page is not in a table, and stays with the interpreter.
        self.tables
            .get(table as usize)
            .filter(|t| t.blocks[word] == id)?;
        let member = Member {
            word: here.word,
            block: decode_at(core, here.home, here.word)?,
            depth: 0,
        };
        self.emit(core, cx, here, table, &[member])
    }

    /// Makes code of blocks of a page.
    fn emit(
        &mut self,
        core: &mut Core,
        cx: &mut Cx<'_>,
        here: To,
        table: u32,
        members: &[Member],
    ) -> Option<()> {
        let start = std::time::Instant::now();
        let generated = self.generated.as_mut().filter(|g| !g.code.full())?;
        let mode = mode(core);
        let kernel = core.mode.kernel();
        let page = core.pc & !0xfff;
        let mut find = |va: u32| match (va >> 29, core.frame(cx, va & 0x1fff_ffff)) {
            (4, Frame::Memory { ram, offset, .. }) => Some(To {
                home: home(ram, offset),
                word: ((va & 0xfff) / 4) as u16,
                ..here
            }),
            _ => None,
        };
        let place = Place {
            here,
            kseg0: (page >> 29 == 4).then_some(page),
            find: &mut find,
        };
        let emitted = generated.code.emit(members, mode, kernel, place)?;
        for link in emitted.links {
            let (site, to) = (link.site as u32, link.to);
            let known = self
                .pages
                .get(&to.home)
                .and_then(|p| p.tables[usize::from(to.kind) % KINDS])
                .and_then(|t| self.tables.get(t as usize))
                .and_then(|t| {
                    let block = t.blocks[usize::from(to.word) % WORDS];
                    self.list.get(block as usize)
                })
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
            core.move_native_table(table, natives.as_ptr() as usize);
        }
        for (member, entry) in members.iter().zip(emitted.entries) {
            let word = usize::from(member.word) % WORDS;
            let to = To {
                word: member.word,
                ..here
            };
            for site in generated.links.take_wanted(to) {
                generated.code.redirect(site, to, Some(entry));
            }
            natives[word] = generated.code.address(entry);
            if let Some(code) = self.list.get_mut(own.blocks[word] as usize) {
                if member.depth > 0 {
                    code.samples = SAMPLES;
                }
                if code.native != 0 {
                    generated.code.replace(code.native, entry);
                }
                code.native = entry;
            }
            self.counts.generated += 1;
            self.counts.generated_instructions += u64::from(member.block.len);
        }
        self.counts.generating_ns += start.elapsed().as_nanos() as u64;
        Some(())
    }

    /// The block at the CPU's address is about to be executed at an instant that has nothing to do with it: if that is so
    /// again and again, it is executed often, and code is generated for the loop it is in.
    pub fn sample(&mut self, core: &mut Core, cx: &mut Cx<'_>) {
        let pc = core.pc;
        if let Some(table) = core.code_table(pc)
            && let Some(blocks) = self.tables.get(table as usize)
            && let id = blocks.blocks[(pc >> 2) as usize % WORDS]
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
    fn generate_loop(&mut self, core: &mut Core, cx: &mut Cx<'_>, table: u32) -> Option<()> {
        let here = here(core, cx)?;
        let known = &self.tables.get(table as usize)?.used;
        let members = loop_around(here, known, |word| decode_at(core, here.home, word))?;
        self.emit(core, cx, here, table, &members)?;
        self.counts.loops += 1;
        Some(())
    }

    /// Prepares for generating code. Where that is not possible, nothing is tried again.
    fn begin(&mut self, core: &mut Core) {
        match Native::new() {
            Some(code) => {
                let none = Box::new(std::array::from_fn(|word| code.unknown(word as u16)));
                self.generated = Some(Generated {
                    code,
                    links: Links::default(),
                    none,
                });
                // They know of no table of code addresses.
                core.forget_code();
            }
            None => self.engine = Engine::Interp,
        }
    }

    /// Runs the generated code of a block, which is at the CPU's address, and what it leads to.
    pub fn enter(&mut self, core: &mut Core, cx: &mut Cx<'_>, native: u32) -> Left {
        let executed = |core: &Core| {
            core.instructions
                .wrapping_add_signed(core.granted - core.budget)
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
        let native = |code: &Code| code.native != 0;
        let free = self.free.iter();
        let free = free.filter(|id| self.list.get(**id as usize).is_some_and(native));
        let generated = self.list.iter().filter(|code| native(code)).count() - free.count();
        (self.list.len() - self.free.len() - generated, generated)
    }

    /// Bytes of generated code.
    pub fn native_bytes(&self) -> usize {
        self.generated.as_ref().map_or(0, |g| g.code.bytes())
    }

    /// Notes that lines of a page hold code, and has writes to it noticed.
    fn cover(&mut self, core: &mut Core, home: Home, start: u32, len: u32) {
        let page = self.pages.entry(home).or_default();
        if page.lines == 0
            && let Some(ram) = core.rams.get(home.0 as usize)
        {
            ram.set_code(home.1, true);
            core.soft.protect(ram, u64::from(home.1) * PAGE);
        }
        for line in start / 64..=(start + len - 1) / 64 {
            page.lines |= 1 << (line & 63);
        }
    }

    /// Forgets the blocks of a page.
    pub fn invalidate(&mut self, core: &Core, home: Home) {
        let Some(page) = self.pages.get_mut(&home) else {
            return;
        };
        page.lines = 0;
        self.counts.invalidated += 1;
        if let Some(ram) = core.rams.get(home.0 as usize) {
            ram.set_code(home.1, false);
        }
        for table in page.tables.into_iter().flatten() {
            let Some(table) = self.tables.get_mut(table as usize) else {
                continue;
            };
            let none = self.generated.as_ref().map(|g| &g.none);
            for word in table.used.drain(..).map(|word| usize::from(word) % WORDS) {
                self.free
                    .push(std::mem::replace(&mut table.blocks[word], NONE));
                if let (Some(native), Some(none)) = (&mut table.native, none) {
                    native[word] = none[word];
                }
            }
        }
        if let Some(generated) = &mut self.generated {
            for (site, to) in generated.links.forget(home) {
                generated.code.redirect(site, to, None);
            }
        }
        let free = &mut self.free;
        self.across.retain(|(first, second, _), id| {
            let gone = *first == home || *second == home;
            if gone {
                free.push(*id);
            }
            !gone
        });
    }

    /// A store hit a page with code: forgets its blocks if the store hit them.
    pub fn stored(&mut self, core: &Core, ram: u32, offset: u64) {
        let home = home(ram, offset);
        let line = offset % PAGE / 64;
        if self
            .pages
            .get(&home)
            .is_some_and(|p| p.lines >> line & 1 != 0)
        {
            self.invalidate(core, home);
        }
    }

    /// Whether there are so many blocks that it is better to start anew.
    pub fn full(&self) -> bool {
        self.list.len() - self.free.len() >= LIMIT
            || self.generated.as_ref().is_some_and(|g| g.code.full())
    }

    /// Forgets everything.
    pub fn clear(&mut self, core: &mut Core) {
        for (ram, page) in self.pages.keys() {
            if let Some(ram) = core.rams.get(*ram as usize) {
                ram.set_code(*page, false);
            }
        }
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
            ..Self::default()
        };
        core.forget_memory();
    }
}

/// Where the code at the CPU's address is, if that is in memory.
fn here(core: &mut Core, cx: &Cx<'_>) -> Option<To> {
    let pc = core.pc;
    match source(core, cx, pc) {
        Ok(Source::Memory { ram, offset, .. }) => Some(To {
            home: home(ram, offset),
            kind: kind(core, pc),
            word: (offset % PAGE / 4) as u16,
        }),
        _ => None,
    }
}

fn home(ram: u32, offset: u64) -> Home {
    (ram, (offset / PAGE) as u32)
}

/// Up to `limit` instructions from the CPU's address on, to be executed once; a branch there may make it one more.
pub fn once(core: &mut Core, cx: &mut Cx<'_>, limit: usize) -> Found {
    let pc = core.pc;
    let first = match source(core, cx, pc) {
        Ok(Source::Memory { ram, offset, .. }) => Ok(words(core, ram, offset, limit.min(MAX) + 1)),
        Ok(Source::Bus(pa)) => fetch(core, cx, pa).map(|word| vec![word]),
        Err(fault) => Err(fault),
    };
    let mut words = match first {
        Ok(words) => words,
        Err(fault) => return raised(core, fault, pc, false),
    };
    if let Some(block) = translate(&words, limit, core.fp) {
        return Found::Once(code(core, &block));
    }
    let slot = pc.wrapping_add(4);
    let second = match source(core, cx, slot) {
        Ok(Source::Memory { ram, offset, .. }) => Ok(self::words(core, ram, offset, 1)),
        Ok(Source::Bus(pa)) => fetch(core, cx, pa).map(|word| vec![word]),
        Err(fault) => Err(fault),
    };
    match second {
        Ok(slot) => words.extend(slot),
        Err(fault) => return raised(core, fault, slot, true),
    }
    match translate(&words, 2, core.fp) {
        Some(block) => Found::Once(code(core, &block)),
        None => raised(core, Fault::Bus, slot, true),
    }
}

fn mode(core: &Core) -> Mode {
    Mode {
        big_endian: core.identity.big_endian,
    }
}

fn code(core: &Core, block: &Block) -> Code {
    Code {
        ops: exec::lower(block, mode(core)),
        len: block.len.into(),
        links: [ELSEWHERE; 2],
        across: false,
        runs: 0,
        native: 0,
        samples: 0,
    }
}

/// Checks that an op that generated code leaves to the interpreter is the instruction at its address.
#[cfg(debug_assertions)]
pub fn check_site(core: &mut Core, cx: &Cx<'_>, op: &Op) {
    use crate::decode::{self, Decoded};
    use crate::ir::Step;
    use crate::translate::slot;
    let pc = core.pc.wrapping_add(u32::from(op.at()) * 4);
    assert!(
        core.budget >= 0 && u32::from(op.at()) < core.len,
        "{op:?} at {pc:#x}"
    );
    // The page may not be mapped any more, and what stands for a branch is no instruction.
    if let Ok(Source::Memory { ram, offset, .. }) = source(core, cx, pc)
        && let [word] = words(core, ram, offset, 1)[..]
    {
        let inst = match decode::decode(word, core.fp) {
            _ if op.slot() => slot(word, core.fp),
            Decoded::Plain(inst) => inst,
            _ => return,
        };
        let step = Step {
            inst,
            at: op.at(),
            slot: op.slot(),
        };
        assert!(
            op.same(&exec::op(&step, mode(core))),
            "{op:?} at {pc:#x}, where {inst:?} is"
        );
    }
}

/// Checks that an access that generated code leaves to the interpreter is the instruction at its address.
#[cfg(debug_assertions)]
pub fn check_missed(core: &mut Core, cx: &Cx<'_>, missed: exec::Missed) {
    use crate::decode::{self, Decoded};
    use crate::ir::Step;
    let (at, len) = missed.place();
    let pc = core.pc.wrapping_add(u32::from(at) * 4);
    assert!(core.budget >= 0 && at < len, "{missed:?} at {pc:#x}");
    // The page may not be mapped any more.
    if let Ok(Source::Memory { ram, offset, .. }) = source(core, cx, pc)
        && let [word] = words(core, ram, offset, 1)[..]
    {
        let step = |slot| match decode::decode(word, core.fp) {
            Decoded::Plain(inst) => exec::Missed::new(&Step { inst, at, slot }, len),
            _ => None,
        };
        assert!(
            [step(false), step(true)].contains(&Some(missed)),
            "{missed:?} at {pc:#x}, where {word:#x} is"
        );
    }
}

/// What the address of an instruction leads to.
fn source(core: &mut Core, cx: &Cx<'_>, va: u32) -> Result<Source, Fault> {
    if va & 3 != 0 {
        return Err(Fault::Address);
    }
    let (pa, _) = core.translate(va, Access::Fetch)?;
    Ok(match core.frame(cx, pa) {
        Frame::Memory { ram, offset, .. } => Source::Memory {
            pa,
            ram,
            offset: offset + u64::from(pa & 0xfff),
        },
        Frame::Registers => Source::Bus(pa),
    })
}

/// The block at an offset in memory; `None` as for [`translate`].
fn decode(core: &Core, ram: u32, offset: u64) -> Option<Block> {
    // Most are short, and need no more words than these.
    const SHORT: usize = 16;
    let mut words = [0; MAX];
    let short = translate(read(core, ram, offset, &mut words[..=SHORT]), MAX, core.fp)?;
    if usize::from(short.len) < SHORT {
        return Some(short);
    }
    translate(read(core, ram, offset, &mut words), MAX, core.fp)
}

/// The same at a word of a page.
fn decode_at(core: &Core, (ram, page): Home, word: u16) -> Option<Block> {
    decode(core, ram, u64::from(page) * PAGE + 4 * u64::from(word))
}

/// Up to `count` words from memory, no further than the end of the page.
fn words(core: &Core, ram: u32, offset: u64, count: usize) -> Vec<u32> {
    let mut words = vec![0; count];
    let read = read(core, ram, offset, &mut words).len();
    words.truncate(read);
    words
}

/// Reads words from memory, no further than the end of the page; gives those that were.
fn read<'a>(core: &Core, ram: u32, offset: u64, words: &'a mut [u32]) -> &'a [u32] {
    let left = ((PAGE - offset % PAGE) / 4) as usize;
    let mut count = 0;
    if let Some(ram) = core.rams.get(ram as usize) {
        for (word, at) in words.iter_mut().take(left).zip((offset..).step_by(4)) {
            let Ok(raw) = ram.read_u32(at) else {
                break;
            };
            *word = in_order(core, raw);
            count += 1;
        }
    }
    &words[..count]
}

/// The instruction at an address, if that is in memory.
pub fn word(core: &mut Core, cx: &Cx<'_>, va: u32) -> Option<u32> {
    match source(core, cx, va) {
        Ok(Source::Memory { ram, offset, .. }) => words(core, ram, offset, 1).first().copied(),
        _ => None,
    }
}

/// Fetches a word that is not in memory.
fn fetch(core: &mut Core, cx: &mut Cx<'_>, pa: u32) -> Result<u32, Fault> {
    core.advance(core.granted - core.budget, core.pc, cx);
    match cx.bus_read(pa.into(), 4) {
        Ok(raw) => Ok(in_order(core, raw as u32)),
        Err(_) => Err(Fault::Bus),
    }
}

fn in_order(core: &Core, raw: u32) -> u32 {
    if core.identity.big_endian {
        raw.swap_bytes()
    } else {
        raw
    }
}

/// The exception of a fetch is taken.
fn raised(core: &mut Core, fault: Fault, va: u32, slot: bool) -> Found {
    core.fetch_fault(fault, va, slot);
    Found::Raised
}
