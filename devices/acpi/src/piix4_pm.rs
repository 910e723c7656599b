//! Function 3 of the PIIX4: power management and SMBus (Intel 82371AB datasheet, 290562, chapter 7), with the
//! general-purpose event block and, as parts, the hotplug registers that QEMU adds to it for PC firmware.
//!
//! The activity monitors of the chip watch accesses to other devices in order to count their idle time and to trap
//! them. No device here sees those, so DEVSTS stays 0 and the configuration registers of the monitors only hold
//! what is written to them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::acpi::{Node, Power};
use solderless_model::pci::{self, PciConfig, PciFunction, PciId};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Fitted, Interface, Model, Pin, Pins,
    Placement, Port, PropError, Ranges, Region, Request, State, StateError, TimerId, Wires,
    connections, lanes, merge,
};

use crate::parts::{AcpiIndex, CpuHotplug, MemoryHotplug, PciHotplug};
use crate::smbus_host::{self, SmbusHost};
use crate::{Hotplug, HotplugError, Place};

connections! {
    fn connections(props: &Piix4PmProps) on BusKind::Pci;
    region PM = Region::registers("pm", 64).io().placed(Placement::Device);
    region SMB = Region::ports("smb", smbus_host::SIZE).placed(Placement::Device);
    region APM = Region::ports("apm", 2).placed(Placement::Fixed(APM_BASE));
    region GPE = Region::ports("gpe0", 4).placed(Placement::Fixed(GPE_BASE));
    region PCI_HOTPLUG = Region::registers("pcihp", props.pci_hotplug_size())
        .io()
        .placed(Placement::Fixed(PCI_HOTPLUG_BASE)), if props.pci_hotplug();
    region ACPI_INDEX = Region::registers("acpi-index", 4)
        .io()
        .placed(Placement::Fixed(ACPI_INDEX_BASE)), if props.acpi_index();
    region MEMORY_HOTPLUG = Region::registers("memhp", 0x18)
        .io()
        .placed(Placement::Fixed(MEMORY_HOTPLUG_BASE)), if props.memory_hotplug_support;
    region CPU_HOTPLUG = Region::ports("cpuhp", 0x20)
        .placed(Placement::Fixed(CPU_HOTPLUG_BASE)), if props.cpu_hotplug_legacy;
    port SMBUS = Port::new("smbus", BusKind::I2c);
    input PWRBTN = Pins::named("pwrbtn").optional();
    input RTC = Pins::named("rtc").optional();
    input THRM = Pins::named("thrm").optional();
    input LID = Pins::named("lid").optional();
    input RI = Pins::named("ri").optional();
    input EXTSMI = Pins::named("extsmi").optional();
    input GPI[GPI_COUNT] = Pins::named("gpi").optional();
    output SCI = Pins::named("sci");
    output SMI = Pins::named("smi").optional();
    output GPO[GPO_COUNT] = Pins::named("gpo").optional();
}

const GPI_COUNT: u16 = 22;
/// The input GPI1#.
const GPI1: Pin = GPI.nth(1);
const GPO_COUNT: u16 = 31;

const TIMER_OVERFLOW: TimerId = TimerId(0);
const BUTTON_OVERRIDE: TimerId = TimerId(1);
const SMBUS_END: TimerId = TimerId(2);

// Configuration registers.
const PMBA: u8 = 0x40;
const CNTA: u8 = 0x44;
const DEVACTB: u8 = 0x58;
const DEVRESA: u8 = 0x5c;
const DEVRESB: u8 = 0x60;
const DEVRESC: u8 = 0x64;
const PMREGMISC: u8 = 0x80;
const SMBBA: u8 = 0x90;
const SMBHSTCFG: u8 = 0xd2;
const SMBSLVC: u8 = 0xd3;
const SMBSHDW1: u8 = 0xd4;
const SMBSHDW2: u8 = 0xd5;

const PMBA_BASE: u32 = 0xffc0;
const SMBBA_BASE: u32 = 0xfff0;
/// PMREGMISC: the power management registers answer.
const PMIOSE: u32 = 1 << 0;
/// SMBHSTCFG: the SMBus controller answers.
const SMB_HST_EN: u32 = 1 << 0;
/// DEVACTB: a write to APMC raises an SMI.
const APMC_EN: u32 = 1 << 25;

