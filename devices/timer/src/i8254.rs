//! The Intel 8254 programmable interval timer of a PC's south bridge.
//!
//! Intel 8254 datasheet (231164), "Programming the 8254", "Read operations" and "Mode definitions".
//!
//! No counter is ever stepped: what it holds, and where its output changes next, follows from the clock
//! cycle at which its count was loaded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Hertz, Interface, Model, Pin, Pins,
    PropError, Ranges, Region, State, StateError, TimerId, Wires, connections,
};

/// Properties of [`I8254`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct I8254Props {
    /// Frequency of the CLK inputs, 1 Hz to 10 MHz (the fastest part, the 8254-2).
    pub clock: Hertz,
}

impl Default for I8254Props {
    fn default() -> Self {
        Self {
            clock: Hertz(1_193_182),
        }
    }
}

const MAX_CLOCK: u64 = 10_000_000;

connections! {
    fn connections(_: &I8254Props) on BusKind::Isa;
    region PORTS = Region::ports("registers", 4);
    input GATE2 = Pins::named("gate").optional();
    output OUT[3] = Pins::named("out");
}

const EDGE: TimerId = TimerId(0);

/// Offset of the control word register; counters are at 0 to 2.
const CONTROL: u64 = 3;
/// Control word: the counter, or 3 for a read-back command.
const SC_SHIFT: u8 = 6;
const READ_BACK: u8 = 3;
/// Read-back command: these are low-active.
const READ_BACK_COUNT: u8 = 1 << 5;
const READ_BACK_STATUS: u8 = 1 << 4;
/// Control word: read/write selection; 0 is the counter latch command.
const RW_SHIFT: u8 = 4;
const RW_LSB: u8 = 1;
const RW_MSB: u8 = 2;
const BCD: u8 = 1 << 0;
const STATUS_OUT: u8 = 1 << 7;
const STATUS_NULL: u8 = 1 << 6;
/// Mode 0, low byte then high byte, binary.
const CONTROL_AT_RESET: u8 = 0x30;

const NS: u128 = 1_000_000_000;

/// What a counting element does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, State)]
enum Run {
    /// It waits for a count or a trigger.
    Idle,
    /// It has counted down from `count` since clock cycle `start`.
    Counting { start: u64, count: u32 },
    /// GATE is low `elapsed` cycles into counting down from `count`.
    Held { elapsed: u64, count: u32 },
}

#[derive(Debug, Clone, Copy, State)]
struct Counter {
    /// The control word without SC.
    control: u8,
    /// Count register.
    cr: u16,
    /// The next byte written, and the next one read, of a two-byte access is the high one.
    write_high: bool,
    read_high: bool,
    /// Latched count and status, if not read yet.
    latch: Option<u16>,
    status: Option<u8>,
    gate: bool,
    /// A count was written and is not in the counting element yet.
    null: bool,
    /// The cycle at which the counting element takes the count register.
    load_at: Option<u64>,
    run: Run,
}

impl Counter {
    fn new(gate: bool) -> Self {
        Self {
            control: CONTROL_AT_RESET,
            cr: 0,
            write_high: false,
            read_high: false,
            latch: None,
            status: None,
            gate,
            null: true,
            load_at: None,
            run: Run::Idle,
        }
    }

    fn mode(&self) -> u8 {
        match self.control >> 1 & 7 {
            mode @ 0..=5 => mode,
            // The high bit of modes 2 and 3 is a "don't care".
            mode => mode & 3,
        }
    }

    fn rw(&self) -> u8 {
        self.control >> RW_SHIFT & 3
    }

    fn modulus(&self) -> u32 {
        if self.control & BCD != 0 {
            10_000
        } else {
            0x1_0000
        }
    }

    /// The count that the count register asks for; 0 is the largest.
    fn programmed(&self) -> u32 {
        let cr = u32::from(self.cr);
        match (cr, self.control & BCD) {
            (0, _) => self.modulus(),
            (_, 0) => cr,
            _ => (0..4).rev().fold(0, |n, i| n * 10 + (cr >> (4 * i) & 15)),
        }
    }

    /// Cycles for which mode 3 keeps OUT high.
    fn high_half(count: u32) -> u64 {
        u64::from(count.div_ceil(2))
    }

