//! Single instructions as a real 80286 executed them in real mode, of the public suite SingleStepTests/80286.
//!
//! `tests/vectors` has some of each form. `VECTORS` names a file with more, in the same format.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Command;

use solderless_model::memory::Ram;
use solderless_model::testing::Bench;
use solderless_model::{Processor, Stop};
use solderless_x86::{CpuModel, Props, X86Cpu};

/// The registers, in the order of their numbers.
const NAMES: [&str; 14] = [
    "eax", "ebx", "ecx", "edx", "cs", "ss", "ds", "es", "esp", "ebp", "esi", "edi", "eip", "eflags",
];
const CS: usize = 4;
const SS: usize = 5;
const SP: usize = 8;
const FLAGS: usize = 13;
/// IOPL and NT, which real mode of an 80286 has not, and what is reserved.
const FLAGS_MASK: u64 = 0x0fd5;
const MEMORY: u64 = 2 << 20;

struct Vector {
    form: String,
    text: String,
    bytes: Vec<u8>,
    before: BTreeMap<usize, u64>,
    memory: Vec<(u64, u8)>,
    after: BTreeMap<usize, u64>,
    written: Vec<(u64, u8)>,
    /// The vector of an exception.
    exception: Option<u64>,
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).expect("a hexadecimal number")
}

fn pairs(text: &str) -> Vec<(u64, u64)> {
    let pair = |text: &str| {
        let (number, value) = text.split_once('=').expect("number=value");
        (hex(number), hex(value))
    };
    let all = text.split(',').filter(|text| !text.is_empty());
    all.map(pair).collect()
}

fn parse(line: &str) -> Vector {
    let fields: Vec<&str> = line.split('\t').collect();
    let [form, text, bytes, before, memory, after, written, exception] = fields[..] else {
        panic!("eight fields: {line}");
    };
    let registers = |text| {
        let all = pairs(text).into_iter();
        all.map(|(n, value)| (n as usize, value)).collect()
    };
    let bytes_at = |text| {
        let all = pairs(text).into_iter();
        all.map(|(at, value)| (at, value as u8)).collect()
    };
    let code = bytes.as_bytes().chunks(2);
    Vector {
        form: form.to_owned(),
        text: text.to_owned(),
        bytes: code
            .map(|two| hex(std::str::from_utf8(two).expect("digits")) as u8)
            .collect(),
        before: registers(before),
        memory: bytes_at(memory),
        after: registers(after),
        written: bytes_at(written),
        exception: exception.split_once('@').map(|(vector, _)| hex(vector)),
    }
}

/// Where a 386 and those after it differ by their manuals.
fn differs(vector: &Vector) -> bool {
    let prefixes = [0x26, 0x2e, 0x36, 0x3e, 0xf0, 0xf2, 0xf3];
    let count = vector
        .bytes
        .iter()
        .take_while(|byte| prefixes.contains(byte));
    let count = count.count();
    // LOCK is for instructions that change memory.
    let locked = vector.bytes.iter().take(count).any(|byte| *byte == 0xf0);
    // 15 bytes are allowed, not 10.
    let long = vector.bytes.len() > 10;
    let [opcode, second, ..] = vector.bytes[count..] else {
        panic!("an instruction and HLT: {}", vector.text);
    };
    // FS and GS are there.
    let segments = matches!(opcode, 0x8c | 0x8e) && second >> 3 & 7 >= 4;
    // Without a coprocessor ESC does nothing, and is not defined where CPUID could tell of one.
    let coprocessor = matches!(opcode, 0xd8..=0xdf);
    let general = vector.exception == Some(13);
    // What is beyond the stack segment is a stack exception.
    let names = ["bp", "pop", "ret", "leave", "bound"];
    let stack = general && names.iter().any(|name| vector.text.contains(name));
    // A string instruction that raises an exception has changed nothing.
    let string = general && matches!(opcode, 0x6c..=0x6f | 0xa4..=0xa7 | 0xaa..=0xaf);
    locked || long || segments || coprocessor || stack || string
}

struct Rig {
    bench: Bench<X86Cpu>,
    ram: Ram,
    places: HashMap<&'static str, usize>,
}

