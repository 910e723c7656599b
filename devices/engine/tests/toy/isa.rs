//! The toy instruction set.
//!
//! | byte 0 | length | what it does |
//! | --- | --- | --- |
//! | 0a | 1 | nothing |
//! | 1a | 5 | `a` = a signed number of 32 bits |
//! | 2a, 3a, 4a, 5a | 2 | `a` = `b` + `c`, `b` ^ `c`, `b` × `c`, `b` - `c`, with both in byte 1 |
//! | 6a | 3 | `a` = `b` shifted right by byte 2, modulo 64 |
//! | 7a | 1 | `a` = not `a` |
//! | 8a | 4 | `a` = the 8 bytes at `b` + a signed number of 16 bits, which must be aligned |
//! | 9a | 4 | the same the other way |
//! | Aa | 4 | goes to this place + a signed number of 16 bits unless `a` and `b` are equal |
//! | B0 | 3 | goes there |
//! | Ca | 1 | goes to the address in `a` |
//! | Da | 1 | `a` = the address of the next instruction |
//! | E0 | 1 | traps |
//! | Fa | 1 | `a` = instructions executed before this one |
//!
//! A trap, a fetch or an access that nothing answers, and one that is not aligned put the address of the next instruction into
//! register 15 and go to the vector. Addresses below 0xb000 say what the physical ones are, the others are looked up.

use std::mem::offset_of;

use solderless_engine::host::{Assembler, Binary, Extend, If, Reach, Shift, Size, T0, T2, Width};
use solderless_engine::{
    Bytes, CodeAt, Emitter, Exit, Frame, Isa, Physical, Reached, Straight, Templates, Vcpu,
};
use solderless_model::memory::PAGE;
use solderless_model::{Cx, Stop};

pub const VECTOR: u64 = 0x8800;
const DIRECT_END: u64 = 0xb000;
const EPC: usize = 15;

/// The toy's CPU.
#[derive(Debug)]
pub struct Core {
    pub r: [u64; 16],
    pub pc: u64,
    pub vcpu: Vcpu,
}

impl Core {
    pub fn new(pc: u64) -> Self {
        let mut vcpu = Vcpu::new(1_000_000_000);
        vcpu.set_code_key(KEY);
        vcpu.wide.select((0, 0));
        Self {
            r: [0; 16],
            pc,
            vcpu,
        }
    }
}

/// What pages of code are looked up with.
const KEY: u64 = 0x123;

/// An instruction at its place.
#[derive(Debug, Clone, Copy)]
pub struct Inst {
    op: u8,
    a: u8,
    b: u8,
    c: u8,
    /// The number in it.
    n: i32,
    /// Bytes from the start of the block, and of itself.
    at: u16,
    len: u8,
    /// Instructions before it in the block.
    index: u8,
}

#[derive(Debug)]
pub struct Block {
    insts: Vec<Inst>,
    bytes: u32,
}

const LENGTHS: [u8; 16] = [1, 5, 2, 2, 2, 2, 3, 1, 4, 4, 4, 3, 1, 1, 1, 1];

/// Decodes one instruction; `None` if bytes are missing.
fn decode(byte: impl Fn(usize) -> Option<u8>) -> Option<Inst> {
    let first = byte(0)?;
    let (op, a) = (first >> 4, first & 15);
    let len = LENGTHS[usize::from(op)];
    let mut rest = [0; 4];
    for (n, place) in rest.iter_mut().enumerate().take(usize::from(len) - 1) {
        *place = byte(n + 1)?;
    }
    let half = |at: usize| i32::from(i16::from_le_bytes([rest[at], rest[at + 1]]));
    let (b, c, n) = match op {
        1 => (0, 0, i32::from_le_bytes(rest)),
        2..=5 => (rest[0] >> 4, rest[0] & 15, 0),
        6 => (rest[0] & 15, 0, i32::from(rest[1] & 63)),
        8..=0xa => (rest[0] & 15, 0, half(1)),
        0xb => (0, 0, half(0)),
        _ => (0, 0, 0),
    };
    Some(Inst {
        op,
        a,
        b,
        c,
        n,
        at: 0,
        len,
        index: 0,
    })
}

