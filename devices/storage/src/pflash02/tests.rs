use super::*;
use solderless_model::testing::{Bench, Noise, exercise, goes_on_the_same};

type Flash = Bench<Pflash02>;

const SECTOR: u64 = 64 << 10;

fn flash() -> Flash {
    Bench::new(Pflash02Props::default())
}

/// Writes words of 16 bits, by their numbers.
fn put(b: &mut Flash, cycles: &[(u64, u64)]) {
    for (word, value) in cycles {
        assert!(b.write(FLASH, 2 * word, 2, *value));
    }
}

fn get(b: &mut Flash, word: u64) -> u64 {
    b.read(FLASH, 2 * word, 2).expect("answers")
}

const ENTER: [(u64, u64); 2] = [(0x555, 0xaa), (0x2aa, 0x55)];

/// A command behind its unlock cycles.
fn command(b: &mut Flash, command: u64, more: &[(u64, u64)]) {
    put(b, &ENTER);
    put(b, &[(0x555, command)]);
    put(b, more);
}

fn erase(b: &mut Flash, last: (u64, u64)) {
    command(b, 0x80, &ENTER);
    put(b, &[last]);
}

#[test]
fn it_says_what_it_is() {
    let mut b = flash();
    assert!(b.dev.memory(FLASH).expect("memory").readable);
    command(&mut b, 0x90, &[]);
    assert!(!b.dev.memory(FLASH).expect("memory").readable);
    let words = [0, 1, 2, 0xe, 0xf].map(|word| get(&mut b, word));
    assert_eq!(words, [0x01, 0x22f9, 0, 0, 0]);
    put(&mut b, &[(0, 0xf0)]);
    assert_eq!(get(&mut b, 0), 0xffff);
    put(&mut b, &[(0x55, 0x98)]);
    let table: Vec<u64> = (0x10..0x45).map(|word| get(&mut b, word)).collect();
    assert_eq!(table[..5], [0x51, 0x52, 0x59, 2, 0]);
    // 4 MiB in one region of 64 sectors.
    assert_eq!(table[0x17], 22);
    assert_eq!(table[0x1c..0x21], [1, 63, 0, 0, 1]);
    assert_eq!(table[0x30..0x35], b"PRI10".map(u64::from));
    put(&mut b, &[(0, 0xff), (0, 0xf0)]);
    assert_eq!(get(&mut b, 0x10), 0xffff);
}

#[test]
fn words_are_programmed_and_sectors_erased() {
    let mut b = flash();
    let last = SECTOR / 2 - 1;
    for word in [0, last, last + 1, 2 * last + 1, 2 * last + 2] {
        command(&mut b, 0xa0, &[(word, 0x1234)]);
        assert_eq!(get(&mut b, word), 0x1234);
    }
    command(&mut b, 0xa0, &[(0, 0x00ff)]);
    assert_eq!(get(&mut b, 0), 0x0034);
    // The second of them, and no other; a resume erases nothing.
    erase(&mut b, (last + 1, 0x30));
    assert_eq!(get(&mut b, last + 1), 0xffff);
    put(&mut b, &[(0, 0x30)]);
    let around = [0, last, 2 * last + 1, 2 * last + 2].map(|word| get(&mut b, word));
    assert_eq!(around, [0x34, 0x1234, 0xffff, 0x1234]);
    // Further sectors can be named until the first look.
    erase(&mut b, (0, 0x30));
    put(&mut b, &[(2 * last + 2, 0x30)]);
    let around = [0, last, 2 * last + 2].map(|word| get(&mut b, word));
    assert_eq!(around, [0xffff; 3]);
    command(&mut b, 0xa0, &[(7, 0)]);
    erase(&mut b, (0x555, 0x10));
    assert_eq!(get(&mut b, 7), 0xffff);
}

#[test]
fn unlock_cycles_are_needed_unless_they_are_bypassed() {
    let mut b = flash();
    for cycles in [
        &[(0x555, 0xa0), (3, 0)][..],
        &[(0x555, 0xaa), (0x555, 0xa0), (3, 0)],
        &[(0x2aa, 0xaa), (0x555, 0x55), (0x555, 0xa0), (3, 0)],
        &[(0x555, 0xaa), (0x2aa, 0x55), (0x554, 0xa0), (3, 0)],
        &[(0x555, 0xaa), (0x2aa, 0x55), (0x555, 0x80), (0x555, 0x10)],
        &[
            (0x555, 0xaa),
            (0x2aa, 0x55),
            (0x555, 0xf0),
            (0x555, 0xa0),
            (3, 0),
        ],
    ] {
        put(&mut b, cycles);
        put(&mut b, &[(0, 0xf0)]);
        assert_eq!(get(&mut b, 3), 0xffff, "{cycles:x?}");
    }
    command(
        &mut b,
        0x20,
        &[(0, 0xa0), (3, 0x1111), (0, 0xa0), (4, 0x2222)],
    );
    assert_eq!((get(&mut b, 3), get(&mut b, 4)), (0x1111, 0x2222));
    put(&mut b, &[(0, 0x90), (0, 0), (0, 0xa0), (5, 0)]);
    assert_eq!(get(&mut b, 5), 0xffff);
}

