use super::*;
use solderless_model::testing::{Bench, Noise, exercise, goes_on_the_same};

type Flash = Bench<Pflash>;

const SECTOR: u64 = 64 << 10;

fn flash() -> Flash {
    Bench::new(PflashProps::default())
}

fn put(b: &mut Flash, offset: u64, size: u8, value: u64) {
    assert!(b.write(FLASH, offset, size, value));
}

fn get(b: &mut Flash, offset: u64, size: u8) -> u64 {
    b.read(FLASH, offset, size).expect("answers")
}

fn readable(b: &Flash) -> bool {
    b.dev.memory(FLASH).expect("memory").readable
}

#[test]
fn the_array_is_memory_until_a_command() {
    let mut b = Flash::with_images(PflashProps::default(), &[Some(b"boot code".to_vec())]);
    assert!(readable(&b));
    assert_eq!(get(&mut b, 0, 8), u64::from_le_bytes(*b"boot cod"));
    assert_eq!(get(&mut b, 8, 4), 0xffff_ff00 | u64::from(b'e'));
    assert_eq!(get(&mut b, 0x3f_fff9, 4), 0xffff_ffff);
    b.around.memory_changes.clear();
    for (command, array, changes) in [
        (0x70, false, 1),
        (0x90, false, 1),
        (0x50, false, 1),
        (0xf0, false, 1),
        (0xff, true, 2),
        (0x50, true, 2),
        (0x98, false, 3),
    ] {
        put(&mut b, 0x1234, 1, command);
        assert_eq!(readable(&b), array, "{command:#x}");
        assert_eq!(b.around.memory_changes.len(), changes, "{command:#x}");
    }
    b.reset();
    assert!(readable(&b));
    assert!(!b.dev.memory(FLASH).expect("memory").writable);
    assert_eq!(get(&mut b, 0, 4), u64::from(u32::from_le_bytes(*b"boot")));
}

#[test]
fn an_image_must_fit() {
    let build = |bytes: usize| {
        let images = [Some(vec![0; bytes])];
        let parts = solderless_model::Parts::default();
        Pflash::build(PflashProps::default(), Wires::new(&parts, &images)).map(|_| ())
    };
    assert_eq!(build(4 << 20), Ok(()));
    let message = build((4 << 20) + 1).unwrap_err().0;
    assert!(
        message.contains("4194305") && message.contains("4194304"),
        "{message}"
    );
}

/// U-Boot tries command addresses and widths until "QRY" appears.
#[test]
fn probing_finds_a_16_bit_port_with_stride_four() {
    for big_endian in [false, true] {
        let mut b = Flash::new(PflashProps {
            big_endian,
            ..PflashProps::default()
        });
        let order = |value: u64, size: u8| match big_endian {
            true => value.swap_bytes() >> (64 - 8 * size),
            false => value,
        };
        for (size, reset, command, at, answer_at, answer) in [
            (1, 0xff, 0x98, 0x055, 0x10, 0x00),
            (1, 0xff, 0x98, 0x555, 0x10, 0x00),
            (1, 0xff, 0x98, 0x0aa, 0x20, 0x00),
            (2, 0xffff, 0x9898, 0x0aa, 0x20, 0x00),
            (2, 0xffff, 0x9898, 0x154, 0x40, 0x51),
            (2, 0xff, 0x98, 0x0aa, 0x20, 0x00),
            (2, 0xff, 0x98, 0x154, 0x40, 0x51),
            (4, 0xff, 0x98, 0x154, 0x40, 0x51),
        ] {
            put(&mut b, 0, size, order(reset, size));
            put(&mut b, at, size, order(command, size));
            assert_eq!(get(&mut b, answer_at, size), order(answer, size), "{at:#x}");
        }
        let bytes: Vec<u64> = (0x10..0x3e).map(|i| get(&mut b, 4 * i, 1)).collect();
        assert_eq!(bytes[..3], [0x51, 0x52, 0x59]);
        assert_eq!(
            bytes[0x0b..0x21],
            [
                0x45, 0x55, 0, 0, 7, 7, 10, 0, 4, 4, 4, 0, 0x16, 2, 0, 11, 0, 1, 0x3f, 0, 0, 1
            ]
        );
        assert_eq!(bytes[0x21..0x26], b"PRI10".map(u64::from));
        assert_eq!(get(&mut b, 4 * 0x3e, 1), 0);
    }
}

