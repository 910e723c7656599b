//! `solderless backends`.

use std::process::ExitCode;

use serde_json::{Value as Json, json};
use solderless_model::SlotKind;

use crate::backend;

/// The arguments of `solderless backends`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// The kinds of slots: as boards have them, and what is plugged into one with which options.
const KINDS: [(SlotKind, &str, &str); 5] = [
    (
        SlotKind::Chardev,
        "chardev",
        "characters, as of a serial port: --backend SLOT=BACKEND",
    ),
    (
        SlotKind::Netdev,
        "netdev",
        "a network: --net BACKEND for the next slot, or --backend SLOT=BACKEND; with ,pcap=FILE all frames go to a file too",
    ),
    (
        SlotKind::Block,
        "block",
        "a disk: --disk BACKEND or PATH for the next slot, --cdrom for that of a drive, or --backend SLOT=BACKEND",
    ),
    (
        SlotKind::Folder,
        "folder",
        "a folder of the host for the guest to mount: --backend SLOT=BACKEND",
    ),
    (
        SlotKind::Image,
        "image",
        "what a memory has at first: --firmware PATH, or --backend SLOT=BACKEND",
    ),
];

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    if args.format == Format::Json {
        let kinds = KINDS.iter();
        let kinds: Json = kinds
            .map(|(kind, name, _)| json!({ "kind": name, "backends": backend::forms(*kind) }))
            .collect();
        return super::print(&format!("{kinds:#}\n"));
    }
    let mut text = String::new();
    for (kind, name, about) in KINDS {
        text += &format!("{name}: {about}\n");
        for form in backend::forms(kind) {
            text += &format!("  {:24} {}\n", form.form, form.about);
            for (option, about) in form.options {
                text += &format!("      ,{option}\n          {about}\n");
            }
            text += &format!("    {}\n", form.example);
        }
        text += "\n";
    }
    text += "the slots of a board: solderless show BOARD, under [slot]\n";
    super::print(&text)
}
