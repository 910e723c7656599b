//! The machine as gdbstub sees it. CPUs are threads, numbered from 1.

use std::convert::Infallible;
use std::num::NonZeroUsize;

use gdbstub::arch::{Arch, RegId, Registers};
use gdbstub::common::{Pid, Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume,
    MultiThreadResumeOps, MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps,
    MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::single_register_access::{
    SingleRegisterAccess, SingleRegisterAccessOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps,
    SwBreakpoint, SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::extended_mode::{
    Args, AttachKind, CurrentActivePid, CurrentActivePidOps, ExtendedMode, ExtendedModeOps,
    ShouldTerminate,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use solderless_model::memory::PAGE;
use solderless_model::registers::{self, Value};
use solderless_model::{Place, Processor, Watch, Watching};

use super::super::{Vm, people};
use super::MOST_STOPS;
use crate::machine::End;
use crate::visible::visible;

/// Linux's numbers of errors: a bad address, no room, and something that cannot be.
const FAULT: u8 = 14;
const NO_ROOM: u8 = 28;
const INVALID: u8 = 22;

/// The only process.
const PROCESS: Pid = Pid::MIN;

/// The most bytes of a command's output that are sent in one piece.
const PIECE: usize = 4000;

/// The number of a CPU as a thread.
pub fn tid(cpu: usize) -> Tid {
    NonZeroUsize::MIN.saturating_add(cpu)
}

/// The CPU that is a thread.
fn cpu(tid: Tid) -> usize {
    tid.get() - 1
}

/// Any CPU, with what it says of itself.
#[derive(Debug)]
pub enum Any {}

/// A register, by gdb's number.
#[derive(Debug)]
pub struct Register(pub u16);

/// All registers, as gdb has them in a row.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct All(Vec<u8>);

impl Arch for Any {
    type Usize = u64;
    type Registers = All;
    type BreakpointKind = usize;
    type RegId = Register;
}

impl RegId for Register {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        Some((Self(u16::try_from(id).ok()?), None))
    }

    fn to_raw_id(&self) -> Option<usize> {
        Some(self.0.into())
    }
}

impl Registers for All {
    type ProgramCounter = u64;

    /// Nobody asks.
    fn pc(&self) -> u64 {
        0
    }

    fn gdb_serialize(&self, write: impl FnMut(Option<u8>)) {
        self.0.iter().copied().map(Some).for_each(write);
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 = bytes.to_vec();
        Ok(())
    }
}

/// The registers that gdb knows, in the order of its numbers: the number, the place in the CPU's table, bits.
fn known(cpu: &dyn Processor) -> Vec<(u16, usize, u16)> {
    let table = cpu.registers().into_iter().enumerate();
    let known = table.filter_map(|(place, r)| Some((r.gdb?.number, place, r.bits)));
    let mut known: Vec<_> = known.collect();
    known.sort_unstable();
    known
}

/// A register's bytes, in the CPU's order.
fn bytes(value: Value, bits: u16, big_endian: bool) -> Vec<u8> {
    let words = value.words(bits).iter();
    let mut bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(usize::from(bits.div_ceil(8)));
    if big_endian {
        bytes.reverse();
    }
    bytes
}

/// What these bytes are.
fn value(bytes: &[u8], big_endian: bool) -> Value {
    let mut words = [0; 8];
    let byte = |index: usize| match big_endian {
        true => bytes[bytes.len() - 1 - index],
        false => bytes[index],
    };
    for index in 0..bytes.len().min(64) {
        words[index / 8] |= u64::from(byte(index)) << (8 * (index % 8));
    }
    Value::wide(words)
}

impl Vm<'_> {
    /// A CPU, and whether its words have their highest byte first.
    fn thread(&mut self, tid: Tid) -> TargetResult<(&mut dyn Processor, bool), Self> {
        let cpus = self.loaded.plan.devices.iter();
        let mut cpus = cpus.filter_map(|d| d.interface.cpu);
        let big_endian = cpus.nth(cpu(tid)).is_some_and(|cpu| cpu.big_endian);
        match self.machine.cpu_at(cpu(tid)) {
            Some(cpu) => Ok((cpu, big_endian)),
            None => Err(TargetError::Errno(INVALID)),
        }
    }

    /// An address as the CPUs have it: gdb writes short ones of some CPUs with their sign.
    fn address(&self, at: u64) -> u64 {
        let cpus = self.loaded.plan.devices.iter();
        let bits = cpus.filter_map(|d| d.interface.cpu).map(|cpu| cpu.bits);
        match bits.max() {
            Some(bits @ 0..64) => at & ((1 << bits) - 1),
            _ => at,
        }
    }

    fn place(&self, at: u64) -> Place {
        match self.debugger.physical {
            true => Place::Physical(at),
            false => Place::Virtual(self.address(at)),
        }
    }

    /// The registers of the CPU that last stopped which whoever steps wants to see: they are sent unasked.
    pub(super) fn expedited(&mut self) -> Vec<(u16, Vec<u8>)> {
        let Ok((cpu, big_endian)) = self.thread(tid(self.debugger.cpu)) else {
            return Vec::new();
        };
        let table = cpu.registers();
        let general = known(cpu)
            .into_iter()
            .filter(|(_, place, _)| table[*place].group == "general");
        let read =
            |(number, place, bits)| Some((number, bytes(cpu.register(place)?, bits, big_endian)));
        general.filter_map(read).collect()
    }

    /// How the CPUs are described, in gdb's words.
    pub(super) fn description(&mut self) -> String {
        let cpu = self.machine.cpu();
        cpu.map_or_else(String::new, |cpu| {
            registers::description(cpu.architecture(), &cpu.registers())
        })
    }
}

impl Target for Vm<'_> {
    type Arch = Any;
    type Error = Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, Any, Infallible> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }

    fn support_extended_mode(&mut self) -> Option<ExtendedModeOps<'_, Self>> {
        Some(self)
    }

    fn support_target_description_xml_override(
        &mut self,
    ) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Vm<'_> {
    fn read_registers(&mut self, all: &mut All, tid: Tid) -> TargetResult<(), Self> {
        let (cpu, big_endian) = self.thread(tid)?;
        for (_, place, bits) in known(cpu) {
            let value = cpu.register(place).unwrap_or_default();
            all.0.extend(bytes(value, bits, big_endian));
        }
        Ok(())
    }

    fn write_registers(&mut self, all: &All, tid: Tid) -> TargetResult<(), Self> {
        let (cpu, big_endian) = self.thread(tid)?;
        let mut rest = all.0.as_slice();
        for (_, place, bits) in known(cpu) {
            let Some((bytes, behind)) = rest.split_at_checked(bits.div_ceil(8).into()) else {
                break;
            };
            rest = behind;
            // Those that cannot be written are what they were.
            cpu.set_register(place, value(bytes, big_endian));
        }
        Ok(())
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let mut done = 0;
        while done < data.len() {
            let at = start.wrapping_add(done as u64);
            // As much as is in a page: what follows may not be there.
            let room = (PAGE - at % PAGE) as usize;
            let end = data.len().min(done + room);
            let place = self.place(at);
            if self
                .machine
                .peek(cpu(tid), place, &mut data[done..end])
                .is_err()
            {
                break;
            }
            done = end;
        }
        match done {
            0 if !data.is_empty() => Err(TargetError::Errno(FAULT)),
            done => Ok(done),
        }
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let place = self.place(start);
        let written = self.machine.poke(cpu(tid), place, data);
        written.map_err(|_| TargetError::Errno(FAULT))
    }

    fn list_active_threads(&mut self, active: &mut dyn FnMut(Tid)) -> Result<(), Infallible> {
        (0..self.machine.cpus().count()).map(tid).for_each(active);
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<Tid> for Vm<'_> {
    fn read_register(
        &mut self,
        tid: Tid,
        Register(number): Register,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let (cpu, big_endian) = self.thread(tid)?;
        let known = known(cpu).into_iter().find(|(n, ..)| *n == number);
        let value = known.and_then(|(_, place, bits)| Some((cpu.register(place)?, bits)));
        let (value, bits) = value.ok_or(TargetError::Errno(INVALID))?;
        let bytes = bytes(value, bits, big_endian);
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_register(
        &mut self,
        tid: Tid,
        Register(number): Register,
        val: &[u8],
    ) -> TargetResult<(), Self> {
        let (cpu, big_endian) = self.thread(tid)?;
        let known = known(cpu).into_iter().find(|(n, ..)| *n == number);
        let written = known.is_some_and(|(_, place, bits)| {
            val.len() == usize::from(bits.div_ceil(8))
                && cpu.set_register(place, value(val, big_endian))
        });
        match written {
            true => Ok(()),
            false => Err(TargetError::Errno(INVALID)),
        }
    }
}

impl ThreadExtraInfo for Vm<'_> {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, Infallible> {
        let name = self.machine.cpus().nth(cpu(tid)).unwrap_or_default();
        let waits = self
            .machine
            .cpu_clock(cpu(tid))
            .is_some_and(|(_, waits)| waits);
        let text = match waits {
            true => format!("{name} [waits for an interrupt]"),
            false => name.to_owned(),
        };
        let len = text.len().min(buf.len());
        buf[..len].copy_from_slice(&text.as_bytes()[..len]);
        Ok(len)
    }
}