    /// Cycles since the count was loaded, and that count.
    fn progress(&self, at: u64) -> Option<(u64, u32)> {
        match self.run {
            Run::Idle => None,
            Run::Counting { start, count } => Some((at.wrapping_sub(start), count.max(1))),
            Run::Held { elapsed, count } => Some((elapsed, count.max(1))),
        }
    }

    /// Level of OUT at a cycle.
    fn out(&self, at: u64) -> bool {
        let mode = self.mode();
        let Some((elapsed, count)) = self.progress(at) else {
            return mode != 0;
        };
        let full = u64::from(count);
        match (mode, self.run) {
            (0 | 1, _) => elapsed >= full,
            (2 | 3, Run::Held { .. }) => true,
            // A period of one cycle is illegal; OUT then stays high.
            (2, _) => elapsed % full != full - 1 || count == 1,
            (3, _) => elapsed % full < Self::high_half(count),
            _ => elapsed != full,
        }
    }

    /// The counting element at a cycle, as it reads.
    fn value(&self, at: u64) -> u16 {
        let Some((elapsed, count)) = self.progress(at) else {
            return self.cr;
        };
        let full = u64::from(count);
        let modulus = u64::from(self.modulus());
        let down = match self.mode() {
            2 => full - elapsed % full,
            // Two at a time from an even number, once for each half of the period.
            3 => {
                let phase = elapsed % full;
                let high = Self::high_half(count);
                let cycles = if phase < high { phase } else { phase - high };
                (full & !1) - 2 * cycles
            }
            _ => full % modulus + modulus - elapsed % modulus,
        };
        let n = down % modulus;
        if self.control & BCD == 0 {
            return n as u16;
        }
        let digit = |unit: u64| (n / unit % 10) as u16;
        digit(1000) << 12 | digit(100) << 8 | digit(10) << 4 | digit(1)
    }

