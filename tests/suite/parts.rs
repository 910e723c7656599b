//! Builds without the code of some parts: a board that wants a part that is not there is refused before anything
//! starts, and any other board is the same machine in every build.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use solderless::compose::Options;
use solderless::machine::{Fittings, Machine};
use solderless::plan::Boot;
use solderless::registry::TYPES;
use solderless::state::Stream;
use solderless_testing::guests;

/// The cargo features that bring the code of parts.
const FEATURES: [&str; 3] = ["cpu-hotplug", "memory-hotplug", "pci-hotplug"];

/// The parts that they bring.
const PARTS: [&str; 4] = ["pcihp", "acpi-index", "memhp", "cpuhp"];

/// A build of the program with some of the features.
struct Build {
    features: BTreeSet<&'static str>,
    program: PathBuf,
}

impl Build {
    /// Builds it. What does not depend on the features is taken from the builds that are there.
    fn new(features: BTreeSet<&'static str>) -> Self {
        if features.len() == FEATURES.len() {
            return Self {
                features,
                program: env!("CARGO_BIN_EXE_solderless").into(),
            };
        }
        let target = guests::repository().join("target");
        let list: Vec<_> = features.iter().copied().collect();
        let name = if list.is_empty() {
            "none"
        } else {
            &list.join("+")
        };
        let folder = target.join("parts").join(name);
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--bin", "solderless"])
            .args(["--no-default-features", "--features", &list.join(",")])
            .arg("--target-dir")
            .arg(&folder)
            .arg("--config")
            .arg(format!(
                "build.build-dir={:?}",
                target.display().to_string()
            ))
            .args(["--config", "profile.dev.package.solderless.debug=0"])
            .current_dir(guests::repository())
            .status()
            .expect("cargo");
        assert!(status.success(), "with {features:?}");
        Self {
            features,
            program: folder.join("debug/solderless"),
        }
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(&self.program)
            .args(args)
            .current_dir(guests::repository())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .expect("the program")
    }

    /// What the command prints; it has to end well.
    fn prints(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// Builds without any of the features and without each; the last is the whole program.
fn builds() -> Vec<Build> {
    let without = |left_out: &str| {
        FEATURES
            .into_iter()
            .filter(|name| *name != left_out)
            .collect()
    };
    let mut all = vec![Build::new(BTreeSet::new())];
    all.extend(FEATURES.map(|name| Build::new(without(name))));
    all.push(Build::new(BTreeSet::from(FEATURES)));
    all
}

/// All that is tried of the builds, by one test: while they are made, another can run.
#[test]
fn builds_without_parts() {
    let builds = builds();
    a_part_that_is_not_built_is_said_to_be(&builds);
    a_board_that_is_refused_is_told_why(&builds);
    a_board_is_refused_or_the_same_in_every_build(&builds);
    the_matrix_of_every_build_says_what_its_loads_do(&builds);
}

/// A board, and the parts of its devices that not every build has.
struct Board {
    args: Vec<String>,
    /// The part, the feature that brings its code, and the properties that ask for it.
    wants: Vec<Want>,
}

type Want = (&'static str, &'static str, &'static [&'static str]);

impl Board {
    /// A firmware for a board that has none of its own.
    fn firmware(&self) -> Vec<&'static str> {
        let loaded = solderless::compose::open(Some(&self.args[0]), &Options::default());
        let plan = loaded.unwrap_or_else(|report| panic!("{report}")).plan;
        let empty = |boot: &Boot| plan.slots[boot.firmware].default.is_none();
        match plan.boot.as_ref().is_some_and(empty) {
            true => vec!["--firmware", "machines/rom/malta-rom-le.bin"],
            false => Vec::new(),
        }
    }
}

