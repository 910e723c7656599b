//! From bits to instructions: the one decoder. A compressed instruction is expanded to the one of 32 bits that it stands for.
//!
//! The RISC-V Instruction Set Manual, volume I (20191213), chapters "RV32/64G Instruction Set Listings" and "C"; the
//! Bit-Manipulation (1.0.0) and Base Cache Management Operation (1.0.1) specifications.

use crate::exec::{Alu, Amo, FpOp};
use crate::inst::{Cbo, Cond, Inst, Kind, Load, SINK};
use crate::model::Identity;

/// Whether an instruction that starts with this halfword has 32 bits.
pub fn is_long(half: u16) -> bool {
    half & 3 == 3
}

/// What an instruction means; only the low halfword of a short one counts.
pub fn decode(raw: u32, id: &Identity) -> Inst {
    if is_long(raw as u16) {
        return decode_long(raw, id).unwrap_or(illegal(raw, 4));
    }
    let half = raw & 0xffff;
    let long = if id.c { expand(half, id.rv32) } else { None };
    match long.and_then(|long| decode_long(long, id)) {
        Some(inst) => Inst {
            raw: half,
            size: 2,
            ..inst
        },
        None => illegal(half, 2),
    }
}

fn illegal(raw: u32, size: u8) -> Inst {
    Inst {
        kind: Kind::Illegal,
        a: SINK,
        b: 0,
        c: 0,
        d: 0,
        imm: 0,
        raw,
        size,
        at: 0,
        index: 0,
    }
}

