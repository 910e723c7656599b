//! The device: a CPU with its engine.

use solderless_engine::Engine;
use solderless_model::registers::{Register, Value};
use solderless_model::{
    self as model, BuildError, BusKind, Cpu, Cx, Device, Disassembled, EngineInfo, Interface,
    Model, Pin, Pins, Processor, PropError, State, StateError, Stop, Stops, Taken, TimerId, Wires,
    connections, tree,
};

use crate::boot::Riscv;
use crate::core::Core;
use crate::csr::{MEIP, MSIP, MTIP, SEIP, TIMER};
use crate::decode::is_long;
use crate::disasm::disassemble;
use crate::exec::CACHE_BLOCK;
use crate::isa;
use crate::model::{Identity, Props};
use crate::registers;

connections! {
    fn connections(_: &Props) on BusKind::System;
    input MSIP_PIN = Pins::named("msip").optional();
    input MTIP_PIN = Pins::named("mtip").optional();
    input MEIP_PIN = Pins::named("meip").optional();
    input SEIP_PIN = Pins::named("seip").optional();
}

/// The interrupt inputs, and their bits of mip.
const LINES: [(Pin, u64); 4] = [
    (MSIP_PIN, MSIP),
    (MTIP_PIN, MTIP),
    (MEIP_PIN, MEIP),
    (SEIP_PIN, SEIP),
];

/// The CPU.
#[derive(Debug, State)]
pub struct RiscvCpu {
    core: Box<Core>,
    #[state(skip = "derived from memory")]
    engine: Engine<isa::Riscv>,
}

impl Model for RiscvCpu {
    const TYPE: &'static str = "riscv-cpu";
    const SUMMARY: &'static str = "RISC-V CPU: RV64GC or RV32GC with M, S and U modes";
    type Props = Props;

    fn interface(props: &Props) -> Result<Interface, PropError> {
        let identity = Identity::new(props)?;
        let (bits, physical_bits) = if identity.rv32 { (32, 34) } else { (64, 56) };
        let cpu = Cpu {
            architecture: Riscv::NAME,
            bits,
            big_endian: false,
        };
        let node = node(&identity);
        Ok(connections(props).processor(cpu, physical_bits).node(node))
    }

    fn build(props: Props, _: Wires<'_>) -> Result<Self, BuildError> {
        let identity = Identity::new(&props).map_err(|e| BuildError(e.to_string()))?;
        Ok(Self {
            core: Core::new(identity).into(),
            engine: Engine::default(),
        })
    }
}

impl Device for RiscvCpu {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        let instructions = self.core.vcpu.instructions;
        self.engine.clear(&mut self.core);
        let halts = std::mem::take(&mut self.core.vcpu.halts);
        let taken = self.core.vcpu.taken.take();
        *self.core = Core::new(self.core.identity);
        self.core.vcpu.instructions = instructions;
        self.core.vcpu.halts = halts;
        self.core.vcpu.taken = taken;
        self.core.sample(cx);
    }

    fn line(&mut self, cx: &mut Cx<'_>, _: Pin, _: bool) {
        self.core.sample(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        if id == TIMER {
            self.core.arm_timer(cx);
        }
    }

    fn processor(&mut self) -> Option<&mut dyn Processor> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        let core = &mut self.core;
        core.vcpu.restored()?;
        core.restore_csrs().map_err(StateError::new)?;
        if core.pc & !core.mask != 0 || core.pc & (1 | core.unaligned_code) != 0 {
            return Err(StateError::new("pc: no address of an instruction"));
        }
        self.engine.clear(core);
        core.pmp.changed();
        core.mode_changed();
        core.sample(cx);
        core.arm_timer(cx);
        Ok(())
    }
}

