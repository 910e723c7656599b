//! The local APIC: interrupts from other CPUs, from I/O APICs and from its own timer.
//!
//! Intel SDM, volume 3, chapter 11 (Advanced Programmable Interrupt Controller). What comes from elsewhere comes over the APIC
//! bus, a device (`apic-bus`) that keeps it for each CPU and drives the CPU's line `apic` as long as there is something.

use solderless_model::{Cx, State, TimerId};

use crate::core::Core;
use crate::model::feature;

/// The registers' page after a reset. What a CPU sends to others goes to the same addresses of the bus.
pub const BASE: u64 = 0xfee0_0000;
/// Where the APIC bus has what came for the CPU with a number.
const fn mailbox(id: u8) -> u64 {
    BASE + ((id as u64) << 12)
}
/// Offsets there: the next message, and what the bus knows of the CPU.
const NEXT: u64 = 0x10;
const LOGICAL: u64 = 0xd0;
const FORMAT: u64 = 0xe0;
/// EOI of an I/O APIC, which is told of the end of level-triggered interrupts.
const IO_APIC_EOI: u64 = 0xfec0_0040;

/// Bits of IA32_APIC_BASE.
pub mod base {
    pub const BSP: u64 = 1 << 8;
    pub const ENABLE: u64 = 1 << 11;
}

/// Bits of an entry of the local vector table, and of the interrupt command register.
mod bit {
    pub const VECTOR: u32 = 0xff;
    pub const LOGICAL: u32 = 1 << 11;
    pub const ASSERT: u32 = 1 << 14;
    pub const LEVEL: u32 = 1 << 15;
    pub const MASKED: u32 = 1 << 16;
    pub const PERIODIC: u32 = 1 << 17;
}

/// Delivery modes.
mod mode {
    pub const FIXED: u32 = 0;
    pub const LOWEST: u32 = 1;
    pub const SMI: u32 = 2;
    pub const NMI: u32 = 4;
    pub const INIT: u32 = 5;
    pub const STARTUP: u32 = 6;
    pub const EXTINT: u32 = 7;
}

/// Entries of the local vector table, in the order of their registers.
const TIMER: usize = 0;
const LINT0: usize = 3;
const LINT1: usize = 4;
const ERROR: usize = 5;

/// Errors: an illegal vector was received, or sent.
const RECEIVED_ILLEGAL: u32 = 1 << 6;
const SENT_ILLEGAL: u32 = 1 << 5;

/// Nanoseconds of a tick of the timer before it is divided.
const TICK: u64 = 1;
/// A timer that is due again sooner comes later.
const SHORTEST: u64 = 1000;
/// The timer among the CPU's.
pub const APIC_TIMER: TimerId = TimerId(0);

/// A bit for each vector.
type Vectors = [u32; 8];

fn highest(of: &Vectors) -> Option<u8> {
    let word = of.iter().rposition(|word| *word != 0)?;
    Some((32 * word) as u8 + 31 - of[word].leading_zeros() as u8)
}

fn set(of: &mut Vectors, vector: u8, on: bool) {
    let bit = 1 << (vector % 32);
    let word = &mut of[usize::from(vector / 32)];
    *word = if on { *word | bit } else { *word & !bit };
}

/// The registers.
#[derive(Debug, Clone, State)]
pub struct Apic {
    /// IA32_APIC_BASE.
    pub base: u64,
    id: u8,
    pub tpr: u8,
    logical: u32,
    format: u32,
    spurious: u32,
    in_service: Vectors,
    level: Vectors,
    requested: Vectors,
    error: u32,
    /// Errors that the register does not show yet.
    new_error: u32,
    command: u64,
    table: [u32; 6],
    initial: u32,
    divide: u32,
    /// When the timer was started, in nanoseconds.
    started: u64,
    /// INIT has come and was not taken yet.
    pub init: bool,
    /// It waits for a start-up interrupt, which is the number of a page.
    pub waits: bool,
    pub start: Option<u8>,
    /// The level of LINT0 when it was looked at last.
    was_high: bool,
}

