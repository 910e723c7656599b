//! The registers of the CPU, and what the executing code needs at hand.

use solderless_engine::{CodeAt, Physical, Vcpu};
use solderless_model::memory::{Hull, PAGE, Reservation};
use solderless_model::{Cx, Describe, Describer, Persist, Reader, State, StateError, Type, Writer};

use crate::csr::{Csr, MACHINE, satp, status};
use crate::inst::SINK;
use crate::model::Identity;
use crate::pmp::Pmp;
use crate::trap::{Access, Fault};

/// The integer registers, and a place for writes to `x0`. What is held of rv32 is sign-extended.
#[derive(Debug)]
pub struct Registers([u64; 64]);

impl Registers {
    /// All zero.
    fn new() -> Self {
        Self([0; 64])
    }
}

impl std::ops::Index<u8> for Registers {
    type Output = u64;
    #[inline(always)]
    fn index(&self, index: u8) -> &u64 {
        &self.0[usize::from(index & 63)]
    }
}

impl std::ops::IndexMut<u8> for Registers {
    #[inline(always)]
    fn index_mut(&mut self, index: u8) -> &mut u64 {
        &mut self.0[usize::from(index & 63)]
    }
}

/// The 31 registers that hold something.
impl Describe for Registers {
    fn describe(by: &mut Describer) -> Option<Type> {
        <[u64; SINK as usize - 1]>::describe(by)
    }
}

impl Persist for Registers {
    fn save(&self, out: &mut Writer) {
        let registers = self.0.iter().take(SINK.into()).skip(1);
        registers.for_each(|r| r.save(out));
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let mut registers = self.0.iter_mut().take(SINK.into()).skip(1);
        registers.try_for_each(|r| r.load(from))
    }
}

/// A CPU without its decoded code.
#[derive(Debug, State)]
pub struct Core {
    pub x: Registers,
    /// Address of the next instruction; while a block runs, of its first one.
    pub pc: u64,
    pub f: [u64; 32],
    /// U, S or M mode: 0, 1 or 3.
    pub privilege: u8,
    pub csr: Csr,
    pub pmp: Pmp,
    /// An LR was executed, and nothing since that makes SC fail.
    pub reserved: Reservation,
    /// The physical address that it has read, and how many bytes.
    reserved_at: u64,
    pub reserved_size: u8,
    /// It has executed WFI, and no interrupt has come since.
    pub waiting: bool,
    /// What the engine keeps.
    #[state(flatten)]
    pub vcpu: Vcpu,

    #[state(skip = "properties")]
    pub identity: Identity,
    #[state(skip = "input levels, which their owners save: bits of mip")]
    pub lines: u64,
    #[state(skip = "derived from stimecmp and time: STIP")]
    pub timer_pending: bool,
    #[state(skip = "a property: the bits of an address")]
    pub mask: u64,
    #[state(skip = "a property: the bits that an address of code has not, besides the lowest")]
    pub unaligned_code: u64,
    #[state(skip = "derived from mstatus: the mode that data is accessed in")]
    pub data_privilege: u8,
    #[state(skip = "derived: what code is looked up with, besides its page")]
    pub code_key: u64,
    #[state(skip = "derived: where code is known of pages that are parts of larger ones")]
    pub large_code: Hull,
    #[state(skip = "derived: address spaces that have a key")]
    code_spaces: [u64; SPACES],
    #[state(skip = "derived: addresses of code are physical, and all of them can be fetched")]
    pub direct: bool,
}

/// Address spaces whose code is told apart.
const SPACES: usize = 128;
/// No value of satp: of an address space that is translated by nothing, none is looked for.
const NO_SPACE: u64 = 0;
/// The key of code that M mode executes; others are below.
const MACHINE_KEY: u64 = 2 * SPACES as u64;

impl Core {
    /// A CPU as it comes out of reset.
    pub fn new(identity: Identity) -> Self {
        let mut core = Self {
            x: Registers::new(),
            pc: identity.resetvec,
            f: [0; 32],
            privilege: MACHINE,
            csr: Csr::new(&identity),
            pmp: Pmp::default(),
            reserved: Reservation::default(),
            reserved_at: 0,
            reserved_size: 0,
            waiting: false,
            vcpu: Vcpu::new(identity.clock.0),
            lines: 0,
            timer_pending: false,
            mask: if identity.rv32 {
                u32::MAX.into()
            } else {
                u64::MAX
            },
            unaligned_code: if identity.c { 0 } else { 2 },
            data_privilege: MACHINE,
            code_key: MACHINE_KEY,
            large_code: Hull::default(),
            code_spaces: [NO_SPACE; SPACES],
            direct: false,
            identity,
        };
        core.mode_changed();
        core
    }

    /// What an address register's value is as an address.
    #[inline(always)]
    pub fn address(&self, value: u64) -> u64 {
        value & self.mask
    }

    /// A value as an integer register holds it.
    #[inline(always)]
    pub fn extend(&self, value: u64) -> u64 {
        match self.identity.rv32 {
            true => value as i32 as u64,
            false => value,
        }
    }

