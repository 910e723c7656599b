//! Commands about registers and memory.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::registers::{Register, Value};
use solderless_model::{Place, RegionKind, Translation};

use super::super::expr::Format;
use super::super::table::{Error, FORMAT, Nothing};
use super::super::{Vm, cpus_there_are};
use super::run::cpu_there_is;
use crate::diagnostics::nearest;
use crate::machine::Unseen;

/// What memory is looked at.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dump {
    /// How many values, and how they are printed: 4xw is four words in hexadecimal. A count; x, d, u, o or c; b, h, w or g for 1, 2, 4
    /// or 8 bytes.
    #[schemars(extend("format" = FORMAT))]
    format: Option<String>,
    /// Where they begin.
    address: u64,
}

/// What is in memory.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Dumped {
    /// Where it begins.
    address: u64,
    /// The values.
    values: Vec<u64>,
    #[serde(skip)]
    format: Option<Format>,
    /// How many digits an address has.
    #[serde(skip)]
    digits: usize,
    /// What is there, as instructions, if that was asked for.
    #[serde(skip)]
    instructions: Vec<Instruction>,
}

/// An instruction in memory.
#[derive(Debug)]
struct Instruction {
    address: u64,
    symbol: Option<String>,
    text: String,
}

pub fn physical(vm: &mut Vm<'_>, args: Dump) -> Result<Dumped, Error> {
    dump(vm, &args, Place::Physical)
}

pub fn logical(vm: &mut Vm<'_>, args: Dump) -> Result<Dumped, Error> {
    dump(vm, &args, Place::Virtual)
}

fn dump(vm: &mut Vm<'_>, args: &Dump, place: fn(u64) -> Place) -> Result<Dumped, Error> {
    let format = Format::parse(args.format.as_deref().unwrap_or_default())?;
    let wide = wide(vm);
    if format.base == 'i' {
        return instructions(vm, args.address, format, place, wide);
    }
    let is_virtual = matches!(place(0), Place::Virtual(_));
    let mut values = Vec::new();
    for index in 0..u64::from(format.count) {
        let offset = index * u64::from(format.size);
        let mut at = args.address.wrapping_add(offset);
        if is_virtual && !wide {
            // A register has its sign in what is above it, and so has what is reckoned with it.
            at &= u64::from(u32::MAX);
        }
        values.push(read(vm, place(at), format.size)?);
    }
    Ok(Dumped {
        address: match is_virtual && !wide {
            true => args.address & u64::from(u32::MAX),
            false => args.address,
        },
        values,
        format: Some(format),
        digits: if is_virtual && !wide { 8 } else { 16 },
        instructions: Vec::new(),
    })
}

/// Whether addresses of the CPU that is looked at have more than 32 bits.
fn wide(vm: &mut Vm<'_>) -> bool {
    vm.machine.cpu_at(vm.cpu).is_some_and(|cpu| {
        let pc = cpu
            .named("pc")
            .and_then(|at| cpu.registers().get(at).copied());
        pc.is_some_and(|pc| pc.bits > 32)
    })
}

/// Takes the instructions from an address on apart.
fn instructions(
    vm: &mut Vm<'_>,
    address: u64,
    format: Format,
    place: fn(u64) -> Place,
    wide: bool,
) -> Result<Dumped, Error> {
    let narrow = |at: u64| if wide { at } else { at & u64::from(u32::MAX) };
    let mut dumped = Dumped {
        address: narrow(address),
        values: Vec::new(),
        format: Some(format),
        digits: if wide { 16 } else { 8 },
        instructions: Vec::new(),
    };
    let mut at = dumped.address;
    for _ in 0..format.count {
        // As many bytes as there are: the next page may not be.
        let mut bytes = [0; 16];
        let lengths = [16, 8, 4, 2, 1];
        let there = lengths.into_iter().find(|length| {
            vm.machine
                .peek(vm.cpu, place(at), &mut bytes[..*length])
                .is_ok()
        });
        let there = there.ok_or_else(|| format!("no memory is seen at {at:#x}"))?;
        let cpu = vm.machine.cpu_at(vm.cpu);
        let cpu = cpu.ok_or_else(|| cpus_there_are(0))?;
        let taken = cpu.disassemble(at, &bytes[..there]);
        let taken = taken.ok_or("nobody here takes this CPU's instructions apart")?;
        let mut text = taken.text;
        let leads = taken.target.and_then(|to| vm.symbols.at(to, wide));
        if let Some(name) = leads {
            text += &format!(" <{name}>");
        }
        dumped.instructions.push(Instruction {
            address: at,
            symbol: vm.symbols.at(at, wide),
            text,
        });
        at = narrow(at.wrapping_add(taken.length));
    }
    Ok(dumped)
}

