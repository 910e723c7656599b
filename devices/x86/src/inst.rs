//! Decoded instructions: what the decoder of the crate iced-x86 has found, in the form in which it is executed.

use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderError, DecoderOptions, FlowControl, Instruction, Mnemonic,
    OpKind, Register,
};
use solderless_engine::{Bytes, Straight};

use crate::model::feature;

/// Bytes of an instruction at most.
pub const LONGEST: usize = 15;
/// Instructions in a block at most.
pub const MOST: usize = 32;

/// An operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    None,
    /// A general register, and how many bytes of it.
    Reg(u8, u8),
    /// The second byte of one of the first four.
    High(u8),
    /// Memory, so many bytes.
    Mem(u8),
    Imm,
    /// A segment register: ES, CS, SS, DS, FS, GS.
    Seg(u8),
    Control(u8),
    Debug(u8),
    /// A register of the x87's stack, from its top.
    St(u8),
    /// One of MMX.
    Mm(u8),
    /// One of SSE.
    Xmm(u8),
}

/// An address in memory: a segment, and what is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pub segment: u8,
    pub base: u8,
    pub index: u8,
    pub scale: u8,
    pub disp: u64,
}

/// No register in an [`Address`].
pub const NO_REGISTER: u8 = 0xff;
/// The address of the start of the block, in place of a register: what is relative to RIP.
pub const RIP: u8 = 0xfe;

/// An instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inst {
    pub code: Code,
    pub mnemonic: Mnemonic,
    pub ops: [Operand; 3],
    pub memory: Address,
    /// The immediate operand; of a branch, what is added to the address behind it; of a far one, the offset.
    pub imm: u64,
    /// A second one: ENTER's, the selector of a far branch, and of an x87 instruction the eleven bits of its opcode.
    pub imm2: u16,
    /// Bytes of the operands.
    pub size: u8,
    /// Bytes of an address.
    pub address_size: u8,
    /// Of those that have one.
    pub condition: u8,
    pub rep: bool,
    pub repne: bool,
    /// Nothing after it in its block would be reached by way of it.
    pub ends: bool,
    /// Bytes of it.
    pub len: u8,
    /// Bytes from the start of the block.
    pub at: u16,
    /// Instructions before it in the block.
    pub index_in_block: u8,
}

impl Inst {
    /// How far it is from the start of the block to the next instruction.
    pub fn past(&self) -> u32 {
        u32::from(self.at) + u32::from(self.len)
    }

    /// The bits of the count of a shift that are looked at.
    #[inline(always)]
    pub fn count_mask(&self) -> u64 {
        if self.size == 8 { 63 } else { 31 }
    }

    /// Whether it is a jump or call to an address that it says.
    fn is_direct(&self) -> bool {
        matches!(self.ops[0], Operand::Imm)
            && (self.is_conditional() || matches!(self.mnemonic, Mnemonic::Jmp | Mnemonic::Call))
            && !is_far(self.code)
    }

    /// Whether it may go on behind it.
    fn is_conditional(&self) -> bool {
        use Mnemonic::*;
        matches!(
            self.mnemonic,
            Jo | Jno
                | Jb
                | Jae
                | Je
                | Jne
                | Jbe
                | Ja
                | Js
                | Jns
                | Jp
                | Jnp
                | Jl
                | Jge
                | Jle
                | Jg
                | Loop
                | Loope
                | Loopne
                | Jcxz
                | Jecxz
                | Jrcxz
        )
    }
}

/// Whether a jump or call says a selector.
pub fn is_far(code: Code) -> bool {
    matches!(
        code,
        Code::Jmp_ptr1616
            | Code::Jmp_ptr1632
            | Code::Jmp_m1616
            | Code::Jmp_m1632
            | Code::Jmp_m1664
            | Code::Call_ptr1616
            | Code::Call_ptr1632
            | Code::Call_m1616
            | Code::Call_m1632
            | Code::Call_m1664
    )
}

/// A straight piece of code.
#[derive(Debug)]
pub struct Block {
    pub insts: Vec<Inst>,
}

impl Block {
    pub fn last(&self) -> Option<&Inst> {
        self.insts.last()
    }
}

