//! A 256-byte serial EEPROM with the SMBus protocols (Atmel AT24C02 datasheet, "Device Operation").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    BuildError, BusKind, Cx, Device, I2c, I2cTarget, Interface, Model, PropError, Ranges, Size,
    State, Wires,
};

use crate::spd;

/// Bytes in the device.
const SIZE: usize = 256;
/// A write sequence stays within a page of this many bytes.
const PAGE: u8 = 8;

/// Properties of an `smbus-eeprom`. Its content is 0, then the SPD if there is one, then `init`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SmbusEepromProps {
    /// Describe memory of this size in the first 128 bytes, as serial presence detect does.
    pub spd_ram_size: Option<Size>,
    /// Bytes that the device holds at power-on, from `init-offset` on.
    #[schemars(length(max = 256))]
    pub init: Vec<u8>,
    /// Where the bytes of `init` start.
    pub init_offset: u8,
    /// The write-protect pin is high: bytes written are acknowledged and dropped.
    pub write_protect: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, State)]
enum Phase {
    /// Not addressed.
    Idle,
    /// Addressed for writing: the next byte is the address within the device.
    Address,
    /// Bytes that follow are data.
    Write,
    /// Addressed for reading.
    Read,
}

/// The device.
#[derive(Debug, State)]
pub struct SmbusEeprom {
    #[state(skip = "properties")]
    write_protect: bool,
    contents: [u8; SIZE],
    pointer: u8,
    phase: Phase,
}

impl Model for SmbusEeprom {
    const TYPE: &'static str = "smbus-eeprom";
    const SUMMARY: &'static str =
        "256-byte serial EEPROM (AT24C02), blank, given, or with a memory module's SPD";
    type Props = SmbusEepromProps;

    fn interface(props: &SmbusEepromProps) -> Result<Interface, PropError> {
        let end = usize::from(props.init_offset) + props.init.len();
        if end > SIZE {
            return Err(PropError::new(
                "init",
                format!("ends at byte {end} of a device of {SIZE} bytes"),
            ));
        }
        let mut interface = Interface::on(BusKind::I2c);
        if let Some(size) = props
            .spd_ram_size
            .filter(|size| spd::told(size.0) != size.0)
        {
            let reason = format!(
                "an SPD tells of up to three ranks, each another power of two from 4MiB on: of {size}, {}",
                Size(spd::told(size.0))
            );
            interface
                .limited
                .push(PropError::new("spd-ram-size", reason));
        }
        Ok(interface)
    }

    fn build(props: SmbusEepromProps, _: Wires<'_>) -> Result<Self, BuildError> {
        let mut contents = [0; SIZE];
        if let Some(size) = props.spd_ram_size {
            contents[..spd::LEN].copy_from_slice(&spd::spd(size.0));
        }
        for (at, byte) in contents
            .iter_mut()
            .skip(usize::from(props.init_offset))
            .zip(&props.init)
        {
            *at = *byte;
        }
        Ok(Self {
            write_protect: props.write_protect,
            contents,
            pointer: 0,
            phase: Phase::Idle,
        })
    }
}

impl Device for SmbusEeprom {
    /// The content outlives a reset.
    fn reset(&mut self, _: &mut Cx<'_>) {
        self.pointer = 0;
        self.phase = Phase::Idle;
    }

    fn i2c(&mut self) -> Option<&mut dyn I2cTarget> {
        Some(self)
    }
}