/// Reads memory with no effect on anything, and a device's registers as the CPU would.
fn read(vm: &mut Vm<'_>, place: Place, size: u8) -> Result<u64, Error> {
    let big_endian = big_endian(vm);
    let mut bytes = [0; 8];
    let some = &mut bytes[..usize::from(size)];
    if vm.machine.peek(vm.cpu, place, some).is_ok() {
        if big_endian {
            some.reverse();
        }
        return Ok(u64::from_le_bytes(bytes));
    }
    let at = match place {
        Place::Physical(at) => at,
        Place::Virtual(at) => {
            let cpu = vm.machine.cpu_at(vm.cpu);
            let cpu = cpu.ok_or_else(|| cpus_there_are(0))?;
            let found = cpu.look(at);
            found.ok_or_else(|| format!("nothing translates the address {at:#x}"))?
        }
    };
    let value = vm.machine.examine(at, size);
    value.map_err(|e| match e {
        Unseen::Bus(_) => format!("nothing answers at {at:#x}").into(),
        e => format!("{at:#x} is a device's, which may act on it: {e}").into(),
    })
}

/// Whether the CPU that is looked at has its highest byte first.
fn big_endian(vm: &Vm<'_>) -> bool {
    let cpus = vm.loaded.plan.devices.iter();
    let mut cpus = cpus.filter_map(|device| device.interface.cpu);
    cpus.nth(vm.cpu).is_some_and(|cpu| cpu.big_endian)
}

/// Bytes to a line.
const LINE: usize = 16;

pub fn say_dumped(dumped: &Dumped) -> String {
    let Some(format) = dumped.format else {
        return String::new();
    };
    let mut out = String::new();
    for Instruction {
        address,
        symbol,
        text,
    } in &dumped.instructions
    {
        let digits = dumped.digits;
        let _ = match symbol {
            Some(name) => writeln!(out, "{address:0digits$x} <{name}>:\t{text}"),
            None => writeln!(out, "{address:0digits$x}:\t{text}"),
        };
    }
    let size = usize::from(format.size);
    let lines = dumped.values.chunks(LINE / size);
    for (values, line) in lines.zip(0u64..) {
        let at = dumped.address.wrapping_add(line * LINE as u64);
        // Writing to a string has no way to fail.
        let _ = write!(out, "{at:0digits$x}:", digits = dumped.digits);
        for value in values {
            let _ = write!(out, " {}", format.show(*value, format.size));
        }
        out.push('\n');
    }
    out
}

/// A number to print.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Print {
    /// How it is printed: x, d, u, o or c.
    #[schemars(extend("format" = FORMAT))]
    format: Option<String>,
    /// The number.
    value: u64,
}

/// A number, and how it is printed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Printed {
    /// The number.
    value: u64,
    /// `x`, `d`, `u`, `o` or `c`.
    base: char,
}

pub fn print(_: &mut Vm<'_>, args: Print) -> Result<Printed, Error> {
    let format = Format::parse(args.format.as_deref().unwrap_or_default())?;
    if format.base == 'i' {
        return Err("a number is no instruction; see x".into());
    }
    Ok(Printed {
        value: args.value,
        base: format.base,
    })
}

pub fn say_printed(printed: &Printed) -> String {
    let Printed { value, base } = *printed;
    match base {
        'x' => format!("{value:#x}\n"),
        base => {
            let (count, size) = (1, 8);
            let format = Format { count, base, size };
            format!("{}\n", format.show(value, size))
        }
    }
}

/// A virtual address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The address.
    address: u64,
}

/// Where a virtual address leads.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Translated {
    /// The physical address; nothing if nothing translates it.
    address: Option<u64>,
}

pub fn translate(vm: &mut Vm<'_>, args: Address) -> Result<Translated, Error> {
    let cpu = vm.machine.cpu_at(vm.cpu);
    let cpu = cpu.ok_or_else(|| cpus_there_are(0))?;
    Ok(Translated {
        address: cpu.look(args.address),
    })
}

pub fn say_translated(translated: &Translated) -> String {
    match translated.address {
        Some(at) => format!("gpa: {at:#x}\n"),
        None => "Unmapped\n".to_owned(),
    }
}

