//! Instructions as text, as binutils' objdump writes them.

use solderless_model::Disassembled;

use crate::decode::{expand, is_long};

/// An instruction: what it has in the bits of the mask, its name, and its operands.
///
/// In the operands a letter stands for a field, all else for itself. `d`, `s`, `t`: rd, rs1 and rs2 as integer registers, and `D`, `S`, `T`, `R`
/// as floating point ones, the last rs3. `j`, `q`: the number of a load and of a store; `p`, `a`: where a branch or jump leads; `u`: the upper 20 bits; `>`, `<`: how
/// far it is shifted; `E`, `Z`: a CSR, and a number for one; `m`: how it is rounded, if not as FCSR says; `P`, `Q`: what a fence is
/// between. In a name `@` stands for how an atomic operation is ordered.
struct Row(u32, u32, &'static str, &'static str);

/// The instructions, a name for a case of another before that.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row(0xffff_ffff, 0x0000_0013, "nop", ""),
    Row(0x000f_f07f, 0x0000_0013, "li", "d,j"),
    Row(0xfff0_707f, 0x0000_0013, "mv", "d,s"),
    Row(0xfff0_707f, 0xfff0_4013, "not", "d,s"),
    Row(0xfff0_707f, 0x0ff0_7013, "zext.b", "d,s"),
    Row(0xfff0_707f, 0x0000_001b, "sext.w", "d,s"),
    Row(0xfff0_707f, 0x0010_3013, "seqz", "d,s"),
    Row(0xfe0f_f07f, 0x0000_3033, "snez", "d,t"),
    Row(0xfff0_707f, 0x0000_2033, "sltz", "d,s"),
    Row(0xfe0f_f07f, 0x0000_2033, "sgtz", "d,t"),
    Row(0xfe0f_f07f, 0x4000_0033, "neg", "d,t"),
    Row(0xfe0f_f07f, 0x4000_003b, "negw", "d,t"),
    Row(0xfff0_707f, 0x0800_403b, "zext.h", "d,s"),
    Row(0xfff0_707f, 0x0800_003b, "zext.w", "d,s"),
    Row(0x01f0_707f, 0x0000_0063, "beqz", "s,p"),
    Row(0x01f0_707f, 0x0000_1063, "bnez", "s,p"),
    Row(0x01f0_707f, 0x0000_4063, "bltz", "s,p"),
    Row(0x01f0_707f, 0x0000_5063, "bgez", "s,p"),
    Row(0x000f_f07f, 0x0000_4063, "bgtz", "t,p"),
    Row(0x000f_f07f, 0x0000_5063, "blez", "t,p"),
    Row(0x0000_0fff, 0x0000_006f, "j", "a"),
    Row(0x0000_0fff, 0x0000_00ef, "jal", "a"),
    Row(0xffff_ffff, 0x0000_8067, "ret", ""),
    Row(0xfff0_7fff, 0x0000_0067, "jr", "s"),
    Row(0x0000_7fff, 0x0000_0067, "jr", "j(s)"),
    Row(0xfff0_7fff, 0x0000_00e7, "jalr", "s"),
    Row(0x0000_7fff, 0x0000_00e7, "jalr", "j(s)"),
    Row(0xfff0_707f, 0x0000_0067, "jalr", "d,s"),
    Row(0x0000_007f, 0x0000_0037, "lui", "d,u"),
    Row(0x0000_007f, 0x0000_0017, "auipc", "d,u"),
    Row(0x0000_007f, 0x0000_006f, "jal", "d,a"),
    Row(0x0000_707f, 0x0000_0067, "jalr", "d,j(s)"),
    Row(0x0000_707f, 0x0000_0063, "beq", "s,t,p"),
    Row(0x0000_707f, 0x0000_1063, "bne", "s,t,p"),
    Row(0x0000_707f, 0x0000_4063, "blt", "s,t,p"),
    Row(0x0000_707f, 0x0000_5063, "bge", "s,t,p"),
    Row(0x0000_707f, 0x0000_6063, "bltu", "s,t,p"),
    Row(0x0000_707f, 0x0000_7063, "bgeu", "s,t,p"),
    Row(0x0000_707f, 0x0000_0003, "lb", "d,j(s)"),
    Row(0x0000_707f, 0x0000_1003, "lh", "d,j(s)"),
    Row(0x0000_707f, 0x0000_2003, "lw", "d,j(s)"),
    Row(0x0000_707f, 0x0000_3003, "ld", "d,j(s)"),
    Row(0x0000_707f, 0x0000_4003, "lbu", "d,j(s)"),
    Row(0x0000_707f, 0x0000_5003, "lhu", "d,j(s)"),
    Row(0x0000_707f, 0x0000_6003, "lwu", "d,j(s)"),
    Row(0x0000_707f, 0x0000_0023, "sb", "t,q(s)"),
    Row(0x0000_707f, 0x0000_1023, "sh", "t,q(s)"),
    Row(0x0000_707f, 0x0000_2023, "sw", "t,q(s)"),
    Row(0x0000_707f, 0x0000_3023, "sd", "t,q(s)"),
    Row(0x0000_707f, 0x0000_0013, "addi", "d,s,j"),
    Row(0x0000_707f, 0x0000_2013, "slti", "d,s,j"),
    Row(0x0000_707f, 0x0000_3013, "sltiu", "d,s,j"),
    Row(0x0000_707f, 0x0000_4013, "xori", "d,s,j"),
    Row(0x0000_707f, 0x0000_6013, "ori", "d,s,j"),
    Row(0x0000_707f, 0x0000_7013, "andi", "d,s,j"),
    Row(0xfc00_707f, 0x0000_1013, "slli", "d,s,>"),
    Row(0xfc00_707f, 0x0000_5013, "srli", "d,s,>"),
    Row(0xfc00_707f, 0x4000_5013, "srai", "d,s,>"),
    Row(0xfc00_707f, 0x2800_1013, "bseti", "d,s,>"),
    Row(0xfc00_707f, 0x4800_1013, "bclri", "d,s,>"),
    Row(0xfc00_707f, 0x6800_1013, "binvi", "d,s,>"),
    Row(0xfc00_707f, 0x4800_5013, "bexti", "d,s,>"),
    Row(0xfc00_707f, 0x6000_5013, "rori", "d,s,>"),
    Row(0xfff0_707f, 0x6000_1013, "clz", "d,s"),
    Row(0xfff0_707f, 0x6010_1013, "ctz", "d,s"),
    Row(0xfff0_707f, 0x6020_1013, "cpop", "d,s"),
    Row(0xfff0_707f, 0x6040_1013, "sext.b", "d,s"),
    Row(0xfff0_707f, 0x6050_1013, "sext.h", "d,s"),
    Row(0xfff0_707f, 0x2870_5013, "orc.b", "d,s"),
    Row(0xfff0_707f, 0x6b80_5013, "rev8", "d,s"),
    Row(0x0000_707f, 0x0000_001b, "addiw", "d,s,j"),
    Row(0xfe00_707f, 0x0000_101b, "slliw", "d,s,<"),
    Row(0xfe00_707f, 0x0000_501b, "srliw", "d,s,<"),
    Row(0xfe00_707f, 0x4000_501b, "sraiw", "d,s,<"),
    Row(0xfc00_707f, 0x0800_101b, "slli.uw", "d,s,>"),
    Row(0xfe00_707f, 0x6000_501b, "roriw", "d,s,<"),
    Row(0xfff0_707f, 0x6000_101b, "clzw", "d,s"),
    Row(0xfff0_707f, 0x6010_101b, "ctzw", "d,s"),
    Row(0xfff0_707f, 0x6020_101b, "cpopw", "d,s"),
    Row(0xfe00_707f, 0x0000_0033, "add", "d,s,t"),
    Row(0xfe00_707f, 0x4000_0033, "sub", "d,s,t"),
    Row(0xfe00_707f, 0x0000_1033, "sll", "d,s,t"),
    Row(0xfe00_707f, 0x0000_2033, "slt", "d,s,t"),
    Row(0xfe00_707f, 0x0000_3033, "sltu", "d,s,t"),
    Row(0xfe00_707f, 0x0000_4033, "xor", "d,s,t"),
    Row(0xfe00_707f, 0x0000_5033, "srl", "d,s,t"),
    Row(0xfe00_707f, 0x4000_5033, "sra", "d,s,t"),
    Row(0xfe00_707f, 0x0000_6033, "or", "d,s,t"),
    Row(0xfe00_707f, 0x0000_7033, "and", "d,s,t"),
    Row(0xfe00_707f, 0x0200_0033, "mul", "d,s,t"),
    Row(0xfe00_707f, 0x0200_1033, "mulh", "d,s,t"),
    Row(0xfe00_707f, 0x0200_2033, "mulhsu", "d,s,t"),
    Row(0xfe00_707f, 0x0200_3033, "mulhu", "d,s,t"),
    Row(0xfe00_707f, 0x0200_4033, "div", "d,s,t"),
    Row(0xfe00_707f, 0x0200_5033, "divu", "d,s,t"),
    Row(0xfe00_707f, 0x0200_6033, "rem", "d,s,t"),
    Row(0xfe00_707f, 0x0200_7033, "remu", "d,s,t"),
    Row(0xfe00_707f, 0x2000_2033, "sh1add", "d,s,t"),
    Row(0xfe00_707f, 0x2000_4033, "sh2add", "d,s,t"),
    Row(0xfe00_707f, 0x2000_6033, "sh3add", "d,s,t"),
    Row(0xfe00_707f, 0x4000_4033, "xnor", "d,s,t"),
    Row(0xfe00_707f, 0x4000_6033, "orn", "d,s,t"),
    Row(0xfe00_707f, 0x4000_7033, "andn", "d,s,t"),
    Row(0xfe00_707f, 0x0a00_4033, "min", "d,s,t"),
    Row(0xfe00_707f, 0x0a00_5033, "minu", "d,s,t"),
    Row(0xfe00_707f, 0x0a00_6033, "max", "d,s,t"),
    Row(0xfe00_707f, 0x0a00_7033, "maxu", "d,s,t"),
    Row(0xfe00_707f, 0x6000_1033, "rol", "d,s,t"),
    Row(0xfe00_707f, 0x6000_5033, "ror", "d,s,t"),
    Row(0xfe00_707f, 0x2800_1033, "bset", "d,s,t"),
    Row(0xfe00_707f, 0x4800_1033, "bclr", "d,s,t"),
    Row(0xfe00_707f, 0x4800_5033, "bext", "d,s,t"),
    Row(0xfe00_707f, 0x6800_1033, "binv", "d,s,t"),
    Row(0xfe00_707f, 0x0000_003b, "addw", "d,s,t"),
    Row(0xfe00_707f, 0x4000_003b, "subw", "d,s,t"),
    Row(0xfe00_707f, 0x0000_103b, "sllw", "d,s,t"),
    Row(0xfe00_707f, 0x0000_503b, "srlw", "d,s,t"),
    Row(0xfe00_707f, 0x4000_503b, "sraw", "d,s,t"),
    Row(0xfe00_707f, 0x0200_003b, "mulw", "d,s,t"),
    Row(0xfe00_707f, 0x0200_403b, "divw", "d,s,t"),
    Row(0xfe00_707f, 0x0200_503b, "divuw", "d,s,t"),
    Row(0xfe00_707f, 0x0200_603b, "remw", "d,s,t"),
    Row(0xfe00_707f, 0x0200_703b, "remuw", "d,s,t"),
    Row(0xfe00_707f, 0x0800_003b, "add.uw", "d,s,t"),
    Row(0xfe00_707f, 0x2000_203b, "sh1add.uw", "d,s,t"),
    Row(0xfe00_707f, 0x2000_403b, "sh2add.uw", "d,s,t"),
    Row(0xfe00_707f, 0x2000_603b, "sh3add.uw", "d,s,t"),
    Row(0xfe00_707f, 0x6000_103b, "rolw", "d,s,t"),
    Row(0xfe00_707f, 0x6000_503b, "rorw", "d,s,t"),
    Row(0xffff_ffff, 0x0ff0_000f, "fence", ""),
    Row(0xffff_ffff, 0x8330_000f, "fence.tso", ""),
    Row(0xf00f_ffff, 0x0000_000f, "fence", "P,Q"),
    Row(0xffff_ffff, 0x0000_100f, "fence.i", ""),
    Row(0xfff0_7fff, 0x0000_200f, "cbo.inval", "(s)"),
    Row(0xfff0_7fff, 0x0010_200f, "cbo.clean", "(s)"),
    Row(0xfff0_7fff, 0x0020_200f, "cbo.flush", "(s)"),
    Row(0xfff0_7fff, 0x0040_200f, "cbo.zero", "(s)"),
    Row(0xf9f0_707f, 0x1000_202f, "lr.w@", "d,(s)"),
    Row(0xf800_707f, 0x1800_202f, "sc.w@", "d,t,(s)"),
    Row(0xf800_707f, 0x0800_202f, "amoswap.w@", "d,t,(s)"),
    Row(0xf800_707f, 0x0000_202f, "amoadd.w@", "d,t,(s)"),
    Row(0xf800_707f, 0x2000_202f, "amoxor.w@", "d,t,(s)"),
    Row(0xf800_707f, 0x6000_202f, "amoand.w@", "d,t,(s)"),
    Row(0xf800_707f, 0x4000_202f, "amoor.w@", "d,t,(s)"),
    Row(0xf800_707f, 0x8000_202f, "amomin.w@", "d,t,(s)"),
    Row(0xf800_707f, 0xa000_202f, "amomax.w@", "d,t,(s)"),
    Row(0xf800_707f, 0xc000_202f, "amominu.w@", "d,t,(s)"),
    Row(0xf800_707f, 0xe000_202f, "amomaxu.w@", "d,t,(s)"),
    Row(0xf9f0_707f, 0x1000_302f, "lr.d@", "d,(s)"),
    Row(0xf800_707f, 0x1800_302f, "sc.d@", "d,t,(s)"),
    Row(0xf800_707f, 0x0800_302f, "amoswap.d@", "d,t,(s)"),
    Row(0xf800_707f, 0x0000_302f, "amoadd.d@", "d,t,(s)"),
    Row(0xf800_707f, 0x2000_302f, "amoxor.d@", "d,t,(s)"),
    Row(0xf800_707f, 0x6000_302f, "amoand.d@", "d,t,(s)"),
    Row(0xf800_707f, 0x4000_302f, "amoor.d@", "d,t,(s)"),
    Row(0xf800_707f, 0x8000_302f, "amomin.d@", "d,t,(s)"),
    Row(0xf800_707f, 0xa000_302f, "amomax.d@", "d,t,(s)"),
    Row(0xf800_707f, 0xc000_302f, "amominu.d@", "d,t,(s)"),
    Row(0xf800_707f, 0xe000_302f, "amomaxu.d@", "d,t,(s)"),
    Row(0x0000_707f, 0x0000_2007, "flw", "D,j(s)"),
    Row(0x0000_707f, 0x0000_3007, "fld", "D,j(s)"),
    Row(0x0000_707f, 0x0000_2027, "fsw", "T,q(s)"),
    Row(0x0000_707f, 0x0000_3027, "fsd", "T,q(s)"),
    Row(0xffff_ffff, 0x0000_0073, "ecall", ""),
    Row(0xffff_ffff, 0x0010_0073, "ebreak", ""),
    Row(0xffff_ffff, 0x3020_0073, "mret", ""),
    Row(0xffff_ffff, 0x1020_0073, "sret", ""),
    Row(0xffff_ffff, 0x1050_0073, "wfi", ""),
    Row(0xffff_ffff, 0x1200_0073, "sfence.vma", ""),
    Row(0xfff0_7fff, 0x1200_0073, "sfence.vma", "s"),
    Row(0xfe00_7fff, 0x1200_0073, "sfence.vma", "s,t"),
    Row(0xfe00_7fff, 0x1600_0073, "sinval.vma", "s,t"),
    Row(0xffff_ffff, 0x1800_0073, "sfence.w.inval", ""),
    Row(0xffff_ffff, 0x1810_0073, "sfence.inval.ir", ""),
    Row(0xffff_f07f, 0xc000_2073, "rdcycle", "d"),
    Row(0xffff_f07f, 0xc010_2073, "rdtime", "d"),
    Row(0xffff_f07f, 0xc020_2073, "rdinstret", "d"),
    Row(0xffff_f07f, 0x0010_2073, "frflags", "d"),
    Row(0xffff_f07f, 0x0020_2073, "frrm", "d"),
    Row(0xffff_f07f, 0x0030_2073, "frcsr", "d"),
    Row(0xfff0_7fff, 0x0010_1073, "fsflags", "s"),
    Row(0xfff0_707f, 0x0010_1073, "fsflags", "d,s"),
    Row(0xfff0_7fff, 0x0020_1073, "fsrm", "s"),
    Row(0xfff0_707f, 0x0020_1073, "fsrm", "d,s"),
    Row(0xfff0_7fff, 0x0030_1073, "fscsr", "s"),
    Row(0xfff0_707f, 0x0030_1073, "fscsr", "d,s"),
    Row(0xfff0_707f, 0x0010_5073, "fsflagsi", "d,Z"),
    Row(0xfff0_707f, 0x0020_5073, "fsrmi", "d,Z"),
    Row(0x000f_f07f, 0x0000_2073, "csrr", "d,E"),
    Row(0x0000_7fff, 0x0000_1073, "csrw", "E,s"),
    Row(0x0000_7fff, 0x0000_2073, "csrs", "E,s"),
    Row(0x0000_7fff, 0x0000_3073, "csrc", "E,s"),
    Row(0x0000_7fff, 0x0000_5073, "csrwi", "E,Z"),
    Row(0x0000_7fff, 0x0000_6073, "csrsi", "E,Z"),
    Row(0x0000_7fff, 0x0000_7073, "csrci", "E,Z"),
    Row(0x0000_707f, 0x0000_1073, "csrrw", "d,E,s"),
    Row(0x0000_707f, 0x0000_2073, "csrrs", "d,E,s"),
    Row(0x0000_707f, 0x0000_3073, "csrrc", "d,E,s"),
    Row(0x0000_707f, 0x0000_5073, "csrrwi", "d,E,Z"),
    Row(0x0000_707f, 0x0000_6073, "csrrsi", "d,E,Z"),
    Row(0x0000_707f, 0x0000_7073, "csrrci", "d,E,Z"),
];

