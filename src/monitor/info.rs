//! What `info` shows.

use std::fmt::Write;

use solderless_model::registers::Register;
use solderless_model::{Engine, EngineInfo, Processor};

use super::commands::{Command, say};
use super::{Outcome, Vm, snapshot};
use crate::diagnostics::nearest;
use crate::machine::Machine;
use crate::plan::{Bus, Plan};
use crate::toml;

/// What there is to know, in the order of the names.
pub static INFO: &[Command] = &[
    Command {
        names: &["cpus"],
        args: "",
        help: "the CPUs, with a mark at the one that is looked at",
        run: |vm, _| {
            let chosen = vm.cpu;
            each_cpu(vm, |index, name, machine| {
                let waits = machine.cpu_clock(index).is_some_and(|(_, waits)| waits);
                let waits = if waits {
                    ", waits for an interrupt"
                } else {
                    ""
                };
                let mark = if index == chosen { '*' } else { ' ' };
                let cpu = machine.cpu_at(index)?;
                let pc = cpu.pc();
                Some(format!("{mark} CPU #{index}: {name}, pc {pc:#x}{waits}\n"))
            })
        },
    },
    Command {
        names: &["jit"],
        args: "",
        help: "what the engine of each CPU has done: blocks, bytes, tiers, hits, invalidations, time spent compiling",
        run: |vm, _| {
            let several = vm.machine.cpus().count() > 1;
            each_cpu(vm, |index, name, machine| {
                let heading = match several {
                    true => format!("CPU #{index}: {name}\n"),
                    false => String::new(),
                };
                let cpu = machine.cpu_at(index)?;
                Some(heading + &jit(&cpu.engine_info()))
            })
        },
    },
    Command {
        names: &["mtree"],
        args: "",
        help: "what answers where, as the guest has it now",
        run: |vm, _| say(vm.machine.address_map(&vm.loaded.plan)),
    },
    Command {
        names: &["qtree"],
        args: "",
        help: "the devices by the buses they sit on, with their properties",
        run: |vm, _| say(qtree(&vm.loaded.plan)),
    },
    Command {
        names: &["registers"],
        args: "[NAME...]",
        help: "the registers of the CPU by groups, or those of these names and groups",
        run: |vm, names| match vm.machine.cpu_at(vm.cpu) {
            Some(cpu) => registers(cpu, names).and_then(say),
            None => Err(cpus(0)),
        },
    },
    Command {
        names: &["snapshots"],
        args: "",
        help: "the snapshots that there are",
        run: |vm, _| snapshot::list(vm),
    },
    Command {
        names: &["status"],
        args: "",
        help: "whether the machine runs",
        run: |vm, _| {
            let status = if vm.paused { "paused" } else { "running" };
            say(format!("VM status: {status}\n"))
        },
    },
    Command {
        names: &["version"],
        args: "",
        help: "the version of this program",
        run: |_, _| say(concat!(env!("CARGO_PKG_VERSION"), "\n")),
    },
];

/// How many CPUs there are.
pub fn cpus(count: usize) -> String {
    match count {
        0 => "the board has no CPU".to_owned(),
        1 => "the board has one, 0".to_owned(),
        _ => format!("the board has {count}, 0 to {}", count - 1),
    }
}

/// What there is to say about each CPU, by its place and its name.
fn each_cpu(
    vm: &mut Vm<'_>,
    about: impl Fn(usize, &str, &mut Machine) -> Option<String>,
) -> Outcome {
    let names: Vec<_> = vm.machine.cpus().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(cpus(0));
    }
    let all = names.iter().enumerate();
    let all = all.filter_map(|(index, name)| about(index, name, &mut vm.machine));
    say(all.collect::<String>())
}

