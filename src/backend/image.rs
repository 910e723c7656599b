//! What fills a memory: files, and the ROM images that ship with the program.

use std::fmt;
use std::path::PathBuf;

use super::{Form, Wrong};
use crate::visible::shown;

/// The content of a memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// Nothing: the memory is blank, or not there.
    Null,
    /// The ACPI tables of the board, as files for its firmware.
    Acpi,
    /// A file's.
    File(PathBuf),
    /// A file's, which has what the guest writes.
    Written(PathBuf),
    /// A ROM's that ships with the program.
    Rom(String),
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Acpi => f.write_str("acpi"),
            Self::File(path) => write!(f, "file:{}", shown(path)),
            Self::Written(path) => write!(f, "file:{},write", shown(path)),
            Self::Rom(name) => write!(f, "rom:{name}"),
        }
    }
}

/// How they are written.
pub(super) const FORMS: &[Form<Image>] = &[
    Form {
        name: "acpi",
        args: "",
        about: "the board's ACPI tables, as files for its firmware",
        example: "--backend acpi=acpi",
        options: Vec::new,
        parse: |_| Ok(Image::Acpi),
    },
    Form {
        name: "null",
        args: "",
        about: "nothing: the memory is blank, or an option ROM is not there",
        example: "--backend vgabios=null",
        options: Vec::new,
        parse: |_| Ok(Image::Null),
    },
    Form {
        name: "file",
        args: ":PATH[,write]",
        about: "what a file has; with `write` it has what the guest writes",
        example: "--backend bios=file:flash.img,write",
        options: Vec::new,
        parse: |text| match (text, text.strip_suffix(",write")) {
            ("", _) | (_, Some("")) => Err(Wrong::Form),
            (_, Some(path)) => Ok(Image::Written(path.into())),
            (path, None) => Ok(Image::File(path.into())),
        },
    },
    Form {
        name: "rom",
        args: ":NAME",
        about: "a ROM that ships with the program",
        example: "--backend bios=rom:malta-rom-le",
        options: Vec::new,
        parse: |name| match name {
            "" => Err(Wrong::Form),
            name => Ok(Image::Rom(name.to_owned())),
        },
    },
];

/// By the name a board uses: `rom:NAME`.
const ROMS: &[(&str, &[u8])] = &[
    (
        "malta-rom-be",
        include_bytes!("../../machines/rom/malta-rom-be.bin"),
    ),
    (
        "malta-rom-le",
        include_bytes!("../../machines/rom/malta-rom-le.bin"),
    ),
    (
        "mipssim-rom-be",
        include_bytes!("../../machines/rom/mipssim-rom-be.bin"),
    ),
    (
        "mipssim-rom-le",
        include_bytes!("../../machines/rom/mipssim-rom-le.bin"),
    ),
    ("pc-rom", include_bytes!("../../machines/rom/pc-rom.bin")),
    (
        "wren-rom-be",
        include_bytes!("../../machines/rom/wren-rom-be.bin"),
    ),
];

/// The ROM with this name.
///
/// # Errors
/// The names there are.
pub fn rom(name: &str) -> Result<&'static [u8], String> {
    let names = || ROMS.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
    ROMS.iter()
        .find(|(n, _)| *n == name)
        .map(|(_, bytes)| *bytes)
        .ok_or_else(|| format!("no ROM is called {name} (there are {})", names()))
}