impl MultiThreadResume for Vm<'_> {
    fn resume(&mut self) -> Result<(), Infallible> {
        // Breakpoints that were taken away for a step come back: until then they stop nobody.
        let (wanted, set) = (self.debugger.stops(), self.machine.stops());
        let all = wanted
            .breakpoints
            .iter()
            .all(|at| set.breakpoints.contains(at));
        let enough = self.debugger.step.is_some() && all && wanted.watchpoints == set.watchpoints;
        if !enough && wanted != *set {
            self.machine.set_stops(wanted);
        }
        self.pause(false);
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Infallible> {
        (self.debugger.step, self.debugger.range) = (None, None);
        Ok(())
    }

    fn set_resume_action_continue(&mut self, _: Tid, _: Option<Signal>) -> Result<(), Infallible> {
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for Vm<'_> {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), Infallible> {
        self.debugger.step.get_or_insert(cpu(tid));
        Ok(())
    }
}

impl MultiThreadRangeStepping for Vm<'_> {
    fn set_resume_action_range_step(
        &mut self,
        tid: Tid,
        start: u64,
        end: u64,
    ) -> Result<(), Infallible> {
        if self.debugger.step.is_none() {
            self.debugger.step = Some(cpu(tid));
            self.debugger.range = Some((self.address(start), self.address(end)));
        }
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Vm<'_> {
    /// CPUs have their turns all the same: what the machine does is not to depend on who watches it.
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Breakpoints for Vm<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

/// Adds one to a list that has not too many.
fn add<T: PartialEq>(list: &mut Vec<T>, one: T) -> TargetResult<bool, Vm<'static>> {
    if list.contains(&one) {
        return Ok(true);
    }
    if list.len() == MOST_STOPS {
        return Err(TargetError::Errno(NO_ROOM));
    }
    list.push(one);
    Ok(true)
}

