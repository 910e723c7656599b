//! Intel 82441FX PCI and memory controller of the 440FX chipset (datasheet 290549), as QEMU's pc has it.
//!
//! The board says where main memory is seen. The 384 KiB between 640 KiB and 1 MiB are the controller's: what the system memory has
//! there is seen through its PAM registers, piece by piece, for reading, writing or both, and through SMRAM. What neither shows is a
//! cycle on PCI, and so is everything else that nothing on the system bus answers. DRAM rows, timing and error checking have
//! registers that hold what is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::acpi::Node;
use solderless_model::memory::Ram;
use solderless_model::pci::{PciConfig, PciId, STATUS};
use solderless_model::{
    Access, Backing, BuildError, BusError, BusKind, Cx, Cycle, Device, ISA_PORTS, Interface, Model,
    On, Placement, Port, PropError, Ranges, Region, RegionId, Space, State, StateError, Wires,
    connections,
};

/// The controller has nothing to set.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct I440FxProps {}

connections! {
    fn connections(_: &I440FxProps) on BusKind::System;
    region CONFIG = Region::registers("config", 8).io().placed(Placement::Fixed(0xcf8));
    region PCI_IO = Region::bridge("pci-io", ISA_PORTS, PCI, Space::Io)
        .io()
        .placed(Placement::Fixed(0))
        .background();
    region PCI_MEMORY = Region::bridge("pci-memory", 1 << 32, PCI, Space::Memory)
        .placed(Placement::Fixed(0))
        .background();
    region SMRAM = piece("smram", SMRAM_SIZE);
    region PAM_C0 = piece("pam-c0", PIECE);
    region PAM_C4 = piece("pam-c4", PIECE);
    region PAM_C8 = piece("pam-c8", PIECE);
    region PAM_CC = piece("pam-cc", PIECE);
    region PAM_D0 = piece("pam-d0", PIECE);
    region PAM_D4 = piece("pam-d4", PIECE);
    region PAM_D8 = piece("pam-d8", PIECE);
    region PAM_DC = piece("pam-dc", PIECE);
    region PAM_E0 = piece("pam-e0", PIECE);
    region PAM_E4 = piece("pam-e4", PIECE);
    region PAM_E8 = piece("pam-e8", PIECE);
    region PAM_EC = piece("pam-ec", PIECE);
    region PAM_F0 = piece("pam-f0", PIECE);
    region PAM_F4 = piece("pam-f4", PIECE);
    region PAM_F8 = piece("pam-f8", PIECE);
    region PAM_FC = piece("pam-fc", PIECE);
    port PCI = Port::new("pci", BusKind::Pci);
}

fn piece(name: &'static str, size: u64) -> Region {
    Region::memory(name, size).placed(Placement::Device)
}

/// What SMRAM shows.
const SMRAM_AT: u64 = 0xa_0000;
const SMRAM_SIZE: u64 = 0x2_0000;

/// What a PAM register shows: all pieces have the same size. Only the last 64 KiB share four bits.
const PIECE: u64 = 0x4000;
/// A piece: its address, the register, and where in that its four bits are.
const PIECES: [(RegionId, u64, u8, u8); 16] = [
    (PAM_C0, 0xc_0000, 0x5a, 0),
    (PAM_C4, 0xc_4000, 0x5a, 4),
    (PAM_C8, 0xc_8000, 0x5b, 0),
    (PAM_CC, 0xc_c000, 0x5b, 4),
    (PAM_D0, 0xd_0000, 0x5c, 0),
    (PAM_D4, 0xd_4000, 0x5c, 4),
    (PAM_D8, 0xd_8000, 0x5d, 0),
    (PAM_DC, 0xd_c000, 0x5d, 4),
    (PAM_E0, 0xe_0000, 0x5e, 0),
    (PAM_E4, 0xe_4000, 0x5e, 4),
    (PAM_E8, 0xe_8000, 0x5f, 0),
    (PAM_EC, 0xe_c000, 0x5f, 4),
    (PAM_F0, 0xf_0000, 0x59, 4),
    (PAM_F4, 0xf_4000, 0x59, 4),
    (PAM_F8, 0xf_8000, 0x59, 4),
    (PAM_FC, 0xf_c000, 0x59, 4),
];
/// Read and write enable in a PAM register.
const RE: u32 = 1;
const WE: u32 = 2;

