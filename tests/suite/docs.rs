//! Every command and board in the README and the guides works as it stands there.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use solderless::graph::lints::LINTS;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
/// Commands that CI runs itself, or that the machine's owner runs.
const ELSEWHERE: &[&str] = &[
    "cargo run --release -- run malta",
    "sudo apt-get install -y qemu-system-mips qemu-system-x86 acpica-tools gcc-mips-linux-gnu gcc-mipsel-linux-gnu libc6-dev-mipsel-cross make gdb-multiarch e2fsprogs qemu-utils binutils-riscv64-linux-gnu gcc-riscv64-linux-gnu qemu-system-misc && cargo test --workspace",
];

/// What `vmlinuz-*` in a document stands for.
const KERNEL: &str = "vmlinuz-6.1.0-0-4kc-malta";
/// The same where a CPU of 64 bits is asked for.
const KERNEL64: &str = "vmlinuz-6.1.0-0-5kc-malta";

/// The documents, with their text.
fn documents() -> Vec<(String, String)> {
    let root = guests::repository();
    let mut files = vec![root.join("README.md"), root.join("machines/rom/README.md")];
    let docs = fs::read_dir(root.join("docs")).expect("docs");
    files.extend(docs.map(|entry| entry.expect("a file").path()));
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).expect("a document");
        (path.display().to_string(), text)
    };
    files.iter().map(read).collect()
}

/// The fenced blocks of a language in a text.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let blocks = text.split("```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.split_once('\n'));
    blocks
        .filter(|(fence, _)| *fence == language)
        .map(|(_, body)| body)
        .collect()
}

/// A folder that looks like the top of a checkout to a reader of the documents, with the guests in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = guests::repository();
    for name in ["machines", "schemas"] {
        std::os::unix::fs::symlink(root.join(name), folder.path().join(name)).expect("a link");
    }
    if let (Some(linux), Some(uboot)) = (guests::linux(), guests::uboot()) {
        for (file, name) in [
            (&linux.kernel, KERNEL),
            (&linux.initrd, "initrd.gz"),
            (&uboot, "u-boot.bin"),
        ] {
            std::os::unix::fs::symlink(file, folder.path().join(name)).expect("a link");
        }
    }
    let link = |file: &Path, name: &str| {
        let link = folder.path().join(name);
        fs::create_dir_all(link.parent().expect("a folder")).expect("a folder");
        std::os::unix::fs::symlink(file, link).expect("a link");
    };
    if let (Some(linux), Some(uboot)) = (guests::linux64(), guests::uboot64()) {
        link(&linux.kernel, KERNEL64);
        link(&linux.initrd, "mips64el/initrd.gz");
        link(&uboot, "malta64el/u-boot.bin");
    }
    if let Some(riscv) = guests::riscv() {
        for (file, name) in [
            (&riscv.fw_dynamic, "fw_dynamic.bin"),
            (&riscv.fw_jump, "fw_jump.elf"),
            (&riscv.uboot, "qemu-riscv64_smode/u-boot.bin"),
            (&riscv.linux.kernel, "riscv64/linux"),
            (&riscv.linux.initrd, "riscv64/initrd.gz"),
        ] {
            link(file, name);
        }
    }
    folder
}

/// The words of a command line, quotes taken off.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("a word").push(c),
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

fn try_out(line: &str, folder: &Path) {
    let mut words = words(line);
    for word in words.iter_mut().filter(|w| w.contains('*')) {
        *word = match word.contains("5kc") {
            true => KERNEL64.into(),
            false => KERNEL.into(),
        };
    }
    let runs = words.get(1).is_some_and(|w| w == "run");
    let needs_guest = words.iter().any(|w| w == "--kernel" || w == "--firmware");
    let has = |start: &str| words.iter().any(|w| w.starts_with(start));
    let guest = match (has("fw_"), has("malta64")) {
        (true, _) => "fw_jump.elf",
        (_, true) => "malta64el/u-boot.bin",
        _ => "u-boot.bin",
    };
    if needs_guest && !folder.join(guest).exists() {
        return;
    }
    let mut command = Command::new(PROGRAM);
    command.args(&words[1..]).current_dir(folder);
    if runs && !words.iter().any(|w| w == "--max-time") {
        let mut console = Console::start(command);
        console.expect("\n");
        console.signal(Signal::TERM);
        console.wait();
        return;
    }
    let output = command.stdin(Stdio::null()).output().expect("the program");
    let errors = String::from_utf8_lossy(&output.stderr);
    let expected = if runs { 124 } else { 0 };
    assert_eq!(output.status.code(), Some(expected), "{line}\n{errors}");
    // A guest that waits for keys when it was saved has nothing to say.
    let silent = line.contains("file:") || line.contains("--restore");
    assert!(silent || !output.stdout.is_empty(), "{line} prints nothing");
}

