//! Coprocessor 0: the system control registers.
//!
//! MIPS32 Architecture volume III (MD00090), chapter "Coprocessor 0 Registers", and the 24K software user's manual
//! (MD00343). A register or select that the core does not have reads as zero and ignores writes.

use solderless_model::{Cx, State, TimerId};

use crate::core::Core;
use crate::model::Identity;
use crate::width::Width;

/// The Count and Compare timer.
pub const COUNTER: TimerId = TimerId(0);

/// Status fields.
pub mod status {
    /// Interrupts are enabled.
    pub const IE: u32 = 1;
    /// Exception level.
    pub const EXL: u32 = 1 << 1;
    /// Error level.
    pub const ERL: u32 = 1 << 2;
    /// User mode, if neither EXL nor ERL is set.
    pub const UM: u32 = 1 << 4;
    /// The mode: none is the kernel's. Of CPUs without supervisor mode, [`UM`] alone is there.
    pub const KSU: u32 = 3 << 3;
    /// Supervisor mode, of [`KSU`].
    pub const SUPERVISOR: u32 = 1 << 3;
    /// 64-bit addresses of user segments.
    pub const UX: u32 = 1 << 5;
    /// Those of supervisor segments.
    pub const SX: u32 = 1 << 6;
    /// Those of kernel segments.
    pub const KX: u32 = 1 << 7;
    /// The interrupts that are let through.
    pub const IM: u32 = 0xff00;
    /// The reset was a non-maskable interrupt.
    pub const NMI: u32 = 1 << 19;
    /// The reset was a soft reset.
    pub const SR: u32 = 1 << 20;
    /// A TLB write would have made two entries match.
    pub const TS: u32 = 1 << 21;
    /// Exception vectors are in the boot ROM.
    pub const BEV: u32 = 1 << 22;
    /// Instructions on 64 bits in user mode.
    pub const PX: u32 = 1 << 23;
    /// All 32 floating point registers have 64 bits.
    pub const FR: u32 = 1 << 26;
    /// Coprocessor 0 is usable in user mode.
    pub const CU0: u32 = 1 << 28;
    /// The FPU is usable.
    pub const CU1: u32 = 1 << 29;
}

/// Cause fields.
pub mod cause {
    /// Branch delay.
    pub const BD: u32 = 1 << 31;
    /// Timer interrupt.
    pub const TI: u32 = 1 << 30;
    /// The coprocessor of a Coprocessor Unusable exception.
    pub const CE: u32 = 3 << 28;
    /// Count stands still.
    pub const DC: u32 = 1 << 27;
    /// Interrupts have a vector of their own.
    pub const IV: u32 = 1 << 23;
    /// The software interrupts.
    pub const IP_SOFTWARE: u32 = 0x300;
    /// ExcCode.
    pub const CODE: u32 = 0x7c;
}

/// IntCtl: the timer raises IP7, the performance counters that are not there IP0.
const INTCTL_FIXED: u32 = 7 << 29;
const EBASE_FIXED: u32 = 1 << 31;

/// The registers of coprocessor 0 that hold state. What is fixed is in [`Identity`], interrupt pins in [`Core`].
#[derive(Debug, State)]
pub struct Cp0<W: Width = u32> {
    pub index: u32,
    pub random: u32,
    /// The feedback shift register that Random is drawn from.
    lfsr: u32,
    pub entry_lo: [W; 2],
    pub context: W,
    pub xcontext: W::XContext,
    user_local: W,
    pub page_mask: u32,
    pub wired: u32,
    pub hwrena: u32,
    pub bad_vaddr: W,
    /// Count, less what has been counted since time 0; while Cause.DC is set, Count.
    count: u32,
    pub entry_hi: W,
    compare: u32,
    pub status: u32,
    pub intctl: u32,
    /// Cause without the interrupts from outside.
    pub cause: u32,
    pub epc: W,
    pub ebase: u32,
    k0: u32,
    pub ll_addr: u32,
    err_ctl: u32,
    /// TagLo and DataLo of the instruction cache, then of the data cache.
    pub tag_lo: [u32; 4],
    tag_hi: [u32; 4],
    pub error_epc: W,
}

/// What a write to a register asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Look whether there is an interrupt, and at the mode, before the next instruction.
    Check,
    /// Addresses mean something else.
    Translation,
    /// A timer was set.
    Timer,
}

impl Cp0 {
    /// What can be written of EntryLo0 and EntryLo1.
    pub const ENTRY_LO: u32 = 0x03ff_ffff;
    /// What can be written of Context.
    pub const PTE_BASE: u32 = 0xff80_0000;
}

