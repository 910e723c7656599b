//! Streams made to harm: every value has its type, and none is one that a machine would have saved. What is not refused
//! runs without a panic, a hang, or growth.
//!
//! `HOSTILE=60` tries each kind for half a minute; `SEED` begins elsewhere.

use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use solderless::compose::{self, Options};
use solderless::machine::{Event, Fittings, Machine, Pace, Run};
use solderless::registry::TYPES;
use solderless::state::{Description, Layout, stream};
use solderless_model::testing::{Noise, copy, step};
use solderless_model::{END_OF_TIME, NEWEST, Section, Type, scalar_size};

use crate::models::{bench, properties, with_parts};
use crate::outside::Typed;

/// How long nothing may come out of one stream.
const PATIENCE: Duration = Duration::from_secs(60);

/// Elements of a sequence that is made longer.
const LONG: u64 = 40;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Calls `attempt` with one seed after another, in a thread of its own, for half of the time that there is. It says whether what it
/// made was taken, as some have to be.
pub fn for_a_while(attempt: impl Fn(u64) -> bool + Send + 'static) {
    let time = Duration::from_secs(number("HOSTILE", 4)) / 2;
    let (done, at) = channel();
    let begin = Instant::now();
    let thread = std::thread::spawn(move || {
        let first = number("SEED", 1);
        let (mut taken, mut tried) = (0, 0);
        while tried == 0 || begin.elapsed() < time {
            let seed = first + tried;
            done.send(seed).expect("somebody waits");
            taken += u64::from(attempt(seed));
            tried += 1;
        }
        (taken, tried)
    });
    let mut last = 0;
    loop {
        match at.recv_timeout(PATIENCE) {
            Ok(seed) => last = seed,
            Err(RecvTimeoutError::Timeout) => panic!("SEED={last} hangs"),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let ended = thread.join();
    let (taken, tried) = ended.unwrap_or_else(|_| panic!("SEED={last} panics"));
    println!("{taken} of {tried} were taken");
    assert!(taken > 0);
}

/// Writes other values where a section has these, by its layout.
struct Forger {
    noise: Noise,
    /// One value in so many is another.
    rate: u64,
    /// What is left of the section; without one, values begin as zeros.
    from: Option<VecDeque<u8>>,
    out: Vec<u8>,
}

impl Forger {
    fn forges(&mut self) -> bool {
        self.noise.below(self.rate) == 0
    }

    /// The next number that was saved, of so many bytes.
    fn next(&mut self, size: u64) -> u64 {
        let bytes = (0..size).map(|_| self.from.as_mut().map_or(Some(0), VecDeque::pop_front));
        let mut number = [0; 8];
        for (to, byte) in number.iter_mut().zip(bytes.collect::<Vec<_>>()) {
            *to = byte.expect("a section of its layout");
        }
        u64::from_le_bytes(number)
    }

    fn put(&mut self, number: u64, size: u64) {
        self.out.extend(&number.to_le_bytes()[..size as usize]);
    }

    /// Elements in place of others: as many as there are to be, made anew if they are another number or another thing.
    fn replace(&mut self, old: &[&Type], new: &[&Type], same: bool) {
        if same {
            return new.iter().for_each(|content| self.value(content));
        }
        let (out, rate) = (std::mem::take(&mut self.out), self.rate);
        self.rate = u64::MAX;
        old.iter().for_each(|content| self.value(content));
        (self.out, self.rate) = (out, rate);
        let from = self.from.take();
        new.iter().for_each(|content| self.value(content));
        self.from = from;
    }

    fn value(&mut self, content: &Type) {
        match content {
            Type::Scalar(name) => {
                let size = scalar_size(name).expect("a type");
                let (old, now) = (self.next(size), self.noise.value());
                let number = match (self.forges(), &**name) {
                    (false, _) => old,
                    (true, "bool") => now & 1,
                    // Near where it was, and near the end of time.
                    (true, "u64") if now & 0x300 == 0 => {
                        old.wrapping_add(now & 0xff).wrapping_sub(0x80.min(old))
                    }
                    (true, "u64") if now & 0x300 == 0x100 => END_OF_TIME - (now & 0xff),
                    (true, _) => now,
                };
                self.put(number, size);
            }
            Type::Struct(_, fields) => fields.iter().for_each(|f| self.value(&f.content)),
            Type::Array(inner, len) => (0..*len).for_each(|_| self.value(inner)),
            Type::Memory(_) => {
                let size = self.next(8);
                self.put(size, 8);
            }
            Type::Choice(_, variants) => {
                let fields = |tag: u64| -> Vec<_> {
                    let fields = variants[tag as usize].fields.iter();
                    fields.map(|f| &f.content).collect()
                };
                let old = self.next(4);
                let new = match self.forges() {
                    true => self.noise.below(variants.len() as u64),
                    false => old,
                };
                self.put(new, 4);
                self.replace(&fields(old), &fields(new), old == new);
            }
            Type::Latch(inner) => {
                let old = self.next(1);
                let new = old ^ u64::from(self.forges());
                self.put(new, 1);
                let inner = |set: u64| vec![&**inner; set as usize];
                self.replace(&inner(old), &inner(new), old == new);
            }
            Type::Sequence(inner) => {
                let old = self.next(8);
                let new = match self.forges() {
                    true => self.noise.below(LONG),
                    false => old,
                };
                self.put(new, 8);
                let inner = |len: u64| vec![&**inner; len as usize];
                self.replace(&inner(old), &inner(new), old == new);
            }
        }
    }
}

/// The section with other values.
fn forged(section: &Section, content: &Type, noise: &mut Noise) -> Section {
    let mut forger = Forger {
        noise: Noise(noise.draw()),
        rate: 1 << noise.below(7),
        from: Some(section.payload.iter().copied().collect()),
        out: Vec::new(),
    };
    forger.value(content);
    assert!(
        forger.from.is_none_or(|rest| rest.is_empty()),
        "{section:?}"
    );
    Section {
        payload: forger.out,
        ..section.clone()
    }
}

fn size(sections: &[Section]) -> usize {
    sections.iter().map(|s| s.payload.len()).sum()
}

#[test]
fn a_device_stands_what_is_loaded_into_it() {
    let subjects = || {
        TYPES.iter().flat_map(|entry| {
            let (props, interface) = properties(entry);
            let mut all = with_parts(entry, &props, &interface);
            all.push((props, interface));
            all.into_iter().map(move |subject| (entry, subject))
        })
    };
    let subjects: Vec<_> = subjects().collect();
    for_a_while(move |seed| {
        let mut noise = Noise(seed);
        let number = noise.below(subjects.len() as u64);
        let (entry, (props, interface)) = &subjects[number as usize];
        println!("SEED={seed}: {}", entry.name);
        let mut first = bench(entry, props, interface);
        for _ in 0..100 {
            step(&mut first, &mut noise);
        }
        first.advance(0);
        let contents = (entry.contents)(&interface.present(), &[]);
        let sections = first.save().into_iter().map(|section| {
            let content = contents
                .iter()
                .find(|(path, _)| section.path == format!("dev{path}"));
            let (_, content) = content.expect("its layout has it");
            match noise.below(3) {
                0 => section,
                _ => forged(&section, content, &mut noise),
            }
        });
        let sections: Vec<_> = sections.collect();
        let mut second = bench(entry, props, interface);
        second.around.ram = first.around.ram.as_ref().map(copy);
        if second.try_load(&sections, &first.around).is_err() {
            return false;
        }
        for _ in 0..100 {
            step(&mut second, &mut noise);
        }
        second.advance(10_000_000);
        let grown = size(&second.save()).saturating_sub(size(&sections));
        assert!(grown < 1 << 16, "{}: {grown} bytes more", entry.name);
        second.reset();
        second.advance(10_000_000);
        true
    });
}

#[test]
fn a_machine_stands_what_is_loaded_into_it() {
    const PM: &str = "chip.piix4.dev.pm.PIIX4_PM";
    for_a_while(move |seed| {
        let mut noise = Noise(seed);
        let boards: [(&str, &[&str]); 6] = [
            ("malta", &["param.ram"]),
            (
                "malta",
                &[
                    "param.ram",
                    "memory-hotplug-support",
                    "acpi-root-pci-hotplug",
                ],
            ),
            ("malta-quad", &["param.ram"]),
            ("mipssim", &[]),
            ("wren", &[]),
            ("tests/boards/good/pair.toml", &[]),
        ];
        let (board, set) = boards[noise.below(6) as usize];
        println!("SEED={seed}: {board}");
        let set = set.iter().map(|property| match *property {
            "param.ram" => ("param.ram".to_owned(), "16MiB".to_owned()),
            property => (format!("{PM}.{property}"), "true".to_owned()),
        });
        let options = Options {
            set: set.collect(),
            ..Options::default()
        };
        let loaded = compose::open(Some(board), &options);
        let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
        let images = loaded.plan.slots.iter().map(|slot| {
            let rom = slot.default.as_deref()?.strip_prefix("rom:")?;
            solderless::backend::rom(rom).ok().map(<[u8]>::to_vec)
        });
        let fittings = Fittings {
            images: images.collect(),
            ..Fittings::default()
        };
        let mut machine = Machine::new(&loaded.plan, fittings).expect("a machine");
        let run = |machine: &mut Machine, ns: u64| {
            let run = Run {
                pace: Pace::Deterministic,
                no_reboot: false,
                max_time: Some(Duration::from_nanos(ns)),
            };
            let typed = |slot| Event::Input(slot, b"help\r".repeat(20));
            let typed = (0..loaded.plan.slots.len()).map(typed);
            machine.run(run, &mut Typed(typed.collect()));
        };
        run(&mut machine, noise.below(20_000_000));
        let layout = Layout::of(&loaded.plan);
        // Seldom all: one that is refused keeps the others from being tried.
        let share = 1 + noise.below(30);
        let sections = machine.save(NEWEST).expect("all").into_iter();
        let sections = sections.map(|section| {
            let (_, content) = layout.section(&section.path).expect("its layout has it");
            match noise.below(share) {
                0 => forged(&section, content, &mut noise),
                _ => section,
            }
        });
        let sections: Vec<_> = sections.collect();
        let restored = Machine::restored(&loaded.plan, Fittings::default(), &sections, NEWEST);
        let Ok(mut machine) = restored else {
            return false;
        };
        run(&mut machine, 2_000_000);
        let saved = machine.save(NEWEST).expect("all");
        let grown = size(&saved).saturating_sub(size(&sections));
        assert!(grown < 1 << 16, "{board}: {grown} bytes more");
        machine.reset();
        run(&mut machine, 100_000);
        true
    });
}

/// Its memory is in one block, the rest of it has few bytes.
const SMALL: &str = r#"
[board]
name = "small"
[slot]
serial0 = { kind = "chardev" }
[dev.ram]
at = "sys:0x00000000"
[dev.ram.ram]
size = "64KiB"
[dev.uart]
at = "sys:0x1f000900"
backend.chr = "serial0"
[dev.uart.serial-mm]
"#;

#[test]
fn a_stream_stands_what_it_claims() {
    let loaded = compose::open_text("small", SMALL, &Options::default());
    let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
    let mut machine = Machine::new(&loaded.plan, Fittings::default()).expect("a machine");
    for at in [0, 0x5000, 0x6100, 0xfffc] {
        machine.load(at, b"text").expect("memory");
    }
    machine.load(0x2000, &[1; 4096]).expect("memory");
    let sections = machine.save(NEWEST).expect("the newest version holds all");
    let mut whole = Vec::new();
    let description = Description::new(&loaded);
    stream::write(&mut whole, &description, &sections, &mut |_, _| {}).expect("memory takes it");
    let at = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    };
    let folder = tempfile::tempdir().expect("a folder");
    for_a_while(move |seed| {
        let mut noise = Noise(seed);
        let mut bytes = whole.clone();
        let parts =
            [32, 48, 64].map(|field| (at(&whole, field) as usize, at(&whole, field + 8) as usize));
        for _ in 0..=noise.below(3) {
            let odd = match noise.below(6) {
                0 => noise.below(32),
                1 => 1 << noise.below(64),
                2 => u64::MAX - noise.below(5000),
                3 => 256 + noise.below(256),
                4 => 512 + 4096 * noise.below(8),
                _ => noise.draw(),
            };
            // A word of the header or of the table, a length in a part, or a digit of what the stream says of itself.
            let (start, len) = parts[noise.below(3) as usize];
            let place = match noise.below(4) {
                0 => 16 + 8 * noise.below(9) as usize,
                1 => parts[2].0 + 8 * noise.below(parts[2].1 as u64 / 8) as usize,
                2 => start + noise.below(len as u64) as usize,
                _ => {
                    let digits = parts[0].0..parts[0].0 + parts[0].1;
                    let digits: Vec<_> = digits.filter(|at| whole[*at].is_ascii_digit()).collect();
                    let digit = digits[noise.below(digits.len() as u64) as usize];
                    bytes[digit] = b'0' + noise.below(10) as u8;
                    continue;
                }
            };
            if let Some(word) = bytes.get_mut(place..place + 8) {
                word.copy_from_slice(&odd.to_le_bytes());
            }
        }
        if noise.below(4) == 0 {
            bytes.truncate(noise.below(bytes.len() as u64) as usize);
        }
        crate::fuzz_corpus::stream::load(&folder.path().join("x"), &bytes)
    });
}
