//! Loops, of which code is generated as a whole: random ones, cut into pieces, leave what they leave in the interpreter.

use solderless_model::{Engine, Processor as _};

use super::exceptions::{mfc0, mtc0};
use super::{CODE, NOP, Rig, i, r};

const ERET: u32 = 0x4200_0018;
const K0: u32 = 26;
/// Counters and bases, which no random instruction writes.
const INNER: u32 = 20;
const OUTER: u32 = 21;
const DATA: u32 = 22;
const MAPPED: u32 = 23;

/// Marsaglia's xorshift.
struct Random(u32);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % end
    }

    /// Any register that may be written, and sometimes register 0.
    fn register(&mut self) -> u32 {
        match self.below(24) {
            n @ 0..20 => n,
            n => n + 4,
        }
    }

    /// Arithmetic, which may stand anywhere.
    fn arithmetic(&mut self) -> u32 {
        const MULTIPLY: [u32; 6] = [0x00, 0x01, 0x04, 0x05, 0x02, 0x00];
        let (rs, rt, rd) = (self.register(), self.register(), self.register());
        match self.below(12) {
            0 => r(0x18 + self.below(2), rs, rt, 0, 0),
            1 => r(0x1a + self.below(2), rs, rt, 0, 0),
            // SPECIAL2: MADD, MADDU, MSUB, MSUBU, MUL.
            2 => match MULTIPLY[self.below(6) as usize] {
                mul @ 0x02 => 0x1c << 26 | r(mul, rs, rt, rd, 0),
                other => 0x1c << 26 | r(other, rs, rt, 0, 0),
            },
            3 => r(0x10 + 2 * self.below(2), 0, 0, rd, 0),
            4 => r(0x11 + 2 * self.below(2), rs, 0, 0, 0),
            5 => r(0x00, 0, rt, rd, self.below(32)),
            6 => r(0x2a + self.below(2), rs, rt, rd, 0),
            7 => i(0x0f, 0, rt, self.below(1 << 16)),
            8 => r(0x0a + self.below(2), rs, rt, rd, 0),
            9 => i(0x0c + self.below(3), rs, rt, self.below(1 << 16)),
            10 => r(0x21 + 2 * self.below(4), rs, rt, rd, 0),
            _ => i(0x09, rs, rt, self.below(1 << 16)),
        }
    }

    /// A load or store; one in many is misaligned or where nothing is mapped.
    fn access(&mut self) -> u32 {
        const KINDS: [u32; 12] = [
            0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x28, 0x29, 0x2a, 0x2b, 0x2e,
        ];
        let kind = KINDS[self.below(12) as usize];
        let base = [DATA, MAPPED][self.below(2) as usize];
        let offset = match self.below(16) {
            0 => self.below(1 << 13),
            _ => self.below(1 << 9) * 4,
        };
        i(kind, base, self.register(), offset.wrapping_sub(64))
    }

    /// One of a few registers, so that instructions meet: some are most often in the host's, some are not.
    fn near(&mut self) -> u32 {
        [2, 3, 4, 8, 9][self.below(5) as usize]
    }

    /// Arithmetic on such registers.
    fn near_arithmetic(&mut self) -> u32 {
        let (rs, rt, rd) = (self.near(), self.near(), self.near());
        match self.below(5) {
            0 => self.comparison(rd),
            1 => r(0x21, rs, rt, rd, 0),
            2 => r(0x23, [0, rs][self.below(2) as usize], rt, rd, 0),
            3 => i(0x0f, 0, rd, self.below(1 << 16)),
            _ => i(0x09, rs, rd, self.below(1 << 16)),
        }
    }

    /// SLT, SLTU, SLTI, SLTIU.
    fn comparison(&mut self, to: u32) -> u32 {
        let (rs, rt) = (self.near(), self.near());
        match self.below(3) {
            0 => i(0x0a + self.below(2), rs, to, self.below(1 << 16)),
            _ => r(0x2a + self.below(2), rs, rt, to, 0),
        }
    }

    /// A comparison and a branch that tests its result, up to five instructions, which meet in all ways.
    fn compared(&mut self, words: &mut Vec<u32>, left: u32) {
        let result = self.near();
        words.push(self.comparison(result));
        for _ in 0..self.below(3) {
            words.push(self.near_arithmetic());
        }
        let rt = [0, 0, 0, self.near()][self.below(4) as usize];
        words.push(i(4 + self.below(2), result, rt, 1 + self.below(left - 5)));
        words.push(self.near_arithmetic());
    }

    /// The body of a loop: branches in it lead forward, and not out of it.
    fn body(&mut self, words: &mut Vec<u32>, len: u32) {
        let end = words.len() as u32 + len;
        while (words.len() as u32) < end {
            let left = end - words.len() as u32;
            match self.below(8) {
                0..3 => words.push(self.access()),
                4 if left > 6 => self.compared(words, left),
                3 if left > 4 => {
                    // BEQ, BNE, BLEZ, BGTZ, and the likely ones.
                    let kind = [4, 5, 6, 7, 0x14, 0x15, 0x16, 0x17][self.below(8) as usize];
                    let rt = match kind & 3 {
                        0 | 1 => self.register(),
                        _ => 0,
                    };
                    let rs = self.register();
                    words.push(i(kind, rs, rt, 1 + self.below(left - 2)));
                    words.push(self.arithmetic());
                }
                _ => words.push(self.arithmetic()),
            }
        }
    }

    /// A jump to one of four branches by a counter, as a table of jumps makes it; they lead to the same place.
    fn computed(&mut self, words: &mut Vec<u32>) {
        const AT: u32 = 27;
        const TABLE: u32 = 25;
        let table = CODE + 4 * (words.len() as u32 + 7);
        words.extend([
            i(0x0c, INNER, AT, 3),
            r(0x00, 0, AT, AT, 3),
            i(0x0f, 0, TABLE, table >> 16),
            i(0x0d, TABLE, TABLE, table),
            r(0x21, AT, TABLE, AT, 0),
            r(0x08, AT, 0, 0, 0),
            self.arithmetic(),
        ]);
        for n in 0..4 {
            words.extend([i(0x04, 0, 0, 7 - 2 * n), self.arithmetic()]);
        }
    }

    /// A loop of one block that walks over data in steps which may leave words half way.
    fn walk(&mut self, words: &mut Vec<u32>) {
        const AT: u32 = 28;
        const STEP: u32 = 29;
        const COUNT: u32 = 30;
        words.extend([
            i(0x09, DATA, AT, 0),
            i(0x09, 0, STEP, 1 << self.below(4)),
            i(0x09, 0, COUNT, 1 + self.below(60)),
        ]);
        let start = words.len() as u32;
        for _ in 0..=self.below(2) {
            let kind = [0x23, 0x25, 0x2b][self.below(3) as usize];
            words.push(i(kind, AT, self.register(), 4 * self.below(4)));
        }
        words.push(self.arithmetic());
        words.push(match self.below(3) {
            0 => r(0x21, AT, STEP, AT, 0),
            n => i(0x09, AT, AT, 2 * n),
        });
        words.push(i(0x09, COUNT, COUNT, 0xffff));
        let back = start.wrapping_sub(words.len() as u32 + 1);
        words.extend([i(0x05, COUNT, 0, back), self.arithmetic()]);
    }

    fn program(&mut self) -> Vec<u32> {
        let back = |words: &[u32], to: usize| (to as u32).wrapping_sub(words.len() as u32 + 1);
        let mut words = vec![i(0x09, 0, OUTER, 1 + self.below(8))];
        let outer = words.len();
        let len = self.below(12);
        self.body(&mut words, len);
        if self.below(2) == 0 {
            self.walk(&mut words);
        }
        words.push(i(0x09, 0, INNER, 1 + self.below(30)));
        let inner = words.len();
        if self.below(2) == 0 {
            self.computed(&mut words);
        }
        let len = 4 + self.below(30);
        self.body(&mut words, len);
        words.push(i(0x09, INNER, INNER, 0xffff));
        words.push(i(0x05, INNER, 0, back(&words, inner)));
        words.push(self.arithmetic());
        let len = self.below(12);
        self.body(&mut words, len);
        words.push(i(0x09, OUTER, OUTER, 0xffff));
        words.push(i(0x05, OUTER, 0, back(&words, outer)));
        words.push(NOP);
        // B to the start, or BAL.
        words.push(match self.below(2) {
            0 => i(0x04, 0, 0, back(&words, 0)),
            _ => i(0x01, 0, 0x11, back(&words, 0)),
        });
        words.push(self.arithmetic());
        words
    }
}

