//! Instructions as text, as binutils' objdump writes MIPS32 and MIPS64 Release 2 with the names of their registers.

use solderless_model::Disassembled;

use crate::registers::GENERAL;
use crate::width::Width;

/// An instruction: what it has in the bits of the mask, its name, and its operands.
///
/// In the operands a letter stands for a field, all else for itself. `s`, `t`, `d`: the general registers in bits 25-21, 20-16 and
/// 15-11, and `S`, `T`, `D`, `E` floating point ones, the last in bits 10-6. `j`, `i`: the low half, with a sign in decimal or in
/// hexadecimal; `p`, `a`: where a branch or jump leads. `<`: bits 10-6; `h`, `k`, `c`: bits 20-16, the hint or operation; `b`, `m`, `n`: the place and
/// size of a field of bits; `B`, `W`, `w`: these, with 32 more. `G`, `H`: registers of coprocessor 0 and the FPU's control; `C`, `N`, `M`: condition codes in bits 20-18, 10-8 and 20-18,
/// left out where 0; `0` is the register zero.
struct Row(u32, u32, &'static str, &'static str);

/// The instructions, a name for a case of another before that.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row(0xffff_ffff, 0x0000_0000, "nop", ""),
    Row(0xffff_ffff, 0x0000_0040, "ssnop", ""),
    Row(0xffff_ffff, 0x0000_00c0, "ehb", ""),
    Row(0xffff_ffff, 0x0000_0140, "pause", ""),
    Row(0xffe0_0000, 0x2400_0000, "li", "t,j"),
    Row(0xffe0_0000, 0x3400_0000, "li", "t,i"),
    Row(0xfc1f_07ff, 0x0000_0021, "move", "d,s"),
    Row(0xfc1f_07ff, 0x0000_0025, "move", "d,s"),
    Row(0xffff_0000, 0x1000_0000, "b", "p"),
    Row(0xffff_0000, 0x0411_0000, "bal", "p"),
    Row(0xfc1f_0000, 0x1000_0000, "beqz", "s,p"),
    Row(0xfc1f_0000, 0x1400_0000, "bnez", "s,p"),
    Row(0xfc1f_0000, 0x5000_0000, "beqzl", "s,p"),
    Row(0xfc1f_0000, 0x5400_0000, "bnezl", "s,p"),
    Row(0xffe0_07ff, 0x0000_0022, "neg", "d,t"),
    Row(0xffe0_07ff, 0x0000_0023, "negu", "d,t"),
    Row(0xffe0_003f, 0x0000_0000, "sll", "d,t,<"),
    Row(0xffe0_003f, 0x0000_0002, "srl", "d,t,<"),
    Row(0xffe0_003f, 0x0020_0002, "ror", "d,t,<"),
    Row(0xffe0_003f, 0x0000_0003, "sra", "d,t,<"),
    Row(0xfc00_07ff, 0x0000_0004, "sllv", "d,t,s"),
    Row(0xfc00_07ff, 0x0000_0006, "srlv", "d,t,s"),
    Row(0xfc00_07ff, 0x0000_0046, "rorv", "d,t,s"),
    Row(0xfc00_07ff, 0x0000_0007, "srav", "d,t,s"),
    Row(0xfc1f_ffff, 0x0000_0008, "jr", "s"),
    Row(0xfc1f_ffff, 0x0000_0408, "jr.hb", "s"),
    Row(0xfc1f_ffff, 0x0000_f809, "jalr", "s"),
    Row(0xfc1f_07ff, 0x0000_0009, "jalr", "d,s"),
    Row(0xfc1f_ffff, 0x0000_fc09, "jalr.hb", "s"),
    Row(0xfc1f_07ff, 0x0000_0409, "jalr.hb", "d,s"),
    Row(0xfc00_07ff, 0x0000_000a, "movz", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_000b, "movn", "d,s,t"),
    Row(0xfc03_07ff, 0x0000_0001, "movf", "d,s,M"),
    Row(0xfc03_07ff, 0x0001_0001, "movt", "d,s,M"),
    Row(0xffff_ffff, 0x0000_000c, "syscall", ""),
    Row(0xfc00_003f, 0x0000_000c, "syscall", "x"),
    Row(0xffff_ffff, 0x0000_000d, "break", ""),
    Row(0xfc00_ffff, 0x0000_000d, "break", "y"),
    Row(0xfc00_003f, 0x0000_000d, "break", "y,z"),
    Row(0xffff_ffff, 0x0000_000f, "sync", ""),
    Row(0xffff_ffff, 0x0000_010f, "sync_wmb", ""),
    Row(0xffff_ffff, 0x0000_040f, "sync_mb", ""),
    Row(0xffff_ffff, 0x0000_044f, "sync_acquire", ""),
    Row(0xffff_ffff, 0x0000_048f, "sync_release", ""),
    Row(0xffff_ffff, 0x0000_04cf, "sync_rmb", ""),
    Row(0xffff_f83f, 0x0000_000f, "sync", "<"),
    Row(0xffff_07ff, 0x0000_0010, "mfhi", "d"),
    Row(0xfc1f_ffff, 0x0000_0011, "mthi", "s"),
    Row(0xffff_07ff, 0x0000_0012, "mflo", "d"),
    Row(0xfc1f_ffff, 0x0000_0013, "mtlo", "s"),
    Row(0xfc00_ffff, 0x0000_0018, "mult", "s,t"),
    Row(0xfc00_ffff, 0x0000_0019, "multu", "s,t"),
    Row(0xfc00_ffff, 0x0000_001a, "div", "0,s,t"),
    Row(0xfc00_ffff, 0x0000_001b, "divu", "0,s,t"),
    Row(0xfc00_07ff, 0x0000_0020, "add", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_0021, "addu", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_0022, "sub", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_0023, "subu", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_0024, "and", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_0025, "or", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_0026, "xor", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_0027, "nor", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_002a, "slt", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_002b, "sltu", "d,s,t"),
    Row(0xfc00_ffff, 0x0000_0030, "tge", "s,t"),
    Row(0xfc00_003f, 0x0000_0030, "tge", "s,t,q"),
    Row(0xfc00_ffff, 0x0000_0031, "tgeu", "s,t"),
    Row(0xfc00_003f, 0x0000_0031, "tgeu", "s,t,q"),
    Row(0xfc00_ffff, 0x0000_0032, "tlt", "s,t"),
    Row(0xfc00_003f, 0x0000_0032, "tlt", "s,t,q"),
    Row(0xfc00_ffff, 0x0000_0033, "tltu", "s,t"),
    Row(0xfc00_003f, 0x0000_0033, "tltu", "s,t,q"),
    Row(0xfc00_ffff, 0x0000_0034, "teq", "s,t"),
    Row(0xfc00_003f, 0x0000_0034, "teq", "s,t,q"),
    Row(0xfc00_ffff, 0x0000_0036, "tne", "s,t"),
    Row(0xfc00_003f, 0x0000_0036, "tne", "s,t,q"),
    Row(0xfc1f_0000, 0x0400_0000, "bltz", "s,p"),
    Row(0xfc1f_0000, 0x0401_0000, "bgez", "s,p"),
    Row(0xfc1f_0000, 0x0402_0000, "bltzl", "s,p"),
    Row(0xfc1f_0000, 0x0403_0000, "bgezl", "s,p"),
    Row(0xfc1f_0000, 0x0408_0000, "tgei", "s,j"),
    Row(0xfc1f_0000, 0x0409_0000, "tgeiu", "s,j"),
    Row(0xfc1f_0000, 0x040a_0000, "tlti", "s,j"),
    Row(0xfc1f_0000, 0x040b_0000, "tltiu", "s,j"),
    Row(0xfc1f_0000, 0x040c_0000, "teqi", "s,j"),
    Row(0xfc1f_0000, 0x040e_0000, "tnei", "s,j"),
    Row(0xfc1f_0000, 0x0410_0000, "bltzal", "s,p"),
    Row(0xfc1f_0000, 0x0411_0000, "bgezal", "s,p"),
    Row(0xfc1f_0000, 0x0412_0000, "bltzall", "s,p"),
    Row(0xfc1f_0000, 0x0413_0000, "bgezall", "s,p"),
    Row(0xfc1f_0000, 0x041f_0000, "synci", "j(s)"),
    Row(0xfc00_0000, 0x0800_0000, "j", "a"),
    Row(0xfc00_0000, 0x0c00_0000, "jal", "a"),
    Row(0xfc00_0000, 0x1000_0000, "beq", "s,t,p"),
    Row(0xfc00_0000, 0x1400_0000, "bne", "s,t,p"),
    Row(0xfc1f_0000, 0x1800_0000, "blez", "s,p"),
    Row(0xfc1f_0000, 0x1c00_0000, "bgtz", "s,p"),
    Row(0xfc00_0000, 0x2000_0000, "addi", "t,s,j"),
    Row(0xfc00_0000, 0x2400_0000, "addiu", "t,s,j"),
    Row(0xfc00_0000, 0x2800_0000, "slti", "t,s,j"),
    Row(0xfc00_0000, 0x2c00_0000, "sltiu", "t,s,j"),
    Row(0xfc00_0000, 0x3000_0000, "andi", "t,s,i"),
    Row(0xfc00_0000, 0x3400_0000, "ori", "t,s,i"),
    Row(0xfc00_0000, 0x3800_0000, "xori", "t,s,i"),
    Row(0xffe0_0000, 0x3c00_0000, "lui", "t,i"),
    Row(0xffe0_07f8, 0x4000_0000, "mfc0", "t,G"),
    Row(0xffe0_07f8, 0x4080_0000, "mtc0", "t,G"),
    Row(0xffe0_07ff, 0x4140_0000, "rdpgpr", "d,t"),
    Row(0xffff_ffff, 0x4160_6000, "di", ""),
    Row(0xffe0_ffff, 0x4160_6000, "di", "t"),
    Row(0xffff_ffff, 0x4160_6020, "ei", ""),
    Row(0xffe0_ffff, 0x4160_6020, "ei", "t"),
    Row(0xffe0_07ff, 0x41c0_0000, "wrpgpr", "d,t"),
    Row(0xffff_ffff, 0x4200_0001, "tlbr", ""),
    Row(0xffff_ffff, 0x4200_0002, "tlbwi", ""),
    Row(0xffff_ffff, 0x4200_0006, "tlbwr", ""),
    Row(0xffff_ffff, 0x4200_0008, "tlbp", ""),
    Row(0xffff_ffff, 0x4200_0018, "eret", ""),
    Row(0xffff_ffff, 0x4200_001f, "deret", ""),
    Row(0xffff_ffff, 0x4200_0020, "wait", ""),
    Row(0xfe00_003f, 0x4200_0020, "wait", "u"),
    Row(0xffe0_07ff, 0x4400_0000, "mfc1", "t,S"),
    Row(0xffe0_07ff, 0x4440_0000, "cfc1", "t,H"),
    Row(0xffe0_07ff, 0x4460_0000, "mfhc1", "t,S"),
    Row(0xffe0_07ff, 0x4480_0000, "mtc1", "t,S"),
    Row(0xffe0_07ff, 0x44c0_0000, "ctc1", "t,H"),
    Row(0xffe0_07ff, 0x44e0_0000, "mthc1", "t,S"),
    Row(0xffe3_0000, 0x4500_0000, "bc1f", "Cp"),
    Row(0xffe3_0000, 0x4501_0000, "bc1t", "Cp"),
    Row(0xffe3_0000, 0x4502_0000, "bc1fl", "Cp"),
    Row(0xffe3_0000, 0x4503_0000, "bc1tl", "Cp"),
    Row(0xfc00_0000, 0x5000_0000, "beql", "s,t,p"),
    Row(0xfc00_0000, 0x5400_0000, "bnel", "s,t,p"),
    Row(0xfc1f_0000, 0x5800_0000, "blezl", "s,p"),
    Row(0xfc1f_0000, 0x5c00_0000, "bgtzl", "s,p"),
    Row(0xfc00_ffff, 0x7000_0000, "madd", "s,t"),
    Row(0xfc00_ffff, 0x7000_0001, "maddu", "s,t"),
    Row(0xfc00_07ff, 0x7000_0002, "mul", "d,s,t"),
    Row(0xfc00_ffff, 0x7000_0004, "msub", "s,t"),
    Row(0xfc00_ffff, 0x7000_0005, "msubu", "s,t"),
    Row(0xfc00_07ff, 0x7000_0020, "clz", "d,s="),
    Row(0xfc00_07ff, 0x7000_0021, "clo", "d,s="),
    Row(0xffff_ffff, 0x7000_003f, "sdbbp", ""),
    Row(0xfc00_003f, 0x7000_003f, "sdbbp", "x"),
    Row(0xfc00_003f, 0x7c00_0000, "ext", "t,s,b,n"),
    Row(0xfc00_003f, 0x7c00_0004, "ins", "t,s,b,m"),
    Row(0xffe0_07ff, 0x7c00_00a0, "wsbh", "d,t"),
    Row(0xffe0_07ff, 0x7c00_0420, "seb", "d,t"),
    Row(0xffe0_07ff, 0x7c00_0620, "seh", "d,t"),
    Row(0xffe0_07ff, 0x7c00_003b, "rdhwr", "t,K"),
    Row(0xfc00_0000, 0x8000_0000, "lb", "t,j(s)"),
    Row(0xfc00_0000, 0x8400_0000, "lh", "t,j(s)"),
    Row(0xfc00_0000, 0x8800_0000, "lwl", "t,j(s)"),
    Row(0xfc00_0000, 0x8c00_0000, "lw", "t,j(s)"),
    Row(0xfc00_0000, 0x9000_0000, "lbu", "t,j(s)"),
    Row(0xfc00_0000, 0x9400_0000, "lhu", "t,j(s)"),
    Row(0xfc00_0000, 0x9800_0000, "lwr", "t,j(s)"),
    Row(0xfc00_0000, 0xa000_0000, "sb", "t,j(s)"),
    Row(0xfc00_0000, 0xa400_0000, "sh", "t,j(s)"),
    Row(0xfc00_0000, 0xa800_0000, "swl", "t,j(s)"),
    Row(0xfc00_0000, 0xac00_0000, "sw", "t,j(s)"),
    Row(0xfc00_0000, 0xb800_0000, "swr", "t,j(s)"),
    Row(0xfc00_0000, 0xbc00_0000, "cache", "h,j(s)"),
    Row(0xfc00_0000, 0xc000_0000, "ll", "t,j(s)"),
    Row(0xfc00_0000, 0xc400_0000, "lwc1", "T,j(s)"),
    Row(0xfc00_0000, 0xcc00_0000, "pref", "h,j(s)"),
    Row(0xfc00_0000, 0xd400_0000, "ldc1", "T,j(s)"),
    Row(0xfc00_0000, 0xe000_0000, "sc", "t,j(s)"),
    Row(0xfc00_0000, 0xe400_0000, "swc1", "T,j(s)"),
    Row(0xfc00_0000, 0xf400_0000, "sdc1", "T,j(s)"),
    // The FPU's indexed ones, and sums of products.
    Row(0xfc00_f83f, 0x4c00_0000, "lwxc1", "E,t(s)"),
    Row(0xfc00_f83f, 0x4c00_0001, "ldxc1", "E,t(s)"),
    Row(0xfc00_f83f, 0x4c00_0005, "luxc1", "E,t(s)"),
    Row(0xfc00_07ff, 0x4c00_0008, "swxc1", "S,t(s)"),
    Row(0xfc00_07ff, 0x4c00_0009, "sdxc1", "S,t(s)"),
    Row(0xfc00_07ff, 0x4c00_000d, "suxc1", "S,t(s)"),
    Row(0xfc00_07ff, 0x4c00_000f, "prefx", "g,t(s)"),
    Row(0xfc00_003f, 0x4c00_001e, "alnv.ps", "E,S,T,s"),
    Row(0xfc00_003f, 0x4c00_0020, "madd.s", "E,R,S,T"),
    Row(0xfc00_003f, 0x4c00_0021, "madd.d", "E,R,S,T"),
    Row(0xfc00_003f, 0x4c00_0026, "madd.ps", "E,R,S,T"),
    Row(0xfc00_003f, 0x4c00_0028, "msub.s", "E,R,S,T"),
    Row(0xfc00_003f, 0x4c00_0029, "msub.d", "E,R,S,T"),
    Row(0xfc00_003f, 0x4c00_002e, "msub.ps", "E,R,S,T"),
    Row(0xfc00_003f, 0x4c00_0030, "nmadd.s", "E,R,S,T"),
    Row(0xfc00_003f, 0x4c00_0031, "nmadd.d", "E,R,S,T"),
    Row(0xfc00_003f, 0x4c00_0036, "nmadd.ps", "E,R,S,T"),
    Row(0xfc00_003f, 0x4c00_0038, "nmsub.s", "E,R,S,T"),
    Row(0xfc00_003f, 0x4c00_0039, "nmsub.d", "E,R,S,T"),
    Row(0xfc00_003f, 0x4c00_003e, "nmsub.ps", "E,R,S,T"),
];

