//! Commands about the program, its boards, and the machine as a whole.

use schemars::JsonSchema;
use serde::Serialize;
use solderless_model::{Engine, EngineInfo, RegionKind};

use super::super::table::{Error, Nothing};
use super::super::{Vm, cpus_there_are};
use super::COMMANDS;
use crate::compose::{self, BUILT_IN, Options};
use crate::plan::Plan;
use crate::registry;

/// A version in three numbers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionTriple {
    major: u32,
    minor: u32,
    micro: u32,
}

/// The version of the program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionInfo {
    /// Its own version; the member has QEMU's name so that QEMU's clients find it.
    qemu: VersionTriple,
    /// `Solderless`, by which it can be told from QEMU.
    package: String,
}

pub fn version(_: &mut Vm<'_>, _: Nothing) -> Result<VersionInfo, Error> {
    Ok(own_version())
}

/// The version of this program.
pub fn own_version() -> VersionInfo {
    let mut numbers = env!("CARGO_PKG_VERSION")
        .split(['.', '-'])
        .map(|n| n.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    VersionInfo {
        qemu: VersionTriple {
            major: next(),
            minor: next(),
            micro: next(),
        },
        package: "Solderless".to_owned(),
    }
}

pub fn say_version(_: &VersionInfo) -> String {
    concat!(env!("CARGO_PKG_VERSION"), "\n").to_owned()
}

/// The name of the machine.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NameInfo {
    /// The name, if it was given one.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

pub fn name(_: &mut Vm<'_>, _: Nothing) -> Result<NameInfo, Error> {
    Ok(NameInfo { name: None })
}

/// A command's name.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommandInfo {
    /// The name.
    name: &'static str,
}

pub fn commands(_: &mut Vm<'_>, _: Nothing) -> Result<Vec<CommandInfo>, Error> {
    let names = COMMANDS.iter().map(|command| command.name);
    let names = names.filter(|name| !name.is_empty());
    Ok(names.map(|name| CommandInfo { name }).collect())
}

/// A board.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct MachineInfo {
    /// Its name.
    name: &'static str,
    /// Whether it is run where none is named: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_default: Option<bool>,
    /// How many CPUs it has.
    cpu_max: usize,
    /// Always false.
    hotpluggable_cpus: bool,
    /// Always false.
    numa_mem_supported: bool,
    /// Always false.
    deprecated: bool,
    /// The model of its CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_cpu_type: Option<String>,
    /// The device that is its main memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_ram_id: Option<String>,
}

pub fn machines(_: &mut Vm<'_>, _: Nothing) -> Result<Vec<MachineInfo>, Error> {
    let boards = BUILT_IN.iter().filter_map(|(name, _)| {
        let (plan, _) = compose::load(name, &Options::default()).ok()?;
        let cpu = plan.params.iter().find(|(name, _)| name == "cpu");
        let boot = plan.boot.as_ref();
        Some(MachineInfo {
            name,
            is_default: None,
            cpu_max: cpus(&plan).count(),
            hotpluggable_cpus: false,
            numa_mem_supported: false,
            deprecated: false,
            default_cpu_type: cpu.and_then(|(_, model)| model.as_str().map(str::to_owned)),
            default_ram_id: boot.map(|boot| plan.devices[boot.memory].path.clone()),
        })
    });
    Ok(boards.collect())
}

pub fn say_machines(boards: &[MachineInfo]) -> String {
    boards.iter().map(|b| format!("{}\n", b.name)).collect()
}

/// The CPUs of a plan, by their places among the devices.
fn cpus(plan: &Plan) -> impl Iterator<Item = usize> + '_ {
    let devices = plan.devices.iter().enumerate();
    devices.filter_map(|(index, device)| device.interface.cpu.map(|_| index))
}

/// What the machine can do.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CurrentMachineParams {
    /// Whether it can be woken from a sleep by a command: no.
    wakeup_suspend_support: bool,
}

pub fn current_machine(_: &mut Vm<'_>, _: Nothing) -> Result<CurrentMachineParams, Error> {
    Ok(CurrentMachineParams {
        wakeup_suspend_support: false,
    })
}

/// Whether KVM executes the guest.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KvmInfo {
    /// Always false.
    enabled: bool,
    /// Always false.
    present: bool,
}

pub fn kvm(_: &mut Vm<'_>, _: Nothing) -> Result<KvmInfo, Error> {
    Ok(KvmInfo {
        enabled: false,
        present: false,
    })
}

