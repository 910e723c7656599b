//! The ACPI tables of a plan: what the models say of their devices ([`solderless_model::acpi`]), with the resources and the routing of
//! interrupts that the plan has.
//!
//! Advanced Configuration and Power Interface Specification, 6.4. Firmware gets them as files with commands that place them (QEMU,
//! docs/specs/acpi_hw_reduced_hotplug.rst and SeaBIOS, src/fw/romfile_loader.h), a kernel that is started without finds them in memory.

use std::collections::BTreeMap;

use acpi_tables::aml::{self, EISAName, FieldEntry, Path};
use acpi_tables::facs::FACS;
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::sdt::Sdt;
use acpi_tables::{Aml, AmlSink};
use solderless_model::acpi::{Node, Power, Router, Said};
use solderless_model::{Pin, PortId, Space};

use crate::plan::{Address, Bus, Plan, PlannedDevice};

const OEM: [u8; 6] = *b"SOLDER";
const OEM_TABLE: [u8; 8] = *b"SOLDRLES";
/// Bytes of a table's header, and where in it its checksum is.
const HEADER: usize = 36;
const CHECKSUM: usize = 9;
/// The RSDP: where its pointers and its two checksums are.
const RSDP_SIZE: usize = 36;
const RSDP_RSDT: usize = 16;
const RSDP_XSDT: usize = 24;
const RSDP_SUMS: [(usize, usize); 2] = [(8, 20), (32, RSDP_SIZE)];
/// Tables begin at a multiple of this, as the FACS asks for.
const ALIGN: usize = 64;
/// PCI's memory ends where the interrupt controllers' begins.
const PCI_END: u32 = 0xfec0_0000;
/// It starts at a multiple of this.
const PCI_ALIGN: u64 = 256 << 20;

/// Tables one behind the other, with addresses that count from the first one's start.
#[derive(Debug, Default)]
pub struct Tables {
    bytes: Vec<u8>,
    /// Where each begins, how many bytes it has, and its signature.
    each: Vec<(usize, usize, String)>,
    /// Addresses in them: where, and of how many bytes.
    pointers: Vec<(usize, usize)>,
    /// The RSDT and the XSDT.
    roots: (usize, usize),
}

impl Tables {
    /// Those of a board, if it has what they are made of.
    pub fn of(plan: &Plan) -> Option<Self> {
        let power = nodes(plan).any(|(_, node)| matches!(node, Node::Power(_)));
        power.then(|| tables(plan))
    }

    /// Bytes of all of them in memory.
    pub fn size(&self) -> usize {
        ALIGN + self.bytes.len()
    }

    /// All of them as they lie in memory from an address on, first the RSDP.
    pub fn at(&self, at: u32) -> Vec<u8> {
        let base = at.wrapping_add(ALIGN as u32);
        let mut tables = self.bytes.clone();
        for (place, size) in &self.pointers {
            let field = &mut tables[*place..*place + *size];
            let mut address = [0; 8];
            address[..*size].copy_from_slice(field);
            let address = u64::from_le_bytes(address) + u64::from(base);
            field.copy_from_slice(&address.to_le_bytes()[..*size]);
        }
        for (start, len, signature) in &self.each {
            if signature != "FACS" {
                sum(&mut tables, start + CHECKSUM, *start, *len);
            }
        }
        let mut bytes = rsdp(self.roots, u64::from(base));
        for (checksum, len) in RSDP_SUMS {
            sum(&mut bytes, checksum, 0, len);
        }
        bytes.resize(ALIGN, 0);
        bytes.extend(tables);
        bytes
    }

    /// Each with its signature, with addresses as [`Tables::at`] 0 has them.
    pub fn each(&self) -> Vec<(&str, Vec<u8>)> {
        let bytes = self.at(0);
        let each = self.each.iter().map(|(start, len, signature)| {
            let start = ALIGN + start;
            (&**signature, bytes[start..start + len].to_vec())
        });
        each.collect()
    }
}

