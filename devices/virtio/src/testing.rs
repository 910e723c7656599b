//! A driver for tests: it sets a device up and lays out rings in the bench's memory.

use solderless_model::memory::Ram;
use solderless_model::testing::{Bench, Noise, step};
use solderless_model::{Pin, RegionId};

use crate::device::{DRIVER_OK, FEATURES_OK, Function, Virtio};
use crate::mmio::Mmio;
use crate::queue::{RING_EVENT_IDX, RING_PACKED};

/// Memory of the guest, and where queue n has its rings: at `(n + 1) * QUEUE`.
pub const MEMORY: u64 = 1 << 20;
const QUEUE: u64 = 0x8000;
pub const REGISTERS: RegionId = RegionId(0);
pub const IRQ: Pin = Pin(0);
/// A buffer of the test's.
pub const BUFFER: u64 = 0x8_0000;

pub type Device<F> = Bench<Virtio<Mmio, F>>;

/// A queue from the driver's side.
#[derive(Debug, Clone)]
pub struct Driver {
    queue: u64,
    size: u16,
    features: u64,
    desc: u16,
    avail: u16,
    used: u16,
    wrap: bool,
    used_wrap: bool,
}

pub fn get<F: Function>(b: &mut Device<F>, offset: u64) -> u32 {
    b.read(REGISTERS, offset, 4).expect("answers") as u32
}

pub fn put<F: Function>(b: &mut Device<F>, offset: u64, value: u32) {
    assert!(b.write(REGISTERS, offset, 4, value.into()));
}

/// All that a device offers.
pub fn offered<F: Function>(b: &mut Device<F>) -> u64 {
    put(b, 0x14, 0);
    let low = get(b, 0x10);
    put(b, 0x14, 1);
    u64::from(get(b, 0x10)) << 32 | u64::from(low)
}

/// Sets a device up with these features and queues of this size.
pub fn set_up<F: Function>(b: &mut Device<F>, features: u64, size: u16) -> Vec<Driver> {
    b.around
        .ram
        .get_or_insert_with(|| Ram::new(MEMORY).expect("memory"));
    put(b, 0x70, 0);
    put(b, 0x70, 3);
    for half in 0..2 {
        put(b, 0x24, half);
        put(b, 0x20, (features >> (32 * half)) as u32);
    }
    put(b, 0x70, 3 | u32::from(FEATURES_OK));
    assert_ne!(get(b, 0x70) as u8 & FEATURES_OK, 0, "features are taken");
    let mut drivers = Vec::new();
    for queue in 0.. {
        put(b, 0x30, queue);
        let size = size.min(get(b, 0x34) as u16);
        if size == 0 {
            break;
        }
        let driver = Driver {
            queue: queue.into(),
            size,
            features,
            desc: 0,
            avail: 0,
            used: 0,
            wrap: true,
            used_wrap: true,
        };
        put(b, 0x38, size.into());
        let base = driver.base();
        b.around
            .ram
            .as_ref()
            .expect("memory")
            .write(base, &[0; QUEUE as usize])
            .expect("there");
        put(b, 0x80, base as u32);
        put(b, 0x90, driver.area() as u32);
        put(b, 0xa0, driver.device_area() as u32);
        put(b, 0x44, 1);
        assert_eq!(get(b, 0x44), 1, "queue {queue} is ready");
        drivers.push(driver);
    }
    put(b, 0x70, 3 | u32::from(FEATURES_OK | DRIVER_OK));
    drivers
}

impl Driver {
    fn base(&self) -> u64 {
        (self.queue + 1) * QUEUE
    }
    fn area(&self) -> u64 {
        self.base() + 0x2000
    }
    fn device_area(&self) -> u64 {
        self.base() + 0x4000
    }