fn boards() -> Vec<Board> {
    const ROOT: &str = "acpi-root-pci-hotplug";
    const BRIDGES: &str = "acpi-pci-hotplug-with-bridge-support";
    /// Of a PIIX4_PM that the board leaves as it is.
    const DEFAULTS: &[Want] = &[
        ("pcihp", "pci-hotplug", &[BRIDGES, ROOT]),
        ("acpi-index", "pci-hotplug", &["x-not-migrate-acpi-index"]),
        ("memhp", "memory-hotplug", &["memory-hotplug-support"]),
    ];
    // Little memory keeps the hash of it quick.
    let small = |name: &str| match name.contains('/') {
        true => vec![name.to_owned()],
        false => vec![name.to_owned(), "--set=param.ram=16MiB".to_owned()],
    };
    let board = |name: &str, settings: &[(&str, bool)], wants: &[Want]| Board {
        args: small(name)
            .into_iter()
            .chain(settings.iter().flat_map(|(property, value)| {
                ["--set".to_owned(), format!("pm.{property}={value}")]
            }))
            .collect(),
        wants: wants.to_vec(),
    };
    let mut boards = vec![
        board(
            "malta",
            &[(ROOT, true)],
            &[("pcihp", "pci-hotplug", &[ROOT])],
        ),
        board(
            "malta",
            &[(ROOT, true), (BRIDGES, true)],
            &[("pcihp", "pci-hotplug", &[BRIDGES, ROOT])],
        ),
        board(
            "malta",
            &[(BRIDGES, true), ("x-not-migrate-acpi-index", false)],
            &[
                ("pcihp", "pci-hotplug", &[BRIDGES]),
                ("acpi-index", "pci-hotplug", &["x-not-migrate-acpi-index"]),
            ],
        ),
        board(
            "malta",
            &[("memory-hotplug-support", true)],
            &[("memhp", "memory-hotplug", &["memory-hotplug-support"])],
        ),
        board(
            "malta",
            &[("cpu-hotplug-legacy", true)],
            &[("cpuhp", "cpu-hotplug", &["cpu-hotplug-legacy"])],
        ),
        board(
            "malta-be",
            &[
                (ROOT, true),
                ("memory-hotplug-support", true),
                ("cpu-hotplug-legacy", true),
            ],
            &[
                ("pcihp", "pci-hotplug", &[ROOT]),
                ("memhp", "memory-hotplug", &["memory-hotplug-support"]),
                ("cpuhp", "cpu-hotplug", &["cpu-hotplug-legacy"]),
            ],
        ),
        // A board that leaves all to the model's defaults.
        board("tests/boards/defaults.toml", &[], DEFAULTS),
    ];
    let shipped = solderless::compose::BUILT_IN.iter();
    boards.extend(shipped.map(|(name, _)| {
        // The PC has what its PIIX4_PM has by default.
        board(name, &[], if *name == "pc" { DEFAULTS } else { &[] })
    }));
    boards
}

/// The arguments of a command about a board.
fn about<'a>(command: &'a str, board: &'a Board, more: &[&'a str]) -> Vec<&'a str> {
    let own = board.args.iter().map(String::as_str);
    [command]
        .into_iter()
        .chain(own)
        .chain(more.iter().copied())
        .collect()
}

/// What is the same in every build.
#[derive(PartialEq, Eq)]
struct Identity {
    graph: String,
    layout: String,
    /// The stream of a machine that has run for a while.
    stream: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\n{}\n{} bytes",
            self.graph,
            self.layout,
            self.stream.len()
        )
    }
}

/// Runs a machine for so long of guest time and saves it.
fn save(build: &Build, args: &[&str], time: &str, file: &Path) -> Vec<u8> {
    let to = format!("file:{}", file.display());
    let run = ["--deterministic", "--max-time", time, "--save-on-exit", &to];
    let output = build.run(&[args, &run].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(124), "{args:?}: {errors}");
    fs::read(file).expect("it was saved")
}

fn identity(build: &Build, board: &Board, file: &Path) -> Identity {
    Identity {
        graph: build.prints(&about("graph", board, &["--format", "json"])),
        layout: build.prints(&about("layout", board, &[])),
        stream: save(build, &about("run", board, &board.firmware()), "50ms", file),
    }
}

