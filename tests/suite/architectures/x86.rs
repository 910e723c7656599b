//! x86: random programs in real, protected and long mode, with a handler that goes on behind whatever raises an exception.

use solderless_model::testing::Noise;

use super::{Architecture, Bytes, Guest, Random};

pub const X86: Architecture = Architecture {
    name: "x86",
    random: || Some(Box::new(guest) as Random),
    programs: 24,
    listed,
};

/// Before the program, while it runs, and after that, when it goes round in a circle.
const INSTRUCTIONS: [u64; 3] = [10, 12_000, 3_000];
/// How often the program is run.
const PASSES: u16 = 10;
/// Instructions of the program.
const SLOTS: usize = 64;
/// Bytes that each has at most, with what comes before it.
const SLOT: usize = 16;

/// Where code is, the handler in it, and what the program counts passes in.
const CODE: u64 = 0x1_0000;
const HANDLER: u16 = 0xf000;
const LEFT: u16 = 0xe000;
/// What the program works on: all of a segment.
const DATA: u64 = 0x2_0000;
const MEMORY: u64 = 0x20_0000;

/// Where what protected and long mode need is.
const GDT: u64 = 0x9000;
const IDT: u64 = 0xa000;
const ENTRY: u64 = 0x7000;
const TABLES: u64 = 0x10_0000;
/// Slots of such a program, of several instructions each, and bytes of one.
const LONG_SLOTS: usize = 40;
const LONG_SLOT: usize = 64;

fn guest(seed: u64) -> Guest {
    match seed % 3 {
        0 => real(seed / 3),
        kind => flat(seed / 3, kind == 2),
    }
}

fn board(model: &str) -> solderless::compose::Loaded {
    Guest::board(&format!(
        "[board]\nname = \"bare\"\n[dev.cpu]\nat = \"sys\"\n[dev.cpu.x86_64-cpu]\nmodel = \"{model}\"\nclock = \"50MHz\"\n[dev.ram]\nat = \"sys:0\"\n[dev.ram.ram]\nsize = \"2MiB\"\n",
    ))
}