/// Floating point instructions of both formats, of which the names begin with `f` and end with the format: where `_` stands.
#[rustfmt::skip]
const FLOATING: &[Row] = &[
    Row(0x0000_007f, 0x0000_0043, "madd_", "D,S,T,Rm"),
    Row(0x0000_007f, 0x0000_0047, "msub_", "D,S,T,Rm"),
    Row(0x0000_007f, 0x0000_004b, "nmsub_", "D,S,T,Rm"),
    Row(0x0000_007f, 0x0000_004f, "nmadd_", "D,S,T,Rm"),
    Row(0xf800_007f, 0x0000_0053, "add_", "D,S,Tm"),
    Row(0xf800_007f, 0x0800_0053, "sub_", "D,S,Tm"),
    Row(0xf800_007f, 0x1000_0053, "mul_", "D,S,Tm"),
    Row(0xf800_007f, 0x1800_0053, "div_", "D,S,Tm"),
    Row(0xf9f0_007f, 0x5800_0053, "sqrt_", "D,Sm"),
    Row(0xf800_707f, 0x2000_0053, "sgnj_", "D,S,T"),
    Row(0xf800_707f, 0x2000_1053, "sgnjn_", "D,S,T"),
    Row(0xf800_707f, 0x2000_2053, "sgnjx_", "D,S,T"),
    Row(0xf800_707f, 0x2800_0053, "min_", "D,S,T"),
    Row(0xf800_707f, 0x2800_1053, "max_", "D,S,T"),
    Row(0xf800_707f, 0xa000_0053, "le_", "d,S,T"),
    Row(0xf800_707f, 0xa000_1053, "lt_", "d,S,T"),
    Row(0xf800_707f, 0xa000_2053, "eq_", "d,S,T"),
    Row(0xf9f0_007f, 0xc000_0053, "cvt.w_", "d,Sm"),
    Row(0xf9f0_007f, 0xc010_0053, "cvt.wu_", "d,Sm"),
    Row(0xf9f0_007f, 0xc020_0053, "cvt.l_", "d,Sm"),
    Row(0xf9f0_007f, 0xc030_0053, "cvt.lu_", "d,Sm"),
    Row(0xf9f0_707f, 0xe000_1053, "class_", "d,S"),
];