const SMRAM_CONTROL: u8 = 0x72;
const D_OPEN: u32 = 1 << 6;
const D_LCK: u32 = 1 << 4;

/// Registers that hold what is written: offset, size, value after reset, bits that a write sets.
const REGISTERS: [(u8, u8, u32, u32); 12] = [
    (0x0d, 1, 0x00, 0xf8),      // MLT
    (0x50, 2, 0x0000, 0xfff4),  // PMCCFG
    (0x52, 1, 0x00, 0xff),      // DETURBO
    (0x53, 1, 0x80, 0x08),      // DBC
    (0x54, 1, 0x00, 0xf8),      // AXC
    (0x55, 2, 0x0000, 0xffff),  // DRT
    (0x57, 1, 0x01, 0xff),      // DRAMC
    (0x58, 1, 0x10, 0xff),      // DRAMT
    (0x60, 4, 0x0101_0101, !0), // DRB
    (0x64, 4, 0x0101_0101, !0), // DRB
    (0x68, 1, 0x00, 0xff),      // FDHC
    (0x93, 1, 0x00, 0x0f),      // TRC
];

const CONFIG_ENABLE: u32 = 1 << 31;

/// The 440FX.
#[derive(Debug, State)]
pub struct I440Fx {
    config: PciConfig,
    /// CONFADD.
    address: u32,
    smram: Ram,
    /// The memory of each of [`PIECES`].
    pieces: [Ram; PIECES.len()],
}

impl Model for I440Fx {
    const TYPE: &'static str = "i440FX";
    const SUMMARY: &'static str =
        "Intel 440FX PCI host bridge and memory controller (82441FX), with PAM and SMRAM";
    type Props = I440FxProps;

    fn interface(props: &I440FxProps) -> Result<Interface, PropError> {
        Ok(connections(props).acpi(Node::PciHost(PCI)))
    }

    fn build(_: I440FxProps, _: Wires<'_>) -> Result<Self, BuildError> {
        let id = PciId {
            vendor: 0x8086,
            device: 0x1237,
            revision: 2,
            class: 0x06_0000,
            subsystem: (0x1af4, 0x1100),
            header_type: 0,
            interrupt_pin: 0,
        };
        let config = REGISTERS.into_iter().fold(
            PciConfig::new(id).initial(STATUS, 2, 0x0280),
            |config, (offset, size, reset, writable)| {
                config
                    .initial(offset, size, reset)
                    .writable(offset, size, writable)
            },
        );
        // A reserved half of each PAM register stays clear, and so does PAM0's lower.
        let config = (0x5a..=0x5f).fold(config, |config, pam| config.writable(pam, 1, 0x77));
        let config = config
            .writable(0x59, 1, 0x70)
            .initial(SMRAM_CONTROL, 1, 0x02)
            .writable(SMRAM_CONTROL, 1, 0x78);
        let memory = |size| Ram::new(size).map_err(|e| BuildError(e.to_string()));
        let pieces: Result<Vec<_>, _> = PIECES.iter().map(|_| memory(PIECE)).collect();
        let Ok(pieces) = <[Ram; PIECES.len()]>::try_from(pieces?) else {
            return Err(BuildError("there is a memory for each piece".to_owned()));
        };
        Ok(Self {
            config,
            address: 0,
            smram: memory(SMRAM_SIZE)?,
            pieces,
        })
    }
}

