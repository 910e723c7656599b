//! The registers of the CPU, and what the executing code needs at hand.

use solderless_model::memory::{PAGE, Ram, SoftTlb};
use solderless_model::{Cx, Fitted, Page, Parts, Reader, Shape, State, StateError, Writer};

use crate::cp0::{Cp0, status};
use crate::decode::FpMode;
use crate::exception::{Access, Exception, Fault};
use crate::exec::{Due, Op};
use crate::fpu::Fcsr;
use crate::ir::SINK;
use crate::model::Identity;
use crate::notices::Notices;
use crate::tlb::{Entry, Mapping, Tlb};
use crate::victims::Victims;

/// The general registers, HI and LO, and a place for writes to register 0. Any byte is an index, so none is checked.
#[derive(Debug)]
pub struct Registers([u32; 256]);

impl std::ops::Index<u8> for Registers {
    type Output = u32;
    #[inline(always)]
    fn index(&self, index: u8) -> &u32 {
        &self.0[usize::from(index)]
    }
}

impl std::ops::IndexMut<u8> for Registers {
    #[inline(always)]
    fn index_mut(&mut self, index: u8) -> &mut u32 {
        &mut self.0[usize::from(index)]
    }
}

/// The 32 general registers, HI and LO.
impl State for Registers {
    fn shape(_: &Parts) -> Shape {
        Shape::Array(Box::new(Shape::Scalar("u32")), SINK.into())
    }
    fn save(&self, out: &mut Writer) {
        self.0[..usize::from(SINK)].iter().for_each(|r| r.save(out));
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let (registers, _) = self.0.split_at_mut(SINK.into());
        registers.iter_mut().try_for_each(|r| r.load(from))
    }
}

impl State for Fcsr {
    fn shape(_: &Parts) -> Shape {
        Shape::Scalar("u32")
    }
    fn save(&self, out: &mut Writer) {
        self.0.save(out);
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.0.load(from)
    }
}

/// A physical page, as the machine said it was.
#[derive(Debug, Clone, Copy)]
pub enum Frame {
    /// Memory: which of [`Core::rams`], where in it, and whether it may be written.
    Memory {
        ram: u32,
        offset: u64,
        writable: bool,
    },
    /// Registers.
    Registers,
}

const FRAMES: usize = 1024;
/// The number of no physical page.
const UNUSED: u32 = u32::MAX;

/// A physical page, and the table of blocks that its code had when it was last executed at a mapped address.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
struct KnownFrame {
    number: u32,
    /// Which of [`Core::rams`]; none if it has registers.
    ram: u32,
    /// Its number in the memory.
    page: u32,
    writable: bool,
    /// As in [`CodeEntry`].
    mode: CodeMode,
    table: u32,
    native: usize,
}

const NO_FRAME: KnownFrame = KnownFrame {
    number: UNUSED,
    ram: u32::MAX,
    page: 0,
    writable: false,
    mode: NO_MODE,
    table: 0,
    native: 0,
};

/// Places for virtual pages of code.
pub const ITLB: usize = 512;

/// What code is decoded and generated for: the state of the FPU, and whether the CPU is in kernel mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct CodeMode(u32);

impl CodeMode {
    /// How many there are.
    pub const COUNT: usize = 8;
    const KERNEL: u32 = 4;

    fn new(fp: FpMode, kernel: bool) -> Self {
        Self(fp as u32 | if kernel { Self::KERNEL } else { 0 })
    }

    /// Its number.
    pub fn index(self) -> usize {
        self.0 as usize % Self::COUNT
    }

    /// The CPU is in kernel mode.
    pub fn kernel(self) -> bool {
        self.0 & Self::KERNEL != 0
    }
}

/// What besides its page a virtual address of code must have in common with an entry: an address space number, the kernel,
/// or nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Key(u32);

impl Key {
    /// Pages visible in every address space, to a privileged CPU only.
    const KERNEL: Key = Key(0);
    /// Matches no entry.
    const NEVER: Key = Key(0x008);

    /// Pages of one address space.
    const fn asid(asid: u8) -> Key {
        Key(0x800 | (asid as u32) << 3)
    }
}