impl Straight for Block {
    fn instructions(&self) -> u8 {
        self.insts.len() as u8
    }

    fn bytes(&self) -> u32 {
        self.last().map_or(0, Inst::past)
    }

    fn taken(&self) -> Option<u32> {
        let last = self.last()?;
        last.is_direct()
            .then(|| last.past().wrapping_add(last.imm as u32))
    }

    fn followers(&self) -> Vec<u32> {
        let falls = self.last().is_none_or(|i| !i.ends || i.is_conditional());
        let past = falls.then(|| self.bytes());
        self.taken().into_iter().chain(past).collect()
    }

    fn is_computed(&self) -> bool {
        self.last()
            .is_some_and(|i| i.mnemonic == Mnemonic::Jmp && !i.is_direct())
    }
}

/// What some bytes are without instructions that came later: hints are those that do nothing, TZCNT is BSF, and LZCNT is BSR.
const OPTIONS: u32 = DecoderOptions::FORCE_RESERVED_NOP
    | DecoderOptions::NO_MPFX_0FBC
    | DecoderOptions::NO_MPFX_0FBD
    | DecoderOptions::NO_WBNOINVD;

/// Decodes straight code of so many bits, up to `most` instructions; `None` if the bytes do not suffice for the first one.
pub fn decode(bits: u32, features: u64, bytes: &Bytes<'_>, most: usize) -> Option<Block> {
    let mut buffer = [0; LONGEST * MOST];
    let there = bytes.copy(0, &mut buffer);
    let code = buffer.get(..there)?;
    let mut decoder = Decoder::with_ip(bits, code, 0, OPTIONS);
    let mut insts = Vec::new();
    let mut raw = Instruction::default();
    while insts.len() < most.min(MOST) && decoder.can_decode() {
        decoder.decode_out(&mut raw);
        if decoder.last_error() == DecoderError::NoMoreBytes {
            break;
        }
        let mut inst = Inst {
            index_in_block: insts.len() as u8,
            ..lower(&raw, bits, features)
        };
        if raw.cpuid_features().iter().any(|of| is_x87(*of)) {
            let from = usize::from(inst.at);
            inst.imm2 = x87_opcode(code.get(from..from + raw.len()).unwrap_or_default());
        }
        insts.push(inst);
        if inst.ends {
            break;
        }
    }
    (!insts.is_empty()).then_some(Block { insts })
}

/// Whether an instruction that needs this is one of the x87's.
fn is_x87(needed: CpuidFeature) -> bool {
    matches!(
        needed,
        CpuidFeature::FPU
            | CpuidFeature::FPU287
            | CpuidFeature::FPU287XL_ONLY
            | CpuidFeature::FPU387
            | CpuidFeature::FPU387SL_ONLY
    )
}

/// The eleven bits by which the x87 knows an instruction: of its first byte the last three, and all of its second.
fn x87_opcode(code: &[u8]) -> u16 {
    let escape = code.iter().position(|byte| byte & 0xf8 == 0xd8);
    match escape.and_then(|at| code.get(at..at + 2)) {
        Some([first, second]) => u16::from(first & 7) << 8 | u16::from(*second),
        _ => 0,
    }
}