impl Rig {
    fn new() -> Self {
        let props = Props {
            model: CpuModel::I486,
            ..Props::default()
        };
        let mut bench = Bench::<X86Cpu>::new(props);
        let ram = Ram::new(MEMORY).expect("memory");
        bench.around.ram = Some(ram.clone());
        let places = NAMES
            .into_iter()
            .map(|name| (name, bench.dev.named(name).expect(name)));
        let places = places.collect();
        Self { bench, ram, places }
    }

    fn set(&mut self, n: usize, value: u64) {
        let place = self.places[NAMES[n]];
        assert!(self.bench.dev.set_register(place, value.into()));
    }

    fn get(&self, n: usize) -> u64 {
        let value = self.bench.dev.register(self.places[NAMES[n]]);
        value.expect("a register").low()
    }

    /// What is not as the vector says, of the flags only those in the mask.
    fn run(&mut self, vector: &Vector, mask: u64) -> Result<(), String> {
        self.bench.reset();
        // A CPU that has shut down asks for an end of the run.
        self.bench.around.deadline = u64::MAX;
        // The address of the instruction is in its segment.
        for n in (CS..8).chain(0..CS).chain(8..NAMES.len()) {
            self.set(n, vector.before[&n]);
        }
        for (at, value) in &vector.memory {
            self.ram.write_u8(*at, *value).expect("an address");
        }
        let stop = self.bench.with(|d, cx| d.run(cx, 1 << 20));
        let check = || {
            if stop != Stop::Wait {
                return Err(format!("{stop:?}"));
            }
            let mask = mask & FLAGS_MASK;
            for (n, name) in NAMES.into_iter().enumerate() {
                let expected = vector.after.get(&n).unwrap_or(&vector.before[&n]);
                let mask = if n == FLAGS { mask } else { 0xffff };
                let got = self.get(n);
                if (got ^ expected) & mask != 0 {
                    return Err(format!("{}: {:#x}, expected {:#x}", name, got, expected));
                }
            }
            // They are pushed first, of three words.
            let top = self.get(SP).wrapping_add(4) & 0xffff;
            let flags = (vector.before[&SS] << 4) + top;
            for (at, expected) in &vector.written {
                let mask = match vector.exception.map(|_| at.wrapping_sub(flags)) {
                    Some(0) => mask as u8,
                    Some(1) => (mask >> 8) as u8,
                    _ => 0xff,
                };
                let got = self.ram.read_u8(*at).expect("an address");
                if (got ^ expected) & mask != 0 {
                    return Err(format!("at {at:#x}: {got:#x}, expected {expected:#x}"));
                }
            }
            Ok(())
        };
        let result = check();
        for (at, _) in vector.memory.iter().chain(&vector.written) {
            self.ram.write_u8(*at, 0).expect("an address");
        }
        result
    }
}

/// The flags that an instruction defines.
fn mask(vector: &Vector, masks: &HashMap<String, u64>) -> u64 {
    masks.get(&vector.form).copied().unwrap_or(0xffff)
}

#[test]
fn instructions_do_what_an_80286_does() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let some = || here.join("80286-real-mode.tsv.gz");
    let file = std::env::var_os("VECTORS").map_or_else(some, PathBuf::from);
    let unpacked = Command::new("gzip").arg("-dc").arg(&file).output();
    let text = String::from_utf8(unpacked.expect("gzip").stdout).expect("text");
    let masks = std::fs::read_to_string(here.join("flags.tsv")).expect("flags.tsv");
    let masks = masks.lines().map(|line| {
        let (form, mask) = line.split_once('\t').expect("form and mask");
        (form.to_owned(), hex(mask))
    });
    let masks = masks.collect();
    let mut rig = Rig::new();
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut count = 0;
    for vector in text.lines().map(parse).filter(|vector| !differs(vector)) {
        count += 1;
        if let Err(what) = rig.run(&vector, mask(&vector, &masks)) {
            let line = format!("{} ({:02x?}): {what}", vector.text, vector.bytes);
            wrong.entry(vector.form.clone()).or_default().push(line);
        }
    }
    assert!(count > 1000, "{}: {count} vectors", file.display());
    let lines = wrong
        .iter()
        .map(|(form, all)| format!("{form}: {} of them, such as {}\n", all.len(), all[0]));
    let lines: String = lines.collect();
    assert!(wrong.is_empty(), "{lines}");
}