/// The files from which firmware makes them: name, size and content of each.
pub fn files(plan: &Plan) -> Vec<u8> {
    const TABLES: &str = "etc/acpi/tables";
    const RSDP: &str = "etc/acpi/rsdp";
    let Some(tables) = Tables::of(plan) else {
        return Vec::new();
    };
    let mut loader = Vec::new();
    let mut command = |number: u32, names: &[&str], fields: &[u8]| {
        let mut bytes = number.to_le_bytes().to_vec();
        for name in names {
            let end = bytes.len() + 56;
            bytes.extend(name.as_bytes());
            bytes.resize(end, 0);
        }
        bytes.extend(fields);
        bytes.resize(128, 0);
        loader.extend(bytes);
    };
    let long = |value: usize| (value as u32).to_le_bytes();
    let (high, low) = (1, 2);
    let place = |align: usize, zone: u8| [&long(align)[..], &[zone]].concat();
    let pointer = |at: usize, size: usize| [&long(at)[..], &[size as u8]].concat();
    let check = |at: usize, start: usize, len: usize| [long(at), long(start), long(len)].concat();
    command(1, &[RSDP], &place(16, low));
    command(1, &[TABLES], &place(ALIGN, high));
    for (at, size) in &tables.pointers {
        command(2, &[TABLES, TABLES], &pointer(*at, *size));
    }
    for (start, len, signature) in &tables.each {
        if signature != "FACS" {
            command(3, &[TABLES], &check(start + CHECKSUM, *start, *len));
        }
    }
    for (at, size) in [(RSDP_RSDT, 4), (RSDP_XSDT, 8)] {
        command(2, &[RSDP, TABLES], &pointer(at, size));
    }
    for (at, len) in RSDP_SUMS {
        command(3, &[RSDP], &check(at, 0, len));
    }
    let mut files = Vec::new();
    for (name, content) in [
        (RSDP, rsdp(tables.roots, 0)),
        (TABLES, tables.bytes),
        ("etc/table-loader", loader),
    ] {
        let end = files.len() + 56;
        files.extend(name.as_bytes());
        files.resize(end, 0);
        files.extend(long(content.len()));
        files.extend(content);
    }
    files
}

/// The root pointer, without its checksums.
fn rsdp((rsdt, xsdt): (usize, usize), base: u64) -> Vec<u8> {
    let mut bytes = b"RSD PTR \0".to_vec();
    bytes.extend(OEM);
    bytes.push(2);
    bytes.extend((rsdt as u32).wrapping_add(base as u32).to_le_bytes());
    bytes.extend((RSDP_SIZE as u32).to_le_bytes());
    bytes.extend((xsdt as u64 + base).to_le_bytes());
    bytes.extend([0; 4]);
    bytes
}

/// Makes the sum of some bytes 0 by one of them.
fn sum(bytes: &mut [u8], at: usize, start: usize, len: usize) {
    bytes[at] = 0;
    let all = bytes[start..start + len].iter();
    bytes[at] = all.fold(0, |sum: u8, byte| sum.wrapping_sub(*byte));
}

fn nodes(plan: &Plan) -> impl Iterator<Item = (usize, &Node)> {
    let devices = plan.devices.iter().enumerate();
    devices.filter_map(|(index, device)| Some((index, device.interface.acpi.as_ref()?)))
}

