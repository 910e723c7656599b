//! The debugger's way in: gdb's remote protocol, through the crate gdbstub.
//!
//! What gdb asks is done as commands are, between two instructions and on the machine's thread. Breakpoints and watch points are
//! the engine's ([`Machine::set_stops`](crate::machine::Machine::set_stops)), so a machine that is watched does what it does otherwise.

mod packets;
mod target;

use gdbstub::common::Signal;
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{DisconnectReason, GdbStub, MultiThreadStopReason};
use gdbstub::target::ext::breakpoints::WatchKind;
use solderless_model::{Place, Stop, Stops, Watch, Watching};

use super::Vm;
use crate::backend::Said;
use crate::machine::End;
use packets::{MOST, Packet, Packets, body, packet};
use target::{Register, tid};

/// The state of the protocol, and of the session that speaks it.
type Stub<'a> = GdbStubStateMachine<'static, Vm<'a>, Line>;

/// Breakpoints, and watch points, at most.
const MOST_STOPS: usize = 1 << 12;

/// What a debugger has asked, and how far that has been told.
#[derive(Default)]
pub struct Debugger<'a> {
    /// The present one's session, from its first packet on.
    stub: Option<Box<Stub<'a>>>,
    packets: Packets,
    /// How the CPUs are described to it.
    description: String,
    /// The machine stood still when it came.
    was_paused: bool,
    /// Breakpoints that it calls software ones.
    soft: Vec<Place>,
    /// Those that it calls hardware ones.
    hard: Vec<Place>,
    watches: Vec<Watch>,
    /// The CPU that executes one instruction when the machine goes on.
    step: Option<usize>,
    /// It goes on with steps as long as it is at one of these addresses.
    range: Option<(u64, u64)>,
    /// The CPU that last stopped.
    cpu: usize,
    /// Addresses of memory are physical ones.
    physical: bool,
    /// It may start the program again.
    extended: bool,
    /// It has ended the run.
    end: Option<End>,
}

impl std::fmt::Debug for Debugger<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let there = if self.stub.is_some() { "there" } else { "away" };
        write!(f, "Debugger({there})")
    }
}

/// What is said to the debugger, until it is sent.
#[derive(Debug, Default)]
pub struct Line(Vec<u8>);

impl Connection for Line {
    type Error = std::convert::Infallible;

