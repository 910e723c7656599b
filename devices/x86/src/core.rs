//! The registers of the CPU, and what the executing code needs at hand.

use solderless_engine::{CodeAt, Vcpu};
use solderless_model::{Cx, State};

use crate::apic::Apic;
use crate::fpu::Fpu;
use crate::inst::{mask, sign_extend};
use crate::model::{Identity, feature};
use crate::trap::Fault;

/// Bits of EFLAGS.
pub mod flag {
    pub const CF: u64 = 1;
    pub const ONE: u64 = 1 << 1;
    pub const PF: u64 = 1 << 2;
    pub const AF: u64 = 1 << 4;
    pub const ZF: u64 = 1 << 6;
    pub const SF: u64 = 1 << 7;
    pub const TF: u64 = 1 << 8;
    pub const IF: u64 = 1 << 9;
    pub const DF: u64 = 1 << 10;
    pub const OF: u64 = 1 << 11;
    pub const IOPL: u64 = 3 << 12;
    pub const NT: u64 = 1 << 14;
    pub const RF: u64 = 1 << 16;
    pub const VM: u64 = 1 << 17;
    pub const AC: u64 = 1 << 18;
    pub const ID: u64 = 1 << 21;
    /// Those that arithmetic sets.
    pub const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;
}

/// Bits of CR0.
pub mod cr0 {
    pub const PE: u64 = 1;
    pub const MP: u64 = 1 << 1;
    pub const EM: u64 = 1 << 2;
    pub const TS: u64 = 1 << 3;
    pub const ET: u64 = 1 << 4;
    pub const NE: u64 = 1 << 5;
    pub const WP: u64 = 1 << 16;
    pub const AM: u64 = 1 << 18;
    pub const NW: u64 = 1 << 29;
    pub const CD: u64 = 1 << 30;
    pub const PG: u64 = 1 << 31;
}

/// Bits of CR4.
pub mod cr4 {
    pub const TSD: u64 = 1 << 2;
    pub const PSE: u64 = 1 << 4;
    pub const PAE: u64 = 1 << 5;
    pub const PGE: u64 = 1 << 7;
    pub const OSFXSR: u64 = 1 << 9;
    pub const OSXMMEXCPT: u64 = 1 << 10;
    pub const SMEP: u64 = 1 << 20;
    pub const SMAP: u64 = 1 << 21;
}

/// Bits of EFER.
pub mod efer {
    pub const SCE: u64 = 1;
    pub const LME: u64 = 1 << 8;
    pub const LMA: u64 = 1 << 10;
    pub const NXE: u64 = 1 << 11;
}

/// Numbers of general registers.
pub const RAX: u8 = 0;
pub const RCX: u8 = 1;
pub const RDX: u8 = 2;
pub const RBX: u8 = 3;
pub const RSP: u8 = 4;
pub const RBP: u8 = 5;
pub const RSI: u8 = 6;
pub const RDI: u8 = 7;

/// Numbers of segment registers.
pub const ES: u8 = 0;
pub const CS: u8 = 1;
pub const SS: u8 = 2;
pub const DS: u8 = 3;
pub const FS: u8 = 4;
pub const GS: u8 = 5;

/// Bits of a segment's rights: those of a descriptor's sixth byte, and of its seventh above them.
pub mod access {
    pub const ACCESSED: u16 = 1;
    /// Of data writable, of code readable.
    pub const RW: u16 = 1 << 1;
    /// Of data expanding down, of code conforming.
    pub const DC: u16 = 1 << 2;
    pub const CODE: u16 = 1 << 3;
    /// Code or data.
    pub const S: u16 = 1 << 4;
    pub const PRESENT: u16 = 1 << 7;
    pub const LONG: u16 = 1 << 13;
    pub const BIG: u16 = 1 << 14;
    pub const GRANULAR: u16 = 1 << 15;
}

