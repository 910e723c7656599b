//! The CPUs that can be described: a model, and the features that a board adds or leaves out.
//!
//! Intel SDM, volume 2, CPUID; names are QEMU's.

use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{Hertz, PropError, Ranges};

/// A model: an identification and a set of features, of which it has those that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CpuModel {
    /// Intel 486 DX4.
    #[serde(rename = "486")]
    I486,
    /// Intel Pentium.
    Pentium,
    /// Intel Pentium III.
    Pentium3,
    /// QEMU's 32-bit CPU, of no manufacturer's.
    Qemu32,
    /// QEMU's 64-bit CPU, of no manufacturer's.
    #[default]
    Qemu64,
}

macro_rules! features {
    ($($(#[$doc:meta])* $field:ident = $bit:expr;)*) => {
        /// Properties of an x86 CPU. Names are QEMU's; a feature that is not set is as the model has it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Ranges)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct Props {
            /// The model.
            pub model: CpuModel,
            /// The number of the CPU's local APIC.
            pub apic_id: u8,
            /// Clock of the core, 1 MHz to 10 GHz: an instruction takes one cycle, or less where guest time follows the wall
            /// clock. The time stamp counter counts it.
            pub clock: Hertz,
            $($(#[$doc])* pub $field: Option<bool>,)*
        }

        impl Default for Props {
            fn default() -> Self {
                Self {
                    model: CpuModel::default(),
                    apic_id: 0,
                    clock: Hertz(1_000_000_000),
                    $($field: None,)*
                }
            }
        }

        impl Props {
            /// The features that are set or cleared: their bits, and what a board says of them.
            fn asked(&self) -> impl Iterator<Item = (&'static str, u64, bool)> {
                [$((stringify!($field), $bit, self.$field),)*]
                    .into_iter()
                    .filter_map(|(name, bit, asked)| Some((name, bit, asked?)))
            }
        }
    };
}

features! {
    /// Time stamp counter.
    tsc = feature::TSC;
    /// Model-specific registers.
    msr = feature::MSR;
    /// Pages of 4 MiB.
    pse = feature::PSE;
    /// Physical addresses beyond 32 bits.
    pae = feature::PAE;
    /// CMPXCHG8B.
    cx8 = feature::CX8;
    /// SYSENTER and SYSEXIT.
    sep = feature::SEP;
    /// Global pages.
    pge = feature::PGE;
    /// Conditional moves.
    cmov = feature::CMOV;
    /// The local APIC.
    apic = feature::APIC;
    /// Memory type range registers.
    mtrr = feature::MTRR;
    /// The page attribute table.
    pat = feature::PAT;
    /// Pages of 4 MiB at physical addresses beyond 32 bits.
    pse36 = feature::PSE36;
    /// MMX.
    mmx = feature::MMX;
    /// FXSAVE and FXRSTOR.
    fxsr = feature::FXSR;
    /// SSE.
    sse = feature::SSE;
    /// SSE2.
    sse2 = feature::SSE2;
    /// SSE3.
    sse3 = feature::SSE3;
    /// SSSE3.
    ssse3 = feature::SSSE3;
    /// SSE4.1.
    sse4_1 = feature::SSE4_1;
    /// SSE4.2.
    sse4_2 = feature::SSE4_2;
    /// AES.
    aes = feature::AES;
    /// Products without carries.
    pclmulqdq = feature::PCLMULQDQ;
    /// CLFLUSH.
    clflush = feature::CLFLUSH;
    /// CMPXCHG16B.
    cx16 = feature::CX16;
    /// Counting bits.
    popcnt = feature::POPCNT;
    /// SYSCALL and SYSRET.
    syscall = feature::SYSCALL;
    /// Pages that are not executed.
    nx = feature::NX;
    /// Long mode.
    lm = feature::LM;
    /// LAHF and SAHF in long mode.
    lahf_lm = feature::LAHF_LM;
    /// Supervisor mode does not execute pages of user mode.
    smep = feature::SMEP;
    /// Supervisor mode does not access pages of user mode unless EFLAGS.AC is set.
    smap = feature::SMAP;
}

/// Features that instructions and registers depend on, a bit each.
pub mod feature {
    pub const TSC: u64 = 1 << 1;
    pub const MSR: u64 = 1 << 2;
    pub const PSE: u64 = 1 << 3;
    pub const PAE: u64 = 1 << 4;
    pub const CX8: u64 = 1 << 5;
    pub const SEP: u64 = 1 << 6;
    pub const PGE: u64 = 1 << 7;
    pub const CMOV: u64 = 1 << 8;
    pub const CX16: u64 = 1 << 9;
    pub const POPCNT: u64 = 1 << 10;
    pub const SYSCALL: u64 = 1 << 11;
    pub const NX: u64 = 1 << 12;
    pub const LM: u64 = 1 << 13;
    pub const LAHF_LM: u64 = 1 << 14;
    pub const SMEP: u64 = 1 << 15;
    pub const SMAP: u64 = 1 << 16;
    /// CPUID itself.
    pub const CPUID: u64 = 1 << 17;
    pub const MMX: u64 = 1 << 18;
    pub const FXSR: u64 = 1 << 19;
    pub const SSE: u64 = 1 << 20;
    pub const SSE2: u64 = 1 << 21;
    pub const SSE3: u64 = 1 << 22;
    pub const SSSE3: u64 = 1 << 23;
    pub const SSE4_1: u64 = 1 << 24;
    pub const SSE4_2: u64 = 1 << 25;
    pub const AES: u64 = 1 << 26;
    pub const PCLMULQDQ: u64 = 1 << 27;
    pub const CLFLUSH: u64 = 1 << 28;
    pub const APIC: u64 = 1 << 29;
    pub const MTRR: u64 = 1 << 30;
    pub const PAT: u64 = 1 << 31;
    pub const PSE36: u64 = 1 << 32;
}

use feature::*;

/// What a model is in CPUID's terms.
struct Described {
    vendor: &'static [u8; 12],
    /// Leaf 1, EAX.
    signature: u32,
    brand: &'static str,
    features: u64,
}

const PENTIUM: u64 = CPUID | TSC | MSR | PSE | CX8 | APIC;
const PENTIUM3: u64 = PENTIUM | PAE | SEP | PGE | CMOV | MMX | FXSR | SSE | MTRR | PAT | PSE36;
const QEMU32: u64 = PENTIUM3 | SSE2 | SSE3;
const QEMU64: u64 = QEMU32 | CLFLUSH | CX16 | SYSCALL | NX | LM | LAHF_LM;

impl CpuModel {
    fn described(self) -> Described {
        let intel = b"GenuineIntel";
        let amd = b"AuthenticAMD";
        let (vendor, signature, brand, features) = match self {
            Self::I486 => (intel, 0x480, "", CPUID),
            Self::Pentium => (intel, 0x543, "", PENTIUM),
            Self::Pentium3 => (intel, 0x683, "", PENTIUM3),
            Self::Qemu32 => (intel, 0x663, "QEMU Virtual CPU version 2.5+", QEMU32),
            Self::Qemu64 => (amd, 0x6_0fb1, "QEMU Virtual CPU version 2.5+", QEMU64),
        };
        Described {
            vendor,
            signature,
            brand,
            features,
        }
    }
}

/// A CPU as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    props: Props,
    /// What it has, of [`feature`].
    pub features: u64,
}

impl Deref for Identity {
    type Target = Props;
    fn deref(&self) -> &Props {
        &self.props
    }
}

impl Identity {
    /// The CPU that the properties describe.
    ///
    /// # Errors
    /// Features that ask for others, or a number out of its range.
    pub fn new(props: &Props) -> Result<Self, PropError> {
        if !(1_000_000..=10_000_000_000).contains(&props.clock.0) {
            return Err(PropError::new("clock", "expected 1MHz to 10GHz"));
        }
        let mut features = props.model.described().features;
        for (_, bit, on) in props.asked() {
            features = features & !bit | if on { bit } else { 0 };
        }
        let needs = [
            ("lm", LM, PAE, "`pae`"),
            ("lm", LM, MSR, "`msr`"),
            ("nx", NX, PAE, "`pae`"),
            ("nx", NX, MSR, "`msr`"),
            ("mtrr", MTRR, MSR, "`msr`"),
            ("pat", PAT, MSR, "`msr`"),
            ("apic", APIC, MSR, "`msr`"),
            ("pse36", PSE36, PSE, "`pse`"),
            ("sep", SEP, MSR, "`msr`"),
            ("syscall", SYSCALL, MSR, "`msr`"),
            ("cx16", CX16, LM, "`lm`"),
            ("sse", SSE, FXSR, "`fxsr`"),
            ("sse", SSE, MMX, "`mmx`"),
            ("sse2", SSE2, SSE, "`sse`"),
            ("sse3", SSE3, SSE2, "`sse2`"),
            ("ssse3", SSSE3, SSE3, "`sse3`"),
            ("sse4-1", SSE4_1, SSSE3, "`ssse3`"),
            ("sse4-2", SSE4_2, SSE4_1, "`sse4-1`"),
            ("aes", AES, SSE2, "`sse2`"),
            ("pclmulqdq", PCLMULQDQ, SSE2, "`sse2`"),
            ("lm", LM, SSE2, "`sse2`"),
        ];
        for (name, bit, needed, what) in needs {
            if features & bit != 0 && features & needed == 0 {
                return Err(PropError::new(
                    name,
                    format!("it asks for {what}: set that as well, or `{name} = false`"),
                ));
            }
        }
        Ok(Self {
            props: *props,
            features,
        })
    }

    /// Whether it has all of some features.
    #[inline]
    pub fn has(&self, features: u64) -> bool {
        self.features & features == features
    }

    /// The bits of a physical address.
    pub fn physical_bits(&self) -> u8 {
        match (self.has(LM), self.has(PAE)) {
            (true, _) => 40,
            (_, true) => 36,
            _ => 32,
        }
    }

    /// EDX after a reset, and EAX of CPUID's leaf 1.
    pub fn signature(&self) -> u32 {
        self.model.described().signature
    }

    /// What CPUID says: EAX, EBX, ECX, EDX of a leaf.
    pub fn cpuid(&self, leaf: u32) -> [u32; 4] {
        let described = self.model.described();
        let bits = |table: &[(u64, u32)]| {
            let has = table.iter().filter(|(feature, _)| self.has(*feature));
            has.fold(0, |all, (_, bit)| all | 1 << bit)
        };
        let extended = if self.has(LM) {
            0x8000_0008
        } else if described.brand.is_empty() {
            0
        } else {
            0x8000_0004
        };
        let last = if self.has(SMEP) || self.has(SMAP) {
            7
        } else {
            1
        };
        let word = |text: &[u8], at: usize| {
            let mut word = [0; 4];
            let bytes = text.get(at..).unwrap_or_default();
            word.iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
            u32::from_le_bytes(word)
        };
        let edx = [
            (PSE, 3),
            (TSC, 4),
            (MSR, 5),
            (PAE, 6),
            (CX8, 8),
            (PGE, 13),
            (CMOV, 15),
            (APIC, 9),
            (MTRR, 12),
            (PAT, 16),
            (PSE36, 17),
            (MMX, 23),
            (FXSR, 24),
        ];
        // The x87 unit is in all of them.
        let fpu = 1;
        match leaf {
            0 => [
                last,
                word(described.vendor, 0),
                word(described.vendor, 8),
                word(described.vendor, 4),
            ],
            1 => [
                described.signature,
                u32::from(self.apic_id) << 24 | bits(&[(CLFLUSH, 11)]),
                bits(&[
                    (SSE3, 0),
                    (PCLMULQDQ, 1),
                    (SSSE3, 9),
                    (CX16, 13),
                    (SSE4_1, 19),
                    (SSE4_2, 20),
                    (POPCNT, 23),
                    (AES, 25),
                ]),
                fpu | bits(&edx) | bits(&[(SEP, 11), (CLFLUSH, 19), (SSE, 25), (SSE2, 26)]),
            ],
            7 if last >= 7 => [0, bits(&[(SMEP, 7), (SMAP, 20)]), 0, 0],
            0x8000_0000 => [extended, 0, 0, 0],
            0x8000_0001 if leaf <= extended => {
                let amd = described.vendor.starts_with(b"Auth");
                let shared = if amd { fpu | bits(&edx) } else { 0 };
                let own = bits(&[(SYSCALL, 11), (NX, 20), (LM, 29)]);
                [0, 0, bits(&[(LAHF_LM, 0)]), shared | own]
            }
            0x8000_0002..=0x8000_0004 if leaf <= extended => {
                let at = (leaf - 0x8000_0002) as usize * 16;
                [0, 4, 8, 12].map(|part| word(described.brand.as_bytes(), at + part))
            }
            0x8000_0008 if leaf <= extended => [u32::from(self.physical_bits()) | 48 << 8, 0, 0, 0],
            // What is beyond the last leaf is what that says.
            _ if leaf < 0x8000_0000 && leaf > last && last > 1 => self.cpuid(last),
            _ => [0; 4],
        }
    }
}
