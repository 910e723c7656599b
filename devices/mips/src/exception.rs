//! Exceptions: from a cause to the state a handler finds.
//!
//! MIPS32 Architecture volume III (MD00090), chapter "Interrupts and Exceptions".

use solderless_engine::Exit;
use solderless_model::Taken;

use crate::core::Core;
use crate::cp0::{cause, status};
use crate::exec::Op;
use crate::width::Width;

/// Where reset and NMI go.
pub const RESET_VECTOR: u32 = 0xbfc0_0000;

/// What an access is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Fetching an instruction.
    Fetch,
    /// Reading data.
    Load,
    /// Writing data.
    Store,
}

/// Why an address cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Misaligned, or not for this mode.
    Address,
    /// No TLB entry matches.
    Refill,
    /// The entry that matches is not valid.
    Invalid,
    /// The page may not be written.
    Modified,
    /// Nothing answers on the bus.
    Bus,
}

/// An exception, with what it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception<W = u32> {
    Interrupt,
    /// An access to this address failed.
    Memory(Fault, Access, W),
    Syscall,
    Breakpoint,
    Reserved,
    /// A coprocessor, 0 to 2, is not usable.
    Unusable(u32),
    Overflow,
    Trap,
    FloatingPoint,
    MachineCheck,
}

impl<W: Width> Exception<W> {
    /// ExcCode.
    pub fn code(self) -> u32 {
        match self {
            Self::Interrupt => 0,
            Self::Memory(Fault::Modified, ..) => 1,
            Self::Memory(Fault::Refill | Fault::Invalid, Access::Store, _) => 3,
            Self::Memory(Fault::Refill | Fault::Invalid, ..) => 2,
            Self::Memory(Fault::Address, Access::Store, _) => 5,
            Self::Memory(Fault::Address, ..) => 4,
            Self::Memory(Fault::Bus, Access::Fetch, _) => 6,
            Self::Memory(Fault::Bus, ..) => 7,
            Self::Syscall => 8,
            Self::Breakpoint => 9,
            Self::Reserved => 10,
            Self::Unusable(_) => 11,
            Self::Overflow => 12,
            Self::Trap => 13,
            Self::FloatingPoint => 15,
            Self::MachineCheck => 24,
        }
    }

    /// What the manual calls it ("Cause Register ExcCode Field"). An entry of the TLB that is missing and one that is not valid have
    /// the same code, and handlers of their own.
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "Int",
            Self::Memory(Fault::Modified, ..) => "Mod",
            Self::Memory(Fault::Refill, Access::Store, _) => "TLBS refill",
            Self::Memory(Fault::Refill, ..) => "TLBL refill",
            Self::Memory(Fault::Invalid, Access::Store, _) => "TLBS",
            Self::Memory(Fault::Invalid, ..) => "TLBL",
            Self::Memory(Fault::Address, Access::Store, _) => "AdES",
            Self::Memory(Fault::Address, ..) => "AdEL",
            Self::Memory(Fault::Bus, Access::Fetch, _) => "IBE",
            Self::Memory(Fault::Bus, ..) => "DBE",
            Self::Syscall => "Sys",
            Self::Breakpoint => "Bp",
            Self::Reserved => "RI",
            Self::Unusable(_) => "CpU",
            Self::Overflow => "Ov",
            Self::Trap => "Tr",
            Self::FloatingPoint => "FPE",
            Self::MachineCheck => "MCheck",
        }
    }
}

impl<W: Width> Core<W> {
    /// Takes an exception of the instruction of a step.
    pub fn raise(&mut self, op: &Op<W>, exception: Exception<W>) -> Exit {
        self.leave(op);
        let pc = self.pc.wrapping_add((u32::from(op.at()) * 4).into());
        self.enter(exception, pc, op.slot());
        Exit::Goto
    }

    /// Takes an exception of the instruction at `pc`, which is in a delay slot or not.
    pub fn enter(&mut self, exception: Exception<W>, pc: W, slot: bool) {
        let c = &mut self.cp0;
        if let Exception::Memory(fault, _, address) = exception
            && fault != Fault::Bus
        {
            c.bad_vaddr = address;
            if fault != Fault::Address {
                W::note_miss(c, &self.identity, address);
            }
        }
        if let Exception::Unusable(coprocessor) = exception {
            c.cause = c.cause & !cause::CE | coprocessor << 28;
        }
        let nested = c.status & status::EXL != 0;
        let offset = match exception {
            Exception::Memory(Fault::Refill, _, address) if !nested => {
                W::refill_offset(c.status, address)
            }
            Exception::Interrupt => self.interrupt_offset(),
            _ => 0x180,
        };
        if nested {
            self.notices.nested = self.notices.nested.saturating_add(1);
        }
        let c = &mut self.cp0;
        if !nested {
            c.epc = if slot { pc.wrapping_sub(4.into()) } else { pc };
            c.cause = if slot {
                c.cause | cause::BD
            } else {
                c.cause & !cause::BD
            };
        }
        if !nested && exception != Exception::Interrupt {
            let (epc, bad_vaddr) = (c.epc, c.bad_vaddr);
            self.notices.taken(epc, bad_vaddr, exception.code());
        }
        let c = &mut self.cp0;
        c.cause = c.cause & !cause::CODE | exception.code() << 2;
        if exception == Exception::MachineCheck {
            c.status |= status::TS;
        }
        c.status |= status::EXL;
        let base = match c.status & status::BEV != 0 {
            true => 0xbfc0_0200,
            false => c.ebase & 0xffff_f000,
        };
        self.pc = W::signed(base.wrapping_add(offset));
        if self.vcpu.taken.is_some() {
            self.keep_taken(exception, pc);
        }
        self.mode_changed();
    }

    /// Keeps for a trace what was taken.
    #[cold]
    fn keep_taken(&mut self, exception: Exception<W>, pc: W) {
        let address = match exception {
            Exception::Memory(_, _, address) => Some(address.into()),
            _ => None,
        };
        let taken = Taken {
            instructions: self.vcpu.instructions,
            pc: pc.into(),
            cause: exception.name(),
            address,
            handler: self.pc.into(),
        };
        self.vcpu.taken.get_or_insert_default().push(taken);
    }

    /// Where an interrupt goes, from the base: with vectors by the highest that is pending.
    fn interrupt_offset(&self) -> u32 {
        let c = &self.cp0;
        let spacing = c.intctl & 0x3e0;
        if c.cause & cause::IV == 0 {
            0x180
        } else if c.status & status::BEV != 0 || spacing == 0 {
            0x200
        } else {
            let pending = (self.cause() & c.status & status::IM) >> 8;
            0x200 + pending.checked_ilog2().unwrap_or(0) * spacing
        }
    }

    /// Takes a non-maskable interrupt.
    pub fn enter_nmi(&mut self) {
        let c = &mut self.cp0;
        c.status = c.status & !(status::TS | status::SR) | status::NMI | status::BEV | status::ERL;
        c.error_epc = self.pc;
        self.pc = W::signed(RESET_VECTOR);
        self.mode_changed();
    }

    /// ERET.
    pub fn exception_return(&mut self) {
        let c = &mut self.cp0;
        if c.status & status::ERL != 0 {
            c.status &= !status::ERL;
            self.pc = c.error_epc;
        } else {
            c.status &= !status::EXL;
            self.pc = c.epc;
            self.notices.returns(c.epc);
        }
        self.ll_bit.set(false);
        self.mode_changed();
    }
}
