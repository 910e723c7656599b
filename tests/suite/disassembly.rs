//! Instructions as text: as binutils has them, and with the symbols of what the guest runs.

use std::collections::BTreeMap;
use std::process::Command;

use solderless::compose::{self, Options};
use solderless::machine::{Fittings, Machine};
use solderless_model::testing::Noise;
use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "(solderless) ";

/// What objdump makes of code, by its place; `None` where it is not installed.
fn objdump(toolchain: &str, args: &[&str], code: &[u8]) -> Option<BTreeMap<u64, String>> {
    let program = format!("{toolchain}-objdump");
    if !guests::tool(&program, &format!("binutils-{toolchain}")) {
        return None;
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), code).expect("it can be written");
    let mut command = Command::new(program);
    command.args(["-D", "-z", "-b", "binary"]).args(args);
    let output = command.arg(file.path()).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().filter_map(|line| {
        let (at, rest) = line.trim_start().split_once(":\t")?;
        let (_, said) = rest.split_once('\t')?;
        let said = said.split(['#', '<']).next().unwrap_or_default();
        Some((
            u64::from_str_radix(at, 16).ok()?,
            said.trim_end().to_owned(),
        ))
    });
    Some(lines.collect())
}

/// How many random words are compared.
fn amount() -> u64 {
    let amount = std::env::var("DISASSEMBLED").ok();
    amount.map_or(20_000, |text| text.parse().expect("a number"))
}

/// A board's machine.
fn machine(board: &str) -> Machine {
    let loaded = compose::open(Some(board), &Options::default());
    let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
    Machine::new(&loaded.plan, Fittings::default()).expect("a machine")
}

/// Compares what both make of random words, of which `shape` makes what may be instructions; `alike` says whether two texts mean the same.
fn compare(
    board: &str,
    toolchain: &str,
    args: &[&str],
    shape: impl Fn(u32, &mut Noise) -> u32,
    alike: impl Fn(&str, &str) -> bool,
) {
    let mut noise = Noise(31);
    let words = (0..amount()).map(|_| {
        let word = noise.below(1 << 32) as u32;
        shape(word, &mut noise)
    });
    let words: Vec<_> = words.collect();
    let code: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let Some(theirs) = objdump(toolchain, args, &code) else {
        return;
    };
    let mut machine = machine(board);
    let cpu = machine.cpu().expect("a CPU");
    let (mut known, mut both) = (0, 0);
    for (at, bytes) in (0u64..).step_by(4).zip(code.chunks(4)) {
        // It may have taken it for a part of a longer one.
        let Some(theirs) = theirs.get(&at) else {
            continue;
        };
        let ours = cpu.disassemble(at, bytes).expect("four bytes are enough");
        let none = ours.text.starts_with('.');
        known += u64::from(!none);
        both += u64::from(!none && !theirs.starts_with('.'));
        let word = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        // Of other extensions it knows more.
        assert!(
            none || alike(&ours.text, theirs),
            "{word:08x}: {:?} is {theirs:?}",
            ours.text
        );
    }
    assert!(known > amount() / 5, "{known} are known");
    assert!(both > known / 2, "{both} of {known}");
}

#[test]
fn mips_instructions_are_written_as_objdump_writes_them() {
    let shape = |word: u32, noise: &mut Noise| match noise.below(4) {
        0 => word & 0x03ff_ffff,
        1 => word & 0x03ff_ffff | 0x4400_0000 & word | 0x4400_0000,
        _ => word,
    };
    let args = ["-m", "mips:isa32r2", "-EL"];
    compare("malta", "mipsel-linux-gnu", &args, shape, |ours, theirs| {
        ours == theirs
    });
}

#[test]
fn riscv_instructions_are_written_as_objdump_writes_them() {
    let shape = |word: u32, noise: &mut Noise| {
        // No longer ones, and a short one with another that does nothing.
        let long = word | 3;
        match noise.below(2) {
            0 if long & 0x1f != 0x1f => long,
            _ if word & 3 == 3 => word & 0xfffc | 0x0001_0001,
            _ => word & 0xffff | 0x0001_0000,
        }
    };
    // It calls an addition of a number `add` where that has 16 bits; names CSRs that are not here; and does not know these extensions
    // unless it is told.
    let plain = |text: &str| {
        let (name, operands) = text.split_once('\t').unwrap_or((text, ""));
        let name = name.strip_prefix("c.").unwrap_or(name);
        let name = match name {
            "mv" | "li" | "nop" | "slli64" => "add",
            name => name,
        };
        let name = name.replace("iw", "w");
        let name = name.strip_suffix('i').unwrap_or(&name).to_owned();
        (name, operands.to_owned())
    };
    let alike = |ours: &str, theirs: &str| {
        let (mine, their) = (plain(ours), plain(theirs));
        let hint = theirs.starts_with("c.");
        let csr = mine.0.starts_with("csr") && mine.0 == their.0;
        let zero = mine.0.starts_with('b') && mine.0.ends_with('z') && mine.1.starts_with("zero");
        theirs.starts_with('.')
            || mine == their
            || csr
            || hint
            || zero
            || mine.0 == "add" && their.0 == "add"
    };
    compare(
        "riscv-virt",
        "riscv64-linux-gnu",
        &["-m", "riscv:rv64"],
        shape,
        alike,
    );
}

#[test]
fn the_monitor_knows_the_symbols_of_what_runs() {
    let Some(program) = guests::bare_metal("hello.S", Endian::Little, 0x8010_0000) else {
        return;
    };
    let ours = Emulator::ours(PROGRAM, Endian::Little)
        .ram(16)
        .kernel(&program);
    let mut console = Console::start(ours.args(["-S", "--monitor", "stdio"]).command());
    console.expect(PROMPT);
    let mut ask = |line: &str| {
        console.send(&format!("{line}\n"));
        console.expect(PROMPT)
    };
    let listed = ask("x/3i __start");
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines[0], "80100000 <__start>:\tlui\tt0,0xb800");
    assert_eq!(lines[1], "80100004 <__start+4>:\tlw\ts0,4(a1)");
    assert_eq!(ask("print __start+8"), "0x80100008\n");
    let calls = ask("x/8i __start");
    assert!(calls.contains("<print>"), "{calls}");
    assert!(ask("print nobody").contains("no symbol"));
    assert!(ask("x/2i 0x60000000").contains("no memory is seen at 0x60000000"));
    // Nothing in the boot ROM has a name.
    assert!(!ask("info registers pc").contains("symbols"));
    console.send("quit\n");
    assert_eq!(console.wait().code(), Some(0));
}
