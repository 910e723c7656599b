//! Addresses of 64 bits: xuseg, xsseg, xkphys and xkseg, and the segments of MIPS32 at the ends of all addresses.
//!
//! MIPS64 Architecture volume III (MD00091), chapter "Virtual Memory".

use solderless_engine::{CodeAt, Vcpu};
use solderless_model::Cx;
use solderless_model::memory::PAGE;

use super::{Place, Width, accesses};
use crate::core::{CodeMode, Core, Key, Level};
use crate::cp0::{Cp0, status};
use crate::exception::Fault;
use crate::exec::{Mode, Op};
use crate::ir::{Block, Step};
use crate::model::Identity;

/// The 32-bit segments above all others: their addresses by 512 MiB.
const CKSEG0: u64 = 0xffff_ffff_8000_0000 >> 29;
const CKSEG1: u64 = CKSEG0 + 1;
const CKSSEG: u64 = CKSEG0 + 2;
/// The region of an address: its highest two bits.
const XUSEG: u64 = 0;
const XSSEG: u64 = 1;
const XKPHYS: u64 = 2;

/// The bits of an address within a region that there are.
fn inside(identity: &Identity, va: u64) -> bool {
    va << 2 >> 2 >> identity.segbits == 0
}

/// Who may use a segment, and where it leads.
struct Segment {
    kernel: bool,
    supervisor: bool,
    /// What enables it, of Status.
    enable: u32,
    /// There is such an address.
    exists: bool,
    place: Place,
}

fn segment(identity: &Identity, status: u32, va: u64) -> Segment {
    let base = Segment {
        kernel: false,
        supervisor: false,
        enable: 0,
        exists: true,
        place: Place::Mapped,
    };
    let unmapped = status & status::ERL != 0;
    match (va >> 62, va >> 29) {
        (XUSEG, 0..=3) if unmapped => Segment {
            place: Place::At(va),
            ..base
        },
        (XUSEG, 0..=3) => base,
        (XUSEG, _) => Segment {
            enable: status::UX,
            exists: inside(identity, va),
            ..base
        },
        (XSSEG, _) => Segment {
            supervisor: true,
            enable: status::SX,
            exists: inside(identity, va),
            ..base
        },
        (XKPHYS, _) => {
            let pa = va & ((1 << 59) - 1);
            Segment {
                kernel: true,
                enable: status::KX,
                exists: pa >> identity.pabits == 0,
                place: Place::At(pa),
                ..base
            }
        }
        (_, CKSEG0 | CKSEG1) => Segment {
            kernel: true,
            place: Place::At(va & 0x1fff_ffff),
            ..base
        },
        (_, CKSSEG) => Segment {
            supervisor: true,
            ..base
        },
        (_, CKSEG0..) => Segment {
            kernel: true,
            ..base
        },
        // Of xkseg, what would look like a segment of 32 bits in EntryHi is not there.
        _ => Segment {
            kernel: true,
            enable: status::KX,
            exists: inside(identity, va) && va << 2 < (1 << identity.segbits << 2) - (1 << 33),
            ..base
        },
    }
}

impl Width for u64 {
    type XContext = u64;

    fn vpn2(identity: &Identity) -> u64 {
        3 << 62 | ((1 << identity.segbits) - 1) & !0x1fff
    }

    fn entry_lo(identity: &Identity) -> u64 {
        (1 << (identity.pabits - 6)) - 1
    }

    fn level(status: u32) -> Level {
        match status & status::KSU {
            0 => Level::Kernel,
            status::SUPERVISOR => Level::Supervisor,
            _ if status & status::UX != 0 => Level::User,
            _ if status & status::PX != 0 => Level::UserShort,
            _ => Level::User32,
        }
    }

    #[inline(always)]
    fn mapped(va: u64) -> bool {
        va >> 62 != XKPHYS && !matches!(va >> 29, CKSEG0 | CKSEG1)
    }

    fn place(cp0: &Cp0<u64>, identity: &Identity, va: u64) -> Result<Place, Fault> {
        let segment = segment(identity, cp0.status, va);
        let kernel = cp0.kernel();
        let supervisor = kernel || cp0.status & status::KSU == status::SUPERVISOR;
        let allowed = segment.exists
            && (kernel || !segment.kernel)
            && (supervisor || !segment.supervisor)
            && cp0.status & segment.enable == segment.enable;
        match allowed {
            true => Ok(segment.place),
            false => Err(Fault::Address),
        }
    }

    fn place_for_all(cp0: &Cp0<u64>, identity: &Identity, va: u64) -> Option<Place> {
        let segment = segment(identity, cp0.status, va);
        segment.exists.then_some(segment.place)
    }

    /// An address of ckseg0.
    fn direct(va: u64) -> Option<u64> {
        (va >> 29 == CKSEG0).then_some(va & 0x1fff_ffff)
    }

    #[inline(always)]
    fn address(sum: u64, short: bool) -> u64 {
        match short {
            true => sum as i32 as u64,
            false => sum,
        }
    }

    fn refill_offset(status: u32, va: u64) -> u32 {
        let enable = match va >> 62 {
            0 => status::UX,
            3 => status::KX,
            _ => 0,
        };
        match status & enable == enable {
            true => 0x80,
            false => 0,
        }
    }

    fn note_miss(c: &mut Cp0<u64>, identity: &Identity, va: u64) {
        let (vpn2, segbits) = (Self::vpn2(identity), identity.segbits);
        c.context = c.context & Cp0::<u64>::PTE_BASE | va >> 9 & 0x007f_fff0;
        c.entry_hi = c.entry_hi & !vpn2 | va & vpn2;
        let page = va << (64 - segbits) >> (64 - segbits) >> 13;
        c.xcontext = c.xcontext & xpte_base(identity) | va >> 62 << (segbits - 9) | page << 4;
    }

    fn xcontext(c: &Cp0<u64>) -> u64 {
        c.xcontext
    }

    fn set_xcontext(c: &mut Cp0<u64>, identity: &Identity, value: u64) {
        let base = xpte_base(identity);
        c.xcontext = c.xcontext & !base | value & base;
    }

    #[inline(always)]
    fn key_of_code(key: Key, mode: CodeMode) -> u64 {
        key.with_mode(mode)
    }

    fn select(core: &mut Core<u64>) {
        let c = &core.cp0;
        let space = c.asid().map_or(0x100, u64::from);
        let rights = c.status & (status::KX | status::SX | status::UX);
        let level = core.mode.level() as u64;
        core.vcpu.wide.select((space, u64::from(rights) | level));
    }

    fn fill(vcpu: &mut Vcpu, va: u64, pa: u64, place: (u32, u64), writable: bool) {
        vcpu.fill_wide(va, pa, place, (true, writable), PAGE);
    }

    fn expect_page(vcpu: &mut Vcpu, cx: &Cx<'_>, code: CodeAt, writable: bool) -> bool {
        vcpu.expect_wide_page(cx, code, writable)
    }

    fn forget(vcpu: &mut Vcpu, va: u64, _: Option<u8>) {
        vcpu.wide.forget(va);
    }

    // Code that is executed often is generated.
    fn pair(_: &Step, _: &Step, _: Mode) -> Option<Op<u64>> {
        None
    }

    fn pair_with_end(_: &Step, _: &Block, _: Mode) -> Option<Op<u64>> {
        None
    }

    accesses!(wide);
}

/// XContext.PTEBase.
fn xpte_base(identity: &Identity) -> u64 {
    u64::MAX << (identity.segbits - 7)
}