impl Cp0<u64> {
    /// What can be written of Context.
    pub const PTE_BASE: u64 = 0xffff_ffff_ff80_0000;
}

impl<W: Width> Cp0<W> {
    /// What can be written of PageMask.
    pub const PAGE_MASK: u32 = 0x1fff_e000;

    /// The registers at reset.
    pub fn new(identity: &Identity) -> Self {
        Self {
            index: 0,
            random: u32::from(identity.tlb_entries) - 1,
            lfsr: 0x1d2c_3b4a,
            entry_lo: [W::default(); 2],
            context: W::default(),
            xcontext: W::XContext::default(),
            user_local: W::default(),
            page_mask: 0,
            wired: 0,
            hwrena: 0,
            bad_vaddr: W::default(),
            count: 0,
            entry_hi: W::default(),
            compare: 0,
            status: status::BEV | status::ERL,
            intctl: INTCTL_FIXED,
            cause: 0,
            epc: W::default(),
            ebase: EBASE_FIXED | identity.cpu_num,
            k0: identity.config[0] & 7,
            ll_addr: 0,
            err_ctl: 0,
            tag_lo: [0; 4],
            tag_hi: [0; 4],
            error_epc: W::default(),
        }
    }

    /// Whether the CPU is in kernel mode.
    pub fn kernel(&self) -> bool {
        self.status & status::KSU == 0 || self.status & (status::EXL | status::ERL) != 0
    }

    /// The address space; none at error level, where addresses below 0x80000000 are physical ones.
    pub fn asid(&self) -> Option<u8> {
        (self.status & status::ERL == 0).then_some(self.entry_hi.low() as u8)
    }

    /// Writes the fields of Cause that software can.
    pub fn set_cause(&mut self, value: u32) {
        let mask = cause::DC | cause::IV | cause::IP_SOFTWARE;
        self.cause = self.cause & !mask | value & mask;
    }

    /// Random, which then moves on. It stays in Wired to the last entry.
    pub fn take_random(&mut self, entries: u32) -> u32 {
        let random = self.random;
        self.lfsr ^= self.lfsr << 13;
        self.lfsr ^= self.lfsr >> 17;
        self.lfsr ^= self.lfsr << 5;
        let range = u64::from(entries.saturating_sub(self.wired).max(1));
        self.random = self.wired + ((u64::from(self.lfsr) * range) >> 32) as u32;
        random
    }
}

/// Ticks of Count from time 0 to a time in ns: half of `clock` in a second.
fn ticks(now: u64, clock: u64) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    (now / SECOND)
        .wrapping_mul(clock)
        .wrapping_add(now % SECOND * clock / SECOND)
        / 2
}

/// The first time in ns at which [`ticks`] gives `ticks`; `u64::MAX`, which is never, if guest time ends before.
fn time_of(ticks: u64, clock: u64) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    let cycles = ticks.saturating_mul(2);
    (cycles / clock)
        .saturating_mul(SECOND)
        .saturating_add((cycles % clock * SECOND).div_ceil(clock))
}

/// Register and select as one number, as an instruction has them.
pub const fn reg(number: u32, select: u32) -> u32 {
    number << 3 | select
}

const TAG_LO: u32 = reg(28, 0);
const TAG_LO_LAST: u32 = reg(28, 3);
const TAG_HI: u32 = reg(29, 0);
const TAG_HI_LAST: u32 = reg(29, 3);

impl<W: Width> Core<W> {
    /// Count at a time.
    pub fn count(&self, now: u64) -> u32 {
        if self.cp0.cause & cause::DC != 0 {
            self.cp0.count
        } else {
            self.cp0
                .count
                .wrapping_add(ticks(now, self.identity.clock) as u32)
        }
    }

    /// Sets Count, at a time.
    pub fn set_count(&mut self, now: u64, value: u32) {
        self.cp0.count = if self.cp0.cause & cause::DC != 0 {
            value
        } else {
            value.wrapping_sub(ticks(now, self.identity.clock) as u32)
        };
    }

    /// Arms the timer for the next time Count becomes equal to Compare. It is not that it is equal now: Linux writes
    /// Count to Compare to silence the timer.
    pub fn arm_counter(&mut self, cx: &mut Cx<'_>) {
        if self.cp0.cause & cause::DC != 0 {
            self.match_at = u64::MAX;
            cx.disarm(COUNTER);
            return;
        }
        let now = cx.now();
        let left = match self.cp0.compare.wrapping_sub(self.count(now)) {
            0 => 1 << 32,
            left => u64::from(left),
        };
        let clock = self.identity.clock;
        self.match_at = time_of(ticks(now, clock).wrapping_add(left), clock);
        cx.arm(COUNTER, self.match_at);
    }

