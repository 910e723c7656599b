//! Ten mistakes that made saved machines of a well-known emulator useless, made here in a small device or board, and what stops
//! each (docs/compatibility.md). What the compiler stops is in `compiler`, and tried by devices/model/tests/compiler.rs.

#[path = "../mutants/src/constants.rs"]
mod constants;

use std::collections::BTreeMap;

use solderless::state::fit::fit;
use solderless::state::layout::SectionLayout;
use solderless::state::{Layout, Stream};
use solderless_model::{Describe, Parts, State, contents};

use solderless_testing::guests;

use crate::locks::Folder;
use constants::{Constant, constants, is_name};

/// What a device of some parts saves.
type Saves = fn(&Parts) -> solderless_model::Contents;

/// The layout of a machine of these devices, at a state version.
fn layout(devices: &[(&str, &str, Saves)], version: u32) -> Layout {
    let mut layout = Layout {
        sections: Vec::new(),
        types: Vec::new(),
    };
    for (path, model, contents) in devices {
        for (part, content) in contents(&Parts::default().at(version)) {
            layout.sections.push(SectionLayout {
                path: format!("{path}{part}"),
                model: (*model).to_owned(),
                version: 1,
                content: layout.types.len(),
            });
            layout.types.push(content);
        }
    }
    layout
}

fn of<T: Describe>(parts: &Parts) -> solderless_model::Contents {
    contents::<T>(parts, &[])
}

fn refusals(saved: &Layout, wanted: &Layout) -> Vec<String> {
    let misfits = fit(saved, wanted).map(drop).err().unwrap_or_default();
    misfits.iter().map(ToString::to_string).collect()
}

/// A board of a version, with its lock, and a folder for it.
fn released() -> Folder {
    let folder = Folder::new();
    folder.write(
        "tiny.toml",
        "[board]\nname = \"tiny\"\n\n[dev.cpu]\nat = \"sys\"\n[dev.cpu.mips32-cpu]\n\n[dev.ram]\nat = \"sys:0\"\n[dev.ram.ram]\n\n\
         [dev.flash]\nat = \"sys:0x1fc00000\"\n[dev.flash.\"cfi.pflash01\"]\n\n[allow.empty-slot]\n\"flash.image\" = \"a test\"\n",
    );
    let (status, _, said) = folder.run(&["release", "tiny.toml"]);
    assert_eq!(status, Some(0), "{said}");
    let (ok, said) = folder.check("tiny@1.toml");
    assert!(ok, "{said}");
    folder
}

/// (1) State of a part that the build lacks is walked: besides the compiler, a lock that needs what the build lacks is refused.
#[test]
fn state_of_a_part_that_is_not_there_is_not_walked() {
    let folder = released();
    folder.replace("tiny@1.lock", "needs = []", "needs = [\"extended-ram\"]");
    let (status, _, said) = folder.run(&["run", "./tiny@1.toml", "--max-time", "1ms"]);
    assert_eq!(status, Some(2));
    assert!(
        said.contains("feature-not-there") && said.contains("`extended-ram`"),
        "{said}"
    );
}

/// (3) A flag of compatibility is forgotten on one of several machines: there is none to forget. A default that changes changes no release,
/// and a property that is new has no release that it could be forgotten on.
#[test]
fn no_release_is_forgotten_when_a_default_changes() {
    let folder = released();
    for name in ["tiny@1", "malta@1", "malta@2", "malta@3"] {
        // The program is one in which the default was another when the board was released.
        folder.replace(
            &format!("{name}.lock"),
            "[defaults.ram]\nsize = \"128MiB\"",
            "[defaults.ram]\nsize = \"64MiB\"",
        );
    }
    let (_, out, _) = folder.run(&["explain", "./tiny@1.toml", "ram.size"]);
    assert!(out.starts_with("dev.ram.ram.size = \"64MiB\""), "{out}");
    // Malta's size is its own.
    for name in ["malta@1", "malta@2", "malta@3"] {
        let (ok, said) = folder.check(&format!("{name}.toml"));
        assert!(ok, "{said}");
    }
}

#[derive(State)]
struct Chip {
    count: u32,
    memory: [u8; 16],
}

#[derive(State)]
struct Half {
    count: u32,
}

#[derive(State)]
struct Other {
    memory: [u8; 16],
}

