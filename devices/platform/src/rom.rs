//! Read-only memory: a mask ROM or a socketed EPROM as the CPU sees it.
//!
//! There is no datasheet: such parts have no register that a CPU can see (JEDEC standard 21-C has their pins). What lies
//! behind the end of the image reads as zero. Writes are ignored. On an ISA bus it is a PC's BIOS: an image that is shorter lies at
//! its end, where the CPU starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::memory::{PAGE, Ram as Block};
use solderless_model::{
    Access, Backing, BuildError, BusError, BusKind, Cx, Device, Interface, Model, PropError,
    Ranges, Region, RegionId, Size, Slot, SlotKind, State, Wires, connections,
};

connections! {
    fn connections((bus, size): (BusKind, u64)) on bus;
    region ROM = Region::memory("rom", size);
    slot IMAGE = Slot::new("image", SlotKind::Image);
}

/// Properties of `rom` and `isa-rom`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RomProps {
    /// How much memory: a multiple of 4 KiB.
    pub size: Size,
}

impl Default for RomProps {
    fn default() -> Self {
        Self {
            size: Size(4 << 20),
        }
    }
}

/// Memory that the image plugged in fills once and for all.
#[derive(Debug, State)]
pub struct RomOn<const ISA: bool> {
    content: Block,
}

/// The same on a CPU's bus.
pub type Rom = RomOn<false>;
/// The same on an ISA bus.
pub type IsaRom = RomOn<true>;

impl<const ISA: bool> Model for RomOn<ISA> {
    const TYPE: &'static str = if ISA { "isa-rom" } else { "rom" };
    const SUMMARY: &'static str = match ISA {
        true => "Read-only memory with an image, on an ISA bus",
        false => "Read-only memory with an image",
    };
    type Props = RomProps;

    fn interface(props: &RomProps) -> Result<Interface, PropError> {
        let size = props.size.0;
        if size == 0 || !size.is_multiple_of(PAGE) {
            return Err(PropError::new(
                "size",
                format!("{} is not a multiple of {}", props.size, Size(PAGE)),
            ));
        }
        let bus = if ISA { BusKind::Isa } else { BusKind::System };
        Ok(connections((bus, size)))
    }

    fn build(props: RomProps, wires: Wires<'_>) -> Result<Self, BuildError> {
        let content = Block::new(props.size.0).map_err(|e| BuildError(e.to_string()))?;
        let image = wires.image_for(IMAGE, props.size.0, "ROM")?;
        let room = props.size.0.saturating_sub(image.len() as u64);
        let written = content.write(if ISA { room } else { 0 }, image);
        written.map_err(|e| BuildError(e.to_string()))?;
        Ok(Self { content })
    }
}

impl<const ISA: bool> Device for RomOn<ISA> {
    fn reset(&mut self, _: &mut Cx<'_>) {}

    fn memory(&self, region: RegionId) -> Option<Backing> {
        (region == ROM).then(|| Backing {
            ram: self.content.clone(),
            offset: 0,
            len: self.content.size(),
            readable: true,
            writable: false,
        })
    }

    fn read(&mut self, _: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let mut bytes = [0; 8];
        let wanted = bytes.get_mut(..usize::from(at.size)).ok_or(BusError)?;
        self.content.read(at.offset, wanted).map_err(|_| BusError)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, _: u64) -> Result<(), BusError> {
        cx.guest_error(format_args!(
            "write to read-only memory at {:#x}",
            at.offset
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, exercise};

    fn bench() -> Bench<Rom> {
        let props = RomProps { size: Size(PAGE) };
        Bench::with_images(props, &[Some(b"image".to_vec())])
    }

    #[test]
    fn it_holds_its_image_and_ignores_writes() {
        let mut b = bench();
        assert_eq!(b.read(ROM, 0, 4), Some(0x6761_6d69));
        assert!(b.write(ROM, 0, 4, 0));
        assert_eq!(b.read(ROM, 0, 8), Some(0x65_6761_6d69));
        assert_eq!(b.read(ROM, PAGE - 1, 1), Some(0));
        assert!(!b.dev.memory(ROM).expect("memory").writable);
        exercise(bench);
    }

    #[test]
    fn an_image_that_is_too_long_is_refused() {
        let props = RomProps { size: Size(PAGE) };
        let interface = Rom::interface(&props).unwrap();
        let images = [Some(vec![0; PAGE as usize + 1])];
        let parts = interface.present();
        let error = Rom::build(props, Wires::new(&parts, &images)).unwrap_err();
        assert_eq!(error.0, "the image has 4097 bytes, the ROM only 4096");
    }
}
