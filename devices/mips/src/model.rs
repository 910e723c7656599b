//! The cores: each a table of what its registers identify it as, and of what a board may override.
//!
//! Sources: the software user's manuals of the 4KE, 24K (MD00343), 34K, 74K, 5K, 5KE and 20Kc families, chapter "CP0 Registers".
//! The tiny caches of the cores with 32 bits are those that QEMU's models have: with them, software sees no cache aliases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{Hertz, PropError, Ranges, Size};

/// A core that can be chosen by name. What a core has and is not here, its Config registers do not advertise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum CpuModel {
    /// MIPS32 Release 2, no FPU. Left out: MIPS16e.
    #[serde(rename = "4KEc")]
    M4KEc,
    /// As 24Kf without FPU. Left out: MIPS16e.
    #[serde(rename = "24Kc")]
    M24Kc,
    /// MIPS32 Release 2 with FPU. Left out: MIPS16e.
    #[default]
    #[serde(rename = "24Kf")]
    M24Kf,
    /// One thread of a 34Kf: FPU, 64 TLB entries. Left out: MIPS16e, DSP, MT with its further threads and shadow sets.
    #[serde(rename = "34Kf")]
    M34Kf,
    /// As 24Kf, one instruction at a time. Left out: MIPS16e, DSP Release 2.
    #[serde(rename = "74Kf")]
    M74Kf,
}

/// Instructions that not every core has, and none here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// Code of 16-bit instructions, at odd addresses (MD00076).
    Mips16e,
    /// The DSP extension, both releases (MD00374).
    Dsp,
    /// The multithreading extension (MD00378).
    Mt,
}

impl Extension {
    /// The extension that an instruction is of.
    pub fn of(word: u32) -> Option<Self> {
        const JALX: u32 = 0x1d;
        const BPOSGE32: u32 = 0x1c;
        let field = |low: u32| word >> low & 31;
        match (word >> 26, word & 0x3f) {
            (JALX, _) => Some(Self::Mips16e),
            (0x1f, 0x0a | 0x0c | 0x10..=0x13 | 0x18 | 0x30 | 0x31 | 0x38) => Some(Self::Dsp),
            (0x01, _) if field(16) == BPOSGE32 => Some(Self::Dsp),
            // FORK and YIELD; MFTR, MTTR, and those that stop and start threads.
            (0x1f, 0x08 | 0x09) => Some(Self::Mt),
            (0x10, _) if matches!(field(21), 0x08 | 0x0b | 0x0c) => Some(Self::Mt),
            _ => None,
        }
    }
}

impl std::fmt::Display for Extension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mips16e => "MIPS16e",
            Self::Dsp => "the DSP extension",
            Self::Mt => "the MT extension",
        })
    }
}

/// A core of 64 bits that can be chosen by name. What a core has and is not here, its Config registers do not advertise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum CpuModel64 {
    /// MIPS64 Release 1, no FPU.
    #[serde(rename = "5Kc")]
    M5Kc,
    /// As 5Kc with FPU.
    #[serde(rename = "5Kf")]
    M5Kf,
    /// MIPS64 Release 2, no FPU. Left out: MIPS16e.
    #[serde(rename = "5KEc")]
    M5KEc,
    /// As 5KEc with FPU. Left out: MIPS16e.
    #[serde(rename = "5KEf")]
    M5KEf,
    /// MIPS64 Release 1 with FPU, one instruction at a time. Left out: paired single, MIPS-3D.
    #[serde(rename = "20Kc")]
    M20Kc,
    /// MIPS64 Release 2 with FPU, of no maker: QEMU's. Left out: paired single, MIPS-3D.
    #[default]
    #[serde(rename = "MIPS64R2-generic")]
    Mips64R2Generic,
}

/// The size of a cache, its lines, and its ways.
type Cache = (u64, u32, u32);

/// What a core is unless a board says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    prid: u32,
    fir: u32,
    fpu: bool,
    tlb_entries: u8,
    left_out: &'static [Extension],
    release: u8,
    /// Config.VI.
    virtual_icache: bool,
    icache: Cache,
    dcache: Cache,
    segbits: u8,
    pabits: u8,
}

/// The cores of one width.
pub trait Models: Copy + Default {
    /// Registers have 64 bits.
    const WIDE: bool;
    /// See there.
    fn defaults(self) -> Defaults;
}