/// Where an SMBus interrupt goes: SMBHSTCFG bits 3 to 1.
const SMB_INTRSEL_SMI: u32 = 0;
const SMB_INTRSEL_IRQ9: u32 = 4;

// PMSTS, and PMEN at the same bits.
const TMROF: u16 = 1 << 0;
const GBL: u16 = 1 << 5;
const PWRBTN_EVENT: u16 = 1 << 8;
const RTC_EVENT: u16 = 1 << 10;
const PWRBTNOR_STS: u16 = 1 << 11;
const RSM_STS: u16 = 1 << 15;
const PMSTS_CLEAR: u16 = 0x8d31;
const PMEN_KEPT: u16 = TMROF | GBL | PWRBTN_EVENT | RTC_EVENT;

// PMCNTRL.
const SCI_EN: u16 = 1 << 0;
const GBL_RLS: u16 = 1 << 2;
const SUS_EN: u16 = 1 << 13;
const PMCNTRL_KEPT: u16 = 0x1c03;

// GPSTS, and GPEN at the same bits.
const THRM_EVENT: u16 = 1 << 0;
const GPI_EVENT: u16 = 1 << 9;
const RI_EVENT: u16 = 1 << 10;
const LID_EVENT: u16 = 1 << 11;
const GP_EVENTS: u16 = 0x0f01;

const PCNTRL_KEPT: u32 = 0x0003_ffff;

// GLBSTS, and GLBEN at the same bits where there is one.
const BIOS_EVENT: u16 = 1 << 1;
const APM_STS: u16 = 1 << 5;
const PM1_STS: u16 = 1 << 6;
const GP_STS: u16 = 1 << 7;
const EXTSMI_EVENT: u16 = 1 << 10;
/// PM1_STS and GP_STS follow from other registers, and so does DEV_STS (bit 4), which never comes.
const GLBSTS_CLEAR: u16 = 0x0d22;
const GLBEN_KEPT: u16 = 0x8d03;

// GLBCTL.
const SMI_EN: u32 = 1 << 0;
const BIOS_RLS: u32 = 1 << 1;
const EOS: u32 = 1 << 16;
const GLBCTL_KEPT: u32 = 0x0700_ff05;

const DEVCTL_KEPT: u32 = 0x0fff_ffff;

const GPOREG_RESET: u32 = 0x7fff_bfff;
const GPOREG_KEPT: u32 = 0x7fff_ffff;

/// The power management timer: a quarter of the 14.31818 MHz oscillator, in hertz.
const TIMER_HZ: u128 = 3_579_545;
const NS: u128 = 1_000_000_000;
/// The timer's overflow status is set when this bit changes.
const TIMER_TOP: u32 = 23;
/// The power button held for so long cuts the power.
const OVERRIDE_NS: u64 = 4_000_000_000;

/// What a PC's firmware writes to APMC in order to hand power management to the operating system, and back.
const APM_ACPI_ENABLE: u8 = 0xf1;
const APM_ACPI_DISABLE: u8 = 0xf0;

/// Where a PC's firmware puts the power management registers, once it has found tables that say so.
const FIRMWARE_BASE: u16 = 0x600;
const APM_BASE: u64 = 0xb2;
const PCI_HOTPLUG_BASE: u64 = 0xae00;
/// The PCI hotplug registers of the root bus alone, and what those of the buses behind bridges add.
const PCI_HOTPLUG_SIZE: (u64, u64) = (0x10, 4);
const ACPI_INDEX_BASE: u64 = 0xae14;
const MEMORY_HOTPLUG_BASE: u64 = 0x0a00;
const CPU_HOTPLUG_BASE: u64 = 0xaf00;
const GPE_BASE: u64 = 0xafe0;
const GPE_PCI: u16 = 1 << 1;
const GPE_CPU: u16 = 1 << 2;
const GPE_MEMORY: u16 = 1 << 3;