/// Those of one format, or between formats.
#[rustfmt::skip]
const BETWEEN: &[Row] = &[
    Row(0xfff0_007f, 0x4010_0053, "fcvt.s.d", "D,Sm"),
    Row(0xfff0_707f, 0x4200_0053, "fcvt.d.s", "D,S"),
    Row(0xfff0_007f, 0xd000_0053, "fcvt.s.w", "D,sm"),
    Row(0xfff0_007f, 0xd010_0053, "fcvt.s.wu", "D,sm"),
    Row(0xfff0_007f, 0xd020_0053, "fcvt.s.l", "D,sm"),
    Row(0xfff0_007f, 0xd030_0053, "fcvt.s.lu", "D,sm"),
    Row(0xfff0_707f, 0xd200_0053, "fcvt.d.w", "D,s"),
    Row(0xfff0_707f, 0xd210_0053, "fcvt.d.wu", "D,s"),
    Row(0xfff0_007f, 0xd220_0053, "fcvt.d.l", "D,sm"),
    Row(0xfff0_007f, 0xd230_0053, "fcvt.d.lu", "D,sm"),
    Row(0xfff0_707f, 0xe000_0053, "fmv.x.w", "d,S"),
    Row(0xfff0_707f, 0xf000_0053, "fmv.w.x", "D,s"),
    Row(0xfff0_707f, 0xe200_0053, "fmv.x.d", "d,S"),
    Row(0xfff0_707f, 0xf200_0053, "fmv.d.x", "D,s"),
];