/// The instruction of 32 bits that a compressed one stands for; `None` if it is reserved.
pub fn expand(half: u32, rv32: bool) -> Option<u32> {
    let bit = |n: u32| half >> n & 1;
    let field = |high: u32, low: u32| half >> low & ((1 << (high - low + 1)) - 1);
    let i = |imm: u32, rs1: u32, funct: u32, rd: u32, opcode: u32| {
        (imm & 0xfff) << 20 | rs1 << 15 | funct << 12 | rd << 7 | opcode
    };
    let s = |imm: u32, rs2: u32, rs1: u32, funct: u32, opcode: u32| {
        (imm >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | funct << 12 | (imm & 31) << 7 | opcode
    };
    let r = |funct7: u32, rs2: u32, rs1: u32, funct: u32, rd: u32, opcode: u32| {
        funct7 << 25 | rs2 << 20 | rs1 << 15 | funct << 12 | rd << 7 | opcode
    };
    let signed = |value: u32, bits: u32| ((value << (32 - bits)) as i32 >> (32 - bits)) as u32;
    let jal = |rd: u32| {
        let imm = bit(12) << 11
            | bit(11) << 4
            | field(10, 9) << 8
            | bit(8) << 10
            | bit(7) << 6
            | bit(6) << 7
            | field(5, 3) << 1
            | bit(2) << 5;
        let imm = signed(imm, 12);
        let placed = (imm >> 20 & 1) << 31
            | (imm >> 1 & 0x3ff) << 21
            | (imm >> 11 & 1) << 20
            | (imm >> 12 & 0xff) << 12;
        placed | rd << 7 | 0x6f
    };
    let branch = |funct: u32, rs1: u32| {
        let imm =
            bit(12) << 8 | field(11, 10) << 3 | field(6, 5) << 6 | field(4, 3) << 1 | bit(2) << 5;
        let imm = signed(imm, 9);
        let placed = (imm >> 12 & 1) << 31
            | (imm >> 5 & 0x3f) << 25
            | (imm >> 1 & 0xf) << 8
            | (imm >> 11 & 1) << 7;
        placed | rs1 << 15 | funct << 12 | 0x63
    };
    let (rd, rs2) = (field(11, 7), field(6, 2));
    let (short_rs1, short_rd) = (8 + field(9, 7), 8 + field(4, 2));
    let imm6 = signed(bit(12) << 5 | field(6, 2), 6);
    let shamt = bit(12) << 5 | field(6, 2);
    let offset_w = field(12, 10) << 3 | bit(6) << 2 | bit(5) << 6;
    let offset_d = field(12, 10) << 3 | field(6, 5) << 6;
    Some(match (half & 3, half >> 13) {
        (0, 0) => {
            let imm = field(12, 11) << 4 | field(10, 7) << 6 | bit(6) << 2 | bit(5) << 3;
            if imm == 0 {
                return None;
            }
            i(imm, 2, 0, short_rd, 0x13)
        }
        (0, 1) => i(offset_d, short_rs1, 3, short_rd, 0x07),
        (0, 2) => i(offset_w, short_rs1, 2, short_rd, 0x03),
        (0, 3) if rv32 => i(offset_w, short_rs1, 2, short_rd, 0x07),
        (0, 3) => i(offset_d, short_rs1, 3, short_rd, 0x03),
        (0, 5) => s(offset_d, short_rd, short_rs1, 3, 0x27),
        (0, 6) => s(offset_w, short_rd, short_rs1, 2, 0x23),
        (0, 7) if rv32 => s(offset_w, short_rd, short_rs1, 2, 0x27),
        (0, 7) => s(offset_d, short_rd, short_rs1, 3, 0x23),
        (1, 0) => i(imm6, rd, 0, rd, 0x13),
        (1, 1) if rv32 => jal(1),
        (1, 1) if rd != 0 => i(imm6, rd, 0, rd, 0x1b),
        (1, 2) => i(imm6, 0, 0, rd, 0x13),
        (1, 3) if rd == 2 => {
            let imm = bit(12) << 9 | bit(6) << 4 | bit(5) << 6 | field(4, 3) << 7 | bit(2) << 5;
            if imm == 0 {
                return None;
            }
            i(signed(imm, 10), 2, 0, 2, 0x13)
        }
        (1, 3) if imm6 != 0 => imm6 << 12 | rd << 7 | 0x37,
        (1, 4) => match (field(11, 10), bit(12), field(6, 5)) {
            (0, ..) => i(shamt, short_rs1, 5, short_rs1, 0x13),
            (1, ..) => i(shamt | 0x400, short_rs1, 5, short_rs1, 0x13),
            (2, ..) => i(imm6, short_rs1, 7, short_rs1, 0x13),
            (_, 0, 0) => r(0x20, short_rd, short_rs1, 0, short_rs1, 0x33),
            (_, 0, 1) => r(0, short_rd, short_rs1, 4, short_rs1, 0x33),
            (_, 0, 2) => r(0, short_rd, short_rs1, 6, short_rs1, 0x33),
            (_, 0, _) => r(0, short_rd, short_rs1, 7, short_rs1, 0x33),
            (_, _, 0) => r(0x20, short_rd, short_rs1, 0, short_rs1, 0x3b),
            (_, _, 1) => r(0, short_rd, short_rs1, 0, short_rs1, 0x3b),
            _ => return None,
        },
        (1, 5) => jal(0),
        (1, 6) => branch(0, short_rs1),
        (1, 7) => branch(1, short_rs1),
        (2, 0) => i(shamt, rd, 1, rd, 0x13),
        (2, 1) => {
            let offset = bit(12) << 5 | field(6, 5) << 3 | field(4, 2) << 6;
            i(offset, 2, 3, rd, 0x07)
        }
        (2, 2 | 3) => {
            let word = bit(12) << 5 | field(6, 4) << 2 | field(3, 2) << 6;
            let double = bit(12) << 5 | field(6, 5) << 3 | field(4, 2) << 6;
            match half >> 13 {
                3 if rv32 => i(word, 2, 2, rd, 0x07),
                _ if rd == 0 => return None,
                2 => i(word, 2, 2, rd, 0x03),
                _ => i(double, 2, 3, rd, 0x03),
            }
        }
        (2, 4) => match (bit(12), rd, rs2) {
            (0, 0, 0) => return None,
            (0, _, 0) => i(0, rd, 0, 0, 0x67),
            (0, ..) => r(0, rs2, 0, 0, rd, 0x33),
            (_, 0, 0) => 0x0010_0073,
            (_, _, 0) => i(0, rd, 0, 1, 0x67),
            _ => r(0, rs2, rd, 0, rd, 0x33),
        },
        (2, 5..=7) => {
            let word = field(12, 9) << 2 | field(8, 7) << 6;
            let double = field(12, 10) << 3 | field(9, 7) << 6;
            match half >> 13 {
                5 => s(double, rs2, 2, 3, 0x27),
                6 => s(word, rs2, 2, 2, 0x23),
                _ if rv32 => s(word, rs2, 2, 2, 0x27),
                _ => s(double, rs2, 2, 3, 0x23),
            }
        }
        _ => return None,
    })
}

fn decode_long(raw: u32, id: &Identity) -> Option<Inst> {
    let field = |low: u32| (raw >> low & 31) as u8;
    let (rd, rs1, rs2, rs3) = (field(7), field(15), field(20), field(27));
    let funct = raw >> 12 & 7;
    let funct7 = raw >> 25;
    let imm_i = raw as i32 >> 20;
    let imm_s = raw as i32 >> 25 << 5 | (raw >> 7 & 31) as i32;
    let inst = Inst {
        a: if rd == 0 { SINK } else { rd },
        b: rs1,
        c: rs2,
        imm: imm_i,
        ..illegal(raw, 4)
    };
    let made = |kind| Some(Inst { kind, ..inst });
    let rv64 = !id.rv32;
    // The operation for registers of 64 bits, and that for 32.
    let by_width = |wide: Alu, narrow: Alu| if id.rv32 { narrow } else { wide };
    match raw & 0x7f {
        0x37 => Some(Inst {
            kind: Kind::Number(Alu::Add),
            b: 0,
            imm: (raw & 0xffff_f000) as i32,
            ..inst
        }),
        0x17 => Some(Inst {
            kind: Kind::Auipc,
            imm: (raw & 0xffff_f000) as i32,
            ..inst
        }),
        0x6f => Some(Inst {
            kind: Kind::Jal,
            imm: raw as i32 >> 31 << 20
                | (raw & 0xf_f000 | raw >> 9 & 0x800 | raw >> 20 & 0x7fe) as i32,
            ..inst
        }),
        0x67 if funct == 0 => made(Kind::Jalr),
        0x63 => Some(Inst {
            kind: Kind::Branch(match funct {
                0 => Cond::Eq,
                1 => Cond::Ne,
                4 => Cond::Lt,
                5 => Cond::Ge,
                6 => Cond::Ltu,
                7 => Cond::Geu,
                _ => return None,
            }),
            a: SINK,
            imm: raw as i32 >> 31 << 12
                | ((raw & 0x80) << 4 | raw >> 20 & 0x7e0 | raw >> 7 & 0x1e) as i32,
            ..inst
        }),
        0x03 => made(Kind::Load(match funct {
            0 => Load::B,
            1 => Load::H,
            2 => Load::W,
            3 if rv64 => Load::D,
            4 => Load::Bu,
            5 => Load::Hu,
            6 if rv64 => Load::Wu,
            _ => return None,
        })),
        0x23 if funct < 3 || funct == 3 && rv64 => Some(Inst {
            kind: Kind::Store(1 << funct),
            imm: imm_s,
            ..inst
        }),
        0x13 => {
            // The number of a shift is in its low bits.
            let shift = |op| {
                Some(Inst {
                    kind: Kind::Number(op),
                    imm: (raw >> 20 & 63) as i32,
                    ..inst
                })
            };
            let (upper, amount) = (raw >> 26, raw >> 20 & 63);
            let fits = rv64 || amount < 32;
            let zbb = id.zbb;
            match funct {
                0 => made(Kind::Number(by_width(Alu::Add, Alu::Addw))),
                2 => made(Kind::Number(Alu::Slt)),
                3 => made(Kind::Number(Alu::Sltu)),
                4 => made(Kind::Number(Alu::Xor)),
                6 => made(Kind::Number(Alu::Or)),
                7 => made(Kind::Number(Alu::And)),
                1 => match (upper, amount) {
                    (0, _) if fits => shift(by_width(Alu::Sll, Alu::Sllw)),
                    (0x0a, _) if id.zbs && fits => shift(by_width(Alu::Bset, Alu::Bsetw)),
                    (0x12, _) if id.zbs && fits => shift(by_width(Alu::Bclr, Alu::Bclrw)),
                    (0x1a, _) if id.zbs && fits => shift(by_width(Alu::Binv, Alu::Binvw)),
                    (0x18, 0) if zbb => made(Kind::Number(by_width(Alu::Clz, Alu::Clzw))),
                    (0x18, 1) if zbb => made(Kind::Number(by_width(Alu::Ctz, Alu::Ctzw))),
                    (0x18, 2) if zbb => made(Kind::Number(by_width(Alu::Cpop, Alu::Cpopw))),
                    (0x18, 4) if zbb => made(Kind::Number(Alu::SextB)),
                    (0x18, 5) if zbb => made(Kind::Number(Alu::SextH)),
                    _ => None,
                },
                _ => match (upper, amount) {
                    (0, _) if fits => shift(by_width(Alu::Srl, Alu::Srlw)),
                    (0x10, _) if fits => shift(by_width(Alu::Sra, Alu::Sraw)),
                    (0x12, _) if id.zbs && fits => shift(by_width(Alu::Bext, Alu::Bextw)),
                    (0x18, _) if zbb && fits => shift(by_width(Alu::Ror, Alu::Rorw)),
                    (0x0a, 7) if zbb => made(Kind::Number(by_width(Alu::OrcB, Alu::OrcBw))),
                    (0x1a, 0x38) if zbb && rv64 => made(Kind::Number(Alu::Rev8)),
                    (0x1a, 0x18) if zbb && id.rv32 => made(Kind::Number(Alu::Rev8w)),
                    _ => None,
                },
            }
        }
        0x1b if rv64 => {
            let shift = |op| {
                Some(Inst {
                    kind: Kind::Number(op),
                    imm: (raw >> 20 & 31) as i32,
                    ..inst
                })
            };
            match (funct, funct7, rs2) {
                (0, ..) => made(Kind::Number(Alu::Addw)),
                (1, 0, _) => shift(Alu::Sllw),
                (1, 0x04 | 0x05, _) if id.zba => Some(Inst {
                    kind: Kind::Number(Alu::SllUw),
                    imm: (raw >> 20 & 63) as i32,
                    ..inst
                }),
                (1, 0x30, 0) if id.zbb => made(Kind::Number(Alu::Clzw)),
                (1, 0x30, 1) if id.zbb => made(Kind::Number(Alu::Ctzw)),
                (1, 0x30, 2) if id.zbb => made(Kind::Number(Alu::Cpopw)),
                (5, 0, _) => shift(Alu::Srlw),
                (5, 0x20, _) => shift(Alu::Sraw),
                (5, 0x30, _) if id.zbb => shift(Alu::Rorw),
                _ => None,
            }
        }
        0x33 => made(Kind::Registers(match (funct7, funct) {
            (0x00, 0) => by_width(Alu::Add, Alu::Addw),
            (0x20, 0) => by_width(Alu::Sub, Alu::Subw),
            (0x00, 1) => by_width(Alu::Sll, Alu::Sllw),
            (0x00, 2) => Alu::Slt,
            (0x00, 3) => Alu::Sltu,
            (0x00, 4) => Alu::Xor,
            (0x00, 5) => by_width(Alu::Srl, Alu::Srlw),
            (0x20, 5) => by_width(Alu::Sra, Alu::Sraw),
            (0x00, 6) => Alu::Or,
            (0x00, 7) => Alu::And,
            (0x01, 0) if id.m => by_width(Alu::Mul, Alu::Mulw),
            (0x01, 1) if id.m => by_width(Alu::Mulh, Alu::Mulhw),
            (0x01, 2) if id.m => by_width(Alu::Mulhsu, Alu::Mulhsuw),
            (0x01, 3) if id.m => by_width(Alu::Mulhu, Alu::Mulhuw),
            (0x01, 4) if id.m => by_width(Alu::Div, Alu::Divw),
            (0x01, 5) if id.m => by_width(Alu::Divu, Alu::Divuw),
            (0x01, 6) if id.m => by_width(Alu::Rem, Alu::Remw),
            (0x01, 7) if id.m => by_width(Alu::Remu, Alu::Remuw),
            (0x10, 2) if id.zba => by_width(Alu::Sh1add, Alu::Sh1addw),
            (0x10, 4) if id.zba => by_width(Alu::Sh2add, Alu::Sh2addw),
            (0x10, 6) if id.zba => by_width(Alu::Sh3add, Alu::Sh3addw),
            (0x20, 4) if id.zbb => Alu::Xnor,
            (0x20, 6) if id.zbb => Alu::Orn,
            (0x20, 7) if id.zbb => Alu::Andn,
            (0x05, 4) if id.zbb => Alu::Min,
            (0x05, 5) if id.zbb => Alu::Minu,
            (0x05, 6) if id.zbb => Alu::Max,
            (0x05, 7) if id.zbb => Alu::Maxu,
            (0x30, 1) if id.zbb => by_width(Alu::Rol, Alu::Rolw),
            (0x30, 5) if id.zbb => by_width(Alu::Ror, Alu::Rorw),
            (0x04, 4) if id.zbb && id.rv32 && rs2 == 0 => Alu::ZextH,
            (0x14, 1) if id.zbs => by_width(Alu::Bset, Alu::Bsetw),
            (0x24, 1) if id.zbs => by_width(Alu::Bclr, Alu::Bclrw),
            (0x24, 5) if id.zbs => by_width(Alu::Bext, Alu::Bextw),
            (0x34, 1) if id.zbs => by_width(Alu::Binv, Alu::Binvw),
            _ => return None,
        })),
        0x3b if rv64 => made(Kind::Registers(match (funct7, funct) {
            (0x00, 0) => Alu::Addw,
            (0x20, 0) => Alu::Subw,
            (0x00, 1) => Alu::Sllw,
            (0x00, 5) => Alu::Srlw,
            (0x20, 5) => Alu::Sraw,
            (0x01, 0) if id.m => Alu::Mulw,
            (0x01, 4) if id.m => Alu::Divw,
            (0x01, 5) if id.m => Alu::Divuw,
            (0x01, 6) if id.m => Alu::Remw,
            (0x01, 7) if id.m => Alu::Remuw,
            (0x04, 0) if id.zba => Alu::AddUw,
            (0x10, 2) if id.zba => Alu::Sh1addUw,
            (0x10, 4) if id.zba => Alu::Sh2addUw,
            (0x10, 6) if id.zba => Alu::Sh3addUw,
            (0x30, 1) if id.zbb => Alu::Rolw,
            (0x30, 5) if id.zbb => Alu::Rorw,
            (0x04, 4) if id.zbb && rs2 == 0 => Alu::ZextH,
            _ => return None,
        })),
        0x0f => match funct {
            0 => made(Kind::Fence),
            1 => made(Kind::FenceI),
            2 if rd == 0 => made(Kind::Cbo(match raw >> 20 {
                0 if id.zicbom => Cbo::Inval,
                1 if id.zicbom => Cbo::Clean,
                2 if id.zicbom => Cbo::Flush,
                4 if id.zicboz => Cbo::Zero,
                _ => return None,
            })),
            _ => None,
        },
        0x2f if id.a => {
            let size = match funct {
                2 => 4,
                3 if rv64 => 8,
                _ => return None,
            };
            made(match funct7 >> 2 {
                0x02 if rs2 == 0 => Kind::LoadReserved(size),
                0x03 => Kind::StoreConditional(size),
                0x01 => Kind::Amo(Amo::Swap, size),
                0x00 => Kind::Amo(Amo::Add, size),
                0x04 => Kind::Amo(Amo::Xor, size),
                0x0c => Kind::Amo(Amo::And, size),
                0x08 => Kind::Amo(Amo::Or, size),
                0x10 => Kind::Amo(Amo::Min, size),
                0x14 => Kind::Amo(Amo::Max, size),
                0x18 => Kind::Amo(Amo::Minu, size),
                0x1c => Kind::Amo(Amo::Maxu, size),
                _ => return None,
            })
        }
        0x07 | 0x27 => {
            let size = match funct {
                2 if id.f => 4,
                3 if id.d => 8,
                _ => return None,
            };
            match raw & 0x20 {
                0 => Some(Inst {
                    kind: Kind::FpLoad(size),
                    a: rd,
                    ..inst
                }),
                _ => Some(Inst {
                    kind: Kind::FpStore(size),
                    imm: imm_s,
                    ..inst
                }),
            }
        }
        0x43 | 0x47 | 0x4b | 0x4f | 0x53 => {
            let double = match raw >> 25 & 3 {
                0 if id.f => false,
                1 if id.d => true,
                _ => return None,
            };
            let (op, integer) = fp(raw, funct, rs2, rv64, id.d)?;
            Some(Inst {
                kind: Kind::Fp(op, double),
                a: if integer { inst.a } else { rd },
                d: rs3,
                ..inst
            })
        }
        0x73 => system(raw, funct, id).map(|kind| Inst { kind, ..inst }),
        _ => None,
    }
}

/// A floating point operation, and whether its result is an integer register's.
fn fp(raw: u32, rm: u32, rs2: u8, rv64: bool, d: bool) -> Option<(FpOp, bool)> {
    let float = |op| Some((op, false));
    let integer = |op| Some((op, true));
    match (raw & 0x7f, raw >> 27) {
        (0x43, _) => float(FpOp::Madd),
        (0x47, _) => float(FpOp::Msub),
        (0x4b, _) => float(FpOp::Nmsub),
        (0x4f, _) => float(FpOp::Nmadd),
        (_, 0x00) => float(FpOp::Add),
        (_, 0x01) => float(FpOp::Sub),
        (_, 0x02) => float(FpOp::Mul),
        (_, 0x03) => float(FpOp::Div),
        (_, 0x0b) if rs2 == 0 => float(FpOp::Sqrt),
        (_, 0x04) => float(match rm {
            0 => FpOp::Sgnj,
            1 => FpOp::Sgnjn,
            2 => FpOp::Sgnjx,
            _ => return None,
        }),
        (_, 0x05) => float(match rm {
            0 => FpOp::Min,
            1 => FpOp::Max,
            _ => return None,
        }),
        // Between the formats: the source is the other one.
        (_, 0x08) if d && u32::from(rs2) == (raw >> 25 & 1 ^ 1) => float(FpOp::CvtOther),
        (_, 0x14) => integer(match rm {
            0 => FpOp::Le,
            1 => FpOp::Lt,
            2 => FpOp::Eq,
            _ => return None,
        }),
        (_, 0x18) => integer(match rs2 {
            0 => FpOp::CvtW,
            1 => FpOp::CvtWu,
            2 if rv64 => FpOp::CvtL,
            3 if rv64 => FpOp::CvtLu,
            _ => return None,
        }),
        (_, 0x1a) => float(match rs2 {
            0 => FpOp::CvtFromW,
            1 => FpOp::CvtFromWu,
            2 if rv64 => FpOp::CvtFromL,
            3 if rv64 => FpOp::CvtFromLu,
            _ => return None,
        }),
        (_, 0x1c) if rs2 == 0 => integer(match rm {
            0 if rv64 || raw >> 25 & 1 == 0 => FpOp::MvToInteger,
            1 => FpOp::Class,
            _ => return None,
        }),
        (_, 0x1e) if rs2 == 0 && rm == 0 && (rv64 || raw >> 25 & 1 == 0) => {
            float(FpOp::MvFromInteger)
        }
        _ => None,
    }
}

fn system(raw: u32, funct: u32, id: &Identity) -> Option<Kind> {
    if funct != 0 {
        return (funct != 4).then_some(Kind::Csr);
    }
    Some(match raw {
        0x0000_0073 => Kind::Ecall,
        0x0010_0073 => Kind::Ebreak,
        0x3020_0073 => Kind::Mret,
        0x1020_0073 if id.s => Kind::Sret,
        0x1050_0073 => Kind::Wfi,
        0x1800_0073 | 0x1810_0073 if id.svinval => Kind::SfenceInval,
        _ if raw & 0x7fff == 0x73 => match raw >> 25 {
            0x09 if id.s => Kind::SfenceVma,
            0x0b if id.svinval => Kind::SfenceVma,
            _ => return None,
        },
        _ => return None,
    })
}
