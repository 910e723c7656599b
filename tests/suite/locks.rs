//! Locks: that a released board is what its lock says, whatever becomes of the program and of what the board came from, and that
//! whatever differs is named.

use std::path::{Path, PathBuf};
use std::process::Command;

use solderless::compose::{self, BUILT_IN, BUILT_IN_LOCKS, Loaded, Options};
use solderless::lock::{check, lock};
use solderless_testing::guests;

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");

fn open(board: &str) -> Loaded {
    let loaded = compose::open(Some(board), &Options::default());
    loaded.unwrap_or_else(|e| panic!("{}", e.render(false)))
}

/// The boards that are released.
fn releases() -> impl Iterator<Item = &'static str> {
    let names = BUILT_IN.iter().map(|(name, _)| *name);
    names.filter(|name| name.contains('@'))
}

/// A folder with the boards and chips of the program.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let machines = guests::repository().join("machines");
        for sub in ["", "chips"] {
            let to = folder.path().join(sub);
            std::fs::create_dir_all(&to).expect("a folder");
            for entry in std::fs::read_dir(machines.join(sub)).expect("the boards") {
                let path = entry.expect("a file").path();
                if path.is_file() {
                    std::fs::copy(&path, to.join(path.file_name().expect("a name")))
                        .expect("a copy");
                }
            }
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    /// Puts one text in place of another, which is there once.
    fn replace(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert_eq!(text.matches(from).count(), 1, "{from} in {name}");
        self.write(name, &text.replace(from, to));
    }

    /// What `check` says of a board of it, and whether it is good.
    fn check(&self, name: &str) -> (bool, String) {
        let path = self.path(name);
        let found = check(path.to_str().expect("a path"), &Options::default());
        (found.ok(), found.report.render(false))
    }

    /// Runs the program in it: the status, and what it says.
    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(PROGRAM)
            .args(args)
            .current_dir(self.0.path())
            .env("NO_COLOR", "1")
            .output()
            .expect("the program");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    }
}

/// What a release came to differ in, if the test of it fails.
const FROZEN: &str = "
A released board is another machine than it was: see docs/compatibility.md. A default may change, a property that is new says what it was
before, and a constant that a guest can tell becomes a property. The lock of a release is not written again.";

#[test]
fn every_release_is_what_its_lock_says() {
    let locks: Vec<_> = BUILT_IN_LOCKS.iter().map(|(name, _)| *name).collect();
    assert!(releases().eq(locks), "each has a lock");
    for (name, text) in BUILT_IN_LOCKS {
        let found = check(name, &Options::default());
        let said = found.report.render(false);
        assert!(found.ok() && said.is_empty(), "{said}{FROZEN}");
        let made = lock(&open(name)).expect("devices");
        assert!(made.to_string() == *text, "{name}.lock was written in");
    }
}

#[test]
fn a_release_does_not_change_with_the_board_it_came_from() {
    let folder = Folder::new();
    let whole = folder.read("malta.toml");
    folder.write(
        "malta.toml",
        &whole.replace("victim-tlb = true", "clock = \"1GHz\""),
    );
    for name in releases() {
        let (ok, said) = folder.check(&format!("{name}.toml"));
        assert!(ok && said.is_empty(), "{said}");
    }
    // What a release does come from is another matter.
    folder.replace("chips/piix4.toml", "at = \"chip:.2\"", "at = \"chip:.5\"");
    let (ok, said) = folder.check("malta@3.toml");
    assert!(!ok);
    for text in [
        "`at` of `piix4.usb` is \"gt.pci:0a.5\", and was \"gt.pci:0a.2\"",
        "malta@3.lock:",
    ] {
        assert!(said.contains(text), "{text} in {said}");
    }
}