#[test]
fn every_command_works_as_written() {
    let folder = folder();
    let mut tried = 0;
    for (document, text) in documents() {
        for line in blocks(&text, "sh").iter().flat_map(|block| block.lines()) {
            let line = line.split(" #").next().unwrap_or(line).trim();
            if line.is_empty() || ELSEWHERE.contains(&line) || line.starts_with("cargo bench") {
                continue;
            }
            if document.ends_with("machines/rom/README.md") && line.starts_with("make") {
                continue; // the test of the ROM builds it
            }
            assert!(
                line.starts_with("solderless "),
                "{document}: no test knows how to run `{line}`"
            );
            try_out(line, folder.path());
            tried += 1;
        }
    }
    assert!(tried > 5, "the documents' commands were not found");
}

/// What the program prints on standard output, with this on its standard input.
fn printed(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("the program");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_board_to_copy_runs_and_takes_kernels() {
    let folder = folder();
    let hello = guests::bare_metal("mipssim.c", Endian::Little, 0x8010_0000);
    for document in ["README.md", "docs/board-format.md"] {
        let text = fs::read_to_string(guests::repository().join(document)).expect("a document");
        let path = folder.path().join("tiny.toml");
        fs::write(&path, blocks(&text, "toml")[0]).expect("a file");
        let path = path.to_string_lossy();
        let limits = ["--deterministic", "--max-time", "20ms"];
        let run = [&["run", &*path], &limits[..]].concat();
        let said = printed(&run, "");
        assert!(said.ends_with("rom> "), "{document}: {said}");
        if let Some(hello) = &hello {
            let kernel = hello.to_string_lossy();
            let said = printed(&[&run[..], &["--kernel", &kernel]].concat(), "");
            assert!(
                !said.is_empty() && !said.contains("ROM"),
                "{document}: {said}"
            );
        }
    }
}

/// A text with `#` for every number.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '.' if out.ends_with('#') => {}
            c if c.is_ascii_digit() => {
                if !out.ends_with('#') {
                    out.push('#');
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[test]
fn samples_are_what_the_program_prints() {
    let mut tried = 0;
    for (document, text) in documents() {
        // The guide has a test of its own.
        if document.ends_with("docs/boards.md") {
            continue;
        }
        for block in blocks(&text, "") {
            if let Some((command, sample)) = block.split_once('\n')
                && let Some(command) = command.strip_prefix("$ solderless ")
            {
                let said = printed(&command.split(' ').collect::<Vec<_>>(), "");
                assert_eq!(said, sample, "{document}: {command}");
                tried += 1;
            } else if let Some((command, sample)) = block.split_once('\n')
                && let Some(command) = command.strip_prefix("(solderless) info ")
            {
                let run = ["run", "malta", "--stopped", "--monitor", "stdio"];
                let said = printed(&run, &format!("info {command}\nquit\n"));
                let said = said.split("(solderless) ").nth(1).expect("an answer");
                let alike = [said, sample].map(without_numbers);
                assert_eq!(alike[0], alike[1], "{document}: {command}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 2, "the samples were not found");
}

#[test]
fn the_reference_of_device_types_is_what_the_program_prints() {
    let mut command = Command::new(PROGRAM);
    let output = command.args(["devices", "--format", "markdown"]).output();
    let output = output.expect("the program");
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).expect("text");
    let path = guests::repository().join("docs/devices.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &printed).expect("the document can be written");
    }
    let document = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        document == printed,
        "docs/devices.md is not what `solderless devices --format markdown` prints; UPDATE=1 rewrites it"
    );
}

#[test]
fn the_warnings_of_the_board_format_are_those_that_there_are() {
    let text = fs::read_to_string(guests::repository().join("docs/board-format.md"));
    let text = text.expect("a document");
    let table = text.split("| warning |").nth(1).expect("the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let names: Vec<_> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    assert_eq!(names, LINTS.map(|(name, _)| name));
}

#[test]
fn the_backends_of_the_guide_are_those_that_there_are() {
    use solderless::backend::forms;
    use solderless_model::SlotKind::{Block, Chardev, Folder, Image, Netdev};
    let guide = fs::read_to_string(guests::repository().join("docs/running.md"));
    let guide = guide.expect("a document");
    let tables = guide
        .split("| backend | what it is |\n| --- | --- |\n")
        .skip(1);
    let tables: Vec<String> = tables
        .map(|text| text.split("\n\n").next().unwrap_or_default().to_owned())
        .collect();
    let expected = [Chardev, Netdev, Block, Folder, Image].map(|kind| {
        let rows = forms(kind).into_iter();
        let rows: Vec<_> = rows
            .map(|it| format!("| `{}` | {} |", it.form, it.about))
            .collect();
        rows.join("\n")
    });
    assert_eq!(tables, expected);
}