/// A segment register with what was read of its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, State)]
pub struct Segment {
    pub selector: u16,
    /// See [`access`].
    pub access: u16,
    /// The last offset, or of one that expands down the one before the first.
    pub limit: u32,
    pub base: u64,
}

impl Segment {
    /// As real mode has it.
    pub fn real(selector: u16) -> Self {
        Self {
            selector,
            access: access::PRESENT | access::S | access::RW | access::ACCESSED,
            limit: 0xffff,
            base: u64::from(selector) << 4,
        }
    }

    /// None: a null selector was loaded.
    pub fn null(selector: u16) -> Self {
        Self {
            selector,
            access: 0,
            limit: 0,
            base: 0,
        }
    }

    pub fn is(&self, bits: u16) -> bool {
        self.access & bits == bits
    }

    pub fn dpl(&self) -> u8 {
        (self.access >> 5 & 3) as u8
    }

    /// The type in a system descriptor.
    pub fn kind(&self) -> u16 {
        self.access & 15
    }
}

/// GDTR or IDTR.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
pub struct Table {
    pub base: u64,
    pub limit: u16,
}

/// Model-specific registers.
#[derive(Debug, Clone, State)]
pub struct Msrs {
    pub efer: u64,
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub fmask: u64,
    pub kernel_gs_base: u64,
    pub sysenter_cs: u64,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
    /// What is added to the clock to get the time stamp counter.
    pub tsc_offset: u64,
    pub pat: u64,
    /// IA32_MTRR_DEF_TYPE, and the variable and the fixed ranges in the order of their numbers.
    pub mtrr_type: u64,
    pub mtrr_variable: [u64; 16],
    pub mtrr_fixed: [u64; 11],
}

/// What a number in [`Core::attention`] asks for.
pub mod attention {
    /// Something has happened that must be looked at before the next instruction.
    pub const EVENT: u8 = 1;
    /// It must be looked at behind the next instruction, and nothing may interrupt before that.
    pub const SHADOW: u8 = 2;
}

/// The bits of [`Core::mode`] above the two that say how many bits code has.
pub mod mode {
    pub const A20_CLOSED: u8 = 1 << 2;
    /// A block is one instruction, and the interpreter's.
    pub const SINGLE: u8 = 1 << 3;
    /// ES, CS, SS and DS are all of memory, and the stack pointer is as wide as addresses.
    pub const FLAT: u8 = 1 << 4;
    /// FS has nothing to be looked at but its base.
    pub const FS: u8 = 1 << 5;
    /// GS too.
    pub const GS: u8 = 1 << 6;
}

/// The arithmetic flags as [`Core::kept`] has them.
const fn kept(flags: u64) -> u16 {
    (flags as u16 & 0xd5 | 2) << 8 | (flags >> 11) as u16 & 1
}

/// A CPU without its decoded code.
#[derive(Debug, State)]
pub struct Core {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.
    pub x: [u64; 16],
    /// The linear address of the next instruction; while a block runs, of its first one.
    pub pc: u64,
    /// RFLAGS; while it runs, without those that arithmetic sets, which are in `kept`, or while `lazy`, in `result` and `carries`.
    pub flags: u64,
    /// ES, CS, SS, DS, FS, GS.
    pub segs: [Segment; 6],
    pub ldtr: Segment,
    pub tr: Segment,
    pub gdtr: Table,
    pub idtr: Table,
    pub cpl: u8,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub dr: [u64; 8],
    pub msrs: Msrs,
    /// The registers of x87, MMX and SSE.
    pub fpu: Fpu,
    pub apic: Apic,
    /// It has executed HLT, and no interrupt has come since.
    pub halted: bool,
    /// An exception could not be delivered: it waits for a reset.
    pub shut_down: bool,
    /// An NMI has come and was not taken yet.
    pub nmi_pending: bool,
    /// An SMI has come and was not taken yet.
    pub smi_pending: bool,
    /// It is in system management mode, whose handler and saved registers are behind an address; and whether NMIs were blocked
    /// before.
    pub smm: bool,
    pub smbase: u32,
    pub nmi_before_smm: bool,
    /// Address line 20 has been open, so that somebody drives it.
    pub gated: bool,
    /// It is closed: the bit is zero in physical addresses.
    pub a20_closed: bool,
    /// No NMI is taken until IRET.
    pub nmi_blocked: bool,
    /// See [`attention`].
    pub attention: u8,
    /// What the engine keeps.
    #[state(flatten)]
    pub vcpu: Vcpu,

