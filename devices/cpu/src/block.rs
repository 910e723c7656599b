//! Decoded code, kept by physical page.
//!
//! A page has a table of blocks for each state of the FPU, as that is what decoding depends on. Blocks link to others of
//! the same table only, so a link needs no check: as long as the page is what it was, so is the block. When code changes,
//! all blocks of its page go. What tells that is a bitmap of the page's 64-byte lines, so that data next to code does not
//! cost the code.

use std::collections::HashMap;

use solderless_model::Cx;
use solderless_model::memory::PAGE;

use crate::core::{Core, Frame};
use crate::decode::FpMode;
use crate::exception::{Access, Exception, Fault};
use crate::exec::{self, Mode, Op};
use crate::ir::Block;
use crate::translate::{MAX, translate};

/// A block that is not there yet: its place in a table, or a link that can be made.
pub const NONE: u32 = u32::MAX;
/// A link that cannot be made, as it leads to another page.
const ELSEWHERE: u32 = u32::MAX - 1;
/// Blocks that are too many.
const LIMIT: usize = 1 << 19;
/// Words in a page.
const WORDS: usize = PAGE as usize / 4;

/// A block, ready to be executed.
#[derive(Debug)]
pub struct Code {
    /// What is executed.
    pub ops: Box<[Op]>,
    /// Instructions.
    pub len: u32,
    /// The blocks that follow it, where it is left by its branch, and by its end.
    pub links: [u32; 2],
}

/// A page of memory: the number of the memory in [`Core::rams`], and of the page in it.
type Home = (u32, u32);

/// The blocks of a page, by their first instruction.
type Table = Box<[u32; WORDS]>;

#[derive(Debug, Default)]
struct CodePage {
    /// Lines that hold code, one bit each.
    lines: u64,
    /// Its tables, by state of the FPU.
    tables: [Option<u32>; 3],
}

/// All decoded code.
#[derive(Debug, Default)]
pub struct Blocks {
    pub list: Vec<Code>,
    free: Vec<u32>,
    tables: Vec<Table>,
    pages: HashMap<Home, CodePage>,
    /// Branches in the last word of a page, by that page, the page of the slot, and the state of the FPU.
    across: HashMap<(Home, Home, FpMode), u32>,
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
    Memory { ram: u32, offset: u64 },
    Bus(u32),
}

impl Blocks {
    /// The block that starts at the CPU's address.
    pub fn find(&mut self, core: &mut Core, cx: &mut Cx<'_>) -> Found {
        let pc = core.pc;
        if let Some(table) = core.code_table(pc)
            && pc & 3 == 0
            && let Some(table) = self.tables.get(table as usize)
        {
            let block = table[(pc >> 2) as usize % WORDS];
            if block != NONE {
                return Found::Block(block);
            }
        }
        self.make(core, cx)
    }

    #[cold]
    fn make(&mut self, core: &mut Core, cx: &mut Cx<'_>) -> Found {
        let pc = core.pc;
        let (ram, offset) = match source(core, cx, pc) {
            Ok(Source::Memory { ram, offset }) => (ram, offset),
            Ok(Source::Bus(_)) => return once(core, cx, 1),
            Err(fault) => return core.fetch_fault(fault, pc, false),
        };
        let Some(block) = translate(&words(core, ram, offset, MAX), MAX, core.fp) else {
            return self.make_across(core, cx, ram, offset);
        };
        let home = home(ram, offset);
        let start = (offset % PAGE) as u32;
        let inside = |to: Option<u32>| match to {
            Some(to) if start.wrapping_add(to) < PAGE as u32 => NONE,
            _ => ELSEWHERE,
        };
        let code = Code {
            links: [inside(block.taken()), inside(Some(block.past()))],
            ..code(core, &block)
        };
        self.cover(core, home, start, block.past());
        let table = self.table(core, home);
        core.note_code_table(pc, table);
        let id = self.add(code);
        if let Some(table) = self.tables.get_mut(table as usize) {
            table[(start / 4) as usize % WORDS] = id;
        }
        Found::Block(id)
    }

    /// A branch in the last word of a page, with its slot in the next, which is another one each time it is looked at.
    fn make_across(&mut self, core: &mut Core, cx: &mut Cx<'_>, ram: u32, offset: u64) -> Found {
        let Ok(Source::Memory {
            ram: next_ram,
            offset: next_offset,
        }) = source(core, cx, core.pc.wrapping_add(4))
        else {
            return once(core, cx, 1);
        };
        let homes = (home(ram, offset), home(next_ram, next_offset));
        let key = (homes.0, homes.1, core.fp);
        if let Some(id) = self.across.get(&key) {
            return Found::Block(*id);
        }
        let mut both = words(core, ram, offset, 1);
        both.extend(words(core, next_ram, next_offset, 1));
        let Some(block) = translate(&both, 2, core.fp) else {
            return once(core, cx, 1);
        };
        self.cover(core, homes.0, (offset % PAGE) as u32, 4);
        self.cover(core, homes.1, 0, 4);
        let id = self.add(code(core, &block));
        self.across.insert(key, id);
        Found::Block(id)
    }