/// A virtual page of code, for finding blocks. Generated code reads it too.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub struct CodeEntry {
    /// The page, and the [`Key`] it is seen by.
    pub tag: u32,
    pub mode: CodeMode,
    /// Where the table of its generated code is in the host's memory.
    pub native: usize,
    /// The table of its blocks.
    pub table: u32,
}

/// Nothing is for it.
const NO_MODE: CodeMode = CodeMode(u32::MAX);

const NO_CODE: CodeEntry = CodeEntry {
    // No address looks like this.
    tag: 0x010,
    mode: NO_MODE,
    native: 0,
    table: 0,
};

/// Whether the TLB says what is at an address, but for error level.
fn mapped(va: u32) -> bool {
    !matches!(va >> 29, 4 | 5)
}

/// A CPU without its decoded code.
#[derive(Debug, State)]
pub struct Core {
    pub r: Registers,
    /// Address of the next instruction; while a block runs, of its first one.
    pub pc: u32,
    pub fpr: [u64; 32],
    pub fcsr: Fcsr,
    pub cp0: Cp0,
    pub tlb: Tlb,
    /// Out of sight of software.
    pub victims: Fitted<Victims>,
    /// An LL was executed, and nothing since that makes SC fail.
    pub ll_bit: bool,
    /// Where.
    pub ll_va: u32,
    /// It has executed WAIT, and no interrupt has come since.
    pub waiting: bool,
    /// A non-maskable interrupt was not taken yet.
    pub nmi: bool,
    /// The NMI pin, when it was looked at last.
    pub nmi_level: bool,
    /// Instructions executed since power-on.
    pub instructions: u64,
    /// Instructions × 10⁹ that have not made a whole nanosecond yet.
    pub carry: u64,
    #[state(
        skip = "the host's choice: instructions executed in a second, of which the clock's rate is the least"
    )]
    pub rate: u64,

    #[state(skip = "properties")]
    pub identity: Identity,
    #[state(skip = "input levels, which their owners save")]
    pub pins: u32,
    #[state(skip = "derived: what is behind virtual pages")]
    pub soft: SoftTlb,
    #[state(skip = "derived: what `itlb` is asked with, below 0x80000000 and above")]
    pub keys: [Key; 2],
    #[state(skip = "derived: whether `soft` holds pages above 0x80000000 of one address space")]
    pub local_kernel_pages: bool,
    #[state(skip = "derived from Status")]
    pub fp: FpMode,
    #[state(skip = "derived from Status: what code is for")]
    pub mode: CodeMode,
    #[state(skip = "derived: tag and mode that an entry of `itlb` must have, but for the page")]
    pub code_key: [u32; 2],
    #[state(skip = "derived: what is behind physical pages; empty until one is looked up")]
    frames: Box<[KnownFrame]>,
    #[state(skip = "derived: the memories in `frames`")]
    pub rams: Vec<Ram>,
    #[state(skip = "derived: virtual pages of code")]
    pub itlb: [CodeEntry; ITLB],
    #[state(skip = "within a run: what FCSR does not tell yet")]
    pub fp_due: Due,
    #[state(skip = "within a run: instructions of the block that runs")]
    pub len: u32,
    /// When Count next becomes equal to Compare, in ns.
    pub match_at: u64,
    #[state(skip = "within a run: instructions that may still be executed")]
    pub budget: i64,
    #[state(skip = "within a run: what the budget was when time was last advanced")]
    pub granted: i64,
    #[state(
        skip = "within a block: the condition or target of a branch whose slot is being executed"
    )]
    pub latch: u32,
    #[state(skip = "within a run: stores to pages with decoded code: memory and offset")]
    pub code_stores: Vec<(u32, u64)>,
    #[state(skip = "what the user was told")]
    pub notices: Notices,
}