/// Those on 64 bits, which come first where there are some.
#[rustfmt::skip]
const WIDE_ROWS: &[Row] = &[
    Row(0xfc1f_07ff, 0x0000_002d, "move", "d,s"),
    Row(0xffe0_07ff, 0x0000_002e, "dneg", "d,t"),
    Row(0xffe0_07ff, 0x0000_002f, "dnegu", "d,t"),
    Row(0xfc00_07ff, 0x0000_0014, "dsllv", "d,t,s"),
    Row(0xfc00_07ff, 0x0000_0016, "dsrlv", "d,t,s"),
    Row(0xfc00_07ff, 0x0000_0056, "drorv", "d,t,s"),
    Row(0xfc00_07ff, 0x0000_0017, "dsrav", "d,t,s"),
    Row(0xfc00_ffff, 0x0000_001c, "dmult", "s,t"),
    Row(0xfc00_ffff, 0x0000_001d, "dmultu", "s,t"),
    Row(0xfc00_ffff, 0x0000_001e, "ddiv", "0,s,t"),
    Row(0xfc00_ffff, 0x0000_001f, "ddivu", "0,s,t"),
    Row(0xfc00_07ff, 0x0000_002c, "dadd", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_002d, "daddu", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_002e, "dsub", "d,s,t"),
    Row(0xfc00_07ff, 0x0000_002f, "dsubu", "d,s,t"),
    Row(0xffe0_003f, 0x0000_0038, "dsll", "d,t,<"),
    Row(0xffe0_003f, 0x0000_003a, "dsrl", "d,t,<"),
    Row(0xffe0_003f, 0x0020_003a, "dror", "d,t,<"),
    Row(0xffe0_003f, 0x0000_003b, "dsra", "d,t,<"),
    Row(0xffe0_003f, 0x0000_003c, "dsll32", "d,t,<"),
    Row(0xffe0_003f, 0x0000_003e, "dsrl32", "d,t,<"),
    Row(0xffe0_003f, 0x0020_003e, "dror32", "d,t,<"),
    Row(0xffe0_003f, 0x0000_003f, "dsra32", "d,t,<"),
    Row(0xfc00_0000, 0x6000_0000, "daddi", "t,s,j"),
    Row(0xffe0_0000, 0x6400_0000, "dli", "t,j"),
    Row(0xfc00_0000, 0x6400_0000, "daddiu", "t,s,j"),
    Row(0xfc00_0000, 0x6800_0000, "ldl", "t,j(s)"),
    Row(0xfc00_0000, 0x6c00_0000, "ldr", "t,j(s)"),
    Row(0xfc00_0000, 0x9c00_0000, "lwu", "t,j(s)"),
    Row(0xfc00_0000, 0xb000_0000, "sdl", "t,j(s)"),
    Row(0xfc00_0000, 0xb400_0000, "sdr", "t,j(s)"),
    Row(0xfc00_0000, 0xd000_0000, "lld", "t,j(s)"),
    Row(0xfc00_0000, 0xdc00_0000, "ld", "t,j(s)"),
    Row(0xfc00_0000, 0xf000_0000, "scd", "t,j(s)"),
    Row(0xfc00_0000, 0xfc00_0000, "sd", "t,j(s)"),
    Row(0xffe0_07f8, 0x4020_0000, "dmfc0", "t,G"),
    Row(0xffe0_07f8, 0x40a0_0000, "dmtc0", "t,G"),
    Row(0xffe0_07ff, 0x4420_0000, "dmfc1", "t,S"),
    Row(0xffe0_07ff, 0x44a0_0000, "dmtc1", "t,S"),
    Row(0xfc00_07ff, 0x7000_0024, "dclz", "d,s="),
    Row(0xfc00_07ff, 0x7000_0025, "dclo", "d,s="),
    Row(0xfc00_003f, 0x7c00_0001, "dextm", "t,s,b,W"),
    Row(0xfc00_003f, 0x7c00_0002, "dextu", "t,s,B,n"),
    Row(0xfc00_003f, 0x7c00_0003, "dext", "t,s,b,n"),
    Row(0xfc00_003f, 0x7c00_0005, "dinsm", "t,s,b,w"),
    Row(0xfc00_003f, 0x7c00_0006, "dinsu", "t,s,B,m"),
    Row(0xfc00_003f, 0x7c00_0007, "dins", "t,s,b,m"),
    Row(0xffe0_07ff, 0x7c00_00a4, "dsbh", "d,t"),
    Row(0xffe0_07ff, 0x7c00_0164, "dshd", "d,t"),
];

