//! Locks: that a released board is what its lock says, whatever becomes of the program and of what the board came from, and that
//! whatever differs is named.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use solderless::board::tree::get;
use solderless::compose::{self, BUILT_IN, BUILT_IN_LOCKS, Loaded, Options};
use solderless::lock::{Kept, check, lock, matrix, with_params};
use solderless::machine::{Fittings, Machine};
use solderless::plan::PlannedDevice;
use solderless::registry::{Entry, TYPES};
use solderless::state::payload::show;
use solderless::state::{Description, Stream, stream};
use solderless::toml;
use solderless_model::testing::Bench;
use solderless_model::{Wires, Writer};
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
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
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

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    /// Puts one text in place of another, which is there once.
    pub fn replace(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert_eq!(text.matches(from).count(), 1, "{from} in {name}");
        self.write(name, &text.replace(from, to));
    }

    /// What `check` says of a board of it, and whether it is good.
    pub fn check(&self, name: &str) -> (bool, String) {
        let path = self.path(name);
        let found = check(path.to_str().expect("a path"), &Options::default());
        (found.ok(), found.report.render(false))
    }

    /// Runs the program in it: the status, and what it says.
    pub fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
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
        // What its files were at the time stays written there, also when a change to one moves nothing.
        let said = |text: &str| {
            let parts = text.split_inclusive("\n\n");
            let kept = parts.filter(|part| !part.starts_with("[from]"));
            kept.collect::<String>()
        };
        assert_eq!(text.matches("\n[from]\n").count(), 1);
        let made = made.to_string();
        assert!(said(&made) == said(text), "{name}.lock was written in");
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
        (
            "[lock]\nformat = 1\nneeds = \"x\"\n",
            "expected a list of cargo features",
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

/// The same value with the least difference that there is.
fn other(value: &Value) -> Value {
    match value {
        Value::Bool(truth) => (!truth).into(),
        Value::Number(number) => match number.as_u64() {
            Some(0) | None => 1.into(),
            Some(number) => (number - 1).into(),
        },
        Value::Array(_) => serde_json::json!([1]),
        _ => Value::Null,
    }
}

/// Whether the board has the property of a device from its type's default.
fn is_default(loaded: &Loaded, device: &PlannedDevice, property: &str) -> bool {
    let kind = device.entry.name;
    let says = |path: &[&str]| get(&loaded.board.root, path).is_some();
    !says(&["dev", &device.path, kind, property]) && !says(&["defaults", kind, property])
}

/// As many words of a property as may be the least different: what the type takes of them.
fn mutants(kind: &Entry, property: &str, value: &Value) -> Vec<Value> {
    let schema = (kind.schema)().to_value();
    let numbers = [1, 2, 4, 8, 16, 32].map(Value::from);
    let texts = ["4KEc", "big", "little", "64KiB", "1MiB", "1MHz", "200MHz"].map(Value::from);
    let tried = [other(value), true.into()]
        .into_iter()
        .chain(numbers)
        .chain(texts);
    let tried = tried.filter(|other| other != value);
    let takes = tried.filter(|other| {
        let set = serde_json::json!({ property: other });
        (kind.decode)(&set).is_ok_and(|props| {
            props.get(property) == Some(other) && (other.is_null() || props.interface().is_ok())
        })
    });
    let takes: Vec<_> = takes.take(1).collect();
    assert!(!takes.is_empty(), "{}.{property}: {schema:#}", kind.name);
    takes
}

/// The program's default of each property, one at a time, is another than the lock's: no release becomes another machine.
#[test]
fn no_default_that_changes_changes_a_release() {
    let folder = Folder::new();
    let (mut tried, mut absorbed) = (0, 0);
    for name in releases() {
        let board = format!("{name}.toml");
        let path = folder.path(&board);
        let path = path.to_str().expect("a path").to_owned();
        let plain = open(name);
        let text = folder.read(&format!("{name}.lock"));
        let mut kinds: Vec<_> = plain.plan.devices.iter().map(|d| d.entry).collect();
        kinds.sort_by_key(|kind| kind.name);
        kinds.dedup_by_key(|kind| kind.name);
        for kind in kinds {
            let header = format!("[defaults.{}]\n", toml::key(kind.name));
            for (property, value) in (kind.defaults)().all() {
                for other in mutants(kind, property, value) {
                    // As if the program had come to another default since: what it has now is new to the lock.
                    let (head, tail) = text.split_once(&header).expect("the type is in it");
                    let (own, tail) = tail.split_once("\n\n").expect("more tables");
                    let lines = own.lines().map(|line| {
                        let its = line.starts_with(&format!("{} = ", toml::key(property)));
                        let written = if other.is_null() {
                            "{}".to_owned()
                        } else {
                            toml::json(&other)
                        };
                        if its {
                            format!("{} = {written}\n", toml::key(property))
                        } else {
                            format!("{line}\n")
                        }
                    });
                    let lines: String = lines.collect();
                    folder.write(
                        &format!("{name}.lock"),
                        &format!("{head}{header}{lines}\n{tail}"),
                    );
                    let loaded = compose::open(Some(&path), &Options::default());
                    let loaded = loaded
                        .unwrap_or_else(|e| panic!("{kind:?}.{property}: {}", e.render(false)));
                    for (device, before) in loaded.plan.devices.iter().zip(&plain.plan.devices) {
                        if device.entry != kind {
                            continue;
                        }
                        let wanted = match is_default(&plain, before, property) {
                            true => &other,
                            false => before.props.get(property).expect("it has it"),
                        };
                        absorbed += usize::from(*wanted == other);
                        let found = device.props.get(property);
                        assert_eq!(found, Some(wanted), "{}.{property} of {name}", device.path);
                    }
                    tried += 1;
                }
            }
        }
        folder.write(&format!("{name}.lock"), &text);
    }
    assert!(tried > 100 && absorbed > 100, "{tried} {absorbed}");
}

/// Each property is as if it were newer than the locks: it says what it was before, or is an error of every release.
#[test]
fn a_property_that_is_new_says_what_it_was_before() {
    let folder = Folder::new();
    let name = "malta@3";
    let text = folder.read("malta@3.lock");
    let plain = open(name);
    let mut known = 0;
    for kind in TYPES {
        if !plain.plan.devices.iter().any(|device| device.entry == kind) {
            continue;
        }
        for (property, _) in (kind.defaults)().all() {
            let table = format!("[defaults.{}]\n", toml::key(kind.name));
            let (head, tail) = text.split_once(&table).expect("the type is in it");
            let line = tail
                .lines()
                .find(|line| line.starts_with(&format!("{} = ", toml::key(property))));
            let tail = tail.replacen(&format!("{}\n", line.expect("it is in it")), "", 1);
            folder.write("malta@3.lock", &format!("{head}{table}{tail}"));
            let (ok, said) = folder.check("malta@3.toml");
            match (kind.before)(property) {
                Some(_) => {
                    assert!(ok, "{said}");
                    known += 1;
                }
                None => {
                    let wanted = format!("`{property}` of {} is newer than", kind.name);
                    assert!(
                        !ok && said.contains("no-history") && said.contains(&wanted),
                        "{said}"
                    );
                }
            }
        }
    }
    assert!(known > 0, "none has a history");
    // And one that a lock has and no type has any more.
    folder.write(
        "malta@3.lock",
        &text.replace("[defaults.ram]\n", "[defaults.ram]\nspeed = 3\n"),
    );
    let (ok, said) = folder.check("malta@3.toml");
    assert!(
        !ok && said.contains("property-gone") && said.contains("ram has no property `speed`"),
        "{said}"
    );
}

/// Every release into every other, and every machine that was kept into every release: what `compat` says is what the load
/// does.
#[test]
fn the_matrix_says_what_the_load_does() {
    let folders = ["machines", "tests/streams"].map(|name| guests::repository().join(name));
    let kept = Kept::find(&folders).expect("boards");
    let options = Options::default();
    let said = matrix(&kept, &options);
    assert!(said.boards.iter().map(String::as_str).eq(releases()));
    assert_eq!(said.rows.len(), kept.boards.len() + kept.streams.len());
    let machines = kept.boards.iter().map(|(name, _)| {
        let loaded = open(name);
        let machine = Machine::new(&loaded.plan, Fittings::default()).expect("a machine");
        let description = Description::new(&loaded);
        let sections = machine
            .save(description.about.state)
            .expect("its version holds it");
        let mut bytes = Vec::new();
        stream::write(&mut bytes, &description, &sections, &mut |_, _| {}).expect("memory");
        (name.clone(), bytes)
    });
    let streams = kept.streams.iter().map(|(name, path)| {
        let mut stream = Vec::new();
        let file = Command::new("gzip")
            .arg("-dc")
            .arg(path)
            .output()
            .expect("gzip");
        stream.extend(file.stdout);
        (name.clone(), stream)
    });
    let (mut loads, mut refusals) = (0, 0);
    for ((name, bytes), (row, cells)) in machines.chain(streams).zip(&said.rows) {
        assert_eq!(name, *row);
        for ((board, path), reasons) in kept.boards.iter().zip(cells) {
            let stream = Stream::read(&mut &bytes[..], &mut |_, _| {}).expect("a stream");
            let own = stream
                .board(&options)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let into = with_params(path, &own.plan, &options).expect("a board");
            let built = stream.build(&own.plan, &into.plan, Fittings::default());
            match (built, reasons.is_empty()) {
                (Ok(_), true) => loads += 1,
                (Err(_), false) => refusals += 1,
                (Ok(_), false) => {
                    panic!("{name} loads into {board}, and is said not to: {reasons:?}")
                }
                (Err(e), true) => panic!("{name} is said to load into {board}: {e}"),
            }
            // What was kept of a version loads into it, whatever else.
            let own = name.split('.').next().is_some_and(|version| {
                version == board || version.starts_with(&format!("{board}-"))
            });
            assert!(!own || reasons.is_empty(), "{name}: {reasons:?}{FROZEN}");
        }
    }
    // One that was kept of a board without a version fits none of them.
    let unreleased = said.rows.iter().filter(|(name, _)| !name.contains('@'));
    assert!(
        loads + unreleased.count() >= said.rows.len() && refusals > 0,
        "{loads} {refusals}"
    );
}

#[test]
fn a_release_is_the_board_whole_and_says_what_is_new() {
    let folder = Folder::new();
    let whole = folder
        .read("malta.toml")
        .replace("name = \"malta\"", "name = \"mine\"");
    folder.write("mine.toml", &whole);
    let (status, out, errors) = folder.run(&["release", "mine.toml"]);
    let wanted = "mine@1.toml, mine@1.lock: written\n";
    assert_eq!(
        (status, out.as_str(), errors.as_str()),
        (Some(0), wanted, "")
    );
    let (status, out, errors) = folder.run(&["release", "mine.toml"]);
    assert_eq!((status, errors.as_str()), (Some(1), ""), "{out}");
    assert!(out.contains("mine is what mine@1 is"), "{out}");
    folder.write(
        "mine.toml",
        &whole.replace("victim-tlb = true", "clock = \"200MHz\""),
    );
    let (status, out, errors) = folder.run(&["release", "mine.toml"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    for text in [
        "mine@1 → mine@2",
        "-   clock = \"320MHz\"\n+   clock = \"200MHz\"",
        "-   part victims",
        "mine@2.toml, mine@2.lock: written",
    ] {
        assert!(out.contains(text), "{text} in {out}");
    }
    // It has its name, and neither the board nor the chip that it came from has a say in it.
    folder.write("mine.toml", "[board]\nname = \"mine\"\n");
    folder.write("chips/piix4.toml", "[interface]\nname = \"piix4\"\n");
    let (status, out, errors) = folder.run(&["check", "./mine@2.toml"]);
    let wanted = "./mine@2.toml: ok\n";
    assert_eq!(
        (status, out.as_str(), errors.as_str()),
        (Some(0), wanted, "")
    );
    let (_, out, _) = folder.run(&["diff", "malta@3", "./mine@2.toml", "--guest"]);
    assert!(out.contains("clock") && !out.contains("name ="), "{out}");
    let (status, out, _) = folder.run(&["diff", "malta@3", "malta@3", "--guest"]);
    assert_eq!((status, out.as_str()), (Some(0), ""));
    for (args, wanted) in [
        (&["release", "malta@3"][..], "malta@3 is a release already"),
        (&["release", "no-board"], "there is no board `no-board`"),
        (
            &["compat", "--matrix", "chips"],
            "no board with a version (NAME@N.toml) is in chips",
        ),
        (&["compat", "--matrix", "none"], "cannot read none"),
        (&["compat", "malta"], "required arguments"),
        // A name without a folder is one in the program.
        (&["diff", "malta@3", "mine@2", "--guest"], "`./mine@2.toml`"),
    ] {
        let (status, out, said) = folder.run(args);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
}

/// Every piece of what a device has in its state after a reset is another, one at a time: the lock of every release that has the
/// device would say so.
#[test]
fn no_reset_value_in_state_changes_unseen() {
    let mut tried = 0;
    for name in releases() {
        let loaded = open(name);
        let held = lock(&loaded).expect("devices");
        for device in &loaded.plan.devices {
            let images = vec![None; device.interface.slots.len()];
            let built = device.props.build(Wires::new(&device.parts, &images));
            let bench = Bench::holding(built.expect("a device"), (*device.interface).clone());
            let version = loaded.plan.state_version();
            let mut out = Writer::new(version);
            out.section("", &*bench.dev);
            let parts = (*device.parts).clone().at(version);
            let contents = (device.entry.contents)(&parts, &[]);
            for section in out.finish().expect("its version holds it") {
                let path = ["dev", &device.path, "reset"];
                let table = held.tables.iter().find(|(known, _)| known[..] == path);
                let (_, content) = contents
                    .iter()
                    .find(|(p, _)| *p == section.path)
                    .expect("it is in the layout");
                let lines = show(&section, content).expect("it is of its layout");
                let apart = 1 + section.payload.len() / 128;
                for (at, byte) in section.payload.iter().enumerate().step_by(apart) {
                    let mut other = section.clone();
                    other.payload[at] = byte ^ 1;
                    // What is no value at all is no constant either.
                    let Ok(changed) = show(&other, content) else {
                        continue;
                    };
                    assert_ne!(lines, changed, "{}: byte {at}", device.path);
                    // The lock has each line, or that it is nothing.
                    for ((field, before), _) in lines.iter().zip(&changed).filter(|(a, b)| a != b) {
                        let part = section
                            .path
                            .strip_prefix('.')
                            .map(|part| format!("{part}."));
                        let key = format!("state.{}{field}", part.unwrap_or_default());
                        let said = table
                            .and_then(|(_, values)| values.get(&key))
                            .and_then(Value::as_str);
                        let nothing = ["0x0", "0", "false", "none", "[]"]
                            .contains(&before.as_str())
                            || before.starts_with("[0 ×");
                        match said {
                            None => assert!(nothing, "{}: {key} = {before}", device.path),
                            Some(text) => assert!(
                                text == before || text.starts_with("xxh3 "),
                                "{key} = {before}"
                            ),
                        }
                    }
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}