/// A program in protected mode or in long mode, where segments are all of memory, most often with paging.
fn flat(seed: u64, long: bool) -> Guest {
    let mut noise = Noise(seed);
    let paging = long || noise.below(6) != 0;
    let model = match (long, noise.below(3)) {
        (true, _) => "qemu64",
        (_, 0) => "pentium3",
        _ => "qemu32",
    };
    let gate = |vector: u64| {
        let with_error = matches!(vector, 8 | 10..=14 | 17);
        let to = CODE + u64::from(HANDLER) - if with_error { 0 } else { 16 };
        let mut gate = (to as u16).to_le_bytes().to_vec();
        gate.extend([if long { 0x18 } else { 8 }, 0, 0, 0x8e, (to >> 16) as u8, 0]);
        if long {
            gate.extend([0; 8]);
        }
        gate
    };
    let wide: &[u8] = if long { &[0x48] } else { &[] };
    // add sp, 8 or 4 for an error's number; then pop ax; and ax, -64; add ax, 64; push ax; iret
    let error = [wide, &[0x83, 0xc4, if long { 8 } else { 4 }]].concat();
    let rest = [
        &[0x58],
        wide,
        &[0x83, 0xe0, 0xc0],
        wide,
        &[0x83, 0xc0, 0x40, 0x50],
        wide,
        &[0xcf],
    ];
    let rest = rest.concat();
    // lgdt; lidt
    let mut entry = vec![
        0x2e, 0x66, 0x0f, 0x01, 0x16, 0x80, 0, 0x2e, 0x66, 0x0f, 0x01, 0x1e, 0x88, 0,
    ];
    if paging {
        // mov eax, TABLES; mov cr3, eax
        entry.extend([0x66, 0xb8]);
        entry.extend((TABLES as u32).to_le_bytes());
        entry.extend([0x0f, 0x22, 0xd8]);
    }
    if long {
        // mov eax, 20h; mov cr4, eax; mov ecx, EFER; rdmsr; or eax, 100h; wrmsr
        entry.extend([0x66, 0xb8, 0x20, 0, 0, 0, 0x0f, 0x22, 0xe0]);
        entry.extend([0x66, 0xb9, 0x80, 0, 0, 0xc0, 0x0f, 0x32]);
        entry.extend([0x66, 0x0d, 0, 1, 0, 0, 0x0f, 0x30]);
    }
    // mov eax, cr0; or eax, ...; mov cr0, eax; jmp far
    let control = 0x0001_0001_u32 | u32::from(paging) << 31;
    entry.extend([0x0f, 0x20, 0xc0, 0x66, 0x0d]);
    entry.extend(control.to_le_bytes());
    entry.extend([0x0f, 0x22, 0xc0, 0x66, 0xea]);
    entry.extend((CODE as u32).to_le_bytes());
    entry.extend([if long { 0x18 } else { 8 }, 0]);
    entry.resize(0x80, 0x90);
    for (at, limit) in [(GDT, 0x27_u16), (IDT, 0xfff)] {
        entry.extend(limit.to_le_bytes());
        entry.extend((at as u32).to_le_bytes());
        entry.extend([0, 0]);
    }
    let descriptors: [u64; 5] = [
        0,
        0x00cf_9b00_0000_ffff,
        0x00cf_9300_0000_ffff,
        0x00af_9b00_0000_ffff,
        // Data from 1000h on.
        0x00cf_9300_1000_ffff,
    ];
    let gdt = descriptors.iter().flat_map(|d| d.to_le_bytes()).collect();
    // mov ax, 10h; to DS, ES and SS; mov ax, 20h; to FS and GS
    let mut code = vec![0x66, 0xb8, 0x10, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0];
    code.extend([0x66, 0xb8, 0x20, 0, 0x8e, 0xe0, 0x8e, 0xe8]);
    code.resize(LONG_SLOT, 0x90);
    for _ in 0..LONG_SLOTS {
        let mut slot = Vec::new();
        // mov esp, and two registers to somewhere among the data.
        let near =
            |noise: &mut Noise| (DATA as u32 + 0x4000 + noise.below(0x4000) as u32).to_le_bytes();
        slot.push(0xbc);
        slot.extend((DATA as u32 + 0x8000).to_le_bytes());
        for _ in 0..2 {
            let register = [0, 1, 2, 3, 5, 6, 7][noise.below(7) as usize];
            slot.push(0xb8 + register);
            slot.extend(near(&mut noise));
        }
        while slot.len() < LONG_SLOT - 16 && noise.below(8) != 0 {
            plain(&mut noise, long, &mut slot);
        }
        slot.resize(LONG_SLOT, 0x90);
        code.extend(slot);
    }
    // dec dword [LEFT]; jnz to the first slot; jmp to itself.
    let left = CODE as u32 + u32::from(LEFT);
    code.extend(if long {
        &[0xff, 0x0c, 0x25][..]
    } else {
        &[0xff, 0x0d]
    });
    code.extend(left.to_le_bytes());
    let back = LONG_SLOT as i32 - (code.len() as i32 + 6);
    code.extend([0x0f, 0x85]);
    code.extend(back.to_le_bytes());
    code.extend([0xeb, 0xfe]);
    let mut data = Vec::new();
    (0..0x2000).for_each(|_| data.extend(noise.value().to_le_bytes()));
    let mut memory = vec![
        (ENTRY, entry),
        (GDT, gdt),
        (IDT, (0..256).flat_map(gate).collect()),
        (CODE, code),
        (CODE + u64::from(HANDLER) - 16, rest.clone()),
        (CODE + u64::from(HANDLER), [error, rest].concat()),
        (CODE + u64::from(LEFT), PASSES.to_le_bytes().to_vec()),
        (DATA, data),
    ];
    // Only data can be written, and some pages of it can only be read, or are not there.
    let left_page = (CODE + u64::from(LEFT)) >> 12;
    let page = |noise: &mut Noise, n: u64| match n {
        0x2a..=0x2f => n << 12 | [0, 1, 3][noise.below(3) as usize],
        0x20..0x2a => n << 12 | 3,
        _ => n << 12 | if n == left_page { 3 } else { 1 },
    };
    if long {
        for (n, table) in [(0, 1), (1, 2), (2, 3)] {
            let entry = (TABLES + (table << 12)) | 3;
            memory.push((TABLES + (n << 12), entry.to_le_bytes().to_vec()));
        }
        let pages = (0..512).flat_map(|n| page(&mut noise, n).to_le_bytes());
        memory.push((TABLES + 0x3000, pages.collect()));
    } else {
        let entry = (TABLES as u32 + 0x1000) | 3;
        memory.push((TABLES, entry.to_le_bytes().to_vec()));
        let pages = (0..512).flat_map(|n| (page(&mut noise, n) as u32).to_le_bytes());
        memory.push((TABLES + 0x1000, pages.collect()));
    }
    let names = match model {
        "qemu64" => ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp"],
        _ => ["eax", "ebx", "ecx", "edx", "esi", "edi", "ebp"],
    };
    let general = names.map(|name| (name, noise.value() & 0xffff_ffff));
    Guest {
        board: board(model),
        about: format!(
            "{model}, {} bits, paging {paging}",
            if long { 64 } else { 32 }
        ),
        memory,
        registers: general.into_iter().chain([("cs", ENTRY >> 4)]).collect(),
        pc: ENTRY,
        instructions: [30, 16_000, 3_000],
        physical: |va| (va < MEMORY).then_some(va),
    }
}