/// Formats of floating point instructions, by bits 25-21 less 16: their suffixes.
const FORMATS: [(u32, &str); 5] = [(16, "s"), (17, "d"), (20, "w"), (21, "l"), (22, "ps")];

/// What the FPU does in these formats: bits 5-0, the formats by their suffixes, the name, and the operands.
#[rustfmt::skip]
const FPU: &[(u32, &str, &str, &str)] = &[
    (0x00, "s d ps", "add", "E,S,T"),
    (0x01, "s d ps", "sub", "E,S,T"),
    (0x02, "s d ps", "mul", "E,S,T"),
    (0x03, "s d", "div", "E,S,T"),
    (0x04, "s d", "sqrt", "E,S"),
    (0x05, "s d ps", "abs", "E,S"),
    (0x06, "s d ps", "mov", "E,S"),
    (0x07, "s d ps", "neg", "E,S"),
    (0x08, "s d", "round.l", "E,S"),
    (0x09, "s d", "trunc.l", "E,S"),
    (0x0a, "s d", "ceil.l", "E,S"),
    (0x0b, "s d", "floor.l", "E,S"),
    (0x0c, "s d", "round.w", "E,S"),
    (0x0d, "s d", "trunc.w", "E,S"),
    (0x0e, "s d", "ceil.w", "E,S"),
    (0x0f, "s d", "floor.w", "E,S"),
    (0x12, "s d ps", "movz", "E,S,t"),
    (0x13, "s d ps", "movn", "E,S,t"),
    (0x15, "s d", "recip", "E,S"),
    (0x16, "s d", "rsqrt", "E,S"),
    (0x20, "d w l", "cvt.s", "E,S"),
    (0x20, "ps", "cvt.s.pu", "E,S"),
    (0x21, "s w l", "cvt.d", "E,S"),
    (0x24, "s d", "cvt.w", "E,S"),
    (0x25, "s d", "cvt.l", "E,S"),
    (0x26, "s", "cvt.ps", "E,S,T"),
    (0x28, "ps", "cvt.s.pl", "E,S"),
    (0x2c, "ps", "pll.ps", "E,S,T"),
    (0x2d, "ps", "plu.ps", "E,S,T"),
    (0x2e, "ps", "pul.ps", "E,S,T"),
    (0x2f, "ps", "puu.ps", "E,S,T"),
];