/// Whether a CPU with these features has an instruction.
fn there(raw: &Instruction, features: u64) -> bool {
    raw.cpuid_features().iter().all(|needed| {
        let feature = match needed {
            CpuidFeature::INTEL8086
            | CpuidFeature::INTEL8086_ONLY
            | CpuidFeature::INTEL186
            | CpuidFeature::INTEL286
            | CpuidFeature::INTEL386
            | CpuidFeature::INTEL486
            | CpuidFeature::SMM
            | CpuidFeature::PAUSE => 0,
            // On those that have SYSCALL or CMOV, and harmless elsewhere.
            CpuidFeature::MULTIBYTENOP => feature::CMOV,
            CpuidFeature::X64 => feature::LM,
            CpuidFeature::CPUID => feature::CPUID,
            CpuidFeature::TSC => feature::TSC,
            CpuidFeature::MSR => feature::MSR,
            CpuidFeature::CX8 => feature::CX8,
            CpuidFeature::CMPXCHG16B => feature::CX16,
            CpuidFeature::CMOV => feature::CMOV,
            CpuidFeature::SEP => feature::SEP,
            CpuidFeature::SYSCALL => feature::SYSCALL,
            CpuidFeature::POPCNT => feature::POPCNT,
            needed if is_x87(*needed) => 0,
            CpuidFeature::MMX => feature::MMX,
            CpuidFeature::FXSR => feature::FXSR,
            CpuidFeature::SSE => feature::SSE,
            CpuidFeature::SSE2 => feature::SSE2,
            CpuidFeature::CLFSH => feature::CLFLUSH,
            CpuidFeature::SSE3 => feature::SSE3,
            CpuidFeature::SSSE3 => feature::SSSE3,
            CpuidFeature::SSE4_1 => feature::SSE4_1,
            CpuidFeature::SSE4_2 => feature::SSE4_2,
            CpuidFeature::AES => feature::AES,
            CpuidFeature::PCLMULQDQ => feature::PCLMULQDQ,
            CpuidFeature::SMAP => feature::SMAP,
            _ => return false,
        };
        features & feature == feature
    })
}

/// Which of the registers from `first` to `last` one is.
fn among(register: Register, first: Register, last: Register) -> Option<u8> {
    let (n, first, last) = (register as usize, first as usize, last as usize);
    (first..=last).contains(&n).then(|| (n - first) as u8)
}

/// A general register and its width, or what else an operand can be.
fn register(register: Register) -> Operand {
    use Register::*;
    let among = |first, last| among(register, first, last);
    let general = |n: Option<u8>, size| n.map(|n| Operand::Reg(n, size));
    general(among(AL, BL), 1)
        .or_else(|| among(AH, BH).map(Operand::High))
        .or_else(|| general(among(SPL, R15L).map(|n| n + 4), 1))
        .or_else(|| general(among(AX, R15W), 2))
        .or_else(|| general(among(EAX, R15D), 4))
        .or_else(|| general(among(RAX, R15), 8))
        .or_else(|| among(ES, GS).map(Operand::Seg))
        .or_else(|| among(CR0, CR15).map(Operand::Control))
        .or_else(|| among(DR0, DR15).map(Operand::Debug))
        .or_else(|| among(ST0, ST7).map(Operand::St))
        .or_else(|| among(MM0, MM7).map(Operand::Mm))
        .or_else(|| among(XMM0, XMM15).map(Operand::Xmm))
        .unwrap_or(Operand::None)
}

/// The register of an address: its number and its width.
fn in_address(of: Register) -> (u8, u8) {
    match (of, register(of)) {
        (Register::RIP, _) => (RIP, 8),
        (Register::EIP, _) => (RIP, 4),
        (_, Operand::Reg(n, size)) => (n, size),
        _ => (NO_REGISTER, 0),
    }
}

