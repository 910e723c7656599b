//! Traps: from a cause to the state that a handler finds.
//!
//! The RISC-V Instruction Set Manual, volume II (Privileged, 1.12 and 1.13), 3.1.6 to 3.1.16 and 4.1.

use solderless_engine::Exit;
use solderless_model::Taken;

use crate::core::Core;
use crate::csr::{MACHINE, SUPERVISOR, USER, status};

/// Exception codes (table "Machine cause register values after trap").
pub mod cause {
    pub const FETCH_MISALIGNED: u8 = 0;
    pub const FETCH_ACCESS: u8 = 1;
    pub const ILLEGAL: u8 = 2;
    pub const BREAKPOINT: u8 = 3;
    pub const LOAD_MISALIGNED: u8 = 4;
    pub const LOAD_ACCESS: u8 = 5;
    pub const STORE_MISALIGNED: u8 = 6;
    pub const STORE_ACCESS: u8 = 7;
    /// From U mode; those from S and M are 9 and 11.
    pub const ECALL: u8 = 8;
    pub const FETCH_PAGE: u8 = 12;
    pub const LOAD_PAGE: u8 = 13;
    pub const STORE_PAGE: u8 = 15;
}

/// An exception, and what `mtval` says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    pub cause: u8,
    pub value: u64,
}

impl Trap {
    pub fn new(cause: u8, value: u64) -> Self {
        Self { cause, value }
    }

    /// The illegal-instruction exception of an instruction with these bits.
    pub fn illegal(raw: u32) -> Self {
        Self::new(cause::ILLEGAL, raw.into())
    }
}

/// What an access is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Fetch,
    Load,
    /// And atomic operations.
    Store,
}

/// Why an address cannot be accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The page table says so.
    Page,
    /// Physical memory protection says so, or nothing answers.
    Access,
}

impl Fault {
    /// The exception of an access that was not possible at an address.
    pub fn of(self, access: Access, va: u64) -> Trap {
        let code = match (self, access) {
            (Self::Page, Access::Fetch) => cause::FETCH_PAGE,
            (Self::Page, Access::Load) => cause::LOAD_PAGE,
            (Self::Page, Access::Store) => cause::STORE_PAGE,
            (Self::Access, Access::Fetch) => cause::FETCH_ACCESS,
            (Self::Access, Access::Load) => cause::LOAD_ACCESS,
            (Self::Access, Access::Store) => cause::STORE_ACCESS,
        };
        Trap::new(code, va)
    }
}

/// What the privileged specification calls interrupts and exceptions, by code (3.1.15).
const INTERRUPTS: [&str; 12] = [
    "reserved",
    "supervisor software interrupt",
    "reserved",
    "machine software interrupt",
    "reserved",
    "supervisor timer interrupt",
    "reserved",
    "machine timer interrupt",
    "reserved",
    "supervisor external interrupt",
    "reserved",
    "machine external interrupt",
];
const EXCEPTIONS: [&str; 16] = [
    "instruction address misaligned",
    "instruction access fault",
    "illegal instruction",
    "breakpoint",
    "load address misaligned",
    "load access fault",
    "store/AMO address misaligned",
    "store/AMO access fault",
    "environment call from U-mode",
    "environment call from S-mode",
    "reserved",
    "environment call from M-mode",
    "instruction page fault",
    "load page fault",
    "reserved",
    "store/AMO page fault",
];

/// The interrupts, from the one that is taken first (3.1.9): external, software, timer; M's, then S's.
const BY_PRIORITY: [u32; 6] = [11, 3, 7, 9, 1, 5];

impl Core {
    /// Takes an exception of the instruction at `pc`.
    pub fn enter(&mut self, trap: Trap, pc: u64) {
        // It does not retire.
        self.csr.instret_offset = self.csr.instret_offset.wrapping_sub(1);
        let delegated = self.csr.medeleg >> trap.cause & 1 != 0 && self.privilege <= SUPERVISOR;
        self.go_to_handler(delegated, false, trap.cause.into(), trap.value, pc);
    }