impl Apic {
    /// As it comes out of reset: the CPU with number 0 is the one that starts, and it takes what the other interrupt controllers say,
    /// as QEMU's does.
    pub fn new(id: u8, there: bool) -> Self {
        let first = id == 0;
        let mut table = [bit::MASKED; 6];
        if first {
            table[LINT0] = mode::EXTINT << 8;
        }
        Self {
            base: BASE | if first { base::BSP } else { 0 } | if there { base::ENABLE } else { 0 },
            id,
            tpr: 0,
            logical: 0,
            format: u32::MAX,
            spurious: 0xff,
            in_service: [0; 8],
            level: [0; 8],
            requested: [0; 8],
            error: 0,
            new_error: 0,
            command: 0,
            table,
            initial: 0,
            divide: 0,
            started: 0,
            init: false,
            waits: there && !first,
            start: None,
            was_high: false,
        }
    }

    /// After INIT: the same, but for where it is and what it is called.
    fn initialize(&mut self) {
        *self = Self {
            base: self.base,
            id: self.id,
            waits: self.base & base::BSP == 0,
            // It may have come behind the INIT.
            start: self.start,
            ..Self::new(self.id, true)
        };
    }

    /// It takes part in anything.
    pub fn is_on(&self) -> bool {
        self.base & base::ENABLE != 0
    }

    /// Software has enabled it.
    fn is_enabled(&self) -> bool {
        self.is_on() && self.spurious & 0x100 != 0
    }

    /// Whether a physical address is one of the registers'.
    pub fn claims(&self, pa: u64) -> bool {
        (pa ^ self.base) & !0xfff == 0 && self.is_on()
    }

    /// The priority of what is done.
    fn priority(&self) -> u8 {
        let service = highest(&self.in_service).unwrap_or(0);
        match self.tpr >> 4 >= service >> 4 {
            true => self.tpr,
            false => service & 0xf0,
        }
    }

    /// The vector that interrupts next.
    pub fn pending(&self) -> Option<u8> {
        let vector = highest(&self.requested)?;
        (self.is_enabled() && vector >> 4 > self.priority() >> 4).then_some(vector)
    }

    /// The CPU goes to the handler of a vector.
    pub fn take(&mut self, vector: u8) {
        set(&mut self.requested, vector, false);
        set(&mut self.in_service, vector, true);
    }

    /// Whether what the other interrupt controllers say is listened to.
    pub fn passes_external(&self) -> bool {
        let entry = self.table[LINT0];
        !self.is_on() || entry & bit::MASKED == 0 && entry >> 8 & 7 == mode::EXTINT
    }

    /// An interrupt has come.
    fn accept(&mut self, vector: u8, level: bool) {
        if vector < 16 {
            self.fail(RECEIVED_ILLEGAL);
            return;
        }
        set(&mut self.requested, vector, true);
        set(&mut self.level, vector, level);
    }

    fn fail(&mut self, error: u32) {
        self.new_error |= error;
        let entry = self.table[ERROR];
        if entry & bit::MASKED == 0 && entry & bit::VECTOR >= 16 {
            self.accept(entry as u8, false);
        }
    }

    /// What divides the timer's clock.
    fn divisor(&self) -> u64 {
        let code = self.divide & 3 | self.divide >> 1 & 4;
        1 << ((code + 1) & 7)
    }

    /// Nanoseconds in which the timer counts to zero.
    fn period(&self) -> u64 {
        u64::from(self.initial) * self.divisor() * TICK
    }

    fn is_periodic(&self) -> bool {
        self.table[TIMER] & bit::PERIODIC != 0
    }

    fn count(&self, now: u64) -> u32 {
        let period = self.period();
        if period == 0 {
            return 0;
        }
        let passed = now.saturating_sub(self.started);
        let left = match self.is_periodic() {
            true => period - passed % period,
            false => period.saturating_sub(passed),
        };
        left.div_ceil(self.divisor() * TICK) as u32
    }

    /// When the timer is due next, if it is.
    fn due(&self, now: u64) -> Option<u64> {
        let period = self.period();
        if period == 0 {
            return None;
        }
        let passed = now.saturating_sub(self.started);
        match self.is_periodic() {
            true => {
                let times = passed / period + 1;
                Some(
                    self.started
                        .saturating_add(times * period)
                        .max(now + SHORTEST),
                )
            }
            false => (passed < period).then(|| self.started.saturating_add(period)),
        }
    }

    /// What loaded registers cannot be.
    pub fn is_possible(&self) -> bool {
        self.base & 0xfff & !(base::BSP | base::ENABLE) == 0
    }
}

