//! The hotplug registers of PIIX4_PM beside those of QEMU's pc: the same accesses and the same changes, in one random
//! order, give the same answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use solderless_acpi::{Hotplug, MemoryModule, Piix4Pm, Piix4PmProps, Place};
use solderless_model::RegionId;
use solderless_model::testing::{Bench, Noise};
use solderless_testing::guests;

const PATIENCE: Duration = Duration::from_secs(60);
/// The size of a memory module.
const MODULE: u64 = 32 << 20;

/// QEMU's pc, standing still; its ports are read and written through qtest.
struct Pc {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    qmp: BufReader<UnixStream>,
    _folder: tempfile::TempDir,
}

impl Drop for Pc {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Pc {
    fn start(args: &[&str]) -> Option<Self> {
        if !guests::tool("qemu-system-x86_64", "qemu-system-x86") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("qmp");
        let qmp = format!("unix:{},server,nowait", path.display());
        let mut process = Command::new("qemu-system-x86_64")
            .args([
                "-M",
                "pc-i440fx-7.2",
                "-nodefaults",
                "-display",
                "none",
                "-S",
            ])
            .args(["-m", "64M,slots=2,maxmem=1G"])
            .args(["-smp", "1,sockets=4,maxcpus=4"])
            .args(["-qtest", "stdio", "-qtest-log", "/dev/null", "-qmp", &qmp])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("QEMU starts");
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(&path) {
                Ok(stream) => break stream,
                Err(e) => assert!(start.elapsed() < PATIENCE, "{e}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut pc = Self {
            commands: process.stdin.take().expect("a pipe"),
            answers: BufReader::new(process.stdout.take().expect("a pipe")),
            qmp: BufReader::new(stream),
            process,
            _folder: folder,
        };
        pc.control("qmp_capabilities", json!({}));
        Some(pc)
    }

    /// A command of QMP, which has to succeed.
    fn control(&mut self, command: &str, arguments: Value) {
        let text = json!({ "execute": command, "arguments": arguments });
        writeln!(self.qmp.get_mut(), "{text}").expect("it is connected");
        loop {
            let mut line = String::new();
            self.qmp.read_line(&mut line).expect("it is connected");
            let answer: Value = serde_json::from_str(&line).expect("JSON");
            assert!(answer.get("error").is_none(), "{text}: {line}");
            if answer.get("return").is_some() {
                return;
            }
        }
    }

    fn qtest(&mut self, command: &str) -> u64 {
        writeln!(self.commands, "{command}").expect("it runs");
        loop {
            let mut line = String::new();
            self.answers.read_line(&mut line).expect("it runs");
            if let Some(answer) = line.trim_end().strip_prefix("OK") {
                let number = answer.trim().trim_start_matches("0x");
                return u64::from_str_radix(number, 16).unwrap_or(0);
            }
            assert!(line.starts_with("IRQ"), "{command}: {line}");
        }
    }

    fn read(&mut self, port: u64, size: u8) -> u64 {
        self.qtest(&format!("in{} {port:#x}", letter(size)))
    }

    fn write(&mut self, port: u64, size: u8, value: u64) {
        self.qtest(&format!("out{} {port:#x} {value:#x}", letter(size)));
    }
}

fn letter(size: u8) -> char {
    match size {
        1 => 'b',
        2 => 'w',
        _ => 'l',
    }
}

/// Both, and what is plugged in: its name, and whether it has been asked to go.
struct Both {
    pc: Pc,
    pm: Bench<Piix4Pm>,
    noise: Noise,
    functions: BTreeMap<u8, (String, bool)>,
    modules: BTreeMap<u8, (String, bool)>,
    processors: u8,
    /// Names for QEMU's objects.
    names: u32,
}

impl Both {
    fn below(&mut self, end: u64) -> u64 {
        self.noise.value() % end
    }

    fn region(&self, name: &str) -> Option<(RegionId, u64, u64)> {
        let mut regions = self.pm.interface.regions.iter();
        let region = regions.find(|r| r.name == name)?;
        let solderless_model::Placement::Fixed(base) = region.place else {
            return None;
        };
        Some((region.id, base, region.size))
    }

    fn read(&mut self, name: &str, offset: u64, size: u8) {
        let Some((region, base, _)) = self.region(name) else {
            return;
        };
        let ours = self.pm.read(region, offset, size).expect("a register");
        let theirs = self.pc.read(base + offset, size);
        assert_eq!(ours, theirs, "{name} {offset:#x}, {size} bytes");
    }

    fn write(&mut self, name: &str, offset: u64, size: u8, value: u64) {
        let Some((region, base, _)) = self.region(name) else {
            return;
        };
        let value = value & (u64::MAX >> (64 - 8 * u32::from(size)));
        self.pm.write(region, offset, size, value);
        self.pc.write(base + offset, size, value);
        for place in self.pm.dev.take_ejected() {
            match place {
                Place::Pci { bus: 0, slot } => drop(self.functions.remove(&slot)),
                Place::Pci { .. } => {}
                Place::Memory { slot } => drop(self.modules.remove(&slot)),
            }
        }
    }

    fn change(&mut self, change: Hotplug) {
        let done = self.pm.with(|d, cx| d.hotplug(cx, change));
        assert_eq!(done, Ok(()), "{change:?}");
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("x{}", self.names)
    }