    fn go_to_handler(&mut self, supervisor: bool, interrupt: bool, code: u32, value: u64, pc: u64) {
        let xlen = if self.identity.rv32 { 32 } else { 64 };
        let cause = u64::from(interrupt) << (xlen - 1) | u64::from(code);
        let value = self.address(value);
        let from = self.privilege;
        let c = &mut self.csr;
        let vector = if supervisor {
            (c.sepc, c.scause, c.stval) = (pc, cause, value);
            let enabled = c.status & status::SIE != 0;
            c.status &= !(status::SPP | status::SPIE | status::SIE);
            if from == SUPERVISOR {
                c.status |= status::SPP;
            }
            if enabled {
                c.status |= status::SPIE;
            }
            self.privilege = SUPERVISOR;
            c.stvec
        } else {
            (c.mepc, c.mcause, c.mtval) = (pc, cause, value);
            let enabled = c.status & status::MIE != 0;
            c.status &= !(status::MPP | status::MPIE | status::MIE);
            c.status |= u64::from(from) << status::MPP_SHIFT;
            if enabled {
                c.status |= status::MPIE;
            }
            self.privilege = MACHINE;
            c.mtvec
        };
        let base = vector & !3;
        self.pc = match vector & 1 {
            1 if interrupt => self.address(base.wrapping_add(4 * u64::from(code))),
            _ => self.address(base),
        };
        if self.vcpu.taken.is_some() {
            self.keep_taken(interrupt, code, value, pc);
        }
        self.mode_changed();
    }

    /// Keeps for a trace what was taken.
    #[cold]
    fn keep_taken(&mut self, interrupt: bool, code: u32, value: u64, pc: u64) {
        let names = if interrupt {
            &INTERRUPTS[..]
        } else {
            &EXCEPTIONS[..]
        };
        let taken = Taken {
            instructions: self.vcpu.instructions,
            pc,
            cause: names.get(code as usize).copied().unwrap_or("reserved"),
            address: (!interrupt).then_some(value),
            handler: self.pc,
        };
        self.vcpu.taken.get_or_insert_default().push(taken);
    }

    /// The interrupts that are pending and that the CPU's mode takes: those for M mode, and those for S mode.
    fn due(&self) -> (u64, u64) {
        let ready = self.pending() & self.csr.mie;
        if ready == 0 {
            return (0, 0);
        }
        let enabled = |mode: u8, bit: u64| {
            self.privilege < mode || self.privilege == mode && self.csr.status & bit != 0
        };
        let machine = match enabled(MACHINE, status::MIE) {
            true => ready & !self.csr.mideleg,
            false => 0,
        };
        let supervisor = match enabled(SUPERVISOR, status::SIE) {
            true => ready & self.csr.mideleg,
            false => 0,
        };
        (machine, supervisor)
    }

    /// How an instruction is left that may have enabled an interrupt: what has happened is looked at if there is one.
    pub fn exit_for_interrupts(&self, otherwise: Exit) -> Exit {
        match self.due() {
            (0, 0) => otherwise,
            _ => Exit::Event,
        }
    }

    /// Takes an interrupt that is pending and enabled, if there is one.
    pub fn interrupt(&mut self) {
        let (machine, supervisor) = self.due();
        let first = |set: u64| BY_PRIORITY.into_iter().find(|code| set >> code & 1 != 0);
        if let Some(code) = first(machine) {
            self.go_to_handler(false, true, code, 0, self.pc);
        } else if let Some(code) = first(supervisor) {
            self.go_to_handler(true, true, code, 0, self.pc);
        }
    }

    /// MRET.
    pub fn machine_return(&mut self) {
        let c = &mut self.csr;
        let to = (c.status >> status::MPP_SHIFT & 3) as u8;
        let enabled = c.status & status::MPIE != 0;
        c.status &= !(status::MPP | status::MIE);
        c.status |= status::MPIE;
        if enabled {
            c.status |= status::MIE;
        }
        if !self.identity.u {
            c.status |= status::MPP;
        }
        if to != MACHINE {
            c.status &= !status::MPRV;
        }
        self.privilege = to;
        self.pc = self.csr.mepc;
        self.mode_changed();
    }

    /// SRET.
    pub fn supervisor_return(&mut self) {
        let c = &mut self.csr;
        let to = match c.status & status::SPP {
            0 => USER,
            _ => SUPERVISOR,
        };
        let enabled = c.status & status::SPIE != 0;
        c.status &= !(status::SPP | status::SIE | status::MPRV);
        c.status |= status::SPIE;
        if enabled {
            c.status |= status::SIE;
        }
        self.privilege = to;
        self.pc = self.csr.sepc;
        self.mode_changed();
    }
}
