//! The code that all blocks share: the way in, the ways out, and the call of the interpreter.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use solderless_jit::{Cache, Guest};
use solderless_model::memory::PAGE;

use super::{Assembled, Assembler, Binary, If, Mem, Operand, Reg, Shift, Size, T0, T1, T2, Width};
use crate::frame::{Frame, Homes};
use crate::generate::Ways;
use crate::isa::Exit;
use crate::vcpu::{CODE_PAGES, CodePage, at};

/// Where they are, from the start of the cache.
#[derive(Debug, Clone, Copy)]
pub struct Stubs {
    /// The function that enters a block.
    pub gate: u32,
    pub ways: Ways,
    /// The end of all of them.
    pub end: u32,
}

/// The stack frame under the saved registers: a word for anything, the second argument of the gate, and the function that calls
/// the interpreter.
const FRAME: i32 = 24;
const WORLD: i32 = 8;
const SLOW: i32 = 16;

/// PSHUFD: the halves of a pair change places.
const SWAP: i8 = 0b11_10_00_01_u8.cast_signed();

impl Stubs {
    /// What the gate returns where the code at an address is not known.
    pub const UNKNOWN: u64 = 0x100;
    /// Where the budget does not suffice for a block.
    pub const BUDGET: u64 = 0x101;
    /// Where a block is to be interpreted.
    pub const INTERPRET: u64 = 0x102;
    /// What the interpreter is asked for besides sites and accesses: to find the page of the code at the CPU's address.
    pub const FETCH: u32 = u32::MAX >> 1;

    /// Puts them into an empty cache.
    pub fn install<G: Guest>(cache: &mut Cache<G>, frame: &Frame) -> Option<Self> {
        let usual = Homes::usual(frame, Assembled::HOMES.len());
        let mut add = |asm: Assembled| {
            let code = asm.finish(cache.next(), 0)?;
            // SAFETY: the gate keeps the calling convention, and the others are entered with its frame.
            #[allow(unsafe_code, reason = "see the crate's documentation")]
            unsafe {
                cache.install(&code.near)
            }
        };
        let out = add(way_out(frame, &usual, Self::UNKNOWN))?;
        let unknown = add(ways_out(frame, out))?;
        let budget = add(way_out(frame, &usual, Self::BUDGET))?;
        let interpret = add(way_out(frame, &usual, Self::INTERPRET))?;
        let gate = add(gate::<G>(frame, &usual))?;
        // This and the lookup need one another.
        let (find, again) = find(frame, &usual, out);
        let fetch = add(find)?;
        let mut asm = Assembled::new();
        look_up(&mut asm, frame, fetch);
        let lookup = add(asm)?;
        let mut asm = Assembled::new();
        go_on(&mut asm, frame, &usual, lookup);
        let after = add(asm)?;
        let mut asm = Assembled::new();
        self::slow(&mut asm, frame, &usual, after);
        let slow = add(asm)?;
        // SAFETY: what the jump leads to takes everything as it was when the stub was entered.
        #[allow(unsafe_code, reason = "see the crate's documentation")]
        unsafe {
            cache.redirect(fetch + again as u32, lookup);
        }
        Some(Self {
            gate,
            ways: Ways {
                slow,
                after,
                fetch,
                budget,
                interpret,
                unknown: (unknown, WAY_OUT),
            },
            end: cache.next(),
        })
    }
}

fn gate<G: Guest>(frame: &Frame, homes: &Homes) -> Assembled {
    let mut asm = Assembled::new();
    dynasm!(asm.ops; .arch x64
        ; push rbx
        ; push rbp
        ; push r12
        ; push r13
        ; push r14
        ; push r15
        ; sub rsp, FRAME
        ; mov [rsp + WORLD], rsi
        ; mov rax, QWORD Cache::<G>::slow_address().cast_signed() as i64
        ; mov [rsp + SLOW], rax
        ; lea rbx, [rdi + frame.bias as i32]
        ; mov rax, rdx
    );
    fetch(&mut asm, frame, homes);
    forget_offset(&mut asm, frame);
    dynasm!(asm.ops; .arch x64; jmp rax);
    asm
}