/// Which registers are shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registers {
    /// Of all CPUs.
    all: Option<bool>,
    /// Registers and groups of them: general, pc, sp.
    name: Option<Vec<String>>,
}

/// The registers of CPUs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Shown {
    /// What is printed before each CPU's, if it is about several.
    headings: Vec<String>,
    #[serde(skip)]
    values: Vec<Vec<(Register, Value)>>,
    /// Where addresses in them lead in the program, a line for each CPU.
    #[serde(skip)]
    places: Vec<String>,
}

pub fn registers(vm: &mut Vm<'_>, args: Registers) -> Result<Shown, Error> {
    let names = args.name.unwrap_or_default();
    let all: Vec<_> = vm.machine.cpus().map(str::to_owned).collect();
    if all.is_empty() {
        return Err(cpus_there_are(0).into());
    }
    let asked = match args.all {
        Some(true) => 0..all.len(),
        _ => vm.cpu..vm.cpu + 1,
    };
    let mut shown = Shown {
        headings: Vec::new(),
        values: Vec::new(),
        places: Vec::new(),
    };
    let wide = wide(vm);
    for index in asked {
        let Some(cpu) = vm.machine.cpu_at(index) else {
            continue;
        };
        let table = cpu.registers();
        for name in &names {
            if !table.iter().any(|r| r.name == name || r.group == name) {
                return Err(no_register(&table, name).into());
            }
        }
        let asked =
            |r: &Register| names.is_empty() || names.iter().any(|n| r.name == n || r.group == n);
        let values = table.iter().zip(0..).filter(|(r, _)| asked(r));
        let values = values.map(|(r, at)| (*r, cpu.register(at).unwrap_or_default()));
        let values: Vec<_> = values.collect();
        let places = values.iter().filter(|(r, _)| may_lead(r));
        let places = places.filter_map(|(r, value)| {
            let symbol = vm.symbols.at(value.low(), wide)?;
            Some(format!("{} <{symbol}>", r.name))
        });
        shown.places.push(places.collect::<Vec<_>>().join(", "));
        shown.values.push(values);
        shown.headings.push(match args.all {
            Some(true) => format!("CPU #{index}: {}\n", all[index]),
            _ => String::new(),
        });
    }
    Ok(shown)
}

fn no_register(table: &[Register], name: &str) -> String {
    let mut groups: Vec<_> = table.iter().map(|r| r.group).collect();
    groups.dedup();
    let names = groups.iter().copied().chain(table.iter().map(|r| r.name));
    let meant = match nearest(name, names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the groups are {}", groups.join(", ")),
    };
    format!("the CPU has no register and no group '{name}'\n{meant}")
}

pub fn say_registers(shown: &Shown) -> String {
    let mut out = String::new();
    let rows = shown.headings.iter().zip(&shown.values).zip(&shown.places);
    for ((heading, values), places) in rows {
        out += heading;
        for group in values.chunk_by(|(a, _), (b, _)| a.group == b.group) {
            let _ = writeln!(out, "{}:", group[0].0.group);
            let wide = group.iter().any(|(r, _)| r.bits > 64);
            for line in group.chunks(if wide { 2 } else { 4 }) {
                for (register, value) in line {
                    let _ = write!(out, "{:>10} {}", register.name, value.hex(register.bits));
                }
                out.push('\n');
            }
        }
        if !places.is_empty() {
            let _ = writeln!(out, "symbols:\n  {places}");
        }
    }
    out
}

/// Whether an address may be in a register.
fn may_lead(register: &Register) -> bool {
    let code = register.gdb.is_some_and(|gdb| gdb.kind == "code_ptr");
    code || register.group == "general"
}

/// Memory to be written to a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MemSave {
    /// Where it begins.
    val: u64,
    /// How many bytes.
    size: u64,
    /// The file, which is made anew.
    filename: String,
    /// The CPU as which the memory is seen; without it the one that is looked at.
    cpu_index: Option<u64>,
}

pub fn memsave(vm: &mut Vm<'_>, args: MemSave) -> Result<Nothing, Error> {
    let cpu = match args.cpu_index {
        Some(index) => cpu_there_is(vm, index)?,
        None => vm.cpu,
    };
    save(vm, cpu, Place::Virtual, &args)
}