    #[state(skip = "properties")]
    pub identity: Identity,
    #[state(skip = "an input's level, which its owner saves")]
    pub intr: bool,
    #[state(
        skip = "derived: the arithmetic flags as LAHF and SETO have them in AX, for generated code"
    )]
    pub kept: u16,
    #[state(skip = "settled behind every block: arithmetic flags are in `result` and `carries`")]
    pub lazy: bool,
    #[state(skip = "settled behind every block: the last result, sign-extended")]
    pub result: u64,
    #[state(
        skip = "settled behind every block: carries out of its bits, the highest two at the top, and bit 3"
    )]
    pub carries: u64,
    #[state(skip = "derived: bits of code, 16, 32 or 64")]
    pub bits: u8,
    #[state(skip = "derived: bytes of a stack pointer")]
    pub stack_size: u8,
    #[state(skip = "derived: segments for which nothing has to be looked at")]
    pub flat: [bool; 6],
    #[state(skip = "derived: what decoded code depends on")]
    pub mode: u8,
    #[state(skip = "derived: what code is looked up with, besides its page")]
    pub code_key: u64,
    #[state(skip = "derived: SSE's instructions can be executed")]
    pub sse: bool,
    #[state(
        skip = "derived: nothing may interrupt the next instruction, which is alone in its block"
    )]
    pub shadowed: bool,
    #[state(skip = "EFLAGS.TF as the instruction that is executed has found it")]
    pub stepping: bool,
}

impl Core {
    /// A CPU as it comes out of reset.
    pub fn new(identity: Identity) -> Self {
        let data = Segment::real(0);
        let code = Segment {
            access: data.access | access::CODE,
            base: 0xffff_0000,
            ..Segment::real(0xf000)
        };
        let system = |kind| Segment {
            access: access::PRESENT | kind,
            ..Segment::real(0)
        };
        let mut x = [0; 16];
        x[usize::from(RDX)] = identity.signature().into();
        let mut core = Self {
            x,
            pc: 0xffff_fff0,
            flags: flag::ONE,
            segs: [data, code, data, data, data, data],
            ldtr: system(2),
            tr: system(11),
            gdtr: Table {
                base: 0,
                limit: 0xffff,
            },
            idtr: Table {
                base: 0,
                limit: 0xffff,
            },
            cpl: 0,
            cr0: cr0::CD | cr0::NW | cr0::ET,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            dr: [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400],
            msrs: Msrs {
                efer: 0,
                star: 0,
                lstar: 0,
                cstar: 0,
                fmask: 0,
                kernel_gs_base: 0,
                sysenter_cs: 0,
                sysenter_esp: 0,
                sysenter_eip: 0,
                tsc_offset: 0,
                pat: 0x0007_0406_0007_0406,
                mtrr_type: 0,
                mtrr_variable: [0; 16],
                mtrr_fixed: [0; 11],
            },
            fpu: Fpu::new(),
            apic: Apic::new(identity.apic_id, identity.has(feature::APIC)),
            halted: false,
            shut_down: false,
            nmi_pending: false,
            smi_pending: false,
            smm: false,
            smbase: crate::smm::BASE,
            nmi_before_smm: false,
            gated: false,
            a20_closed: false,
            nmi_blocked: false,
            attention: 0,
            vcpu: Vcpu::new(identity.clock.0),
            identity,
            intr: false,
            kept: kept(0),
            lazy: false,
            result: 0,
            carries: 0,
            bits: 16,
            stack_size: 2,
            flat: [false; 6],
            mode: 0,
            code_key: 0,
            sse: false,
            shadowed: false,
            stepping: false,
        };
        core.mode_changed();
        core
    }

