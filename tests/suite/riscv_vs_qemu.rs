//! RISC-V CPUs beside QEMU's: random programs in all modes, with traps, page tables and floating point. Both run them, ours in
//! both engines, and what they leave is compared.
//!
//! QEMU is driven through its gdb port. `RISCV_SEED` and `RISCV_PROGRAMS` in the environment choose the first program and their
//! number; a failure prints the seed that repeats it.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use solderless::machine::Machine;
use solderless_model::Engine;
use solderless_testing::gdb::Remote;
use solderless_testing::guests;

use crate::architectures::RiscvProgram as Program;

/// Programs, unless the environment says otherwise.
const PROGRAMS: u64 = 120;
/// More instructions than any program executes.
const INSTRUCTIONS: u64 = 400_000;
/// How many a difference is looked for in, one by one.
const STEPS: u64 = 2_000;
/// Code is generated for what is executed twice.
const JIT: Engine = Engine::Jit { after: 2 };

/// gdb's numbers of registers, as QEMU has them.
const PC: usize = 32;
const F0: usize = 33;
const PRIVILEGE: usize = 65;
const CSR0: usize = 66;

/// Where the machine has what the timer is compared with.
const MTIMECMP: u64 = 0x0200_4000;

/// The CSRs that are compared after a program, and their numbers.
const CSRS: [(&str, usize); 14] = [
    ("fcsr", 0x003),
    ("stvec", 0x105),
    ("sepc", 0x141),
    ("scause", 0x142),
    ("stval", 0x143),
    ("satp", 0x180),
    ("mstatus", 0x300),
    ("medeleg", 0x302),
    ("mideleg", 0x303),
    ("mie", 0x304),
    ("mepc", 0x341),
    ("mcause", 0x342),
    ("mtval", 0x343),
    ("mip", 0x344),
];