/// A message on the APIC bus, as an I/O APIC or a PCI function writes it: the low bits of an interrupt command.
fn message(command: u64) -> (u64, u64) {
    let low = command as u32;
    let to = command >> 56;
    let logical = u64::from(low & bit::LOGICAL != 0);
    (BASE | to << 12 | logical << 2, u64::from(low & 0xc7ff))
}

impl Core {
    /// The local APIC is there.
    pub fn has_apic(&self) -> bool {
        self.has(feature::APIC)
    }

    /// Takes what has come over the APIC bus.
    pub fn receive(&mut self, cx: &mut Cx<'_>) {
        let at = mailbox(self.identity.apic_id) + NEXT;
        // One of each kind at most.
        for _ in 0..300 {
            let Ok(word) = cx.bus_read(at, 4) else {
                return;
            };
            let word = word as u32;
            if word >> 31 == 0 {
                return;
            }
            let vector = word as u8;
            match word >> 8 & 7 {
                mode::FIXED | mode::LOWEST if self.apic.is_enabled() => {
                    self.apic.accept(vector, word & bit::LEVEL != 0);
                }
                mode::NMI => self.nmi_pending = true,
                mode::SMI => self.smi_pending = true,
                mode::INIT => (self.apic.init, self.apic.start) = (true, None),
                mode::STARTUP => self.apic.start = Some(vector),
                _ => {}
            }
        }
    }

    /// An input of the local APIC has its level: LINT0, where no other interrupt controller is behind it.
    pub fn local_inputs(&mut self, high: bool) {
        let entry = self.apic.table[LINT0];
        let rises = high && !self.apic.was_high;
        self.apic.was_high = high;
        let on = self.apic.is_enabled() && entry & bit::MASKED == 0;
        match entry >> 8 & 7 {
            mode::FIXED if on && (rises || high && entry & bit::LEVEL != 0) => {
                self.apic.accept(entry as u8, false);
            }
            mode::NMI if on && rises => self.nmi_pending = true,
            _ => {}
        }
    }

    /// LINT1 rises.
    pub fn non_maskable(&mut self) {
        let entry = self.apic.table[LINT1];
        if !self.apic.is_on() || entry & bit::MASKED == 0 && entry >> 8 & 7 == mode::NMI {
            self.nmi_pending = true;
        }
    }

    /// Tells the APIC bus by what names the CPU is called.
    pub fn announce(&self, cx: &mut Cx<'_>) {
        let at = mailbox(self.identity.apic_id);
        // Without a bus nobody calls.
        let _ = cx.bus_write(at + LOGICAL, 4, self.apic.logical.into());
        let _ = cx.bus_write(at + FORMAT, 4, self.apic.format.into());
    }

    /// The timer is due.
    pub fn apic_timer(&mut self, cx: &mut Cx<'_>) {
        let entry = self.apic.table[TIMER];
        if entry & bit::MASKED == 0 && self.apic.is_enabled() {
            self.apic.accept(entry as u8, false);
        }
        if self.apic.is_periodic() {
            self.arm_timer(cx);
        }
    }

    /// Arms the timer for when it is due.
    pub fn arm_timer(&mut self, cx: &mut Cx<'_>) {
        match self.apic.due(cx.now()) {
            Some(at) => cx.arm(APIC_TIMER, at),
            None => cx.disarm(APIC_TIMER),
        }
    }

    /// INIT: the CPU begins anew, or waits until another has it start.
    pub fn initialize(&mut self, cx: &mut Cx<'_>) {
        self.apic.initialize();
        self.reset_by_init();
        self.arm_timer(cx);
        self.announce(cx);
    }

    /// Reads one of the registers.
    pub fn apic_read(&mut self, cx: &Cx<'_>, offset: u64) -> u32 {
        let apic = &mut self.apic;
        let word = |of: &Vectors| of[(offset >> 4 & 7) as usize];
        match offset & 0xff0 {
            0x20 => u32::from(apic.id) << 24,
            // An integrated one, with six entries.
            0x30 => 0x5_0014,
            0x80 => apic.tpr.into(),
            0xa0 => apic.priority().into(),
            0xd0 => apic.logical,
            0xe0 => apic.format,
            0xf0 => apic.spurious,
            0x100..=0x170 => word(&apic.in_service),
            0x180..=0x1f0 => word(&apic.level),
            0x200..=0x270 => word(&apic.requested),
            0x280 => apic.error,
            0x300 => apic.command as u32,
            0x310 => (apic.command >> 32) as u32,
            at @ 0x320..=0x370 => apic.table[(at >> 4 & 7) as usize - 2],
            0x380 => apic.initial,
            0x390 => apic.count(cx.now()),
            0x3e0 => apic.divide,
            _ => 0,
        }
    }

