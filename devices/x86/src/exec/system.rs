//! Ports, flags, and what privileged software does: control registers, tables, model-specific registers.

use iced_x86::{Code, Mnemonic};
use solderless_engine::Exit;
use solderless_model::Cx;

use super::{Handler, Leave, Op, Step};
use crate::core::{
    CS, Core, GS, RAX, RBX, RCX, RDX, Segment, access, attention, cr0, cr4, efer, flag,
};
use crate::inst::{Operand, mask};
use crate::model::feature;
use crate::segment::{null, parse};
use crate::trap::Fault;

pub fn handler(mnemonic: Mnemonic) -> Option<Handler> {
    use Mnemonic::*;
    Some(match mnemonic {
        In => input,
        Out => output,
        Clc => flag_to::<{ flag::CF }, false>,
        Stc => flag_to::<{ flag::CF }, true>,
        Cmc => cmc,
        Cld => flag_to::<{ flag::DF }, false>,
        Std => flag_to::<{ flag::DF }, true>,
        Cli => cli,
        Sti => sti,
        Clac => access_check::<false>,
        Stac => access_check::<true>,
        Hlt => hlt,
        Wait => super::x87::wait,
        Cpuid => cpuid,
        Rdtsc => rdtsc,
        Rdmsr => rdmsr,
        Wrmsr => wrmsr,
        Lgdt => load_table::<false>,
        Lidt => load_table::<true>,
        Sgdt => store_table::<false>,
        Sidt => store_table::<true>,
        Lldt => lldt,
        Ltr => ltr,
        Sldt => sldt,
        Str => str,
        Smsw => smsw,
        Lmsw => lmsw,
        Clts => clts,
        Invd | Wbinvd => wbinvd,
        Invlpg => invlpg,
        Clflush => clflush,
        Rsm => rsm,
        Swapgs => swapgs,
        Lar => lar,
        Lsl => lsl,
        Verr => verify::<false>,
        Verw => verify::<true>,
        Arpl => arpl,
        _ => return None,
    })
}

impl Core {
    /// Only for the innermost level.
    fn privileged(&self) -> Step {
        match self.cpl {
            0 => Ok(()),
            _ => Err(Fault::gp(0).into()),
        }
    }

    /// Whether ports may be used, by IOPL or by the TSS's map of them.
    ///
    /// # Errors
    /// They may not.
    pub fn may_use_port(&mut self, cx: &mut Cx<'_>, port: u16, size: u8) -> Step {
        if !self.protected() || !self.virtual8086() && self.cpl <= self.iopl() {
            return Ok(());
        }
        let refused = Leave::Fault(Fault::gp(0));
        let tr = self.tr;
        if tr.kind() & 8 == 0 || tr.limit < 0x67 {
            return Err(refused);
        }
        let map = self.read_system(cx, tr.base.wrapping_add(0x66), 2)?;
        let at = map + u64::from(port / 8);
        if at + 1 > tr.limit.into() {
            return Err(refused);
        }
        let bits = self.read_system(cx, tr.base.wrapping_add(at), 2)?;
        match bits >> (port % 8) & ((1 << size) - 1) {
            0 => Ok(()),
            _ => Err(refused),
        }
    }

    /// Compares two numbers of so many bytes.
    #[inline(always)]
    pub fn compare(&mut self, a: u64, b: u64, size: u8) {
        let difference = a.wrapping_sub(b);
        let borrows = !a & b | !(a ^ b) & difference;
        self.set_lazy(difference, borrows, size);
    }

    /// A segment of all there is, as SYSCALL and the like set it.
    pub fn set_flat(&mut self, n: u8, selector: u16, dpl: u16, long: bool) {
        let code = match n {
            CS => access::CODE | if long { access::LONG } else { access::BIG },
            _ => access::BIG,
        };
        self.segs[usize::from(n) % 6] = Segment {
            selector,
            access: access::PRESENT
                | access::S
                | access::RW
                | access::ACCESSED
                | access::GRANULAR
                | dpl << 5
                | code,
            limit: u32::MAX,
            base: 0,
        };
    }

    /// Goes on behind an instruction that has changed what was decoded or known.
    fn changed(&mut self, op: &Op) -> Step {
        self.pc = self.past(op);
        Err(Leave::Exit(Exit::Event))
    }
}