/// The sections of a stream, which are those of its layout.
fn sections(stream: &[u8]) -> BTreeSet<String> {
    let stream = Stream::read(&mut &stream[..], &mut |_, _| {}).expect("a good stream");
    let paths: Vec<_> = stream.sections.iter().map(|s| s.path.clone()).collect();
    let layout = stream.description.about.layout.sections.iter();
    assert_eq!(paths, layout.map(|s| s.path.clone()).collect::<Vec<_>>());
    paths.into_iter().collect()
}

#[test]
fn every_feature_is_one_of_the_program_and_forwarded() {
    let manifest: toml::Table = std::fs::read_to_string(guests::repository().join("Cargo.toml"))
        .expect("the manifest")
        .parse()
        .expect("TOML");
    let features = manifest["features"].as_table().expect("a table");
    let parts = TYPES.iter().flat_map(|entry| {
        let props = (entry.defaults)();
        props
            .interface()
            .map_or_else(|_| Vec::new(), |interface| interface.parts)
    });
    let named: BTreeSet<_> = parts.filter_map(|part| part.feature).collect();
    assert_eq!(named, BTreeSet::from(FEATURES), "this test knows them all");
    let default: Vec<_> = features["default"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    for name in FEATURES {
        assert!(features.contains_key(name), "{name}");
        assert!(default.iter().any(|d| d.as_str() == Some(name)), "{name}");
    }
}

fn a_board_is_refused_or_the_same_in_every_build(builds: &[Build]) {
    let whole = builds.last().expect("the whole program");
    let folder = tempfile::tempdir().expect("a folder");
    let (file, again) = (folder.path().join("a.snap"), folder.path().join("b.snap"));
    let restore = format!("file:{}", file.display());
    for board in boards() {
        let expected = identity(whole, &board, &file);
        let sections = sections(&expected.stream);
        for (part, ..) in &board.wants {
            assert!(
                sections.iter().any(|s| s.ends_with(&format!("pm.{part}"))),
                "{part}"
            );
            assert!(expected.graph.contains(&format!("pm.{part}\"")), "{part}");
        }
        let parts = sections.iter().filter(|s| {
            let of = s.rsplit_once('.').map(|(_, part)| part);
            of.is_some_and(|part| PARTS.contains(&part))
        });
        assert_eq!(parts.count(), board.wants.len(), "{sections:?}");
        for build in builds {
            let missing = board
                .wants
                .iter()
                .filter(|(_, f, _)| !build.features.contains(f));
            let missing: Vec<_> = missing.collect();
            fs::write(&file, &expected.stream).expect("the folder can be written to");
            let go_on = ["run", "--restore", &restore];
            if missing.is_empty() {
                // The streams of all builds are equal, so that one that takes it takes those of all the others.
                let own = identity(build, &board, &file);
                assert!(own == expected, "{:?}\n{own:?}\n{expected:?}", board.args);
                let loaded = save(build, &go_on, "0s", &again);
                assert!(
                    loaded == expected.stream,
                    "{:?}: not bit for bit",
                    board.args
                );
                continue;
            }
            // What a stream holds can be shown without the code of what is in it.
            let show = ["snapshot", "show", &file.display().to_string()];
            assert_eq!(build.prints(&show), whole.prints(&show));
            let own = about("check", &board, &[]);
            let run = about("run", &board, &["--max-time", "1s"]);
            for (from_stream, args) in [(false, &own[..]), (false, &run), (true, &go_on)] {
                let output = build.run(args);
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(2), "{said}");
                assert_eq!(output.stdout, b"", "nothing has started");
                let problems = said.matches("was built without").count();
                assert_eq!(problems, missing.len(), "{said}");
                for (part, feature, properties) in &missing {
                    let message = format!("was built without `{part}` of PIIX4_PM");
                    let problem = said.split("part-not-built").find(|p| p.contains(&message));
                    let problem = problem.unwrap_or_else(|| panic!("no `{part}` in {said}"));
                    assert!(
                        problem.contains(&format!("--features {feature}")),
                        "{problem}"
                    );
                    for property in *properties {
                        let off = property.starts_with("x-not");
                        assert!(
                            problem.contains(&format!("`{property} = {off}`")),
                            "{problem}"
                        );
                        let set = board.args.iter().any(|a| a.contains(property));
                        let layer = match (from_stream, set) {
                            (true, _) => property.to_string(),
                            (_, true) => {
                                assert!(problem.contains("pm.PIIX4_PM] asks for it"), "{problem}");
                                format!("`{property}` of [")
                            }
                            (_, false) => format!("`{property}` is {}, the default", !off),
                        };
                        assert!(problem.contains(&layer), "{problem}");
                    }
                }
            }
        }
    }
}