impl Device for I440Fx {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset();
        self.address = 0;
        self.show(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        match (at.region, at.offset, at.size) {
            (CONFIG, 0, 4) => Ok(self.address.into()),
            (CONFIG, 4.., _) => Ok(self.config_cycle(cx, at, None)),
            (CONFIG, ..) => on_pci(cx, Space::Io, 0xcf8 + at.offset, at.size, None),
            _ => on_pci(cx, Space::Memory, start(at), at.size, None),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        match (at.region, at.offset, at.size) {
            (CONFIG, 0, 4) => self.address = value as u32 & 0x80ff_fffc,
            (CONFIG, 4.., _) => {
                self.config_cycle(cx, at, Some(value));
            }
            (CONFIG, ..) => {
                on_pci(cx, Space::Io, 0xcf8 + at.offset, at.size, Some(value))?;
            }
            _ => {
                on_pci(cx, Space::Memory, start(at), at.size, Some(value))?;
            }
        }
        Ok(())
    }

    fn memory(&self, region: RegionId) -> Option<Backing> {
        let backing = |ram: &Ram, rights: u32| Backing {
            ram: ram.clone(),
            offset: 0,
            len: ram.size(),
            readable: rights & RE != 0,
            writable: rights & WE != 0,
        };
        if region == SMRAM {
            return Some(backing(&self.smram, RE | WE));
        }
        let mut pieces = PIECES.iter().zip(&self.pieces);
        let ((.., pam, shift), ram) = pieces.find(|(piece, _)| piece.0 == region)?;
        Some(backing(ram, self.config.get(*pam, 1) >> shift))
    }

    fn interrupt_acknowledge(&mut self, cx: &mut Cx<'_>) -> Option<u8> {
        let vector = cx.cycle(On::Port(PCI), Cycle::Acknowledge);
        vector.ok().map(|vector| vector as u8)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.show(cx);
        Ok(())
    }
}

/// The address of an access to a piece.
fn start(at: Access) -> u64 {
    let piece = PIECES.iter().find(|(id, ..)| *id == at.region);
    piece.map_or(SMRAM_AT, |(_, start, ..)| *start) + at.offset
}

/// A cycle that goes on to PCI. Nobody drives the lines where nothing answers.
fn on_pci(
    cx: &mut Cx<'_>,
    space: Space,
    at: u64,
    size: u8,
    write: Option<u64>,
) -> Result<u64, BusError> {
    let cycle = Cycle::Access {
        space,
        at,
        size,
        write,
    };
    Ok(cx.cycle(On::Port(PCI), cycle).unwrap_or(u64::MAX))
}

impl I440Fx {
    /// Shows the pieces that the PAM registers and SMRAM say.
    fn show(&self, cx: &mut Cx<'_>) {
        for (region, at, pam, shift) in PIECES {
            match self.config.get(pam, 1) >> shift & (RE | WE) {
                0 => cx.unmap(region),
                _ => cx.map(region, at, PIECE, 0),
            }
            cx.memory_changed(region);
        }
        match self.config.get(SMRAM_CONTROL, 1) & D_OPEN {
            0 => cx.unmap(SMRAM),
            _ => cx.map(SMRAM, SMRAM_AT, SMRAM_SIZE, 0),
        }
    }

