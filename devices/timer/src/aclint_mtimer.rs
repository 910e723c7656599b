//! The machine-level timer of RISC-V's ACLINT, as it is in SiFive's CLINT too.
//!
//! RISC-V Advanced Core Local Interruptor Specification (1.0-rc4), chapter 2: a counter, mtime, and for each hart a number to
//! compare it with, mtimecmp, which raises the hart's interrupt while it is not above mtime. Accesses are of 4 or 8 bytes.
//!
//! mtime counts the machine's time, as `time` of the harts does, and goes on over a reset as that does. `time` knows nothing of what
//! software writes to mtime.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, END_OF_TIME, Hertz, Interface, Model, Pins,
    PropError, Ranges, Region, Size, State, StateError, TimerId, Wires, connections, tree,
};

connections! {
    fn connections(props: &AclintMtimerProps) on BusKind::System;
    region REGISTERS = Region::registers("registers", props.aperture_size.0).max_width(8);
    output MTIP[] = Pins::named("mtip").count(props.num_harts);
}

/// When the next mtimecmp is reached.
const NEXT: TimerId = TimerId(0);
const NANOSECONDS: u128 = 1_000_000_000;

/// Properties of `riscv.aclint.mtimer`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AclintMtimerProps {
    /// How many harts it has an mtimecmp for.
    #[schemars(range(min = 1, max = 4095))]
    pub num_harts: u16,
    /// Where in its registers the first mtimecmp is; the next is 8 bytes behind.
    pub timecmp_base: u32,
    /// Where in its registers mtime is.
    pub time_base: u32,
    /// How many bytes of addresses it answers.
    pub aperture_size: Size,
    /// How often in a second mtime advances, 1 Hz to 10 GHz: `timebase-frequency` of the harts.
    pub timebase_freq: Hertz,
}

impl Default for AclintMtimerProps {
    fn default() -> Self {
        Self {
            num_harts: 1,
            timecmp_base: 0,
            time_base: 0x7ff8,
            aperture_size: Size(0x8000),
            timebase_freq: Hertz(10_000_000),
        }
    }
}

impl AclintMtimerProps {
    fn check(&self) -> Result<(), PropError> {
        let size = self.aperture_size.0;
        if !(16..=1 << 20).contains(&size) || !size.is_multiple_of(8) {
            return Err(PropError::new(
                "aperture-size",
                "expected 16 bytes to 1MiB, a multiple of 8",
            ));
        }
        if !(1..=10_000_000_000).contains(&self.timebase_freq.0) {
            return Err(PropError::new("timebase-freq", "expected 1Hz to 10GHz"));
        }
        let compares = u64::from(self.timecmp_base);
        let end = compares + 8 * u64::from(self.num_harts);
        if !compares.is_multiple_of(8) || end > size {
            return Err(PropError::new(
                "timecmp-base",
                "expected a multiple of 8, with all mtimecmp within aperture-size",
            ));
        }
        let time = u64::from(self.time_base);
        if !time.is_multiple_of(8) || time + 8 > size || (compares..end).contains(&time) {
            return Err(PropError::new(
                "time-base",
                "expected a multiple of 8 within aperture-size where no mtimecmp is",
            ));
        }
        Ok(())
    }
}

/// The timer.
#[derive(Debug, State)]
pub struct AclintMtimer {
    #[state(skip = "properties")]
    props: AclintMtimerProps,
    /// mtime less what the machine's time makes of it: what software has written.
    time_delta: u64,
    timecmp: Vec<u64>,
}

impl Model for AclintMtimer {
    const TYPE: &'static str = "riscv.aclint.mtimer";
    const SUMMARY: &'static str = "Machine-level timer of RISC-V's ACLINT and of SiFive's CLINT";
    type Props = AclintMtimerProps;

    fn interface(props: &AclintMtimerProps) -> Result<Interface, PropError> {
        props.check()?;
        let mut node = tree::Node::new("mtimer", &["riscv,aclint-mtimer"])
            .interrupts((0..props.num_harts).map(|hart| MTIP.nth(hart)));
        // First mtime, then what is compared with it, each with all addresses up to the other or the end.
        let (time, compares) = (props.time_base.into(), props.timecmp_base.into());
        let up_to = |at: u64, other: u64| match at < other {
            true => other - at,
            false => props.aperture_size.0 - at,
        };
        node.reg = Some(vec![
            (time, up_to(time, compares)),
            (compares, up_to(compares, time)),
        ]);
        Ok(connections(props).node(node))
    }

    fn build(props: AclintMtimerProps, _: Wires<'_>) -> Result<Self, BuildError> {
        let timecmp = vec![u64::MAX; props.num_harts.into()];
        Ok(Self {
            props,
            time_delta: 0,
            timecmp,
        })
    }
}

impl Device for AclintMtimer {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.time_delta = 0;
        self.timecmp.fill(u64::MAX);
        self.update(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let register = match self.register(at.offset) {
            Some(Register::Time) => self.time(cx.now()),
            Some(Register::Compare(hart)) => self.timecmp.get(hart).copied().unwrap_or(0),
            None => 0,
        };
        let shift = at.offset % 8 * 8;
        Ok(register >> shift & mask(at.size))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let shift = at.offset % 8 * 8;
        let lanes = mask(at.size) << shift;
        let written = |register: u64| register & !lanes | value << shift & lanes;
        match self.register(at.offset) {
            Some(Register::Time) => {
                let time = self.time(cx.now());
                let ahead = written(time).wrapping_sub(time);
                self.time_delta = self.time_delta.wrapping_add(ahead);
            }
            Some(Register::Compare(hart)) => {
                if let Some(register) = self.timecmp.get_mut(hart) {
                    *register = written(*register);
                }
            }
            None => cx.guest_error(format_args!("write where no register is")),
        }
        self.update(cx);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _: TimerId) {
        self.update(cx);
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        if self.timecmp.len() != usize::from(self.props.num_harts) {
            return Err(StateError::new("timecmp: not one for each hart"));
        }
        self.update(cx);
        Ok(())
    }
}