impl Inst {
    fn ends_block(&self) -> bool {
        matches!(self.op, 0xa..=0xc | 0xe)
    }
}

impl Straight for Block {
    fn instructions(&self) -> u8 {
        self.insts.len() as u8
    }
    fn bytes(&self) -> u32 {
        self.bytes
    }
    fn taken(&self) -> Option<u32> {
        let last = self.insts.last()?;
        matches!(last.op, 0xa | 0xb).then(|| u32::from(last.at).wrapping_add_signed(last.n))
    }
    fn followers(&self) -> Vec<u32> {
        let falls = self
            .insts
            .last()
            .is_none_or(|i| !matches!(i.op, 0xb | 0xc | 0xe));
        let past = falls.then_some(self.bytes);
        self.taken().into_iter().chain(past).collect()
    }
    fn is_computed(&self) -> bool {
        self.insts.last().is_some_and(|i| i.op == 0xc)
    }
}

/// What an instruction did.
enum Done {
    Next,
    Left(Exit),
}

/// The instructions of the block that come after one.
fn rest(core: &Core, inst: &Inst) -> i64 {
    i64::from(core.vcpu.len) - i64::from(inst.index) - 1
}

/// Leaves the block behind an instruction.
fn leave(core: &mut Core, inst: &Inst, to: u64, exit: Exit) -> Done {
    core.vcpu.budget += rest(core, inst);
    core.pc = to;
    Done::Left(exit)
}

fn trap(core: &mut Core, inst: &Inst) -> Done {
    core.r[EPC] = past(core, inst);
    leave(core, inst, VECTOR, Exit::Goto)
}

fn past(core: &Core, inst: &Inst) -> u64 {
    core.pc
        .wrapping_add(u64::from(inst.at) + u64::from(inst.len))
}

/// Where an access is in memory: which, and the offset.
fn place(core: &mut Core, cx: &Cx<'_>, va: u64) -> Option<(u32, u64, u64)> {
    if va & 7 != 0 {
        return None;
    }
    match core.vcpu.frame(cx, va) {
        Physical::Memory { ram, offset, .. } => Some((ram, offset, offset + va % 4096)),
        Physical::Registers => None,
    }
}

/// A debugger wants the CPU to stop before an access, at the instruction that makes it.
fn stops_before(core: &mut Core, inst: &Inst, va: u64, write: bool) -> bool {
    let pc = core.pc.wrapping_add(inst.at.into());
    let reached = Reached {
        pc,
        va,
        pa: va,
        size: 8,
        write,
    };
    let not_executed = rest(core, inst) + 1;
    let stops = core.vcpu.watches() && core.vcpu.stops_before(reached, not_executed);
    if stops {
        core.vcpu.budget += not_executed;
        core.pc = pc;
    }
    stops
}

