//! The registers of the CPU, and what the executing code needs at hand.

use std::ops::{Index, IndexMut};

use solderless_engine::{CodeAt, Physical, Vcpu};
use solderless_model::memory::{PAGE, Reservation};
use solderless_model::{
    Cx, Describe, Describer, Fitted, Persist, Reader, State, StateError, Type, Writer,
};

use crate::cp0::{Cp0, status};
use crate::decode::{FpMode, Set};
use crate::exception::{Access, Exception, Fault};
use crate::exec::{Due, Op};
use crate::fpu::Fcsr;
use crate::ir::SINK;
use crate::model::Identity;
use crate::notices::Notices;
use crate::tlb::{Entry, Mapping, Tlb};
use crate::victims::Victims;
use crate::width::{Place, Width};

/// The general registers, HI and LO, and a place for writes to register 0. Any byte is an index, so none is checked.
#[derive(Debug)]
pub struct Registers<W = u32>([W; 256]);

impl<W> Index<u8> for Registers<W> {
    type Output = W;
    #[inline(always)]
    fn index(&self, index: u8) -> &W {
        &self.0[usize::from(index)]
    }
}

impl<W> IndexMut<u8> for Registers<W> {
    #[inline(always)]
    fn index_mut(&mut self, index: u8) -> &mut W {
        &mut self.0[usize::from(index)]
    }
}

/// The 32 general registers, HI and LO.
impl<W: Describe> Describe for Registers<W> {
    fn describe(by: &mut Describer) -> Option<Type> {
        <[W; SINK as usize]>::describe(by)
    }
}

impl<W: Persist> Persist for Registers<W> {
    fn save(&self, out: &mut Writer) {
        self.0[..usize::from(SINK)].iter().for_each(|r| r.save(out));
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let (registers, _) = self.0.split_at_mut(SINK.into());
        registers.iter_mut().try_for_each(|r| r.load(from))
    }
}

impl Describe for Fcsr {
    fn describe(by: &mut Describer) -> Option<Type> {
        u32::describe(by)
    }
}

impl Persist for Fcsr {
    fn save(&self, out: &mut Writer) {
        self.0.save(out);
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.0.load(from)
    }
}

/// Whose instructions are executed, and how addresses are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The kernel.
    Kernel,
    /// Programs, with instructions on 64 bits.
    User,
    /// The same, whose addresses have 32 bits: Status.PX without UX.
    UserShort,
    /// Programs without instructions on 64 bits.
    User32,
    /// Supervisor mode.
    Supervisor,
}

impl Level {
    const ALL: [Self; 5] = [
        Self::Kernel,
        Self::User,
        Self::UserShort,
        Self::User32,
        Self::Supervisor,
    ];
}

/// What code is decoded and generated for: the state of the FPU, and the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeMode(u8);

impl CodeMode {
    pub fn new(fp: FpMode, level: Level) -> Self {
        Self(fp as u8 + 3 * level as u8)
    }

    /// Its number, less than 15.
    #[inline(always)]
    pub fn number(self) -> u8 {
        self.0
    }

    /// The CPU is in kernel mode.
    #[inline(always)]
    pub fn kernel(self) -> bool {
        self.0 < 3
    }

    /// See [`Level`].
    pub fn level(self) -> Level {
        Level::ALL[usize::from(self.0 / 3) % Level::ALL.len()]
    }

    /// Instructions on 64 bits are there, if the CPU has them.
    pub fn wide(self) -> bool {
        self.level() != Level::User32
    }

