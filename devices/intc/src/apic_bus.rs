//! The bus between local APICs, I/O APICs and PCI functions that send messages.
//!
//! Intel SDM, volume 3, 11.11 (Message Signalled Interrupts): an interrupt is a write to an address that says which CPUs are meant, of data that say
//! what it is. What is for a CPU waits here, one of each vector and kind, and the CPU's line is high meanwhile. In the page of a CPU are
//!
//! | offset | |
//! | --- | --- |
//! | 0 to 0x0f, write | a message for whom the address says |
//! | 0x10, read | the next message for the CPU, bit 31 set, or 0 |
//! | 0xd0, 0xe0, write | the CPU's logical destination and destination format registers |

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, Pins, PropError, Ranges,
    Region, State, StateError, Wires, connections,
};

connections! {
    fn connections(cpus: u16) on BusKind::System;
    region MESSAGES = Region::registers("messages", 0x10_0000);
    output CPU[] = Pins::named("cpu").count(cpus);
}

const NEXT: u64 = 0x10;
const LOGICAL: u64 = 0xd0;
const FORMAT: u64 = 0xe0;

/// Of a message's address: the destination is a logical one.
const IS_LOGICAL: u64 = 1 << 2;
/// Of its data.
const LEVEL: u32 = 1 << 15;
/// It is not for who sent it, whose number is above.
const BUT_SENDER: u32 = 1 << 16;

/// Delivery modes.
const FIXED: u32 = 0;
const LOWEST: u32 = 1;
const INIT: u32 = 5;
const STARTUP: u32 = 6;
/// In what order a CPU gets what is no vector.
const ORDER: [u32; 4] = [INIT, STARTUP, 4, 2];

/// Properties of `apic-bus`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ApicBusProps {
    /// How many CPUs, whose local APICs have the numbers from 0 on.
    #[schemars(range(min = 1, max = 255))]
    pub cpus: u16,
}

impl Default for ApicBusProps {
    fn default() -> Self {
        Self { cpus: 1 }
    }
}

/// What waits for a CPU, and what it is called.
#[derive(Debug, Clone, Default, State)]
struct Cpu {
    vectors: [u32; 8],
    /// Those of them that are level-triggered.
    level: [u32; 8],
    /// Delivery modes, a bit each, other than those of vectors.
    modes: u8,
    /// The page of a start-up interrupt.
    page: u8,
    logical: u32,
    format: u32,
}

impl Cpu {
    fn has_something(&self) -> bool {
        self.modes != 0 || self.vectors.iter().any(|word| *word != 0)
    }

    /// Whether a logical destination means it.
    fn is_called(&self, to: u8) -> bool {
        let mine = (self.logical >> 24) as u8;
        match self.format >> 28 {
            // Clusters of four; all of them, or one by its number.
            0 => (to >> 4 == 15 || to >> 4 == mine >> 4) && to & mine & 15 != 0,
            _ => to & mine != 0,
        }
    }

    fn put(&mut self, data: u32) {
        let (kind, vector) = (data >> 8 & 7, data as u8);
        match kind {
            FIXED | LOWEST => {
                let (word, bit) = (usize::from(vector / 32), 1 << (vector % 32));
                self.vectors[word] |= bit;
                match data & LEVEL {
                    0 => self.level[word] &= !bit,
                    _ => self.level[word] |= bit,
                }
            }
            _ => {
                self.modes |= 1 << kind;
                if kind == STARTUP {
                    self.page = vector;
                }
            }
        }
    }

    fn next(&mut self) -> u32 {
        const THERE: u32 = 1 << 31;
        if let Some(kind) = ORDER.iter().find(|kind| self.modes >> **kind & 1 != 0) {
            self.modes &= !(1 << kind);
            let page = if *kind == STARTUP { self.page } else { 0 };
            return THERE | (kind << 8) | u32::from(page);
        }
        // What is left is for nobody.
        self.modes = 0;
        let Some(word) = self.vectors.iter().rposition(|word| *word != 0) else {
            return 0;
        };
        let n = 31 - self.vectors[word].leading_zeros();
        self.vectors[word] &= !(1 << n);
        let level = if self.level[word] >> n & 1 != 0 {
            LEVEL
        } else {
            0
        };
        THERE | level | (32 * word as u32) | n
    }
}

/// The bus.
#[derive(Debug, State)]
pub struct ApicBus {
    cpus: Vec<Cpu>,
    #[state(skip = "properties")]
    count: u16,
}

impl Model for ApicBus {
    const TYPE: &'static str = "apic-bus";
    const SUMMARY: &'static str = "Messages between local APICs, I/O APICs and PCI functions";
    type Props = ApicBusProps;

    fn interface(props: &ApicBusProps) -> Result<Interface, PropError> {
        Ok(connections(props.cpus))
    }

    fn build(props: ApicBusProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            cpus: vec![Cpu::default(); props.cpus.into()],
            count: props.cpus,
        })
    }
}