/// What a device tree says of the CPU: Linux, Documentation/devicetree/bindings/riscv/cpus.yaml and extensions.yaml.
fn node(identity: &Identity) -> tree::Node {
    let mmu = match identity.satp_modes.ilog2() {
        1 => "riscv,sv32",
        8 => "riscv,sv39",
        9 => "riscv,sv48",
        10 => "riscv,sv57",
        _ => "riscv,none",
    };
    let mut node = tree::Node::new("cpu", &["riscv"])
        .with("device_type", "cpu")
        .with("status", "okay")
        .with("riscv,isa", identity.isa())
        .with("mmu-type", mmu);
    for (there, name) in [
        (identity.zicbom, "riscv,cbom-block-size"),
        (identity.zicboz, "riscv,cboz-block-size"),
    ] {
        if there {
            node = node.with(name, CACHE_BLOCK as u32);
        }
    }
    let number = |bit: u64| bit.trailing_zeros();
    node.controller = Some(tree::Controller {
        inputs: LINES.map(|(pin, bit)| (pin, number(bit))).to_vec(),
        below: Some("riscv,cpu-intc"),
        mapped: false,
    });
    node.cpu = Some(identity.hartid);
    let timebase = u32::try_from(identity.timebase_frequency.0).unwrap_or(u32::MAX);
    node.of_cpus = vec![("timebase-frequency", timebase.into())];
    node
}

impl Core {
    /// Looks at the inputs, and at the time.
    pub fn sample(&mut self, cx: &Cx<'_>) {
        let high = LINES.iter().filter(|(pin, _)| cx.level(*pin));
        self.lines = high.map(|(_, bit)| bit).sum();
        self.compare_time(cx);
    }

    /// Goes on at another address, waiting no more.
    pub fn go_on_at(&mut self, pc: u64) {
        self.pc = self.address(pc & !(1 | self.unaligned_code));
        self.waiting = false;
    }
}

impl RiscvCpu {
    /// A CSR as machine mode reads it, at an instant of guest time in ns; `None` if there is none.
    pub fn csr(&self, number: u32, now: u64) -> Option<u64> {
        self.core.look_at_csr(number, now)
    }
}

impl Processor for RiscvCpu {
    fn run(&mut self, cx: &mut Cx<'_>, limit: u64) -> Stop {
        self.core.reserved.take_back();
        let stop = self.engine.run(&mut self.core, cx, limit);
        self.core.lend(cx);
        stop
    }

    fn lend(&mut self, cx: &mut Cx<'_>) {
        self.core.lend(cx);
    }

    fn set_pace(&mut self, per_cycle: f64) {
        self.core.vcpu.set_pace(per_cycle);
    }

    fn instructions(&self) -> u64 {
        self.core.vcpu.instructions
    }

    fn set_engine(&mut self, engine: model::Engine) -> bool {
        self.engine.choose(&mut self.core, engine)
    }

    fn engine_info(&self) -> EngineInfo {
        self.engine.info()
    }

    fn set_stops(&mut self, stops: &Stops) -> bool {
        self.engine.set_stops(&mut self.core, stops);
        true
    }

    fn look(&self, va: u64) -> Option<u64> {
        self.core.look(va)
    }

    fn trace_exceptions(&mut self, on: bool) -> bool {
        self.core.vcpu.keep_taken(on);
        true
    }

    fn exceptions(&mut self) -> Vec<Taken> {
        self.core.vcpu.take_taken()
    }

    fn disassemble(&self, at: u64, bytes: &[u8]) -> Option<Disassembled> {
        let half = *bytes.first_chunk()?;
        let bits = match bytes.first_chunk() {
            Some(word) => u32::from_le_bytes(*word),
            None => u16::from_le_bytes(half).into(),
        };
        let long = is_long(bits as u16);
        (!long || bytes.len() >= 4).then(|| disassemble(at, bits, self.core.identity.rv32))
    }

    fn pc(&self) -> u64 {
        self.core.pc
    }

    fn set_pc(&mut self, pc: u64) {
        self.core.go_on_at(pc);
    }

    fn architecture(&self) -> &'static str {
        match self.core.identity.rv32 {
            true => "riscv:rv32",
            false => "riscv:rv64",
        }
    }

    fn registers(&self) -> Vec<Register> {
        let table = registers::table(&self.core.identity).iter();
        table.map(|row| row.register).collect()
    }

    fn register(&self, place: usize) -> Option<Value> {
        let row = registers::table(&self.core.identity).get(place)?;
        Some(row.value(&self.core))
    }

    fn set_register(&mut self, place: usize, value: Value) -> bool {
        let row = registers::table(&self.core.identity).get(place);
        row.is_some_and(|row| row.set(&mut self.core, value))
    }
}