fn jit(info: &EngineInfo) -> String {
    let engine = match info.engine {
        Engine::Interp => "interp".to_owned(),
        Engine::Jit { after } => format!("jit, for blocks executed {after} times"),
    };
    let EngineInfo {
        interpreter,
        native,
        ..
    } = info;
    let milliseconds = info.generating_ns as f64 / 1e6;
    format!(
        "engine: {engine}\n\
         interpreter: {} blocks, {} instructions executed\n\
         generated code: {} blocks, {} bytes, {} instructions executed\n\
         look-ups: {} hits, {} misses\n\
         compiled: {} blocks, {} instructions, {} loops, {milliseconds:.1} ms\n\
         entered: {} times\n\
         invalidated: {} pages, {} times everything\n",
        interpreter.blocks,
        interpreter.instructions,
        native.blocks,
        info.code_bytes,
        native.instructions,
        info.hits,
        info.misses,
        info.generated,
        info.generated_instructions,
        info.loops,
        info.entries,
        info.invalidated,
        info.flushes,
    )
}

/// The registers with these names, or in the groups with these names; all of them without any.
fn registers(cpu: &dyn Processor, names: &[String]) -> Result<String, String> {
    let table = cpu.registers();
    for name in names {
        if !table.iter().any(|r| r.name == name || r.group == name) {
            let mut groups: Vec<_> = table.iter().map(|r| r.group).collect();
            groups.dedup();
            let names = groups.iter().copied().chain(table.iter().map(|r| r.name));
            let meant = match nearest(name, names) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the groups are {}", groups.join(", ")),
            };
            return Err(format!(
                "the CPU has no register and no group '{name}'\n{meant}"
            ));
        }
    }
    let asked =
        |r: &Register| names.is_empty() || names.iter().any(|n| r.name == n || r.group == n);
    let shown: Vec<_> = table.iter().zip(0..).filter(|(r, _)| asked(r)).collect();
    let mut out = String::new();
    for group in shown.chunk_by(|(a, _), (b, _)| a.group == b.group) {
        let _ = writeln!(out, "{}:", group[0].0.group);
        let wide = group.iter().any(|(r, _)| r.bits > 64);
        for line in group.chunks(if wide { 2 } else { 4 }) {
            for (register, place) in line {
                let value = cpu.register(*place).unwrap_or_default();
                let _ = write!(out, "{:>10} {}", register.name, value.hex(register.bits));
            }
            out.push('\n');
        }
    }
    Ok(out)
}

fn qtree(plan: &Plan) -> String {
    let mut out = "bus: sys\n".to_owned();
    devices(plan, Bus::System, 1, &mut out);
    let lone = plan.devices.iter().enumerate();
    let lone = lone.filter(|(_, device)| device.seat.is_none());
    for (index, _) in lone {
        device(plan, index, 0, &mut out);
    }
    out
}

fn devices(plan: &Plan, bus: Bus, depth: usize, out: &mut String) {
    for (index, planned) in plan.devices.iter().enumerate() {
        if planned.seat.is_some_and(|seat| seat.bus == bus) {
            device(plan, index, depth, out);
        }
    }
}

fn device(plan: &Plan, index: usize, depth: usize, out: &mut String) {
    let planned = &plan.devices[index];
    let mut line = |depth: usize, text: String| {
        // Writing to a string has no way to fail.
        let _ = writeln!(out, "{:1$}{text}", "", 2 * depth);
    };
    line(
        depth,
        format!("dev: {}, id \"{}\"", planned.entry.name, planned.path),
    );
    let set = planned.props.all();
    for (name, value) in set.filter(|(_, value)| !value.is_null()) {
        line(depth + 1, format!("{name} = {}", toml::json(value)));
    }
    for part in planned.interface.parts.iter().filter(|part| part.present) {
        line(depth + 1, format!("part {}", part.name));
    }
    for (port, number) in planned.interface.ports.iter().zip(0..) {
        let name = format!("bus: {}.{}", planned.path, port.name);
        let _ = writeln!(out, "{:1$}{name}", "", 2 * (depth + 1));
        let bus = Bus::Port(index, solderless_model::PortId(number));
        devices(plan, bus, depth + 2, out);
    }
}