const INTEGER: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];

/// How results are rounded.
const ROUNDING: [&str; 8] = [
    "rne", "rtz", "rdn", "rup", "rmm", "unknown", "unknown", "dyn",
];

/// CSRs by number, but for those that come in rows.
#[rustfmt::skip]
const CSRS: &[(u32, &str)] = &[
    (0x001, "fflags"), (0x002, "frm"), (0x003, "fcsr"), (0xc00, "cycle"), (0xc01, "time"), (0xc02, "instret"),
    (0x100, "sstatus"), (0x104, "sie"), (0x105, "stvec"), (0x106, "scounteren"), (0x10a, "senvcfg"), (0x140, "sscratch"),
    (0x141, "sepc"), (0x142, "scause"), (0x143, "stval"), (0x144, "sip"), (0x14d, "stimecmp"), (0x180, "satp"),
    (0xf11, "mvendorid"), (0xf12, "marchid"), (0xf13, "mimpid"), (0xf14, "mhartid"), (0xf15, "mconfigptr"),
    (0x300, "mstatus"), (0x301, "misa"), (0x302, "medeleg"), (0x303, "mideleg"), (0x304, "mie"), (0x305, "mtvec"),
    (0x306, "mcounteren"), (0x30a, "menvcfg"), (0x320, "mcountinhibit"), (0x340, "mscratch"), (0x341, "mepc"),
    (0x342, "mcause"), (0x343, "mtval"), (0x344, "mip"), (0xb00, "mcycle"), (0xb02, "minstret"),
];