/// A register of 64 bits.
enum Register {
    Time,
    Compare(usize),
}

/// As many ones as so many bytes have bits.
fn mask(size: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(size.clamp(1, 8)))
}

impl AclintMtimer {
    /// The register that an offset is in.
    fn register(&self, offset: u64) -> Option<Register> {
        let of = |base: u32| Some(offset.checked_sub(base.into())? / 8);
        if of(self.props.time_base) == Some(0) {
            return Some(Register::Time);
        }
        let hart = of(self.props.timecmp_base)?;
        (hart < self.props.num_harts.into()).then_some(Register::Compare(hart as usize))
    }

    /// How often the counter has advanced since power-on.
    fn ticks(&self, now: u64) -> u64 {
        (u128::from(now) * u128::from(self.props.timebase_freq.0) / NANOSECONDS) as u64
    }

    fn time(&self, now: u64) -> u64 {
        self.ticks(now).wrapping_add(self.time_delta)
    }

    /// Drives the outputs, and arms the timer for the next change of one.
    fn update(&self, cx: &mut Cx<'_>) {
        let ticks = self.ticks(cx.now());
        let time = ticks.wrapping_add(self.time_delta);
        // It ends at the highest number, and begins anew.
        let mut next = u128::from(u64::MAX - time) + 1;
        for (hart, compare) in (0..).zip(&self.timecmp) {
            cx.set(MTIP.nth(hart), time >= *compare);
            if *compare > time {
                next = next.min(u128::from(compare - time));
            }
        }
        let due = (u128::from(ticks) + next) * NANOSECONDS;
        let due = due.div_ceil(u128::from(self.props.timebase_freq.0));
        match u64::try_from(due) {
            Ok(at) if at < END_OF_TIME => cx.arm(NEXT, at),
            _ => cx.disarm(NEXT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, Noise, exercise, goes_on_the_same};

    type Timer = Bench<AclintMtimer>;

    fn timer(num_harts: u16) -> Timer {
        Bench::new(AclintMtimerProps {
            num_harts,
            ..AclintMtimerProps::default()
        })
    }

    #[test]
    fn interrupts_are_pending_while_the_time_has_come() {
        let mut b = timer(2);
        assert_eq!(b.read(REGISTERS, 0x7ff8, 8), Some(0));
        b.advance(1_000);
        assert_eq!(b.read(REGISTERS, 0x7ff8, 8), Some(10));
        assert!(b.write(REGISTERS, 8, 8, 25));
        assert!(!b.output(MTIP.nth(1)));
        b.advance(1_499);
        assert!(!b.output(MTIP.nth(1)));
        b.advance(1);
        assert!(b.output(MTIP.nth(1)));
        assert!(!b.output(MTIP));
        assert!(b.write(REGISTERS, 12, 4, 1));
        assert!(!b.output(MTIP.nth(1)));
        assert_eq!(b.read(REGISTERS, 8, 8), Some(1 << 32 | 25));
        // What it is compared with can be set as well.
        assert!(b.write(REGISTERS, 0x7ffc, 4, 2));
        assert_eq!(b.read(REGISTERS, 0x7ff8, 8), Some(2 << 32 | 25));
        assert!(b.output(MTIP.nth(1)));
        b.reset();
        assert_eq!(b.read(REGISTERS, 0x7ff8, 8), Some(25));
        assert!(!b.output(MTIP.nth(1)));
    }

    #[test]
    fn time_begins_anew_behind_its_end() {
        let mut b = timer(1);
        assert!(b.write(REGISTERS, 0x7ff8, 8, u64::MAX - 1));
        assert!(b.write(REGISTERS, 0, 8, u64::MAX));
        b.advance(100);
        assert!(b.output(MTIP));
        b.advance(100);
        assert_eq!(b.read(REGISTERS, 0x7ff8, 8), Some(0));
        assert!(!b.output(MTIP));
    }

    #[test]
    fn registers_lie_where_there_is_room() {
        let interface = |num_harts, timecmp_base, time_base| {
            AclintMtimer::interface(&AclintMtimerProps {
                num_harts,
                timecmp_base,
                time_base,
                ..AclintMtimerProps::default()
            })
        };
        assert!(interface(4095, 0, 0x7ff8).is_ok());
        assert!(interface(4095, 8, 0).is_ok());
        assert!(interface(4095, 8, 0x7ff8).is_err());
        assert!(interface(1, 4, 0x7ff8).is_err());
        assert!(interface(2, 0, 8).is_err());
        assert!(interface(1, 0, 0x8000).is_err());
    }

    fn poke(b: &mut Timer, noise: &mut Noise) -> Option<u64> {
        let size = 1 << noise.below(4);
        let offset = [0, 8, 16, 0x7ff8][noise.below(4) as usize] + noise.below(8 / size) * size;
        match noise.below(4) {
            0 => {
                b.advance(noise.below(100_000));
                Some(0)
            }
            1 => b.read(REGISTERS, offset, size as u8),
            _ => {
                let value = noise.below(2000);
                Some(b.write(REGISTERS, offset, size as u8, value).into())
            }
        }
    }

    #[test]
    fn random_accesses_and_saved_state() {
        goes_on_the_same(|| timer(3), 20, 300, poke);
        exercise(|| timer(3));
    }
}
