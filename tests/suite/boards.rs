//! Boards as data: good ones and their plans, bad ones and what is said about them. `UPDATE=1 cargo test` rewrites
//! what is expected.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use solderless::board::format::{CHIP_SECTIONS, SECTIONS};
use solderless::board::write;
use solderless::compose::explain::explain;
use solderless::compose::schema::{Kind, schema};
use solderless::compose::{self, BUILT_IN, Options};
use solderless::diagnostics::Report;
use solderless::machine::{Fittings, Machine};
use solderless::picture::{Format, export};
use solderless::plan::Plan;
use solderless::plan::diff::diff;
use solderless::registry::TYPES;

/// Compares with a file beside the tests, or rewrites it.
fn expect(path: &Path, got: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, got).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == got {
        return Ok(());
    }
    Err(format!(
        "{} differs; UPDATE=1 rewrites it. Now:\n{got}",
        path.display()
    ))
}

/// The TOML files of a folder, in order.
fn boards(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no boards in {folder}");
    files
}

/// The settings in a board's `#set path=value` lines.
fn options(text: &str) -> Options {
    let lines = text.lines().filter_map(|line| line.strip_prefix("#set "));
    let split = |line: &str| {
        line.split_once('=')
            .map(|(path, value)| (path.into(), value.into()))
    };
    Options {
        set: lines.filter_map(split).collect(),
        ..Options::default()
    }
}

/// These settings.
fn with(set: Vec<(String, String)>) -> Options {
    Options {
        set,
        ..Options::default()
    }
}

/// Every problem points into its text, at whole characters, and can be shown.
fn check_spans(report: &Report) {
    for problem in &report.problems {
        for label in &problem.labels {
            let text = report.sources.text(label.span.file);
            assert!(
                text.get(label.span.start..label.span.end).is_some(),
                "{problem:?} points outside its text"
            );
        }
    }
    let shown = report.render(false);
    assert_eq!(shown.is_empty(), report.problems.is_empty());
}