impl Core {
    /// A CPU as it comes out of reset, at the reset vector.
    pub fn new(identity: Identity, victims: Fitted<Victims>) -> Self {
        let mut core = Self {
            r: Registers([0; 256]),
            pc: crate::exception::RESET_VECTOR,
            fpr: [0; 32],
            fcsr: Fcsr(0),
            cp0: Cp0::new(&identity),
            tlb: Tlb::new(identity.tlb_entries),
            victims,
            ll_bit: false,
            ll_va: 0,
            waiting: false,
            nmi: false,
            nmi_level: false,
            instructions: 0,
            carry: 0,
            rate: identity.clock,
            identity,
            pins: 0,
            soft: SoftTlb::default(),
            keys: [Key::NEVER; 2],
            local_kernel_pages: false,
            fp: FpMode::Off,
            mode: CodeMode(0),
            code_key: [0; 2],
            frames: Box::default(),
            rams: Vec::new(),
            itlb: [NO_CODE; ITLB],
            fp_due: Due::default(),
            len: 0,
            match_at: u64::MAX,
            budget: 0,
            granted: 0,
            latch: 0,
            code_stores: Vec::new(),
            notices: Notices::default(),
        };
        core.mode_changed();
        core
    }

    /// Recomputes what derives from Status and EntryHi.
    pub fn mode_changed(&mut self) {
        let c = &self.cp0;
        self.keys = [
            c.asid().map_or(Key::NEVER, Key::asid),
            match c.kernel() {
                true => Key::KERNEL,
                false => Key::NEVER,
            },
        ];
        self.fp = match c.status & (status::CU1 | status::FR) {
            s if s & status::CU1 == 0 => FpMode::Off,
            s if s & status::FR == 0 => FpMode::Pairs,
            _ => FpMode::Full,
        };
        let kernel = c.kernel();
        self.soft.select(c.asid(), kernel);
        self.mode = CodeMode::new(self.fp, kernel);
        self.code_key = [self.keys[usize::from(kernel)].0, self.mode.0];
    }

    /// EntryHi was written.
    pub fn address_space_changed(&mut self) {
        if self.local_kernel_pages {
            self.forget_all();
        }
        self.mode_changed();
    }

    /// What `itlb` is asked with for an address.
    #[inline(always)]
    fn key(&self, va: u32) -> Key {
        self.keys[(va >> 31) as usize]
    }

    /// Forgets every virtual page.
    pub fn forget_all(&mut self) {
        self.soft.clear();
        self.itlb.fill(NO_CODE);
        self.local_kernel_pages = false;
    }

    /// Forgets every virtual and physical page.
    pub fn forget_memory(&mut self) {
        self.forget_all();
        self.frames.fill(NO_FRAME);
        self.rams.clear();
    }

    /// Forgets the pages of a TLB entry that is gone.
    pub fn forget_entry(&mut self, entry: &Entry) {
        if !entry.is_valid() {
            return;
        }
        if entry.span() > 0x8000 {
            self.forget_all();
            return;
        }
        let base = entry.hi & crate::tlb::VPN2;
        let asid = (!entry.global()).then_some(entry.hi as u8);
        for page in (0..entry.span()).step_by(PAGE as usize) {
            let va = base.wrapping_add(page);
            self.soft.forget(va, asid);
            let code = self.code_place(va);
            if (code.tag ^ va) >> 12 == 0 {
                *code = NO_CODE;
            }
        }
    }

    /// An entry was replaced, by TLBWR or by TLBWI: forgets what translates no more.
    pub fn entry_replaced(&mut self, index: usize, old: Entry, new: &Entry, random: bool) {
        while let Some(victim) = self.victims.get_mut().and_then(|v| v.take_matching(new)) {
            self.forget_entry(&victim);
        }
        let gone = match self.victims.get_mut() {
            Some(victims) if random => victims.keep(index, old),
            _ => Some(old),
        };
        if let Some(gone) = gone {
            self.forget_entry(&gone);
        }
        if !random {
            self.entry_known(index);
        }
    }

    /// Software knows what an entry of the TLB holds, and so what it does not.
    pub fn entry_known(&mut self, index: usize) {
        while let Some(victim) = self.victims.get_mut().and_then(|v| v.take_of(index)) {
            self.forget_entry(&victim);
        }
    }

    /// Software knows that no entry of the TLB matches EntryHi.
    pub fn nothing_matches(&mut self) {
        let key = Entry::new(self.cp0.entry_hi, [0; 2], 0);
        while let Some(victim) = self.victims.get_mut().and_then(|v| v.take_matching(&key)) {
            self.forget_entry(&victim);
        }
    }

    #[inline]
    fn code_place(&mut self, va: u32) -> &mut CodeEntry {
        &mut self.itlb[(va >> 12) as usize % ITLB]
    }

