//! What no device of this build needs, and a board may be promised.

use std::cell::RefCell;
use std::rc::Rc;

use solderless_model::{
    Access, BusError, BusKind, Cx, Cycle, Device, Failure, ISA_MEMORY, Job, JobId, Medium, NEWEST,
    On, Open, Pin, PortId, Reader, Region, RegionId, SlotId, SlotKind, Space, State, Writer,
};

use super::jobs::{BUSY, Disk, Identity};
use super::{Domain, Fabric as _, Seating, SpaceId};
use crate::machine::{Consumer, JobDone};
use crate::plan::Window;

/// It has as many pins as a test likes, and answers reads with its number.
#[derive(Debug, State)]
struct Toy {
    /// The numbers of the inputs that changed, and how.
    seen: Vec<(u16, bool)>,
    #[state(skip = "the test's")]
    number: u64,
}

impl Device for Toy {
    fn reset(&mut self, _: &mut Cx<'_>) {}
    fn read(&mut self, _: &mut Cx<'_>, _: Access) -> Result<u64, BusError> {
        Ok(self.number)
    }
    fn line(&mut self, cx: &mut Cx<'_>, pin: Pin, high: bool) {
        assert_eq!(cx.level(pin), high);
        self.seen.push((pin.0, high));
    }
}

fn toy(number: u64) -> Box<Toy> {
    Box::new(Toy {
        seen: Vec::new(),
        number,
    })
}

fn seating(path: &str, bus: Option<usize>, regions: Vec<Region>, pins: usize) -> Seating {
    let ids = (0..).map(RegionId).zip(regions);
    let regions = ids.map(|(id, region)| Region { id, ..region }).collect();
    Seating {
        path: path.to_owned(),
        bus,
        address: None,
        regions,
        outputs: pins,
        inputs: pins,
        slots: Vec::new(),
    }
}

#[test]
fn inputs_beyond_the_sixty_fourth_have_levels() {
    const PINS: [u16; 6] = [0, 63, 64, 70, 128, 199];
    let make = || {
        let mut domain = Domain::new(0);
        let ends =
            ["from", "to"].map(|path| domain.add(toy(0), seating(path, None, Vec::new(), 200)));
        for pin in (0..200).map(Pin) {
            domain.wire((ends[0], pin), (ends[1], pin));
        }
        (domain, ends)
    };
    let (mut domain, [from, to]) = make();
    for high in [true, false, true] {
        for pin in PINS.map(Pin) {
            domain.call(from, |_, cx| cx.set(pin, high));
            assert_eq!(domain.levels(to).get(pin), high, "{pin:?}");
        }
    }
    let levels = domain.levels(to).clone();
    assert_eq!((0..200).filter(|n| levels.get(Pin(*n))).count(), PINS.len());
    // They are restored as well.
    let mut out = Writer::default();
    out.section("lines", &domain.output_levels());
    let (mut other, _) = make();
    let sections = out.finish().unwrap();
    let mut loaded = other.output_levels();
    let mut from = Reader::new(&sections, NEWEST);
    from.section("lines", &mut loaded).unwrap();
    other.set_levels(&loaded);
    assert_eq!(*other.levels(to), levels);
}

#[test]
fn an_isa_bus_has_memory_beside_its_ports() {
    const ISA: PortId = PortId(0);
    let mut domain = Domain::new(0);
    let bridge = |name, space| Region::bridge(name, ISA_MEMORY, ISA, space);
    let regions = vec![bridge("io", Space::Io), bridge("memory", Space::Memory)];
    let owner = domain.add(toy(0), seating("owner", Some(0), regions, 0));
    let bus = domain.offer(owner, BusKind::Isa, 7);
    let regions = vec![Region::ports("ports", 8), Region::registers("memory", 8)];
    let card = domain.add(toy(0xab), seating("card", Some(bus), regions, 0));
    for (dev, region, at) in [
        (owner, 0, 0x1000_0000),
        (owner, 1, 0x2000_0000),
        (card, 0, 0x300),
        (card, 1, 0xc_0000),
    ] {
        let window = Window {
            region: RegionId(region),
            at,
            size: ISA_MEMORY,
            offset: 0,
            over: false,
            cpu: None,
        };
        domain.place(dev, &window);
    }
    for (at, value) in [
        (0x1000_0300, Ok(0xab)),
        (0x1000_0400, Ok(0xff)),
        (0x200c_0004, Ok(0xab)),
        (0x200d_0000, Ok(0xff)),
        (0x20ff_ffff, Ok(0xff)),
        (0x2100_0000, Err(BusError)),
    ] {
        let before = domain.now();
        assert_eq!(domain.access(SpaceId(0), at, 1, None), value, "{at:#x}");
        assert_eq!(domain.now() - before, if value == Ok(0xab) { 7 } else { 0 });
    }
}

/// What stands in the table of bus kinds is what a machine does, for each space of each.
#[test]
fn a_space_is_there_to_its_last_address_and_open_as_the_table_says() {
    const CHILD: PortId = PortId(0);
    for kind in BusKind::ALL {
        for space in [Space::Memory, Space::Io] {
            let mut domain = Domain::new(0);
            let master = domain.add(toy(0), seating("master", Some(0), Vec::new(), 0));
            let bus = domain.offer(master, kind, 0);
            let region = Region {
                space,
                ..Region::registers("region", 1)
            };
            let seat = seating("device", Some(bus), vec![region], 0);
            let device = domain.add(toy(0xab), seat);
            let Some(rules) = kind.space(space) else {
                let cycle = Cycle::read(space, 0, 1);
                let none = domain.cycle(master, On::Port(CHILD), cycle);
                assert_eq!(none, Err(BusError), "{kind:?} {space:?}");
                continue;
            };
            let window = Window {
                region: RegionId(0),
                at: rules.last,
                size: 1,
                offset: 0,
                over: false,
                cpu: None,
            };
            domain.place(device, &window);
            let open = match rules.open {
                Open::Error => Err(BusError),
                Open::Ones => Ok(0xff),
            };
            let mut cycles = vec![(rules.last, Ok(0xab)), (rules.last - 1, open)];
            if let Some(beyond) = rules.last.checked_add(1) {
                cycles.push((beyond, Err(BusError)));
            }
            for (at, answer) in cycles {
                let read = domain.cycle(master, On::Port(CHILD), Cycle::read(space, at, 1));
                assert_eq!(read, answer, "{kind:?} {space:?} {at:#x}");
                let own = domain.cycle(device, On::Own, Cycle::read(space, at, 1));
                assert_eq!(own, answer, "{kind:?} {space:?} {at:#x}");
            }
        }
    }
}

#[test]
fn a_cpu_reaches_the_ports_of_its_own_bus() {
    let mut domain = Domain::new(0);
    let cpu = domain.add(toy(0), seating("cpu", Some(0), Vec::new(), 0));
    let seat = seating("card", Some(0), vec![Region::ports("ports", 8)], 0);
    let card = domain.add(toy(0xab), seat);
    let window = Window {
        region: RegionId(0),
        at: 0x3f8,
        size: 8,
        offset: 0,
        over: false,
        cpu: None,
    };
    domain.place(card, &window);
    for (space, at, answer) in [
        (Space::Io, 0x3f8, Ok(0xab)),
        (Space::Io, 0x3f0, Ok(0xff)),
        (Space::Memory, 0x3f8, Err(BusError)),
    ] {
        let read = domain.cycle(cpu, On::Own, Cycle::read(space, at, 1));
        assert_eq!(read, answer, "{space:?} {at:#x}");
    }
}

/// A disk that does nothing before it is told to, and notes what it was given.
#[derive(Default)]
struct Slow(Given);

/// The tickets and numbers of jobs.
type Given = Rc<RefCell<Vec<(u64, JobId)>>>;

impl Disk for Slow {
    fn format(&self) -> String {
        "raw".to_owned()
    }