    /// After INIT: as out of reset, but for caches, x87 and SSE, the model-specific registers and the local APIC.
    pub fn reset_by_init(&mut self) {
        let mut fresh = Self::new(self.identity);
        std::mem::swap(&mut fresh.vcpu, &mut self.vcpu);
        fresh.fpu = self.fpu.clone();
        fresh.apic = self.apic.clone();
        fresh.smbase = self.smbase;
        fresh.msrs = Msrs {
            efer: 0,
            ..self.msrs.clone()
        };
        fresh.cr0 = self.cr0 & (cr0::CD | cr0::NW) | cr0::ET;
        (fresh.gated, fresh.a20_closed, fresh.intr) = (self.gated, self.a20_closed, self.intr);
        *self = fresh;
        self.vcpu.forget_pages();
        self.mode_changed();
    }

    /// A physical address as address line 20 lets it through.
    #[inline]
    pub fn by_a20(&self, pa: u64) -> u64 {
        match self.a20_closed {
            true => pa & !(1 << 20),
            false => pa,
        }
    }

    pub fn is(&self, cr0: u64) -> bool {
        self.cr0 & cr0 != 0
    }

    pub fn is4(&self, cr4: u64) -> bool {
        self.cr4 & cr4 != 0
    }

    pub fn has(&self, feature: u64) -> bool {
        self.identity.has(feature)
    }

    /// Whether IA-32e mode is active.
    pub fn long(&self) -> bool {
        self.msrs.efer & efer::LMA != 0
    }

    /// Whether code of 64 bits is executed.
    #[inline(always)]
    pub fn is64(&self) -> bool {
        self.bits == 64
    }

    pub fn protected(&self) -> bool {
        self.is(cr0::PE)
    }

    pub fn virtual8086(&self) -> bool {
        self.flags & flag::VM != 0
    }

    /// Whether a selector is a paragraph: real and virtual-8086 mode.
    pub fn paragraphs(&self) -> bool {
        !self.protected() || self.virtual8086()
    }

    pub fn iopl(&self) -> u8 {
        ((self.flags & flag::IOPL) >> 12) as u8
    }

    #[inline(always)]
    pub fn seg(&self, n: u8) -> &Segment {
        &self.segs[usize::from(n) % 6]
    }

    /// The instruction pointer of a linear address.
    #[inline]
    pub fn ip_of(&self, linear: u64) -> u64 {
        match self.is64() {
            true => linear,
            false => linear.wrapping_sub(self.seg(CS).base) & 0xffff_ffff,
        }
    }

    /// The instruction pointer.
    pub fn rip(&self) -> u64 {
        self.ip_of(self.pc)
    }

    /// The linear address of an instruction pointer.
    #[inline]
    pub fn linear_of(&self, ip: u64) -> u64 {
        match self.is64() {
            true => ip,
            false => self.seg(CS).base.wrapping_add(ip) & 0xffff_ffff,
        }
    }

    /// Goes on at an instruction pointer.
    pub fn set_rip(&mut self, ip: u64) {
        self.pc = self.linear_of(ip);
    }

    /// The lowest bytes of a general register.
    #[inline(always)]
    pub fn reg(&self, n: u8, size: u8) -> u64 {
        self.x[usize::from(n & 15)] & mask(size)
    }

    /// Sets them. Four clear those above.
    #[inline(always)]
    pub fn set_reg(&mut self, n: u8, size: u8, value: u64) {
        let to = &mut self.x[usize::from(n & 15)];
        *to = match size {
            1 => *to & !0xff | value & 0xff,
            2 => *to & !0xffff | value & 0xffff,
            4 => value & 0xffff_ffff,
            _ => value,
        };
    }

