//! Debian's U-Boot for the Malta board, beside the same image in QEMU.

use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "maltael # ";

fn start(emulator: Emulator, image: &std::path::Path) -> Console {
    Console::start(emulator.ram(256).firmware(image, Endian::Little).command())
}

#[test]
fn uboot_works_as_in_qemu_and_saves_its_environment() {
    let Some(image) = guests::uboot() else { return };
    let Some(qemu) = Emulator::qemu(Endian::Little) else {
        return;
    };
    let mut ours = start(Emulator::ours(PROGRAM, Endian::Little), &image);
    let mut theirs = start(qemu, &image);
    let (here, there) = (ours.expect(PROMPT), theirs.expect(PROMPT));
    assert_eq!(here, there);

    for command in [
        "version",
        "bdinfo",
        "coninfo",
        "printenv",
        "pci 0",
        "pci header 0.a.1",
        "flinfo",
        "md.l bfc00000 20",
        "md.l bfc00500 10",
        "md.l be000000 10",
        "md.b b80003f8 8",
        "md.b b0000000 10",
        "md.l b1000000 4",
        "md.l bf000200 6",
        "ide reset",
        "dm tree",
        "protect off 1:60-61",
        "erase 1:60-61",
        "mw.l 81000000 12345678 4",
        "cp.l 81000000 be3c0000 4",
        "md.l be3c0000 8",
        "cmp.l 81000000 be3c0000 4",
        "mw.b 81000000 5a 100",
        "cp.b 81000000 be3d0002 100",
        "md.w be3d0000 90",
        "crc32 be000000 40000",
    ] {
        let (here, there) = (ours.run(command, PROMPT), theirs.run(command, PROMPT));
        assert_eq!(here, there, "{command}");
    }

    // QEMU 7.2 cannot do this one: its flash knows no buffer writes of this size.
    assert_eq!(ours.run("setenv greeting good morning", PROMPT), "");
    let saved = ours.run("saveenv", PROMPT);
    assert!(
        saved.contains("Writing to Flash") && saved.contains("done") && saved.ends_with("OK\n"),
        "{saved}"
    );
    ours.send("reset\r");
    let again = ours.expect(PROMPT);
    assert!(
        again.contains("U-Boot 2023") && !again.contains("bad CRC"),
        "{again}"
    );
    assert_eq!(
        ours.run("printenv greeting", PROMPT),
        "greeting=good morning\n"
    );
    // What was copied to the flash survived as well.
    assert!(
        ours.run("md.l be3c0000 2", PROMPT)
            .contains("be3c0000: 12345678 12345678")
    );
}

/// Commands that print for ever, or for minutes.
const ENDLESS: [&str; 2] = [
    "while true; do echo looping; done",
    "md.l 0x80000000 0x400000",
];

#[test]
fn ctrl_c_is_heard_while_the_guest_prints() {
    let Some(image) = guests::uboot() else { return };
    let mut console = start(Emulator::ours(PROGRAM, Endian::Little), &image);
    console.expect(PROMPT);
    for (command, printed) in ENDLESS.iter().zip(["looping\r\n", "80000200: "]) {
        console.send(&format!("{command}\r"));
        console.expect(printed);
        console.send("\x03");
        let rest = console.expect(PROMPT);
        assert!(!rest.contains("80fffff0: "), "it has come to its end");
        assert_eq!(console.run("echo \"well\"done", PROMPT), "welldone\n");
    }
}

#[test]
fn a_script_is_piped_in_whole_and_its_ctrl_c_comes_when_the_guest_looks() {
    let Some(image) = guests::uboot() else { return };
    let run = || {
        let emulator = Emulator::ours(PROGRAM, Endian::Little).firmware(&image, Endian::Little);
        let args = ["--deterministic", "--no-reboot", "--state-hash"];
        let mut console = Console::start(emulator.ram(256).args(args).command());
        // The first character ends the countdown to the start of a system.
        console.send(" ");
        for command in ENDLESS {
            console.send(&format!("{command}\r\x03"));
        }
        console.send(&"echo \"well\"done\r".repeat(20));
        console.send("reset\r");
        console.close_input();
        let ended = console.wait();
        assert_eq!(ended.code(), Some(0), "{}", ended.output);
        (ended.output, ended.errors)
    };
    let (output, state) = run();
    assert_eq!(output.matches("welldone\r").count(), 20, "{output}");
    assert_eq!((output, state), run());
}