/// The comparisons, by bits 3-0.
const COMPARISONS: [&str; 16] = [
    "f", "un", "eq", "ueq", "olt", "ult", "ole", "ule", "sf", "ngle", "seq", "ngl", "lt", "nge",
    "le", "ngt",
];

/// Registers of coprocessor 0, by number and `sel`, as objdump calls them.
#[rustfmt::skip]
const CP0: &[(u32, u32, &str)] = &[
    (0, 0, "index"), (0, 1, "mvpcontrol"), (0, 2, "mvpconf0"), (0, 3, "mvpconf1"), (1, 0, "random"), (1, 1, "vpecontrol"),
    (1, 2, "vpeconf0"), (1, 3, "vpeconf1"), (1, 4, "yqmask"), (1, 5, "vpeschedule"), (1, 6, "vpeschefback"), (1, 7, "vpeopt"), (2, 0, "entrylo0"), (2, 1, "tcstatus"),
    (2, 2, "tcbind"), (2, 3, "tcrestart"), (2, 4, "tchalt"), (2, 5, "tccontext"), (2, 6, "tcschedule"), (2, 7, "tcschefback"), (3, 0, "entrylo1"),
    (4, 0, "context"), (4, 1, "contextconfig"), (5, 0, "pagemask"), (5, 1, "pagegrain"), (6, 0, "wired"), (6, 1, "srsconf0"), (6, 2, "srsconf1"),
    (6, 3, "srsconf2"), (6, 4, "srsconf3"), (6, 5, "srsconf4"), (7, 0, "hwrena"), (8, 0, "badvaddr"), (9, 0, "count"), (10, 0, "entryhi"),
    (11, 0, "compare"), (12, 0, "status"), (12, 1, "intctl"), (12, 2, "srsctl"), (12, 3, "srsmap"), (13, 0, "cause"), (14, 0, "epc"),
    (15, 0, "prid"), (15, 1, "ebase"), (16, 0, "config"), (16, 1, "config1"), (16, 2, "config2"), (16, 3, "config3"), (17, 0, "lladdr"),
    (18, 0, "watchlo"), (18, 1, "watchlo,1"), (18, 2, "watchlo,2"), (18, 3, "watchlo,3"), (18, 4, "watchlo,4"), (18, 5, "watchlo,5"), (18, 6, "watchlo,6"), (18, 7, "watchlo,7"),
    (19, 0, "watchhi"), (19, 1, "watchhi,1"), (19, 2, "watchhi,2"), (19, 3, "watchhi,3"), (19, 4, "watchhi,4"), (19, 5, "watchhi,5"), (19, 6, "watchhi,6"), (19, 7, "watchhi,7"),
    (20, 0, "xcontext"), (23, 0, "debug"), (23, 1, "tracecontrol"), (23, 2, "tracecontrol2"), (23, 3, "usertracedata"), (23, 4, "tracebpc"), (24, 0, "depc"),
    (25, 0, "perfcnt"), (25, 1, "perfcnt,1"), (25, 2, "perfcnt,2"), (25, 3, "perfcnt,3"), (25, 4, "perfcnt,4"), (25, 5, "perfcnt,5"), (25, 6, "perfcnt,6"), (25, 7, "perfcnt,7"),
    (26, 0, "errctl"), (27, 0, "cacheerr"), (27, 1, "cacheerr,1"), (27, 2, "cacheerr,2"), (27, 3, "cacheerr,3"), (28, 0, "taglo"), (28, 1, "datalo"), (28, 2, "taglo1"), (28, 3, "datalo1"),
    (28, 4, "taglo2"), (28, 5, "datalo2"), (28, 6, "taglo3"), (28, 7, "datalo3"), (29, 0, "taghi"), (29, 1, "datahi"), (29, 2, "taghi1"), (29, 3, "datahi1"),
    (29, 4, "taghi2"), (29, 5, "datahi2"), (29, 6, "taghi3"), (29, 7, "datahi3"), (30, 0, "errorepc"), (31, 0, "desave"),
];