/// Releases, each with the properties that ask for its parts and the features that bring them.
const RELEASES: [(&str, &[&str], &[&str]); 5] = [
    ("plain", &[], &[]),
    ("pci", &["acpi-root-pci-hotplug"], &["pci-hotplug"]),
    ("memory", &["memory-hotplug-support"], &["memory-hotplug"]),
    ("cpu", &["cpu-hotplug-legacy"], &["cpu-hotplug"]),
    (
        "all",
        &[
            "acpi-root-pci-hotplug",
            "memory-hotplug-support",
            "cpu-hotplug-legacy",
        ],
        &FEATURES,
    ),
];

/// What `compat --matrix` says: for each row and each board whether it loads.
fn said(text: &str) -> BTreeMap<(String, String), bool> {
    let mut lines = text.lines().take_while(|line| !line.is_empty());
    let boards: Vec<_> = lines.next().expect("a head").split_whitespace().collect();
    let mut all = BTreeMap::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let row = words.next().expect("a name");
        for (board, word) in boards.iter().zip(words) {
            all.insert((row.to_owned(), (*board).to_owned()), word == "loads");
        }
    }
    all
}

/// Every release, and every machine of one, into every other in every build: what `compat` says is what the load does. A build saves what
/// the whole program saves, so that what loads here loads there.
fn the_matrix_of_every_build_says_what_its_loads_do(builds: &[Build]) {
    let whole = builds.last().expect("the whole program");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let save_as = |build: &Build, name: &str, to: &str| {
        let board = path(&format!("{name}@1.toml"));
        save(build, &["run", &board], "5ms", Path::new(&path(to)))
    };
    let mut kept = BTreeMap::new();
    for (name, properties, _) in RELEASES {
        let head = format!(
            "[board]\nname = \"{name}\"\nextends = \"malta\"\n[param.ram]\ndefault = \"16MiB\"\n"
        );
        let asked = properties
            .iter()
            .map(|property| format!("{property} = true\n"));
        let asked: String = asked.collect();
        let text = format!("{head}[chip.piix4.dev.pm.PIIX4_PM]\n{asked}");
        fs::write(path(&format!("{name}.toml")), text).expect("a file");
        whole.prints(&["release", &path(&format!("{name}.toml"))]);
        kept.insert(name, save_as(whole, name, &format!("{name}.snap")));
    }
    // Of a board that has no version, and modules plugged in.
    let hotplug = guests::repository().join("tests/streams/malta-hotplug.snap.gz");
    fs::copy(&hotplug, path("malta-hotplug.snap.gz")).expect("a copy");

    let has = |build: &Build, name: &str| {
        let (_, _, features) = RELEASES.iter().find(|(known, ..)| *known == name)?;
        Some(features.iter().all(|f| build.features.contains(f)))
    };
    let (mut loads, mut refusals) = (0, 0);
    for (number, build) in builds.iter().enumerate() {
        let text = build.prints(&["compat", "--matrix", &path("")]);
        let said = said(&text);
        assert_eq!(said.len(), (2 * RELEASES.len() + 1) * RELEASES.len());
        for ((row, board), fits) in said {
            let (of, is_stream) = match row.split_once(['@', '.']) {
                Some((of, rest)) => (of, rest.starts_with("snap")),
                None => (row.as_str(), false),
            };
            let into = board.trim_end_matches("@1");
            if let Some(there) = has(build, of) {
                let wanted = of == into && there;
                assert_eq!(
                    fits, wanted,
                    "{row} into {board}, {:?}: {text}",
                    build.features
                );
            }
            if !fits {
                assert!(
                    text.contains(&format!("{row} does not load into {board}:\n  ")),
                    "{text}"
                );
            }
            if !is_stream {
                continue;
            }
            let from = match row.ends_with(".gz") {
                true => format!("exec:gzip -dc '{}'", path(&row)),
                false => format!("file:{}", path(&row)),
            };
            let into = path(&format!("{board}.toml"));
            let output = build.run(&["run", "--restore", &from, &into, "--max-time", "1ms"]);
            let errors = String::from_utf8_lossy(&output.stderr);
            let status = output.status.code();
            assert_eq!(
                status,
                Some(if fits { 124 } else { 2 }),
                "{row} into {board}: {errors}"
            );
            *if fits { &mut loads } else { &mut refusals } += 1;
        }
        for (name, expected) in &kept {
            if has(build, name) == Some(true) && number + 1 < builds.len() {
                assert!(
                    save_as(build, name, "other") == *expected,
                    "{name}, {:?}",
                    build.features
                );
            }
        }
    }
    // Each feature is in three of the builds, and all in one.
    assert_eq!(loads, 5 + 3 * 3 + 1);
    assert!(refusals > 100, "{refusals}");
}