#[test]
fn a_reset_ends_the_program_where_that_is_wanted() {
    let Some(image) = guests::uboot() else { return };
    let emulator = Emulator::ours(PROGRAM, Endian::Little).firmware(&image, Endian::Little);
    let mut console = Console::start(emulator.args(["--no-reboot"]).command());
    console.expect(PROMPT);
    console.send("reset\r");
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn both_word_orders_of_an_image_boot() {
    let Some(image) = guests::uboot() else { return };
    let bytes = std::fs::read(&image).expect("the image can be read");
    let turned: Vec<u8> = bytes
        .chunks(4)
        .flat_map(|word| word.iter().rev().copied())
        .collect();
    let path = guests::cache().join(format!("u-boot-turned-{}.bin", std::process::id()));
    std::fs::write(&path, turned).expect("the cache can be written to");
    let emulator = Emulator::ours(PROGRAM, Endian::Little).firmware(&path, Endian::Little);
    let mut console = Console::start(emulator.command());
    console.expect(PROMPT);
    std::fs::remove_file(path).expect("the file is there");
}

/// A memory with an image of U-Boot, in either order of its words.
fn flash(image: &std::path::Path, folder: &std::path::Path, turned: bool) -> std::path::PathBuf {
    let mut bytes = std::fs::read(image).expect("an image");
    if turned {
        bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    }
    let flash = folder.join("flash.img");
    std::fs::write(&flash, bytes).expect("a file");
    flash
}

#[test]
fn what_is_saved_to_flash_is_there_the_next_time_if_that_is_wanted() {
    let Some(image) = guests::uboot() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for turned in [false, true] {
        let flash = flash(&image, folder.path(), turned);
        let run = |options: &str, commands: &[&str]| {
            let backend = format!("bios=file:{}{options}", flash.display());
            let emulator = Emulator::ours(PROGRAM, Endian::Little).ram(256);
            let mut console = Console::start(emulator.args(["--backend", &backend]).command());
            console.expect(PROMPT);
            let answers = commands.iter().map(|c| console.run(c, PROMPT)).collect();
            console.signal(rustix::process::Signal::TERM);
            let ended = console.wait();
            let answers: Vec<String> = answers;
            (answers, ended.errors)
        };
        let before = std::fs::read(&flash).expect("it is there");
        let save = ["setenv greeting good morning", "saveenv"];
        let (_, errors) = run("", &save);
        assert_eq!(std::fs::read(&flash).expect("it is there"), before);
        let told = "`--backend bios=file:PATH,write` keeps it in the file";
        assert_eq!(errors.matches(told).count(), 1, "{errors}");
        let (_, errors) = run(",write", &save);
        assert_eq!(errors, "");
        let after = std::fs::read(&flash).expect("it is there");
        assert!(after.starts_with(&before) && after.len() > before.len());
        let (answers, errors) = run(",write", &["printenv greeting"]);
        assert_eq!((&*answers[0], &*errors), ("greeting=good morning\n", ""));
        assert_eq!(std::fs::read(&flash).expect("it is there"), after);
    }
}

#[test]
fn a_file_that_cannot_keep_what_flash_has_is_refused() {
    let Some(image) = guests::uboot() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let flash = flash(&image, folder.path(), false);
    let bios = format!("bios=file:{},write", flash.display());
    let snap = format!("file:{}", folder.path().join("a.snap").display());
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(PROGRAM);
        command
            .args(["run", "malta", "--max-time", "10ms"])
            .args(args);
        command.args(["--backend", "serial0=null", "--backend", &bios]);
        let output = command.output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), errors)
    };
    assert_eq!(run(&["--save-on-exit", &snap]).0, Some(124));
    assert_eq!(run(&["--restore", &snap]).0, Some(124));
    let mut other = std::process::Command::new(PROGRAM);
    other.args([
        "run",
        "malta",
        "--backend",
        "serial0=pty",
        "--backend",
        &bios,
    ]);
    let other = other
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    let mut other = other.spawn().expect("it runs");
    // It says where the terminal is once it has the file.
    let said = other.stderr.as_mut().expect("a pipe");
    std::io::Read::read_exact(said, &mut [0]).expect("it says so");
    let (status, errors) = run(&[]);
    assert_eq!(status, Some(2));
    assert!(errors.contains("another machine has it"), "{errors}");
    other.kill().expect("it runs");
    other.wait().expect("it ends");
    // What is there is not what the saved machine has.
    let mut bytes = std::fs::read(&flash).expect("it is there");
    bytes[1000] ^= 1;
    std::fs::write(&flash, &bytes).expect("a file");
    let (status, errors) = run(&["--restore", &snap]);
    assert_eq!(status, Some(2));
    assert!(
        errors.contains("has not what the machine has there"),
        "{errors}"
    );
    assert_eq!(std::fs::read(&flash).expect("it is there"), bytes);
    let gone = format!("bios=file:{}/gone,write", folder.path().display());
    let output = std::process::Command::new(PROGRAM)
        .args(["run", "malta", "--backend", &gone])
        .output();
    assert_eq!(output.expect("it runs").status.code(), Some(2));
}