    /// Recomputes what derives from the mode, mstatus, satp and the PMP registers.
    pub fn mode_changed(&mut self) {
        let c = &self.csr;
        self.data_privilege = match self.privilege {
            MACHINE if c.status & status::MPRV != 0 => (c.status >> status::MPP_SHIFT & 3) as u8,
            privilege => privilege,
        };
        let of = |privilege: u8| match privilege {
            MACHINE => NO_SPACE,
            _ => c.satp,
        };
        let relevant = match self.data_privilege {
            MACHINE => 0,
            _ => c.status & (status::SUM | status::MXR),
        };
        let data = (
            of(self.data_privilege),
            relevant | u64::from(self.data_privilege),
        );
        let space = of(self.privilege);
        self.vcpu.wide.select(data);
        self.direct = self.privilege == MACHINE && !self.pmp.restricts_machine();
        self.code_key = match self.privilege {
            MACHINE => MACHINE_KEY,
            privilege => {
                let place = space.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57;
                if let Some(known) = self.code_spaces.get_mut(place as usize)
                    && *known != space
                {
                    *known = space;
                    self.forget_code_pages();
                }
                (2 * place) | u64::from(privilege & 1)
            }
        };
        self.vcpu.set_code_key(self.code_key);
    }

    /// Whether a page table says where addresses of a mode are.
    pub fn translates(&self, privilege: u8) -> bool {
        privilege != MACHINE && satp::mode(self.csr.satp, self.identity.rv32) != 0
    }

    /// A number of what code depends on besides its bytes: whether an address says where it is.
    pub fn mode(&self) -> u8 {
        self.direct.into()
    }

    /// As [`Isa::find_code`](solderless_engine::Isa::find_code).
    pub fn find_code(&mut self, cx: &Cx<'_>) -> bool {
        // Generated code has gone past the end of an address space of 32 bits as if there was more.
        let pc = self.address(self.pc);
        self.pc = pc;
        if self.vcpu.budget <= 0 {
            return false;
        }
        match self.translate(cx, pc, Access::Fetch) {
            Err(fault) => {
                self.fetch_fault(fault, pc);
                true
            }
            Ok(mapping) => {
                let code = CodeAt {
                    va: pc,
                    key: Some(self.code_key),
                    pa: mapping.pa,
                    translated: !self.direct,
                    mode: self.mode(),
                };
                !self.direct && self.vcpu.know_code(cx, code)
            }
        }
    }

    /// Takes the exception of a fetch at an address, which costs as much as an instruction.
    pub fn fetch_fault(&mut self, fault: Fault, va: u64) {
        self.vcpu.budget -= 1;
        self.enter(fault.of(Access::Fetch, va), self.pc);
    }

    /// Forgets what is known of pages, and what their keys stand for.
    pub fn forget_pages(&mut self) {
        self.vcpu.forget_pages();
        self.large_code = Hull::default();
    }

    /// Forgets where code is.
    pub fn forget_code_pages(&mut self) {
        self.vcpu.forget_code_pages();
        self.large_code = Hull::default();
    }

    /// An LR has read so many bytes at a physical address.
    pub fn reserve(&mut self, pa: u64, size: u8) {
        self.reserved.set(true);
        (self.reserved_at, self.reserved_size) = (pa, size);
    }

    /// Whether the reservation is of aligned bytes, if there is one.
    pub fn reservation_fits(&self) -> bool {
        let size = self.reserved_size;
        !self.reserved.held()
            || matches!(size, 4 | 8) && self.reserved_at.is_multiple_of(size.into())
    }

    /// Others may write memory from now on, and so end what LR has reserved.
    #[inline]
    pub fn lend(&mut self, cx: &Cx<'_>) {
        if self.reserved.held() {
            self.lend_reserved(cx);
        }
    }

    #[cold]
    fn lend_reserved(&mut self, cx: &Cx<'_>) {
        let pa = self.reserved_at;
        if let Physical::Memory { ram, offset, .. } = self.vcpu.frame(cx, pa)
            && let Some(ram) = self.vcpu.memory.rams.get(ram as usize)
        {
            let at = offset + pa % PAGE;
            let end = at + u64::from(self.reserved_size);
            self.reserved.lend(ram, at..end);
        }
    }

    /// Whether an SC of so many bytes there succeeds; there is no reservation after it.
    pub fn take_reservation(&mut self, pa: u64, size: u8) -> bool {
        let held = self.reserved.held();
        self.reserved.set(false);
        held && (self.reserved_at, self.reserved_size) == (pa, size)
    }

    /// The interrupts that are pending, whether enabled or not: mip.
    pub fn pending(&self) -> u64 {
        let timer = match (self.timer_compared(), self.timer_pending) {
            (true, true) => crate::csr::STIP,
            _ => 0,
        };
        self.csr.mip | self.lines | timer
    }

    /// Whether STIP is what stimecmp says.
    pub fn timer_compared(&self) -> bool {
        self.csr.menvcfg & crate::csr::envcfg::STCE != 0
    }
}