#[test]
fn a_guest_finds_the_registers_of_a_part_and_else_an_open_bus() {
    /// Where the host bridge shows PCI's I/O space after reset.
    const IO: u64 = 0x1000_0000;
    let machine = |setting: &str, value: bool| {
        let options = Options {
            set: vec![(format!("pm.{setting}"), value.to_string())],
            ..Options::default()
        };
        let loaded = solderless::compose::open(Some("malta"), &options);
        let plan = loaded.unwrap_or_else(|report| panic!("{report}")).plan;
        Machine::new(&plan, Fittings::default()).expect("a machine")
    };
    for (setting, port, size, value) in [
        // All slots but those of the host bridge, the PIIX4 itself and the Ethernet controller; the connectors are empty.
        (
            "acpi-root-pci-hotplug",
            0xae0c,
            4,
            !(1u64 << 0x0b | 1 << 0x0a | 1) & 0xffff_ffff,
        ),
        ("memory-hotplug-support", 0x0a00, 4, 0),
        ("cpu-hotplug-legacy", 0xaf00, 1, 1),
    ] {
        let ones = u64::MAX >> (64 - 8 * size);
        let read = |value| machine(setting, value).read(IO + port, size);
        assert_eq!(read(true), Ok(value), "{setting}");
        assert_eq!(read(false), Ok(ones), "{setting}");
    }
}

/// `UPDATE=1 cargo test` rewrites what is expected.
fn a_board_that_is_refused_is_told_why(builds: &[Build]) {
    let mut said = String::new();
    for args in [
        &["tests/boards/defaults.toml"][..],
        &["malta", "--set", "pm.memory-hotplug-support=true"],
    ] {
        let output = builds[0].run(&[&["check"], args].concat());
        said += &String::from_utf8(output.stderr).expect("text");
    }
    let path = guests::repository().join("tests/boards/part-not-built.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &said).expect("the repository can be written to");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        said == expected,
        "UPDATE=1 rewrites what is expected. Now:\n{said}"
    );
}

fn a_part_that_is_not_built_is_said_to_be(builds: &[Build]) {
    let said = |build: &Build| build.prints(&["devices", "PIIX4_PM"]);
    let without = said(&builds[0]);
    assert_eq!(without.matches("not built into this program").count(), 4);
    let whole = said(&builds[builds.len() - 1]);
    assert!(!whole.contains("not built"), "{whole}");
    assert_eq!(without.replace("; not built into this program", ""), whole);
}
