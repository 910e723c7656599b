//! What the random programs run in: the guest code of `tests/guests/cpu_frame.S`, and the layout of its memory.

use object::{Object, ObjectSegment, ObjectSymbol};

use crate::program::Program;
use crate::{Endian, guests};

/// Where programs are in physical memory; they run here through kseg0, or mapped.
pub const PROGRAM: u32 = 0x0002_0000;
/// What programs may read and write, in physical memory.
pub const DATA: u32 = 0x0010_0000;
pub const DATA_SIZE: u32 = 0x4000;
pub const INPUT: u32 = 0x8001_0000;
pub const RESULT: u32 = 0x8001_2000;
pub const RESULT_SIZE: usize = 2048 + 32 * 48;
/// Status for the start of the frame: kernel mode, boot vectors.
pub const STATUS: u32 = 0x0040_0000;

/// The state in which a program starts.
#[derive(Debug, Clone)]
pub struct Input {
    pub status: u32,
    /// Where it starts, and where the system call is that ends it.
    pub start: u32,
    pub end: u32,
    /// How often it runs.
    pub passes: u32,
    /// What DATA is filled from.
    pub seed: u32,
    pub fcsr: u32,
    pub hi: u32,
    pub lo: u32,
    pub fpu: bool,
    /// EntryHi, PageMask, Wired, Context, HWREna, Cause, EntryLo0, EntryLo1.
    pub cp0: [u32; 8],
    pub gpr: [u32; 32],
    pub fpr: [u64; 32],
    /// EntryHi, EntryLo0, EntryLo1, PageMask of every TLB entry.
    pub tlb: Vec<[u32; 4]>,
}

impl Input {
    /// The words for INPUT, and where each run of them goes.
    pub fn words(&self, endian: Endian) -> Vec<u32> {
        let mut words = vec![
            self.status,
            self.start,
            self.end,
            self.passes,
            self.seed,
            self.fcsr,
            self.hi,
            self.lo,
            self.fpu.into(),
            self.tlb.len() as u32,
        ];
        words.extend(self.cp0);
        words.resize(32, 0);
        words.extend(self.gpr);
        for double in self.fpr {
            let (high, low) = ((double >> 32) as u32, double as u32);
            words.extend(if endian == Endian::Big {
                [high, low]
            } else {
                [low, high]
            });
        }
        words.extend(self.tlb.iter().flatten());
        words
    }
}

/// The guest code for one byte order.
#[derive(Debug)]
pub struct Frame {
    endian: Endian,
    /// Physical address and content.
    pub segments: Vec<(u32, Vec<u8>)>,
    /// What stands at the reset vector: the exception vectors of Status.BEV.
    pub firmware: Vec<u8>,
    /// Where it starts.
    pub entry: u32,
    /// Where the program has ended, and what it left is to be stored.
    pub finish: u32,
    /// Where all is stored.
    pub done: u32,
}

impl Frame {
    /// Builds it, or `None` where the test is to be skipped for want of a compiler.
    pub fn new(endian: Endian) -> Option<Self> {
        let path = guests::bare_metal("cpu_frame.S", endian, 0x8000_0000)?;
        let bytes = std::fs::read(path).expect("it was built");
        let file = object::File::parse(&*bytes).expect("it is an ELF file");
        let kseg0 = 0x8000_0000..0xa000_0000;
        let segments = file
            .segments()
            .filter(|s| kseg0.contains(&(s.address() as u32)));
        let segments = segments.map(|s| {
            (
                s.address() as u32 & 0x1fff_ffff,
                s.data().expect("it is whole").to_vec(),
            )
        });
        let symbol = |name| {
            let symbol = file.symbols().find(|s| s.name() == Ok(name));
            symbol.expect("the frame has it").address() as u32
        };
        let mut firmware = vec![0u32; 0x500 / 4];
        let general = symbol("general");
        for (vector, offset) in [(3, 0x200), (4, 0x380), (5, 0x400)] {
            // lui k0; ori k0; jr k0; li k1, vector
            let code = [
                0x3c1a_0000 | general >> 16,
                0x375a_0000 | general & 0xffff,
                0x0340_0008,
                0x241b_0000 | vector,
            ];
            firmware[offset / 4..][..4].copy_from_slice(&code);
        }
        Some(Self {
            endian,
            segments: segments.collect(),
            firmware: firmware.into_iter().flat_map(|w| endian.bytes(w)).collect(),
            entry: symbol("entry"),
            finish: symbol("finish"),
            done: symbol("done"),
        })
    }