/// The word at this address as an instruction of Release 2, or as a word.
pub fn disassemble<W: Width>(pc: W, word: u32) -> Disassembled {
    let wide: &[Row] = if W::WIDE { WIDE_ROWS } else { &[] };
    let row = wide
        .iter()
        .chain(ROWS)
        .find(|row| word & row.0 == row.1 && sound(word, row.3));
    let found = match row {
        Some(row) => Some((row.2.to_owned(), row.3)),
        None if word >> 26 == 0x11 => fpu(word),
        None => None,
    };
    let mut target = None;
    let text = found.map(|(name, operands)| {
        let text = print(pc, word, operands, &mut target);
        match text.is_empty() {
            true => name,
            false => format!("{name}\t{text}"),
        }
    });
    Disassembled {
        text: text.unwrap_or_else(|| format!(".word\t{word:#010x}")),
        length: 4,
        target: target.map(Into::into),
    }
}

/// Whether fields of an instruction go together.
fn sound(word: u32, operands: &str) -> bool {
    let field = |shift: u32| word >> shift & 31;
    match operands {
        // The two registers are the same.
        "d,s=" => field(16) == field(11),
        "t,s,b,m" | "t,s,B,m" => field(11) >= field(6),
        "t,s,B,n" => field(11) + 1 + field(6) <= 32,
        "t,s,b,W" => field(11) + 1 + field(6) <= 32,
        _ => true,
    }
}