/// (4) State is saved twice after a device was split in two.
#[test]
fn a_device_that_is_split_saves_nothing_twice() {
    let before = layout(&[("rtc", "rtc", of::<Chip>)], 1);
    let after = layout(
        &[("rtc", "rtc", of::<Half>), ("nvram", "nvram", of::<Other>)],
        1,
    );
    assert_eq!(
        refusals(&before, &after),
        [
            "rtc: memory: the saved state has it, and nothing here takes it",
            "nvram: the saved state has no such section",
        ]
    );
    // One that saved it in both halves under one name is refused by whoever reads it.
    let twice = layout(&[("rtc", "rtc", of::<Chip>), ("rtc", "rtc", of::<Chip>)], 1);
    assert_eq!(
        refusals(&twice, &before),
        ["rtc: the saved state has the section twice"]
    );
    // On a board, the second half is a device that the release did not have.
    let folder = released();
    let board = folder.read("tiny@1.toml");
    folder.write(
        "tiny@1.toml",
        &format!(
            "{board}\n[dev.nvram]\nat = \"sys:0x18000000\"\n[dev.nvram.ram]\nsize = \"4KiB\"\n"
        ),
    );
    let (ok, said) = folder.check("tiny@1.toml");
    assert!(!ok && said.contains("`nvram` is new"), "{said}");
}

#[derive(State)]
struct Grown {
    count: u32,
    memory: [u8; 16],
    loopback: bool,
}

#[derive(State)]
struct GrownWell {
    count: u32,
    memory: [u8; 16],
    #[state(since = 2, default = false)]
    loopback: bool,
}

/// (5) New state without condition under old machines.
#[test]
fn new_state_does_not_get_under_old_machines() {
    let released = layout(&[("chip", "chip", of::<Chip>)], 1);
    let grown = layout(&[("chip", "chip", of::<Grown>)], 1);
    assert_eq!(
        refusals(&released, &grown),
        ["chip: loopback: the saved state does not have it, and no default is declared"]
    );
    let well = layout(&[("chip", "chip", of::<GrownWell>)], 1);
    assert!(
        refusals(&released, &well).is_empty(),
        "an old machine saves what it saved"
    );
    assert!(refusals(&well, &released).is_empty());
    let newest = layout(&[("chip", "chip", of::<GrownWell>)], 2);
    assert!(refusals(&released, &newest).is_empty());
    assert_eq!(
        refusals(&newest, &released),
        ["chip: loopback: the saved state has it, and nothing here takes it"]
    );
    // A release's lock has the layout.
    let folder = self::released();
    folder.replace("tiny@1.lock", "  \"locked: ", "  \"locks: ");
    let (ok, said) = folder.check("tiny@1.toml");
    assert!(
        !ok && said.contains("what `flash` saves is not as it was"),
        "{said}"
    );
}

/// (7) A register's new default is not tied to the version.
#[test]
fn a_reset_value_does_not_change_under_a_release() {
    let folder = released();
    folder.replace(
        "tiny@1.lock",
        "\"cpu.prid\" = \"00019300\"",
        "\"cpu.prid\" = \"00019301\"",
    );
    let (ok, said) = folder.check("tiny@1.toml");
    assert!(!ok, "{said}");
    for text in [
        "`cpu.prid` of `cpu` after a reset is \"00019300\", and was \"00019301\"",
        "tiny@1.lock",
    ] {
        assert!(said.contains(text), "{text} in {said}");
    }
}

/// (8) A feature flag in the wrong version's table: no table says what a version has, but the lock of the version. What `since` says of a
/// property does not decide anything.
#[test]
fn what_a_release_has_is_in_its_own_lock_alone() {
    let folder = released();
    // With the property in the lock, its value there counts; without, what it says that it was before.
    folder.replace(
        "tiny@1.lock",
        "victim-tlb = false\nuser-local = {}\nfpu = {}\nicache-size = {}\nicache-line = {}\nicache-ways = {}\ndcache-size = {}\n\
         dcache-line = {}\ndcache-ways = {}\nbig-endian = false\ncpu-num = 0\nclock = \"320MHz\"\n\n[defaults.ram]",
        "victim-tlb = true\nuser-local = {}\nfpu = {}\nicache-size = {}\nicache-line = {}\nicache-ways = {}\ndcache-size = {}\n\
         dcache-line = {}\ndcache-ways = {}\nbig-endian = false\ncpu-num = 0\nclock = \"320MHz\"\n\n[defaults.ram]",
    );
    let (_, out, _) = folder.run(&["explain", "./tiny@1.toml", "cpu.victim-tlb"]);
    assert!(
        out.starts_with("dev.cpu.mips32-cpu.victim-tlb = true"),
        "{out}"
    );
    assert!(out.contains("tiny@1.lock:"), "{out}");
    let (ok, said) = folder.check("tiny@1.toml");
    assert!(
        !ok && said.contains("`cpu.victim-tlb` is true, and was false"),
        "{said}"
    );
}