    /// An access to CONFDATA: a configuration cycle, or one of the controller's own registers.
    fn config_cycle(&mut self, cx: &mut Cx<'_>, at: Access, write: Option<u64>) -> u64 {
        let lane = at.offset as u8 & 3;
        let offset = self.address as u8 & 0xfc | lane;
        let devfn = (self.address >> 8) as u8;
        let bus = self.address >> 16 & 0xff;
        let ones = u64::MAX >> (64 - 8 * u32::from(at.size.clamp(1, 8)));
        if self.address & CONFIG_ENABLE == 0 || bus != 0 || lane + at.size > 4 {
            return ones;
        }
        if devfn == 0 {
            let Some(value) = write else {
                return self.config.get(offset, at.size).into();
            };
            self.config_write(cx, offset, at.size, value as u32);
            return 0;
        }
        let cycle = Cycle::Config {
            devfn,
            offset: offset.into(),
            size: at.size,
            write: write.map(|value| value as u32),
        };
        cx.cycle(On::Port(PCI), cycle).unwrap_or(ones)
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u8, size: u8, value: u32) {
        let smram = self.config.get(SMRAM_CONTROL, 1);
        self.config.write(offset, size, value);
        // Once it is locked it stays as it is, and closed.
        if smram & D_LCK != 0 {
            self.config.set(SMRAM_CONTROL, 1, smram);
        } else if self.config.get(SMRAM_CONTROL, 1) & D_LCK != 0 {
            let locked = self.config.get(SMRAM_CONTROL, 1) & !D_OPEN;
            self.config.set(SMRAM_CONTROL, 1, locked);
        }
        let last = offset + size - 1;
        if offset <= 0x5f && last >= 0x59 || (offset..=last).contains(&SMRAM_CONTROL) {
            self.show(cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, exercise};

    fn bench() -> Bench<I440Fx> {
        let mut bench = Bench::new(I440FxProps {});
        bench.reset();
        bench
    }

    fn config(b: &mut Bench<I440Fx>, offset: u8, size: u8, value: Option<u32>) -> Option<u64> {
        let address = CONFIG_ENABLE | u32::from(offset & 0xfc);
        assert!(b.write(CONFIG, 0, 4, address.into()));
        let port = 4 + u64::from(offset & 3);
        match value {
            None => b.read(CONFIG, port, size),
            Some(value) => {
                assert!(b.write(CONFIG, port, size, value.into()));
                None
            }
        }
    }

    #[test]
    fn it_is_an_82441fx() {
        let mut b = bench();
        for (offset, value) in [
            (0x00, 0x1237_8086),
            (0x04, 0x0280_0000),
            (0x08, 0x0600_0002),
            (0x2c, 0x1100_1af4),
            (0x58, 0x10),
            (0x70, 0x0002_0000),
        ] {
            assert_eq!(config(&mut b, offset, 4, None), Some(value), "{offset:#x}");
        }
        // No configuration cycle unless CONFADD says so, and none of its own elsewhere.
        assert!(b.write(CONFIG, 0, 4, 0));
        assert_eq!(b.read(CONFIG, 4, 4), Some(u64::from(u32::MAX)));
        assert!(b.write(CONFIG, 0, 4, 0x8000_0800));
        assert_eq!(b.read(CONFIG, 4, 4), Some(u64::from(u32::MAX)));
    }

    #[test]
    fn a_piece_is_shown_as_its_pam_register_says() {
        let mut b = bench();
        assert!(!b.around.mapped.contains_key(&PAM_F0));
        for (rights, readable, writable) in [(1, true, false), (2, false, true), (3, true, true)] {
            config(&mut b, 0x59, 1, Some(rights << 4 | 0xf));
            assert_eq!(config(&mut b, 0x59, 1, None), Some((rights << 4).into()));
            let last = [PAM_F0, PAM_F4, PAM_F8, PAM_FC];
            for (at, piece) in (0xf_0000..0x10_0000).step_by(0x4000).zip(last) {
                assert_eq!(b.around.mapped[&piece], (at, 0x4000, 0));
                let backing = b.dev.memory(piece).unwrap();
                assert_eq!((backing.readable, backing.writable), (readable, writable));
                assert_eq!(backing.len, 0x4000);
            }
        }
        config(&mut b, 0x5d, 1, Some(0x30));
        assert_eq!(b.around.mapped[&PAM_DC], (0xd_c000, 0x4000, 0));
        config(&mut b, 0x5d, 1, Some(0));
        assert!(!b.around.mapped.contains_key(&PAM_DC));
        b.reset();
        assert_eq!(config(&mut b, 0x59, 1, None), Some(0));
    }

    #[test]
    fn smram_opens_until_it_is_locked() {
        let mut b = bench();
        config(&mut b, SMRAM_CONTROL, 1, Some(0x4a));
        assert_eq!(b.around.mapped[&SMRAM], (0xa_0000, 0x2_0000, 0));
        config(&mut b, SMRAM_CONTROL, 1, Some(0x1a));
        assert!(!b.around.mapped.contains_key(&SMRAM));
        config(&mut b, SMRAM_CONTROL, 1, Some(0x4a));
        assert!(!b.around.mapped.contains_key(&SMRAM));
        assert_eq!(config(&mut b, SMRAM_CONTROL, 1, None), Some(0x1a));
    }

    #[test]
    fn registers_stand_any_access() {
        exercise(bench);
    }
}