/// The one meaning of an instruction.
fn execute(core: &mut Core, inst: &Inst, cx: &mut Cx<'_>) -> Done {
    let [a, b, c] = [inst.a, inst.b, inst.c].map(usize::from);
    match inst.op {
        1 => core.r[a] = i64::from(inst.n) as u64,
        2 => core.r[a] = core.r[b].wrapping_add(core.r[c]),
        3 => core.r[a] = core.r[b] ^ core.r[c],
        4 => core.r[a] = core.r[b].wrapping_mul(core.r[c]),
        5 => core.r[a] = core.r[b].wrapping_sub(core.r[c]),
        6 => core.r[a] = core.r[b] >> inst.n,
        7 => core.r[a] = !core.r[a],
        8 => {
            let va = core.r[b].wrapping_add_signed(inst.n.into());
            let Some((index, page, at)) = place(core, cx, va) else {
                return trap(core, inst);
            };
            if stops_before(core, inst, va, false) {
                return Done::Left(Exit::Event);
            }
            let vcpu = &mut core.vcpu;
            if let Some(ram) = vcpu.memory.rams.get(index as usize) {
                core.r[a] = ram.read_u64(at).unwrap_or(0);
                vcpu.fill_wide(va, va, (index, page), (true, true), PAGE);
            }
        }
        9 => {
            let va = core.r[b].wrapping_add_signed(inst.n.into());
            let Some((index, page, at)) = place(core, cx, va) else {
                return trap(core, inst);
            };
            if stops_before(core, inst, va, true) {
                return Done::Left(Exit::Event);
            }
            let vcpu = &mut core.vcpu;
            if let Some(ram) = vcpu.memory.rams.get(index as usize) {
                let _ = ram.write_u64(at, core.r[a]);
                if ram.news() {
                    let past = past(core, inst);
                    return leave(core, inst, past, Exit::Event);
                }
                vcpu.fill_wide(va, va, (index, page), (true, true), PAGE);
            }
        }
        0xa if core.r[a] == core.r[b] => {
            core.pc = past(core, inst);
            return Done::Left(Exit::Fall);
        }
        0xa | 0xb => {
            let here = core.pc.wrapping_add(inst.at.into());
            core.pc = here.wrapping_add_signed(inst.n.into());
            return Done::Left(Exit::Taken);
        }
        0xc => {
            core.pc = core.r[a];
            return Done::Left(Exit::Goto);
        }
        0xd => core.r[a] = past(core, inst),
        0xe => return trap(core, inst),
        0xf => {
            // This one is in the budget that was taken.
            let executed = core.vcpu.executed(rest(core, inst)) - 1;
            core.r[a] = core.vcpu.instructions.wrapping_add_signed(executed);
        }
        _ => {}
    }
    Done::Next
}

#[derive(Debug)]
pub enum Toy {}

/// An address cannot be fetched from.
#[derive(Debug, Clone, Copy)]
pub struct Fault;

impl Isa for Toy {
    type Core = Core;
    type Block = Block;
    type Op = Inst;
    type Fault = Fault;
    const UNIT_BITS: u8 = 0;
    const LONGEST: usize = 5;
    const MOST: usize = 24;

