//! What has to hold whatever a driver puts into virtqueues: a device answers or gives up, keeps no more than they could hold, and works
//! again after a reset.

use solderless_model::memory::Ram;
use solderless_model::testing::{Bench, Subject};
use solderless_model::{RegionId, SlotId};
use solderless_virtio::{
    Virtio9pDevice, VirtioBlkDevice, VirtioNetDevice, VirtioRngDevice, VirtioSerialDevice,
};

/// Memory of the guest. Queue n is at n times `QUEUE`: descriptors, and behind them what the driver and what the device says.
const MEMORY: u64 = 64 << 10;
const QUEUE: u64 = 0x400;
const DRIVER: u64 = 0x200;
const DEVICE: u64 = 0x300;
/// Places of a queue at most.
const PLACES: u32 = 16;
const REGISTERS: RegionId = RegionId(0);

/// Lets a device loose on queues. The first bytes say which device it is, what it offers and how many places its queues have; the others are the
/// guest's memory. Says whether there was some.
pub fn run(input: &[u8]) -> bool {
    let [which, features, places, memory @ ..] = input else {
        return false;
    };
    match which % 5 {
        0 => device::<VirtioBlkDevice>(Bench::new(Default::default()), *features, *places, memory),
        1 => device::<VirtioNetDevice>(Bench::new(Default::default()), *features, *places, memory),
        2 => device::<VirtioRngDevice>(Bench::new(Default::default()), *features, *places, memory),
        3 => device::<Virtio9pDevice>(Bench::new(Default::default()), *features, *places, memory),
        _ => {
            device::<VirtioSerialDevice>(Bench::new(Default::default()), *features, *places, memory)
        }
    }
    !memory.is_empty()
}

fn put<D: Subject>(b: &mut Bench<D>, offset: u64, value: u64) {
    b.write(REGISTERS, offset, 4, value);
}

fn get<D: Subject>(b: &mut Bench<D>, offset: u64) -> u64 {
    b.read(REGISTERS, offset, 4).expect("a register answers")
}

/// Takes what is offered but for these bits of the ring's features, and sets the queues up; how many there are.
fn set_up<D: Subject>(b: &mut Bench<D>, dropped: u64, places: u32) -> u64 {
    put(b, 0x70, 0);
    put(b, 0x70, 3);
    for half in 0..2 {
        put(b, 0x14, half);
        let offered = get(b, 0x10);
        put(b, 0x24, half);
        put(b, 0x20, offered & !(dropped >> (32 * half)));
    }
    put(b, 0x70, 11);
    let mut queues = 0;
    loop {
        put(b, 0x30, queues);
        let most = get(b, 0x34);
        if most == 0 {
            break;
        }
        let base = queues * QUEUE;
        put(b, 0x38, most.min(places.into()));
        put(b, 0x80, base);
        put(b, 0x90, base + DRIVER);
        put(b, 0xa0, base + DEVICE);
        put(b, 0x44, 1);
        queues += 1;
    }
    put(b, 0x70, 15);
    queues
}

fn device<D: Subject>(mut b: Bench<D>, features: u8, places: u8, memory: &[u8]) {
    let ram = Ram::new(MEMORY).expect("memory");
    let len = memory.len().min(MEMORY as usize);
    ram.write(0, &memory[..len]).expect("it fits");
    b.around.ram = Some(ram);
    b.around.disks.insert(SlotId(0), vec![7; 64 << 10]);
    // Indirect descriptors, event index and the packed format, each unless its bit says otherwise.
    let bits = [28, 29, 34].into_iter().enumerate();
    let dropped = bits.filter(|(n, _)| features >> n & 1 != 0);
    let dropped = dropped.map(|(_, bit)| 1u64 << bit).sum();
    let queues = set_up(&mut b, dropped, u32::from(places) % PLACES + 1);
    for _ in 0..2 {
        for queue in 0..queues {
            put(&mut b, 0x50, queue);
        }
        b.with(|d, cx| {
            if let Some(net) = d.device_mut().netdev()
                && net.can_receive(SlotId(0))
            {
                net.receive(cx, SlotId(0), &[0xff; 60]);
            }
            if let Some(characters) = d.device_mut().chardev() {
                let room = characters.can_receive(SlotId(0)).min(64);
                characters.receive(cx, SlotId(0), &[b'x'; 64][..room]);
            }
        });
        assert!(b.around.jobs.len() <= 128, "more than queues can hold");
        b.finish_jobs();
    }
    b.reset();
    set_up(&mut b, 0, 8);
    assert_eq!(get(&mut b, 0x70) & 0x40, 0, "it works again");
}