    /// Notes a match that has come since the machine last looked, so that no instruction sees Count past Compare
    /// without its interrupt pending.
    pub fn catch_up_counter(&mut self, cx: &mut Cx<'_>) {
        if cx.now() >= self.match_at {
            self.counter_matches(cx);
        }
    }

    /// Count has reached Compare.
    pub fn counter_matches(&mut self, cx: &mut Cx<'_>) {
        self.cp0.cause |= cause::TI;
        self.arm_counter(cx);
    }

    /// Cause, with all interrupts that are pending.
    pub fn cause(&self) -> u32 {
        let timer = if self.cp0.cause & cause::TI != 0 {
            0x8000
        } else {
            0
        };
        self.cp0.cause | (self.pins & 0xfc) << 8 | timer
    }

    /// Whether an interrupt that Status.IM lets through is pending.
    #[inline]
    pub fn pending(&self) -> bool {
        self.cause() & self.cp0.status & status::IM != 0
    }

    /// Whether an interrupt is to be taken now.
    #[inline]
    pub fn interrupted(&self) -> bool {
        self.cp0.status & (status::IE | status::EXL | status::ERL) == status::IE && self.pending()
    }

    /// Writes Status as MTC0 does, without its effects. TS, SR and NMI can only be cleared.
    pub fn set_status(&mut self, value: u32) {
        let fpu = if self.identity.fpu {
            status::CU1 | status::FR
        } else {
            0
        };
        let modes = match W::WIDE {
            true => status::KSU | status::KX | status::SX | status::UX | status::PX,
            false => status::UM,
        };
        let always = status::CU0 | status::BEV | status::IM | modes;
        let levels = status::ERL | status::EXL | status::IE;
        let clear = status::TS | status::SR | status::NMI;
        self.cp0.status = value & (always | levels | fpu | self.cp0.status & clear);
    }

    /// Reads a register (`number * 8 + select`) as DMFC0 does, at a time in ns.
    pub fn mfc0(&mut self, number: u32, now: u64) -> W {
        if number == reg(1, 0) {
            return self.cp0.take_random(self.tlb.len() as u32).into();
        }
        self.cp0(number, now)
    }

    /// A register (`number * 8 + select`) at a time in ns. One of 32 bits has its sign above them.
    pub fn cp0(&self, number: u32, now: u64) -> W {
        let (c, id) = (&self.cp0, &self.identity);
        let short = match number {
            n if n == reg(2, 0) => return c.entry_lo[0],
            n if n == reg(3, 0) => return c.entry_lo[1],
            n if n == reg(4, 0) => return c.context,
            n if n == reg(4, 2) => return c.user_local,
            n if n == reg(8, 0) => return c.bad_vaddr,
            n if n == reg(10, 0) => return c.entry_hi,
            n if n == reg(14, 0) => return c.epc,
            n if n == reg(20, 0) => return W::xcontext(c),
            n if n == reg(30, 0) => return c.error_epc,
            n if n == reg(0, 0) => c.index,
            n if n == reg(1, 0) => c.random,
            n if n == reg(5, 0) => c.page_mask,
            n if n == reg(6, 0) => c.wired,
            n if n == reg(7, 0) => c.hwrena,
            n if n == reg(9, 0) => self.count(now),
            n if n == reg(11, 0) => c.compare,
            n if n == reg(12, 0) => c.status,
            n if n == reg(12, 1) => c.intctl,
            n if n == reg(13, 0) => self.cause(),
            n if n == reg(15, 0) => id.prid,
            n if n == reg(15, 1) => c.ebase,
            n if n == reg(16, 0) => id.config[0] & !7 | c.k0,
            n if n == reg(16, 1) => id.config[1],
            n if n == reg(16, 2) => id.config[2],
            n if n == reg(16, 3) => id.config[3],
            n if n == reg(17, 0) => c.ll_addr,
            n if n == reg(26, 0) => c.err_ctl,
            n @ TAG_LO..=TAG_LO_LAST => c.tag_lo[(n - TAG_LO) as usize & 3],
            n @ TAG_HI..=TAG_HI_LAST => c.tag_hi[(n - TAG_HI) as usize & 3],
            _ => 0,
        };
        W::signed(short)
    }