impl ApicBus {
    fn drive(&self, cx: &mut Cx<'_>, n: usize) {
        let high = self.cpus.get(n).is_some_and(Cpu::has_something);
        cx.set(CPU.nth(n as u16), high);
    }

    fn send(&mut self, cx: &mut Cx<'_>, at: u64, data: u32) {
        let to = (at >> 12) as u8;
        let sender = (data & BUT_SENDER != 0).then_some((data >> 24) as usize);
        let called = |n: usize, cpu: &Cpu| match at & IS_LOGICAL {
            0 => to == 0xff || usize::from(to) == n,
            _ => cpu.is_called(to),
        };
        let all: Vec<usize> = (0..self.cpus.len())
            .filter(|n| Some(*n) != sender && called(*n, &self.cpus[*n]))
            .collect();
        // Of those with the lowest priority the first: which priority they have they keep to themselves.
        let most = if data >> 8 & 7 == LOWEST {
            1
        } else {
            all.len()
        };
        for n in all.into_iter().take(most) {
            self.cpus[n].put(data);
            self.drive(cx, n);
        }
    }
}

impl Device for ApicBus {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        for n in 0..self.cpus.len() {
            self.cpus[n] = Cpu {
                format: u32::MAX,
                ..Cpu::default()
            };
            self.drive(cx, n);
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let n = (at.offset >> 12) as usize;
        let Some(cpu) = self.cpus.get_mut(n).filter(|_| at.offset & 0xfff == NEXT) else {
            return Ok(0);
        };
        let next = cpu.next();
        self.drive(cx, n);
        Ok(next.into())
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let n = (at.offset >> 12) as usize;
        match at.offset & 0xfff {
            0..NEXT => self.send(cx, at.offset, value as u32),
            LOGICAL => {
                if let Some(cpu) = self.cpus.get_mut(n) {
                    cpu.logical = value as u32;
                }
            }
            FORMAT => {
                if let Some(cpu) = self.cpus.get_mut(n) {
                    cpu.format = value as u32;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn restored(&mut self, _: &mut Cx<'_>) -> Result<(), StateError> {
        match self.cpus.len() == usize::from(self.count) {
            true => Ok(()),
            false => Err(StateError::new(format!(
                "{} CPUs, where there are {}",
                self.cpus.len(),
                self.count
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::Bench;

    fn bench(cpus: u16) -> Bench<ApicBus> {
        let mut bench = Bench::new(ApicBusProps { cpus });
        bench.reset();
        bench
    }

    fn write(bench: &mut Bench<ApicBus>, offset: u64, value: u64) {
        let at = Access {
            region: MESSAGES,
            offset,
            size: 4,
        };
        bench
            .with(|d, cx| d.write(cx, at, value))
            .expect("an answer");
    }

    fn next(bench: &mut Bench<ApicBus>, n: u64) -> u64 {
        let at = Access {
            region: MESSAGES,
            offset: n << 12 | NEXT,
            size: 4,
        };
        bench.with(|d, cx| d.read(cx, at)).expect("an answer")
    }

    #[test]
    fn messages_wait_for_whom_the_address_means() {
        let mut bench = bench(3);
        write(&mut bench, 1 << 12, 0x41);
        write(&mut bench, 1 << 12, 0x8000 | 0x52);
        write(&mut bench, 1 << 12, 5 << 8);
        write(&mut bench, 1 << 12, 6 << 8 | 0x9f);
        assert_eq!(next(&mut bench, 0), 0);
        let got: Vec<u64> = (0..5).map(|_| next(&mut bench, 1)).collect();
        assert_eq!(got, [0x8000_0500, 0x8000_069f, 0x8000_8052, 0x8000_0041, 0]);
        // All but the one that sends.
        write(&mut bench, 0xff << 12, 2 << 24 | 1 << 16 | 0x30);
        let got: Vec<u64> = (0..3).map(|n| next(&mut bench, n)).collect();
        assert_eq!(got, [0x8000_0030, 0x8000_0030, 0]);
    }

    #[test]
    fn logical_destinations_are_what_cpus_say() {
        let mut bench = bench(3);
        for n in 0..3 {
            write(&mut bench, n << 12 | LOGICAL, 1 << (24 + n));
            write(&mut bench, n << 12 | FORMAT, 0xffff_ffff);
        }
        write(&mut bench, 6 << 12 | IS_LOGICAL, 0x33);
        let got: Vec<u64> = (0..3).map(|n| next(&mut bench, n)).collect();
        assert_eq!(got, [0, 0x8000_0033, 0x8000_0033]);
        // One of them.
        write(&mut bench, 6 << 12 | IS_LOGICAL, 0x134);
        let got: Vec<u64> = (0..3).map(|n| next(&mut bench, n)).collect();
        assert_eq!(got, [0, 0x8000_0034, 0]);
    }

    #[test]
    fn the_line_is_high_while_something_waits() {
        let mut bench = bench(2);
        write(&mut bench, 1 << 12, 0x41);
        assert!(bench.output(CPU.nth(1)));
        next(&mut bench, 1);
        assert!(!bench.output(CPU.nth(1)));
    }
}