impl Models for CpuModel {
    const WIDE: bool = false;

    fn defaults(self) -> Defaults {
        let base = Defaults {
            prid: 0x0001_9300,
            fir: 0x0073_9300,
            fpu: true,
            tlb_entries: 16,
            left_out: &[Extension::Mips16e],
            release: 2,
            virtual_icache: false,
            icache: (2 << 10, 16, 2),
            dcache: (2 << 10, 16, 2),
            segbits: 32,
            pabits: 32,
        };
        match self {
            Self::M4KEc => Defaults {
                prid: 0x0001_9000,
                fpu: false,
                ..base
            },
            Self::M24Kc => Defaults { fpu: false, ..base },
            Self::M24Kf => base,
            Self::M34Kf => Defaults {
                prid: 0x0001_9500,
                fir: 0x0073_9500,
                tlb_entries: 64,
                left_out: &[Extension::Mips16e, Extension::Dsp, Extension::Mt],
                ..base
            },
            Self::M74Kf => Defaults {
                prid: 0x0001_9700,
                left_out: &[Extension::Mips16e, Extension::Dsp],
                ..base
            },
        }
    }
}

impl Models for CpuModel64 {
    const WIDE: bool = true;

    fn defaults(self) -> Defaults {
        let base = Defaults {
            prid: 0x0001_8900,
            fir: 0x0073_8900,
            fpu: true,
            tlb_entries: 32,
            left_out: &[Extension::Mips16e],
            release: 2,
            virtual_icache: false,
            icache: (8 << 10, 32, 2),
            dcache: (8 << 10, 32, 2),
            segbits: 42,
            pabits: 36,
        };
        let first = Defaults {
            prid: 0x0001_8100,
            fir: 0x0003_8100,
            left_out: &[],
            release: 1,
            ..base
        };
        const LARGE: Cache = (32 << 10, 32, 4);
        match self {
            Self::M5Kc => Defaults {
                fpu: false,
                ..first
            },
            Self::M5Kf => first,
            Self::M5KEc => Defaults { fpu: false, ..base },
            Self::M5KEf => base,
            Self::M20Kc => Defaults {
                prid: 0x0001_82a0,
                fir: 0x0003_8200,
                tlb_entries: 48,
                virtual_icache: true,
                icache: LARGE,
                dcache: LARGE,
                segbits: 40,
                ..first
            },
            Self::Mips64R2Generic => Defaults {
                prid: 0x0001_0000,
                fir: 0x0073_0000,
                tlb_entries: 64,
                left_out: &[],
                icache: LARGE,
                dcache: LARGE,
                ..base
            },
        }
    }
}

/// Properties of a MIPS CPU, of the cores of one width.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    bound(deserialize = "M: Deserialize<'de> + Models")
)]
#[schemars(rename = "Props", bound = "M: JsonSchema + Serialize + Models")]
pub struct Props<M = CpuModel> {
    /// The core: what PRId says, and the default of the properties that follow. All have vectored interrupts. None has EJTAG,
    /// watchpoints, performance counters, an external interrupt controller mode or 1 KiB pages here. An instruction that is
    /// left out gets a Reserved Instruction exception, and the first one a line on standard error.
    pub model: M,
    /// Entries of the joint TLB.
    #[schemars(range(min = 16, max = 64))]
    pub tlb_entries: Option<u8>,
    /// Entries that TLBWR has replaced go on translating for as long as software has no way to tell, so that programs miss less
    /// often than with the core's own TLB alone. QEMU's cores do the like.
    #[prop(since = 2, before = false)]
    pub victim_tlb: bool,
    /// Config3.ULRI: the UserLocal register, and RDHWR 29 for programs. Later revisions of the 24K, 34K and 74K have it; here
    /// it is there if this says so, as QEMU's cores are without. Where it is not, the kernel emulates RDHWR 29.
    pub user_local: Option<bool>,
    /// Floating point unit with 64-bit registers.
    pub fpu: Option<bool>,
    /// Size of the instruction cache as Config1 reports it; caches have no other effect.
    pub icache_size: Option<Size>,
    /// Line size of the instruction cache in bytes.
    #[schemars(range(min = 4, max = 128))]
    pub icache_line: Option<u32>,
    /// Ways of the instruction cache.
    #[schemars(range(min = 1, max = 8))]
    pub icache_ways: Option<u32>,
    /// Size of the data cache.
    pub dcache_size: Option<Size>,
    /// Line size of the data cache in bytes.
    #[schemars(range(min = 4, max = 128))]
    pub dcache_line: Option<u32>,
    /// Ways of the data cache.
    #[schemars(range(min = 1, max = 8))]
    pub dcache_ways: Option<u32>,
    /// Byte order: the level of the SI_Endian pin.
    pub big_endian: bool,
    /// EBase.CPUNum: the number by which software tells the CPUs of a board apart, which RDHWR 0 reads too.
    #[schemars(range(max = 1023))]
    #[prop(since = 2, before = 0)]
    pub cpu_num: u16,
    /// Clock of the core, 1 MHz to 10 GHz. Count advances every other cycle. An instruction takes one cycle, or less where guest
    /// time follows the wall clock.
    pub clock: Hertz,
}