    /// Recomputes what derives from mode and segments.
    pub fn mode_changed(&mut self) {
        let (cs, ss) = (*self.seg(CS), *self.seg(SS));
        self.bits = match cs.access {
            a if self.long() && a & access::LONG != 0 && !self.virtual8086() => 64,
            a if a & access::BIG != 0 && self.protected() && !self.virtual8086() => 32,
            _ => 16,
        };
        self.stack_size = match ss.access {
            _ if self.is64() => 8,
            a if a & access::BIG != 0 => 4,
            _ => 2,
        };
        for (flat, seg) in self.flat.iter_mut().zip(self.segs) {
            let writable = seg.is(access::PRESENT | access::RW);
            let down = seg.access & (access::CODE | access::DC) == access::DC;
            *flat = writable && !down && !seg.is(access::CODE) && seg.limit == u32::MAX;
        }
        self.sse = self.is4(cr4::OSFXSR) && !self.is(cr0::EM | cr0::TS);
        // A code segment that is read through is looked at.
        let bits = self.bits.trailing_zeros() as u8 - 4;
        let on = |on: bool, bit: u8| if on { bit } else { 0 };
        let [flat, fs, gs] = match self.bits {
            64 => [true; 3],
            32 => {
                let flat = |n: u8| self.flat[usize::from(n)];
                let whole = [ES, SS, DS]
                    .iter()
                    .all(|n| flat(*n) && self.seg(*n).base == 0);
                let code = cs.base == 0 && cs.limit == u32::MAX;
                [whole && code && self.stack_size == 4, flat(FS), flat(GS)]
            }
            _ => [false; 3],
        };
        self.mode = bits
            | on(self.a20_closed, mode::A20_CLOSED)
            | on(self.flags & flag::TF != 0 || self.shadowed, mode::SINGLE)
            | on(flat, mode::FLAT)
            | on(fs, mode::FS)
            | on(gs, mode::GS);
        let user = u64::from(self.cpl == 3);
        self.code_key = u64::from(self.mode) | user << 7 | u64::from(self.is(cr0::PG)) << 8;
        let relevant = |on: bool, bit: u32| u64::from(on) << bit;
        let smap = self.is4(cr4::SMAP) && self.flags & flag::AC == 0;
        let key = user
            | relevant(self.is(cr0::WP), 1)
            | relevant(smap, 2)
            | relevant(self.is(cr0::PG), 3)
            | relevant(self.is64(), 4);
        self.vcpu.wide.select((0, key));
        self.vcpu.set_code_key(self.code_key);
    }

    /// As [`Isa::find_code`](solderless_engine::Isa::find_code).
    pub fn find_code(&mut self, cx: &Cx<'_>) -> bool {
        let pc = self.pc;
        if self.vcpu.budget <= 0 || !self.is(cr0::PG) {
            return false;
        }
        match self.translate_code(cx, pc) {
            // The interpreter finds it again.
            Err(Fault { .. }) => false,
            Ok(pa) => {
                let code = CodeAt {
                    va: pc,
                    key: Some(self.code_key),
                    pa,
                    translated: true,
                    mode: self.mode,
                };
                self.vcpu.know_code(cx, code)
            }
        }
    }

    /// Notes what a result says of the flags: the carries out of its bits, as a sum or difference has them.
    #[inline(always)]
    pub fn set_lazy(&mut self, result: u64, carries: u64, size: u8) {
        self.lazy = true;
        self.result = sign_extend(result, size);
        self.carries = carries << (64 - 8 * u32::from(size)) & 3 << 62 | carries & 8;
    }

    /// EFLAGS.CF.
    #[inline(always)]
    pub fn carry(&self) -> bool {
        match self.lazy {
            true => self.carries >> 63 != 0,
            false => self.kept & 0x100 != 0,
        }
    }