/// Properties of a `PIIX4_PM`. PCI and memory hotplug are on by default, as in QEMU; a board that is not a PC turns
/// them off, and with them their registers and their saved state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Piix4PmProps {
    /// Where the SMBus registers lie in I/O space after reset: a multiple of 16, or 0 for nowhere.
    #[serde(rename = "smb_io_base")]
    #[schemars(range(max = 0xfff0))]
    pub smb_io_base: u32,
    /// 1 refuses a suspend to RAM.
    #[serde(rename = "disable_s3")]
    #[schemars(range(max = 1))]
    pub disable_s3: u8,
    /// 1 refuses a suspend to disk.
    #[serde(rename = "disable_s4")]
    #[schemars(range(max = 1))]
    pub disable_s4: u8,
    /// The suspend type in PMCNTRL that means suspend to disk.
    #[serde(rename = "s4_val")]
    #[schemars(range(max = 7))]
    pub s4_val: u8,
    /// Registers for hotplug on the buses behind PCI bridges (part `pcihp`).
    pub acpi_pci_hotplug_with_bridge_support: bool,
    /// Registers for hotplug on the root PCI bus (part `pcihp`).
    pub acpi_root_pci_hotplug: bool,
    /// Leave out the register of device numbers that follows the PCI hotplug registers where they serve the buses
    /// behind bridges, and so its state (part `acpi-index`).
    pub x_not_migrate_acpi_index: bool,
    /// Registers for memory hotplug (part `memhp`).
    pub memory_hotplug_support: bool,
    /// How many slots for memory modules the memory hotplug registers have.
    #[schemars(range(max = 256))]
    pub memory_slots: u16,
    /// The bitmap of processors for CPU hotplug (part `cpuhp`).
    pub cpu_hotplug_legacy: bool,
    /// How many processors the bitmap shows at power-on.
    #[schemars(range(min = 1, max = 256))]
    pub boot_cpus: u16,
    /// The board has a system management mode: the SMI output is driven, and power management starts in the
    /// hands of the firmware. Without it, power management events raise the SCI from reset on.
    pub smm_enabled: bool,
    /// Power management starts in the hands of the firmware even without a system management mode.
    pub smm_compat: bool,
}

impl Default for Piix4PmProps {
    fn default() -> Self {
        Self {
            smb_io_base: 0x1100,
            disable_s3: 0,
            disable_s4: 0,
            s4_val: 2,
            acpi_pci_hotplug_with_bridge_support: true,
            acpi_root_pci_hotplug: true,
            x_not_migrate_acpi_index: false,
            memory_hotplug_support: true,
            memory_slots: 0,
            cpu_hotplug_legacy: false,
            boot_cpus: 1,
            smm_enabled: false,
            smm_compat: false,
        }
    }
}

impl Piix4PmProps {
    fn pci_hotplug(&self) -> bool {
        self.acpi_pci_hotplug_with_bridge_support || self.acpi_root_pci_hotplug
    }

    fn pci_hotplug_size(&self) -> u64 {
        let bridges = u64::from(self.acpi_pci_hotplug_with_bridge_support);
        PCI_HOTPLUG_SIZE.0 + bridges * PCI_HOTPLUG_SIZE.1
    }

    fn acpi_index(&self) -> bool {
        self.acpi_pci_hotplug_with_bridge_support && !self.x_not_migrate_acpi_index
    }

    /// Events raise the SCI from reset on, and no firmware is asked first.
    fn acpi_only(&self) -> bool {
        !self.smm_enabled && !self.smm_compat
    }
}

/// General-purpose events: a block that QEMU adds to the chip (docs/specs/acpi_pci_hotplug.rst).
#[derive(Debug, Default, State)]
struct Gpe {
    sts: u16,
    en: u16,
}

/// The device.
#[derive(Debug, State)]
pub struct Piix4Pm {
    #[state(skip = "properties")]
    props: Piix4PmProps,
    config: PciConfig,
    pmsts: u16,
    pmen: u16,
    pmcntrl: u16,
    gpsts: u16,
    gpen: u16,
    pcntrl: u32,
    glbsts: u16,
    glben: u16,
    glbctl: u32,
    devctl: u32,
    gporeg: u32,
    apmc: u8,
    apms: u8,
    gpe: Gpe,
    /// When PMTMR was 0, in guest nanoseconds.
    timer_start: u64,
    /// How often its top bit had changed when TMROF_STS was last looked at.
    timer_toggles: u64,
    /// When the power button was pressed, while it is held.
    button_since: Option<u64>,
    /// A suspend that loses the processor's context has been asked for: the reset that follows is a resume.
    resuming: bool,
    /// SMI is asserted, until the handler sets EOS.
    smi: bool,
    smbus: SmbusHost,
    pci_hotplug: Fitted<PciHotplug>,
    acpi_index: Fitted<AcpiIndex>,
    memory_hotplug: Fitted<MemoryHotplug>,
    cpu_hotplug: Fitted<CpuHotplug>,
}

