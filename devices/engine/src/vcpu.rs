//! What the engine keeps for each CPU besides the guest's registers: time, and what it knows of pages.

use solderless_model::memory::{PAGE, SoftTlb, Watcher, WideTlb};
use solderless_model::{Cx, Page, State, StateError, Taken};

use crate::halts::{Halts, Reached};

/// Places for virtual pages of code.
pub const CODE_PAGES: usize = 512;
/// Places for physical pages.
const FRAMES: usize = 1024;
/// The number of no physical page.
const UNUSED: u64 = u64::MAX;
/// The mode that no code is for.
const NO_MODE: u8 = u8::MAX;

/// Where generated code finds fields of the [`Vcpu`].
pub(crate) mod at {
    use super::Vcpu;
    use solderless_model::memory::{layout, wide_layout};
    use std::mem::offset_of;

    pub const BUDGET: i32 = offset_of!(Vcpu, budget) as i32;
    pub const CODE_KEY: i32 = offset_of!(Vcpu, code_key) as i32;
    pub const CODE_PAGES: i32 = offset_of!(Vcpu, code_pages) as i32;
    pub const VIEW: i32 = (offset_of!(Vcpu, soft) + layout::VIEW) as i32;
    pub const WIDE_VIEW: i32 = (offset_of!(Vcpu, wide) + wide_layout::VIEW) as i32;
}

/// A virtual page of code, for finding blocks. Generated code reads it too.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(crate) struct CodePage {
    /// The page, and the key it is seen by.
    pub tag: u64,
    /// Where the table of its generated code is in the host's memory.
    pub native: usize,
    /// The table of its blocks.
    pub table: u32,
}

const NO_CODE: CodePage = CodePage {
    // No address and key look like this.
    tag: u64::MAX,
    native: 0,
    table: 0,
};

/// What is at a physical page, as the machine said it was.
#[derive(Debug, Clone, Copy)]
pub enum Frame {
    /// Memory: which of `Vcpu::memory`, where in it, and whether it may be written.
    Memory {
        ram: u32,
        offset: u64,
        writable: bool,
    },
    /// Registers.
    Registers,
}

/// A physical page, and the table of blocks that its code had when it was last executed at an address that is translated.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
struct KnownFrame {
    number: u64,
    /// Which of `Vcpu::memory`; none if it has registers.
    ram: u32,
    /// Its number in the memory.
    page: u32,
    table: u32,
    /// What the code was for.
    mode: u8,
    writable: bool,
    native: usize,
}

const NO_FRAME: KnownFrame = KnownFrame {
    number: UNUSED,
    ram: u32::MAX,
    page: 0,
    table: 0,
    mode: NO_MODE,
    writable: false,
    native: 0,
};

impl KnownFrame {
    /// Which memory it is in, and where.
    fn place(&self) -> (u32, u64) {
        (self.ram, u64::from(self.page) * PAGE)
    }
}

/// Physical pages that were looked up.
#[derive(Debug, Default)]
pub struct Memory {
    /// Empty until one is.
    known: Box<[KnownFrame]>,
    /// The memories they are of, each with what was written of the code in it.
    pub rams: Vec<Watcher>,
}

impl Memory {
    /// What is known of a physical page.
    fn look(&mut self, cx: &Cx<'_>, pa: u64) -> KnownFrame {
        let number = pa >> 12;
        let place = number as usize % FRAMES;
        if let Some(frame) = self.known.get(place)
            && frame.number == number
        {
            return *frame;
        }
        let mut frame = KnownFrame { number, ..NO_FRAME };
        if let Page::Memory {
            ram,
            offset,
            writable,
        } = cx.page(pa)
        {
            let index = self
                .rams
                .iter()
                .position(|r| r.same(&ram))
                .unwrap_or_else(|| {
                    self.rams.push(ram.watcher());
                    self.rams.len() - 1
                });
            frame.ram = index as u32;
            frame.page = (offset / PAGE) as u32;
            frame.writable = writable;
        }
        if self.known.is_empty() {
            self.known = vec![NO_FRAME; FRAMES].into();
        }
        self.known[place] = frame;
        frame
    }