fn port(core: &mut Core, op: &Op, cx: &mut Cx<'_>, n: usize) -> Step<u16> {
    Ok(match op.inst.ops[n] {
        Operand::Imm => op.inst.imm as u16 & 0xff,
        _ => core.get(cx, op, n)? as u16,
    })
}

fn input(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let Operand::Reg(_, size) = op.inst.ops[0] else {
        return Err(Fault::ud().into());
    };
    let port = port(core, op, cx, 1)?;
    core.may_use_port(cx, port, size)?;
    let value = core.port_in(cx, op, port, size);
    core.set_reg(RAX, size, value);
    Ok(())
}

fn output(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let Operand::Reg(_, size) = op.inst.ops[1] else {
        return Err(Fault::ud().into());
    };
    let port = port(core, op, cx, 0)?;
    core.may_use_port(cx, port, size)?;
    let value = core.reg(RAX, size);
    core.port_out(cx, op, port, size, value);
    Ok(())
}

fn flag_to<const FLAG: u64, const ON: bool>(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    core.set_flags(FLAG, if ON { FLAG } else { 0 });
    Ok(())
}

fn cmc(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    let carry = core.carry();
    core.set_flags(flag::CF, if carry { 0 } else { flag::CF });
    Ok(())
}

fn may_mask(core: &Core) -> Step {
    match core.protected() && core.cpl > core.iopl() {
        true => Err(Fault::gp(0).into()),
        false => Ok(()),
    }
}

fn cli(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    may_mask(core)?;
    core.flags &= !flag::IF;
    Ok(())
}

/// STI: no interrupt comes before the next instruction is executed.
fn sti(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    may_mask(core)?;
    if core.flags & flag::IF == 0 {
        core.flags |= flag::IF;
        core.attention |= attention::SHADOW;
    }
    Ok(())
}

/// CLAC and STAC.
fn access_check<const ON: bool>(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    if core.cpl != 0 || !core.protected() {
        return Err(Fault::ud().into());
    }
    core.set_flags(flag::AC, if ON { flag::AC } else { 0 });
    core.mode_changed();
    Ok(())
}

fn hlt(core: &mut Core, op: &Op, _: &mut Cx<'_>) -> Step {
    core.privileged()?;
    core.halted = true;
    core.pc = core.past(op);
    // The shadow of STI ends here: what interrupts wakes it.
    core.attention = 0;
    Err(Leave::Exit(Exit::Wait))
}

fn cpuid(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    let leaf = core.reg(RAX, 4) as u32;
    let answer = core.identity.cpuid(leaf);
    for (n, value) in [RAX, RBX, RCX, RDX].into_iter().zip(answer) {
        core.set_reg(n, 4, value.into());
    }
    Ok(())
}

fn rdtsc(core: &mut Core, _: &Op, cx: &mut Cx<'_>) -> Step {
    if core.is4(cr4::TSD) && core.cpl != 0 {
        return Err(Fault::gp(0).into());
    }
    let time = core.time_stamp(cx);
    core.set_reg(RAX, 4, time);
    core.set_reg(RDX, 4, time >> 32);
    Ok(())
}

/// Numbers of model-specific registers.
mod msr {
    pub const TSC: u32 = 0x10;
    pub const APIC_BASE: u32 = 0x1b;
    pub const BIOS_SIGN_ID: u32 = 0x8b;
    pub const MTRR_CAP: u32 = 0xfe;
    pub const MTRR_VARIABLE: u32 = 0x200;
    pub const MTRR_FIXED: [u32; 11] = [
        0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
    ];
    pub const PAT: u32 = 0x277;
    pub const MTRR_TYPE: u32 = 0x2ff;
    pub const SYSENTER_CS: u32 = 0x174;
    pub const SYSENTER_ESP: u32 = 0x175;
    pub const SYSENTER_EIP: u32 = 0x176;
    pub const EFER: u32 = 0xc000_0080;
    /// AMD's SYSCFG, which systems read on its CPUs of 64 bits (BIOS and Kernel Developer's Guide).
    pub const SYSCFG: u32 = 0xc001_0010;
    pub const STAR: u32 = 0xc000_0081;
    pub const LSTAR: u32 = 0xc000_0082;
    pub const CSTAR: u32 = 0xc000_0083;
    pub const FMASK: u32 = 0xc000_0084;
    pub const FS_BASE: u32 = 0xc000_0100;
    pub const GS_BASE: u32 = 0xc000_0101;
    pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
}