impl Model for Piix4Pm {
    const TYPE: &'static str = "PIIX4_PM";
    const SUMMARY: &'static str = "Intel 82371AB (PIIX4) power management and SMBus";
    type Props = Piix4PmProps;

    fn interface(props: &Piix4PmProps) -> Result<Interface, PropError> {
        if props.smb_io_base & !SMBBA_BASE != 0 {
            return Err(PropError::new(
                "smb_io_base",
                "must be a multiple of 16 below 0x10000",
            ));
        }
        Ok(connections(props)
            .acpi(Node::Power(Power {
                events: FIRMWARE_BASE,
                control: FIRMWARE_BASE + 4,
                timer: FIRMWARE_BASE + 8,
                gpe0: GPE_BASE as u16,
                gpe0_size: 4,
                command: APM_BASE as u16,
                enable: APM_ACPI_ENABLE,
                disable: APM_ACPI_DISABLE,
                sci: SCI,
                off: 0,
                hibernate: (props.disable_s4 == 0).then_some(props.s4_val),
            }))
            .part::<PciHotplug>(
                &[
                    ("acpi-pci-hotplug-with-bridge-support", false),
                    ("acpi-root-pci-hotplug", false),
                ],
                props.pci_hotplug(),
            )
            .part::<AcpiIndex>(&[("x-not-migrate-acpi-index", true)], props.acpi_index())
            .part::<MemoryHotplug>(
                &[("memory-hotplug-support", false)],
                props.memory_hotplug_support,
            )
            .part::<CpuHotplug>(&[("cpu-hotplug-legacy", false)], props.cpu_hotplug_legacy))
    }

    fn build(props: Piix4PmProps, wires: Wires<'_>) -> Result<Self, BuildError> {
        let fit = &props;
        // What registers hold, the reset that follows says.
        Ok(Self {
            config: config(fit),
            pmsts: 0,
            pmen: 0,
            pmcntrl: 0,
            gpsts: 0,
            gpen: 0,
            pcntrl: 0,
            glbsts: 0,
            glben: 0,
            glbctl: 0,
            devctl: 0,
            gporeg: 0,
            apmc: 0,
            apms: 0,
            gpe: Gpe::default(),
            timer_start: 0,
            timer_toggles: 0,
            button_since: None,
            resuming: false,
            smi: false,
            smbus: SmbusHost::new(SMBUS, SMBUS_END),
            pci_hotplug: PciHotplug::fit(wires, fit)?,
            acpi_index: AcpiIndex::fit(wires, fit)?,
            memory_hotplug: MemoryHotplug::fit(wires, fit)?,
            cpu_hotplug: CpuHotplug::fit(wires, fit)?,
            props,
        })
    }
}

fn config(props: &Piix4PmProps) -> PciConfig {
    let devactb = if props.smm_enabled { 0 } else { APMC_EN };
    let monitors = (CNTA..PMREGMISC).step_by(4).fold(
        PciConfig::new(PciId {
            vendor: 0x8086,
            device: 0x7113,
            revision: 3,
            class: 0x06_8000,
            subsystem: (0x1af4, 0x1100),
            interrupt_pin: 1,
            ..PciId::default()
        }),
        |config, offset| config.writable(offset, 4, u32::MAX),
    );
    monitors
        .initial(pci::STATUS, 2, 0x0280)
        .initial(PMBA, 4, 1)
        .writable(PMBA, 4, PMBA_BASE)
        .initial(DEVACTB, 4, devactb)
        // The monitors start on the usual places of a parallel port, two serial ports and the rest of a PC's
        // I/O, where firmware would put them.
        .initial(DEVRESA, 4, 0x9000_0000)
        .initial(DEVRESB, 4, 0x6000_0000)
        .initial(DEVRESC, 4, 0x9800_0000)
        .writable(PMREGMISC, 1, PMIOSE)
        .initial(SMBBA, 4, props.smb_io_base | 1)
        .writable(SMBBA, 4, SMBBA_BASE)
        .initial(SMBHSTCFG, 1, SMB_INTRSEL_IRQ9 << 1 | SMB_HST_EN)
        .writable(SMBHSTCFG, 1, 0x0f)
        .writable(SMBSLVC, 1, 0xff)
        .writable(SMBSHDW1, 1, 0xff)
        .writable(SMBSHDW2, 1, 0xff)
}