    /// The next cycle after this one at which OUT may change.
    fn next_edge(&self, at: u64) -> Option<u64> {
        let Run::Counting { count, .. } = self.run else {
            return self.load_at;
        };
        let (elapsed, _) = self.progress(at)?;
        let full = u64::from(count.max(1));
        let phase = elapsed % full;
        let wait = match self.mode() {
            2 | 3 if full == 1 => None,
            2 if phase < full - 1 => Some(full - 1 - phase),
            2 => Some(1),
            3 if phase < Self::high_half(count) => Some(Self::high_half(count) - phase),
            3 => Some(full - phase),
            4 | 5 if elapsed == full => Some(1),
            _ => full.checked_sub(elapsed).filter(|n| *n > 0),
        };
        let edge = wait.map(|n| at.wrapping_add(n));
        match (edge, self.load_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Brings the counting element up to a cycle.
    fn sync(&mut self, at: u64) {
        let Some(load_at) = self.load_at.filter(|cycle| *cycle <= at) else {
            return;
        };
        let count = self.programmed();
        let mode = self.mode();
        let mut start = load_at;
        if mode == 3 && matches!(self.run, Run::Counting { .. }) && !self.out(load_at) {
            // The new count takes over in the middle of the square wave, and its low half begins.
            start = load_at.wrapping_sub(Self::high_half(count));
        }
        self.run = if self.gate || matches!(mode, 1 | 5) {
            Run::Counting { start, count }
        } else {
            Run::Held { elapsed: 0, count }
        };
        self.load_at = None;
        self.null = false;
    }

    fn write_control(&mut self, value: u8) {
        *self = Self {
            control: value & 0x3f,
            ..Self::new(self.gate)
        };
    }

    fn latch_count(&mut self, at: u64) {
        if self.latch.is_none() {
            self.latch = Some(self.value(at));
        }
    }

    fn latch_status(&mut self, at: u64) {
        if self.status.is_none() {
            let out = u8::from(self.out(at)) * STATUS_OUT;
            let null = u8::from(self.null) * STATUS_NULL;
            self.status = Some(out | null | self.control);
        }
    }

    fn read(&mut self, at: u64) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        let [low, high] = self.latch.unwrap_or_else(|| self.value(at)).to_le_bytes();
        let take_high = match self.rw() {
            RW_LSB => false,
            RW_MSB => true,
            _ => {
                self.read_high = !self.read_high;
                !self.read_high
            }
        };
        if !self.read_high {
            self.latch = None;
        }
        if take_high { high } else { low }
    }

    fn write(&mut self, value: u8, at: u64) {
        let mode = self.mode();
        match self.rw() {
            RW_LSB => self.cr = u16::from(value),
            RW_MSB => self.cr = u16::from(value) << 8,
            _ if !self.write_high => {
                self.write_high = true;
                self.cr = (self.cr & 0xff00) | u16::from(value);
                if mode == 0 {
                    // The first byte stops the counter and takes OUT low.
                    self.run = Run::Idle;
                    self.load_at = None;
                }
                return;
            }
            _ => {
                self.write_high = false;
                self.cr = (self.cr & 0x00ff) | u16::from(value) << 8;
            }
        }
        self.null = true;
        let next = at.wrapping_add(1);
        self.load_at = match (mode, self.run) {
            // Only a trigger loads these.
            (1 | 5, _) => self.load_at,
            // The end of the period, or of its half.
            (2 | 3, Run::Counting { .. }) => self.load_at.or_else(|| self.reload(at)),
            _ => Some(next),
        };
        if mode == 0 {
            self.run = Run::Idle;
        }
    }

    /// The cycle at which modes 2 and 3 load the count register again.
    fn reload(&self, at: u64) -> Option<u64> {
        let (elapsed, count) = self.progress(at)?;
        let full = u64::from(count);
        let phase = elapsed % full;
        let wait = match self.mode() {
            3 if phase < Self::high_half(count) => Self::high_half(count) - phase,
            _ => full - phase,
        };
        Some(at.wrapping_add(wait))
    }

    fn set_gate(&mut self, high: bool, at: u64) {
        if self.gate == high {
            return;
        }
        self.gate = high;
        match (self.mode(), self.run) {
            (1 | 5, _) if high => self.load_at = Some(at.wrapping_add(1)),
            (0 | 4, Run::Held { elapsed, count }) if high => {
                let start = at.wrapping_sub(elapsed);
                self.run = Run::Counting { start, count };
            }
            (2 | 3, Run::Held { .. }) if high => self.load_at = Some(at.wrapping_add(1)),
            (0 | 2 | 3 | 4, Run::Counting { start, count }) if !high => {
                let elapsed = at.wrapping_sub(start);
                self.run = Run::Held { elapsed, count };
                if matches!(self.mode(), 2 | 3) {
                    self.load_at = None;
                }
            }
            _ => {}
        }
    }
}

/// Three counters.
///
/// `gate` is GATE 2; GATE 0 and 1 are tied high. `out[0]` and `out[2]` change at the very cycle. `out[1]`, the refresh
/// request of a PC, is brought up to date only when a register is written or another output changes: its exact
/// edges would be over 100,000 events a second that nothing on a PC counts. What a guest reads of counter 1
/// is exact.
#[derive(Debug, State)]
pub struct I8254 {
    #[state(skip = "property")]
    clock: u64,
    counters: [Counter; 3],
}

impl Model for I8254 {
    const TYPE: &'static str = "isa-pit";
    const SUMMARY: &'static str = "Intel 8254 programmable interval timer";
    type Props = I8254Props;

    fn interface(props: &Self::Props) -> Result<Interface, PropError> {
        if !(1..=MAX_CLOCK).contains(&props.clock.0) {
            let reason = format!(
                "{} is not between 1Hz and {}",
                props.clock,
                Hertz(MAX_CLOCK)
            );
            return Err(PropError::new("clock", reason));
        }
        Ok(connections(props).said("PIT", "PNP0100", &[OUT]))
    }

    fn build(props: Self::Props, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            clock: props.clock.0,
            counters: [true, true, false].map(Counter::new),
        })
    }
}

impl Device for I8254 {
    /// The datasheet leaves the counters undefined at power-up. Here they stand still until they are programmed.
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.counters = [true, true, cx.level(GATE2)].map(Counter::new);
        self.update(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let now = self.sync(cx);
        let value = match self.counters.get_mut(at.offset as usize) {
            Some(counter) => counter.read(now),
            // The control word register is write-only and leaves the data bus floating.
            None => 0xff,
        };
        Ok(value.into())
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let now = self.sync(cx);
        let value = value as u8;
        if at.offset == CONTROL {
            self.control(value, now);
        } else if let Some(counter) = self.counters.get_mut(at.offset as usize) {
            counter.write(value, now);
        }
        self.update(cx);
        Ok(())
    }