/// Which memory type range register a number is: whether a variable one, and its place among them.
fn mtrr(number: u32) -> Option<(bool, usize)> {
    let variable = number.wrapping_sub(msr::MTRR_VARIABLE);
    if variable < 16 {
        return Some((true, variable as usize));
    }
    let place = msr::MTRR_FIXED.iter().position(|n| *n == number)?;
    Some((false, place))
}

fn rdmsr(core: &mut Core, _: &Op, cx: &mut Cx<'_>) -> Step {
    core.privileged()?;
    let m = &core.msrs;
    let value = match core.reg(RCX, 4) as u32 {
        msr::TSC if core.has(feature::TSC) => core.time_stamp(cx),
        msr::APIC_BASE if core.has_apic() => core.apic.base,
        // Eight variable ranges, fixed ones, and write combining.
        msr::MTRR_CAP if core.has(feature::MTRR) => 0x508,
        msr::MTRR_TYPE if core.has(feature::MTRR) => m.mtrr_type,
        msr::PAT if core.has(feature::PAT) => m.pat,
        number if core.has(feature::MTRR) && mtrr(number).is_some() => match mtrr(number) {
            Some((true, n)) => m.mtrr_variable[n],
            Some((_, n)) => m.mtrr_fixed[n],
            None => 0,
        },
        msr::BIOS_SIGN_ID => 0,
        // Nothing is mapped specially.
        msr::SYSCFG if core.has(feature::LM) => 0,
        msr::SYSENTER_CS if core.has(feature::SEP) => m.sysenter_cs,
        msr::SYSENTER_ESP if core.has(feature::SEP) => m.sysenter_esp,
        msr::SYSENTER_EIP if core.has(feature::SEP) => m.sysenter_eip,
        msr::EFER if core.efer_bits() != 0 => m.efer,
        msr::STAR if core.has(feature::SYSCALL) => m.star,
        msr::LSTAR if core.has(feature::LM) => m.lstar,
        msr::CSTAR if core.has(feature::LM) => m.cstar,
        msr::FMASK if core.has(feature::SYSCALL) => m.fmask,
        msr::FS_BASE if core.has(feature::LM) => core.segs[4].base,
        msr::GS_BASE if core.has(feature::LM) => core.segs[5].base,
        msr::KERNEL_GS_BASE if core.has(feature::LM) => m.kernel_gs_base,
        _ => return Err(Fault::gp(0).into()),
    };
    core.set_reg(RAX, 4, value);
    core.set_reg(RDX, 4, value >> 32);
    Ok(())
}

impl Core {
    /// The bits of EFER that can be set.
    fn efer_bits(&self) -> u64 {
        let bits = [
            (feature::SYSCALL, efer::SCE),
            (feature::LM, efer::LME),
            (feature::NX, efer::NXE),
        ];
        let there = bits.iter().filter(|(feature, _)| self.has(*feature));
        there.fold(0, |all, (_, bit)| all | bit)
    }
}