/// A CPU.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CpuInfoFast {
    /// Its number.
    cpu_index: usize,
    /// Where `qom-list` has it.
    qom_path: String,
    /// The thread of the host that executes it: all CPUs have the same.
    thread_id: u32,
    /// Its architecture, as QEMU's programs have it in their names.
    target: String,
}

pub fn cpus_fast(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<CpuInfoFast>, Error> {
    let plan = &vm.loaded.plan;
    // The machine has the program's first thread.
    let thread = std::process::id();
    let cpus = cpus(plan).enumerate().map(|(cpu_index, device)| {
        let device = &plan.devices[device];
        let cpu = device.interface.cpu;
        let target =
            cpu.and_then(|cpu| Some(registry::architecture(cpu.architecture)?.target(&cpu)));
        CpuInfoFast {
            cpu_index,
            qom_path: format!("/machine/{}", device.path),
            thread_id: thread,
            target: target.unwrap_or_default(),
        }
    });
    Ok(cpus.collect())
}

/// A CPU as people see it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CpuNow {
    name: String,
    chosen: bool,
    pc: u64,
    waits: bool,
}

pub fn cpus_now(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<CpuNow>, Error> {
    let names: Vec<_> = vm.machine.cpus().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(cpus_there_are(0).into());
    }
    let all = names.into_iter().enumerate().filter_map(|(index, name)| {
        let waits = vm.machine.cpu_clock(index).is_some_and(|(_, waits)| waits);
        Some(CpuNow {
            name,
            chosen: index == vm.cpu,
            pc: vm.machine.cpu_at(index)?.pc(),
            waits,
        })
    });
    Ok(all.collect())
}

pub fn say_cpus(cpus: &[CpuNow]) -> String {
    let line = |(index, cpu): (usize, &CpuNow)| {
        let mark = if cpu.chosen { '*' } else { ' ' };
        let waits = match cpu.waits {
            true => ", waits for an interrupt",
            false => "",
        };
        let (name, pc) = (&cpu.name, cpu.pc);
        format!("{mark} CPU #{index}: {name}, pc {pc:#x}{waits}\n")
    };
    cpus.iter().enumerate().map(line).collect()
}

/// How much memory the machine has.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct MemoryInfo {
    /// Bytes of the board's main memory; without one, of all that can be written to.
    base_memory: u64,
}

pub fn memory_size(vm: &mut Vm<'_>, _: Nothing) -> Result<MemoryInfo, Error> {
    let plan = &vm.loaded.plan;
    let main = plan.boot.as_ref().map(|boot| boot.memory);
    let devices = plan.devices.iter().enumerate();
    let counted = devices.filter(|(index, d)| match main {
        Some(main) => *index == main,
        None => d.interface.slots.iter().all(|slot| slot.optional),
    });
    let regions = counted.flat_map(|(_, device)| &device.interface.regions);
    let memory = regions.filter(|region| region.kind == RegionKind::Memory);
    Ok(MemoryInfo {
        base_memory: memory.map(|region| region.size).sum(),
    })
}

pub fn say_memory_size(info: &MemoryInfo) -> String {
    format!("base memory: {}\n", info.base_memory)
}

/// What the engine of each CPU has done.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Engines {
    /// Each CPU's name.
    names: Vec<String>,
    #[serde(skip)]
    engines: Vec<EngineInfo>,
}

pub fn engines(vm: &mut Vm<'_>, _: Nothing) -> Result<Engines, Error> {
    let names: Vec<_> = vm.machine.cpus().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(cpus_there_are(0).into());
    }
    let engines =
        (0..names.len()).filter_map(|index| Some(vm.machine.cpu_at(index)?.engine_info()));
    let engines = engines.collect();
    Ok(Engines { names, engines })
}

pub fn say_engines(engines: &Engines) -> String {
    let several = engines.names.len() > 1;
    let each = engines.names.iter().zip(&engines.engines).enumerate();
    let said = each.map(|(index, (name, info))| {
        let heading = match several {
            true => format!("CPU #{index}: {name}\n"),
            false => String::new(),
        };
        heading + &engine(info)
    });
    said.collect()
}

fn engine(info: &EngineInfo) -> String {
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

/// Guest time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Time {
    /// Nanoseconds since power-on.
    now: u64,
}

pub fn time(vm: &mut Vm<'_>, _: Nothing) -> Result<Time, Error> {
    Ok(Time {
        now: vm.machine.now(),
    })
}

pub fn say_time(time: &Time) -> String {
    let (seconds, rest) = (time.now / 1_000_000_000, time.now % 1_000_000_000);
    format!("guest time: {seconds}.{rest:09} s\n")
}