fn remove<T: PartialEq>(list: &mut Vec<T>, one: &T) -> bool {
    let place = list.iter().position(|other| other == one);
    place.map(|place| list.swap_remove(place)).is_some()
}

impl SwBreakpoint for Vm<'_> {
    fn add_sw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        let place = Place::Virtual(self.address(at));
        add(&mut self.debugger.soft, place)
    }

    fn remove_sw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        let place = Place::Virtual(self.address(at));
        Ok(remove(&mut self.debugger.soft, &place))
    }
}

impl HwBreakpoint for Vm<'_> {
    fn add_hw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        let place = Place::Virtual(self.address(at));
        add(&mut self.debugger.hard, place)
    }

    fn remove_hw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        let place = Place::Virtual(self.address(at));
        Ok(remove(&mut self.debugger.hard, &place))
    }
}

impl Vm<'_> {
    fn watch(&self, at: u64, len: u64, kind: WatchKind) -> Watch {
        Watch {
            at: Place::Virtual(self.address(at)),
            len: len.max(1),
            on: match kind {
                WatchKind::Write => Watching::Writes,
                WatchKind::Read => Watching::Reads,
                WatchKind::ReadWrite => Watching::Accesses,
            },
        }
    }
}

impl HwWatchpoint for Vm<'_> {
    fn add_hw_watchpoint(
        &mut self,
        at: u64,
        len: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let watch = self.watch(at, len, kind);
        add(&mut self.debugger.watches, watch)
    }

    fn remove_hw_watchpoint(
        &mut self,
        at: u64,
        len: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let watch = self.watch(at, len, kind);
        Ok(remove(&mut self.debugger.watches, &watch))
    }
}

impl TargetDescriptionXmlOverride for Vm<'_> {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        if annex != b"target.xml" {
            return Err(TargetError::Errno(INVALID));
        }
        let text = self.debugger.description.as_bytes();
        let start = usize::try_from(offset)
            .unwrap_or(text.len())
            .min(text.len());
        let piece = &text[start..];
        let piece = &piece[..piece.len().min(length).min(buf.len())];
        buf[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}

impl MonitorCmd for Vm<'_> {
    fn handle_monitor_cmd(
        &mut self,
        line: &[u8],
        mut out: ConsoleOutput<'_>,
    ) -> Result<(), Infallible> {
        let text = people::answer(self, &String::from_utf8_lossy(line));
        self.debugger.end = self.end.map(|(end, _)| end);
        for piece in visible(&text).as_bytes().chunks(PIECE) {
            out.write_raw(piece);
            out.flush();
        }
        Ok(())
    }
}

impl ExtendedMode for Vm<'_> {
    fn on_start(&mut self) -> Result<(), Infallible> {
        self.debugger.extended = true;
        Ok(())
    }

    /// The program is what the board starts; what gdb would have run instead is not looked at.
    fn run(&mut self, _: Option<&[u8]>, _: Args<'_, '_>) -> TargetResult<Pid, Self> {
        self.machine.reset();
        Ok(PROCESS)
    }

    fn attach(&mut self, _: Pid) -> TargetResult<(), Self> {
        Ok(())
    }

    fn query_if_attached(&mut self, _: Pid) -> TargetResult<AttachKind, Self> {
        Ok(AttachKind::Attach)
    }

    fn kill(&mut self, _: Option<Pid>) -> TargetResult<ShouldTerminate, Self> {
        if self.debugger.extended {
            // It can be run again.
            return Ok(ShouldTerminate::No);
        }
        self.debugger.end = Some(End::Quit(0));
        Ok(ShouldTerminate::Yes)
    }

    fn restart(&mut self) -> Result<(), Infallible> {
        self.machine.reset();
        Ok(())
    }

    fn support_current_active_pid(&mut self) -> Option<CurrentActivePidOps<'_, Self>> {
        Some(self)
    }
}

impl CurrentActivePid for Vm<'_> {
    fn current_active_pid(&mut self) -> Result<Pid, Infallible> {
        Ok(PROCESS)
    }
}