fn wrmsr(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.privileged()?;
    let value = core.reg(RAX, 4) | core.reg(RDX, 4) << 32;
    let number = core.reg(RCX, 4) as u32;
    let refused = Err(Fault::gp(0).into());
    let address = matches!(
        number,
        msr::LSTAR | msr::CSTAR | msr::FS_BASE | msr::GS_BASE | msr::KERNEL_GS_BASE
    );
    if address && !crate::mmu::canonical(value) {
        return refused;
    }
    match number {
        msr::TSC if core.has(feature::TSC) => {
            core.msrs.tsc_offset = 0;
            core.msrs.tsc_offset = value.wrapping_sub(core.time_stamp(cx));
        }
        msr::APIC_BASE if core.has_apic() => {
            use crate::apic::base;
            let beyond = value >> core.identity.physical_bits() != 0;
            if beyond || value & 0xfff & !(base::BSP | base::ENABLE) != 0 {
                return refused;
            }
            core.apic.base = value & !base::BSP | core.apic.base & base::BSP;
            core.vcpu.forget_pages();
        }
        msr::MTRR_TYPE if core.has(feature::MTRR) => {
            if value & !0xcff != 0 {
                return refused;
            }
            core.msrs.mtrr_type = value;
        }
        msr::PAT if core.has(feature::PAT) => {
            let known = |byte: &u8| matches!(byte, 0 | 1 | 4..=7);
            if !value.to_le_bytes().iter().all(known) {
                return refused;
            }
            core.msrs.pat = value;
        }
        number if core.has(feature::MTRR) && mtrr(number).is_some() => match mtrr(number) {
            Some((true, n)) => core.msrs.mtrr_variable[n] = value,
            Some((_, n)) => core.msrs.mtrr_fixed[n] = value,
            None => {}
        },
        msr::BIOS_SIGN_ID => {}
        msr::SYSENTER_CS if core.has(feature::SEP) => core.msrs.sysenter_cs = value,
        msr::SYSENTER_ESP if core.has(feature::SEP) => core.msrs.sysenter_esp = value,
        msr::SYSENTER_EIP if core.has(feature::SEP) => core.msrs.sysenter_eip = value,
        msr::EFER if core.efer_bits() != 0 => {
            let bits = core.efer_bits();
            let switched = (value ^ core.msrs.efer) & efer::LME != 0;
            if value & !(bits | efer::LMA) != 0 || switched && core.is(cr0::PG) {
                return refused;
            }
            core.msrs.efer = value & bits | core.msrs.efer & efer::LMA;
            core.vcpu.forget_pages();
        }
        msr::STAR if core.has(feature::SYSCALL) => core.msrs.star = value,
        msr::LSTAR if core.has(feature::LM) => core.msrs.lstar = value,
        msr::CSTAR if core.has(feature::LM) => core.msrs.cstar = value,
        msr::FMASK if core.has(feature::SYSCALL) => core.msrs.fmask = value & 0xffff_ffff,
        msr::FS_BASE if core.has(feature::LM) => core.segs[4].base = value,
        msr::GS_BASE if core.has(feature::LM) => core.segs[5].base = value,
        msr::KERNEL_GS_BASE if core.has(feature::LM) => core.msrs.kernel_gs_base = value,
        _ => return refused,
    }
    core.mode_changed();
    core.changed(op)
}

/// LGDT and LIDT.
fn load_table<const INTERRUPTS: bool>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.privileged()?;
    let size = if core.is64() { 8 } else { 4 };
    let va = core.address(op, size + 2, false)?;
    let limit = core.load(cx, op, va, 2)?;
    let base = core.load(cx, op, core.beside(va, 2), size)?;
    let base = match op.inst.code {
        Code::Lgdt_m1632_16 | Code::Lidt_m1632_16 => base & 0xff_ffff,
        _ if size == 8 && !crate::mmu::canonical(base) => return Err(Fault::gp(0).into()),
        _ => base,
    };
    core.set_table(INTERRUPTS, limit as u16, base);
    Ok(())
}

fn store_table<const INTERRUPTS: bool>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = if core.is64() { 8 } else { 4 };
    let va = core.address(op, size + 2, true)?;
    let table = if INTERRUPTS { core.idtr } else { core.gdtr };
    core.probe_write(cx, va, size + 2)?;
    core.store(cx, op, va, 2, table.limit.into())?;
    core.store(cx, op, core.beside(va, 2), size, table.base)
}

/// Instructions of protected mode alone.
fn only_protected(core: &Core) -> Step {
    match core.paragraphs() {
        true => Err(Fault::ud().into()),
        false => Ok(()),
    }
}

fn lldt(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    only_protected(core)?;
    core.privileged()?;
    let selector = selector_of(core, op, cx, 0)?;
    Ok(core.load_ldt(cx, selector)?)
}

fn ltr(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    only_protected(core)?;
    core.privileged()?;
    let selector = selector_of(core, op, cx, 0)?;
    Ok(core.load_task_register(cx, selector)?)
}

/// A selector in an operand of any size.
fn selector_of(core: &mut Core, op: &Op, cx: &mut Cx<'_>, n: usize) -> Step<u16> {
    Ok(match op.inst.ops[n] {
        Operand::Mem(_) => {
            let va = core.address(op, 2, false)?;
            core.load(cx, op, va, 2)? as u16
        }
        _ => core.get(cx, op, n)? as u16,
    })
}

/// Stores a number: all of it in a register, two bytes in memory.
fn store_word(core: &mut Core, op: &Op, cx: &mut Cx<'_>, value: u64) -> Step {
    match op.inst.ops[0] {
        Operand::Mem(_) => {
            let va = core.address(op, 2, true)?;
            core.store(cx, op, va, 2, value)
        }
        _ => core.put(cx, op, 0, value),
    }
}

