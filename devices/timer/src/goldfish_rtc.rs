//! The real-time clock of Android's emulator.
//!
//! Android Emulator, "Goldfish virtual hardware", section "Goldfish real-time clock": the calendar's time in nanoseconds, and an alarm.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, END_OF_TIME, Interface, Model, Pins,
    PropError, Ranges, Region, State, StateError, TimerId, Wires, connections, lanes, merge, tree,
};

connections! {
    fn connections(_: &GoldfishRtcProps) on BusKind::System;
    region REGISTERS = Region::registers("registers", 0x1000);
    output IRQ = Pins::named("irq");
}

const TIME_LOW: u64 = 0x00;
const TIME_HIGH: u64 = 0x04;
const ALARM_LOW: u64 = 0x08;
const ALARM_HIGH: u64 = 0x0c;
const IRQ_ENABLED: u64 = 0x10;
const CLEAR_ALARM: u64 = 0x14;
const ALARM_STATUS: u64 = 0x18;
const CLEAR_INTERRUPT: u64 = 0x1c;

const ALARM: TimerId = TimerId(0);
const NANOSECONDS: i64 = 1_000_000_000;

/// Properties of `goldfish_rtc`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GoldfishRtcProps {}

/// The clock.
#[derive(Debug, State)]
pub struct GoldfishRtc {
    /// What software has set the time to, less what it was, in nanoseconds.
    tick_offset: u64,
    /// TIME_HIGH as it was when TIME_LOW was read.
    time_high: u32,
    /// When the alarm comes, while one is set; its high half can be written without setting one.
    alarm_next: u64,
    alarm_running: bool,
    irq_pending: bool,
    irq_enabled: bool,
}

impl Model for GoldfishRtc {
    const TYPE: &'static str = "goldfish_rtc";
    const SUMMARY: &'static str = "Real-time clock of Android's emulator (Goldfish)";
    type Props = GoldfishRtcProps;

    fn interface(props: &GoldfishRtcProps) -> Result<Interface, PropError> {
        let node = tree::Node::new("rtc", &["google,goldfish-rtc"]).interrupts([IRQ]);
        Ok(connections(props).node(node))
    }

    fn build(_: GoldfishRtcProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            tick_offset: 0,
            time_high: 0,
            alarm_next: 0,
            alarm_running: false,
            irq_pending: false,
            irq_enabled: false,
        })
    }
}

impl Device for GoldfishRtc {
    /// The time goes on: it has a battery.
    fn reset(&mut self, cx: &mut Cx<'_>) {
        *self = Self {
            tick_offset: self.tick_offset,
            time_high: 0,
            alarm_next: 0,
            alarm_running: false,
            irq_pending: false,
            irq_enabled: false,
        };
        self.update(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let register = match at.offset & !3 {
            TIME_LOW => {
                let time = self.time(cx);
                self.time_high = (time >> 32) as u32;
                time as u32
            }
            TIME_HIGH => self.time_high,
            ALARM_LOW => self.alarm_next as u32,
            ALARM_HIGH => (self.alarm_next >> 32) as u32,
            IRQ_ENABLED => self.irq_enabled.into(),
            ALARM_STATUS => self.alarm_running.into(),
            _ => 0,
        };
        Ok(lanes(register, at.offset, at.size))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let written = |register: u32| merge(register, at.offset, at.size, value);
        let time = self.time(cx);
        match at.offset & !3 {
            TIME_LOW => self.set_time(time, time >> 32 << 32 | u64::from(written(time as u32))),
            TIME_HIGH => {
                let high = written((time >> 32) as u32);
                self.set_time(time, u64::from(high) << 32 | time & 0xffff_ffff);
            }
            ALARM_LOW => {
                let low = written(self.alarm_next as u32);
                self.alarm_next = self.alarm_next >> 32 << 32 | u64::from(low);
                self.alarm_running = true;
            }
            ALARM_HIGH => {
                let high = written((self.alarm_next >> 32) as u32);
                self.alarm_next = u64::from(high) << 32 | self.alarm_next & 0xffff_ffff;
            }
            IRQ_ENABLED => self.irq_enabled = written(self.irq_enabled.into()) & 1 != 0,
            CLEAR_ALARM => self.alarm_running = false,
            CLEAR_INTERRUPT => self.irq_pending = false,
            _ => cx.guest_error(format_args!("write where nothing can be written")),
        }
        self.update(cx);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _: TimerId) {
        self.update(cx);
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.update(cx);
        Ok(())
    }
}

impl GoldfishRtc {
    /// Nanoseconds since 1970.
    fn time(&self, cx: &Cx<'_>) -> u64 {
        let start = cx.epoch().wrapping_mul(NANOSECONDS) as u64;
        start.wrapping_add(cx.now()).wrapping_add(self.tick_offset)
    }

