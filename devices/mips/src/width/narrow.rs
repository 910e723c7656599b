//! Addresses of 32 bits: kuseg, kseg0 to kseg3.
//!
//! MIPS32 Architecture volume III (MD00090), chapter "Virtual Memory".

use solderless_engine::{CodeAt, Vcpu};
use solderless_model::{Cx, Describe, Describer, Persist, Reader, StateError, Type, Writer};

use super::{Place, Width, accesses};
use crate::core::{CodeMode, Core, Key, Level};
use crate::cp0::{Cp0, status};
use crate::exception::Fault;
use crate::exec::{Mode, Op, pair};
use crate::ir::{Block, Step};
use crate::model::Identity;
use crate::tlb::VPN2;

/// A register that is not there.
#[derive(Debug, Default)]
pub struct Absent;

impl Describe for Absent {
    fn describe(_: &mut Describer) -> Option<Type> {
        None
    }
}

impl Persist for Absent {
    fn save(&self, _: &mut Writer) {}
    fn load(&mut self, _: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}

impl Width for u32 {
    type XContext = Absent;

    fn vpn2(_: &Identity) -> u32 {
        VPN2
    }

    fn entry_lo(_: &Identity) -> u32 {
        Cp0::<u32>::ENTRY_LO
    }

    fn level(status: u32) -> Level {
        match status & status::KSU {
            0 => Level::Kernel,
            _ => Level::User32,
        }
    }

    #[inline(always)]
    fn mapped(va: u32) -> bool {
        !matches!(va >> 29, 4 | 5)
    }

    fn place(cp0: &Cp0, identity: &Identity, va: u32) -> Result<Place, Fault> {
        if va >> 31 != 0 && !cp0.kernel() {
            return Err(Fault::Address);
        }
        Self::place_for_all(cp0, identity, va).ok_or(Fault::Address)
    }

    fn place_for_all(cp0: &Cp0, _: &Identity, va: u32) -> Option<Place> {
        Some(if !Self::mapped(va) {
            Place::At((va & 0x1fff_ffff).into())
        } else if va >> 31 == 0 && cp0.status & status::ERL != 0 {
            Place::At(va.into())
        } else {
            Place::Mapped
        })
    }

    /// An address of kseg0.
    fn direct(va: u32) -> Option<u64> {
        (va >> 29 == 4).then_some(u64::from(va & 0x1fff_ffff))
    }

    #[inline(always)]
    fn address(sum: u32, _: bool) -> u32 {
        sum
    }

    fn refill_offset(_: u32, _: u32) -> u32 {
        0
    }

    fn note_miss(c: &mut Cp0, _: &Identity, va: u32) {
        c.context = c.context & Cp0::<u32>::PTE_BASE | va >> 9 & 0x007f_fff0;
        c.entry_hi = c.entry_hi & !VPN2 | va & VPN2;
    }

    fn xcontext(_: &Cp0) -> u32 {
        0
    }

    fn set_xcontext(_: &mut Cp0, _: &Identity, _: u32) {}

    #[inline(always)]
    fn key_of_code(key: Key, mode: CodeMode) -> u64 {
        key.and_mode(mode)
    }

    fn select(core: &mut Core) {
        let (asid, kernel) = (core.cp0.asid(), core.mode.kernel());
        core.vcpu.soft.select(asid, kernel);
    }

    fn fill(vcpu: &mut Vcpu, va: u32, pa: u64, place: (u32, u64), writable: bool) {
        vcpu.fill(va.into(), pa, place, writable);
    }

    fn expect_page(vcpu: &mut Vcpu, cx: &Cx<'_>, code: CodeAt, writable: bool) -> bool {
        vcpu.expect_page(cx, code, writable)
    }

    fn forget(vcpu: &mut Vcpu, va: u32, asid: Option<u8>) {
        vcpu.soft.forget(va, asid);
    }

    #[inline(always)]
    fn pair(one: &Step, two: &Step, mode: Mode) -> Option<Op> {
        pair::steps(one, two, mode)
    }

    #[inline(always)]
    fn pair_with_end(last: &Step, block: &Block, mode: Mode) -> Option<Op> {
        pair::step_and_end(last, block, mode)
    }

    accesses!(soft);
}