/// The instruction with these bits at this address, or a number that is none. Of one of 16 bits only the low half counts.
pub fn disassemble(pc: u64, bits: u32, rv32: bool) -> Disassembled {
    let mut to = None;
    let (length, text) = match is_long(bits as u16) {
        true => (4, long(pc, bits, &mut to)),
        false => {
            let expanded = expand(bits & 0xffff, rv32);
            let text = expanded.and_then(|word| match word & 0xfe0f_f07f {
                // What moves a register is an addition of 16 bits, and one to a number of 32.
                0x0000_0033 => Some(print(pc, word, "mv", "d,t", &mut to)),
                _ => long(pc, word, &mut to),
            });
            (2, text)
        }
    };
    let none = || match length {
        2 => format!(".2byte\t{:#06x}", bits & 0xffff),
        _ => format!(".4byte\t{bits:#010x}"),
    };
    Disassembled {
        text: text.unwrap_or_else(none),
        length,
        target: to,
    }
}

fn long(pc: u64, word: u32, to: &mut Option<u64>) -> Option<String> {
    let fits = |row: &&Row| word & row.0 == row.1;
    if let Some(row) = ROWS.iter().chain(BETWEEN).find(fits) {
        return Some(print(pc, word, row.2, row.3, to));
    }
    let row = FLOATING.iter().find(|row| word & row.0 == row.1)?;
    let suffix = match word >> 25 & 3 {
        0 => ".s",
        1 => ".d",
        _ => return None,
    };
    let same = word >> 15 & 31 == word >> 20 & 31;
    let (name, operands) = match (row.2, same) {
        ("sgnj_", true) => ("mv_", "D,S"),
        ("sgnjn_", true) => ("neg_", "D,S"),
        ("sgnjx_", true) => ("abs_", "D,S"),
        _ => (row.2, row.3),
    };
    let name = format!("f{}", name.replace('_', suffix));
    Some(print(pc, word, &name, operands, to))
}