impl Device for Piix4Pm {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset();
        self.pmsts = if std::mem::take(&mut self.resuming) {
            RSM_STS
        } else {
            0
        };
        self.pmen = 0;
        self.pmcntrl = if self.props.acpi_only() { SCI_EN } else { 0 };
        self.gpsts = 0;
        self.gpen = 0;
        self.pcntrl = 0;
        self.glbsts = 0;
        self.glben = 0;
        self.glbctl = 0;
        self.devctl = 0;
        self.gporeg = GPOREG_RESET;
        self.apmc = 0;
        self.apms = 0;
        self.gpe = Gpe::default();
        self.timer_start = cx.now();
        self.timer_toggles = 0;
        self.button_since = None;
        self.smi = false;
        self.smbus.reset();
        if let Some(part) = self.pci_hotplug.get_mut() {
            part.reset();
        }
        if let Some(part) = self.acpi_index.get_mut() {
            part.reset();
        }
        if let Some(part) = self.memory_hotplug.get_mut() {
            part.reset();
        }
        self.place(cx);
        self.drive(cx);
        self.drive_gpo(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let Access { offset, size, .. } = at;
        let value = match at.region {
            PM => lanes(self.read_pm(cx, offset & 0x3c), offset, size),
            SMB => u64::from(self.smbus.read(offset)),
            APM => u64::from(if offset == 0 { self.apmc } else { self.apms }),
            GPE => {
                let both = u32::from(self.gpe.en) << 16 | u32::from(self.gpe.sts);
                lanes(both, offset, size)
            }
            PCI_HOTPLUG => {
                let fixed = cx.occupied_slots();
                let part = self.pci_hotplug.get_mut();
                part.map_or(0, |part| part.read(offset, size, fixed))
            }
            ACPI_INDEX => self.acpi_index.get_mut().map_or(0, |part| part.read(size)),
            MEMORY_HOTPLUG => self
                .memory_hotplug
                .get_mut()
                .map_or(0, |part| part.read(offset, size)),
            CPU_HOTPLUG => u64::from(self.cpu_hotplug.get().map_or(0, |p| p.read(offset))),
            _ => return Err(BusError),
        };
        Ok(value)
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let Access { offset, size, .. } = at;
        match at.region {
            PM => self.write_pm(cx, offset, size, value),
            SMB => self.smbus.write(cx, offset, value as u8),
            APM if offset == 0 => self.write_apmc(value as u8),
            APM => self.apms = value as u8,
            GPE => {
                let (bits, written) = (merge(0, offset, size, value), touched(offset, size));
                self.gpe.sts &= !(bits as u16);
                put(&mut self.gpe.en, bits >> 16, written >> 16, u16::MAX);
            }
            PCI_HOTPLUG => {
                let fixed = cx.occupied_slots();
                if let Some(part) = self.pci_hotplug.get_mut() {
                    part.write(offset, size, value, fixed);
                }
            }
            ACPI_INDEX => {
                let number = self.pci_hotplug.get().map_or(0, |p| p.acpi_index(value));
                if let Some(part) = self.acpi_index.get_mut() {
                    part.answer(size, number);
                }
            }
            MEMORY_HOTPLUG => {
                if let Some(part) = self.memory_hotplug.get_mut() {
                    part.write(offset, size, value);
                }
            }
            CPU_HOTPLUG => cx.guest_error(format_args!("the CPU bitmap is read-only")),
            _ => return Err(BusError),
        }
        self.update(cx);
        Ok(())
    }