/// An instruction of those that compiled programs have, or a jump within the slot.
fn plain(noise: &mut Noise, long: bool, to: &mut Vec<u8>) {
    let pick = |noise: &mut Noise, of: &[u8]| of[noise.below(of.len() as u64) as usize];
    let byte = |noise: &mut Noise| noise.value() as u8;
    let number = |noise: &mut Noise, bytes: usize, to: &mut Vec<u8>| {
        let value = match noise.below(3) {
            0 => noise.value(),
            1 => noise.below(64),
            _ => u64::MAX - noise.below(64),
        };
        to.extend(value.to_le_bytes().iter().take(bytes));
    };
    let narrow = noise.below(6) == 0;
    if noise.below(12) == 0 {
        to.push(pick(noise, &[0x64, 0x65]));
    }
    if narrow {
        to.push(0x66);
    }
    if long && noise.below(5) != 0 {
        to.push(0x40 | pick(noise, &[8, 0, 9, 12, 1, 4, 2, 15, 10, 13]));
    }
    let wide = if narrow { 2 } else { 4 };
    match noise.below(17) {
        0..=3 => {
            to.push(byte(noise) & 0x3b);
            operand(noise, long, to);
        }
        4 => {
            let opcode = pick(noise, &[0x80, 0x81, 0x83]);
            to.push(opcode);
            operand(noise, long, to);
            number(noise, if opcode == 0x81 { wide } else { 1 }, to);
        }
        5 => {
            to.push(pick(
                noise,
                &[0x84, 0x85, 0x88, 0x89, 0x8a, 0x8b, 0x8b, 0x86, 0x87, 0x8d],
            ));
            operand(noise, long, to);
        }
        6 => {
            let opcode = pick(noise, &[0xc6, 0xc7]);
            to.push(opcode);
            let at = to.len();
            operand(noise, long, to);
            // There is one form.
            to[at] &= 0xc7;
            number(noise, if opcode == 0xc7 { wide } else { 1 }, to);
        }
        7 => {
            let opcode = pick(noise, &[0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3, 0xc1]);
            to.push(opcode);
            operand(noise, long, to);
            if opcode < 0xd0 {
                to.push(byte(noise) & 0x3f);
            }
        }
        8 => {
            to.extend([
                0x0f,
                pick(
                    noise,
                    &[0xb6, 0xb7, 0xbe, 0xbf, 0xaf, 0xaf, 0xb0, 0xb1, 0xc0, 0xc1],
                ),
            ]);
            operand(noise, long, to);
        }
        9 => {
            to.extend([0x0f, pick(noise, &[0x40, 0x90]) | byte(noise) & 15]);
            operand(noise, long, to);
        }
        10 => {
            let opcode = pick(noise, &[0xf6, 0xf7, 0xfe, 0xff]);
            to.push(opcode);
            let at = to.len();
            operand(noise, long, to);
            match opcode {
                // INC, DEC and PUSH alone.
                0xfe => to[at] &= 0xcf,
                0xff => to[at] = to[at] & 0xc7 | pick(noise, &[0, 8, 0x30]),
                _ if to[at] & 0x30 == 0 => number(noise, if opcode == 0xf7 { wide } else { 1 }, to),
                _ => {}
            }
        }
        11 => {
            let opcode = pick(noise, &[0x69, 0x6b]);
            to.push(opcode);
            operand(noise, long, to);
            number(noise, if opcode == 0x69 { wide } else { 1 }, to);
        }
        12 => to.push(pick(
            noise,
            &[
                0x50, 0x53, 0x54, 0x56, 0x58, 0x5a, 0x5f, 0x98, 0x99, 0xf8, 0xf9, 0xf5,
            ],
        )),
        13 => {
            to.push(pick(noise, &[0x68, 0x6a]));
            number(noise, if to.last() == Some(&0x68) { wide } else { 1 }, to);
        }
        14 => {
            to.extend([0x0f, 0xc8 + pick(noise, &[0, 1, 3, 5, 7])]);
        }
        // Over two bytes.
        15 => to.extend([0x70 | byte(noise) & 15, 2, 0xff, 0xc0]),
        // A call of a return.
        _ if !narrow => to.extend([0xe8, 2, 0, 0, 0, 0xeb, 1, 0xc3]),
        _ => to.push(0x90),
    }
}