fn print(pc: u64, word: u32, name: &str, operands: &str, target: &mut Option<u64>) -> String {
    let field = |low: u32| (word >> low & 31) as usize;
    let integer = |low: u32| INTEGER[field(low)].to_owned();
    let float = |low: u32| {
        let number = field(low);
        match number {
            0..8 => format!("ft{number}"),
            8 | 9 => format!("fs{}", number - 8),
            10..18 => format!("fa{}", number - 10),
            18..28 => format!("fs{}", number - 16),
            _ => format!("ft{}", number - 20),
        }
    };
    let mut to = |offset: i32| {
        let to = pc.wrapping_add_signed(offset.into());
        *target = Some(to);
        format!("{to:#x}")
    };
    let mut text = String::new();
    for letter in operands.chars() {
        text += &match letter {
            'd' => integer(7),
            's' => integer(15),
            't' => integer(20),
            'D' => float(7),
            'S' => float(15),
            'T' => float(20),
            'R' => float(27),
            'j' => (word as i32 >> 20).to_string(),
            'q' => (word as i32 >> 25 << 5 | (word >> 7 & 31) as i32).to_string(),
            'p' => to(word as i32 >> 31 << 12
                | ((word & 0x80) << 4 | word >> 20 & 0x7e0 | word >> 7 & 0x1e) as i32),
            'a' => to(word as i32 >> 31 << 20
                | (word & 0xf_f000 | word >> 9 & 0x800 | word >> 20 & 0x7fe) as i32),
            'u' => format!("{:#x}", word >> 12),
            '>' => format!("{:#x}", word >> 20 & 63),
            '<' => format!("{:#x}", word >> 20 & 31),
            'Z' => field(15).to_string(),
            'E' => csr(word >> 20),
            'm' => match word >> 12 & 7 {
                7 => String::new(),
                mode => format!(",{}", ROUNDING[mode as usize]),
            },
            'P' => fence(word >> 24),
            'Q' => fence(word >> 20),
            other => other.to_string(),
        };
    }
    let order = ["", ".rl", ".aq", ".aqrl"][(word >> 25 & 3) as usize];
    let name = name.replace('@', order);
    match text.is_empty() {
        true => name,
        false => format!("{name}\t{text}"),
    }
}

/// What is kept in order by a fence.
fn fence(bits: u32) -> String {
    let all = [(8, 'i'), (4, 'o'), (2, 'r'), (1, 'w')];
    let set: String = all
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, c)| *c)
        .collect();
    match set.is_empty() {
        true => "unknown".to_owned(),
        false => set,
    }
}

fn csr(number: u32) -> String {
    if let Some((_, name)) = CSRS.iter().find(|(n, _)| *n == number) {
        return (*name).to_owned();
    }
    match number {
        0xc03..0xc20 => format!("hpmcounter{}", number - 0xc00),
        0xb03..0xb20 => format!("mhpmcounter{}", number - 0xb00),
        0x323..0x340 => format!("mhpmevent{}", number - 0x320),
        0x3a0..0x3b0 => format!("pmpcfg{}", number - 0x3a0),
        0x3b0..0x3f0 => format!("pmpaddr{}", number - 0x3b0),
        _ => format!("{number:#x}"),
    }
}