    /// Addresses are the sign-extended lower 32 bits of a sum.
    pub fn short(self) -> bool {
        matches!(self.level(), Level::UserShort | Level::User32)
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

    /// What code of a mode is looked up with, where addresses have 32 bits: the upper ones are free.
    #[inline(always)]
    pub fn and_mode(self, mode: CodeMode) -> u64 {
        u64::from(mode.0) << 32 | u64::from(self.0)
    }

    /// The same where they have 64, in the twelve bits of an address in a page.
    #[inline(always)]
    pub fn with_mode(self, mode: CodeMode) -> u64 {
        u64::from(self.0 >> 3 & 0xff) << 4 | u64::from(mode.0)
    }
}

/// A CPU without its decoded code.
#[derive(Debug, State)]
pub struct Core<W: Width = u32> {
    pub r: Registers<W>,
    /// Address of the next instruction; while a block runs, of its first one.
    pub pc: W,
    pub fpr: [u64; 32],
    pub fcsr: Fcsr,
    pub cp0: Cp0<W>,
    pub tlb: Tlb<W>,
    /// Out of sight of software.
    pub victims: Fitted<Victims<W>>,
    /// LLbit: an LL was executed, and nothing since that makes SC fail. What it stands for is the 16 bytes at LLAddr.
    pub ll_bit: Reservation,
    /// Where the LL was.
    pub ll_va: W,
    /// It has executed WAIT, and no interrupt has come since.
    pub waiting: bool,
    /// A non-maskable interrupt was not taken yet.
    pub nmi: bool,
    /// The NMI pin, when it was looked at last.
    pub nmi_level: bool,
    /// What the engine keeps.
    #[state(flatten)]
    pub vcpu: Vcpu,

    #[state(skip = "the run's choice: SDBBP 1 is a call to the host")]
    pub semihosting: bool,
    #[state(skip = "properties")]
    pub identity: Identity,
    #[state(skip = "input levels, which their owners save")]
    pub pins: u32,
    #[state(
        skip = "derived: what pages of code are looked up with, in the lower half of all addresses and in the upper one"
    )]
    pub keys: [Key; 2],
    #[state(
        skip = "derived: whether pages in the upper half are known that are of one address space"
    )]
    pub local_kernel_pages: bool,
    #[state(skip = "derived from Status")]
    pub fp: FpMode,
    #[state(skip = "derived from Status: what code is for")]
    pub mode: CodeMode,
    #[state(skip = "derived from Status: addresses are made of 32 bits")]
    pub short: bool,
    #[state(skip = "within a run: what FCSR does not tell yet")]
    pub fp_due: Due,
    /// When Count next becomes equal to Compare, in ns.
    pub match_at: u64,
    #[state(
        skip = "within a block: the condition or target of a branch whose slot is being executed"
    )]
    pub latch: W,
    #[state(skip = "what the user was told")]
    pub notices: Notices<W>,
}