    fn set_time(&mut self, from: u64, to: u64) {
        self.tick_offset = self.tick_offset.wrapping_add(to.wrapping_sub(from));
    }

    /// Looks at the alarm, and drives the output.
    fn update(&mut self, cx: &mut Cx<'_>) {
        let left = self.alarm_next.saturating_sub(self.time(cx));
        if self.alarm_running && left == 0 {
            self.alarm_running = false;
            self.irq_pending = true;
        }
        match cx.now().checked_add(left).filter(|at| *at < END_OF_TIME) {
            Some(at) if self.alarm_running => cx.arm(ALARM, at),
            _ => cx.disarm(ALARM),
        }
        cx.set(IRQ, self.irq_pending && self.irq_enabled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, Noise, exercise, goes_on_the_same};

    type Rtc = Bench<GoldfishRtc>;

    fn rtc() -> Rtc {
        let mut bench = Bench::new(GoldfishRtcProps {});
        bench.around.epoch = 1_700_000_000;
        bench
    }

    fn put(b: &mut Rtc, register: u64, value: u64) {
        assert!(b.write(REGISTERS, register, 4, value));
    }

    fn get(b: &mut Rtc, register: u64) -> u64 {
        b.read(REGISTERS, register, 4).expect("answers")
    }

    fn time(b: &mut Rtc) -> u64 {
        let low = get(b, TIME_LOW);
        get(b, TIME_HIGH) << 32 | low
    }

    #[test]
    fn the_calendar_can_be_read_and_set() {
        let mut b = rtc();
        b.advance(5);
        assert_eq!(time(&mut b), 1_700_000_000_000_000_005);
        put(&mut b, TIME_HIGH, 7);
        put(&mut b, TIME_LOW, 1000);
        b.advance(10);
        assert_eq!(time(&mut b), 7 << 32 | 1010);
        b.reset();
        assert_eq!(time(&mut b), 7 << 32 | 1010);
        // The halves belong together.
        put(&mut b, TIME_LOW, 0xffff_ffff);
        assert_eq!(get(&mut b, TIME_LOW), 0xffff_ffff);
        b.advance(1);
        assert_eq!(get(&mut b, TIME_HIGH), 7);
        assert_eq!(time(&mut b), 8 << 32);
    }

    #[test]
    fn an_alarm_interrupts_whoever_enables_it() {
        let mut b = rtc();
        let due = time(&mut b) + 500;
        put(&mut b, ALARM_HIGH, due >> 32);
        assert_eq!(get(&mut b, ALARM_STATUS), 0);
        put(&mut b, ALARM_LOW, due & 0xffff_ffff);
        assert_eq!(get(&mut b, ALARM_STATUS), 1);
        assert_eq!(get(&mut b, ALARM_HIGH) << 32 | get(&mut b, ALARM_LOW), due);
        b.advance(500);
        assert_eq!(get(&mut b, ALARM_STATUS), 0);
        assert!(!b.output(IRQ));
        put(&mut b, IRQ_ENABLED, 3);
        assert_eq!(get(&mut b, IRQ_ENABLED), 1);
        assert!(b.output(IRQ));
        put(&mut b, CLEAR_INTERRUPT, 1);
        assert!(!b.output(IRQ));
        put(&mut b, ALARM_LOW, 0);
        assert!(b.output(IRQ), "that was before");
        put(&mut b, CLEAR_INTERRUPT, 1);
        put(&mut b, ALARM_HIGH, u64::MAX);
        put(&mut b, ALARM_LOW, 0);
        put(&mut b, CLEAR_ALARM, 1);
        assert_eq!(get(&mut b, ALARM_STATUS), 0);
        assert!(b.around.timers.is_empty());
    }

    fn poke(b: &mut Rtc, noise: &mut Noise) -> Option<u64> {
        let register = 4 * noise.below(9);
        match noise.below(4) {
            0 => {
                b.advance(noise.below(1 << 31));
                Some(0)
            }
            1 => b.read(REGISTERS, register, 4),
            2 => {
                let soon = time(b).wrapping_add(noise.below(1 << 30));
                put(b, ALARM_HIGH, soon >> 32);
                put(b, ALARM_LOW, soon & 0xffff_ffff);
                Some(soon)
            }
            _ => Some(b.write(REGISTERS, register, 4, noise.value()).into()),
        }
    }

    #[test]
    fn random_accesses_and_saved_state() {
        goes_on_the_same(rtc, 20, 300, poke);
        exercise(rtc);
    }
}