/// (9) Raw properties are required to be equal after a property was split in two. The one that was split is missed by every release that has
/// it, before there is a program in which it is gone.
#[test]
fn a_property_that_is_split_is_missed() {
    let folder = released();
    // The program is one in which `sizes` has become two others.
    folder.replace(
        "tiny@1.lock",
        "[defaults.ram]\n",
        "[defaults.ram]\nsizes = 3\n",
    );
    let (ok, said) = folder.check("tiny@1.toml");
    assert!(
        !ok && said.contains("property-gone") && said.contains("no property `sizes` any more"),
        "{said}"
    );
}

/// (6), (10) No stream has a version within, nor one that is counted from bytes: fields are found by name, whatever their sizes and
/// order.
#[test]
fn fields_are_found_by_name() {
    #[derive(State)]
    struct Turned {
        memory: [u8; 16],
        count: u32,
    }
    let saved = layout(&[("chip", "chip", of::<Chip>)], 1);
    assert!(refusals(&saved, &layout(&[("chip", "chip", of::<Turned>)], 1)).is_empty());
    let _: fn(&Stream) -> &Layout = |stream| &stream.description.about.layout;
}

/// Of every constant in the code that a check of a release goes through it is known what becomes of the release if it is another, and the
/// list of that is of the code as it is.
#[test]
fn every_constant_of_a_reset_is_answered_for() {
    const MADE: &str = "tests/compatibility/mutants.txt is not of this code: tests/mutants/run makes it anew, and git shows what has changed";
    let repository = guests::repository();
    let read = |path: &str| std::fs::read_to_string(repository.join(path));
    let list = read("tests/compatibility/mutants.txt").expect("the list");
    let (mut path, mut now) = ("", BTreeMap::<String, Vec<Constant>>::new());
    let mut marks = BTreeMap::new();
    for line in list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let Some(line) = line.strip_prefix("  ") else {
            (path, now) = (line, BTreeMap::new());
            let text = read(path).unwrap_or_else(|e| panic!("{path}: {e}: {MADE}"));
            for constant in constants(&text) {
                now.entry(constant.within.clone())
                    .or_default()
                    .push(constant);
            }
            continue;
        };
        let (within, all) = line.split_once(": ").expect("a function");
        let mut listed = Vec::new();
        for word in all.split(' ') {
            let text = match is_name(word) {
                true => word,
                false => {
                    let (text, mark) = word.split_at(word.len() - 1);
                    assert!("!x=.~-".contains(mark), "{path}: {within}: {word}");
                    *marks.entry(mark.to_owned()).or_insert(0) += 1;
                    text
                }
            };
            listed.push(text);
        }
        let found = now.get(within).map_or(&[][..], Vec::as_slice);
        let found: Vec<_> = found
            .iter()
            .map(|constant| constant.text.as_str())
            .collect();
        assert_eq!(listed, found, "{within} in {path}: {MADE}");
    }
    assert!(marks["!"] > 500 && marks["="] > 10, "{marks:?}");
}

#[test]
fn constants_are_found_where_they_stand() {
    let text = "#![allow(x = 1)]\n//! 2\nconst A: [u8; 3] = [4, B_C]; struct S { f: [u8; 5] }\n\
                impl<const N: usize> T<6> for S<7> { const D: u8 = 8; fn f<'a>(&'a self) -> u8 { self.0 + 9 + b'1' as u8 - 0..10u8 } }\n\
                /* 11 */ fn g() { let s = \"12\\\"13\"; h(|x| { 0x1_4 }, true, ISA) } #[cfg(test)] mod tests { const E: u8 = 15; }\n\
                connections! { fn connections(_: &P) on I; region R1 = Region::ports(\"r\", 16); }";
    let found = constants(text);
    let found: Vec<_> = found
        .iter()
        .map(|c| format!("{} {}", c.within, c.text))
        .collect();
    assert_eq!(
        found,
        [
            "A 3",
            "A 4",
            "A B_C",
            "S::D 8",
            "S::f 9",
            "S::f 0",
            "S::f 10u8",
            "g 0x1_4",
            "g true",
            "g ISA",
            "connections R1",
            "connections 16"
        ]
    );
}