#[test]
fn what_differs_from_a_lock_is_named_with_its_layer_and_what_pins_it() {
    let folder = Folder::new();
    folder.write("my.toml", "[board]\nname = \"my\"\nextends = \"malta\"\n");
    let (status, out, errors) = folder.run(&["lock", "my.toml"]);
    assert_eq!(
        (status, out.as_str(), errors.as_str()),
        (Some(0), "my.lock: written\n", "")
    );
    let (status, out, _) = folder.run(&["lock", "my.toml"]);
    assert_eq!(
        (status, out.as_str()),
        (Some(0), "my.lock: nothing has changed\n")
    );
    assert!(folder.check("my.toml").0);

    folder.replace(
        "malta.toml",
        "victim-tlb = true",
        "victim-tlb = true\nclock = \"50MHz\"",
    );
    let (status, out, said) = folder.run(&["check", "my.toml"]);
    assert_eq!((status, out.as_str()), (Some(2), ""));
    for text in [
        "lock-differs",
        "`cpu.clock` is \"50MHz\", and was \"320MHz\"",
        "my.lock has it so",
        "malta.toml:",
        "this pins it: [dev.cpu.mips32-cpu] clock = \"320MHz\"",
    ] {
        assert!(said.contains(text), "{text} in {said}");
    }
    folder.write(
        "my.toml",
        "[board]\nname = \"my\"\nextends = \"malta\"\n[dev.cpu.mips32-cpu]\nclock = \"320MHz\"\n",
    );
    assert!(folder.check("my.toml").0, "it is pinned");

    // A device more, one less, and a line that leads elsewhere.
    folder.write(
        "my.toml",
        "[board]\nname = \"my\"\nextends = \"malta\"\ndelete = [\"dev.slot4\"]\n[dev.cpu.mips32-cpu]\nclock = \"320MHz\"\n\
         [dev.more]\nat = \"sys:0x1d000000\"\n[dev.more.ram]\nsize = \"64KiB\"\n[dev.com2]\nirq.intr = \"piix4[irq.7]\"\n",
    );
    let (_, said) = folder.check("my.toml");
    for text in [
        "`more` is new",
        "`delete = [\"dev.more\"]`",
        "`slot4` is gone",
        "com2.intr",
    ] {
        assert!(said.contains(text), "{text} in {said}");
    }
    assert_eq!(said.matches("` is new").count(), 1, "{said}");
    let (status, out, _) = folder.run(&["lock", "my.toml"]);
    assert_eq!(status, Some(0));
    for text in [
        "+ device more",
        "- device slot4",
        "-   com2.intr → piix4.pic.in[3]",
    ] {
        assert!(out.contains(text), "{text} in {out}");
    }
    assert!(folder.check("my.toml").0, "it was meant");
}

#[test]
fn a_lock_that_is_none_is_refused() {
    let folder = Folder::new();
    folder.write("my.toml", "[board]\nname = \"my\"\nextends = \"malta\"\n");
    for (text, wanted) in [
        ("[lock\n", "this is not TOML"),
        ("", "my.lock is no lock that this program knows"),
        (
            "[lock]\nformat = 2\n",
            "my.lock is no lock that this program knows",
        ),
        (
            "[lock]\nformat = 1\nneeds = [\"cpu.vector\"]\n",
            "needs `cpu.vector`, of which this program knows nothing",
        ),
    ] {
        folder.write("my.lock", text);
        for command in [
            &["check", "my.toml"][..],
            &["run", "./my.toml"],
            &["lock", "my.toml"],
        ] {
            let (status, out, said) = folder.run(command);
            assert_eq!((status, out.as_str()), (Some(2), ""), "{command:?}: {said}");
            let said: Vec<_> = said.split_whitespace().collect();
            assert!(said.join(" ").contains(wanted), "{wanted} in {said:?}");
        }
    }
    for (args, wanted) in [
        (&["lock", "malta"][..], "malta is no board's file"),
        (&["lock", "none.toml"], "cannot read ./none.toml"),
        (&["lock", "chips/piix4.toml"], "is a chip, not a board"),
    ] {
        let (status, out, said) = folder.run(args);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    assert!(!Path::new(&folder.path("none.lock")).exists());
}

#[test]
fn the_lock_of_a_release_is_not_written_again() {
    let folder = Folder::new();
    let before = folder.read("malta@3.lock");
    folder.replace("malta@3.toml", "victim-tlb = true", "victim-tlb = false");
    let (status, _, said) = folder.run(&["lock", "malta@3.toml"]);
    assert_eq!(status, Some(2));
    assert!(said.contains("malta@3.lock is that of a release"), "{said}");
    assert_eq!(folder.read("malta@3.lock"), before);
    std::fs::remove_file(folder.path("malta@3.lock")).expect("it is there");
    let (ok, said) = folder.check("malta@3.toml");
    assert!(ok && said.contains("malta@3 has no lock"), "{said}");
}
