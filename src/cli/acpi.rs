//! `solderless acpi`.

use std::fmt::Write;
use std::process::{Command, ExitCode};

use crate::acpi;
use crate::visible::shown;

/// The arguments of `solderless acpi`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    board: super::BoardArgs,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Hex)]
    format: Format,
}

/// A form of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Their bytes, as acpidump prints them and acpixtract takes them
    Hex,
    /// Their source, by iasl of Debian's package acpica-tools
    Dsl,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let plan = match super::load(&args.board) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let Some(tables) = acpi::Tables::of(&plan) else {
        return super::usage(&format!(
            "the board {} has no ACPI tables: no device of it has ACPI's power management",
            plan.name
        ));
    };
    let tables = tables.each();
    match args.format {
        Format::Hex => super::print(&hex(&tables)),
        Format::Dsl => match source(&tables) {
            Ok(text) => super::print(&text),
            Err(e) => super::usage(&e),
        },
    }
}

fn hex(tables: &[(&str, Vec<u8>)]) -> String {
    let mut out = String::new();
    for (signature, bytes) in tables {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{signature} @ 0x0000000000000000");
        for (n, line) in bytes.chunks(16).enumerate() {
            let numbers: String = line.iter().map(|byte| format!("{byte:02X} ")).collect();
            let printed = |byte: &u8| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            };
            let text: String = line.iter().map(printed).collect();
            let _ = writeln!(out, "    {:04X}: {numbers:<48} {text}", 16 * n);
        }
        out.push('\n');
    }
    out
}

/// What iasl makes of them.
fn source(tables: &[(&str, Vec<u8>)]) -> Result<String, String> {
    let folder = std::env::temp_dir().join(format!("solderless-acpi-{}", std::process::id()));
    let failed = |e: std::io::Error| format!("cannot write to {}: {e}", shown(&folder));
    std::fs::create_dir(&folder).map_err(failed)?;
    let made = tables.iter().try_fold(String::new(), |mut all, table| {
        let (signature, bytes) = table;
        let file = folder.join(format!("{signature}.aml"));
        std::fs::write(&file, bytes).map_err(failed)?;
        let done = Command::new("iasl").arg("-d").arg(&file).output();
        let done = done.map_err(|e| {
            format!("iasl cannot be run ({e}): `apt-get install acpica-tools` gets it; --format hex does without")
        })?;
        let text = std::fs::read_to_string(file.with_extension("dsl"));
        all += &text.map_err(|_| {
            let said = String::from_utf8_lossy(&done.stderr);
            format!("iasl does not take {signature}: {}", said.trim())
        })?;
        Ok(all)
    });
    // It is in a folder for such things.
    let _ = std::fs::remove_dir_all(&folder);
    made
}
