//! The plan as text: everything that was resolved, a line each.

use std::fmt;

use solderless_model::{Pin, Pins, SlotKind};

use super::{Address, Bus, Plan, PlannedDevice, Seat, Window};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.iter().map(|version| format!("@{version}"));
        let version = version.collect::<String>();
        writeln!(f, "board {}{version}: {}", self.name, self.summary)?;
        if let Some(state) = self.state {
            writeln!(f, "state version {state}")?;
        }
        for (name, value) in &self.params {
            writeln!(f, "param {name} = {value}")?;
        }
        for device in &self.devices {
            self.device(f, device)?;
        }
        for net in &self.nets {
            let drivers = net.drivers.iter().map(|end| self.pin(*end, false));
            let sinks = net.sinks.iter().map(|end| self.pin(*end, true));
            let list = |ends: Vec<String>| ends.join(", ");
            writeln!(
                f,
                "net {} → {}",
                list(drivers.collect()),
                list(sinks.collect())
            )?;
        }
        for slot in &self.slots {
            let default = slot.default.as_ref().map(|d| format!(" = {d}"));
            writeln!(
                f,
                "slot {}: {:?}{}",
                slot.name,
                slot.kind,
                default.unwrap_or_default()
            )?;
        }
        if let Some(boot) = &self.boot {
            let name = |device: usize| self.devices.get(device).map_or("", |d| &d.path);
            let firmware = self.slots.get(boot.firmware).map_or("", |slot| &slot.name);
            let (memory, cpu) = (name(boot.memory), name(boot.cpu));
            writeln!(
                f,
                "boot firmware {firmware}, memory {memory}, cpu {cpu}, {:?}",
                boot.protocol
            )?;
            writeln!(f, "  low memory {:#x}", boot.low_memory)?;
            if let Some(console) = boot.console {
                writeln!(f, "  console {console:#x}")?;
            }
            for (address, word) in &boot.setup {
                writeln!(f, "  write {address:#x} {word:#x}")?;
            }
        }
        Ok(())
    }
}

impl Plan {
    fn device(&self, f: &mut fmt::Formatter<'_>, device: &PlannedDevice) -> fmt::Result {
        write!(f, "device {}: {}", device.path, device.entry.name)?;
        if let Some(seat) = device.seat {
            write!(f, " at {}", self.seat(seat))?;
        }
        writeln!(f)?;
        for (name, value) in device.props.all() {
            writeln!(f, "  {name} = {value}")?;
        }
        for window in &device.windows {
            writeln!(f, "  {}", device.window(self, window))?;
        }
        for part in device.interface.parts.iter().filter(|part| part.present) {
            writeln!(f, "  part {}", part.name)?;
        }
        for (slot, bound) in device.interface.slots.iter().zip(&device.backends) {
            if let Some(bound) = bound.and_then(|index| self.slots.get(index)) {
                writeln!(f, "  slot {}: {}", slot.name, bound.name)?;
            }
        }
        Ok(())
    }

    /// A place as a board writes it.
    pub(crate) fn seat(&self, seat: Seat) -> String {
        let address = seat.address.to_string();
        let colon = if address.is_empty() { "" } else { ":" };
        format!("{}{colon}{address}", self.bus(seat.bus))
    }

    /// A bus as a board names it.
    pub(crate) fn bus(&self, bus: Bus) -> String {
        match bus {
            Bus::System => "sys".to_owned(),
            Bus::Port(device, port) => {
                let device = self.devices.get(device);
                let port = device.and_then(|d| d.interface.ports.get(usize::from(port.0)));
                format!(
                    "{}.{}",
                    device.map_or("", |d| &d.path),
                    port.map_or("", |p| p.name)
                )
            }
        }
    }

    /// A pin as `device.pin`.
    pub(crate) fn pin(&self, (device, pin): (usize, Pin), input: bool) -> String {
        let Some(device) = self.devices.get(device) else {
            return String::new();
        };
        let interface = &device.interface;
        let groups = if input {
            &interface.inputs
        } else {
            &interface.outputs
        };
        format!("{}.{}", device.path, pin_name(groups, pin))
    }
}

impl PlannedDevice {
    /// A window in words.
    pub(crate) fn window(&self, plan: &Plan, window: &Window) -> String {
        let region = self.interface.region(window.region);
        let over = if window.over { ", over others" } else { "" };
        let cpu = window.cpu.and_then(|cpu| plan.devices.get(cpu));
        let cpu = cpu.map(|cpu| format!(", for {} alone", cpu.path));
        let cpu = cpu.unwrap_or_default();
        let offset = match window.offset {
            0 => String::new(),
            offset => format!(" from {offset:#x}"),
        };
        let (name, at, size) = (region.map_or("", |r| r.name), window.at, window.size);
        format!("window {name}{offset}: {at:#x}, {size:#x} bytes{over}{cpu}")
    }
}

impl fmt::Display for Address {
    /// As a board writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Number(n) => write!(f, "{n:#x}"),
            Self::Pci { slot, function } => write!(f, "{slot:02x}.{function}"),
            Self::I2c(n) => write!(f, "{n:#04x}"),
            Self::Ide(n) => write!(f, "{n}"),
        }
    }
}

/// A pin by name: `intr`, `out[2]`.
pub(crate) fn pin_name(groups: &[Pins], pin: Pin) -> String {
    let mut first = 0;
    for group in groups {
        let index = pin.0 - first;
        match group.count {
            1 if index == 0 => return group.name.to_owned(),
            count if index < count => return format!("{}[{index}]", group.name),
            count => first += count,
        }
    }
    pin.0.to_string()
}

/// What a slot of this kind takes, in words.
pub(crate) fn slot_kind(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Chardev => "a character stream (chardev)",
        SlotKind::Image => "an image",
        SlotKind::Netdev => "a network (netdev)",
        SlotKind::Block => "a disk (block)",
        SlotKind::Folder => "a folder (folder)",
    }
}