#[test]
fn parts_side_by_side_answer_on_their_lanes() {
    let mut b = Flash::new(PflashProps {
        device_width: 2,
        id1: 0x89,
        id3: 0x16,
        ..PflashProps::default()
    });
    put(&mut b, 0x154, 4, 0x0098_0098);
    assert_eq!(get(&mut b, 0x40, 4), 0x0051_0051);
    assert_eq!(get(&mut b, 0x42, 2), 0x0051);
    assert_eq!(get(&mut b, 0x40, 8), 0x0052_0052_0051_0051);
    assert_eq!(get(&mut b, 4 * 0x27, 2), 21);
    assert_eq!(get(&mut b, 4 * 0x2f, 2), 0x80);
    put(&mut b, 0, 4, 0x0090_0090);
    assert_eq!(get(&mut b, 0, 8), 0x0016_0016_0089_0089);
    put(&mut b, 0, 4, 0x0070_0070);
    assert_eq!(get(&mut b, 0x1234, 4), 0x0080_0080);
}

#[test]
fn erase_and_program_a_word() {
    let mut b = flash();
    for (offset, size, value) in [(0x10, 2, 0x1234), (0x12, 1, 0x56), (0x14, 4, 0x89ab_cdef)] {
        put(&mut b, 0, 2, 0x40);
        assert_eq!(get(&mut b, 0, 2), 0x80);
        put(&mut b, offset, size, value);
        assert_eq!(get(&mut b, 0, 2), 0x80);
    }
    put(&mut b, 0, 2, 0xff);
    assert_eq!(get(&mut b, 0x10, 8), 0x89ab_cdef_ff56_1234);
    put(&mut b, 0, 1, 0x10);
    put(&mut b, 0x10, 2, 0xff0f);
    put(&mut b, 0, 1, 0xff);
    assert_eq!(
        get(&mut b, 0x10, 2),
        0x1204,
        "bits only go from one to zero"
    );
    put(&mut b, SECTOR, 2, 0x20);
    put(&mut b, SECTOR, 2, 0xd0);
    put(&mut b, 0, 2, 0xff);
    assert_eq!(get(&mut b, 0x10, 2), 0x1204, "another block");
    put(&mut b, 0x40, 2, 0x20);
    put(&mut b, 0x40, 2, 0xd0);
    assert_eq!(get(&mut b, 0, 2), 0x80);
    put(&mut b, 0, 2, 0xff);
    assert_eq!(get(&mut b, 0x10, 8), u64::MAX);
}

/// U-Boot sends the commands of a buffer write to the start of the block, the data where they belong.
#[test]
fn u_boot_saves_its_environment() {
    let mut b = flash();
    let env: Vec<u8> = (0..0x2_0000u32).map(|i| (i ^ i >> 8) as u8).collect();
    for sector in [0x3e_0000, 0x3f_0000] {
        for command in [0x50, 0x20, 0xd0] {
            put(&mut b, sector, 2, command);
        }
        assert_eq!(get(&mut b, sector, 2) & 0x80, 0x80);
        put(&mut b, sector, 2, 0xff);
    }
    for (chunk, at) in env.chunks(2048).zip((0x3e_0000..).step_by(2048)) {
        let sector = at & !(SECTOR - 1);
        for command in [0x50, 0x70, 0xe8] {
            put(&mut b, sector, 2, command);
        }
        assert_eq!(get(&mut b, sector, 2), 0x80);
        put(&mut b, sector, 2, 0x03ff);
        for (pair, at) in chunk.chunks(2).zip((at..).step_by(2)) {
            put(
                &mut b,
                at,
                2,
                u64::from(u16::from_le_bytes([pair[0], pair[1]])),
            );
        }
        put(&mut b, sector, 2, 0xd0);
        assert_eq!(get(&mut b, sector, 2), 0x80);
        put(&mut b, sector, 2, 0xff);
    }
    let mut written = vec![0; env.len()];
    let array = b.dev.memory(FLASH).expect("memory").ram;
    array.read(0x3e_0000, &mut written).unwrap();
    assert!(written == env);
    assert_eq!(b.around.errors, [""; 0]);
}

#[test]
fn sequences_that_go_wrong_leave_the_array_alone() {
    let far = 2 * BUFFER as u64;
    let cases: [(&str, &[(u64, u64)]); 6] = [
        ("erase", &[(0, 0x20), (0, 0xff)]),
        ("lock", &[(0, 0x60), (0, 0x02)]),
        ("no confirmation", &[(0, 0xe8), (0, 0), (0, 0), (0, 0xff)]),
        (
            "beyond the buffer",
            &[(0, 0xe8), (0, 1), (0, 0), (far, 0), (0, 0xd0)],
        ),
        (
            "before the start",
            &[(0, 0xe8), (0, 1), (8, 0), (0, 0), (0, 0xd0)],
        ),
        (
            "another block",
            &[(0, 0xe8), (0, 0), (SECTOR, 0), (0, 0xd0)],
        ),
    ];
    for (name, writes) in cases {
        let mut b = flash();
        for (offset, value) in writes {
            put(&mut b, *offset, 4, *value);
        }
        assert_eq!(get(&mut b, 0, 1), 0xb0, "{name}");
        assert_eq!(b.around.errors.len(), 1, "{name}");
        put(&mut b, 0, 1, 0x50);
        assert_eq!(get(&mut b, 0, 1), 0x80, "{name}");
        put(&mut b, 0, 1, 0xff);
        for offset in [0, 8, far, SECTOR] {
            assert_eq!(get(&mut b, offset, 4), 0xffff_ffff, "{name}");
        }
    }
    let mut b = flash();
    put(&mut b, 0, 1, 0xaa);
    assert!(readable(&b));
    assert_eq!(b.around.errors.len(), 1);
}