/// ModRM and what belongs to it: a register, or memory that is most often near one.
fn operand(noise: &mut Noise, long: bool, to: &mut Vec<u8>) {
    let modrm = noise.value() as u8;
    to.push(modrm);
    let (mode, base) = (modrm >> 6, modrm & 7);
    if mode == 3 {
        return;
    }
    let mut base = base;
    if base == 4 {
        let index = match noise.below(3) {
            0 => noise.value() as u8 & 0xf8,
            _ => 0x20,
        };
        base = noise.value() as u8 & 7;
        to.push(index | base);
    } else if base == 5 && mode == 0 && long {
        // From the next instruction on.
        to.extend((0x1_0000 + noise.below(0x4000) as u32).to_le_bytes());
        return;
    }
    match mode {
        0 if base == 5 => to.extend((DATA as u32 + noise.below(0x8000) as u32).to_le_bytes()),
        1 => to.push(noise.value() as u8),
        2 => to.extend((noise.below(0x8000) as i32 - 0x4000).to_le_bytes()),
        _ => {}
    }
}

fn real(seed: u64) -> Guest {
    let mut noise = Noise(seed);
    let model = ["486", "pentium", "pentium3", "qemu32", "qemu64"][(seed % 5) as usize];
    let wide = model == "qemu64";
    let mut code = Vec::new();
    for _ in 0..SLOTS {
        // What raises an exception needs a stack: mov sp, 8000h.
        let mut slot = vec![0xbc, 0x00, 0x80];
        instruction(&mut noise, &mut slot);
        slot.resize(SLOT, 0x90);
        code.extend(slot);
    }
    // dec word cs:[LEFT]; jnz to the start; jmp to itself.
    code.extend([0x2e, 0xff, 0x0e]);
    code.extend(LEFT.to_le_bytes());
    let back = -(code.len() as i16 + 4);
    code.extend([0x0f, 0x85]);
    code.extend(back.to_le_bytes());
    code.extend([0xeb, 0xfe]);
    // pop ax; and ax, -16; add ax, 16; push ax; iret
    let handler = vec![0x58, 0x25, 0xf0, 0xff, 0x05, 0x10, 0x00, 0x50, 0xcf];
    let vector = u32::from(HANDLER) | (CODE as u32 >> 4) << 16;
    let vectors = std::iter::repeat_n(vector.to_le_bytes(), 256).flatten();
    let mut data = Vec::new();
    (0..0x2000).for_each(|_| data.extend(noise.value().to_le_bytes()));
    let names = match wide {
        true => ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp"],
        false => ["eax", "ebx", "ecx", "edx", "esi", "edi", "ebp"],
    };
    let general = names.map(|name| (name, noise.value() & 0xffff_ffff));
    let segments = ["ss", "ds", "es", "fs", "gs"].map(|name| (name, DATA >> 4));
    let registers = general.into_iter().chain(segments);
    Guest {
        board: board(model),
        about: model.to_owned(),
        memory: vec![
            (0, vectors.collect()),
            (CODE, code),
            (CODE + u64::from(HANDLER), handler),
            (CODE + u64::from(LEFT), PASSES.to_le_bytes().to_vec()),
            (DATA, data),
        ],
        registers: registers.chain([("cs", CODE >> 4)]).collect(),
        pc: CODE,
        instructions: INSTRUCTIONS,
        physical: |va| (va < MEMORY).then_some(va),
    }
}