    fn line(&mut self, cx: &mut Cx<'_>, pin: Pin, high: bool) {
        match (pin, high) {
            (PWRBTN, true) => {
                self.pmsts |= PWRBTN_EVENT;
                let now = cx.now();
                self.button_since = Some(now);
                cx.arm(BUTTON_OVERRIDE, now.saturating_add(OVERRIDE_NS));
            }
            (PWRBTN, false) => {
                self.button_since = None;
                cx.disarm(BUTTON_OVERRIDE);
            }
            (RTC, true) => self.pmsts |= RTC_EVENT,
            (THRM, true) => self.gpsts |= THRM_EVENT,
            (LID, true) => self.gpsts |= LID_EVENT,
            (RI, true) => self.gpsts |= RI_EVENT,
            (EXTSMI, true) => self.glbsts |= EXTSMI_EVENT,
            (GPI1, false) => self.gpsts |= GPI_EVENT,
            _ => {}
        }
        self.update(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        match id {
            SMBUS_END => self.smbus.finish(cx),
            BUTTON_OVERRIDE => {
                self.button_since = None;
                self.pmsts = self.pmsts & !PWRBTN_EVENT | PWRBTNOR_STS;
                cx.request(Request::PowerOff);
            }
            _ => {}
        }
        self.update(cx);
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        if let Some(part) = self.pci_hotplug.get() {
            part.restored()?;
        }
        if let Some(part) = self.memory_hotplug.get() {
            part.restored()?;
        }
        self.place(cx);
        self.smbus.restored(cx);
        if let Some(since) = self.button_since {
            cx.arm(BUTTON_OVERRIDE, since.saturating_add(OVERRIDE_NS));
        }
        self.drive(cx);
        self.drive_gpo(cx);
        Ok(())
    }
}

impl PciFunction for Piix4Pm {
    fn config(&mut self) -> &mut PciConfig {
        &mut self.config
    }

    fn config_written(&mut self, cx: &mut Cx<'_>, _: u8, _: u8) {
        self.place(cx);
        self.update(cx);
    }
}

/// The bits that an access touches, of a 32-bit register.
fn touched(offset: u64, size: u8) -> u32 {
    merge(0, offset, size, u64::MAX)
}

/// Writes the low half of `bits` to a 16-bit register, as far as it was written and can be.
fn put(register: &mut u16, bits: u32, written: u32, kept: u16) {
    let mask = written as u16 & kept;
    *register = *register & !mask | bits as u16 & mask;
}

/// Writes a 32-bit register, as far as it was written and can be.
fn put32(register: &mut u32, bits: u32, written: u32, kept: u32) {
    let mask = written & kept;
    *register = *register & !mask | bits & mask;
}

impl Piix4Pm {
    /// Puts the two blocks with a base address register where it says.
    fn place(&self, cx: &mut Cx<'_>) {
        let pm = self.config.get(PMBA, 4) & PMBA_BASE;
        let smb = self.config.get(SMBBA, 4) & SMBBA_BASE;
        for (region, base, enable, size) in [
            (PM, pm, self.config.get(PMREGMISC, 1) & PMIOSE, 64),
            (
                SMB,
                smb,
                self.config.get(SMBHSTCFG, 1) & SMB_HST_EN,
                smbus_host::SIZE,
            ),
        ] {
            if base != 0 && enable != 0 {
                cx.map(region, u64::from(base), size, 0);
            } else {
                cx.unmap(region);
            }
        }
    }

    /// PMTMR, all of its bits and those that it does not have.
    fn ticks(&self, now: u64) -> u64 {
        let ns = now.saturating_sub(self.timer_start);
        (u128::from(ns) * TIMER_HZ / NS) as u64
    }

    /// Sets TMROF_STS if the timer's top bit has changed since this was last asked.
    fn count(&mut self, now: u64) {
        let toggles = self.ticks(now) >> TIMER_TOP;
        if toggles != self.timer_toggles {
            self.timer_toggles = toggles;
            self.pmsts |= TMROF;
        }
    }

    /// When the timer's top bit changes next.
    fn next_toggle(&self) -> u64 {
        let ticks = (u128::from(self.timer_toggles) + 1) << TIMER_TOP;
        let ns = (ticks * NS).div_ceil(TIMER_HZ);
        u64::try_from(ns)
            .unwrap_or(u64::MAX)
            .saturating_add(self.timer_start)
    }

    fn read_pm(&mut self, cx: &mut Cx<'_>, register: u64) -> u32 {
        self.count(cx.now());
        match register {
            0x00 => u32::from(self.pmen) << 16 | u32::from(self.pmsts),
            0x04 => u32::from(self.pmcntrl),
            0x08 => self.ticks(cx.now()) as u32 & 0x00ff_ffff,
            0x0c => u32::from(self.gpen) << 16 | u32::from(self.gpsts),
            0x10 => self.pcntrl,
            // PLVL2 and PLVL3 at 0x14: a read enters the level, and with the stop clock pin unconnected leaves it
            // at once. DEVSTS at 0x1c.
            0x18 => u32::from(self.glbsts | self.derived_glbsts()),
            0x20 => u32::from(self.glben),
            0x28 => self.glbctl,
            0x2c => self.devctl,
            0x30 => cx.levels(GPI, GPI_COUNT) as u32,
            0x34 => self.gporeg,
            _ => 0,
        }
    }