    fn line(&mut self, cx: &mut Cx<'_>, pin: Pin, high: bool) {
        if pin == GATE2 {
            let now = self.sync(cx);
            self.counters[2].set_gate(high, now);
            self.update(cx);
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _: TimerId) {
        self.update(cx);
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        // `out[1]` goes on as it was: it may be out of date.
        self.drive(cx, &[0, 2]);
        Ok(())
    }
}

impl I8254 {
    /// Clock cycles since power-on.
    fn cycle(&self, cx: &Cx<'_>) -> u64 {
        (u128::from(cx.now()) * u128::from(self.clock) / NS) as u64
    }

    /// Brings all counters up to now; returns the clock cycle.
    fn sync(&mut self, cx: &Cx<'_>) -> u64 {
        let now = self.cycle(cx);
        self.counters.iter_mut().for_each(|c| c.sync(now));
        now
    }

    fn control(&mut self, value: u8, now: u64) {
        match (value >> SC_SHIFT, value >> RW_SHIFT & 3) {
            (READ_BACK, _) => {
                for (n, counter) in (0..).zip(&mut self.counters) {
                    if value >> (1 + n) & 1 != 0 {
                        if value & READ_BACK_COUNT == 0 {
                            counter.latch_count(now);
                        }
                        if value & READ_BACK_STATUS == 0 {
                            counter.latch_status(now);
                        }
                    }
                }
            }
            (n, rw) => {
                if let Some(counter) = self.counters.get_mut(usize::from(n)) {
                    match rw {
                        0 => counter.latch_count(now),
                        _ => counter.write_control(value),
                    }
                }
            }
        }
    }

    fn update(&self, cx: &mut Cx<'_>) {
        self.drive(cx, &[0, 1, 2]);
    }

    /// Drives outputs, and wakes up for the next edge of `out[0]` and `out[2]`.
    fn drive(&self, cx: &mut Cx<'_>, outputs: &[u16]) {
        let now = self.cycle(cx);
        let counters = self.counters.map(|mut counter| {
            counter.sync(now);
            counter
        });
        for n in outputs {
            cx.set(OUT.nth(*n), counters[usize::from(*n)].out(now));
        }
        let [first, _, third] = &counters;
        match [first, third].iter().filter_map(|c| c.next_edge(now)).min() {
            Some(cycle) => {
                let at = (u128::from(cycle) * NS).div_ceil(u128::from(self.clock));
                cx.arm(EDGE, u64::try_from(at).unwrap_or(u64::MAX));
            }
            None => cx.disarm(EDGE),
        }
    }
}

#[cfg(test)]
mod tests {
    use solderless_model::testing::{Bench, exercise};

    use super::*;

    /// One clock cycle is one microsecond.
    fn bench() -> Bench<I8254> {
        let clock = Hertz(1_000_000);
        Bench::new(I8254Props { clock })
    }

    fn write(bench: &mut Bench<I8254>, port: u64, bytes: &[u8]) {
        for byte in bytes {
            assert!(bench.write(PORTS, port, 1, (*byte).into()));
        }
    }

    fn read(bench: &mut Bench<I8254>, port: u64) -> u64 {
        bench.read(PORTS, port, 1).expect("a port")
    }

    /// Runs counter 2 by a script: `cw16` is a control word without SC, `n04` writes a count byte, `up` and `down`
    /// drive GATE, and `4^` or `4_` lets one cycle pass and expects the low byte of the count and OUT high or low.
    ///
    /// A second timer is left alone between the writes, without even its wake-ups, and must agree in the end.
    fn wave(script: &str) {
        let (mut bench, mut lazy) = (bench(), bench());
        let hex = |text: &str| u8::from_str_radix(text, 16).expect("a number");
        for (n, word) in script.split_whitespace().enumerate() {
            if let Some(control) = word.strip_prefix("cw") {
                write(&mut bench, CONTROL, &[0x80 | hex(control)]);
                write(&mut lazy, CONTROL, &[0x80 | hex(control)]);
            } else if let Some(count) = word.strip_prefix('n') {
                write(&mut bench, 2, &[hex(count)]);
                write(&mut lazy, 2, &[hex(count)]);
            } else if word == "up" || word == "down" {
                bench.line(GATE2, word == "up");
                lazy.line(GATE2, word == "up");
            } else {
                bench.advance(1000);
                lazy.around.now += 1000;
                write(&mut bench, CONTROL, &[0xc8]);
                let (status, count) = (read(&mut bench, 2), read(&mut bench, 2));
                let out = status & u64::from(STATUS_OUT) != 0;
                let got = format!("{count:x}{}", if out { '^' } else { '_' });
                assert_eq!(got, word, "word {n} of {script}");
                assert_eq!(bench.output(OUT.nth(2)), out, "OUT at word {n} of {script}");
            }
        }
        write(&mut bench, CONTROL, &[0xc8]);
        write(&mut lazy, CONTROL, &[0xc8]);
        for _ in 0..2 {
            assert_eq!(
                read(&mut lazy, 2),
                read(&mut bench, 2),
                "the end of {script}"
            );
        }
    }

