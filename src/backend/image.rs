//! What fills a memory: files, and the ROM images that ship with the program.

use std::fmt;
use std::path::PathBuf;

use super::{Form, Wrong};
use crate::machine::ImageFormat;
use crate::visible::shown;
use solderless_model::Size;

/// The content of a memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// Nothing: the memory is blank, or not there.
    Null,
    /// The ACPI tables of the board, as files for its firmware.
    Acpi,
    /// A file's.
    File(PathBuf, Filling),
    /// A ROM's that ships with the program.
    Rom(String),
}

/// How a file fills a memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filling {
    /// The file has what the guest writes.
    pub write: bool,
    /// Its format, if it is not to be guessed.
    pub format: Option<ImageFormat>,
    /// Where in the memory what it has first is.
    pub at: Option<u64>,
}

impl Filling {
    /// The options behind a path, and the path.
    fn read(text: &str) -> Result<(&str, Self), Wrong> {
        let (mut path, mut filling) = (text, Self::default());
        while let Some((before, word)) = path.rsplit_once(',') {
            match word.split_once('=') {
                None if word == "write" => filling.write = true,
                Some(("format", format)) => {
                    filling.format = Some(format.parse().map_err(Wrong::Because)?);
                }
                Some(("at", at)) => filling.at = Some(offset(at)?),
                // What is no option belongs to the path.
                _ => break,
            }
            path = before;
        }
        let raw = matches!(filling.format, None | Some(ImageFormat::Raw));
        if filling.write && (filling.at.is_some() || !raw) {
            return Err(Wrong::Because(
                "what the guest writes goes to a raw image of all of the memory: leave out `write`, `at=` and `format=`, or the former".to_owned(),
            ));
        }
        match path {
            "" => Err(Wrong::Form),
            path => Ok((path, filling)),
        }
    }
}

/// So many bytes: `4KiB`, or a hexadecimal number.
fn offset(text: &str) -> Result<u64, Wrong> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().or(text.parse().map(|Size(bytes)| bytes)).ok(),
    };
    number.ok_or_else(|| Wrong::Because(format!("at={text}: write at=0x1000 or at=4KiB")))
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Acpi => f.write_str("acpi"),
            Self::File(path, Filling { write, format, at }) => {
                write!(f, "file:{}", shown(path))?;
                if let Some(format) = format {
                    write!(f, ",format={format}")?;
                }
                if let Some(at) = at {
                    write!(f, ",at={at:#x}")?;
                }
                f.write_str(if *write { ",write" } else { "" })
            }
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
        args: ":PATH[,OPTION…]",
        about: "what a file has: raw, or an ELF, Intel HEX or SREC file's pieces at their addresses",
        example: "--backend bios=file:flash.img,write",
        options: || {
            [
                ("write", "the file, a raw one, has what the guest writes"),
                ("format=raw", "it is raw, whatever it begins with"),
                ("format=FORMAT", "it is elf, ihex or srec"),
                (
                    "at=OFFSET",
                    "what it has first is so far behind the start of the memory",
                ),
            ]
            .map(|(option, about)| (option.to_owned(), about))
            .to_vec()
        },
        parse: |text| {
            let (path, filling) = Filling::read(text)?;
            Ok(Image::File(path.into(), filling))
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