    /// Forgets where memory is.
    pub(crate) fn forget_map(&mut self) {
        self.known.fill(NO_FRAME);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.forget_map();
        self.rams.clear();
    }

    /// What is at a physical page.
    pub fn frame(&mut self, cx: &Cx<'_>, pa: u64) -> Frame {
        let known = self.look(cx, pa);
        match known.ram {
            u32::MAX => Frame::Registers,
            ram => Frame::Memory {
                ram,
                offset: u64::from(known.page) * PAGE,
                writable: known.writable,
            },
        }
    }
}

/// See the module.
#[derive(Debug, State)]
pub struct Vcpu {
    /// Instructions executed since power-on.
    pub instructions: u64,
    /// Instructions × 10⁹ that have not made a whole nanosecond yet.
    carry: u64,
    #[state(
        skip = "the host's choice: instructions executed in a second, of which the clock's rate is the least"
    )]
    pub(crate) rate: u64,
    #[state(skip = "a property: cycles in a second")]
    clock: u64,
    #[state(skip = "derived: what is behind virtual pages, of addresses of 32 bits")]
    pub soft: SoftTlb,
    #[state(skip = "derived: what is behind virtual pages, of addresses of 64 bits")]
    pub wide: WideTlb,
    #[state(skip = "derived: what virtual pages of code are asked for with")]
    code_key: u64,
    #[state(skip = "derived: what is behind physical pages")]
    pub memory: Memory,
    #[state(skip = "derived: virtual pages of code")]
    code_pages: [CodePage; CODE_PAGES],
    #[state(skip = "a debugger's: where to stop")]
    pub halts: Halts,
    #[state(skip = "a trace's: exceptions that were taken, if anybody wants to know")]
    pub taken: Option<Vec<Taken>>,
    #[state(skip = "within a run: instructions of the block that runs")]
    pub len: u32,
    #[state(skip = "within a run: instructions that may still be executed")]
    pub budget: i64,
    #[state(skip = "within a run: what the budget was when time was last advanced")]
    pub(crate) granted: i64,
}

impl Vcpu {
    /// One that has executed nothing, with a clock in Hz.
    pub fn new(clock: u64) -> Self {
        Self {
            instructions: 0,
            carry: 0,
            rate: clock,
            clock,
            soft: SoftTlb::default(),
            wide: WideTlb::default(),
            code_key: u64::MAX,
            memory: Memory::default(),
            code_pages: [NO_CODE; CODE_PAGES],
            halts: Halts::default(),
            taken: None,
            len: 0,
            budget: 0,
            granted: 0,
        }
    }

    /// Keeps exceptions from now on, or no longer.
    pub fn keep_taken(&mut self, on: bool) {
        self.taken = on.then(Vec::new);
    }