/// Memory to be written to a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PMemSave {
    /// Where it begins.
    val: u64,
    /// How many bytes.
    size: u64,
    /// The file, which is made anew.
    filename: String,
}

pub fn pmemsave(vm: &mut Vm<'_>, args: PMemSave) -> Result<Nothing, Error> {
    let PMemSave {
        val,
        size,
        filename,
    } = args;
    let args = MemSave {
        val,
        size,
        filename,
        cpu_index: None,
    };
    save(vm, vm.cpu, Place::Physical, &args)
}

/// Bytes read at once.
const PIECE: u64 = 1 << 16;

fn save(
    vm: &mut Vm<'_>,
    cpu: usize,
    place: fn(u64) -> Place,
    args: &MemSave,
) -> Result<Nothing, Error> {
    let mut pieces = (0..args.size).step_by(PIECE as usize);
    let mut read = |offset: u64, bytes: &mut Vec<u8>| -> Result<(), Error> {
        let at = args.val.wrapping_add(offset);
        bytes.resize((args.size - offset).min(PIECE) as usize, 0);
        let read = vm.machine.peek(cpu, place(at), bytes);
        read.map_err(|_| {
            format!(
                "not all of the {} bytes from {at:#x} on is memory",
                bytes.len()
            )
            .into()
        })
    };
    // What is there of this name is kept if there is nothing to write.
    let mut bytes = Vec::new();
    if let Some(first) = pieces.next() {
        read(first, &mut bytes)?;
    }
    let failed = |e| Error::from(format!("cannot write to {}: {e}", args.filename));
    let mut file = BufWriter::new(File::create(&args.filename).map_err(failed)?);
    file.write_all(&bytes).map_err(failed)?;
    for offset in pieces {
        read(offset, &mut bytes)?;
        file.write_all(&bytes).map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    Ok(Nothing {})
}

/// What the TLB has.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TlbNow {
    /// A line for each page.
    pages: Vec<String>,
}

pub fn tlb(vm: &mut Vm<'_>, _: Nothing) -> Result<TlbNow, Error> {
    let cpus = vm.loaded.plan.devices.iter();
    let about = cpus.filter_map(|device| device.interface.cpu).nth(vm.cpu);
    let digits = about.map_or(16, |cpu| usize::from(cpu.bits) / 4);
    let cpu = vm.machine.cpu_at(vm.cpu);
    let cpu = cpu.ok_or_else(|| cpus_there_are(0))?;
    let entries = cpu.tlb().ok_or(
        "hardware fills the TLB of this CPU from tables in memory: gva2gpa says where an address leads",
    )?;
    let line = |page: &Translation| {
        let space = match page.asid {
            Some(asid) => format!("asid {asid:3}"),
            None => "global  ".to_owned(),
        };
        let Translation {
            entry,
            va,
            pa,
            size,
            ..
        } = page;
        let kib = size >> 10;
        format!(
            "{entry:2}: {va:0digits$x} -> {pa:0digits$x} {kib:6} KiB {space} {}",
            page.attributes
        )
    };
    Ok(TlbNow {
        pages: entries.iter().map(line).collect(),
    })
}

pub fn say_tlb(now: &TlbNow) -> String {
    if now.pages.is_empty() {
        return "no page is valid\n".to_owned();
    }
    now.pages.iter().map(|line| format!("{line}\n")).collect()
}

/// What there is to say, for people.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HumanReadableText {
    /// Lines.
    human_readable_text: String,
}

/// The blocks of memory: where they are, and how large.
pub fn blocks(vm: &mut Vm<'_>, _: Nothing) -> Result<HumanReadableText, Error> {
    let mut text = format!("{:>24}  {:>18}  {:>18}\n", "Block Name", "Address", "Size");
    for device in &vm.loaded.plan.devices {
        let regions = device.interface.regions.iter().zip(0..);
        for (region, number) in regions.filter(|(r, _)| r.kind == RegionKind::Memory) {
            let windows = device.windows.iter();
            let at = windows.filter(|w| w.region.0 == number).map(|w| w.at).min();
            let at = at.map_or_else(|| "-".to_owned(), |at| format!("{at:#018x}"));
            // Writing to a string has no way to fail.
            let _ = writeln!(text, "{:>24}  {at:>18}  {:#018x}", device.path, region.size);
        }
    }
    Ok(HumanReadableText {
        human_readable_text: text,
    })
}

pub fn say_blocks(blocks: &HumanReadableText) -> String {
    blocks.human_readable_text.clone()
}