    /// Writes one.
    pub fn apic_write(&mut self, cx: &mut Cx<'_>, offset: u64, value: u32) {
        let apic = &mut self.apic;
        match offset & 0xff0 {
            0x20 => apic.id = (value >> 24) as u8,
            0x80 => apic.tpr = value as u8,
            0xb0 => self.end_of_interrupt(cx),
            0xd0 => {
                apic.logical = value & 0xff00_0000;
                self.announce(cx);
            }
            0xe0 => {
                apic.format = value | 0x0fff_ffff;
                self.announce(cx);
            }
            0xf0 => {
                apic.spurious = value & 0x3ff;
                if !apic.is_enabled() {
                    apic.table.iter_mut().for_each(|e| *e |= bit::MASKED);
                }
            }
            0x280 => apic.error = std::mem::take(&mut apic.new_error),
            0x300 => {
                apic.command = apic.command & !0xffff_ffff | u64::from(value & 0xc_cfff);
                self.send(cx);
            }
            0x310 => {
                let high = u64::from(value & 0xff00_0000) << 32;
                apic.command = apic.command & 0xffff_ffff | high;
            }
            at @ 0x320..=0x370 => {
                let n = (at >> 4 & 7) as usize - 2;
                let bits = match n {
                    TIMER => 0x3_00ff,
                    LINT0 | LINT1 => 0x1_a7ff,
                    ERROR => 0x1_00ff,
                    _ => 0x1_07ff,
                };
                let masked = match apic.is_enabled() {
                    true => 0,
                    false => bit::MASKED,
                };
                apic.table[n] = value & bits | masked;
                if n == TIMER {
                    self.arm_timer(cx);
                }
            }
            0x380 => {
                apic.initial = value;
                apic.started = cx.now();
                self.arm_timer(cx);
            }
            0x3e0 => {
                // It goes on from where it is.
                let count = apic.count(cx.now());
                apic.divide = value & 0xb;
                let left = u64::from(apic.initial - count.min(apic.initial));
                apic.started = cx.now().saturating_sub(left * apic.divisor() * TICK);
                self.arm_timer(cx);
            }
            _ => {}
        }
    }

    fn end_of_interrupt(&mut self, cx: &mut Cx<'_>) {
        let Some(vector) = highest(&self.apic.in_service) else {
            return;
        };
        set(&mut self.apic.in_service, vector, false);
        if self.apic.level[usize::from(vector / 32)] >> (vector % 32) & 1 != 0 {
            // Nobody minds where there is none.
            let _ = cx.bus_write(IO_APIC_EOI, 4, vector.into());
        }
    }

    /// Sends what the command register says.
    fn send(&mut self, cx: &mut Cx<'_>) {
        let command = self.apic.command;
        let low = command as u32;
        let (kind, vector) = (low >> 8 & 7, low as u8);
        // The end of an INIT that lasts is nothing any more.
        if kind == mode::INIT && low & bit::ASSERT == 0 && low & bit::LEVEL != 0 {
            return;
        }
        if matches!(kind, mode::FIXED | mode::LOWEST) && vector < 16 {
            self.apic.fail(SENT_ILLEGAL);
            return;
        }
        const ALL: u64 = 0xff << 56;
        // Who sends it, and that it is not for that one.
        let but_me = u64::from(self.identity.apic_id) << 24 | 1 << 16;
        let physical = u64::from(low & !bit::LOGICAL);
        let (command, more) = match low >> 18 & 3 {
            0 => (command, 0),
            1 => {
                if matches!(kind, mode::FIXED | mode::LOWEST) {
                    self.apic.accept(vector, false);
                }
                return;
            }
            2 => (ALL | physical, 0),
            _ => (ALL | physical, but_me),
        };
        let (at, data) = message(command);
        let sent = cx.bus_write(at, 4, data | more);
        // A CPU without a bus hears itself.
        if sent.is_err() && kind == mode::FIXED && command >> 56 == u64::from(self.apic.id) {
            self.apic.accept(vector, false);
        }
    }
}