    /// Writes a register (`number * 8 + select`) as DMTC0 does.
    pub fn mtc0(&mut self, number: u32, whole: W, cx: &mut Cx<'_>) -> Effect {
        let entries = self.tlb.len() as u32;
        let value = whole.low();
        let put = |place: &mut u32, mask: u32| *place = *place & !mask | value & mask;
        let put_whole = |place: &mut W, mask: W| *place = *place & !mask | whole & mask;
        let user_local = self.identity.user_local;
        let entry_lo = W::entry_lo(&self.identity);
        let c = &mut self.cp0;
        match number {
            n if n == reg(0, 0) => put(&mut c.index, entries.next_power_of_two() - 1),
            n if n == reg(2, 0) => put_whole(&mut c.entry_lo[0], entry_lo),
            n if n == reg(3, 0) => put_whole(&mut c.entry_lo[1], entry_lo),
            n if n == reg(4, 0) => put_whole(&mut c.context, !W::from(0x007f_ffff)),
            n if n == reg(4, 2) && user_local => c.user_local = whole,
            n if n == reg(5, 0) => put(&mut c.page_mask, Cp0::<W>::PAGE_MASK),
            n if n == reg(6, 0) => {
                c.wired = value % entries;
                c.random = entries - 1;
            }
            n if n == reg(7, 0) => put(&mut c.hwrena, 0xf | u32::from(user_local) << 29),
            n if n == reg(9, 0) => {
                let now = cx.now();
                self.set_count(now, value);
                self.arm_counter(cx);
                return Effect::Timer;
            }
            n if n == reg(10, 0) => {
                put_whole(&mut c.entry_hi, self.tlb.key(!W::default(), !W::default()));
                return Effect::Translation;
            }
            n if n == reg(11, 0) => {
                c.compare = value;
                c.cause &= !cause::TI;
                self.arm_counter(cx);
                return Effect::Timer;
            }
            n if n == reg(12, 0) => {
                self.set_status(value);
                return Effect::Check;
            }
            n if n == reg(12, 1) => put(&mut c.intctl, 0x3e0),
            n if n == reg(13, 0) => {
                let now = cx.now();
                let count = self.count(now);
                let changed = (self.cp0.cause ^ value) & cause::DC != 0;
                self.cp0.set_cause(value);
                if changed {
                    self.set_count(now, count);
                    self.arm_counter(cx);
                    return Effect::Timer;
                }
                return Effect::Check;
            }
            n if n == reg(14, 0) => c.epc = whole,
            n if n == reg(15, 1) => put(&mut c.ebase, 0x3fff_f000),
            n if n == reg(16, 0) => put(&mut c.k0, 7),
            n if n == reg(20, 0) => W::set_xcontext(c, &self.identity, whole),
            n if n == reg(26, 0) => put(&mut c.err_ctl, 0x3000_0000),
            n @ TAG_LO..=TAG_LO_LAST => {
                let mask = if n & 1 == 0 { 0xffff_fcf6 } else { u32::MAX };
                put(&mut c.tag_lo[(n - TAG_LO) as usize & 3], mask);
            }
            n @ TAG_HI..=TAG_HI_LAST => c.tag_hi[(n - TAG_HI) as usize & 3] = value,
            n if n == reg(30, 0) => c.error_epc = whole,
            _ => {}
        }
        Effect::None
    }

    /// A hardware register as RDHWR reads it, at a time in ns; `None` if there is none or it is not enabled.
    pub fn hardware_register(&self, number: u32, now: u64) -> Option<W> {
        let enabled = self.cp0.kernel()
            || self.cp0.status & status::CU0 != 0
            || self.cp0.hwrena >> (number & 31) & 1 != 0;
        match number {
            _ if !enabled => None,
            0 => Some(W::signed(self.identity.cpu_num)),
            1 => Some(W::signed(self.identity.synci_step)),
            2 => Some(W::signed(self.count(now))),
            3 => Some(2.into()),
            29 if self.identity.user_local => Some(self.cp0.user_local),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_times_agree() {
        for clock in [1_000_000, 320_000_000, 333_333_333, 10_000_000_000] {
            for tick in [0, 1, 2, 3, 159_999_999, 160_000_000, 1 << 32, (1 << 40) + 7] {
                let at = time_of(tick, clock);
                assert!(ticks(at, clock) >= tick, "{clock} {tick}");
                assert!(at == 0 || ticks(at - 1, clock) < tick, "{clock} {tick}");
            }
        }
        assert_eq!(ticks(1_000_000_000, 320_000_000), 160_000_000);
        assert_eq!(time_of(1 << 62, 1_000_000), u64::MAX, "never in the past");
    }
}