impl<M: Models> Default for Props<M> {
    fn default() -> Self {
        Self {
            model: M::default(),
            tlb_entries: None,
            victim_tlb: false,
            user_local: None,
            fpu: None,
            icache_size: None,
            icache_line: None,
            icache_ways: None,
            dcache_size: None,
            dcache_line: None,
            dcache_ways: None,
            big_endian: false,
            cpu_num: 0,
            clock: Hertz(320_000_000),
        }
    }
}

/// A core as configured: the registers that do not change, and what they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Processor identification.
    pub prid: u32,
    /// Config, Config1, Config2 and Config3; of Config, K0 is the reset value.
    pub config: [u32; 4],
    /// FP implementation register.
    pub fir: u32,
    /// There is an FPU.
    pub fpu: bool,
    /// TLB entries, 16 to 64.
    pub tlb_entries: u8,
    /// UserLocal and RDHWR 29 are there.
    pub user_local: bool,
    /// What SYNCI advances by, in bytes.
    pub synci_step: u32,
    /// Words are stored with the highest byte first.
    pub big_endian: bool,
    /// EBase.CPUNum.
    pub cpu_num: u32,
    /// Clock in Hz.
    pub clock: u64,
    /// The release of the architecture.
    pub release: u8,
    /// The bits of an address within a region, of 64-bit ones.
    pub segbits: u8,
    /// The bits of a physical address.
    pub pabits: u8,
    /// What the core has and is not here.
    pub left_out: &'static [Extension],
}

