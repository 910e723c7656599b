//! Plain memory: a block that answers wherever the board maps it.
//!
//! There is no datasheet: the parts on a module (SDRAM, JESD79 and kin) have no register a CPU can
//! see. Content is zero at power-on, or what the image plugged in has, and, as refreshed memory does, survives a reset.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::memory::{PAGE, Ram as Block};
use solderless_model::{
    Access, Backing, BuildError, BusError, BusKind, Cx, Device, Interface, Model, PropError,
    Ranges, Region, RegionId, Size, Slot, SlotKind, State, Wires, connections,
};

connections! {
    fn connections(size: u64) on BusKind::System;
    region RAM = Region::memory("ram", size);
    slot IMAGE = Slot::new("image", SlotKind::Image).optional();
}

/// Properties of `ram`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RamProps {
    /// How much memory: a multiple of 4 KiB.
    pub size: Size,
}

impl Default for RamProps {
    fn default() -> Self {
        Self {
            size: Size(128 << 20),
        }
    }
}

/// A block of memory on the system bus.
#[derive(Debug, State)]
pub struct Ram {
    content: Block,
}

impl Model for Ram {
    const TYPE: &'static str = "ram";
    const SUMMARY: &'static str = "Memory; its content survives a reset";
    type Props = RamProps;

    fn interface(props: &RamProps) -> Result<Interface, PropError> {
        let size = props.size.0;
        if size == 0 || !size.is_multiple_of(PAGE) {
            return Err(PropError::new(
                "size",
                format!("{} is not a multiple of {}", props.size, Size(PAGE)),
            ));
        }
        Ok(connections(size))
    }

    fn build(props: RamProps, wires: Wires<'_>) -> Result<Self, BuildError> {
        let content = Block::new(props.size.0).map_err(|e| BuildError(e.to_string()))?;
        let image = wires.image_for(IMAGE, props.size.0, "memory")?;
        let written = content.write(0, image);
        written.map_err(|e| BuildError(e.to_string()))?;
        Ok(Self { content })
    }
}

impl Device for Ram {
    fn reset(&mut self, _: &mut Cx<'_>) {}

    fn memory(&self, region: RegionId) -> Option<Backing> {
        (region == RAM).then(|| Backing {
            ram: self.content.clone(),
            offset: 0,
            len: self.content.size(),
            readable: true,
            writable: true,
        })
    }

    fn read(&mut self, _: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let mut bytes = [0; 8];
        let wanted = bytes.get_mut(..usize::from(at.size)).ok_or(BusError)?;
        self.content.read(at.offset, wanted).map_err(|_| BusError)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn write(&mut self, _: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let bytes = value.to_le_bytes();
        let bytes = bytes.get(..usize::from(at.size)).ok_or(BusError)?;
        self.content.write(at.offset, bytes).map_err(|_| BusError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::Bench;

    fn bench(size: u64) -> Bench<Ram> {
        Bench::new(RamProps { size: Size(size) })
    }

    #[test]
    fn content_is_shared_with_the_map_and_survives_reset() {
        let mut b = bench(2 * PAGE);
        let backing = b.dev.memory(RAM).expect("memory");
        assert!(backing.readable && backing.writable);
        backing.ram.write_u32(PAGE, 0x4433_2211).unwrap();
        assert_eq!(b.read(RAM, PAGE + 1, 2), Some(0x3322));
        assert!(b.write(RAM, PAGE - 1, 8, 0x8877_6655_4433_2211));
        b.reset();
        assert_eq!(backing.ram.read_u64(PAGE - 1), Ok(0x8877_6655_4433_2211));
        assert_eq!(b.read(RAM, 2 * PAGE - 1, 2), None);
        assert!(!b.write(RAM, u64::MAX, 4, 0));
    }

    #[test]
    fn it_begins_with_its_image() {
        let props = RamProps { size: Size(PAGE) };
        let mut b = Bench::<Ram>::with_images(props, &[Some(vec![1, 2, 3, 4])]);
        assert_eq!(b.read(RAM, 0, 8), Some(0x0403_0201));
        assert!(b.write(RAM, 0, 4, 7));
        b.reset();
        assert_eq!(b.read(RAM, 0, 8), Some(7));
    }

    #[test]
    fn content_is_saved() {
        let mut a = bench(PAGE);
        for i in 0..PAGE {
            a.write(RAM, i, 1, i.wrapping_mul(31) >> 3);
        }
        let saved = a.save();
        let mut b = bench(PAGE);
        b.load(&saved, &a.around);
        assert_eq!(b.save(), saved);
        assert_eq!(b.read(RAM, 0xff8, 8), a.read(RAM, 0xff8, 8));
    }

    #[test]
    fn a_size_that_cannot_be_mapped_is_refused() {
        for (size, good) in [(0, false), (1, false), (PAGE + 1, false), (PAGE, true)] {
            let interface = Ram::interface(&RamProps { size: Size(size) });
            assert_eq!(interface.is_ok(), good, "{size}");
        }
    }
}
