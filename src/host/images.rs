//! The ROM images that ship with the program.

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