/// An instruction that goes nowhere, with prefixes.
fn instruction(noise: &mut Noise, to: &mut Vec<u8>) {
    for prefix in [0x66, 0x67, 0x26, 0x3e] {
        if noise.below(4) == 0 {
            to.push(prefix);
        }
    }
    let byte = |noise: &mut Noise| noise.value() as u8;
    // What follows: nothing, or a ModR/M byte and what it asks for, with or without a number.
    let number: &[u8] = match noise.below(8) {
        0 => {
            const ALONE: [u8; 16] = [
                0x27, 0x2f, 0x37, 0x3f, 0x40, 0x4b, 0x53, 0x5a, 0x60, 0x98, 0x99, 0x9c, 0x9e, 0x9f,
                0xd7, 0xf5,
            ];
            to.push(ALONE[noise.below(16) as usize]);
            return;
        }
        1 => {
            const STRINGS: [u8; 10] = [0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf];
            to.push(STRINGS[noise.below(10) as usize]);
            return;
        }
        2 => {
            const LONG: [u8; 14] = [
                0xa3, 0xab, 0xb3, 0xbb, 0xaf, 0xb6, 0xbf, 0xbc, 0xbd, 0xc1, 0xb1, 0x4c, 0x95, 0xa5,
            ];
            to.extend([0x0f, LONG[noise.below(14) as usize]]);
            &[]
        }
        3 => {
            const SHIFTS: [u8; 4] = [0xd0, 0xd1, 0xd2, 0xd3];
            to.push(SHIFTS[noise.below(4) as usize]);
            &[]
        }
        4 => {
            // A number of one byte.
            const NUMBERS: [u8; 4] = [0x80, 0x83, 0xc0, 0x6b];
            to.push(NUMBERS[noise.below(4) as usize]);
            &[0]
        }
        5 => {
            to.push([0xfe, 0x86, 0x87, 0x8d][noise.below(4) as usize]);
            if to.last() == Some(&0xfe) {
                // INC and DEC alone.
                to.push(byte(noise) & 0xcf);
                to.extend([byte(noise), byte(noise)]);
                return;
            }
            &[]
        }
        _ => {
            to.push(byte(noise) & 0x3b);
            &[]
        }
    };
    to.push(byte(noise));
    to.extend([byte(noise), byte(noise)]);
    to.extend(number);
}

fn listed(byte: &mut Bytes<'_>, _: bool) -> (String, u64) {
    let bytes: Vec<u8> = (0..15).map_while(byte).collect();
    let (text, len) = solderless_x86::describe(&bytes, 16);
    (text, len.max(1) as u64)
}