fn tables(plan: &Plan) -> Tables {
    let mut tables = Tables::default();
    let board = Board::new(plan);
    let mut add = |bytes: Vec<u8>| {
        let end = tables.bytes.len().next_multiple_of(ALIGN);
        tables.bytes.resize(end, 0);
        let signature = String::from_utf8_lossy(&bytes[..4]).into_owned();
        tables.each.push((end, bytes.len(), signature));
        tables.bytes.extend(bytes);
        end
    };
    let facs = add(made(&FACS::new()));
    let mut dsdt = Sdt::new(*b"DSDT", HEADER as u32, 2, OEM, OEM_TABLE, 1);
    dsdt.append_slice(&board.definitions());
    let dsdt = add(dsdt.as_slice().to_vec());
    let fadt = board.power().map(|(index, power)| {
        let at = add(board.fadt(index, power, facs, dsdt));
        (at, [(at + 36, 4), (at + 40, 4)])
    });
    let fadt_at: Vec<usize> = fadt.iter().map(|(at, _)| *at).collect();
    let root = |signature: &[u8; 4], size: usize| {
        let mut table = Sdt::new(*signature, HEADER as u32, 1, OEM, OEM_TABLE, 1);
        for at in &fadt_at {
            table.append_slice(&(*at as u64).to_le_bytes()[..size]);
        }
        table.as_slice().to_vec()
    };
    let (rsdt, xsdt) = (add(root(b"RSDT", 4)), add(root(b"XSDT", 8)));
    tables.roots = (rsdt, xsdt);
    tables.pointers = fadt.into_iter().flat_map(|(_, places)| places).collect();
    for (root, size) in [(rsdt, 4), (xsdt, 8)] {
        let entries = (0..fadt_at.len()).map(|n| (root + HEADER + n * size, size));
        tables.pointers.extend(entries);
    }
    tables
}

/// Definitions that are made.
struct Raw(Vec<u8>);

impl Aml for Raw {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(&self.0);
    }
}

fn made(aml: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    aml.to_aml_bytes(&mut bytes);
    bytes
}

fn raw(aml: &dyn Aml) -> Raw {
    Raw(made(aml))
}

fn all(parts: &[Raw]) -> Vec<&dyn Aml> {
    parts.iter().map(|part| part as &dyn Aml).collect()
}

fn name(name: &str, value: &dyn Aml) -> Raw {
    raw(&aml::Name::new(Path::new(name), value))
}

fn device(name: &str, parts: &[Raw]) -> Raw {
    raw(&aml::Device::new(Path::new(name), all(parts)))
}

fn method(name: &str, arguments: u8, parts: &[Raw]) -> Raw {
    raw(&aml::Method::new(
        Path::new(name),
        arguments,
        true,
        all(parts),
    ))
}

fn resources(parts: &[Raw]) -> Raw {
    raw(&aml::ResourceTemplate::new(all(parts)))
}

/// An interrupt of ISA's: an edge, high, of one device alone (6.4.2.1).
fn irq(number: u32) -> Raw {
    let mask = 1u16.checked_shl(number).unwrap_or(0);
    Raw([&[0x22][..], &mask.to_le_bytes()].concat())
}

/// An interrupt of PCI's, or several to choose from: a level, low, shared (6.4.3.6).
fn interrupts(numbers: &[u32]) -> Raw {
    const FLAGS: u8 = 0x0d;
    let mut bytes = vec![0x89];
    bytes.extend((2 + 4 * numbers.len() as u16).to_le_bytes());
    bytes.extend([FLAGS, numbers.len() as u8]);
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    Raw(bytes)
}

/// Where the number is in an interrupt's description.
const NUMBER: u8 = 5;

/// A plan as tables see it.
struct Board<'a> {
    plan: &'a Plan,
}

