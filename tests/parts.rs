//! Builds without the code of some parts: a board that wants a part that is not there is refused before anything
//! starts, and any other board is the same machine in every build.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use solderless::registry::TYPES;
use solderless_testing::guests;

/// The cargo features that bring the code of parts.
const FEATURES: [&str; 3] = ["cpu-hotplug", "memory-hotplug", "pci-hotplug"];

/// A build of the program with some of the features, by the bits of its number.
struct Build {
    features: BTreeSet<&'static str>,
    program: PathBuf,
}

impl Build {
    /// Builds it. What does not depend on the features is taken from the builds that are there.
    fn new(bits: usize) -> Self {
        let on = FEATURES.iter().enumerate();
        let features: BTreeSet<_> = on
            .filter(|(n, _)| bits >> n & 1 != 0)
            .map(|(_, name)| *name)
            .collect();
        if features.len() == FEATURES.len() {
            return Self {
                features,
                program: env!("CARGO_BIN_EXE_solderless").into(),
            };
        }
        let target = guests::repository().join("target");
        let folder = target.join("parts").join(bits.to_string());
        let list: Vec<_> = features.iter().copied().collect();
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

/// Every subset of the features; the last is the whole program.
static BUILDS: LazyLock<Vec<Build>> =
    LazyLock::new(|| (0..1 << FEATURES.len()).map(Build::new).collect());

/// A board, and the parts of its devices that not every build has.
struct Board {
    args: Vec<String>,
    /// The part, the feature that brings its code, and the properties that ask for it.
    wants: Vec<(&'static str, &'static str, &'static [&'static str])>,
}

fn boards() -> Vec<Board> {
    const ROOT: &str = "acpi-root-pci-hotplug";
    const BRIDGES: &str = "acpi-pci-hotplug-with-bridge-support";
    // Little memory keeps the hash of it quick.
    let small = |name: &str| match name.contains('/') {
        true => vec![name.to_owned()],
        false => vec![name.to_owned(), "--set=param.ram=16MiB".to_owned()],
    };
    let board = |name: &str, settings: &[(&str, bool)], wants: &[_]| Board {
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
        board(
            "tests/boards/defaults.toml",
            &[],
            &[
                ("pcihp", "pci-hotplug", &[BRIDGES, ROOT]),
                ("acpi-index", "pci-hotplug", &["x-not-migrate-acpi-index"]),
                ("memhp", "memory-hotplug", &["memory-hotplug-support"]),
            ],
        ),
    ];
    let shipped = solderless::board::BUILT_IN.iter();
    boards.extend(shipped.map(|(name, _)| board(name, &[], &[])));
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

const RUN: [&str; 4] = ["--deterministic", "--max-time", "50ms", "--state-hash"];

/// What is the same in every build: the graph, and the hash of the state of a machine that has run for a while.
fn identity(build: &Build, board: &Board) -> (String, String) {
    let graph = build.prints(&about("graph", board, &["--format", "json"]));
    let output = build.run(&about("run", board, &RUN));
    assert_eq!(output.status.code(), Some(124), "{:?}", board.args);
    (graph, String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn every_feature_is_one_of_the_program_and_forwarded() {
    let manifest: toml::Table = std::fs::read_to_string(guests::repository().join("Cargo.toml"))
        .expect("the manifest")
        .parse()
        .expect("TOML");
    let features = manifest["features"].as_table().expect("a table");
    let parts = TYPES.iter().flat_map(|entry| {
        let props = (entry.decode)(&Value::Object(serde_json::Map::new())).expect("the defaults");
        (entry.interface)(&props).map_or_else(|_| Vec::new(), |interface| interface.parts)
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

#[test]
fn a_board_is_refused_or_the_same_in_every_build() {
    let whole = BUILDS.last().expect("the whole program");
    for board in boards() {
        let expected = identity(whole, &board);
        let graph: Value = serde_json::from_str(&expected.0).expect("JSON");
        let text = graph.to_string();
        for (part, ..) in &board.wants {
            assert!(text.contains(&format!("pm.{part}")), "{part}");
        }
        for build in BUILDS.iter() {
            let missing = board
                .wants
                .iter()
                .filter(|(_, f, _)| !build.features.contains(f));
            let missing: Vec<_> = missing.collect();
            if missing.is_empty() {
                assert_eq!(identity(build, &board), expected, "{:?}", board.args);
                continue;
            }
            for (command, more) in [("check", &[][..]), ("run", &RUN[..])] {
                let output = build.run(&about(command, &board, more));
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
                        let layer = match set {
                            true => format!("`{property}` of [dev.piix4.pm.PIIX4_PM] asks for it"),
                            false => format!("`{property}` is {}, the default", !off),
                        };
                        assert!(problem.contains(&layer), "{problem}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_part_that_is_not_built_is_said_to_be() {
    let said = |build: &Build| build.prints(&["devices", "PIIX4_PM"]);
    let without = said(&BUILDS[0]);
    assert_eq!(without.matches("not built into this program").count(), 4);
    let whole = said(&BUILDS[BUILDS.len() - 1]);
    assert!(!whole.contains("not built"), "{whole}");
    assert_eq!(without.replace("; not built into this program", ""), whole);
}