impl<W: Width> Core<W> {
    /// A CPU as it comes out of reset, at the reset vector.
    pub fn new(identity: Identity, victims: Fitted<Victims<W>>) -> Self {
        let mut core = Self {
            r: Registers([W::default(); 256]),
            pc: W::signed(crate::exception::RESET_VECTOR),
            fpr: [0; 32],
            fcsr: Fcsr(0),
            cp0: Cp0::new(&identity),
            tlb: Tlb::new(identity.tlb_entries, W::vpn2(&identity)),
            victims,
            ll_bit: Reservation::default(),
            ll_va: W::default(),
            waiting: false,
            semihosting: false,
            nmi: false,
            nmi_level: false,
            vcpu: Vcpu::new(identity.clock),
            identity,
            pins: 0,
            keys: [Key::NEVER; 2],
            local_kernel_pages: false,
            fp: FpMode::Off,
            mode: CodeMode::new(FpMode::Off, Level::Kernel),
            short: false,
            fp_due: Due::default(),
            match_at: u64::MAX,
            latch: W::default(),
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
        let level = match c.kernel() {
            true => Level::Kernel,
            false => W::level(c.status),
        };
        self.mode = CodeMode::new(self.fp, level);
        self.short = self.mode.short();
        W::select(self);
        let key = self.keys[usize::from(self.mode.kernel())];
        let key = W::key_of_code(key, self.mode);
        self.vcpu.set_code_key(key);
    }

    /// What instructions are decoded for.
    #[inline(always)]
    pub fn set(&self) -> Set {
        Set {
            fp: self.fp,
            long: W::WIDE,
            wide: W::WIDE && self.mode.wide(),
            first: self.identity.release == 1,
        }
    }

    /// EntryHi was written.
    pub fn address_space_changed(&mut self) {
        if self.local_kernel_pages {
            self.forget_all();
        }
        self.mode_changed();
    }

    #[inline(always)]
    fn key(&self, va: W) -> Key {
        self.keys[usize::from(va.is_negative())]
    }

    /// What code at an address is looked up with in a mode, besides its page.
    #[inline(always)]
    pub fn code_key(&self, va: W, mode: CodeMode) -> Option<u64> {
        let key = self.key(va);
        // A key of the wider addresses has no room for what tells the kernel from others in one half.
        let known = key != Key::NEVER && (!W::WIDE || va.is_negative() == mode.kernel());
        known.then(|| W::key_of_code(key, mode))
    }

    /// Where code at a virtual and physical address is, and what it is for.
    fn code_at(&self, va: W, pa: u64, mode: CodeMode) -> CodeAt {
        CodeAt {
            va: va.into(),
            key: self.code_key(va, mode),
            pa,
            translated: W::mapped(va),
            mode: mode.number(),
        }
    }

    /// Forgets every virtual page.
    pub fn forget_all(&mut self) {
        self.vcpu.forget_pages();
        self.local_kernel_pages = false;
    }

    /// Forgets the pages of a TLB entry that is gone.
    pub fn forget_entry(&mut self, entry: &Entry<W>) {
        if !entry.is_valid() {
            return;
        }
        if entry.span() > 0x8000 {
            self.forget_all();
            return;
        }
        let base = entry.hi & !W::from(0x1fff);
        let asid = (!entry.global()).then_some(entry.hi.low() as u8);
        for page in (0..entry.span()).step_by(PAGE as usize) {
            let va = base.wrapping_add(page.into());
            W::forget(&mut self.vcpu, va, asid);
            self.vcpu.forget_code_page(va.into());
        }
    }

    /// An entry was replaced, by TLBWR or by TLBWI: forgets what translates no more.
    pub fn entry_replaced(&mut self, index: usize, old: Entry<W>, new: &Entry<W>, random: bool) {
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
        let key = Entry::new(self.cp0.entry_hi, [W::default(); 2], 0);
        while let Some(victim) = self.victims.get_mut().and_then(|v| v.take_matching(&key)) {
            self.forget_entry(&victim);
        }
    }

    /// As [`Isa::find_code`](solderless_engine::Isa::find_code).
    pub fn find_code(&mut self, cx: &Cx<'_>) -> bool {
        let pc = self.pc;
        if self.vcpu.budget <= 0 || pc.low() & 3 != 0 {
            return false;
        }
        match self.translate(pc, Access::Fetch) {
            Err(fault) => {
                self.fetch_fault(fault, pc, false);
                true
            }
            // Generated code looks for one key only, so what the kernel executes in the lower half is found elsewhere.
            Ok((pa, _)) => {
                W::mapped(pc)
                    && self.key(pc) == self.keys[usize::from(self.mode.kernel())]
                    && self.vcpu.know_code(cx, self.code_at(pc, pa, self.mode))
            }
        }
    }

    /// Takes the exception of a fetch, which costs as much as an instruction.
    pub fn fetch_fault(&mut self, fault: Fault, va: W, slot: bool) {
        self.vcpu.budget -= 1;
        self.enter(Exception::Memory(fault, Access::Fetch, va), va, slot);
    }

    /// Makes the page of a new TLB entry known that an access was missing, as it is likely to be done next. What is not done
    /// here is done when a page is accessed.
    pub fn expect_entry(&mut self, cx: &Cx<'_>, entry: &Entry<W>) {
        let va = self.cp0.bad_vaddr & !W::from(0xfff);
        // Larger pages than these are rare, and so are entries that are for something else than a refill.
        if !self.tlb.is_pair_of(va, entry.hi)
            || entry.mask != 0
            || !W::mapped(va)
            || self.key(va) == Key::NEVER
        {
            return;
        }
        let mapping = Mapping::new(entry.lo[(va.low() >> 12) as usize & 1], va, 0xfff);
        if !mapping.valid {
            return;
        }
        // In user mode after the return from the exception, or still in the kernel.
        let mode = CodeMode::new(self.fp, W::level(self.cp0.status));
        let code = self.code_at(va, mapping.pa, mode);
        let memory = W::expect_page(&mut self.vcpu, cx, code, mapping.dirty);
        self.local_kernel_pages |= memory && va.is_negative() && !mapping.global;
    }

    /// Others may write memory from now on, and so end what LL has reserved.
    #[inline]
    pub fn lend(&mut self, cx: &Cx<'_>) {
        if self.ll_bit.held() {
            self.lend_reserved(cx);
        }
    }

    #[cold]
    fn lend_reserved(&mut self, cx: &Cx<'_>) {
        let pa = u64::from(self.cp0.ll_addr) << 4;
        if let Physical::Memory { ram, offset, .. } = self.vcpu.frame(cx, pa)
            && let Some(ram) = self.vcpu.memory.rams.get(ram as usize)
        {
            let at = offset + pa % PAGE;
            self.ll_bit.lend(ram, at..at + 16);
        }
    }

    /// The physical address of a virtual one, and whether the page may be written.
    ///
    /// # Errors
    /// Why the access is not allowed.
    pub fn translate(&mut self, va: W, access: Access) -> Result<(u64, bool), Fault> {
        if let Place::At(pa) = W::place(&self.cp0, &self.identity, va)? {
            return Ok((pa, true));
        }
        let hi = self.cp0.entry_hi;
        let mapping = match self.tlb.translate(va, hi) {
            Some(mapping) => mapping,
            None => self
                .victims
                .get()
                .and_then(|v| v.translate(self.tlb.key(va, hi), va))
                .filter(|m| m.valid && (m.dirty || access != Access::Store))
                .ok_or(Fault::Refill)?,
        };
        if !mapping.valid {
            return Err(Fault::Invalid);
        }
        if !mapping.dirty && access == Access::Store {
            return Err(Fault::Modified);
        }
        if va.is_negative() && !mapping.global {
            self.local_kernel_pages = true;
        }
        Ok((mapping.pa, mapping.dirty))
    }

    /// The physical address of a virtual one, whatever the mode, for one who only looks.
    pub fn look(&self, va: W) -> Option<u64> {
        if let Place::At(pa) = W::place_for_all(&self.cp0, &self.identity, va)? {
            return Some(pa);
        }
        let hi = self.cp0.entry_hi;
        let victims = || {
            let victims = self.victims.get()?;
            victims.translate(self.tlb.key(va, hi), va)
        };
        let mapping = self.tlb.translate(va, hi).or_else(victims)?;
        mapping.valid.then_some(mapping.pa)
    }

    /// Gives back the instructions of the block that come after this one, because it is left here.
    #[inline]
    pub fn leave(&mut self, op: &Op<W>) {
        self.vcpu.budget += i64::from(self.vcpu.len) - i64::from(op.at()) - 1;
    }

    /// Lets the time pass that instructions have taken up to this one.
    pub fn advance_to(&mut self, op: &Op<W>, cx: &mut Cx<'_>) {
        let rest = i64::from(self.vcpu.len) - i64::from(op.at()) - 1;
        let pc = self.pc.wrapping_add((u32::from(op.at()) * 4).into());
        self.vcpu.advance(self.vcpu.executed(rest), pc.into(), cx);
    }
}