fn fpu(word: u32) -> Option<(String, &'static str)> {
    let format = word >> 21 & 31;
    let suffix = FORMATS.iter().find(|(number, _)| *number == format)?.1;
    let function = word & 63;
    if function >= 0x30 && word & 0xc0 == 0 && ["s", "d", "ps"].contains(&suffix) {
        let name = COMPARISONS[(function & 15) as usize];
        return Some((format!("c.{name}.{suffix}"), "NS,T"));
    }
    if function == 0x11 && ["s", "d", "ps"].contains(&suffix) && word >> 17 & 1 == 0 {
        let name = if word >> 16 & 1 == 0 { "movf" } else { "movt" };
        return Some((format!("{name}.{suffix}"), "E,S,M"));
    }
    let fits = |row: &&(u32, &str, &str, &str)| {
        row.0 == function && row.1.split(' ').any(|s| s == suffix) && {
            // What it has no operand for is zero.
            row.3.contains(['T', 't']) || word >> 16 & 31 == 0
        }
    };
    let row = FPU.iter().find(fits)?;
    let whole = row.2.ends_with(".ps") || row.2.contains(".p");
    let name = match whole && row.2 != "cvt.ps" {
        true => row.2.to_owned(),
        false => format!("{}.{suffix}", row.2),
    };
    Some((name, row.3))
}