    /// The arithmetic flags, computed.
    #[inline]
    fn arithmetic(&self) -> u64 {
        let set = |on: bool, bit: u64| if on { bit } else { 0 };
        let r = self.result;
        set(self.carries >> 63 != 0, flag::CF)
            | set((r as u8).count_ones() & 1 == 0, flag::PF)
            | set(self.carries & 8 != 0, flag::AF)
            | set(r == 0, flag::ZF)
            | set((r as i64) < 0, flag::SF)
            | set((self.carries >> 63 ^ self.carries >> 62) & 1 != 0, flag::OF)
    }

    /// EFLAGS as it is, with nothing put off.
    #[inline]
    pub fn rflags(&mut self) -> u64 {
        self.settle();
        self.flags
    }

    /// The same for those who only look.
    pub fn look_at_flags(&self) -> u64 {
        let arithmetic = match self.lazy {
            true => self.arithmetic(),
            false => u64::from(self.kept >> 8) & 0xd5 | u64::from(self.kept & 1) << 11,
        };
        self.flags & !flag::ARITHMETIC | arithmetic
    }

    /// Computes what was put off.
    #[inline]
    pub fn settle(&mut self) {
        self.flags = self.look_at_flags();
        self.keep_flags();
    }

    /// The flags were set, the arithmetic ones too.
    #[inline]
    pub fn keep_flags(&mut self) {
        self.kept = kept(self.flags);
        self.lazy = false;
    }

    /// Sets some of the flags.
    #[inline]
    pub fn set_flags(&mut self, which: u64, to: u64) {
        self.settle();
        self.flags = self.flags & !which | to & which;
        self.keep_flags();
    }

    /// Whether a condition holds, by its number in the encoding.
    #[inline]
    pub fn condition(&self, number: u8) -> bool {
        let holds = match self.lazy {
            true => {
                let (zero, sign) = (self.result == 0, (self.result as i64) < 0);
                let carry = self.carries >> 63 != 0;
                let overflow = ((self.carries << 1 ^ self.carries) as i64) < 0;
                match number >> 1 {
                    0 => overflow,
                    1 => carry,
                    2 => zero,
                    3 => carry || zero,
                    4 => sign,
                    5 => self.arithmetic() & flag::PF != 0,
                    6 => sign != overflow,
                    _ => zero || sign != overflow,
                }
            }
            false => {
                let flags = self.look_at_flags();
                let is = |bit: u64| flags & bit != 0;
                match number >> 1 {
                    0 => is(flag::OF),
                    1 => is(flag::CF),
                    2 => is(flag::ZF),
                    3 => is(flag::CF | flag::ZF),
                    4 => is(flag::SF),
                    5 => is(flag::PF),
                    6 => is(flag::SF) != is(flag::OF),
                    _ => is(flag::ZF) || is(flag::SF) != is(flag::OF),
                }
            }
        };
        holds != (number & 1 != 0)
    }

    /// The time stamp counter.
    pub fn time_stamp(&self, cx: &Cx<'_>) -> u64 {
        let cycles = u128::from(cx.now()) * u128::from(self.identity.clock.0) / 1_000_000_000;
        (cycles as u64).wrapping_add(self.msrs.tsc_offset)
    }

    /// The bits of CR4 that there are.
    pub fn cr4_bits(&self) -> u64 {
        let bits = [
            (feature::TSC, cr4::TSD),
            (feature::PSE, cr4::PSE),
            (feature::PAE, cr4::PAE),
            (feature::PGE, cr4::PGE),
            (feature::FXSR, cr4::OSFXSR),
            (feature::SSE, cr4::OSXMMEXCPT),
            (feature::SMEP, cr4::SMEP),
            (feature::SMAP, cr4::SMAP),
        ];
        let there = bits.iter().filter(|(feature, _)| self.has(*feature));
        there.fold(0, |all, (_, bit)| all | bit)
    }
}