    fn vcpu(core: &Core) -> &Vcpu {
        &core.vcpu
    }
    fn vcpu_mut(core: &mut Core) -> &mut Vcpu {
        &mut core.vcpu
    }
    fn pc(core: &Core) -> u64 {
        core.pc
    }
    fn mode(_: &Core) -> u8 {
        3
    }
    fn code_key(_: &Core, _: u64) -> Option<u64> {
        Some(KEY)
    }
    fn direct(_: &Core, va: u64) -> Option<u64> {
        (va < DIRECT_END).then_some(va)
    }
    fn translated(_: &Core, va: u64) -> bool {
        va >= DIRECT_END
    }
    fn translate(_: &mut Core, _: &Cx<'_>, va: u64) -> Result<u64, Fault> {
        Ok(va)
    }
    fn fetch(_: &mut Core, cx: &mut Cx<'_>, pa: u64, to: &mut Vec<u8>) -> Result<(), Fault> {
        to.push(cx.bus_read(pa, 1).map_err(|_| Fault)? as u8);
        Ok(())
    }
    fn fetch_fault(core: &mut Core, _: &mut Cx<'_>, _: Fault, va: u64, _: bool) {
        core.vcpu.budget -= 1;
        core.r[EPC] = va.wrapping_add(1);
        core.pc = VECTOR;
    }
    fn decode(_: &Core, bytes: Bytes<'_>, most: usize) -> Option<Block> {
        let mut block = Block {
            insts: Vec::new(),
            bytes: 0,
        };
        while block.insts.len() < most {
            let at = block.bytes as usize;
            let Some(inst) = decode(|n| bytes.u8(at + n)) else {
                break;
            };
            block.insts.push(Inst {
                at: at as u16,
                index: block.insts.len() as u8,
                ..inst
            });
            block.bytes += u32::from(inst.len);
            if inst.ends_block() {
                break;
            }
        }
        (!block.insts.is_empty()).then_some(block)
    }
    fn lower(_: &Core, block: &Block, to: &mut Vec<Inst>) {
        to.extend_from_slice(&block.insts);
    }
    fn run(core: &mut Core, ops: &[Inst], cx: &mut Cx<'_>) -> Exit {
        for op in ops {
            if let Done::Left(exit) = execute(core, op, cx) {
                return exit;
            }
        }
        if let Some(last) = ops.last() {
            core.pc = past(core, last);
        }
        Exit::Fall
    }
    fn one(core: &mut Core, op: &Inst, cx: &mut Cx<'_>) -> Exit {
        match execute(core, op, cx) {
            Done::Next => Exit::Next,
            Done::Left(exit) => exit,
        }
    }
    fn missed(_: &mut Core, _: u32, _: u64, _: &mut Cx<'_>) -> Exit {
        unreachable!("no template asks for it")
    }
    fn find_code(core: &mut Core, cx: &Cx<'_>) -> bool {
        let code = CodeAt {
            va: core.pc,
            key: Some(KEY),
            pa: core.pc,
            translated: core.pc >= DIRECT_END,
            mode: 3,
        };
        core.vcpu.budget > 0 && core.pc >= DIRECT_END && core.vcpu.know_code(cx, code)
    }
    fn sample(_: &mut Core, _: &mut Cx<'_>) {}
    fn poll(_: &mut Core, _: &mut Cx<'_>) -> Option<Stop> {
        None
    }
    fn check_op(core: &Core, op: &Inst, _: &dyn Fn(u32) -> Option<u32>) {
        assert!(core.vcpu.budget >= 0 && u32::from(op.index) < core.vcpu.len);
    }
}

const BIAS: usize = offset_of!(Core, r);

fn home(register: u8) -> i32 {
    i32::from(register) * 8
}

// SAFETY: fields of the core by their displacements, memory by `reach`, and no other way out than the emitter's.
#[allow(unsafe_code)]
unsafe impl<A: Assembler> Templates<A> for Toy {
    const FRAME: Frame = Frame {
        bias: BIAS,
        width: Width::W64,
        unit_bits: 0,
        pc: offset_of!(Core, pc) as i32 - BIAS as i32,
        vcpu: offset_of!(Core, vcpu) as i32 - BIAS as i32,
        home,
        registers: 16,
        zero: None,
        pair: None,
        usual: &[0, 1, 2, 3, 4, 5, 12, 13, 14],
    };
    type Known = ();