/// Reads what is in host registers while generated code runs.
fn fetch(asm: &mut Assembled, frame: &Frame, homes: &Homes) {
    if let Some(pair) = frame.pair {
        let at = (frame.home)(pair);
        dynasm!(asm.ops; .arch x64; movq xmm15, [rbx + at]; pshufd xmm15, xmm15, SWAP);
    }
    let view = match frame.width {
        Width::W32 => at::VIEW,
        Width::W64 => at::WIDE_VIEW,
    };
    dynasm!(asm.ops; .arch x64
        ; mov r13, [rbx + frame.vcpu + at::BUDGET]
        ; mov rbp, [rbx + frame.vcpu + view]
    );
    for (guest, host) in homes.pairs(Assembled::HOMES) {
        asm.fill(frame, guest, host);
    }
}

/// Writes it back.
fn store(asm: &mut Assembled, frame: &Frame, homes: &Homes) {
    for (guest, host) in homes.pairs(Assembled::HOMES) {
        asm.spill(frame, guest, host);
    }
    if let Some(pair) = frame.pair {
        let at = (frame.home)(pair);
        dynasm!(asm.ops; .arch x64; pshufd xmm0, xmm15, SWAP; movq [rbx + at], xmm0);
    }
    dynasm!(asm.ops; .arch x64; mov [rbx + frame.vcpu + at::BUDGET], r13);
}

/// Makes an address that of its page.
fn forget_offset(asm: &mut Assembled, frame: &Frame) {
    let to = Mem::field(frame.pc);
    asm.binary_at(frame.width, Binary::And, to, !(PAGE as i32 - 1));
}

fn leave(asm: &mut Assembled) {
    dynasm!(asm.ops; .arch x64
        ; add rsp, FRAME
        ; pop r15
        ; pop r14
        ; pop r13
        ; pop r12
        ; pop rbp
        ; pop rbx
        ; ret
    );
}

/// Adds a register to the address.
fn add_offset(asm: &mut Assembled, frame: &Frame, register: Reg) {
    let pc = frame.pc;
    match frame.width {
        Width::W32 => dynasm!(asm.ops; .arch x64; add [rbx + pc], Rd(register.0)),
        Width::W64 => dynasm!(asm.ops; .arch x64; add [rbx + pc], Rq(register.0)),
    }
}

fn way_out(frame: &Frame, homes: &Homes, why: u64) -> Assembled {
    let mut asm = Assembled::new();
    add_offset(&mut asm, frame, T0);
    store(&mut asm, frame, homes);
    dynasm!(asm.ops; .arch x64; mov eax, DWORD why as i32);
    leave(&mut asm);
    asm
}

/// Bytes of a way out to a unit of the page.
const WAY_OUT: u32 = 10;

/// The ways out to each unit of a page.
fn ways_out(frame: &Frame, out: u32) -> Assembled {
    let mut asm = Assembled::new();
    for offset in (0..PAGE as i32).step_by(1 << frame.unit_bits) {
        dynasm!(asm.ops; .arch x64; mov eax, DWORD offset);
        asm.jump_out(out);
    }
    asm
}

/// Writes the address.
fn set_pc(asm: &mut Assembled, frame: &Frame, from: Reg) {
    let size = match frame.width {
        Width::W32 => Size::B4,
        Width::W64 => Size::B8,
    };
    asm.store(size, from, Mem::field(frame.pc));
}