impl I2cTarget for SmbusEeprom {
    fn event(&mut self, event: I2c) -> Option<u8> {
        match (event, self.phase) {
            (I2c::Start { read }, _) => {
                self.phase = if read { Phase::Read } else { Phase::Address };
                Some(0)
            }
            (I2c::Write(byte), Phase::Address) => {
                self.pointer = byte;
                self.phase = Phase::Write;
                Some(0)
            }
            (I2c::Write(byte), Phase::Write) => {
                if !self.write_protect {
                    self.contents[usize::from(self.pointer)] = byte;
                }
                self.pointer =
                    self.pointer & !(PAGE - 1) | self.pointer.wrapping_add(1) & (PAGE - 1);
                Some(0)
            }
            (I2c::Read, Phase::Read) => {
                let byte = self.contents[usize::from(self.pointer)];
                self.pointer = self.pointer.wrapping_add(1);
                Some(byte)
            }
            (I2c::Stop, _) => {
                self.phase = Phase::Idle;
                Some(0)
            }
            (I2c::Write(_) | I2c::Read, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use solderless_model::testing::Bench;

    fn bench(props: SmbusEepromProps) -> Bench<SmbusEeprom> {
        Bench::new(props)
    }

    fn read(b: &mut Bench<SmbusEeprom>, at: u8, count: usize) -> Vec<u8> {
        let dev = &mut b.dev;
        dev.event(I2c::Start { read: false }).unwrap();
        dev.event(I2c::Write(at)).unwrap();
        dev.event(I2c::Start { read: true }).unwrap();
        let bytes = (0..count).map(|_| dev.event(I2c::Read).unwrap()).collect();
        dev.event(I2c::Stop).unwrap();
        bytes
    }

    fn write(b: &mut Bench<SmbusEeprom>, at: u8, bytes: &[u8]) {
        b.dev.event(I2c::Start { read: false }).unwrap();
        b.dev.event(I2c::Write(at)).unwrap();
        for byte in bytes {
            b.dev.event(I2c::Write(*byte)).unwrap();
        }
        b.dev.event(I2c::Stop).unwrap();
    }

    #[test]
    fn a_size_that_an_spd_cannot_tell_is_noted() {
        let limited = |mib: u64| {
            let props = SmbusEepromProps {
                spd_ram_size: Some(Size(mib << 20)),
                ..SmbusEepromProps::default()
            };
            let interface = SmbusEeprom::interface(&props).unwrap();
            interface.limited.into_iter().map(|e| e.reason).next()
        };
        for mib in [4, 16, 24, 256, 448, 512, 1024, 1536, 2048, 3584] {
            assert_eq!(limited(mib), None, "{mib} MiB");
        }
        assert!(limited(1000).unwrap().ends_with("of 1000MiB, 896MiB"));
        assert!(limited(0xf00).unwrap().ends_with("of 3840MiB, 3584MiB"));
        assert!(limited(2).unwrap().ends_with("of 2MiB, 0B"));
    }

    #[test]
    fn content_is_spd_then_init() {
        let mut b = bench(SmbusEepromProps {
            spd_ram_size: Some(Size(256 << 20)),
            init: vec![0xaa, 0xbb],
            init_offset: 254,
            ..SmbusEepromProps::default()
        });
        assert_eq!(read(&mut b, 0, 6), [0x80, 8, 8, 0x0d, 0x0a, 2]);
        assert_eq!(read(&mut b, 63, 1), [0xa5]);
        assert_eq!(read(&mut b, 253, 4), [0, 0xaa, 0xbb, 0x80], "wraps");
        let error = SmbusEeprom::interface(&SmbusEepromProps {
            init: vec![0; 3],
            init_offset: 254,
            ..SmbusEepromProps::default()
        });
        assert_eq!(error.unwrap_err().property, "init");
    }

    #[test]
    fn writes_wrap_in_their_page_and_survive_reset() {
        let mut b = bench(SmbusEepromProps::default());
        write(&mut b, 0x1e, &[1, 2, 3]);
        b.reset();
        assert_eq!(read(&mut b, 0x18, 9), [3, 0, 0, 0, 0, 0, 1, 2, 0]);
        let mut b = bench(SmbusEepromProps {
            write_protect: true,
            ..SmbusEepromProps::default()
        });
        write(&mut b, 0, &[1, 2]);
        assert_eq!(read(&mut b, 0, 2), [0, 0]);
    }

    #[test]
    fn bytes_outside_a_transaction_are_not_acknowledged() {
        let mut b = bench(SmbusEepromProps::default());
        for event in [I2c::Read, I2c::Write(0)] {
            assert_eq!(b.dev.event(event), None, "{event:?}");
        }
        b.dev.event(I2c::Start { read: true });
        assert_eq!(b.dev.event(I2c::Write(0)), None);
        b.dev.event(I2c::Start { read: false });
        assert_eq!(b.dev.event(I2c::Read), None);
    }

    fn events() -> impl Strategy<Value = Vec<I2c>> {
        let event = prop_oneof![
            any::<bool>().prop_map(|read| I2c::Start { read }),
            any::<u8>().prop_map(I2c::Write),
            Just(I2c::Read),
            Just(I2c::Stop),
        ];
        prop::collection::vec(event, 0..200)
    }

    proptest! {
        #[test]
        fn saved_and_loaded_it_goes_on_the_same(before in events(), after in events()) {
            let mut a = bench(SmbusEepromProps::default());
            for event in before {
                a.dev.event(event);
            }
            let saved = a.save();
            let mut b = bench(SmbusEepromProps::default());
            b.load(&saved, &a.around);
            prop_assert_eq!(&b.save(), &saved);
            for event in after {
                prop_assert_eq!(a.dev.event(event), b.dev.event(event));
            }
        }
    }
}