    fn add(&mut self, code: Code) -> u32 {
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
    fn table(&mut self, core: &Core, home: Home) -> u32 {
        let page = self.pages.entry(home).or_default();
        let place = &mut page.tables[core.fp as usize % 3];
        *place.get_or_insert_with(|| {
            self.tables.push(Box::new([NONE; WORDS]));
            self.tables.len() as u32 - 1
        })
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
        if let Some(ram) = core.rams.get(home.0 as usize) {
            ram.set_code(home.1, false);
        }
        for table in page.tables.into_iter().flatten() {
            let Some(table) = self.tables.get_mut(table as usize) else {
                continue;
            };
            for block in table.iter_mut().filter(|b| **b != NONE) {
                self.free.push(std::mem::replace(block, NONE));
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
    }

    /// Forgets everything.
    pub fn clear(&mut self, core: &mut Core) {
        for (ram, page) in self.pages.keys() {
            if let Some(ram) = core.rams.get(*ram as usize) {
                ram.set_code(*page, false);
            }
        }
        *self = Self::default();
        core.forget_memory();
    }
}

fn home(ram: u32, offset: u64) -> Home {
    (ram, (offset / PAGE) as u32)
}

/// Up to `limit` instructions from the CPU's address on, to be executed once; a branch there may make it one more.
pub fn once(core: &mut Core, cx: &mut Cx<'_>, limit: usize) -> Found {
    let pc = core.pc;
    let first = match source(core, cx, pc) {
        Ok(Source::Memory { ram, offset }) => Ok(words(core, ram, offset, limit.min(MAX) + 1)),
        Ok(Source::Bus(pa)) => fetch(core, cx, pa).map(|word| vec![word]),
        Err(fault) => Err(fault),
    };
    let mut words = match first {
        Ok(words) => words,
        Err(fault) => return core.fetch_fault(fault, pc, false),
    };
    if let Some(block) = translate(&words, limit, core.fp) {
        return Found::Once(code(core, &block));
    }
    let slot = pc.wrapping_add(4);
    let second = match source(core, cx, slot) {
        Ok(Source::Memory { ram, offset }) => Ok(self::words(core, ram, offset, 1)),
        Ok(Source::Bus(pa)) => fetch(core, cx, pa).map(|word| vec![word]),
        Err(fault) => Err(fault),
    };
    match second {
        Ok(slot) => words.extend(slot),
        Err(fault) => return core.fetch_fault(fault, slot, true),
    }
    match translate(&words, 2, core.fp) {
        Some(block) => Found::Once(code(core, &block)),
        None => core.fetch_fault(Fault::Bus, slot, true),
    }
}

fn code(core: &Core, block: &Block) -> Code {
    let mode = Mode {
        big_endian: core.identity.big_endian,
    };
    Code {
        ops: exec::lower(block, mode),
        len: block.len.into(),
        links: [ELSEWHERE; 2],
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
            ram,
            offset: offset + u64::from(pa & 0xfff),
        },
        Frame::Registers => Source::Bus(pa),
    })
}

/// Up to `count` words from memory, no further than the end of the page.
fn words(core: &Core, ram: u32, offset: u64, count: usize) -> Vec<u32> {
    let left = ((PAGE - offset % PAGE) / 4) as usize;
    let Some(ram) = core.rams.get(ram as usize) else {
        return Vec::new();
    };
    (0..count.min(left) as u64)
        .map_while(|i| ram.read_u32(offset + 4 * i).ok())
        .map(|raw| in_order(core, raw))
        .collect()
}

/// Fetches a word that is not in memory.
fn fetch(core: &mut Core, cx: &mut Cx<'_>, pa: u32) -> Result<u32, Fault> {
    core.advance(core.granted - core.budget, cx);
    match cx.bus_read(pa.into(), 4) {
        Ok(raw) => Ok(in_order(core, raw as u32)),
        Err(_) => {
            cx.guest_error(format_args!(
                "no instruction at physical address {pa:#010x}"
            ));
            Err(Fault::Bus)
        }
    }
}

fn in_order(core: &Core, raw: u32) -> u32 {
    if core.identity.big_endian {
        raw.swap_bytes()
    } else {
        raw
    }
}

impl Core {
    /// Takes the exception of a fetch, which costs as much as an instruction.
    fn fetch_fault(&mut self, fault: Fault, va: u32, slot: bool) -> Found {
        self.budget -= 1;
        self.enter(Exception::Memory(fault, Access::Fetch, va), va, slot);
        Found::Raised
    }
}