    /// The table of blocks of the page that holds `va`, if it is known.
    #[inline]
    pub fn code_table(&self, va: u32) -> Option<u32> {
        let entry = &self.itlb[(va >> 12) as usize % ITLB];
        let key = self.key(va);
        (entry.tag == va & !0xfff | key.0 && key != Key::NEVER && entry.mode == self.mode)
            .then_some(entry.table)
    }

    /// Notes the table of blocks of the page that holds `va`, which is at `pa`, and where that of their generated code is.
    pub fn note_code_table(&mut self, va: u32, pa: u32, table: u32, native: usize) {
        let mode = self.mode;
        self.enter_code(va, mode, table, native);
        if let Some(frame) = self.frames.get_mut((pa >> 12) as usize % FRAMES)
            && mapped(va)
            && frame.number == pa >> 12
        {
            (frame.mode, frame.table, frame.native) = (mode, table, native);
        }
    }

    fn enter_code(&mut self, va: u32, mode: CodeMode, table: u32, native: usize) {
        let key = self.key(va);
        if key != Key::NEVER {
            *self.code_place(va) = CodeEntry {
                tag: va & !0xfff | key.0,
                mode,
                native,
                table,
            };
        }
    }

    /// The table of generated code of pages with this table of blocks is elsewhere.
    pub fn move_native_table(&mut self, table: u32, native: usize) {
        for entry in self
            .itlb
            .iter_mut()
            .filter(|e| e.table == table && e.native != 0)
        {
            entry.native = native;
        }
        for frame in self
            .frames
            .iter_mut()
            .filter(|f| f.table == table && f.native != 0)
        {
            frame.native = native;
        }
    }

    /// Forgets what is known of code.
    pub fn forget_code(&mut self) {
        self.itlb.fill(NO_CODE);
        for frame in &mut self.frames {
            (frame.mode, frame.native) = (NO_MODE, 0);
        }
    }

    /// What is known of a physical page.
    fn known_frame(&mut self, cx: &Cx<'_>, pa: u32) -> KnownFrame {
        let number = pa >> 12;
        let place = number as usize % FRAMES;
        if let Some(frame) = self.frames.get(place)
            && frame.number == number
        {
            return *frame;
        }
        let mut frame = KnownFrame { number, ..NO_FRAME };
        if let Page::Memory {
            ram,
            offset,
            writable,
        } = cx.page(pa.into())
        {
            let index = self
                .rams
                .iter()
                .position(|r| r.same(&ram))
                .unwrap_or_else(|| {
                    self.rams.push(ram);
                    self.rams.len() - 1
                });
            frame.ram = index as u32;
            frame.page = (offset / PAGE) as u32;
            frame.writable = writable;
        }
        if self.frames.is_empty() {
            self.frames = vec![NO_FRAME; FRAMES].into();
        }
        self.frames[place] = frame;
        frame
    }

    /// What is at a physical page.
    pub fn frame(&mut self, cx: &Cx<'_>, pa: u32) -> Frame {
        let known = self.known_frame(cx, pa);
        match known.ram {
            u32::MAX => Frame::Registers,
            ram => Frame::Memory {
                ram,
                offset: u64::from(known.page) * PAGE,
                writable: known.writable,
            },
        }
    }

    /// Finds the page of the code at the CPU's address again, or takes the exception of its fetch. False if that is not so
    /// quickly done.
    pub fn fetch(&mut self, cx: &Cx<'_>) -> bool {
        let pc = self.pc;
        if self.budget <= 0 || pc & 3 != 0 {
            return false;
        }
        match self.translate(pc, Access::Fetch) {
            Err(fault) => {
                self.fetch_fault(fault, pc, false);
                true
            }
            Ok((pa, _)) => {
                let frame = self.known_frame(cx, pa);
                // Generated code looks for one key only, so what the kernel executes in the lower half is found elsewhere.
                let known = mapped(pc)
                    && self.key(pc).0 == self.code_key[0]
                    && frame.mode == self.mode
                    && frame.native != 0;
                if known {
                    self.note_code_table(pc, pa, frame.table, frame.native);
                }
                known
            }
        }
    }