    /// Something is plugged in, or asked to go.
    fn plug(&mut self) {
        match self.below(5) {
            0 | 1 => {
                let slot = 3 + self.below(4) as u8;
                match self.functions.get(&slot).cloned() {
                    None => {
                        let name = self.name();
                        let index = self.names;
                        let device = json!({
                            "driver": "e1000", "id": name, "addr": format!("{slot:#x}"),
                            "romfile": "", "acpi-index": index,
                        });
                        self.pc.control("device_add", device);
                        self.change(Hotplug::Pci {
                            bus: 0,
                            slot,
                            acpi_index: index,
                        });
                        self.functions.insert(slot, (name, false));
                    }
                    Some((name, false)) => {
                        self.pc.control("device_del", json!({ "id": name }));
                        self.change(Hotplug::Unplug(Place::Pci { bus: 0, slot }));
                        self.functions.insert(slot, (name, true));
                    }
                    Some((_, true)) => {}
                }
            }
            2 | 3 => {
                let slot = self.below(2) as u8;
                match self.modules.get(&slot).cloned() {
                    None => {
                        let name = self.name();
                        let module = MemoryModule {
                            address: 0x1_0000_0000 + u64::from(slot) * MODULE,
                            size: MODULE,
                            proximity: 0,
                        };
                        let memory = self.name();
                        let object = json!({ "qom-type": "memory-backend-ram", "id": memory, "size": MODULE });
                        self.pc.control("object-add", object);
                        let device = json!({
                            "driver": "pc-dimm", "id": name, "memdev": memory,
                            "slot": slot, "addr": module.address,
                        });
                        self.pc.control("device_add", device);
                        self.change(Hotplug::Memory { slot, module });
                        self.modules.insert(slot, (name, false));
                    }
                    Some((name, false)) => {
                        self.pc.control("device_del", json!({ "id": name }));
                        self.change(Hotplug::Unplug(Place::Memory { slot }));
                        self.modules.insert(slot, (name, true));
                    }
                    Some((_, true)) => {}
                }
            }
            _ if self.processors < 4 => {
                let number = self.processors;
                let device = json!({
                    "driver": "qemu64-x86_64-cpu", "socket-id": number, "core-id": 0, "thread-id": 0,
                });
                self.pc.control("device_add", device);
                self.change(Hotplug::Cpu { number });
                self.processors += 1;
            }
            _ => {}
        }
    }

    fn step(&mut self) {
        let size = 1 << self.below(3);
        let few = [0, 1, 2, 3, 8, 9, 0xff, 0x100, 0xffff_ffff];
        let value = few[self.below(few.len() as u64) as usize];
        match self.below(8) {
            0 => self.plug(),
            1 | 2 => {
                let offset = [0x00, 0x04, 0x08, 0x0c, 0x10][self.below(5) as usize];
                let (_, _, length) = self.region("pcihp").expect("the part");
                match self.below(4) {
                    0 if offset == 0x08 => {
                        let slots = 0xf << self.below(7);
                        self.write("pcihp", offset, size, slots);
                    }
                    1 if offset == 0x10 && length > offset => {
                        self.write("pcihp", offset, 4, value);
                        self.read("pcihp", offset, 4);
                        if self.below(4) > 0 {
                            self.write("pcihp", offset, 4, 0);
                        }
                    }
                    _ if offset < length => self.read("pcihp", offset, size),
                    _ => {}
                }
            }
            3 => {
                if let Some(slot) = self.functions.keys().next().copied() {
                    // Only the lowest bit counts.
                    let slots = 1 << slot | 1 << 30;
                    self.write("acpi-index", 0, size, slots);
                }
                self.read("acpi-index", 0, size);
            }
            4 | 5 => {
                let offset = self.below(0x18 / u64::from(size)) * u64::from(size);
                match (self.below(3), offset) {
                    (0, 0) => self.write("memhp", 0, size, value),
                    (0, 0x14) => self.write("memhp", 0x14, size, value & 0xe),
                    (0, _) => self.write("memhp", offset, size, value),
                    _ => self.read("memhp", offset, size),
                }
            }
            6 => {
                let offset = self.below(4 / u64::from(size)) * u64::from(size);
                if self.below(2) == 0 {
                    // QEMU takes a byte at a time here.
                    self.write("gpe0", offset & 3, 1, value);
                }
                self.read("gpe0", offset, 1);
            }
            _ => {
                let offset = self.below(0x20);
                self.read("cpuhp", offset, 1);
            }
        }
    }
}

#[test]
fn the_registers_answer_as_qemus_do() {
    for bridges in [true, false] {
        let bridge_support = match bridges {
            true => "PIIX4_PM.acpi-pci-hotplug-with-bridge-support=on",
            false => "PIIX4_PM.acpi-pci-hotplug-with-bridge-support=off",
        };
        let Some(pc) = Pc::start(&["-global", bridge_support]) else {
            return;
        };
        let props = Piix4PmProps {
            acpi_pci_hotplug_with_bridge_support: bridges,
            memory_slots: 2,
            cpu_hotplug_legacy: true,
            ..Piix4PmProps::default()
        };
        let mut both = Both {
            pc,
            pm: Bench::new(props),
            noise: Noise(11 + u64::from(bridges)),
            functions: BTreeMap::new(),
            modules: BTreeMap::new(),
            processors: 1,
            names: 0,
        };
        // The host bridge and the PIIX3.
        both.pm.around.occupied_slots = 0b11;
        for _ in 0..2000 {
            both.step();
        }
        assert!(
            both.names > 1 && both.processors == 4,
            "too little has happened"
        );
    }
}