    #[test]
    fn waveforms_of_the_datasheet() {
        for script in [
            // Mode 0: plain, held by GATE, with a new count, with GATE low from the start.
            "up cw10 n04 4_ 3_ 2_ 1_ 0^ ff^ fe^",
            "up cw10 n03 3_ 2_ down 2_ 2_ up 1_ 0^ ff^",
            "up cw10 n03 3_ 2_ 1_ n02 2_ 1_ 0^ ff^ n01 1_ 0^",
            "cw10 n02 2_ 2_ up 1_ 0^ down 0^ 0^",
            // Mode 1: triggered, triggered again, with a new count for the next trigger.
            "cw12 n03 3^ up 3_ 2_ 1_ 0^ ff^ down fe^ up 3_ 2_",
            "cw12 n03 up 3_ 2_ down 1_ up 3_ 2_ 1_ 0^",
            "cw12 n02 up 2_ 1_ n04 0^ ff^ down up 4_ 3_",
            // Mode 2: plain, stopped by GATE, with a new count.
            "up cw14 n03 3^ 2^ 1_ 3^ 2^ 1_ 3^",
            "up cw14 n03 3^ 2^ down 2^ up 3^ 2^ 1_ 3^",
            "up cw14 n04 4^ 3^ n05 2^ 1_ 5^ 4^ 3^ 2^ 1_ 5^",
            "up cw1c n02 2^ 1_ 2^ 1_ down 1^ 1^",
            // Mode 3: even, odd, stopped by GATE, with a new count in either half.
            "up cw16 n04 4^ 2^ 4_ 2_ 4^ 2^ 4_ 2_",
            "up cw16 n05 4^ 2^ 0^ 4_ 2_ 4^ 2^ 0^ 4_ 2_",
            "up cw1e n04 4^ 2^ 4_ down 4^ 4^ up 4^ 2^ 4_ 2_",
            "up cw16 n04 4^ n06 2^ 6_ 4_ 2_ 6^ 4^ 2^ 6_",
            "up cw16 n04 4^ 2^ 4_ n06 2_ 6^ 4^ 2^ 6_",
            // Mode 4: plain, held, with a new count.
            "up cw18 n03 3^ 2^ 1^ 0_ ff^ fe^",
            "up cw18 n03 3^ down 3^ up 2^ 1^ 0_ ff^",
            "up cw18 n03 3^ 2^ 1^ n02 2^ 1^ 0_ ff^",
            // Mode 5: triggered, triggered again.
            "cw1a n03 3^ up 3^ 2^ 1^ 0_ ff^ down up 3^ 2^",
            "cw1a n03 up 3^ 2^ down up 3^ 2^ 1^ 0_ ff^",
            // BCD, and the high byte alone.
            "up cw11 n10 10_ 9_ 8_",
            "up cw20 n01 1_ 0_ 0_",
            // Illegal counts of one are harmless.
            "up cw14 n01 1^ 1^ cw16 n01 0^ 0^",
        ] {
            wave(script);
        }
    }