    /// Writes a descriptor of a table: flags are 1 (next), 2 (write), 4 (indirect).
    pub fn describe(
        &self,
        ram: &Ram,
        table: u64,
        index: u16,
        (at, len, flags): (u64, u32, u16),
        last: u16,
    ) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&at.to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        let (third, fourth) = match self.features & RING_PACKED != 0 {
            false => (flags, last),
            true => (last, flags),
        };
        bytes[12..14].copy_from_slice(&third.to_le_bytes());
        bytes[14..].copy_from_slice(&fourth.to_le_bytes());
        ram.write(table + 16 * u64::from(index), &bytes)
            .expect("there");
    }

    /// Offers a chain of pieces of memory: where, how long, whether the device writes it. Returns its id.
    pub fn offer(&mut self, ram: &Ram, pieces: &[(u64, u32, bool)]) -> u16 {
        let head = self.desc;
        for (n, (at, len, write)) in pieces.iter().enumerate() {
            let more = n + 1 < pieces.len();
            let flags = u16::from(more) | u16::from(*write) << 1;
            let index = self.desc;
            self.desc = (self.desc + 1) % self.size;
            match self.features & RING_PACKED != 0 {
                false => self.describe(ram, self.base(), index, (*at, *len, flags), self.desc),
                true => {
                    let lap = if self.wrap { 1 << 7 } else { 1 << 15 };
                    self.describe(ram, self.base(), index, (*at, *len, flags | lap), head);
                    self.wrap ^= self.desc == 0;
                }
            }
        }
        self.offer_head(ram, head);
        head
    }

    /// Makes a descriptor of a split ring available.
    pub fn offer_head(&mut self, ram: &Ram, head: u16) {
        if self.features & RING_PACKED == 0 {
            let slot = u64::from(self.avail % self.size);
            ram.write(self.area() + 4 + 2 * slot, &head.to_le_bytes())
                .expect("there");
            self.avail = self.avail.wrapping_add(1);
            ram.write(self.area() + 2, &self.avail.to_le_bytes())
                .expect("there");
        }
    }

    /// Has the device look.
    pub fn notify<F: Function>(&self, b: &mut Device<F>) {
        put(b, 0x50, self.queue as u32);
    }

    /// The next chain that was given back: its id, and how much was written. `places` are those of its descriptors.
    pub fn given(&mut self, ram: &Ram, places: u16) -> Option<(u16, u32)> {
        let word = |at: u64| {
            let mut bytes = [0; 4];
            ram.read(at, &mut bytes).expect("there");
            u32::from_le_bytes(bytes)
        };
        if self.features & RING_PACKED == 0 {
            let index = (word(self.device_area()) >> 16) as u16;
            if index == self.used {
                return None;
            }
            let at = self.device_area() + 4 + 8 * u64::from(self.used % self.size);
            self.used = self.used.wrapping_add(1);
            if self.features & RING_EVENT_IDX != 0 {
                self.want(ram, self.used);
            }
            return Some((word(at) as u16, word(at + 4)));
        }
        let at = self.base() + 16 * u64::from(self.used);
        let last = word(at + 12);
        let flags = last >> 16;
        let lap = u32::from(self.used_wrap) * (1 << 7 | 1 << 15);
        if flags & (1 << 7 | 1 << 15) != lap {
            return None;
        }
        self.used += places;
        if self.used >= self.size {
            self.used -= self.size;
            self.used_wrap ^= true;
        }
        Some((last as u16, word(at + 8)))
    }

    /// Has the device interrupt when it gives back the one behind this many, in a split ring.
    pub fn want(&self, ram: &Ram, index: u16) {
        assert!(self.features & RING_EVENT_IDX != 0 && self.features & RING_PACKED == 0);
        let at = self.area() + 4 + 2 * u64::from(self.size);
        ram.write(at, &index.to_le_bytes()).expect("there");
    }
}

/// As many random runs as the environment says where the test is built, and a few otherwise.
pub fn runs() -> u64 {
    let asked = option_env!("VIRTIO_RUNS");
    asked.and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// A driver that lies: rings full of anything, in either format, are offered to a device that was set up. Whatever it makes of them,
/// it answers, keeps no more than the rings could hold, and works again after a reset.
pub fn lies<F: Function>(new: impl Fn() -> Device<F>) {
    for seed in 0..runs() {
        let mut noise = Noise(seed);
        let mut b = new();
        let features = offered(&mut b);
        let mut dropped = 0;
        if noise.below(2) == 0 {
            dropped |= RING_PACKED;
        }
        if noise.below(2) == 0 {
            dropped |= RING_EVENT_IDX;
        }
        let size = 1 << noise.below(6);
        let drivers = set_up(&mut b, features & !dropped, size);
        for _ in 0..60 {
            let ram = b.around.ram.clone().expect("memory");
            let driver = &drivers[noise.below(drivers.len() as u64) as usize];
            match noise.below(8) {
                // Plausible descriptors: near, short, with every flag.
                0..4 => {
                    let at = match noise.below(8) {
                        0 => noise.draw(),
                        1 => MEMORY - 8,
                        2 => driver.base(),
                        _ => BUFFER + noise.below(0x1000),
                    };
                    let len = [16, 1, 512, 16 * noise.below(9) as u32, noise.draw() as u32];
                    let len = len[noise.below(5) as usize];
                    let flags = noise.below(8) as u16
                        | (noise.below(4) as u16) << 14
                        | (noise.below(2) as u16) << 7;
                    let last = noise.below(u64::from(size) + 1) as u16;
                    let table = [driver.base(), BUFFER][noise.below(2) as usize];
                    driver.describe(
                        &ram,
                        table,
                        noise.below(size.into()) as u16,
                        (at, len, flags),
                        last,
                    );
                }
                4 => {
                    let slot = noise.below(u64::from(size) + 4);
                    ram.write(
                        driver.area() + 2 * slot,
                        &(noise.below(u64::from(size) + 2) as u16).to_le_bytes(),
                    )
                    .expect("there");
                }
                5 => {
                    // What stands in buffers: headers of requests.
                    let word = noise.below(16) as u32;
                    ram.write(BUFFER + 4 * noise.below(0x400), &word.to_le_bytes())
                        .expect("there");
                }
                6 => drop(b.finish_job(None)),
                _ => drop(step(&mut b, &mut noise)),
            }
            driver.notify(&mut b);
            assert!(
                b.around.jobs.len() <= 128,
                "more jobs than a ring has requests"
            );
        }
        b.finish_jobs();
        b.reset();
        set_up(&mut b, features, 8);
        assert_eq!(get(&mut b, 0x70) & 0x40, 0, "it works again");
    }
}