fn lower(raw: &Instruction, bits: u32, features: u64) -> Inst {
    let word = (bits / 8) as u8;
    let mut inst = Inst {
        code: raw.code(),
        mnemonic: raw.mnemonic(),
        ops: [Operand::None; 3],
        memory: Address {
            segment: 3,
            base: NO_REGISTER,
            index: NO_REGISTER,
            scale: 1,
            disp: 0,
        },
        imm: 0,
        imm2: 0,
        size: 0,
        address_size: word,
        condition: 0,
        rep: raw.has_rep_prefix(),
        repne: raw.has_repne_prefix(),
        ends: false,
        len: raw.len() as u8,
        at: raw.ip() as u16,
        index_in_block: 0,
    };
    if raw.is_invalid() || !there(raw, features) {
        (inst.code, inst.mnemonic, inst.ends) = (Code::INVALID, Mnemonic::INVALID, true);
        return inst;
    }
    inst.ends = ends(raw);
    inst.condition = match raw.condition_code() as u8 {
        0 => 0,
        n => n - 1,
    };
    let memory_size = raw.memory_size().size() as u8;
    let segment = |register| among(register, Register::ES, Register::GS).unwrap_or(3);
    let mut sizes = [0; 3];
    for n in 0..raw.op_count().min(3) {
        let place = n as usize;
        let operand = match raw.op_kind(n) {
            OpKind::Register => register(raw.op_register(n)),
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                inst.size = match raw.op_kind(n) {
                    OpKind::NearBranch16 => 2,
                    OpKind::NearBranch32 => 4,
                    _ => 8,
                };
                let relative = raw
                    .near_branch_target()
                    .wrapping_sub(u64::from(inst.past()));
                inst.imm = sign_extend(relative, inst.size.min(4));
                Operand::Imm
            }
            OpKind::FarBranch16 | OpKind::FarBranch32 => {
                let wide = raw.op_kind(n) == OpKind::FarBranch32;
                inst.size = if wide { 4 } else { 2 };
                inst.imm = match wide {
                    true => raw.far_branch32().into(),
                    false => raw.far_branch16().into(),
                };
                inst.imm2 = raw.far_branch_selector();
                Operand::Imm
            }
            OpKind::Immediate8_2nd => {
                inst.imm2 = raw.immediate8_2nd().into();
                Operand::None
            }
            OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64 => {
                inst.imm = raw.immediate(n);
                Operand::Imm
            }
            kind => {
                // A string's place, or memory.
                let (base, size) = match kind {
                    OpKind::MemorySegSI => (Register::SI, 2),
                    OpKind::MemorySegESI => (Register::ESI, 4),
                    OpKind::MemorySegRSI => (Register::RSI, 8),
                    OpKind::MemorySegDI | OpKind::MemoryESDI => (Register::DI, 2),
                    OpKind::MemorySegEDI | OpKind::MemoryESEDI => (Register::EDI, 4),
                    OpKind::MemorySegRDI | OpKind::MemoryESRDI => (Register::RDI, 8),
                    _ => (raw.memory_base(), 0),
                };
                inst.address_size = size;
                let es = matches!(
                    kind,
                    OpKind::MemoryESDI | OpKind::MemoryESEDI | OpKind::MemoryESRDI
                );
                if !es {
                    inst.memory.segment = segment(raw.memory_segment());
                }
                if size == 0 {
                    let (base, base_size) = in_address(base);
                    let (index, index_size) = in_address(raw.memory_index());
                    inst.memory.base = base;
                    inst.memory.index = index;
                    inst.memory.scale = raw.memory_index_scale() as u8;
                    inst.memory.disp = raw.memory_displacement64();
                    inst.address_size = match base_size.max(index_size) {
                        // XLAT's index is AL.
                        0 | 1 => raw.memory_displ_size() as u8,
                        size => size,
                    };
                }
                Operand::Mem(memory_size)
            }
        };
        inst.ops[place] = operand;
        sizes[place] = match operand {
            Operand::Reg(_, size) | Operand::Mem(size) => size,
            Operand::High(_) => 1,
            _ => 0,
        };
    }
    if inst.size == 0 {
        inst.size = sizes.into_iter().find(|size| *size != 0).unwrap_or(0);
    }
    if inst.address_size == 0 {
        inst.address_size = word;
    }
    inst
}

/// Whether nothing goes on behind an instruction without a look at what it did.
fn ends(raw: &Instruction) -> bool {
    use Mnemonic::*;
    if raw.flow_control() != FlowControl::Next {
        return true;
    }
    match raw.mnemonic() {
        Popf | Popfd | Popfq | Hlt | Lmsw | Wrmsr | Invlpg | Rsm => true,
        Mov => matches!(
            register(raw.op_register(0)),
            Operand::Control(_) | Operand::Debug(_)
        ),
        _ => false,
    }
}

/// A number of so many bytes, as one of eight.
#[inline(always)]
pub fn sign_extend(value: u64, size: u8) -> u64 {
    match size {
        1 => value as i8 as u64,
        2 => value as i16 as u64,
        4 => value as i32 as u64,
        _ => value,
    }
}

/// The bits of so many bytes.
#[inline(always)]
pub fn mask(size: u8) -> u64 {
    match size {
        1 => 0xff,
        2 => 0xffff,
        4 => 0xffff_ffff,
        _ => u64::MAX,
    }
}