fn sldt(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    only_protected(core)?;
    store_word(core, op, cx, core.ldtr.selector.into())
}

fn str(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    only_protected(core)?;
    store_word(core, op, cx, core.tr.selector.into())
}

fn smsw(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    store_word(core, op, cx, core.cr0)
}

fn lmsw(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.privileged()?;
    let new = u64::from(selector_of(core, op, cx, 0)?);
    // PE can be set, and not cleared.
    let bits = cr0::PE | cr0::MP | cr0::EM | cr0::TS;
    core.cr0 = core.cr0 & (!bits | cr0::PE) | new & bits;
    core.mode_changed();
    core.changed(op)
}

fn clts(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    core.privileged()?;
    core.cr0 &= !cr0::TS;
    core.mode_changed();
    Ok(())
}

fn wbinvd(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    core.privileged()
}

fn invlpg(core: &mut Core, op: &Op, _: &mut Cx<'_>) -> Step {
    core.privileged()?;
    let n = op.inst.memory.segment;
    let base = if core.is64() && n < 4 {
        0
    } else {
        core.seg(n).base
    };
    let va = core.wrap(base.wrapping_add(core.offset(op)));
    core.vcpu.wide.forget(va);
    core.vcpu.forget_code_pages();
    core.changed(op)
}

fn rsm(core: &mut Core, _: &Op, cx: &mut Cx<'_>) -> Step {
    core.leave_smm(cx)?;
    Err(Leave::Exit(Exit::Event))
}

/// CLFLUSH, which has to be able to read.
fn clflush(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let va = core.address(op, 1, false)?;
    core.load(cx, op, va, 1).map(drop)
}

fn swapgs(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    if !core.is64() {
        return Err(Fault::ud().into());
    }
    core.privileged()?;
    std::mem::swap(
        &mut core.msrs.kernel_gs_base,
        &mut core.segs[usize::from(GS)].base,
    );
    Ok(())
}

/// The descriptor that LAR, LSL, VERR and VERW ask for, if there is one that may be seen.
fn visible(core: &mut Core, cx: &mut Cx<'_>, selector: u16) -> Option<(Segment, u64)> {
    if null(selector) {
        return None;
    }
    let raw = core.descriptor(cx, selector).ok()?;
    let segment = parse(selector, raw);
    let conforming = segment.is(access::S | access::CODE | access::DC);
    let rpl = (selector & 3) as u8;
    (conforming || segment.dpl() >= core.cpl.max(rpl)).then_some((segment, raw))
}

fn lar(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    only_protected(core)?;
    let selector = selector_of(core, op, cx, 1)?;
    let long = core.long();
    let found = visible(core, cx, selector).filter(|(segment, _)| {
        segment.is(access::S)
            || match segment.kind() {
                2 | 9 | 11 | 12 => true,
                1 | 3 | 4 | 5 => !long,
                _ => false,
            }
    });
    if let Some((_, raw)) = found {
        core.put(cx, op, 0, raw >> 32 & 0xff_ff00)?;
    }
    let found = if found.is_some() { flag::ZF } else { 0 };
    core.set_flags(flag::ZF, found);
    Ok(())
}

fn lsl(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    only_protected(core)?;
    let selector = selector_of(core, op, cx, 1)?;
    let long = core.long();
    let found = visible(core, cx, selector).filter(|(segment, _)| {
        segment.is(access::S)
            || match segment.kind() {
                2 | 9 | 11 => true,
                1 | 3 => !long,
                _ => false,
            }
    });
    if let Some((segment, _)) = found {
        core.put(cx, op, 0, segment.limit.into())?;
    }
    let found = if found.is_some() { flag::ZF } else { 0 };
    core.set_flags(flag::ZF, found);
    Ok(())
}

/// VERR and VERW.
fn verify<const WRITE: bool>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    only_protected(core)?;
    let selector = selector_of(core, op, cx, 0)?;
    let found = visible(core, cx, selector).is_some_and(|(segment, _)| {
        let code = segment.is(access::CODE);
        segment.is(access::S)
            && match WRITE {
                true => !code && segment.is(access::RW),
                false => !code || segment.is(access::RW),
            }
    });
    core.set_flags(flag::ZF, if found { flag::ZF } else { 0 });
    Ok(())
}

