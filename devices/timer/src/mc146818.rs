//! The MC146818 real-time clock with battery-backed RAM.
//!
//! Motorola MC146818A datasheet, "Address map" to "Register D"; the second bank of RAM behind its own index and
//! data ports, and the century byte, are those of a PC's south bridge (Intel 82371AB datasheet, 290562, "Real
//! time clock").
//!
//! Nothing is counted: calendar, update-in-progress bit and flags follow from guest time when they are read. A timer
//! runs only for an interrupt that is enabled and not yet asserted.
//!
//! A calendar register holds a byte. What it says depends on two bits of register B: changing them changes no byte, and a
//! byte that says nothing in their sense stays what it is until the clock counts it on.
//!
//! Daylight saving (DSE, bit 0 of register B) is not there: the bit is kept and changes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, Ask, BuildError, BusError, BusKind, Cx, Device, Fitted, Interface, Model, Part, Pins,
    Placement, PropError, Question, Ranges, Region, State, StateError, TimerId, Wires, connections,
};

/// Properties of [`Mc146818`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mc146818Props {
    /// There are 128 more bytes of RAM, behind the two ports that follow the clock's own.
    pub extended_ram: bool,
}

impl Default for Mc146818Props {
    fn default() -> Self {
        Self { extended_ram: true }
    }
}

connections! {
    fn connections(props: &Mc146818Props) on BusKind::Isa;
    region REGISTERS = Region::ports("registers", 2);
    region EXTENDED = Region::ports("extended", 2).placed(Placement::Board(2)), if props.extended_ram;
    output IRQ = Pins::named("irq");
}

const EVENT: TimerId = TimerId(0);

const SECONDS: u8 = 0x00;
const SECONDS_ALARM: u8 = 0x01;
const MINUTES: u8 = 0x02;
const MINUTES_ALARM: u8 = 0x03;
const HOURS: u8 = 0x04;
const HOURS_ALARM: u8 = 0x05;
const DAY_OF_WEEK: u8 = 0x06;
const DATE: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const A: u8 = 0x0a;
const B: u8 = 0x0b;
const C: u8 = 0x0c;
const D: u8 = 0x0d;
const CENTURY: u8 = 0x32;
/// The registers that the clock advances.
const CALENDAR: [u8; 8] = [
    SECONDS,
    MINUTES,
    HOURS,
    DAY_OF_WEEK,
    DATE,
    MONTH,
    YEAR,
    CENTURY,
];

const A_UIP: u8 = 1 << 7;
/// A: divider. 0 to 2 name the crystal, which is taken to be the one fitted; 6 and 7 hold the divider in reset, and the
/// test modes between do not keep time either.
const A_DV_SHIFT: u8 = 4;
const A_AT_POWER_ON: u8 = 0x26;
const B_SET: u8 = 1 << 7;
const B_UIE: u8 = 1 << 4;
const B_SQWE: u8 = 1 << 3;
const B_DM: u8 = 1 << 2;
const B_24_12: u8 = 1 << 1;
const B_DSE: u8 = 1 << 0;
/// B: what the bytes of the calendar mean.
const B_FORMAT: u8 = B_DM | B_24_12;
const C_IRQF: u8 = 1 << 7;
/// C: periodic, alarm and update-ended flags; the bits that enable them have the same places in B.
const PF: u8 = 1 << 6;
const AF: u8 = 1 << 5;
const UF: u8 = 1 << 4;
const FLAGS: u8 = PF | AF | UF;
const D_VRT: u8 = 1 << 7;
const PM: u8 = 1 << 7;
/// An alarm byte from here on matches anything.
const ALARM_ANY: u8 = 0xc0;

const SECOND: u64 = 1_000_000_000;
/// How long UIP is set before the calendar changes (datasheet: tBUC).
const UIP_NS: u64 = 244_000;
const DAY_SECONDS: i64 = 86_400;
/// Times further than this from 1970, in seconds, are cut off; 34,000 years.
const CALENDAR_LIMIT: i64 = 1 << 40;

/// The second bank of RAM.
#[derive(Debug, State)]
struct Extended {
    index: u8,
    ram: [u8; 128],
}

impl Part for Extended {
    const NAME: &'static str = "extended";
}

/// The clock. Calendar and RAM live on a battery: a reset leaves them alone.
#[derive(Debug, State)]
pub struct Mc146818 {
    index: u8,
    /// RAM and alarm bytes; the calendar bytes too, as they were when the calendar was last started.
    ram: [u8; 128],
    extended: Fitted<Extended>,
    a: u8,
    b: u8,
    /// Flags of register C that were set up to `flags_until`.
    c: u8,
    /// Guest time in nanoseconds.
    #[state(since = 2, renamed = "checked")]
    flags_until: u64,
    /// What the divider chain held at guest time 0, in nanoseconds, below one second.
    divider: u64,
    /// Seconds by which the calendar is ahead of the divider's count of seconds since [`Cx::epoch`].
    offset: i64,
    /// Days by which the day-of-week register is ahead of the date's weekday: the chip counts it on its own.
    weekday_offset: u8,
}