    fn write_pm(&mut self, cx: &mut Cx<'_>, offset: u64, size: u8, value: u64) {
        self.count(cx.now());
        let (bits, written) = (merge(0, offset, size, value), touched(offset, size));
        let low = bits as u16;
        match offset & 0x3c {
            0x00 => {
                self.pmsts &= !(low & PMSTS_CLEAR);
                put(&mut self.pmen, bits >> 16, written >> 16, PMEN_KEPT);
            }
            0x04 => {
                put(&mut self.pmcntrl, bits, written, PMCNTRL_KEPT);
                if low & GBL_RLS != 0 {
                    self.glbsts |= BIOS_EVENT;
                }
                if low & SUS_EN != 0 {
                    self.suspend(cx);
                }
            }
            0x0c => {
                self.gpsts &= !(low & GP_EVENTS);
                put(&mut self.gpen, bits >> 16, written >> 16, GP_EVENTS);
            }
            0x10 => put32(&mut self.pcntrl, bits, written, PCNTRL_KEPT),
            0x18 => self.glbsts &= !(low & GLBSTS_CLEAR),
            0x20 => put(&mut self.glben, bits, written, GLBEN_KEPT),
            0x28 => {
                put32(&mut self.glbctl, bits, written, GLBCTL_KEPT);
                if bits & BIOS_RLS != 0 {
                    self.pmsts |= GBL;
                }
                if bits & EOS != 0 {
                    self.glbctl |= EOS;
                    self.smi = false;
                    cx.set(SMI, false);
                }
            }
            0x2c => put32(&mut self.devctl, bits, written, DEVCTL_KEPT),
            0x34 => {
                put32(&mut self.gporeg, bits, written, GPOREG_KEPT);
                self.drive_gpo(cx);
            }
            _ => {}
        }
    }

    /// The suspend type in PMCNTRL becomes effective. A machine has no suspended state of its own: it is woken as
    /// soon as it sleeps.
    fn suspend(&mut self, cx: &mut Cx<'_>) {
        let kind = (self.pmcntrl >> 10 & 7) as u8;
        match kind {
            0 => cx.request(Request::PowerOff),
            _ if kind == self.props.s4_val => {
                if self.props.disable_s4 == 0 {
                    cx.request(Request::PowerOff);
                } else {
                    cx.guest_error(format_args!("suspend to disk is disabled"));
                }
            }
            1 if self.props.disable_s3 != 0 => {
                cx.guest_error(format_args!("suspend to RAM is disabled"));
            }
            // To RAM, and powered on with loss of the processor's context.
            1..=3 => {
                self.resuming = true;
                cx.request(Request::Reset);
            }
            // Powered on, everything kept.
            4 => self.pmsts |= RSM_STS,
            // Working.
            5 => {}
            _ => cx.guest_error(format_args!("suspend type {kind} is reserved")),
        }
    }

    /// On a PC, the firmware's SMI handler switches between itself and the operating system; the chip does it in
    /// its place, since the firmware that QEMU's boards run counts on that.
    fn write_apmc(&mut self, value: u8) {
        self.apmc = value;
        let handed_over = matches!(value, APM_ACPI_ENABLE | APM_ACPI_DISABLE);
        if handed_over {
            if !self.props.acpi_only() {
                put(
                    &mut self.pmcntrl,
                    u32::from(value == APM_ACPI_ENABLE),
                    u32::from(SCI_EN),
                    SCI_EN,
                );
            }
        } else if self.config.get(DEVACTB, 4) & APMC_EN != 0 {
            self.glbsts |= APM_STS;
        }
    }

    fn events(&self) -> bool {
        self.pmsts & self.pmen != 0 || self.gpsts & self.gpen != 0
    }