    /// A program and its input, where they go, and room for its result; addresses in kseg0.
    pub fn memory(&self, program: &Program) -> [(u32, Vec<u8>); 3] {
        let bytes = |words: &mut dyn Iterator<Item = u32>| -> Vec<u8> {
            words.flat_map(|w| self.endian.bytes(w)).collect()
        };
        let code = bytes(&mut program.code.iter().map(|(word, _)| *word).chain([0, 0]));
        let input = bytes(&mut program.input.words(self.endian).into_iter());
        [
            (0x8000_0000 | PROGRAM, code),
            (INPUT, input),
            (RESULT, vec![0; RESULT_SIZE]),
        ]
    }
}

/// A CP0 register's value without what the architecture leaves open after an exception with this code: Cause.CE, unless
/// a coprocessor was unusable; the address in Context, unless the TLB is the reason; that in EntryHi after address errors.
pub fn defined(name: &str, value: u32, code: u32) -> u32 {
    match name {
        "Cause" if code != 11 => value & !(3 << 28),
        "Context" if !matches!(code, 1..=3) => value & 0xff80_0000,
        "EntryHi" if matches!(code, 4 | 5) => value & 0xff,
        _ => value,
    }
}

/// What a program left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome(pub Vec<u32>);

impl Outcome {
    /// Words by name: registers first, then the log, one line for each exception.
    pub fn lines(&self, fpu: bool, fr: bool, entries: usize) -> Vec<(String, u32)> {
        let word = |at: usize| self.0.get(at / 4).copied().unwrap_or_default();
        let mut lines = Vec::new();
        let logged = word(224).min(32 * 48) as usize;
        for entry in 0..logged / 32 {
            let names = [
                "", "EPC", "Cause", "BadVAddr", "Status", "Context", "EntryHi", "vector",
            ];
            for (i, name) in names.iter().enumerate().skip(1) {
                let value = word(2048 + 32 * entry + 4 * i);
                let code = word(2048 + 32 * entry + 8) >> 2 & 0x1f;
                let value = defined(name, value, code);
                lines.push((format!("exception {entry}: {name}"), value));
            }
        }
        lines.push(("exceptions".into(), logged as u32 / 32));
        lines.push(("passes left".into(), word(228)));
        for r in (0..32).filter(|r| !matches!(r, 26 | 27)) {
            lines.push((format!("r{r}"), word(4 * r)));
        }
        let names = [
            "hi", "lo", "Status", "Cause", "EPC", "BadVAddr", "Context", "EntryHi", "EntryLo0",
            "EntryLo1", "PageMask", "Wired", "Index", "HWREna", "ErrorEPC",
        ];
        for (i, name) in names.iter().enumerate() {
            lines.push(((*name).into(), defined(name, word(128 + 4 * i), 0)));
        }
        if fpu {
            lines.push(("FCSR".into(), word(188)));
            for f in (0..32).filter(|f| fr || f % 2 == 0) {
                lines.push((format!("f{f} at its lower address"), word(256 + 8 * f)));
                lines.push((format!("f{f} at its higher address"), word(260 + 8 * f)));
            }
        }
        for entry in 0..entries {
            for (i, name) in ["EntryHi", "EntryLo0", "EntryLo1", "PageMask"]
                .iter()
                .enumerate()
            {
                lines.push((
                    format!("TLB {entry}: {name}"),
                    word(512 + 16 * entry + 4 * i),
                ));
            }
        }
        lines.push(("sum of DATA".into(), word(232)));
        lines
    }
}
