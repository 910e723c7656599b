//! x86: random programs in real mode, with a handler that goes on behind whatever raises an exception.

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

fn guest(seed: u64) -> Guest {
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
        board: Guest::board(&format!(
            "[board]\nname = \"bare\"\n[dev.cpu]\nat = \"sys\"\n[dev.cpu.x86_64-cpu]\nmodel = \"{model}\"\nclock = \"50MHz\"\n[dev.ram]\nat = \"sys:0\"\n[dev.ram.ram]\nsize = \"2MiB\"\n",
        )),
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