    /// The bits of GLBSTS that follow from other registers.
    fn derived_glbsts(&self) -> u16 {
        let pm1 = self.pmsts & self.pmen != 0;
        let gp = self.gpsts & self.gpen != 0;
        (u16::from(pm1) * PM1_STS) | (u16::from(gp) * GP_STS)
    }

    fn smbus_interrupt(&self, route: u32) -> bool {
        self.smbus.interrupt() && self.config.get(SMBHSTCFG, 1) >> 1 & 7 == route
    }

    fn sci(&self) -> bool {
        let enabled = self.pmcntrl & SCI_EN != 0;
        enabled && (self.events() || self.gpe.sts & self.gpe.en != 0)
            || self.smbus_interrupt(SMB_INTRSEL_IRQ9)
    }

    /// Something asks for an SMI.
    fn smi_cause(&self) -> bool {
        self.pmcntrl & SCI_EN == 0 && self.events()
            || self.glbsts & (self.glben | APM_STS) != 0
            || self.smbus_interrupt(SMB_INTRSEL_SMI)
    }

    /// After any change of a register: the timer's status, a new SMI, and the interrupt outputs.
    fn update(&mut self, cx: &mut Cx<'_>) {
        self.count(cx.now());
        let open = self.glbctl & (SMI_EN | EOS) == SMI_EN | EOS;
        if self.props.smm_enabled && open && self.smi_cause() {
            self.glbctl &= !EOS;
            self.smi = true;
        }
        self.drive(cx);
    }

    /// Drives the interrupt outputs and arms the timer as the registers now stand.
    fn drive(&self, cx: &mut Cx<'_>) {
        cx.set(SCI, self.sci());
        cx.set(SMI, self.smi);
        if self.pmen & !self.pmsts & TMROF != 0 {
            cx.arm(TIMER_OVERFLOW, self.next_toggle());
        } else {
            cx.disarm(TIMER_OVERFLOW);
        }
    }

    fn drive_gpo(&self, cx: &mut Cx<'_>) {
        for n in 0..GPO_COUNT {
            cx.set(GPO.nth(n), self.gporeg >> n & 1 != 0);
        }
    }

    /// Tells the guest of a change while the machine runs.
    ///
    /// # Errors
    /// The device has no registers for it, or the place cannot take it. Nothing has changed then.
    pub fn hotplug(&mut self, cx: &mut Cx<'_>, change: Hotplug) -> Result<(), HotplugError> {
        const NONE: HotplugError = HotplugError::NoRegisters;
        self.gpe.sts |= match change {
            Hotplug::Pci {
                bus,
                slot,
                acpi_index,
            } => {
                let part = self.pci_hotplug.get_mut().ok_or(NONE)?;
                part.plug(bus, slot, acpi_index)?;
                GPE_PCI
            }
            Hotplug::Memory { slot, module } => {
                self.memory_hotplug
                    .get_mut()
                    .ok_or(NONE)?
                    .plug(slot, module)?;
                GPE_MEMORY
            }
            Hotplug::Cpu { number } => {
                self.cpu_hotplug.get_mut().ok_or(NONE)?.plug(number)?;
                GPE_CPU
            }
            Hotplug::Unplug(Place::Pci { bus, slot }) => {
                let part = self.pci_hotplug.get_mut().ok_or(NONE)?;
                part.request_unplug(bus, slot)?;
                GPE_PCI
            }
            Hotplug::Unplug(Place::Memory { slot }) => {
                let part = self.memory_hotplug.get_mut().ok_or(NONE)?;
                part.request_unplug(slot)?;
                GPE_MEMORY
            }
        };
        self.update(cx);
        Ok(())
    }

    /// The places that the guest has let go since this was last asked, after [`Hotplug::Unplug`] or by itself.
    pub fn take_ejected(&mut self) -> Vec<Place> {
        let pci = self
            .pci_hotplug
            .get_mut()
            .map_or_else(Vec::new, |part| part.take_ejected());
        let memory = self
            .memory_hotplug
            .get_mut()
            .map_or_else(Vec::new, |part| part.take_ejected());
        pci.into_iter().chain(memory).collect()
    }

    /// What the guest has last said about a memory slot: event and status of ACPI's `_OST` method.
    pub fn memory_ospm_status(&self, slot: u8) -> Option<(u32, u32)> {
        self.memory_hotplug.get()?.ospm_status(slot)
    }
}

#[cfg(test)]
mod tests;