#[test]
fn a_locked_block_refuses() {
    let mut b = flash();
    put(&mut b, SECTOR, 2, 0x60);
    put(&mut b, SECTOR, 2, 0x01);
    b.reset();
    put(&mut b, 0, 2, 0x90);
    for (sector, locked) in [(0, 0), (1, 1), (2, 0)] {
        assert_eq!(get(&mut b, sector * SECTOR + 8, 2), locked);
    }
    for (writes, status) in [
        (&[0x20, 0xd0][..], 0xa2),
        (&[0x40, 0x00], 0x92),
        (&[0xe8, 0, 0x00, 0xd0], 0x92),
    ] {
        put(&mut b, 0, 2, 0x50);
        for value in writes {
            put(&mut b, SECTOR, 2, *value);
        }
        assert_eq!(get(&mut b, 0, 2), status);
    }
    for value in [0x60, 0xd0, 0x50, 0x40, 0x0000] {
        put(&mut b, SECTOR, 2, value);
    }
    assert_eq!(get(&mut b, 0, 2), 0x80);
    put(&mut b, 0, 2, 0xff);
    assert_eq!(get(&mut b, SECTOR, 4), 0xffff_0000);
}

#[test]
fn suspend_finds_the_work_done() {
    let mut b = flash();
    for value in [0x20, 0xd0, 0xb0] {
        put(&mut b, 0, 1, value);
        assert_eq!(get(&mut b, 0, 1), 0x80);
    }
    put(&mut b, 0, 1, 0xd0);
    assert_eq!(get(&mut b, 0, 1), 0x80);
}

#[test]
fn properties_that_do_not_fit_are_named() {
    let good = PflashProps::default;
    for (props, property) in [
        (PflashProps { width: 3, ..good() }, "width"),
        (
            PflashProps {
                width: 2,
                device_width: 4,
                ..good()
            },
            "device-width",
        ),
        (
            PflashProps {
                device_width: 3,
                ..good()
            },
            "device-width",
        ),
        (
            PflashProps {
                sector_length: Size(0),
                ..good()
            },
            "sector-length",
        ),
        (
            PflashProps {
                sector_length: Size(384),
                device_width: 2,
                ..good()
            },
            "sector-length",
        ),
        (
            PflashProps {
                sector_length: Size(1 << 40),
                ..good()
            },
            "sector-length",
        ),
        (
            PflashProps {
                num_blocks: 63,
                ..good()
            },
            "num-blocks",
        ),
        (
            PflashProps {
                num_blocks: 4,
                sector_length: Size(256),
                ..good()
            },
            "num-blocks",
        ),
    ] {
        assert_eq!(Pflash::interface(&props).unwrap_err().property, property);
    }
}

fn small() -> Flash {
    Flash::new(PflashProps {
        num_blocks: 4,
        sector_length: Size(4096),
        device_width: 2,
        ..PflashProps::default()
    })
}

fn poke(b: &mut Flash, noise: &mut Noise) -> (Option<u64>, bool) {
    const COMMANDS: [u64; 16] = [
        0x20, 0xd0, 0xd0, 0x40, 0x10, 0xe8, 0x02, 0x00, 0x60, 0x01, 0x70, 0x50, 0x90, 0x98, 0xff,
        0xf0,
    ];
    let size = 1 << (noise.draw() % 4);
    let offset = (noise.draw() % 0x4000).min(0x4000 - u64::from(size));
    let value = COMMANDS[(noise.draw() % 16) as usize] << (8 * (noise.draw() % 2));
    let read = if noise.draw().is_multiple_of(3) {
        b.read(FLASH, offset, size)
    } else {
        put(b, offset & 0x300f, size, value);
        None
    };
    (read, readable(b))
}

#[test]
fn random_accesses_and_saved_state() {
    goes_on_the_same(small, 30, 500, poke);
    exercise(small);
}

#[test]
fn lock_bits_for_another_flash_are_refused() {
    let mut b = small();
    b.dev.locked.push(false);
    assert!(b.with(|d, cx| d.restored(cx)).is_err());
}