impl Model for Mc146818 {
    const TYPE: &'static str = "mc146818rtc";
    const QUESTIONS: &'static [Question] = &[Question {
        name: "clock",
        steps: &[Ask::Indexed((REGISTERS, 0, 1), (REGISTERS, 1, 1), 0, 0x3f)],
    }];
    const SUMMARY: &'static str =
        "Motorola MC146818 real-time clock with battery-backed RAM, without daylight saving";
    type Props = Mc146818Props;

    fn interface(props: &Self::Props) -> Result<Interface, PropError> {
        Ok(connections(props)
            .said("RTC", "PNP0B00", &[IRQ])
            .part::<Extended>(&[("extended-ram", false)], props.extended_ram))
    }

    fn build(_: Self::Props, wires: Wires<'_>) -> Result<Self, BuildError> {
        let ram = [0; 128];
        Ok(Self {
            index: 0,
            ram,
            extended: wires.fit(|| Extended { index: 0, ram }),
            a: A_AT_POWER_ON,
            b: B_24_12,
            c: 0,
            flags_until: 0,
            divider: 0,
            offset: 0,
            weekday_offset: 0,
        })
    }
}

impl Device for Mc146818 {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.b &= !(FLAGS | B_SQWE);
        self.c = 0;
        self.flags_until = cx.now();
        self.update(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let value = match (at.region, at.offset, self.extended.get()) {
            (REGISTERS, 1, _) => self.read_register(cx),
            (EXTENDED, 1, Some(bank)) => bank.ram[usize::from(bank.index & 0x7f)],
            // Index ports are write-only.
            _ => 0xff,
        };
        Ok(value.into())
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let value = value as u8;
        match (at.region, at.offset, self.extended.get_mut()) {
            // Bit 7 is the board's NMI mask.
            (REGISTERS, 0, _) => self.index = value & 0x7f,
            (REGISTERS, ..) => self.write_register(cx, value),
            (EXTENDED, 0, Some(bank)) => bank.index = value & 0x7f,
            (EXTENDED, _, Some(bank)) => bank.ram[usize::from(bank.index & 0x7f)] = value,
            _ => return Err(BusError),
        }
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

impl Mc146818 {
    fn read_register(&mut self, cx: &mut Cx<'_>) -> u8 {
        match self.index {
            // Guests wait for this bit to change by reading it a million times over.
            A => self.a | (u8::from(self.updating(cx.now())) * A_UIP),
            B => self.b,
            C => {
                self.sync(cx);
                let flags = std::mem::take(&mut self.c);
                self.update(cx);
                flags | (u8::from(flags & self.b & FLAGS != 0) * C_IRQF)
            }
            D => D_VRT,
            index if CALENDAR.contains(&index) && !self.stopped() => {
                self.calendar_byte(index, self.seconds(cx, cx.now()))
            }
            index => self.ram[usize::from(index & 0x7f)],
        }
    }

    fn write_register(&mut self, cx: &mut Cx<'_>, value: u8) {
        let index = self.index & 0x7f;
        match index {
            A | B => {
                self.sync(cx);
                self.write_control(cx, index, value);
                self.update(cx);
            }
            C | D => cx.guest_error(format_args!("register {index:#04x} is read-only")),
            SECONDS_ALARM | MINUTES_ALARM | HOURS_ALARM => {
                self.sync(cx);
                self.ram[usize::from(index)] = value;
                self.update(cx);
            }
            _ if CALENDAR.contains(&index) && !self.stopped() => {
                self.sync(cx);
                self.stop(cx);
                self.ram[usize::from(index)] = value;
                self.start(cx);
                self.update(cx);
            }
            _ => self.ram[usize::from(index)] = value,
        }
    }

    fn write_control(&mut self, cx: &mut Cx<'_>, index: u8, value: u8) {
        let (was_stopped, was_dividing) = (self.stopped(), self.dividing());
        let format = self.b & B_FORMAT;
        if !was_stopped {
            // In case this stops it, or gives its bytes another meaning.
            self.stop(cx);
        }
        if index == B && value & !self.b & B_DSE != 0 {
            cx.guest_error(format_args!("daylight saving is not there"));
        }
        if index == A {
            self.a = value & !A_UIP;
        } else if value & B_SET != 0 {
            self.b = value & !B_UIE;
        } else {
            self.b = value;
        }
        if self.dividing() && !was_dividing {
            // The first update comes half a second after the divider is let go.
            self.divider = (SECOND + SECOND / 2 - cx.now() % SECOND) % SECOND;
        }
        if !self.stopped() && (was_stopped || self.b & B_FORMAT != format) {
            self.start(cx);
        }
    }

    fn dv(&self) -> u8 {
        self.a >> A_DV_SHIFT & 7
    }

    /// The divider chain runs.
    fn dividing(&self) -> bool {
        self.dv() <= 2
    }

    /// The calendar stands still, and its registers hold what was written.
    fn stopped(&self) -> bool {
        self.b & B_SET != 0 || !self.dividing()
    }

    /// Nanoseconds that the divider chain has counted.
    fn elapsed(&self, at: u64) -> u64 {
        at.saturating_add(self.divider % SECOND)
    }

    fn updating(&self, at: u64) -> bool {
        self.elapsed(at) % SECOND >= SECOND - UIP_NS && !self.stopped()
    }

    /// Seconds since [`Cx::epoch`] by the divider.
    fn divided(&self, at: u64) -> i64 {
        (self.elapsed(at) / SECOND) as i64
    }

    /// Calendar time in seconds since 1970.
    fn seconds(&self, cx: &Cx<'_>, at: u64) -> i64 {
        cx.epoch()
            .saturating_add(self.offset)
            .saturating_add(self.divided(at))
            .clamp(-CALENDAR_LIMIT, CALENDAR_LIMIT)
    }

    /// Puts the calendar into its registers.
    fn stop(&mut self, cx: &Cx<'_>) {
        let seconds = self.seconds(cx, cx.now());
        let bytes = CALENDAR.map(|index| self.calendar_byte(index, seconds));
        for (index, byte) in CALENDAR.into_iter().zip(bytes) {
            self.ram[usize::from(index)] = byte;
        }
    }

    /// The calendar time that the registers held when it was started, in seconds since 1970. A date that does not exist is
    /// carried into the next month; a time that does not is one of the same day.
    fn started(&self) -> i64 {
        let value = |index| i64::from(self.decode(index, self.ram[usize::from(index)]));
        let year = value(CENTURY) * 100 + value(YEAR);
        let days = days_from_date(year, value(MONTH).clamp(1, 12), value(DATE));
        let time = value(HOURS) % 24 * 3600 + value(MINUTES) % 60 * 60 + value(SECONDS) % 60;
        days * DAY_SECONDS + time
    }

    /// Lets the calendar run on from its registers.
    fn start(&mut self, cx: &Cx<'_>) {
        let seconds = self.started();
        let day = self.ram[usize::from(DAY_OF_WEEK)];
        let weekday = i64::from(self.decode(DAY_OF_WEEK, day)) - 1;
        let natural = weekday_of(seconds.div_euclid(DAY_SECONDS));
        self.weekday_offset = (weekday - natural).rem_euclid(7) as u8;
        self.offset = seconds
            .saturating_sub(cx.epoch())
            .saturating_sub(self.divided(cx.now()));
    }

    /// A calendar register at a calendar time. What has not been counted on since the calendar was started is as it was.
    fn calendar_byte(&self, index: u8, seconds: i64) -> u8 {
        let unit = match index {
            SECONDS => 1,
            MINUTES => 60,
            HOURS => 3600,
            _ => DAY_SECONDS,
        };
        if self.started().div_euclid(unit) == seconds.div_euclid(unit) {
            return self.ram[usize::from(index)];
        }
        let (days, time) = (
            seconds.div_euclid(DAY_SECONDS),
            seconds.rem_euclid(DAY_SECONDS),
        );
        let value = match index {
            SECONDS => time % 60,
            MINUTES => time / 60 % 60,
            HOURS => time / 3600,
            DAY_OF_WEEK => (weekday_of(days) + i64::from(self.weekday_offset)) % 7 + 1,
            _ => {
                let (year, month, day) = date_from_days(days);
                match index {
                    DATE => day,
                    MONTH => month,
                    YEAR => year.rem_euclid(100),
                    _ => year.div_euclid(100).rem_euclid(100),
                }
            }
        } as u8;
        if index == HOURS && self.b & B_24_12 == 0 {
            let half = u8::from(value >= 12) * PM;
            return half | self.encode((value + 11) % 12 + 1);
        }
        self.encode(value)
    }

    /// A number below 100 as the data mode has it.
    fn encode(&self, value: u8) -> u8 {
        match self.b & B_DM {
            0 => ((value / 10) << 4) | (value % 10),
            _ => value,
        }
    }

    /// The number in a calendar or alarm register; out of range if the guest's is. Hours are 0 to 23.
    fn decode(&self, index: u8, byte: u8) -> u32 {
        let number = |byte: u8| match self.b & B_DM {
            0 => u32::from(byte >> 4) * 10 + u32::from(byte & 15),
            _ => u32::from(byte),
        };
        if matches!(index, HOURS | HOURS_ALARM) && self.b & B_24_12 == 0 {
            let half = u32::from(byte & PM != 0) * 12;
            return match number(byte & !PM) {
                hour @ 1..=12 => hour % 12 + half,
                invalid => invalid + 24,
            };
        }
        number(byte)
    }

    /// Ticks of 1/32,768 s from one periodic interrupt to the next, as a power of two.
    fn period_shift(&self) -> Option<u32> {
        let rs = u32::from(self.a & 15);
        match (self.dv(), rs) {
            (_, 0) | (3.., _) => None,
            // With a 32 kHz crystal the two fastest taps do not exist and give slower ones.
            (2, 1 | 2) => Some(rs + 6),
            _ => Some(rs - 1),
        }
    }

    /// Seconds from the one that is `time` seconds into the day to the next that the alarm matches.
    fn alarm_after(&self, time: i64) -> Option<i64> {
        let matches = |index: u8, value: i64| {
            let byte = self.ram[usize::from(index)];
            byte >= ALARM_ANY || i64::from(self.decode(index, byte)) == value
        };
        let units = [(HOURS_ALARM, 24), (MINUTES_ALARM, 60), (SECONDS_ALARM, 60)];
        if !units
            .iter()
            .all(|(index, end)| (0..*end).any(|v| matches(*index, v)))
        {
            return None;
        }
        // From here on every matching hour has a matching minute, and that a second: the search is short.
        let from = time + 1;
        for hour in from / 3600..=from / 3600 + 24 {
            if !matches(HOURS_ALARM, hour % 24) {
                continue;
            }
            for minute in from.max(hour * 3600) / 60..(hour + 1) * 60 {
                if !matches(MINUTES_ALARM, minute % 60) {
                    continue;
                }
                let mut seconds = from.max(minute * 60)..(minute + 1) * 60;
                if let Some(second) = seconds.find(|s| matches(SECONDS_ALARM, s % 60)) {
                    return Some(second - time);
                }
            }
        }
        None
    }

    fn ticks(&self, at: u64) -> u128 {
        u128::from(self.elapsed(at)) * 32_768 / u128::from(SECOND)
    }

    /// The flags of register C now.
    fn flags(&self, cx: &Cx<'_>) -> u8 {
        let (from, now) = (self.flags_until, cx.now());
        let mut flags = self.c & FLAGS;
        if let Some(shift) = self.period_shift()
            && self.ticks(now) >> shift > self.ticks(from) >> shift
        {
            flags |= PF;
        }
        let updates = self.divided(now) - self.divided(from);
        if updates > 0 && !self.stopped() {
            flags |= UF;
            let time = self.seconds(cx, from).rem_euclid(DAY_SECONDS);
            if self.alarm_after(time).is_some_and(|wait| wait <= updates) {
                flags |= AF;
            }
        }
        flags
    }

    fn sync(&mut self, cx: &Cx<'_>) {
        self.c = self.flags(cx);
        self.flags_until = cx.now();
    }

    /// Drives IRQ; while it is quiet, wakes up for the next enabled event.
    fn update(&self, cx: &mut Cx<'_>) {
        let irq = self.flags(cx) & self.b & FLAGS != 0;
        cx.set(IRQ, irq);
        match self.next_event(cx).filter(|_| !irq) {
            Some(at) => cx.arm(EVENT, at),
            None => cx.disarm(EVENT),
        }
    }

    fn next_event(&self, cx: &Cx<'_>) -> Option<u64> {
        let now = cx.now();
        let enabled = |flag| self.b & flag != 0;
        let update = now.saturating_add(SECOND - self.elapsed(now) % SECOND);
        let ended = (enabled(UF) && !self.stopped()).then_some(update);
        let alarm = (enabled(AF) && !self.stopped())
            .then(|| self.alarm_after(self.seconds(cx, now).rem_euclid(DAY_SECONDS)))
            .flatten()
            .map(|wait| update.saturating_add((wait - 1) as u64 * SECOND));
        let periodic = self.period_shift().filter(|_| enabled(PF)).map(|shift| {
            let tick = ((self.ticks(now) >> shift) + 1) << shift;
            let elapsed = (tick * u128::from(SECOND)).div_ceil(32_768);
            let at = elapsed.saturating_sub(u128::from(self.divider % SECOND));
            u64::try_from(at).unwrap_or(u64::MAX)
        });
        [ended, alarm, periodic].into_iter().flatten().min()
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar. Days beyond the month's end count on.
fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have the leap day at their end, and months in a pattern of 153 days per five.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// The date, as year, month and day, that is this many days after 1970-01-01.
fn date_from_days(days: i64) -> (i64, i64, i64) {
    const CYCLE: i64 = 146_097;
    let since_march = days + 719_468;
    let (cycle, day) = (since_march.div_euclid(CYCLE), since_march.rem_euclid(CYCLE));
    // Taking out the leap days that have passed leaves years of 365 days.
    let year = (day - day / 1460 + day / 36_524 - day / (CYCLE - 1)) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let date = day - (month * 153 + 2) / 5 + 1;
    let year = cycle * 400 + year;
    match month {
        0..=9 => (year, month + 3, date),
        _ => (year + 1, month - 9, date),
    }
}

/// The weekday of a day since 1970-01-01; Sunday is 0.
fn weekday_of(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use solderless_model::testing::{Bench, exercise};

    use super::*;

    /// Sunday, 2026-11-22 10:40:34 UTC.
    const EPOCH: i64 = 1_795_344_034;
    const SET: u8 = B_SET;

    fn bench_at(epoch: i64) -> Bench<Mc146818> {
        let mut bench = Bench::<Mc146818>::new(Mc146818Props::default());
        bench.around.epoch = epoch;
        bench
    }

    fn get(bench: &mut Bench<Mc146818>, index: u8) -> u8 {
        bench.write(REGISTERS, 0, 1, index.into());
        bench.read(REGISTERS, 1, 1).expect("a register") as u8
    }

    fn put(bench: &mut Bench<Mc146818>, registers: &[(u8, u8)]) {
        for (index, value) in registers {
            bench.write(REGISTERS, 0, 1, (*index).into());
            bench.write(REGISTERS, 1, 1, (*value).into());
        }
    }

    const ORDER: [u8; 8] = [
        CENTURY,
        YEAR,
        MONTH,
        DATE,
        DAY_OF_WEEK,
        HOURS,
        MINUTES,
        SECONDS,
    ];

    /// Century, year, month, date, day of week, hours, minutes, seconds.
    fn calendar(bench: &mut Bench<Mc146818>) -> [u8; 8] {
        ORDER.map(|r| get(bench, r))
    }

    /// Sets the calendar, in the order of [`calendar`], and has it run with this register B.
    fn write(bench: &mut Bench<Mc146818>, control: u8, bytes: [u8; 8]) {
        put(bench, &[(B, SET | control)]);
        for (index, byte) in ORDER.into_iter().zip(bytes) {
            put(bench, &[(index, byte)]);
        }
        put(bench, &[(B, control)]);
    }

    #[test]
    fn every_date_of_four_centuries() {
        let (mut year, mut month, mut day) = (1900, 1, 1);
        for days in days_from_date(1900, 1, 1)..days_from_date(2300, 1, 1) {
            assert_eq!(date_from_days(days), (year, month, day));
            assert_eq!(days_from_date(year, month, day), days);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + i64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (2300, 1, 1));
        assert_eq!(days_from_date(1970, 1, 1), 0);
        assert_eq!(weekday_of(0), 4);
    }

    #[test]
    fn the_calendar_in_every_format() {
        for (control, mut bytes) in [
            (0x02, [0x20, 0x26, 0x11, 0x22, 0x01, 0x10, 0x40, 0x34]),
            (0x06, [20, 26, 11, 22, 1, 10, 40, 34]),
            (0x00, [0x20, 0x26, 0x11, 0x22, 0x01, 0x10, 0x40, 0x34]),
            (0x00, [0x20, 0x26, 0x11, 0x22, 0x01, 0x90, 0x40, 0x34]),
            (0x00, [0x20, 0x26, 0x11, 0x22, 0x01, 0x92, 0x40, 0x34]),
            (0x04, [20, 26, 11, 22, 1, 12, 40, 34]),
            (0x04, [20, 26, 11, 22, 1, 0x8b, 40, 34]),
        ] {
            let mut bench = bench_at(0);
            write(&mut bench, control, bytes);
            assert_eq!(calendar(&mut bench), bytes, "B {control:#x}");
            // A day later nothing is as it was written.
            bench.advance(86_400 * SECOND);
            (bytes[3], bytes[4]) = (bytes[3] + 1, bytes[4] + 1);
            assert_eq!(calendar(&mut bench), bytes, "B {control:#x}");
        }
    }

    #[test]
    fn changing_the_format_changes_no_byte() {
        for hour in 0..24 {
            let hours = ((hour / 10) << 4) | (hour % 10);
            let set = [0x20, 0x26, 0x06, 0x15, 0x02, hours, 0x31, 0x40];
            let mut bench = bench_at(EPOCH);
            bench.advance(SECOND / 3);
            write(&mut bench, 2, set);
            // As U-Boot's driver starts, and then as nobody does.
            let formats = [
                (B, SET | 2),
                (A, 0x20),
                (B, 0),
                (B, 0),
                (B, 2),
                (B, 6),
                (B, 4),
                (B, 2),
            ];
            for step in formats {
                put(&mut bench, &[step]);
                assert_eq!(calendar(&mut bench), set, "{step:x?}, {hour} h");
            }
            assert!(bench.around.errors.is_empty());
            // And the clock goes on from there.
            bench.advance(40 * SECOND);
            let next = [0x20, 0x26, 0x06, 0x15, 0x02, hours, 0x32, 0x20];
            assert_eq!(calendar(&mut bench), next, "{hour} h");
        }
    }

    #[test]
    fn an_hour_that_is_none_lasts_until_the_next() {
        for (hours, next, date) in [(0x23, 0x12, 0x16), (0x00, 0x01, 0x15), (0x15, 0x84, 0x15)] {
            let mut bench = bench_at(EPOCH);
            put(
                &mut bench,
                &[
                    (B, SET),
                    (DATE, 0x15),
                    (HOURS, hours),
                    (MINUTES, 0x59),
                    (B, 0),
                ],
            );
            bench.advance(20 * SECOND);
            assert_eq!(get(&mut bench, HOURS), hours);
            bench.advance(10 * SECOND);
            assert_eq!(
                (get(&mut bench, HOURS), get(&mut bench, MINUTES)),
                (next, 0)
            );
            assert_eq!(get(&mut bench, DATE), date);
        }
    }

    #[test]
    fn a_date_is_written_register_by_register() {
        // From the last of January, by way of a date that there is not.
        let mut bench = bench_at(EPOCH);
        put(
            &mut bench,
            &[(MONTH, 0x01), (DATE, 0x31), (MONTH, 0x02), (DATE, 0x15)],
        );
        assert_eq!(
            (get(&mut bench, MONTH), get(&mut bench, DATE)),
            (0x02, 0x15)
        );
        // One that stays is as written for the rest of its day.
        put(&mut bench, &[(DATE, 0x30)]);
        assert_eq!(
            (get(&mut bench, MONTH), get(&mut bench, DATE)),
            (0x02, 0x30)
        );
        bench.advance(86_400 * SECOND);
        assert_eq!(
            (get(&mut bench, MONTH), get(&mut bench, DATE)),
            (0x03, 0x03)
        );
    }

    #[test]
    fn daylight_saving_is_kept_and_reported() {
        let mut bench = bench_at(EPOCH);
        put(&mut bench, &[(B, 3), (B, 3)]);
        assert_eq!(get(&mut bench, B), 3);
        assert_eq!(bench.around.errors, ["daylight saving is not there"]);
    }

    #[test]
    fn the_calendar_rolls_over() {
        for (before, after) in [
            (
                [0x20, 0x24, 0x02, 0x28, 0x04, 0x23, 0x59, 0x59],
                [0x20, 0x24, 0x02, 0x29, 0x05, 0, 0, 0],
            ),
            (
                [0x20, 0x23, 0x02, 0x28, 0x03, 0x23, 0x59, 0x59],
                [0x20, 0x23, 0x03, 0x01, 0x04, 0, 0, 0],
            ),
            (
                [0x19, 0x99, 0x12, 0x31, 0x06, 0x23, 0x59, 0x59],
                [0x20, 0x00, 0x01, 0x01, 0x07, 0, 0, 0],
            ),
            (
                [0x20, 0x99, 0x12, 0x31, 0x07, 0x23, 0x59, 0x59],
                [0x21, 0x00, 0x01, 0x01, 0x01, 0, 0, 0],
            ),
            (
                [0x21, 0x00, 0x02, 0x28, 0x01, 0x23, 0x59, 0x59],
                [0x21, 0x00, 0x03, 0x01, 0x02, 0, 0, 0],
            ),
            // The day of the week is whatever the guest says it is.
            (
                [0x20, 0x26, 0x11, 0x22, 0x05, 0x10, 0x59, 0x59],
                [0x20, 0x26, 0x11, 0x22, 0x05, 0x11, 0, 0],
            ),
        ] {
            let mut bench = bench_at(EPOCH);
            put(&mut bench, &[(B, SET | 0x02)]);
            for (index, value) in ORDER.into_iter().zip(before) {
                put(&mut bench, &[(index, value)]);
            }
            bench.advance(10 * SECOND);
            assert_eq!(calendar(&mut bench), before, "it stands still");
            put(&mut bench, &[(B, 0x02)]);
            assert_eq!(calendar(&mut bench), before);
            bench.advance(SECOND);
            assert_eq!(calendar(&mut bench), after);
        }
    }

    #[test]
    fn a_running_calendar_takes_single_registers() {
        let mut bench = bench_at(EPOCH);
        bench.advance(SECOND + 300);
        put(
            &mut bench,
            &[(MINUTES, 0x15), (YEAR, 0x31), (CENTURY, 0x19)],
        );
        let expected = [0x19, 0x31, 0x11, 0x22, 0x01, 0x10, 0x15, 0x35];
        assert_eq!(calendar(&mut bench), expected);
        bench.advance(SECOND - 301);
        assert_eq!(get(&mut bench, SECONDS), 0x35);
        bench.advance(1);
        assert_eq!(get(&mut bench, SECONDS), 0x36);
        // No guest's nonsense harms anything.
        put(
            &mut bench,
            &[(MONTH, 0xff), (DATE, 0xff), (HOURS, 0xff), (CENTURY, 0xff)],
        );
        calendar(&mut bench);
    }

    #[test]
    fn update_in_progress() {
        let mut bench = bench_at(EPOCH);
        bench.advance(SECOND - UIP_NS - 1);
        assert_eq!(get(&mut bench, A), 0x26);
        bench.advance(1);
        assert_eq!(get(&mut bench, A), 0xa6);
        put(&mut bench, &[(B, SET)]);
        assert_eq!(get(&mut bench, A), 0x26);
        put(&mut bench, &[(B, 2)]);
        bench.advance(UIP_NS - 1);
        assert_eq!((get(&mut bench, A), get(&mut bench, SECONDS)), (0xa6, 0x34));
        bench.advance(1);
        assert_eq!((get(&mut bench, A), get(&mut bench, SECONDS)), (0x26, 0x35));
        assert!(bench.around.timers.is_empty());
    }

    #[test]
    fn the_divider_starts_half_a_second_early() {
        let mut bench = bench_at(EPOCH);
        bench.advance(SECOND / 4 * 3);
        put(
            &mut bench,
            &[(B, SET | 2), (A, 0x76), (SECONDS, 0x00), (B, 2)],
        );
        bench.advance(5 * SECOND + 77);
        assert_eq!((get(&mut bench, SECONDS), get(&mut bench, C)), (0x00, PF));
        put(&mut bench, &[(A, 0x26)]);
        bench.advance(SECOND / 2 - 1);
        assert_eq!((get(&mut bench, SECONDS), get(&mut bench, A)), (0x00, 0xa6));
        bench.advance(1);
        assert_eq!(
            (get(&mut bench, SECONDS), get(&mut bench, C) & UF),
            (0x01, UF)
        );
        bench.advance(SECOND);
        assert_eq!(get(&mut bench, SECONDS), 0x02);
    }

    #[test]
    fn update_ended_interrupts() {
        let mut bench = bench_at(EPOCH);
        bench.advance(3 * SECOND);
        assert_eq!(get(&mut bench, C), UF | PF);
        assert_eq!(get(&mut bench, C), 0);
        put(&mut bench, &[(A, 0x20), (B, 2 | B_UIE)]);
        bench.advance(SECOND - 1);
        assert!(!bench.output(IRQ));
        bench.advance(1);
        assert!(bench.output(IRQ) && bench.around.timers.is_empty());
        assert_eq!(get(&mut bench, C), C_IRQF | UF);
        assert!(!bench.output(IRQ));
        bench.advance(SECOND);
        assert!(bench.output(IRQ));
        // Disabling and reset take IRQ back; SET disables.
        put(&mut bench, &[(B, SET | 2 | B_UIE)]);
        assert!(!bench.output(IRQ));
        assert_eq!(get(&mut bench, B), SET | 2);
        put(&mut bench, &[(B, 0x7a)]);
        bench.advance(SECOND);
        assert!(bench.output(IRQ));
        bench.reset();
        assert!(!bench.output(IRQ));
        assert_eq!((get(&mut bench, B), get(&mut bench, C)), (0x02, 0x00));
    }

    #[test]
    fn periodic_interrupts() {
        for (rate, per_second) in [
            (0x26, 1024),
            (0x23, 8192),
            (0x21, 256),
            (0x22, 128),
            (0x2f, 2),
            (0x01, 32_768),
            (0x12, 16_384),
            (0x20, 0),
            (0x76, 0),
        ] {
            let mut bench = bench_at(EPOCH);
            put(&mut bench, &[(B, 2), (A, rate)]);
            get(&mut bench, C);
            put(&mut bench, &[(B, 2 | PF)]);
            let mut count = 0;
            let end = bench.around.now + SECOND;
            while let Some(at) = bench
                .around
                .timers
                .values()
                .next()
                .copied()
                .filter(|at| *at <= end)
            {
                bench.advance(at - bench.around.now);
                assert_eq!(
                    get(&mut bench, C) & (C_IRQF | PF),
                    C_IRQF | PF,
                    "A {rate:#x}"
                );
                count += 1;
            }
            assert_eq!(count, per_second, "A {rate:#x}");
        }
    }

    #[test]
    fn alarms() {
        // From 10:40:34: hours, minutes and seconds of the alarm, and the seconds until it.
        for (control, alarm, wait) in [
            (0x02, [0x10, 0x40, 0x35], Some(1)),
            (0x02, [0x10, 0x40, 0x34], Some(86_400)),
            (0x02, [0x10, 0x40, 0x33], Some(86_399)),
            (0x02, [0x00, 0x00, 0x00], Some(47_966)),
            (0x02, [0xff, 0xff, 0xff], Some(1)),
            (0x02, [0xff, 0xc0, 0x34], Some(60)),
            (0x02, [0xff, 0xff, 0x00], Some(26)),
            (0x02, [0xff, 0x40, 0xff], Some(1)),
            (0x02, [0xff, 0x39, 0x00], Some(3506)),
            (0x02, [0x10, 0xff, 0x00], Some(26)),
            (0x02, [0x09, 0xff, 0xff], Some(80_366)),
            (0x06, [10, 41, 0], Some(26)),
            (0x00, [0x90, 0x40, 0x34], Some(43_200)),
            (0x00, [0x12, 0x40, 0x34], Some(50_400)),
            (0x02, [0x24, 0x00, 0x00], None),
            (0x02, [0xff, 0x60, 0xff], None),
            (0x02, [0xff, 0xff, 0x99], None),
            (0x00, [0x00, 0x00, 0x00], None),
        ] {
            let name = format!("B {control:#x}, alarm {alarm:x?}");
            let now = match control & B_DM {
                0 => [0x20, 0x26, 0x11, 0x22, 0x01, 0x10, 0x40, 0x34],
                _ => [20, 26, 11, 22, 1, 10, 40, 34],
            };
            let at_that_time = || {
                let mut bench = bench_at(EPOCH);
                write(&mut bench, control, now);
                bench
            };
            let mut bench = at_that_time();
            let [hours, minutes, seconds] = alarm;
            let registers = [
                (HOURS_ALARM, hours),
                (MINUTES_ALARM, minutes),
                (SECONDS_ALARM, seconds),
            ];
            put(&mut bench, &registers);
            assert_eq!(registers.map(|(r, _)| get(&mut bench, r)), alarm);
            put(&mut bench, &[(B, control | AF)]);
            let Some(wait) = wait else {
                assert!(bench.around.timers.is_empty(), "{name}");
                bench.advance(2 * 86_400 * SECOND);
                assert_eq!(get(&mut bench, C) & AF, 0, "{name}");
                continue;
            };
            bench.advance(wait * SECOND - 1);
            assert!(!bench.output(IRQ), "{name}");
            bench.advance(1);
            assert!(bench.output(IRQ), "{name}");
            assert_eq!(get(&mut bench, C) & AF, AF, "{name}");
            // Without the enable bit the flag is there all the same when somebody looks.
            let mut polled = at_that_time();
            put(&mut polled, &registers);
            put(&mut polled, &[(B, control)]);
            polled.advance(wait * SECOND - 1);
            assert_eq!(get(&mut polled, C) & AF, 0, "{name}");
            polled.advance(500 * SECOND);
            assert_eq!(get(&mut polled, C) & AF, AF, "{name}");
        }
    }

    #[test]
    fn ram_survives_a_reset() {
        let mut bench = bench_at(EPOCH);
        let own = |index: &u8| (0x0e..0x80).contains(index) && *index != CENTURY;
        for index in (0..128).filter(own) {
            put(&mut bench, &[(index, !index)]);
            bench.write(EXTENDED, 0, 1, u64::from(index));
            bench.write(EXTENDED, 1, 1, u64::from(index ^ 0x55));
        }
        put(&mut bench, &[(SECONDS, 0x01)]);
        bench.reset();
        for index in (0..128).filter(own) {
            assert_eq!(get(&mut bench, index | 0x80), !index);
            bench.write(EXTENDED, 0, 1, u64::from(index));
            assert_eq!(bench.read(EXTENDED, 1, 1), Some(u64::from(index ^ 0x55)));
        }
        assert_eq!(get(&mut bench, SECONDS), 0x01);
        assert_eq!(bench.read(REGISTERS, 0, 1), Some(0xff));
        put(&mut bench, &[(C, 0xff), (D, 0x00)]);
        assert_eq!((get(&mut bench, C), get(&mut bench, D)), (0, D_VRT));
        assert_eq!(bench.around.errors.len(), 2);
    }

    #[test]
    fn random_accesses_and_saved_state() {
        for (extended_ram, epoch) in [(true, EPOCH), (false, i64::MAX), (true, i64::MIN)] {
            exercise(|| {
                let mut bench = Bench::<Mc146818>::new(Mc146818Props { extended_ram });
                bench.around.epoch = epoch;
                bench
            });
        }
    }
}