#[test]
fn sectors_of_several_lengths_make_a_bank() {
    // A bottom boot sector part, in bytes: 16, 8, 8 and 32 KiB, and three of 64.
    let props = |width| Pflash02Props {
        num_blocks0: 1,
        sector_length0: Size(16 << 10),
        num_blocks1: 2,
        sector_length1: Size(8 << 10),
        num_blocks2: 1,
        sector_length2: Size(32 << 10),
        num_blocks3: 3,
        sector_length3: Size(64 << 10),
        unlock_addr0: 0x7aa,
        unlock_addr1: 0x355,
        width,
        ..Pflash02Props::default()
    };
    let mut b = Flash::new(props(1));
    let put = |b: &mut Flash, cycles: &[(u64, u64)]| {
        for (at, value) in cycles {
            assert!(b.write(FLASH, *at, 1, *value));
        }
    };
    let enter = [(0x7aa, 0xaa), (0x355, 0x55)];
    let places = [
        0x3fff, 0x4000, 0x5fff, 0x6000, 0x7fff, 0x8000, 0xffff, 0x10000,
    ];
    for at in places {
        put(&mut b, &[enter[0], enter[1], (0x7aa, 0xa0), (at, 0x5a)]);
    }
    put(
        &mut b,
        &[
            enter[0],
            enter[1],
            (0x7aa, 0x80),
            enter[0],
            enter[1],
            (0x6123, 0x30),
        ],
    );
    let erased = places.map(|at| b.read(FLASH, at, 1) == Some(0xff));
    assert_eq!(
        erased,
        [false, false, false, true, true, false, false, false]
    );
    let bad = Pflash02Props {
        num_blocks3: 2,
        ..props(2)
    };
    let error = Pflash02::interface(&bad).unwrap_err().to_string();
    assert!(error.contains("no power of two"), "{error}");
}

#[test]
fn what_is_programmed_goes_to_its_image() {
    let mut b = Flash::with_images(Pflash02Props::default(), &[Some(b"boot".to_vec())]);
    assert_eq!(get(&mut b, 0), 0x6f62);
    command(&mut b, 0xa0, &[(1, 0)]);
    let stored = |b: &mut Flash| std::mem::take(&mut b.around.stored);
    assert_eq!(stored(&mut b), [(IMAGE, 2, vec![0, 0])]);
    erase(&mut b, (0x8000, 0x30));
    assert_eq!(
        stored(&mut b),
        [(IMAGE, SECTOR, vec![0xff; SECTOR as usize])]
    );
    assert_eq!(b.dev.image(IMAGE).expect("an image")[..5], *b"bo\0\0\xff");
}

#[test]
fn bytes_of_a_big_endian_word_are_turned() {
    let props = Pflash02Props {
        big_endian: true,
        ..Pflash02Props::default()
    };
    let mut b = Flash::new(props);
    put(&mut b, &[(0x55, 0x9800)]);
    assert_eq!(
        [0x10, 0x11, 0x12].map(|word| get(&mut b, word)),
        [0x5100, 0x5200, 0x5900]
    );
}

/// A small flash, which takes less time to compare.
fn small() -> Flash {
    Bench::new(Pflash02Props {
        num_blocks: 4,
        sector_length: Size(4 << 10),
        ..Pflash02Props::default()
    })
}

fn poke(b: &mut Flash, noise: &mut Noise) -> Option<u64> {
    let word = [0x555, 0x2aa, 0x55, 0, noise.below(1 << 13)][noise.below(5) as usize];
    let value = [0xaa, 0x55, 0x80, 0x90, 0xa0, 0x10, 0x30, 0xf0, 0x98, 0x20];
    let (value, size) = (
        value[noise.below(10) as usize],
        [1, 2, 4, 8][noise.below(4) as usize],
    );
    match noise.below(4) {
        0 => b.read(FLASH, noise.below(1 << 14), size),
        // Half of the time what goes on with what was before.
        1 => {
            put(b, &ENTER);
            None
        }
        _ => {
            b.write(FLASH, 2 * word, size, value);
            None
        }
    }
}

#[test]
fn random_accesses_and_saved_state() {
    goes_on_the_same(small, 30, 500, poke);
    exercise(small);
}