    #[test]
    fn two_byte_access_and_latches() {
        let mut bench = bench();
        write(&mut bench, CONTROL, &[0x34]);
        write(&mut bench, 0, &[0x34, 0x12]);
        bench.advance(5_000);
        assert_eq!((read(&mut bench, 0), read(&mut bench, 0)), (0x30, 0x12));
        // A latched count stays until it is read, whatever is latched after it.
        write(&mut bench, CONTROL, &[0x00]);
        bench.advance(7_000);
        write(&mut bench, CONTROL, &[0x00, 0xd2]);
        assert_eq!((read(&mut bench, 0), read(&mut bench, 0)), (0x30, 0x12));
        assert_eq!((read(&mut bench, 0), read(&mut bench, 0)), (0x29, 0x12));
        // Status comes first, and says when the count has arrived.
        write(&mut bench, 0, &[0xff, 0x00]);
        write(&mut bench, CONTROL, &[0xc2]);
        assert_eq!(read(&mut bench, 0), 0xf4);
        assert_eq!((read(&mut bench, 0), read(&mut bench, 0)), (0x29, 0x12));
        bench.advance(0x1229 * 1000);
        write(&mut bench, CONTROL, &[0xe2]);
        assert_eq!(read(&mut bench, 0), 0xb4);
        assert_eq!((read(&mut bench, 0), read(&mut bench, 0)), (0xff, 0x00));
        assert_eq!(read(&mut bench, CONTROL), 0xff);
    }

    #[test]
    fn the_largest_count_is_zero() {
        for (control, cycles) in [(0x30, 0x1_0000), (0x31, 10_000)] {
            let mut bench = bench();
            write(&mut bench, CONTROL, &[control]);
            write(&mut bench, 0, &[0, 0]);
            bench.advance(cycles * 1000);
            assert!(!bench.output(OUT), "{control:x}");
            bench.advance(1000);
            assert!(bench.output(OUT), "{control:x}");
            assert!(bench.around.timers.is_empty(), "{control:x}");
        }
        let mut bench = bench();
        write(&mut bench, CONTROL, &[0x31]);
        write(&mut bench, 0, &[0, 0]);
        bench.advance(2000);
        assert_eq!((read(&mut bench, 0), read(&mut bench, 0)), (0x99, 0x99));
    }

    #[test]
    fn the_first_byte_of_a_count_stops_mode_0() {
        let mut bench = bench();
        write(&mut bench, CONTROL, &[0x30]);
        write(&mut bench, 0, &[2, 0]);
        bench.advance(3000);
        assert!(bench.output(OUT));
        write(&mut bench, 0, &[9]);
        assert!(!bench.output(OUT) && bench.around.timers.is_empty());
        write(&mut bench, 0, &[0]);
        bench.advance(10_000);
        assert!(bench.output(OUT));
    }

    #[test]
    fn a_250_hz_tick_at_the_real_clock() {
        let mut bench = Bench::<I8254>::new(I8254Props::default());
        write(&mut bench, CONTROL, &[0x34]);
        write(&mut bench, 0, &[0xa5, 0x12]);
        bench.around.edges.clear();
        bench.advance(1_000_000_000);
        let rises = bench.around.edges.iter().filter(|e| **e == (OUT, true));
        assert_eq!(rises.count(), 249);
        // The 250th is due 250 × 4773 cycles after the load, which was at cycle 1: just past the second.
        bench.advance(57_400);
        assert_eq!(bench.around.edges.last(), Some(&(OUT, false)));
        let due = bench.around.timers.values().copied().collect::<Vec<_>>();
        assert_eq!(due, [(1 + 250 * 4773_u64) * 1_000_000_000 / 1_193_182 + 1]);
    }

    #[test]
    fn silence_and_refresh_cost_no_events() {
        let mut bench = bench();
        assert!(bench.around.timers.is_empty());
        write(&mut bench, CONTROL, &[0x54]);
        write(&mut bench, 1, &[18]);
        assert!(bench.around.timers.is_empty());
        bench.advance(10_000);
        assert_eq!(read(&mut bench, 1), 9);
        write(&mut bench, CONTROL, &[0xb6]);
        write(&mut bench, 2, &[4, 0]);
        bench.advance(1000);
        assert!(bench.around.timers.is_empty(), "GATE 2 is low");
        bench.line(GATE2, true);
        assert_eq!(bench.around.timers.len(), 1);
    }

    #[test]
    fn a_clock_out_of_range_is_refused() {
        for (hertz, valid) in [
            (0, false),
            (1, true),
            (10_000_000, true),
            (10_000_001, false),
        ] {
            let clock = Hertz(hertz);
            assert_eq!(
                I8254::interface(&I8254Props { clock }).is_ok(),
                valid,
                "{clock}"
            );
        }
    }

    #[test]
    fn random_accesses_and_saved_state() {
        exercise(bench);
        exercise(|| Bench::<I8254>::new(I8254Props::default()));
    }
}