    fn known(_: &Core) {}
    fn begin(_: &mut Emitter<'_, Self, A>, _: &Block) {}

    fn body(e: &mut Emitter<'_, Self, A>, block: &Block) {
        e.take();
        for inst in &block.insts {
            emit(e, inst);
        }
    }

    fn end(e: &mut Emitter<'_, Self, A>, block: &Block) {
        let Some(last) = block.insts.last() else {
            return;
        };
        match (last.op, block.taken()) {
            (0xa, Some(taken)) => {
                let condition = Self::condition(e, block);
                e.branch(condition, taken, None);
            }
            (0xb, Some(taken)) => e.end_at(taken),
            (0xc, _) => {
                e.asm.set(T0, e.asm.src(last.a));
                e.jump_to_address(true);
            }
            // It does not come back.
            (0xe, _) => {}
            _ => e.end_at(block.bytes),
        }
    }

    fn again(_: &Emitter<'_, Self, A>, block: &Block) -> Option<()> {
        (block.taken() == Some(0) && block.insts.last()?.op == 0xa).then_some(())
    }

    fn condition(e: &mut Emitter<'_, Self, A>, block: &Block) -> If {
        if let Some(last) = block.insts.last() {
            let a = e.asm.value(last.a, T0);
            let b = e.asm.src(last.b);
            e.asm.op(Binary::Cmp, a, b);
        }
        If::NotEqual
    }
}

fn emit<A: Assembler>(e: &mut Emitter<'_, Toy, A>, inst: &Inst) {
    match inst.op {
        0 | 0xa..=0xc => {}
        1 => e.asm.put_imm(inst.a, inst.n),
        2..=5 => {
            let operation = match inst.op {
                2 => Binary::Add,
                3 => Binary::Xor,
                4 => Binary::Mul,
                _ => Binary::Sub,
            };
            e.asm.set(T0, e.asm.src(inst.b));
            e.asm.op(operation, T0, e.asm.src(inst.c));
            e.asm.put(inst.a, T0);
        }
        6 => {
            e.asm.set(T0, e.asm.src(inst.b));
            e.asm.shift_by(Shift::Shr, T0, Some(inst.n as u8));
            e.asm.put(inst.a, T0);
        }
        7 => {
            let a = e.asm.value(inst.a, T0);
            e.asm.not(Width::W64, a);
            e.asm.put(inst.a, a);
        }
        8 | 9 => {
            let slow = e.slow(*inst);
            let base = e.asm.value(inst.b, T0);
            e.asm.add_number(T0, base, inst.n);
            let place = e.asm.reach(&Reach {
                width: Width::W64,
                base: T0,
                by: 0,
                known: None,
                write: inst.op == 9,
                low: 7,
                span: 1,
                slow: slow.from,
            });
            if inst.op == 8 {
                e.asm.load(Size::B8, Extend::Zero, T0, place);
                e.asm.put(inst.a, T0);
            } else {
                let from = e.asm.value(inst.a, T2);
                e.asm.store(Size::B8, from, place);
            }
            e.back(slow);
        }
        0xd => {
            e.address_of(T0, u32::from(inst.at) + u32::from(inst.len));
            e.asm.put(inst.a, T0);
        }
        _ => e.leave_to_interpreter(*inst),
    }
}

/// Instructions as bytes.
pub mod encode {
    pub const ADD: u8 = 0;
    pub const SUB: u8 = 3;

    pub fn nop() -> Vec<u8> {
        vec![0]
    }
    pub fn li(a: u8, n: i32) -> Vec<u8> {
        let mut bytes = vec![0x10 | a];
        bytes.extend(n.to_le_bytes());
        bytes
    }
    pub fn alu(op: u8, a: u8, b: u8, c: u8) -> Vec<u8> {
        vec![(2 + op) << 4 | a, b << 4 | c]
    }
    pub fn shift(a: u8, b: u8, by: u8) -> Vec<u8> {
        vec![0x60 | a, b, by]
    }
    pub fn not(a: u8) -> Vec<u8> {
        vec![0x70 | a]
    }
    fn access(op: u8, a: u8, b: u8, at: i16) -> Vec<u8> {
        let [low, high] = at.to_le_bytes();
        vec![op << 4 | a, b, low, high]
    }
    pub fn load(a: u8, b: u8, at: i16) -> Vec<u8> {
        access(8, a, b, at)
    }
    pub fn store(a: u8, b: u8, at: i16) -> Vec<u8> {
        access(9, a, b, at)
    }
    pub fn branch(a: u8, b: u8, by: i16) -> Vec<u8> {
        access(0xa, a, b, by)
    }
    pub fn jump(by: i16) -> Vec<u8> {
        let [low, high] = by.to_le_bytes();
        vec![0xb0, low, high]
    }
    pub fn jump_register(a: u8) -> Vec<u8> {
        vec![0xc0 | a]
    }
    /// Sets a register to an address and goes there.
    pub fn jump_register_by(a: u8, to: i32) -> Vec<u8> {
        let mut bytes = li(a, to);
        bytes.extend(jump_register(a));
        bytes
    }
    pub fn link(a: u8) -> Vec<u8> {
        vec![0xd0 | a]
    }
    pub fn trap() -> Vec<u8> {
        vec![0xe0]
    }
    pub fn count(a: u8) -> Vec<u8> {
        vec![0xf0 | a]
    }
}