fn arpl(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    only_protected(core)?;
    let a = core.get_to_change(cx, op, 0)?;
    let b = core.get(cx, op, 1)?;
    let raise = a & 3 < b & 3;
    if raise {
        core.put(cx, op, 0, a & !3 | b & 3)?;
    }
    core.set_flags(flag::ZF, if raise { flag::ZF } else { 0 });
    Ok(())
}

pub fn from_control(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.privileged()?;
    let value = match op.inst.ops[1] {
        Operand::Control(0) => core.cr0,
        Operand::Control(2) => core.cr2,
        Operand::Control(3) => core.cr3,
        Operand::Control(4) if core.cr4_bits() != 0 => core.cr4,
        Operand::Control(8) if core.is64() => (core.apic.tpr >> 4).into(),
        _ => return Err(Fault::ud().into()),
    };
    core.put(cx, op, 0, value)
}

pub fn to_control(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.privileged()?;
    let value = core.get(cx, op, 1)?;
    match op.inst.ops[0] {
        Operand::Control(0) => core.set_cr0(value)?,
        Operand::Control(2) => core.cr2 = value,
        Operand::Control(3) => {
            if core.long() && value >> core.identity.physical_bits() != 0 {
                return Err(Fault::gp(0).into());
            }
            core.cr3 = value;
            core.vcpu.forget_pages();
        }
        Operand::Control(4) if core.cr4_bits() != 0 => {
            let wrong = value & !core.cr4_bits() != 0 || core.long() && value & cr4::PAE == 0;
            if wrong {
                return Err(Fault::gp(0).into());
            }
            core.cr4 = value;
            core.vcpu.forget_pages();
        }
        Operand::Control(8) if core.is64() => {
            if value & !15 != 0 {
                return Err(Fault::gp(0).into());
            }
            core.apic.tpr = (value << 4) as u8;
        }
        _ => return Err(Fault::ud().into()),
    }
    core.mode_changed();
    core.changed(op)
}

impl Core {
    fn set_cr0(&mut self, value: u64) -> Step {
        let there = cr0::PE
            | cr0::MP
            | cr0::EM
            | cr0::TS
            | cr0::NE
            | cr0::WP
            | cr0::AM
            | cr0::NW
            | cr0::CD
            | cr0::PG;
        let paging = value & cr0::PG != 0;
        let wrong = value >> 32 != 0
            || paging && value & cr0::PE == 0
            || value & cr0::NW != 0 && value & cr0::CD == 0;
        if wrong {
            return Err(Fault::gp(0).into());
        }
        let new = value & there | cr0::ET;
        let switched = (new ^ self.cr0) & cr0::PG != 0;
        if switched && self.msrs.efer & efer::LME != 0 {
            if paging {
                let long_code = self.seg(CS).is(access::LONG);
                if !self.is4(cr4::PAE) || long_code {
                    return Err(Fault::gp(0).into());
                }
                self.msrs.efer |= efer::LMA;
            } else {
                if self.is64() {
                    return Err(Fault::gp(0).into());
                }
                self.msrs.efer &= !efer::LMA;
            }
        }
        if (new ^ self.cr0) & (cr0::PG | cr0::WP | cr0::PE) != 0 {
            self.vcpu.forget_pages();
        }
        self.cr0 = new;
        Ok(())
    }
}

pub fn from_debug(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.privileged()?;
    let Operand::Debug(n) = op.inst.ops[1] else {
        return Err(Fault::ud().into());
    };
    // 4 and 5 are others' names of 6 and 7.
    let n = if matches!(n, 4 | 5) { n + 2 } else { n };
    let value = core.dr[usize::from(n & 7)];
    core.put(cx, op, 0, value)
}

pub fn to_debug(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.privileged()?;
    let value = core.get(cx, op, 1)?;
    let Operand::Debug(n) = op.inst.ops[0] else {
        return Err(Fault::ud().into());
    };
    if n > 7 || value & !mask(4) != 0 && n >= 4 {
        return Err(Fault::gp(0).into());
    }
    let (n, value) = match n {
        4 | 6 => (6, value & 0xe00f | 0xffff_0ff0),
        5 | 7 => (7, value & 0xffff_2fff | 0x400),
        n => (n, value),
    };
    core.dr[usize::from(n)] = value;
    core.changed(op)
}