/// QEMU, stopped.
struct Qemu {
    child: Child,
    remote: Remote,
    socket: PathBuf,
    rv32: bool,
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Qemu {
    /// Starts it, or `None` where the test is to be skipped.
    fn start(rv32: bool) -> Option<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let bits = if rv32 { 32 } else { 64 };
        let program = format!("qemu-system-riscv{bits}");
        if !guests::tool(&program, "qemu-system-misc") {
            return None;
        }
        let unique = (std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let socket = guests::cache().join(format!("riscv-{}-{}.socket", unique.0, unique.1));
        let types = if rv32 { "" } else { ",svpbmt=on" };
        let child = Command::new(program)
            .args([
                "-M", "virt", "-m", "16M", "-bios", "none", "-display", "none", "-S",
            ])
            .args(["-monitor", "none", "-serial", "none", "-cpu"])
            .arg(format!("rv{bits},h=off,zbc=off,svinval=on{types}"))
            .args([
                "-gdb",
                &format!("unix:{},server=on,wait=off", socket.display()),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let stream = (0..6000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            UnixStream::connect(&socket).ok()
        });
        let stream = stream.expect("QEMU listens");
        let timeout = stream.set_read_timeout(Some(Duration::from_secs(20)));
        timeout.expect("a socket");
        let mut qemu = Self {
            child,
            remote: Remote::new(stream),
            socket,
            rv32,
        };
        assert_eq!(qemu.remote.ask("Qqemu.PhyMemMode:1"), "OK");
        // It has more than integer registers for those who have asked what there are.
        qemu.remote.ask("qXfer:features:read:target.xml:0,ff");
        Some(qemu)
    }

    fn word(&self) -> usize {
        if self.rv32 { 4 } else { 8 }
    }

    fn set(&mut self, number: usize, value: u64, bytes: usize) {
        let hex = hex(&value.to_le_bytes()[..bytes]);
        let answer = self.remote.ask(&format!("P{number:x}={hex}"));
        assert_eq!(answer, "OK", "register {number}");
    }

    fn get(&mut self, number: usize) -> u64 {
        let answer = self.remote.ask(&format!("p{number:x}"));
        let bytes = unhex(&answer).into_iter().rev();
        bytes.fold(0, |value, byte| value << 8 | u64::from(byte))
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        for (at, part) in (at..).step_by(1024).zip(bytes.chunks(1024)) {
            let ask = format!("M{at:x},{:x}:{}", part.len(), hex(part));
            assert_eq!(self.remote.ask(&ask), "OK");
        }
    }

    fn read(&mut self, at: u64, len: usize) -> Vec<u8> {
        let parts = (0..len).step_by(1024);
        let parts = parts.flat_map(|offset| {
            let part = (len - offset).min(1024);
            let ask = format!("m{:x},{part:x}", at + offset as u64);
            unhex(&self.remote.ask(&ask))
        });
        parts.collect()
    }

    /// Runs to an address; says where it was found if it does not come there.
    fn go(&mut self, end: u64) -> Result<(), u64> {
        assert_eq!(self.remote.ask(&format!("Z0,{end:x},4")), "OK");
        self.remote.send("c");
        let stopped = self.remote.answer_in_time().unwrap_or_else(|| {
            let asked = self.remote.stream.write_all(b"\x03");
            asked.expect("QEMU runs");
            self.remote.answer()
        });
        assert_eq!(self.remote.ask(&format!("z0,{end:x},4")), "OK");
        assert!(stopped.starts_with('T'), "{stopped}");
        let pc = self.get(PC);
        if pc == end { Ok(()) } else { Err(pc) }
    }

    /// Executes one instruction; gives the integer registers, and behind them pc.
    fn step(&mut self) -> Vec<u64> {
        let stopped = self.remote.ask("s");
        assert!(stopped.starts_with("T05"), "{stopped}");
        let all = unhex(&self.remote.ask("g"));
        let words = all.chunks_exact(self.word()).take(PC + 1);
        let number = |word: &[u8]| word.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
        words.map(number).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| (b as char).to_digit(16).expect("hexadecimal digits") as u8;
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

/// Memory by pages.
type Pages = BTreeMap<u64, Vec<u8>>;

fn pages(memory: &[(u64, Vec<u8>)]) -> Pages {
    let mut pages = Pages::new();
    for (at, bytes) in memory {
        for (at, byte) in (*at..).zip(bytes) {
            let page = pages.entry(at & !0xfff).or_insert_with(|| vec![0; 0x1000]);
            page[(at & 0xfff) as usize] = *byte;
        }
    }
    pages
}

/// What a program leaves: registers and CSRs by their names, and memory by words.
type Left = BTreeMap<String, u64>;

fn words(left: &mut Left, at: u64, page: &[u8]) {
    for (n, word) in page.chunks_exact(8).enumerate() {
        let value = u64::from_le_bytes(word.try_into().expect("8 bytes"));
        left.insert(format!("{:#x}", at + 8 * n as u64), value);
    }
}

fn put_in(program: &Program, qemu: &mut Qemu) {
    let mut machine = program.guest.machine();
    for (at, page) in pages(&program.guest.memory) {
        qemu.write(at, &page);
    }
    // The timer interrupt never comes.
    qemu.write(MTIMECMP, &[0xff; 8]);
    let word = qemu.word();
    qemu.set(PRIVILEGE, 3, word);
    let cpu = machine.cpu().expect("a CPU");
    for (place, register) in cpu.registers().iter().enumerate().take(32).skip(1) {
        let number = register.gdb.expect("gdb knows it").number;
        let value = cpu.register(place).expect("it is there").low();
        qemu.set(number.into(), value, word);
    }
    for n in 0..32 {
        qemu.set(F0 + n, 0, 8);
    }
    qemu.set(PC, program.guest.pc, word);
}

/// What a program leaves in QEMU.
fn theirs(program: &Program, qemu: &mut Qemu) -> Result<Left, String> {
    put_in(program, qemu);
    if let Err(pc) = qemu.go(program.end) {
        return Err(format!("QEMU is at {pc:#x}"));
    }
    let mut left = Left::new();
    for n in 0..32 {
        let value = qemu.get(n);
        left.insert(format!("x{n}"), value);
        let value = qemu.get(F0 + n);
        left.insert(format!("f{n}"), value);
    }
    for (name, number) in CSRS {
        left.insert(name.to_owned(), qemu.get(CSR0 + number));
    }
    for at in pages(&program.guest.memory).into_keys() {
        let page = qemu.read(at, 0x1000);
        words(&mut left, at, &page);
    }
    Ok(left)
}

fn value(machine: &mut Machine, name: &str) -> u64 {
    let cpu = machine.cpu().expect("a CPU");
    let place = cpu.named(name).unwrap_or_else(|| panic!("{name}"));
    cpu.register(place).expect("it is there").low()
}

/// What it leaves in ours.
fn ours(program: &Program, engine: Engine) -> Result<Left, String> {
    let mut machine = program.guest.machine();
    machine.set_engine(engine);
    let pages = pages(&program.guest.memory);
    for (at, page) in &pages {
        machine.load(*at, page).expect("there is memory");
    }
    for _ in 0..INSTRUCTIONS / 1000 {
        machine.step(1000);
        if machine.cpu().expect("a CPU").pc() == program.end {
            break;
        }
    }
    let cpu = machine.cpu().expect("a CPU");
    if cpu.pc() != program.end {
        return Err(format!("ours is at {:#x}", cpu.pc()));
    }
    let mut left = Left::new();
    for (place, register) in cpu.registers().iter().enumerate() {
        let value = cpu.register(place).expect("it is there").low();
        let number = register.gdb.expect("gdb knows it").number;
        let name = match usize::from(number) {
            n if n < PC => format!("x{n}"),
            n @ F0..65 => format!("f{}", n - F0),
            _ if CSRS.iter().any(|(name, _)| *name == register.name) => register.name.to_owned(),
            _ => continue,
        };
        left.insert(name, value);
    }
    for at in pages.into_keys() {
        let bytes = (0..0x1000).step_by(8).flat_map(|offset| {
            let word = machine.read(at + offset, 8).expect("there is memory");
            word.to_le_bytes()
        });
        let page: Vec<u8> = bytes.collect();
        words(&mut left, at, &page);
    }
    Ok(left)
}

fn differences(ours: &Left, theirs: &Left) -> Vec<String> {
    let pairs = ours
        .iter()
        .map(|(name, value)| (name, *value, theirs[name]));
    let differ = pairs.filter(|(_, ours, theirs)| ours != theirs);
    differ
        .map(|(name, ours, theirs)| format!("{name}: ours {ours:#x}, QEMU's {theirs:#x}"))
        .collect()
}

/// Follows a program in both, to the first instruction behind which they differ.
fn first_difference(program: &Program, qemu: &mut Qemu) -> String {
    put_in(program, qemu);
    let mut machine = program.guest.machine();
    for (at, page) in pages(&program.guest.memory) {
        machine.load(at, &page).expect("there is memory");
    }
    let all = |machine: &mut Machine| -> Vec<u64> {
        let cpu = machine.cpu().expect("a CPU");
        let registers = (0..=PC).map(|n| cpu.register(n).expect("it is there").low());
        registers.collect()
    };
    let mut before = all(&mut machine);
    for _ in 0..number("RISCV_STEPS", STEPS) {
        machine.step(1);
        let (ours, theirs) = (all(&mut machine), qemu.step());
        if ours != theirs {
            let from = before[PC];
            let raw =
                machine.read(from, 2).unwrap_or(0) | machine.read(from + 2, 2).unwrap_or(0) << 16;
            let raw = if raw & 3 == 3 { raw } else { raw & 0xffff } as u32;
            let said = solderless_riscv::describe(raw);
            let mut text = format!("at {from:#x}, {raw:08x} {said}:");
            for (n, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                if ours != theirs {
                    text += &format!(" x{n} {ours:#x}, QEMU's {theirs:#x};");
                }
            }
            for (csr, number) in CSRS {
                let (ours, theirs) = (value(&mut machine, csr), qemu.get(CSR0 + number));
                text += &format!(" {csr} {ours:#x}/{theirs:#x}");
            }
            return format!("{text}; before {before:x?}");
        }
        before = ours;
        if before[PC] == program.end {
            break;
        }
    }
    "no single step differs".into()
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn random_programs_leave_what_they_leave_in_qemu() {
    let (seed, programs) = (number("RISCV_SEED", 1), number("RISCV_PROGRAMS", PROGRAMS));
    let mut peers = [None, None];
    let mut failures = Vec::new();
    for seed in seed..seed + programs {
        let program = Program::new(seed, true);
        let peer = &mut peers[usize::from(program.rv32)];
        if peer.is_none() {
            *peer = Qemu::start(program.rv32);
        }
        let Some(qemu) = peer else { return };
        let theirs = theirs(&program, qemu);
        for engine in [Engine::Interp, JIT] {
            let ours = ours(&program, engine);
            let mut differ = match (&ours, &theirs) {
                (Ok(ours), Ok(theirs)) => differences(ours, theirs),
                (Err(e), _) | (_, Err(e)) => vec![e.clone()],
            };
            if differ.is_empty() {
                continue;
            }
            differ.truncate(6);
            differ.insert(0, first_difference(&program, qemu));
            let about = &program.guest.about;
            failures.push(format!(
                "seed {seed}, {engine:?}, {about}:\n    {}",
                differ.join("\n    ")
            ));
            *peer = None;
            break;
        }
        assert!(failures.len() < 10, "{}", failures.join("\n"));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