/// A cache's fields of Config1 (sets, line, associativity), nine bits.
fn cache(
    names: [&'static str; 2],
    size: Option<Size>,
    line: Option<u32>,
    ways: Option<u32>,
    defaults: Cache,
) -> Result<(u32, u32), PropError> {
    let size = size.map_or(defaults.0, |s| s.0);
    let line = line.unwrap_or(defaults.1);
    let ways = ways.unwrap_or(defaults.2);
    if !line.is_power_of_two() {
        return Err(PropError::new(
            names[1],
            "the bytes of a line are a power of two",
        ));
    }
    let way = u64::from(line * ways);
    let sets = size / way;
    if !size.is_multiple_of(way) || !sets.is_power_of_two() || !(32..=4096).contains(&sets) {
        return Err(PropError::new(
            names[0],
            format!(
                "with {ways} ways of {line}-byte lines the size is {way} bytes times a power of two from 32 to 4096"
            ),
        ));
    }
    // 64 sets are 0, 4096 are 6, and 32 are 7.
    let is = (sets.trailing_zeros() + 2) % 8;
    let il = line.trailing_zeros() - 1;
    Ok((is << 6 | il << 3 | (ways - 1), line))
}

impl Identity {
    /// The core that the properties describe.
    ///
    /// # Errors
    /// A value that Config1 has no encoding for, or a number out of its range.
    pub fn new<M: Models>(props: &Props<M>) -> Result<Self, PropError> {
        if !props.in_range() {
            return Err(PropError::new("", "a number is out of its range"));
        }
        let defaults = props.model.defaults();
        let tlb_entries = props.tlb_entries.unwrap_or(defaults.tlb_entries);
        let fpu = props.fpu.unwrap_or(defaults.fpu);
        let user_local = props.user_local.unwrap_or(false);
        if user_local && defaults.release == 1 {
            let reason = "UserLocal is of Release 2, and this core is of Release 1";
            return Err(PropError::new("user-local", reason));
        }
        if !(1_000_000..=10_000_000_000).contains(&props.clock.0) {
            return Err(PropError::new("clock", "expected 1MHz to 10GHz"));
        }
        let (icache, iline) = cache(
            ["icache-size", "icache-line"],
            props.icache_size,
            props.icache_line,
            props.icache_ways,
            defaults.icache,
        )?;
        let (dcache, dline) = cache(
            ["dcache-size", "dcache-line"],
            props.dcache_size,
            props.dcache_line,
            props.dcache_ways,
            defaults.dcache,
        )?;
        const MORE: u32 = 1 << 31;
        const VINT: u32 = 1 << 5;
        let second = defaults.release == 2;
        // Config.AT and AR, and VI.
        let kind = u32::from(M::WIDE) << 14
            | u32::from(second) << 10
            | u32::from(defaults.virtual_icache) << 3;
        Ok(Self {
            prid: defaults.prid,
            config: [
                // TLB, kseg0 uncached.
                MORE | u32::from(props.big_endian) << 15 | kind | 1 << 7 | 2,
                MORE | u32::from(tlb_entries - 1) << 25
                    | icache << 16
                    | dcache << 7
                    | u32::from(fpu),
                MORE,
                match second {
                    true => u32::from(user_local) << 13 | VINT,
                    false => 0,
                },
            ],
            fir: if fpu { defaults.fir } else { 0 },
            fpu,
            tlb_entries,
            user_local,
            synci_step: iline.min(dline),
            big_endian: props.big_endian,
            cpu_num: props.cpu_num.into(),
            clock: props.clock.0,
            release: defaults.release,
            segbits: defaults.segbits,
            pabits: defaults.pabits,
            left_out: defaults.left_out,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(change: impl FnOnce(&mut Props)) -> Result<Identity, PropError> {
        let mut props = Props::<CpuModel>::default();
        change(&mut props);
        Identity::new(&props)
    }

    #[test]
    fn config_registers_say_what_the_core_has() {
        let config = |model, change: fn(&mut Props)| {
            identity(|p| {
                p.model = model;
                change(p);
            })
            .unwrap()
            .config
        };
        // As the cores have it, less MIPS16e, watchpoints, EJTAG, performance counters, DSP and MT.
        for (model, config1) in [
            (CpuModel::M4KEc, 0x9e19_0c80),
            (CpuModel::M24Kc, 0x9e19_0c80),
            (CpuModel::M24Kf, 0x9e19_0c81),
            (CpuModel::M34Kf, 0xfe19_0c81),
            (CpuModel::M74Kf, 0x9e19_0c81),
        ] {
            assert_eq!(
                config(model, |_| ()),
                [0x8000_0482, config1, 0x8000_0000, 0x20],
                "{model:?}"
            );
        }
        let all = config(CpuModel::M24Kf, |p| {
            p.big_endian = true;
            p.user_local = Some(true);
            p.fpu = Some(false);
            p.tlb_entries = Some(32);
            p.icache_size = Some(Size(32 << 10));
            p.icache_line = Some(32);
            p.icache_ways = Some(4);
        });
        assert_eq!(all, [0x8000_8482, 0xbea3_0c80, 0x8000_0000, 0x2020]);
    }

    #[test]
    fn impossible_geometry_is_refused() {
        let property = |change: fn(&mut Props)| identity(change).unwrap_err().property;
        assert_eq!(
            property(|p| p.icache_size = Some(Size(3 << 10))),
            "icache-size"
        );
        assert_eq!(property(|p| p.icache_size = Some(Size(0))), "icache-size");
        assert_eq!(property(|p| p.dcache_line = Some(24)), "dcache-line");
        // Which number it is, whoever decodes the properties says.
        for change in [
            (|p| p.dcache_ways = Some(9)) as fn(&mut Props),
            |p| p.icache_ways = Some(0),
            |p| p.icache_line = Some(2),
            |p| p.dcache_line = Some(256),
            |p| p.tlb_entries = Some(65),
            |p| p.tlb_entries = Some(15),
        ] {
            assert_eq!(property(change), "");
        }
        assert_eq!(property(|p| p.clock = Hertz(1)), "clock");
    }
}