    /// Takes the exception of a fetch, which costs as much as an instruction.
    pub fn fetch_fault(&mut self, fault: Fault, va: u32, slot: bool) {
        self.budget -= 1;
        self.enter(Exception::Memory(fault, Access::Fetch, va), va, slot);
    }

    /// Makes the page of a new TLB entry known that an access was missing, as it is likely to be done next. What is not done
    /// here is done when a page is accessed.
    pub fn expect_entry(&mut self, cx: &Cx<'_>, entry: &Entry) {
        let va = self.cp0.bad_vaddr & !0xfff;
        // Larger pages than these are rare, and so are entries that are for something else than a refill.
        if (va ^ entry.hi) & crate::tlb::VPN2 != 0
            || entry.mask != 0
            || !mapped(va)
            || self.key(va) == Key::NEVER
        {
            return;
        }
        let mapping = Mapping::new(entry.lo[(va >> 12) as usize & 1], va, 0xfff);
        if !mapping.valid {
            return;
        }
        let frame = self.known_frame(cx, mapping.pa);
        let Some(ram) = self.rams.get(frame.ram as usize) else {
            return;
        };
        if va >> 31 != 0 && !mapping.global {
            self.local_kernel_pages = true;
        }
        let writable = frame.writable && mapping.dirty && !ram.is_code(frame.page);
        let offset = u64::from(frame.page) * PAGE;
        self.soft.fill(va, ram, offset, writable);
        // In user mode after the return from the exception, or still in the kernel.
        let mode = CodeMode::new(self.fp, self.cp0.status & status::UM == 0);
        if frame.mode == mode {
            self.enter_code(va, mode, frame.table, frame.native);
        }
    }

    /// The physical address of a virtual one, and whether the page may be written.
    ///
    /// # Errors
    /// Why the access is not allowed.
    pub fn translate(&mut self, va: u32, access: Access) -> Result<(u32, bool), Fault> {
        let segment = va >> 29;
        if segment >= 4 && !self.cp0.kernel() {
            return Err(Fault::Address);
        }
        if !mapped(va) {
            return Ok((va & 0x1fff_ffff, true));
        }
        if segment < 4 && self.cp0.status & status::ERL != 0 {
            return Ok((va, true));
        }
        let hi = self.cp0.entry_hi;
        let mapping = match self.tlb.translate(va, hi) {
            Some(mapping) => mapping,
            None => self
                .victims
                .get()
                .and_then(|v| v.translate(va, hi))
                .filter(|m| m.valid && (m.dirty || access != Access::Store))
                .ok_or(Fault::Refill)?,
        };
        if !mapping.valid {
            return Err(Fault::Invalid);
        }
        if !mapping.dirty && access == Access::Store {
            return Err(Fault::Modified);
        }
        if segment >= 4 && !mapping.global {
            self.local_kernel_pages = true;
        }
        Ok((mapping.pa, mapping.dirty))
    }

    /// Gives back the instructions of the block that come after this one, because it is left here.
    #[inline]
    pub fn leave(&mut self, op: &Op) {
        self.budget += i64::from(self.len) - i64::from(op.at()) - 1;
    }

    /// Ends the run of blocks after this one, so that what has happened is looked at.
    #[inline]
    pub fn attention(&mut self) {
        self.granted -= self.budget;
        self.budget = 0;
    }

    /// Lets the time pass that instructions have taken up to this one.
    pub fn advance_to(&mut self, op: &Op, cx: &mut Cx<'_>) {
        let rest = i64::from(self.len) - i64::from(op.at()) - 1;
        let pc = self.pc.wrapping_add(u32::from(op.at()) * 4);
        self.advance(self.granted - self.budget - rest, pc, cx);
    }

    /// Lets the time pass that instructions have taken, up to the one at `pc`.
    pub fn advance(&mut self, executed: i64, pc: u32, cx: &mut Cx<'_>) {
        let executed = executed.max(0);
        self.granted -= executed;
        let executed = executed as u64;
        self.instructions = self.instructions.wrapping_add(executed);
        let cycles = executed
            .saturating_mul(1_000_000_000)
            .saturating_add(self.carry);
        self.carry = cycles % self.rate;
        cx.advance(cycles / self.rate, pc.into());
    }
}