#[test]
fn bad_boards_are_explained() {
    let mut wrong = Vec::new();
    let folders = ["tests/boards/errors", "tests/boards/errors/alone"];
    for path in folders.into_iter().flat_map(boards) {
        let options = options(&fs::read_to_string(&path).unwrap());
        let report = compose::check(path.to_str().unwrap(), &options).report;
        assert!(
            !report.problems.is_empty(),
            "{}: nothing is wrong with it",
            path.display()
        );
        check_spans(&report);
        wrong.extend(expect(&path.with_extension("txt"), &report.render(false)).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_board_adds_what_a_chip_leaves_open() {
    let folder = tempfile::tempdir().unwrap();
    let chip = "[interface]\nname = \"open\"\n[port]\nintr = { output = \"uart.intr\" }\n[dev.uart]\n[dev.uart.serial-mm]";
    let path = folder.path().join("open.toml");
    fs::write(&path, chip).unwrap();
    let alone = compose::check(path.to_str().unwrap(), &Options::default());
    assert!(alone.ok() && alone.loaded.is_none(), "{}", alone.report);
    let text = "[board]\nname = \"user\"\nextends = \"malta\"\n[chip.open]\nuse = \"open\"\nirq.intr = \"cpu[6]\"\ndev.uart.at = \"sys:0x1d000000\"";
    let loaded = compose::load_as(&folder.path().join("user.toml"), text, &Options::default());
    loaded.unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn a_board_mends_what_clashes_in_a_chip() {
    let text = "[board]\nname = \"mended\"\nextends = \"malta\"\n[chip.clash]\nuse = \"clash\"\ndev.other.at = \"sys:0x1d000100\"";
    let path = Path::new("tests/boards/errors/alone/mended.toml");
    let loaded = compose::load_as(path, text, &Options::default());
    loaded.unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn what_has_to_be_a_table_is_one() {
    let refused = |text: &str| match compose::load_text("board.toml", text, &Options::default()) {
        Ok(_) => panic!("{text}: nothing is wrong with it"),
        Err(report) => assert!(report.to_string().contains("is not a table"), "{report}"),
    };
    let header = "board = { name = \"x\", extends = \"malta\" }";
    for section in SECTIONS {
        let header = if section == "board" { "" } else { header };
        refused(&format!("{header}\n{section} = 3"));
    }
    for key in ["irq", "backend"] {
        refused(&format!("{header}\n[dev.com1]\n{key} = 3"));
    }
    for key in ["irq", "backend", "param", "defaults", "dev", "chip"] {
        refused(&format!("{header}\n[chip.piix4]\n{key} = 3"));
    }
    refused(&format!("{header}\n[dev]\ncom1 = 3"));
    refused(&format!("{header}\n[allow]\nodd-lines = 3"));
    for section in CHIP_SECTIONS {
        let folder = tempfile::tempdir().unwrap();
        let header = if section == "interface" {
            ""
        } else {
            "[interface]\nname = \"one\""
        };
        fs::write(
            folder.path().join("one.toml"),
            format!("{section} = 3\n{header}"),
        )
        .unwrap();
        let text = "board.name = \"x\"\n[chip.it]\nuse = \"one\"";
        let path = folder.path().join("board.toml");
        let report = compose::load_as(&path, text, &Options::default()).expect_err(section);
        assert!(report.to_string().contains("is not a table"), "{report}");
    }
    for (section, kind) in [
        ("param", "run"),
        ("backend", "run"),
        ("boot", "run"),
        ("dev", "overlay"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.toml");
        let table = if kind == "run" {
            "run.board = \"malta\""
        } else {
            "overlay = {}"
        };
        fs::write(&path, format!("{table}\n{section} = 3")).unwrap();
        let mut options = Options::default();
        match kind {
            "run" => options.run_file = Some(path),
            _ => options.overlays.push(path),
        }
        let report = compose::open(Some("malta"), &options).expect_err(section);
        assert!(report.to_string().contains("is not a table"), "{report}");
    }
}

#[test]
fn a_text_without_an_end_is_not_read_to_it() {
    let report = compose::load("/dev/zero", &Options::default()).unwrap_err();
    assert!(
        report.to_string().contains("has more than 4MiB"),
        "{report}"
    );
    // All files together have the bound of one.
    let folder = tempfile::tempdir().unwrap();
    let filler = "#".repeat(1 << 20);
    for n in 0..5 {
        let extends = format!("extends = \"./{}.toml\"", n + 1);
        let extends = if n < 4 { extends.as_str() } else { "" };
        let text = format!("[board]\nname = \"x\"\n{extends}\n{filler}");
        fs::write(folder.path().join(format!("{n}.toml")), text).unwrap();
    }
    let board = folder.path().join("0.toml");
    let report = compose::load(board.to_str().unwrap(), &Options::default()).unwrap_err();
    assert!(
        report.to_string().contains("has more than 4MiB"),
        "{report}"
    );
}

/// Files with the names of a board and a chip in the program, beside those that mean the others.
#[test]
fn a_file_is_not_taken_for_one_in_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("malta.toml");
    fs::write(&own, "[board]\nname = \"own\"\nextends = \"malta-be\"").unwrap();
    let (plan, _) = compose::load(own.to_str().unwrap(), &Options::default())
        .unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(plan.name, "own");
    fs::create_dir(folder.path().join("chips")).unwrap();
    let chip = "[interface]\nname = \"piix4\"\n[dev.scratch]\nat = \"sys:0x1d000000\"\n[dev.scratch.ram]\nsize = \"4KiB\"";
    fs::write(folder.path().join("chips/piix4.toml"), chip).unwrap();
    let board = folder.path().join("both.toml");
    let text = "[board]\nname = \"both\"\nextends = \"malta-be\"\n[chip.other]\nuse = \"piix4\"";
    let (plan, _) = compose::load_as(&board, text, &Options::default())
        .unwrap_or_else(|report| panic!("{report}"));
    for device in ["piix4.pm", "other.scratch"] {
        assert!(plan.devices.iter().any(|d| d.path == device), "{device}");
    }
}

/// The chips in the program, which are not checked by themselves whenever a board has them.
#[test]
fn chips_in_the_program_are_good_by_themselves() {
    for (name, text) in compose::BUILT_IN_CHIPS {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(format!("{name}.toml"));
        fs::write(&file, text).unwrap();
        let checked = compose::check(file.to_str().unwrap(), &Options::default());
        assert!(checked.ok(), "{}", checked.report);
    }
}

fn plan(name: &str) -> Plan {
    let (plan, report) =
        compose::load(name, &Options::default()).unwrap_or_else(|report| panic!("{report}"));
    assert!(report.problems.is_empty(), "{report}");
    plan
}

#[test]
fn the_boards_in_the_program_have_the_expected_plans() {
    let mut wrong = Vec::new();
    for (name, _) in BUILT_IN {
        let path = format!("tests/boards/{name}.plan.txt");
        wrong.extend(expect(Path::new(&path), &plan(name).to_string()).err());
    }
    for (format, file) in [
        (Format::Dot, "malta.dot"),
        (Format::Mermaid, "malta.mmd"),
        (Format::Json, "malta.json"),
        (Format::Svg, "malta.svg"),
    ] {
        let path = format!("tests/boards/{file}");
        wrong.extend(expect(Path::new(&path), &export(&plan("malta"), format)).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn boards_with_all_of_the_format_have_the_expected_plans() {
    let run = Options {
        run_file: Some("tests/boards/good/all.run.toml".into()),
        ..Options::default()
    };
    let overlaid = Options {
        overlays: vec!["tests/boards/good/lay.overlay.toml".into()],
        ..Options::default()
    };
    let mut wrong = Vec::new();
    for (name, board, options) in [
        (
            "all",
            Some("tests/boards/good/all.toml"),
            Options::default(),
        ),
        (
            "more",
            Some("tests/boards/good/more.toml"),
            Options::default(),
        ),
        ("overlaid", Some("tests/boards/good/all.toml"), overlaid),
        ("run", None, run),
    ] {
        let loaded = compose::open(board, &options).unwrap_or_else(|e| panic!("{name}\n{e}"));
        assert!(loaded.report.problems.is_empty(), "{}", loaded.report);
        let path = format!("tests/boards/good/{name}.plan.txt");
        wrong.extend(expect(Path::new(&path), &loaded.plan.to_string()).err());
        let shown = write::board(&loaded.board, &loaded.report.sources);
        let (again, _) = compose::load_text("shown.toml", &shown, &Options::default())
            .unwrap_or_else(|report| panic!("{name}\n{shown}\n{report}"));
        assert_eq!(again.to_string(), loaded.plan.to_string(), "{name}");
        assert!(again == loaded.plan, "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_cpu_alone_sees_its_own_windows() {
    let (plan, _) = compose::load("tests/boards/good/all.toml", &Options::default()).unwrap();
    let mut machine = Machine::new(&plan, Fittings::default()).unwrap();
    machine.load(0x10, &[1, 2, 3, 4]).unwrap();
    machine.load(0x1e00_0010, &[5, 6, 7, 8]).unwrap();
    assert_eq!(machine.read(0x10, 4), Ok(0x0807_0605));
    machine.load(0x1010, &[9, 9, 9, 9]).unwrap();
    assert_eq!(machine.read(0x1010, 4), Ok(0x0909_0909));
}

#[test]
fn every_board_in_machines_is_in_the_program() {
    let files: BTreeSet<_> = boards("machines")
        .into_iter()
        .map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let built_in: BTreeSet<_> = BUILT_IN
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(files, built_in);
    for name in files {
        let file = compose::load(&format!("machines/{name}.toml"), &Options::default());
        let (file, _) = file.unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(
            file,
            plan(&name),
            "{name}: the file and the board in the program differ"
        );
        let version = file.version.iter().map(|version| format!("@{version}"));
        let version: String = version.collect();
        assert_eq!(format!("{}{version}", file.name), name);
    }
}

#[test]
fn types_are_in_order_and_their_defaults_are_good() {
    assert!(
        TYPES.is_sorted_by_key(|entry| entry.name),
        "the types are not in alphabetical order"
    );
    for entry in TYPES {
        let defaults = (entry.defaults)();
        assert_eq!(
            (entry.decode)(&serde_json::json!({})).as_ref(),
            Ok(&defaults),
            "{}",
            entry.name
        );
        defaults
            .interface()
            .unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        assert_eq!(
            (entry.decode)(&defaults.to_json()).as_ref(),
            Ok(&defaults),
            "{}",
            entry.name
        );
        let schema = (entry.schema)().to_value();
        let properties = schema["properties"].as_object().into_iter().flatten();
        for (name, property) in properties {
            assert!(
                property["description"].is_string(),
                "{}: `{name}` has no description",
                entry.name
            );
            assert!(
                defaults.get(name).is_some(),
                "{}: `{name}` has no default",
                entry.name
            );
        }
    }
}

#[test]
fn the_schemas_in_the_repository_are_up_to_date() {
    for kind in Kind::ALL {
        let path = format!("schemas/{}.schema.json", kind.name());
        expect(Path::new(&path), &schema(kind)).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// The boards in a text's code blocks that start with `[board]`, each with what its fence says.
fn snippets(text: &str) -> Vec<(String, String)> {
    let blocks = text.split("```toml").skip(1).filter_map(|rest| {
        let (fence, rest) = rest.split_once('\n')?;
        let (body, _) = rest.split_once("```")?;
        Some((fence.trim().to_owned(), body.to_owned()))
    });
    blocks.collect()
}

/// A board that places a chip with the ports of the documentation's.
const USER: &str = r#"
board.name = "user"
[dev.cpu]
at = "sys"
[dev.cpu.mips32-cpu]
[dev.gt]
at = "sys"
[dev.gt.gt64120]
[chip.it]
use = "./snippet.toml"
at = "gt.pci:0a"
irq.intr = "cpu[2]"
[dev.com1]
at = "it.isa:0x3f8"
irq.intr = "it[irq.4]"
[dev.com1.isa-serial]
"#;

/// Uses a snippet that is a chip's or a run's file.
fn try_file(kind: &str, body: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snippet.toml");
    fs::write(&path, body).unwrap();
    let result = if kind == "run" {
        let options = Options {
            run_file: Some(path),
            ..Options::default()
        };
        compose::open(None, &options).map(|loaded| loaded.plan)
    } else {
        let user = folder.path().join("user.toml");
        compose::load_as(&user, USER, &Options::default()).map(|(plan, _)| plan)
    };
    result.unwrap_or_else(|report| panic!("{body}\n{report}"));
}

#[test]
fn every_snippet_of_the_documentation_resolves() {
    let text = fs::read_to_string("docs/board-format.md").unwrap();
    let snippets = snippets(&text);
    assert!(snippets.len() > 5, "the snippets were not found");
    for (fence, body) in snippets {
        // A fragment is a piece of malta, or lies over it.
        let text = match fence.as_str() {
            "" => body,
            "fragment" => format!("[board]\nname = \"fragment\"\nextends = \"malta\"\n{body}"),
            "chip" | "run" => {
                try_file(&fence, &body);
                continue;
            }
            other => panic!("unknown fence `{other}`"),
        };
        if let Err(report) = compose::load_text("snippet.toml", &text, &Options::default()) {
            panic!("{text}\n{report}");
        }
    }
}

/// A parameter that is set to what it does not take is all that is said: what depends on it is as with a value that it takes.
#[test]
fn of_a_wrong_parameter_nothing_follows() {
    let mut tried = 0;
    for (board, _) in BUILT_IN {
        let (plan, _) = compose::load(board, &Options::default()).expect("a good board");
        for (param, _) in &plan.params {
            for value in ["many", "-1", "0", "9", "99999", "1KiB", "16TiB", "maybe"] {
                let options = Options {
                    set: vec![(format!("param.{param}"), value.to_owned())],
                    ..Options::default()
                };
                if let Err(report) = compose::load(board, &options) {
                    let said = report.render(false);
                    assert_eq!(
                        report.problems.len(),
                        1,
                        "{board}, {param} = {value}: {said}"
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn settings_reach_parameters_and_properties_by_either_path() {
    let get = |path: &str, value: &str, device: &str, property: &str| {
        let options = Options {
            set: vec![(path.into(), value.into())],
            ..Options::default()
        };
        let (plan, _) = compose::load("malta", &options)
            .unwrap_or_else(|report| panic!("{path}={value}\n{report}"));
        let device = plan.devices.iter().find(|d| d.path == device).unwrap();
        device.props.get(property).unwrap().to_string()
    };
    for (path, value, device, property, expected) in [
        ("param.ram", "256MiB", "ram", "size", "\"256MiB\""),
        (
            "param.ram",
            "\"256MiB\"",
            "spd",
            "spd-ram-size",
            "\"256MiB\"",
        ),
        ("param.big-endian", "true", "gt", "big-endian", "true"),
        (
            "dev.com1.isa-serial.baudbase",
            "9600",
            "com1",
            "baudbase",
            "9600",
        ),
        ("com1.baudbase", "0x2580", "com1", "baudbase", "9600"),
        (
            "com1.isa-serial.baudbase",
            "9600",
            "com1",
            "baudbase",
            "9600",
        ),
        (
            "defaults.isa-serial.baudbase",
            "9600",
            "com2",
            "baudbase",
            "9600",
        ),
        ("pm.smm-enabled", "true", "piix4.pm", "smm-enabled", "true"),
        (
            "piix4.pm.smm-enabled",
            "true",
            "piix4.pm",
            "smm-enabled",
            "true",
        ),
        (
            "chip.piix4.dev.pm.PIIX4_PM.smm-enabled",
            "true",
            "piix4.pm",
            "smm-enabled",
            "true",
        ),
        ("ram.size", "32MiB", "ram", "size", "\"32MiB\""),
        ("serialno.init", "[1, 2]", "serialno", "init", "[1,2]"),
    ] {
        assert_eq!(
            get(path, value, device, property),
            expected,
            "{path}={value}"
        );
    }
}

/// Shows a board as one file and resolves that again; the file.
fn show(board: &str, set: &[(String, String)]) -> Result<String, String> {
    let set = set.to_vec();
    let loaded = compose::open(Some(board), &with(set)).map_err(|report| report.to_string())?;
    let shown = write::board(&loaded.board, &loaded.report.sources);
    let again = compose::load_text("shown.toml", &shown, &Options::default());
    let (again, _) = again.map_err(|report| format!("{shown}\n{report}"))?;
    if again != loaded.plan {
        return Err(format!("{shown}\n{again}\nis not\n{}", loaded.plan));
    }
    Ok(shown)
}

#[test]
fn a_board_shown_as_one_file_resolves_to_the_same_plan() {
    for path in boards("machines") {
        for set in [
            &[][..],
            &[
                ("param.ram", "1GiB"),
                ("param.big-endian", "true"),
                ("com1.baudbase", "0x2580"),
            ],
            &[
                ("serialno.init", "[1, 0x2]"),
                ("defaults.isa-serial.baudbase", "9600"),
            ],
            &[("board.summary", "\"quotes\", \\ and \u{7f}\t")],
            &[("slot.\"odd key\".kind", "chardev")],
        ] {
            // Only the Malta boards have what most of these set.
            let malta = path.to_str().unwrap().contains("malta");
            let whole =
                |(path, _): &(&str, &str)| path.starts_with("board") || path.starts_with("slot");
            if !malta && !set.iter().all(whole) {
                continue;
            }
            let set: Vec<_> = set
                .iter()
                .map(|(path, value)| ((*path).into(), (*value).into()))
                .collect();
            let shown = show(path.to_str().unwrap(), &set).unwrap_or_else(|e| panic!("{e}"));
            assert!(!shown.contains("extends"), "{shown}");
        }
    }
}

#[test]
fn a_board_shown_keeps_its_parameters_and_the_base_of_its_numbers() {
    let set = [("param.ram".to_owned(), "1GiB".to_owned())];
    let shown = show("malta-be", &set).unwrap_or_else(|e| panic!("{e}"));
    for part in [
        "size = \"${ram}\"\n",
        "default = \"1GiB\"\n",
        "[0x14000068, 0xdf]",
        "irq.\"irq[3-7,9-12,14-15]\" = \"piix4.pic[3-7,9-12,14-15]\"\n",
        "[dev.\"piix4.bridge\".piix4-isa]\n",
    ] {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }
}

#[test]
fn a_value_is_explained_by_all_who_had_a_say_in_it() {
    let set = [
        ("param.ram", "512MiB"),
        ("com1.baudbase", "9600"),
        ("param.ram", "1GiB"),
    ];
    let set = set.map(|(path, value)| (path.into(), value.into())).into();
    let loaded = compose::open(Some("malta-be"), &with(set)).unwrap_or_else(|e| panic!("{e}"));
    // The lines of the boards are not for this test to fix.
    let line = |board: &str, start: &str| {
        let (_, text) = BUILT_IN.iter().find(|(name, _)| *name == board).unwrap();
        let table = text.lines().position(|line| line.starts_with(start));
        1 + table.unwrap_or_else(|| panic!("no {start}"))
    };
    let ram = line("malta", "[param.ram]") + 2;
    let size = line("malta", "size = ");
    let hotplug = line("malta", "acpi-root-pci-hotplug");
    let bios = line("malta", "bios = ");
    let bios_be = line("malta-be", "bios.default");
    let map = line("malta", "[dev.cbus]") + 1;
    for (path, expected) in [
        (
            "ram.size",
            format!(
                r#"dev.ram.ram.size = "1GiB"
  "128MiB"    the default of ram
  "${{ram}}"    malta.toml:{size}       dev.ram.ram.size
    "256MiB"  malta.toml:{ram}       param.ram.default
    512MiB    --set               param.ram
    1GiB      --set               param.ram
"#
            ),
        ),
        (
            "param.ram",
            format!(
                r#"param.ram = "1GiB"
  "256MiB"  malta.toml:{ram}  param.ram.default
  512MiB    --set          param.ram
  1GiB      --set          param.ram
"#
            ),
        ),
        (
            "pm.acpi-root-pci-hotplug",
            format!(
                r#"chip.piix4.dev.pm.PIIX4_PM.acpi-root-pci-hotplug = false
  true   the default of PIIX4_PM
  false  malta.toml:{hotplug}           defaults.PIIX4_PM.acpi-root-pci-hotplug
"#
            ),
        ),
        (
            "dev.com1.isa-serial.baudbase",
            r"dev.com1.isa-serial.baudbase = 9600
  115200  the default of isa-serial
  9600    --set                      dev.com1.isa-serial.baudbase
"
            .to_owned(),
        ),
        (
            "slot.bios.default",
            format!(
                r#"slot.bios.default = "rom:malta-rom-be"
  "rom:malta-rom-le"  malta.toml:{bios}     slot.bios.default
  "rom:malta-rom-be"  malta-be.toml:{bios_be}  slot.bios.default
"#
            ),
        ),
        (
            "cbus.map",
            format!(
                r#"dev.cbus.map = [{{ at = "sys:0x1f000900", over = true }}]
  [{{ at = "sys:0x1f000900", over = true }}]  malta.toml:{map}  dev.cbus.map
"#
            ),
        ),
    ] {
        let got = explain(&loaded, path).unwrap_or_else(|report| panic!("{path}\n{report}"));
        // How wide a line's number is changes the column after it.
        let words = |text: &str| -> Vec<Vec<String>> {
            let lines = text
                .lines()
                .map(|l| l.split_whitespace().map(str::to_owned).collect());
            lines.collect()
        };
        assert_eq!(words(&got.to_string()), words(&expected), "{got}");
    }
    for (path, expected) in [
        ("com1.baudbse", "did you mean `baudbase`?"),
        ("com1", "the properties are baudbase"),
        ("cm1.baudbase", "did you mean `com1`?"),
        ("param.rm", "did you mean `ram`?"),
        ("slot.boos.kind", "did you mean `bios`?"),
        ("boot", "the keys are console, cpu"),
        ("board.name.x", "it has nothing within"),
        ("dev.com1.isa-seral.x", "did you mean `isa-serial`?"),
        ("dev", "one of its values has to be named"),
        ("", "write DEVICE.PROPERTY or param.NAME"),
        ("a b", "is not a path"),
        ("a=1", "is not a path"),
    ] {
        match explain(&loaded, path) {
            Ok(got) => panic!("{got}"),
            Err(report) => {
                check_spans(&report);
                let report = report.to_string();
                assert!(report.contains(expected), "no {expected} in\n{report}");
            }
        }
    }
}

#[test]
fn what_differs_between_two_boards_is_named() {
    let malta = plan("malta");
    for (change, expected) in [
        ("", ""),
        (
            "[param.ram]\nmax = \"1GiB\"\n[join.again]\ninputs = \"cpu[4]\"\nop = \"or\"",
            "",
        ),
        (
            "[dev.com1]\nat = \"piix4.isa:0x3e8\"\nirq.intr = [\"piix4.pic[4]\", \"piix4[irq.5]\"]\nbackend.chr = \"serial3\"\n\
            [slot]\nserial3.kind = \"chardev\"",
            r#"  device com1
-   at = piix4.bridge.isa:0x3f8
+   at = piix4.bridge.isa:0x3e8
+   window ports: 0x3e8, 0x8 bytes
-   window ports: 0x3f8, 0x8 bytes
-   slot chr = serial0
+   slot chr = serial3
  lines
+   com1.intr → piix4.pic.in[5]
+ slot serial3
+   kind = "chardev"
"#,
        ),
        (
            "[dev.extra]\nat = \"piix4.smbus:0x58\"\n[dev.extra.smbus-eeprom]\ninit = [1]",
            "+ device extra
+   type = smbus-eeprom
+   at = piix4.pm.smbus:0x58
+   init = [1]
+   init-offset = 0
+   spd-ram-size = none
+   write-protect = false
",
        ),
        (
            "[defaults.PIIX4_PM]\nmemory-hotplug-support = true",
            "  device piix4.pm
-   memory-hotplug-support = false
+   memory-hotplug-support = true
+   window memhp: 0xa00, 0x18 bytes
+   part memhp
",
        ),
        (
            "[param.new]\ntype = \"int\"\ndefault = 1\n[boot]\nconsole = 0x1f000900\nlow-memory = \"128MiB\"",
            "  params
+   new = 1
  boot
-   console = 0x180003f8
+   console = 0x1f000900
-   low-memory = 0x10000000
+   low-memory = 0x8000000
",
        ),
    ] {
        let header = "name = \"malta\"\nsummary = \"MIPS Malta with a Core LV card\"";
        let text = format!("[board]\n{header}\nextends = \"malta\"\n{change}");
        let (changed, _) = compose::load_text("changed.toml", &text, &Options::default())
            .unwrap_or_else(|report| panic!("{report}"));
        let found = diff(&malta, &changed);
        assert_eq!(found.to_string(), expected, "{change}");
        assert_eq!(found.is_empty(), changed == malta, "{change}");
        let turned = diff(&changed, &malta).to_string();
        let count = |text: &str, mark| text.lines().filter(|l| l.starts_with(mark)).count();
        for (mark, other) in [('-', '+'), ('+', '-'), (' ', ' ')] {
            assert_eq!(count(&turned, mark), count(expected, other), "{turned}");
        }
    }
}

/// The settings that random tests draw from.
fn setting() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        ("board\\.(name|summary)", "\\PC*"),
        ("slot\\.(bios|serial[0-2])\\.default", "\\PC*"),
        (
            "(com[12]|dev\\.com2\\.isa-serial|defaults\\.isa-serial)\\.baudbase",
            "(0x)?[1-9]{1,4}"
        ),
        ("param\\.big-endian", "true|false"),
        ("param\\.ram", "(1|16|100|128|512)MiB|[12]GiB"),
        ("com[12]\\.irq\\.intr", "piix4\\[irq\\.[3-5]\\]"),
        ("com[12]\\.at", "piix4\\.isa:0x[23][ef]8"),
    ]
}

#[test]
fn memory_is_seen_where_there_is_some() {
    let windows = |ram: &str| -> Vec<(u64, u64, u64)> {
        let options = Options {
            set: vec![("param.ram".into(), ram.into())],
            ..Options::default()
        };
        let (plan, _) =
            compose::load("malta", &options).unwrap_or_else(|report| panic!("{report}"));
        let ram = plan.devices.iter().find(|d| d.path == "ram").unwrap();
        ram.windows
            .iter()
            .map(|w| (w.at, w.size, w.offset))
            .collect()
    };
    const MIB: u64 = 1 << 20;
    for (ram, expected) in [
        ("16MiB", vec![(0, 16 * MIB, 0), (0x8000_0000, 16 * MIB, 0)]),
        (
            "512MiB",
            vec![(0, 256 * MIB, 0), (0x8000_0000, 512 * MIB, 0)],
        ),
        (
            "2GiB",
            vec![
                (0, 256 * MIB, 0),
                (0x2000_0000, 1536 * MIB, 512 * MIB),
                (0x8000_0000, 2048 * MIB, 0),
            ],
        ),
    ] {
        assert_eq!(windows(ram), expected, "{ram}");
    }
}

const MALTA: &str = include_str!("../../machines/malta.toml");

/// Resolves a text and checks whatever comes out; whether it is a board.
fn try_board(text: &str, options: &Options) -> bool {
    match compose::load_text("random.toml", text, options) {
        Ok((plan, report)) => {
            assert!(!report.has_errors());
            check_spans(&report);
            assert!(!plan.to_string().is_empty());
            true
        }
        Err(report) => {
            assert!(report.has_errors());
            check_spans(&report);
            false
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_board_with_random_settings_is_shown_as_it_is(
        set in prop::collection::vec(setting(), 0..6))
    {
        // What is no board is another test's.
        if compose::load("malta", &with(set.clone())).is_ok() {
            show("malta", &set).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn no_path_to_explain_panics(path in "\\PC{0,12}|[a-z.\\-\"=#\n]{0,20}|(dev\\.)?(com1|pm)\\.[a-zA-Z_.\\-]{0,12}") {
        let loaded = compose::open(Some("malta"), &Options::default()).unwrap();
        if let Err(report) = explain(&loaded, &path) {
            check_spans(&report);
        }
    }

    #[test]
    fn boards_differ_if_and_only_if_a_difference_is_named(
        first in prop::collection::vec(setting(), 0..3), second in prop::collection::vec(setting(), 0..3))
    {
        let load = |set| compose::load("malta", &with(set)).ok();
        if let (Some((first, _)), Some((second, _))) = (load(first), load(second)) {
            let found = diff(&first, &second);
            prop_assert_eq!(found.is_empty(), first == second);
            prop_assert_eq!(found.is_empty(), found.to_string().is_empty());
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC*") {
        try_board(&text, &Options::default());
    }

    #[test]
    fn no_text_of_the_formats_own_words_panics(words in prop::collection::vec(
        prop::sample::select(vec![
            "[board]", "[dev.a]", "[dev.b]", "[dev.a.ram]", "[[dev.a.ram]]", "[param.p]", "[slot]", "[boot]", "[defaults.ram]",
            "[join.j]", "name", "at", "map", "irq", "backend", "size", "extends", "type", "default", "min", "inputs", "out", ".", "=",
            "\"sys:0\"", "\"a.pci:0a.1\"", "\"${p}\"", "\"a[0]\"", "\"16MiB\"", "[", "]", "{", "}", ",", "0", "-1", "18446744073709551615",
            "true", "\"", "'''", "\n", "\n", "\n", " ", "#", "é",
        ]), 0..40))
    {
        try_board(&words.concat(), &Options::default());
    }

    #[test]
    fn no_setting_panics(path in "[a-z.\\-\"=#\n]{0,20}|param\\.[a-z]{1,4}|dev\\.com1\\.[a-z.]{1,12}", value in "\\PC{0,12}|[0-9]{1,30}") {
        let options = with(vec![("param.ram".into(), "32MiB".into()), (path, value)]);
        try_board(MALTA, &options);
    }
}