fn print<W: Width>(pc: W, word: u32, operands: &str, target: &mut Option<W>) -> String {
    let field = |shift: u32| word >> shift & 31;
    let general = |shift: u32| GENERAL[field(shift) as usize].0.to_owned();
    let float = |shift: u32| format!("$f{}", field(shift));
    let half = word as u16;
    let mut leads = |to: W| {
        *target = Some(to);
        format!("{to:#x}")
    };
    let mut text = String::new();
    for letter in operands.chars() {
        text += &match letter {
            's' => general(21),
            't' => general(16),
            'd' => general(11),
            'R' => float(21),
            'T' => float(16),
            'S' => float(11),
            'E' => float(6),
            'j' => (half as i16).to_string(),
            'i' => format!("{half:#x}"),
            'p' => {
                let by = i32::from(half as i16) << 2;
                leads(pc.offset(4).offset(by.cast_unsigned()))
            }
            'a' => {
                leads(pc.offset(4) & W::signed(0xf000_0000) | ((word & 0x03ff_ffff) << 2).into())
            }
            '<' => format!("{:#x}", field(6)),
            'b' => format!("{:#x}", field(6)),
            'm' => format!("{:#x}", field(11) - field(6) + 1),
            'n' => format!("{:#x}", field(11) + 1),
            'B' => format!("{:#x}", field(6) + 32),
            'W' => format!("{:#x}", field(11) + 33),
            'w' => format!("{:#x}", field(11) + 33 - field(6)),
            'h' => format!("{:#x}", field(16)),
            'g' => format!("{:#x}", field(11)),
            'q' => format!("{:#x}", word >> 6 & 0x3ff),
            'x' => format!("{:#x}", word >> 6 & 0xf_ffff),
            'y' => format!("{:#x}", word >> 16 & 0x3ff),
            'z' => format!("{:#x}", word >> 6 & 0x3ff),
            'u' => format!("{:#x}", word >> 6 & 0x7_ffff),
            'G' => {
                let (number, sel) = (field(11), word & 7);
                let known = CP0.iter().find(|row| (row.0, row.1) == (number, sel));
                match (known, sel) {
                    (Some(row), _) => format!("c0_{}", row.2),
                    (None, 0) => format!("${number}"),
                    (None, sel) => format!("${number},{sel}"),
                }
            }
            '0' => GENERAL[0].0.to_owned(),
            'H' => control(field(11)),
            'K' => hardware(field(11)),
            'C' => match word >> 18 & 7 {
                0 => String::new(),
                code => format!("$fcc{code},"),
            },
            'N' => match word >> 8 & 7 {
                0 => String::new(),
                code => format!("$fcc{code},"),
            },
            'M' => format!("$fcc{}", word >> 18 & 7),
            // What `sound` has looked at.
            '=' => String::new(),
            // What is between operands.
            other => other.to_string(),
        };
    }
    text
}

/// A control register of the FPU.
fn control(number: u32) -> String {
    match number {
        0 => "c1_fir".to_owned(),
        1 => "c1_ufr".to_owned(),
        4 => "c1_unfr".to_owned(),
        25 => "c1_fccr".to_owned(),
        26 => "c1_fexr".to_owned(),
        28 => "c1_fenr".to_owned(),
        31 => "c1_fcsr".to_owned(),
        other => format!("${other}"),
    }
}

/// A hardware register.
fn hardware(number: u32) -> String {
    match number {
        0 => "hwr_cpunum".to_owned(),
        1 => "hwr_synci_step".to_owned(),
        2 => "hwr_cc".to_owned(),
        3 => "hwr_ccres".to_owned(),
        other => format!("${other}"),
    }
}