    /// What was kept.
    pub fn take_taken(&mut self) -> Vec<Taken> {
        self.taken.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Has so many instructions be executed in a cycle, 1 or more.
    pub fn set_pace(&mut self, per_cycle: f64) {
        self.rate = ((self.clock as f64 * per_cycle) as u64).max(self.clock);
    }

    /// Has generated code look for pages with a key: what must be the same besides the page. It has no bits where an address
    /// of a page has some, and is not all ones.
    pub fn set_code_key(&mut self, key: u64) {
        self.code_key = key;
    }

    /// Forgets every virtual page.
    pub fn forget_pages(&mut self) {
        self.soft.clear();
        self.wide.clear();
        self.forget_code_pages();
    }

    /// Forgets the code of every virtual page: keys may stand for something else from now on.
    pub fn forget_code_pages(&mut self) {
        self.code_pages.fill(NO_CODE);
    }

    /// A page of one of `memory` must not be written directly any more.
    pub(crate) fn protect(&mut self, ram: u32, page: u32) {
        if let Some(ram) = self.memory.rams.get(ram as usize) {
            self.soft.protect(ram, u64::from(page) * PAGE);
            self.wide.protect(ram, u64::from(page) * PAGE);
        }
    }

    /// Forgets the code of a virtual page, whatever its key.
    pub fn forget_code_page(&mut self, va: u64) {
        let page = self.code_page(va);
        if (page.tag ^ va) & PAGE_BITS == 0 {
            *page = NO_CODE;
        }
    }

    #[inline]
    fn code_page(&mut self, va: u64) -> &mut CodePage {
        &mut self.code_pages[(va >> 12) as usize % CODE_PAGES]
    }

    /// The table of blocks of the page that holds `va`, if it is known.
    #[inline]
    pub(crate) fn code_table(&self, va: u64, key: Option<u64>) -> Option<u32> {
        let page = &self.code_pages[(va >> 12) as usize % CODE_PAGES];
        (page.tag == va & !0xfff | key?).then_some(page.table)
    }

    /// Notes the table of blocks of the page that holds `va`, which is at `pa`, and where that of their generated code is.
    pub(crate) fn note_code_table(&mut self, code: CodeAt, table: u32, native: usize) {
        self.enter_code(code.va, code.key, table, native);
        if let Some(frame) = self.memory.known.get_mut((code.pa >> 12) as usize % FRAMES)
            && code.translated
            && frame.number == code.pa >> 12
        {
            (frame.mode, frame.table, frame.native) = (code.mode, table, native);
        }
    }

    fn enter_code(&mut self, va: u64, key: Option<u64>, table: u32, native: usize) {
        if let Some(key) = key {
            *self.code_page(va) = CodePage {
                tag: va & !0xfff | key,
                native,
                table,
            };
        }
    }

    /// The table of generated code of pages with this table of blocks is elsewhere.
    pub(crate) fn move_native_table(&mut self, table: u32, native: usize) {
        for page in self
            .code_pages
            .iter_mut()
            .filter(|p| p.table == table && p.native != 0)
        {
            page.native = native;
        }
        for frame in self
            .memory
            .known
            .iter_mut()
            .filter(|f| f.table == table && f.native != 0)
        {
            frame.native = native;
        }
    }

    /// Forgets what is known of code.
    pub(crate) fn forget_code(&mut self) {
        self.code_pages.fill(NO_CODE);
        for frame in self.memory.known.iter_mut() {
            (frame.mode, frame.native) = (NO_MODE, 0);
        }
    }

    /// What is at a physical page.
    pub fn frame(&mut self, cx: &Cx<'_>, pa: u64) -> Frame {
        self.memory.frame(cx, pa)
    }

    /// Makes generated code known at a virtual page that is translated to a physical one, if that page has some for this mode.
    pub fn know_code(&mut self, cx: &Cx<'_>, code: CodeAt) -> bool {
        if self.halts.is_in_page(code.va) {
            return false;
        }
        let frame = self.memory.look(cx, code.pa);
        let known = frame.mode == code.mode && frame.native != 0;
        if known {
            self.enter_code(code.va, code.key, frame.table, frame.native);
        }
        known
    }

    /// Makes a page known that is likely to be accessed next: its memory, and the code in it. `writable` says what the
    /// translation allows. False if it is not memory.
    pub fn expect_page(&mut self, cx: &Cx<'_>, code: CodeAt, writable: bool) -> bool {
        self.expect(cx, code, |vcpu, frame| {
            let writable = writable && frame.writable;
            vcpu.fill(code.va, code.pa, frame.place(), writable);
        })
    }

    /// The same at an address of 64 bits.
    pub fn expect_wide_page(&mut self, cx: &Cx<'_>, code: CodeAt, writable: bool) -> bool {
        self.expect(cx, code, |vcpu, frame| {
            let rights = (true, writable && frame.writable);
            vcpu.fill_wide(code.va, code.pa, frame.place(), rights, PAGE);
        })
    }

    #[inline(always)]
    fn expect(
        &mut self,
        cx: &Cx<'_>,
        code: CodeAt,
        fill: impl FnOnce(&mut Self, &KnownFrame),
    ) -> bool {
        let frame = self.memory.look(cx, code.pa);
        if self.memory.rams.get(frame.ram as usize).is_none() {
            return false;
        }
        fill(self, &frame);
        if frame.mode == code.mode && !self.halts.is_in_page(code.va) {
            self.enter_code(code.va, code.key, frame.table, frame.native);
        }
        true
    }

    /// Lets the page at a virtual and a physical address be accessed directly: it is in one of `memory`, at an offset. Not
    /// if accesses to it are watched, and for writing only if nobody watches what is written.
    pub fn fill(&mut self, va: u64, pa: u64, (ram, offset): (u32, u64), writable: bool) {
        if self.halts.watches() && self.halts.watches_page(va, pa) {
            return;
        }
        if let Some(ram) = self.memory.rams.get(ram as usize) {
            let writable = writable && !ram.is_watched((offset / PAGE) as u32);
            self.soft.fill(va as u32, ram, offset, writable);
        }
    }

    /// The same with an address of 64 bits, for reading and for writing as `rights` say, of a page of `span` bytes.
    pub fn fill_wide(
        &mut self,
        va: u64,
        pa: u64,
        (ram, offset): (u32, u64),
        (readable, writable): (bool, bool),
        span: u64,
    ) {
        if self.halts.watches() && self.halts.watches_page(va, pa) {
            return;
        }
        if let Some(ram) = self.memory.rams.get(ram as usize) {
            let writable = writable && !ram.is_watched((offset / PAGE) as u32);
            let rights = (readable, writable);
            self.wide.fill((va, pa), (ram, offset), rights, span);
        }
    }

    /// Whether a debugger watches anything.
    #[inline]
    pub fn watches(&self) -> bool {
        self.halts.watches()
    }

    /// Whether the CPU is to stop before an access. So many instructions of the block, from the one on that is begun again, are
    /// then not executed: it is left by [`Exit::Event`](crate::Exit::Event) to the address of that one.
    #[cold]
    pub fn stops_before(&mut self, reached: Reached, not_executed: i64) -> bool {
        let instructions = self.instructions;
        let instructions = instructions.wrapping_add_signed(self.executed(not_executed));
        self.halts.stops_before(instructions, reached)
    }

    /// Ends the run of blocks after this one, so that what has happened is looked at.
    #[inline]
    pub fn attention(&mut self) {
        self.granted -= self.budget;
        self.budget = 0;
    }

    /// Instructions that were executed and have not advanced time yet, but for those of the block that were not reached.
    #[inline]
    pub fn executed(&self, not_reached: i64) -> i64 {
        self.granted - self.budget - not_reached
    }

    /// Lets the time pass that instructions have taken, up to the one at `pc`.
    pub fn advance(&mut self, executed: i64, pc: u64, cx: &mut Cx<'_>) {
        let executed = executed.max(0);
        self.granted -= executed;
        let executed = executed as u64;
        self.instructions = self.instructions.wrapping_add(executed);
        let cycles = executed
            .saturating_mul(1_000_000_000)
            .saturating_add(self.carry);
        self.carry = cycles % self.rate;
        cx.advance(cycles / self.rate, pc);
    }

    /// State was loaded.
    ///
    /// # Errors
    /// More instructions than any CPU executes in its time, or more time that has not passed yet than an instruction takes.
    pub fn restored(&self) -> Result<(), StateError> {
        if self.instructions > i64::MAX as u64 {
            let reason = format!("instructions: {} are too many", self.instructions);
            return Err(StateError::new(reason));
        }
        if self.carry / self.clock.max(1) >= 1_000_000_000 {
            let reason = format!("carry: {} is more than an instruction", self.carry);
            return Err(StateError::new(reason));
        }
        Ok(())
    }

    /// Instructions that may be executed until the deadline, at least one and no more than `most`.
    pub(crate) fn grant(&mut self, until_deadline: u64, most: u64) {
        let instructions = until_deadline
            .min(1_000_000_000)
            .saturating_mul(self.rate)
            .saturating_sub(self.carry)
            .div_ceil(1_000_000_000);
        self.granted = instructions.min(most).clamp(1, SLICE) as i64;
        self.budget = self.granted;
    }
}

/// Instructions in a slice at most.
const SLICE: u64 = 1 << 30;

/// The bits of an address of a page that a tag has.
const PAGE_BITS: u64 = 0xffff_f000;

/// Where code is, and what it is for.
#[derive(Debug, Clone, Copy)]
pub struct CodeAt {
    /// Its virtual address.
    pub va: u64,
    /// What it is looked for with, besides its page; `None` if that does not last.
    pub key: Option<u64>,
    /// Its physical address.
    pub pa: u64,
    /// The address is one that something translates.
    pub translated: bool,
    /// The mode it is decoded for.
    pub mode: u8,
}