impl<'a> Board<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self { plan }
    }

    fn power(&self) -> Option<(usize, &'a Power)> {
        nodes(self.plan).find_map(|(index, node)| match node {
            Node::Power(power) => Some((index, power)),
            _ => None,
        })
    }

    fn router(&self) -> Option<(usize, &'a Router)> {
        nodes(self.plan).find_map(|(index, node)| match node {
            Node::Router(router) => Some((index, router)),
            _ => None,
        })
    }

    /// The inputs that an output of a device drives.
    fn driven(&self, device: usize, pin: Pin) -> impl Iterator<Item = (usize, Pin)> {
        let nets = self.plan.nets.iter();
        let nets = nets.filter(move |net| net.drivers.contains(&(device, pin)));
        nets.flat_map(|net| net.sinks.iter().copied())
    }

    /// The interrupt that an output of a device is.
    fn interrupt(&self, device: usize, pin: Pin) -> Option<u32> {
        let is_controller = |index: usize| {
            let node = self.plan.devices[index].interface.acpi.as_ref();
            matches!(node, Some(Node::Interrupts(_)))
        };
        let mut driven = self.driven(device, pin);
        driven.find_map(|(index, input)| is_controller(index).then(|| u32::from(input.0)))
    }

    fn fadt(&self, index: usize, power: &Power, facs: usize, dsdt: usize) -> Vec<u8> {
        let mut fadt = FADTBuilder::new(OEM, OEM_TABLE, 1)
            .dsdt_32(dsdt as u32)
            .firmware_ctrl_32(facs as u32)
            .flag(Flags::Wbinvd)
            .flag(Flags::ProcC1)
            .flag(Flags::SlpButton);
        fadt.major_version = 3;
        fadt.fadt_minor_version = 0;
        fadt.sci_int = (self.interrupt(index, power.sci).unwrap_or(9) as u16).into();
        fadt.smi_cmd = u32::from(power.command).into();
        fadt.acpi_enable = power.enable;
        fadt.acpi_disable = power.disable;
        fadt.pm1a_evt_blk = u32::from(power.events).into();
        fadt.pm1_evt_len = 4;
        fadt.pm1a_cnt_blk = u32::from(power.control).into();
        fadt.pm1_cnt_len = 2;
        fadt.pm_tmr_blk = u32::from(power.timer).into();
        fadt.pm_tmr_len = 4;
        fadt.gpe0_blk = u32::from(power.gpe0).into();
        fadt.gpe0_blk_len = power.gpe0_size;
        // Neither C2 nor C3.
        fadt.p_lvl2_lat = 0xfff.into();
        fadt.p_lvl3_lat = 0xfff.into();
        fadt.century = 0x32;
        // Devices of old, and a keyboard controller.
        fadt.iapc_boot_arch = 3.into();
        if let Some((_, router)) = self.router() {
            fadt = fadt.flag(Flags::ResetRegSup);
            let (space, width) = (AddressSpace::SystemIo, AccessSize::ByteAccess);
            fadt.reset_reg = GAS::new(space, 8, 0, width, router.reset.0.into());
            fadt.reset_value = router.reset.1;
        }
        let mut bytes = made(&fadt.finalize());
        // What came after version 3 is left out.
        bytes.truncate(244);
        bytes[4..8].copy_from_slice(&244u32.to_le_bytes());
        bytes
    }

    /// What is in the DSDT.
    fn definitions(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut system = Vec::new();
        let mut names = BTreeMap::new();
        for (index, device) in self.plan.devices.iter().enumerate() {
            let on_system = device.seat.is_some_and(|seat| seat.bus == Bus::System);
            match &device.interface.acpi {
                Some(Node::PciHost(port)) => {
                    system.push(self.pci_host(index, *port, &mut names));
                }
                Some(node) if on_system => system.extend(self.said(index, node, &mut names)),
                _ => {}
            }
        }
        if let Some((_, router)) = self.router() {
            system.extend((0..router.count).map(|n| link(n, router)));
        }
        aml::Scope::new(Path::new("\\_SB_"), all(&system)).to_aml_bytes(&mut out);
        if let Some((_, power)) = self.power() {
            let sleep = |kind: u8| {
                raw(&aml::Package::new(vec![
                    &kind,
                    &kind,
                    &aml::ZERO,
                    &aml::ZERO,
                ]))
            };
            out.extend(name("_S5_", &sleep(power.off)).0);
            if let Some(kind) = power.hibernate {
                out.extend(name("_S4_", &sleep(kind)).0);
            }
        }
        out
    }

    fn pci_host(&self, index: usize, port: PortId, names: &mut BTreeMap<&'a str, u8>) -> Raw {
        let bus = Bus::Port(index, port);
        let memory = self.pci_memory();
        let space = |min, max| {
            raw(&aml::AddressSpace::new_memory(
                aml::AddressSpaceCacheable::NotCacheable,
                true,
                min,
                max,
                None,
            ))
        };
        let mut parts = vec![
            name("_HID", &EISAName::new("PNP0A03")),
            name("_UID", &aml::ZERO),
            name("_BBN", &aml::ZERO),
            name(
                "_CRS",
                &resources(&[
                    raw(&aml::AddressSpace::<u16>::new_bus_number(0, 255)),
                    raw(&aml::IO::new(0xcf8, 0xcf8, 1, 8)),
                    raw(&aml::AddressSpace::<u16>::new_io(0, 0xcf7, None)),
                    raw(&aml::AddressSpace::<u16>::new_io(0xd00, 0xffff, None)),
                    space(0xa_0000u32, 0xb_ffff),
                    space(memory, PCI_END - 1),
                ]),
            ),
            name("_PRT", &self.routing(bus)),
        ];
        for (index, device) in self.on(bus) {
            if let Some(Node::Router(router)) = &device.interface.acpi {
                parts.push(self.isa(index, device, router, names));
            }
        }
        device("PCI0", &parts)
    }

    fn on(&self, bus: Bus) -> impl Iterator<Item = (usize, &'a PlannedDevice)> {
        let devices = self.plan.devices.iter().enumerate();
        devices.filter(move |(_, device)| device.seat.is_some_and(|seat| seat.bus == bus))
    }

    /// Where PCI's memory starts: behind what is below 4 GiB of the board's.
    fn pci_memory(&self) -> u32 {
        let boot = self.plan.boot.as_ref();
        let windows = boot.map(|boot| &self.plan.devices[boot.memory].windows[..]);
        let ends = windows.into_iter().flatten().map(|w| w.at + w.size);
        let end = ends.filter(|end| *end < u64::from(PCI_END)).max();
        end.unwrap_or(0).next_multiple_of(PCI_ALIGN) as u32
    }

    /// `_PRT`: which link the pins of each slot's functions lead to.
    fn routing(&self, bus: Bus) -> Raw {
        let mut entries = BTreeMap::new();
        for (index, device) in self.on(bus) {
            let Some(Address::Pci { slot, .. }) = device.seat.map(|seat| seat.address) else {
                continue;
            };
            let mut first = 0;
            for pins in &device.interface.outputs {
                if pins.name == "intx" {
                    for pin in 0..pins.count {
                        let links = self.link_of(index, Pin(first + pin));
                        entries.extend(links.map(|link| ((slot, pin), link)));
                    }
                }
                first += pins.count;
            }
        }
        let mut package = aml::PackageBuilder::new();
        for ((slot, pin), link) in entries {
            let address = u32::from(slot) << 16 | 0xffff;
            let link = Path::new(&link_name(link));
            package.add_element(&aml::Package::new(vec![&address, &pin, &link, &aml::ZERO]));
        }
        raw(&package)
    }

    /// The link that an output leads to.
    fn link_of(&self, device: usize, pin: Pin) -> Option<u8> {
        let (router, said) = self.router()?;
        let mut driven = self.driven(device, pin);
        let input = driven.find(|(index, _)| *index == router)?.1;
        let link = input.0.checked_sub(said.input.0)?;
        (link < said.count.into()).then_some(link as u8)
    }

    fn isa(
        &self,
        index: usize,
        bridge: &PlannedDevice,
        router: &Router,
        names: &mut BTreeMap<&'a str, u8>,
    ) -> Raw {
        let address = match bridge.seat.map(|seat| seat.address) {
            Some(Address::Pci { slot, function }) => u32::from(slot) << 16 | u32::from(function),
            _ => 0,
        };
        let fields = (0..router.count).map(|n| FieldEntry::Named([b'P', b'R', b'Q', b'0' + n], 8));
        let mut parts = vec![
            name("_ADR", &address),
            raw(&aml::OpRegion::new(
                Path::new("PIRQ"),
                aml::OpRegionSpace::PCIConfig,
                &router.register,
                &router.count,
            )),
            raw(&aml::Field::new(
                Path::new("PIRQ"),
                aml::FieldAccessType::Byte,
                aml::FieldLockRule::NoLock,
                aml::FieldUpdateRule::Preserve,
                fields.collect(),
            )),
        ];
        for (index, device) in self.on(Bus::Port(index, router.port)) {
            if let Some(node) = &device.interface.acpi {
                parts.extend(self.said(index, node, names));
            }
        }
        device("ISA_", &parts)
    }

    /// The devices that a node says there are.
    fn said(&self, index: usize, node: &'a Node, names: &mut BTreeMap<&'a str, u8>) -> Vec<Raw> {
        let all = match node {
            Node::Devices(all) => &all[..],
            Node::Interrupts(said) => std::slice::from_ref(said),
            _ => &[],
        };
        let device = |said: &'a Said| {
            let number = names.entry(said.name).or_insert(0);
            *number += 1;
            self.found(index, said, *number)
        };
        all.iter().map(device).collect()
    }

    fn found(&self, index: usize, said: &Said, number: u8) -> Raw {
        let planned = &self.plan.devices[index];
        let mut taken = Vec::new();
        for window in planned.windows.iter().filter(|_| said.regions) {
            let Some(region) = planned.interface.region(window.region) else {
                continue;
            };
            taken.push(match region.space {
                Space::Io => {
                    let at = window.at as u16;
                    raw(&aml::IO::new(at, at, 1, window.size.min(255) as u8))
                }
                Space::Memory => raw(&aml::Memory32Fixed::new(
                    true,
                    window.at as u32,
                    window.size as u32,
                )),
            });
        }
        let outputs = said.outputs.iter();
        let numbers = outputs.filter_map(|pin| self.interrupt(index, *pin));
        taken.extend(numbers.map(irq));
        let hid: &dyn Aml = &EISAName::new(said.hid);
        device(
            &format!("{}{number:X}", said.name),
            &[
                name("_HID", hid),
                name("_UID", &number),
                name("_CRS", &resources(&taken)),
            ],
        )
    }
}