    fn medium(&self) -> Medium {
        Medium {
            bytes: 1 << 20,
            writable: true,
        }
    }
    fn start(&mut self, ticket: u64, id: JobId, _: Job) {
        self.0.borrow_mut().push((ticket, id));
    }
    fn stops(&self, failure: Failure) -> bool {
        failure == Failure::NoSpace
    }
    fn identity(&self) -> Result<Identity, String> {
        Ok(Identity::default())
    }
    fn may_have_changed(&self) -> bool {
        false
    }
}

#[test]
fn a_guest_that_asks_faster_than_a_disk_works_waits_for_it() {
    let mut domain = Domain::new(0);
    let dev = domain.add(toy(0), seating("toy", None, Vec::new(), 0));
    let (slot, kind) = (SlotId(0), SlotKind::Block);
    domain.add_drive(0, Consumer { dev, slot, kind });
    domain.plug_disk(0, Some(Box::<Slow>::default())).unwrap();
    let mut last = JobId::default();
    for _ in 0..BUSY {
        assert!(!domain.waits_for_disk());
        last = domain.make_job(Some(0), Job::Flush);
    }
    assert!(domain.waits_for_disk());
    let done = |id| JobDone {
        slot: 0,
        ticket: 1,
        id,
        outcome: Ok(Vec::new()),
    };
    // They are heard of in order.
    domain.job_done(done(last));
    domain.run_timers();
    assert!(domain.waits_for_disk());
    domain.job_done(done(JobId(0)));
    domain.run_timers();
    assert!(!domain.waits_for_disk());
}

fn with_slow() -> (Domain, Given) {
    let mut domain = Domain::new(0);
    let dev = domain.add(toy(0), seating("toy", None, Vec::new(), 0));
    let (slot, kind) = (SlotId(0), SlotKind::Block);
    domain.add_drive(0, Consumer { dev, slot, kind });
    let disk = Slow::default();
    let given = disk.0.clone();
    domain.plug_disk(0, Some(Box::new(disk))).unwrap();
    (domain, given)
}

const READ: Job = Job::Read {
    offset: 1024,
    len: 1024,
};

fn write(offset: u64) -> Job {
    Job::Write {
        offset,
        data: vec![0; 1024],
    }
}

/// A machine that is saved has both done again, and is to read what it would have read.
#[test]
fn what_is_read_is_not_written_over_before_the_device_has_it() {
    for (second, waits) in [
        (READ, false),
        (Job::Flush, false),
        (write(0), false),
        (write(2048), false),
        (write(512), true),
        (write(1536), true),
        (
            Job::Discard {
                offset: 0,
                len: 4096,
            },
            true,
        ),
    ] {
        let (mut domain, given) = with_slow();
        let ids = [READ, second, Job::Flush].map(|job| domain.make_job(Some(0), job));
        let before = given.borrow().len();
        assert_eq!(before, if waits { 1 } else { 3 });
        domain.job_done(JobDone {
            slot: 0,
            ticket: 1,
            id: ids[0],
            outcome: Ok(vec![0; 1024]),
        });
        domain.run_timers();
        assert_eq!(*given.borrow(), ids.map(|id| (1, id)));
    }
}

#[test]
fn what_came_behind_a_job_that_is_tried_again_is_done_behind_it_again() {
    let (mut domain, given) = with_slow();
    let ids = [Job::Flush, write(0), write(512)].map(|job| domain.make_job(Some(0), job));
    let done = |ticket, id, outcome| JobDone {
        slot: 0,
        ticket,
        id,
        outcome,
    };
    let full = |id| done(1, id, Err(Failure::NoSpace));
    domain.job_done(done(1, ids[0], Ok(Vec::new())));
    assert!(domain.failed(&full(ids[1])).unwrap().stops);
    domain.try_again();
    assert_eq!(given.borrow()[3..], [(2, ids[1]), (2, ids[2])]);
    // What was said before is of no account any more.
    assert_eq!(domain.failed(&full(ids[2])), None);
    domain.job_done(done(1, ids[2], Ok(Vec::new())));
    domain.run_timers();
    assert_eq!(domain.drive(0).unwrap().waiting(), 2);
    domain.job_done(done(2, ids[1], Ok(Vec::new())));
    domain.job_done(done(2, ids[2], Ok(Vec::new())));
    domain.run_timers();
    assert_eq!(domain.drive(0).unwrap().waiting(), 0);
}