/// See [`Assembler::look_up`].
pub fn look_up(asm: &mut Assembled, frame: &Frame, fetch: u32) {
    const SHIFT: u32 = size_of::<CodePage>().trailing_zeros();
    const INDEX: i32 = (CODE_PAGES as i32 - 1) << SHIFT;
    let pages = frame.vcpu + at::CODE_PAGES;
    let tag = pages + offset_of!(CodePage, tag) as i32;
    let native = pages + offset_of!(CodePage, native) as i32;
    let units = (1 << frame.unit_bits) - 1;
    let width = frame.width;
    asm.mov(width, T1, Operand::Reg(T0));
    asm.shift(width, Shift::Shr, T1, Some((12 - SHIFT) as u8));
    asm.binary(Width::W32, Binary::And, T1, Operand::Imm(INDEX));
    asm.mov(width, T2, Operand::Reg(T0));
    asm.binary(width, Binary::And, T2, Operand::Imm(!0xfff | units));
    // If it is not known, the whole address takes its place.
    set_pc(asm, frame, T2);
    dynasm!(asm.ops; .arch x64
        ; xor rdx, [rbx + rcx + tag]
        ; cmp rdx, [rbx + frame.vcpu + at::CODE_KEY]
    );
    asm.jump_out_if(If::NotEqual, fetch);
    dynasm!(asm.ops; .arch x64
        ; mov rcx, [rbx + rcx + native]
        ; and eax, 0xfff & !units
    );
    match frame.unit_bits {
        0 => dynasm!(asm.ops; .arch x64; jmp QWORD [rcx + rax * 8]),
        1 => dynasm!(asm.ops; .arch x64; jmp QWORD [rcx + rax * 4]),
        _ => dynasm!(asm.ops; .arch x64; jmp QWORD [rcx + rax * 2]),
    }
}

/// Calls the interpreter; the stack is aligned, and the frame is this far up.
fn call(asm: &mut Assembled, frame: &Frame, homes: &Homes, up: i32) {
    store(asm, frame, homes);
    dynasm!(asm.ops; .arch x64
        ; lea rdi, [rbx - frame.bias as i32]
        ; mov rsi, [rsp + WORLD + up]
        ; mov rcx, rax
        ; call QWORD [rsp + SLOW + up]
    );
}

/// Compares what the interpreter has returned.
fn compare_exit(asm: &mut Assembled, with: Exit) {
    asm.binary(Width::W32, Binary::Cmp, T0, Operand::Imm(with as i32));
}

/// See [`Assembler::slow`].
pub fn slow(asm: &mut Assembled, frame: &Frame, homes: &Homes, after: u32) {
    // The return address is on the stack; eight bytes more align it.
    dynasm!(asm.ops; .arch x64; sub rsp, 8);
    add_offset(asm, frame, T1);
    call(asm, frame, homes, 16);
    let next = asm.label();
    compare_exit(asm, Exit::Next);
    asm.jump_if(If::Equal, next);
    dynasm!(asm.ops; .arch x64; add rsp, 16);
    asm.jump_out(after);
    asm.bind(next);
    fetch(asm, frame, homes);
    forget_offset(asm, frame);
    dynasm!(asm.ops; .arch x64; add rsp, 8; ret);
}

/// Goes on behind a call that does not return to its block: elsewhere after an exception, or a return from one, or out. Gives
/// the place of the displacement of the jump to `lookup`.
fn go_on(asm: &mut Assembled, frame: &Frame, homes: &Homes, lookup: u32) -> usize {
    let home = asm.label();
    compare_exit(asm, Exit::Goto);
    asm.jump_if(If::NotEqual, home);
    fetch(asm, frame, homes);
    asm.mov(frame.width, T0, Operand::Mem(Mem::field(frame.pc)));
    let again = asm.jump_out(lookup);
    asm.bind(home);
    leave(asm);
    again
}

/// The stub for code whose page is not known, and the place of its jump to the lookup.
fn find(frame: &Frame, homes: &Homes, unknown: u32) -> (Assembled, usize) {
    let mut asm = Assembled::new();
    set_pc(&mut asm, frame, T0);
    dynasm!(asm.ops; .arch x64; mov edx, DWORD Stubs::FETCH.cast_signed());
    call(&mut asm, frame, homes, 0);
    let again = go_on(&mut asm, frame, homes, unknown);
    (asm, again)
}