fn rig(big: bool, engine: Engine, program: &[u32]) -> Rig {
    let mut rig = Rig::new(|p| p.big_endian = big);
    assert!(rig.bench.dev.set_engine(engine));
    rig.map(0x40_0000, 0x8000, 6);
    // Whatever goes wrong, the instruction is passed over: those that fail are in no slot.
    let handler = [mfc0(14, 0) & !(31 << 16) | K0 << 16, i(9, K0, K0, 4)];
    let handler = [
        handler[0],
        handler[1],
        mtc0(14, 0) & !(31 << 16) | K0 << 16,
        ERET,
    ];
    rig.put(0x8000_0000, &handler);
    rig.put(0x8000_0180, &handler);
    rig.put(CODE, program);
    rig.set(DATA as usize, 0x8000_4100);
    rig.set(MAPPED as usize, 0x40_0800);
    rig.go(CODE);
    rig
}

#[test]
fn loops_in_pieces_are_executed_alike() {
    if !solderless_engine::GENERATES {
        return;
    }
    let mut generated = 0;
    for seed in 1..=150 {
        let mut random = Random(0x9e37_79b9_u32.wrapping_mul(seed));
        let program = random.program();
        let big = seed % 2 == 0;
        let mut one = rig(big, Engine::Interp, &program);
        let mut other = rig(big, Engine::Jit { after: 1 }, &program);
        for register in (1..20).chain([24, 25]) {
            let value = random.below(u32::MAX);
            one.set(register, value);
            other.set(register, value);
        }
        for piece in 0..400 {
            let limit = 1 + u64::from(random.below(300));
            one.run(limit);
            other.run(limit);
            let state = |rig: &Rig| {
                let registers: Vec<_> = (0..).map_while(|n| rig.bench.dev.register(n)).collect();
                (registers, rig.bench.dev.instructions())
            };
            assert_eq!(state(&one), state(&other), "seed {seed}, piece {piece}");
        }
        for at in (0x4000..0x9000).step_by(4) {
            assert_eq!(one.word(at), other.word(at), "seed {seed}, {at:#x}");
        }
        generated += other.bench.dev.engine_info().loops;
    }
    assert!(generated > 150, "{generated} loops");
}