fn link_name(number: u8) -> String {
    format!("LNK{}", char::from(b'A' + number))
}

/// The device that stands for an input of a router: an operating system asks it which interrupt that is, and chooses another.
fn link(number: u8, router: &Router) -> Raw {
    let register = Path::new(&format!("\\_SB_.PCI0.ISA_.PRQ{number}"));
    let choices = (0..16).filter(|irq| router.choices >> irq & 1 != 0);
    let choices: Vec<u32> = choices.collect();
    let (off, local) = (0x80u8, aml::Local(0));
    let field = |source: &dyn Aml| {
        raw(&aml::CreateDWordField::new(
            &Path::new("IRQN"),
            source,
            &NUMBER,
        ))
    };
    let disabled = raw(&aml::And::new(&local, &register, &off));
    device(
        &link_name(number),
        &[
            name("_HID", &EISAName::new("PNP0C0F")),
            name("_UID", &number),
            name("_PRS", &resources(&[interrupts(&choices)])),
            name("BUFF", &resources(&[interrupts(&[0])])),
            method(
                "_CRS",
                0,
                &[
                    field(&Path::new("BUFF")),
                    raw(&aml::And::new(&Path::new("IRQN"), &register, &0x0fu8)),
                    Raw(disabled.0.clone()),
                    raw(&aml::If::new(
                        &local,
                        vec![&aml::Store::new(&Path::new("IRQN"), &aml::ZERO)],
                    )),
                    raw(&aml::Return::new(&Path::new("BUFF"))),
                ],
            ),
            method(
                "_SRS",
                1,
                &[
                    field(&aml::Arg(0)),
                    raw(&aml::Store::new(&register, &Path::new("IRQN"))),
                ],
            ),
            method("_DIS", 0, &[raw(&aml::Or::new(&register, &register, &off))]),
            method(
                "_STA",
                0,
                &[
                    disabled,
                    raw(&aml::If::new(&local, vec![&aml::Return::new(&0x09u8)])),
                    raw(&aml::Return::new(&0x0bu8)),
                ],
            ),
        ],
    )
}