    fn write(&mut self, byte: u8) -> Result<(), Self::Error> {
        self.0.push(byte);
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.extend(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl Debugger<'_> {
    /// Where the machine is to stop.
    fn stops(&self) -> Stops {
        Stops {
            breakpoints: self.soft.iter().chain(&self.hard).copied().collect(),
            watchpoints: self.watches.clone(),
        }
    }

    /// It waits for the machine to stop.
    fn waits(&self) -> bool {
        matches!(self.stub.as_deref(), Some(Stub::Running(_)))
    }

    /// The CPU of which one instruction is executed.
    pub fn stepping(&self) -> Option<usize> {
        self.step.filter(|_| self.waits())
    }
}

impl<'a> Vm<'a> {
    /// Does what the debugger has asked; how the run ends, if that was it.
    pub fn attend_debugger(&mut self) -> Option<End> {
        if self.paused && self.debugger.waits() {
            // Somebody else has had the machine stand still.
            self.tell_debugger(MultiThreadStopReason::SignalWithThread {
                tid: tid(self.debugger.cpu),
                signal: Signal::SIGINT,
            });
        }
        while let Some((number, said)) = self.sessions.packets() {
            match said {
                Said::Opened => {}
                Said::Closed => {
                    self.leave_debugger();
                    self.debugger.packets = Packets::default();
                    self.sessions.next_peer(number);
                }
                Said::Text(mut bytes) => {
                    let (packet, used) = self.debugger.packets.take(&bytes);
                    self.sessions.put_back(number, bytes.split_off(used), used);
                    if let Some(packet) = packet {
                        self.packet(packet);
                    }
                }
            }
            if let Some(end) = self.debugger.end.take() {
                return Some(end);
            }
        }
        None
    }

    /// A CPU stands where the debugger wanted it to, or has done a step.
    pub fn debugger_stopped(&mut self, cpu: usize, stop: Stop) {
        let debugger = &mut self.debugger;
        let reason = match stop {
            // What was taken away meanwhile stops nobody: the machine goes on.
            Stop::Break(at) if debugger.soft.contains(&at) => {
                MultiThreadStopReason::SwBreak(tid(cpu))
            }
            Stop::Break(at) if debugger.hard.contains(&at) => {
                MultiThreadStopReason::HwBreak(tid(cpu))
            }
            // Before the access, as gdb expects of these CPUs: it has it made, and looks what has changed.
            Stop::Watch(watched) if debugger.watches.contains(&watched.watch) => {
                MultiThreadStopReason::Watch {
                    tid: tid(cpu),
                    kind: match watched.watch.on {
                        Watching::Reads => WatchKind::Read,
                        Watching::Writes => WatchKind::Write,
                        Watching::Accesses => WatchKind::ReadWrite,
                    },
                    addr: watched.at,
                }
            }
            Stop::Limit => {
                let pc = self.machine.cpu_at(cpu).map_or(0, |cpu| cpu.pc());
                if debugger
                    .range
                    .is_some_and(|(from, to)| (from..to).contains(&pc))
                {
                    return;
                }
                MultiThreadStopReason::SignalWithThread {
                    tid: tid(cpu),
                    signal: Signal::SIGTRAP,
                }
            }
            _ => return,
        };
        self.debugger.cpu = cpu;
        self.pause(true);
        self.tell_debugger(reason);
    }

    /// The run is over.
    pub fn debugger_ends(&mut self, end: End) {
        let status = match end {
            End::Quit(status) | End::Exit(status) => status,
            _ => 0,
        };
        if self.debugger.waits() {
            self.tell_debugger(MultiThreadStopReason::Exited(status));
        }
        self.forget_debugger();
    }

    /// Says why the machine stands still, if anybody waits for that.
    fn tell_debugger(&mut self, reason: MultiThreadStopReason<u64>) {
        self.with_stub(|vm, stub| match stub {
            Stub::Running(running) => {
                let registers = vm.expedited();
                let registers = registers.iter();
                let mut registers = registers.map(|(id, bytes)| (Register(*id), bytes.as_slice()));
                running
                    .report_stop_with_regs(vm, reason, &mut registers)
                    .ok()
            }
            stub => Some(stub),
        });
    }

    /// Has the session go on, and sends what it has said. One that cannot is over.
    fn with_stub(&mut self, work: impl FnOnce(&mut Self, Stub<'a>) -> Option<Stub<'a>>) {
        let Some(stub) = self.debugger.stub.take() else {
            return;
        };
        let Some(mut stub) = work(self, *stub) else {
            tracing::warn!("gdb: a packet that is none of the protocol's ends the session");
            self.pause(self.debugger.was_paused);
            self.forget_debugger();
            self.sessions.reply(&packet("E16"));
            return;
        };
        let line = match &mut stub {
            Stub::Idle(stub) => stub.borrow_conn(),
            Stub::Running(stub) => stub.borrow_conn(),
            Stub::CtrlCInterrupt(stub) => stub.borrow_conn(),
            Stub::Disconnected(stub) => stub.borrow_conn(),
        };
        let said = std::mem::take(&mut line.0);
        self.sessions.reply(&said);
        self.debugger.packets.said(said);
        self.debugger.stub = Some(stub.into());
    }

    /// Takes in what the debugger has said.
    fn packet(&mut self, said: Packet) {
        let raw = match said {
            Packet::Again => {
                let again = self.debugger.packets.last().to_vec();
                return self.sessions.reply(&again);
            }
            Packet::Damaged if self.debugger.packets.silent => return,
            Packet::Damaged => return self.sessions.reply(b"-"),
            Packet::Long => return self.answer("E22"),
            Packet::Interrupt => vec![3],
            Packet::Whole(raw) => raw,
        };
        if self.debugger.stub.is_none() && !self.attach_debugger() {
            return;
        }
        if raw.len() > 1
            && let Some(answer) = self.own(body(&raw))
        {
            return self.answer(answer);
        }
        self.with_stub(|vm, mut stub| {
            let ran = matches!(stub, Stub::Running(_));
            for byte in raw {
                stub = match stub {
                    Stub::Idle(stub) => stub.incoming_data(vm, byte).ok()?,
                    Stub::Running(stub) => stub.incoming_data(vm, byte).ok()?,
                    stub => stub,
                };
            }
            match stub {
                Stub::CtrlCInterrupt(stub) => {
                    let reason = MultiThreadStopReason::SignalWithThread {
                        tid: tid(vm.debugger.cpu),
                        signal: Signal::SIGINT,
                    };
                    vm.pause(vm.paused || ran);
                    // One that crosses the answer that it stands still is not meant for the next run.
                    stub.interrupt_handled(vm, ran.then_some(reason)).ok()
                }
                stub => Some(stub),
            }
        });
        if let Some(Stub::Disconnected(stub)) = self.debugger.stub.as_deref() {
            if stub.get_reason() == DisconnectReason::Disconnect {
                self.pause(false);
            }
            self.forget_debugger();
        }
    }

    /// Answers a packet that gdbstub does not know, or would answer at any length.
    fn own(&mut self, content: &[u8]) -> Option<&'static str> {
        if content == b"QStartNoAckMode" {
            self.debugger.packets.silent = true;
        } else if content == b"qqemu.PhyMemMode" {
            return Some(if self.debugger.physical { "1" } else { "0" });
        } else if let Some(mode) = content.strip_prefix(b"Qqemu.PhyMemMode:") {
            self.debugger.physical = mode != b"0";
            return Some("OK");
        } else if let Some(rest) = content.strip_prefix(b"m") {
            let length = rest.split(|byte| *byte == b',').nth(1);
            let length = length.and_then(|text| std::str::from_utf8(text).ok());
            let length = length.and_then(|text| usize::from_str_radix(text, 16).ok());
            if length.is_none_or(|length| length > MOST / 2 - 64) {
                return Some("E22");
            }
        }
        None
    }

    /// Answers without the session.
    fn answer(&mut self, content: &str) {
        let mut answer = match self.debugger.packets.silent {
            true => Vec::new(),
            false => vec![b'+'],
        };
        answer.extend(packet(content));
        self.sessions.reply(&answer);
        self.debugger.packets.said(answer);
    }

    /// A debugger is there: the machine stands still. False if there can be none.
    fn attach_debugger(&mut self) -> bool {
        let stub = GdbStub::builder(Line::default())
            .packet_buffer_size(MOST)
            .build();
        let stub = stub.ok().and_then(|stub| stub.run_state_machine(self).ok());
        let Some(stub) = stub else {
            return false;
        };
        self.debugger.stub = Some(stub.into());
        self.debugger.description = self.description();
        self.debugger.was_paused = self.paused;
        self.pause(true);
        tracing::info!("gdb: a debugger is there");
        true
    }

    /// Whoever leaves without a word leaves the machine as it was found.
    fn leave_debugger(&mut self) {
        if self.debugger.stub.is_some() {
            self.pause(self.debugger.was_paused);
        }
        self.forget_debugger();
    }

    /// Nobody debugs any more.
    fn forget_debugger(&mut self) {
        let (packets, end) = {
            let debugger = &mut self.debugger;
            (std::mem::take(&mut debugger.packets), debugger.end.take())
        };
        self.debugger = Debugger {
            packets,
            end,
            ..Debugger::default()
        };
        self.machine.set_stops(Stops::default());
        self.machine.step_cpu(None);
    }
}
