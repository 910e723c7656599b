//! What holds for all boards: of random boards, random order and random mistakes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use solderless::board::write;
use solderless::compose::{self, BUILT_IN, Loaded, Options};
use solderless::diagnostics::Report;
use solderless::plan::Plan;

/// The tables of a board's text, each with its header; the text before the first one is left out.
fn tables(text: &str) -> Vec<String> {
    let mut tables: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            tables.push(String::new());
        }
        if let Some(table) = tables.last_mut() {
            table.push_str(line);
            table.push('\n');
        }
    }
    tables
}

/// The tables of a text whose headers start with one of these.
fn tables_of(text: &str, headers: &[String]) -> String {
    let tables = tables(text).into_iter();
    tables
        .filter(|table| headers.iter().any(|header| table.starts_with(header)))
        .collect()
}

/// The lines of tables, each with its table's header; the header alone is an empty line.
fn lines(tables: &[String]) -> Vec<(String, String)> {
    let lines = tables.iter().flat_map(|table| {
        let (header, rest) = table.split_at(table.find('\n').map_or(table.len(), |end| end + 1));
        [""].into_iter()
            .chain(rest.split_inclusive('\n'))
            .map(|line| (header.to_owned(), line.to_owned()))
    });
    lines.collect()
}

fn good(text: &str) -> Result<Loaded, TestCaseError> {
    let loaded = compose::open_text("random.toml", text, &Options::default());
    loaded.map_err(|report| TestCaseError::fail(format!("{text}\n{report}")))
}

/// Compares two plans, of which the text says more when they differ.
fn same(one: &Plan, other: &Plan) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        one.hash() == other.hash(),
        one == other,
        "the hash is another's"
    );
    prop_assert_eq!(one.to_string(), other.to_string());
    prop_assert!(one == other);
    Ok(())
}

/// Checks that every problem has a place, within its text and at whole characters, and that it can be shown.
fn has_places(report: &Report) -> Result<(), TestCaseError> {
    for problem in &report.problems {
        prop_assert!(
            !problem.labels.is_empty(),
            "it points nowhere: {:?}",
            problem
        );
        for label in &problem.labels {
            let text = report.sources.text(label.span.file);
            prop_assert!(
                text.get(label.span.start..label.span.end).is_some(),
                "it points outside its text: {:?}",
                problem
            );
        }
    }
    prop_assert_eq!(report.render(false).is_empty(), report.problems.is_empty());
    Ok(())
}

/// Something to add to Malta, in tables that have a number of their own.
#[derive(Debug, Clone)]
enum Extra {
    Uart { regshift: u8, baudbase: u32 },
    Eeprom { init: Vec<u8>, when: Option<bool> },
    Card { turn: usize },
    Ram { mib: u32, split: bool },
    Param { value: u16 },
    Property { device: usize, value: u32 },
    Default { on: bool },
}

fn extra() -> impl Strategy<Value = Extra> {
    prop_oneof![
        (0u8..4, 1u32..1_000_000)
            .prop_map(|(regshift, baudbase)| Extra::Uart { regshift, baudbase }),
        (
            prop::collection::vec(any::<u8>(), 0..8),
            any::<Option<bool>>()
        )
            .prop_map(|(init, when)| Extra::Eeprom { init, when }),
        (0usize..4).prop_map(|turn| Extra::Card { turn }),
        (1u32..64, any::<bool>()).prop_map(|(mib, split)| Extra::Ram { mib, split }),
        any::<u16>().prop_map(|value| Extra::Param { value }),
        (0usize..3, 1u32..1_000_000).prop_map(|(device, value)| Extra::Property { device, value }),
        any::<bool>().prop_map(|on| Extra::Default { on }),
    ]
}

impl Extra {
    /// Its tables, as the extra of this number.
    fn tables(&self, n: usize) -> Vec<String> {
        match self {
            Self::Uart { regshift, baudbase } => vec![
                format!("[slot.s{n}]\nkind = \"chardev\"\n"),
                format!(
                    "[dev.uart{n}]\nat = \"sys:{:#x}\"\nirq.intr = [\"cpu[6]\"]\nbackend.chr = \"s{n}\"\n",
                    0x4000_0000 + n * 0x1000
                ),
                format!(
                    "[dev.uart{n}.serial-mm]\nregshift = {regshift}\nbaudbase = {baudbase:#x}\n"
                ),
            ],
            Self::Eeprom { init, when } => {
                let condition = when
                    .map(|_| format!("when = \"param.there{n}\"\n"))
                    .unwrap_or_default();
                let mut tables = vec![
                    format!(
                        "[dev.rom{n}]\nat = \"fpga.i2c:{:#x}\"\n{condition}",
                        0x60 + n
                    ),
                    format!("[dev.rom{n}.smbus-eeprom]\ninit = {init:?}\n"),
                ];
                tables.extend(when.map(|there| {
                    format!("[param.there{n}]\ntype = \"bool\"\ndefault = {there}\n")
                }));
                tables
            }
            Self::Card { turn } => {
                let pins = [
                    "pirq",
                    "pirq.1-3,pirq.0",
                    "pirq.2-3,pirq.0-1",
                    "pirq.3,pirq.0-2",
                ][*turn];
                vec![
                    format!(
                        "[dev.card{n}]\nat = \"gt.pci:{:02x}\"\nirq.intx = \"piix4[{pins}]\"\n",
                        0x16 + n
                    ),
                    format!("[dev.card{n}.pci-slot]\n"),
                ]
            }
            Self::Ram { mib, split } => {
                let at = 0x4800_0000 + n * 0x100_0000;
                let place = if *split {
                    format!(
                        "map = [{{ at = \"sys:{at:#x}\", limit = \"512KiB\" }}, {{ at = \"sys:{:#x}\", offset = \"512KiB\", limit = 0x10000 }}]\n",
                        at + 0x80_0000
                    )
                } else {
                    format!(
                        "at = \"sys:{:#x}\"\n",
                        0x1_0000_0000_u64 + n as u64 * 0x1000_0000
                    )
                };
                vec![
                    format!("[dev.sram{n}]\n{place}"),
                    format!("[dev.sram{n}.ram]\nsize = \"{mib}MiB\"\n"),
                ]
            }
            Self::Param { value } => vec![
                format!(
                    "[param.rate{n}]\ntype = \"int\"\ndefault = {}\nmin = 1\nmax = 0x10000\n",
                    u32::from(*value) + 1
                ),
                format!(
                    "[dev.clocked{n}]\nat = \"sys:{:#x}\"\n",
                    0x4100_0000 + n * 0x1000
                ),
                format!("[dev.clocked{n}.serial-mm]\nbaudbase = \"${{rate{n}}}\"\n"),
            ],
            Self::Property { device, value } => {
                let device = [
                    "dev.com1.isa-serial",
                    "dev.com2.isa-serial",
                    "dev.cbus.serial-mm",
                ][*device];
                vec![format!("[{device}]\nbaudbase = {value}\n")]
            }
            Self::Default { on } => {
                vec![format!(
                    "[defaults.PIIX4_PM]\nacpi-root-pci-hotplug = {on}\nsmm-enabled = {on}\n"
                )]
            }
        }
    }
}

/// What random boards can do without: nothing else names it.
const SPARE: &[&str] = &[
    "dev.com2",
    "dev.kbc",
    "dev.cbus",
    "dev.eeprom3",
    "dev.slot4",
    "dev.slot2.irq",
    "chip.piix4.dev.usb",
    "dev.serialno",
];

/// The tables of a random board that extends Malta, its header first.
fn random_board() -> impl Strategy<Value = Vec<String>> {
    (
        prop::collection::vec(extra(), 0..8),
        prop::sample::subsequence(SPARE, 0..4),
    )
        .prop_map(|(extras, spare)| {
            let mut tables = vec![
                format!("[board]\nname = \"random\"\nextends = \"malta\"\ndelete = {spare:?}\n"),
                "[join.random]\ninputs = \"cpu[6]\"\nop = \"or\"\n".to_owned(),
            ];
            let mut headers = BTreeSet::new();
            for table in extras
                .iter()
                .enumerate()
                .flat_map(|(n, extra)| extra.tables(n))
            {
                let header = table
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .trim_matches(['[', ']'])
                    .to_owned();
                let gone = spare.iter().any(|spare| header.starts_with(spare));
                if !gone && headers.insert(header) {
                    tables.push(table);
                }
            }
            tables
        })
}

/// The boards in the program, each with its file.
fn built_in() -> Vec<(PathBuf, &'static str)> {
    BUILT_IN
        .iter()
        .map(|(name, text)| (Path::new("machines").join(format!("{name}.toml")), *text))
        .collect()
}

/// A change to a text.
#[derive(Debug, Clone)]
enum Edit {
    /// So many bytes after a place become something else.
    Replace(Index, usize, String),
    /// A line is gone.
    Drop(Index),
    /// A line is there twice.
    Repeat(Index),
    /// What follows the `=` of a line is what follows it in another.
    Value(Index, Index),
    /// A word becomes another of the text's words.
    Word(Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), 0usize..24, "[ -~\n]{0,3}|[a-z]{1,8}|é")
            .prop_map(|(at, len, with)| Edit::Replace(at, len, with)),
        any::<Index>().prop_map(Edit::Drop),
        any::<Index>().prop_map(Edit::Repeat),
        (any::<Index>(), any::<Index>()).prop_map(|(to, from)| Edit::Value(to, from)),
        (any::<Index>(), any::<Index>()).prop_map(|(to, from)| Edit::Word(to, from)),
    ]
}

impl Edit {
    fn apply(&self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.is_empty() {
            return String::new();
        }
        match self {
            Self::Replace(at, len, with) => {
                let at = at.index(text.len());
                let start = (0..=at)
                    .rev()
                    .find(|i| text.is_char_boundary(*i))
                    .unwrap_or(0);
                let end = (start + len..=text.len())
                    .find(|i| text.is_char_boundary(*i))
                    .unwrap_or(text.len());
                return format!("{}{with}{}", &text[..start], &text[end..]);
            }
            Self::Drop(at) => _ = lines.remove(at.index(lines.len())),
            Self::Repeat(at) => {
                let line = lines[at.index(lines.len())].clone();
                lines.push(line);
            }
            Self::Value(to, from) => {
                let pairs: Vec<_> = lines
                    .iter()
                    .enumerate()
                    .filter_map(|(n, line)| Some((n, line.split_once(" = ")?)))
                    .collect();
                if !pairs.is_empty() {
                    let (line, (key, _)) = pairs[to.index(pairs.len())];
                    let (_, (_, value)) = pairs[from.index(pairs.len())];
                    lines[line] = format!("{key} = {value}");
                }
            }
            Self::Word(to, from) => {
                let of_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
                let words: Vec<&str> = text
                    .split(|c| !of_word(c))
                    .filter(|word| !word.is_empty())
                    .collect();
                if !words.is_empty() {
                    let (to, from) = (words[to.index(words.len())], words[from.index(words.len())]);
                    let start = to.as_ptr() as usize - text.as_ptr() as usize;
                    return format!("{}{from}{}", &text[..start], &text[start + to.len()..]);
                }
            }
        }
        lines.join("\n") + "\n"
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_order_of_the_tables_of_a_board_in_the_program_does_not_matter(
        (path, text, shuffled) in prop::sample::select(built_in())
            .prop_flat_map(|(path, text)| (Just(path), Just(text), Just(tables(text)).prop_shuffle())))
    {
        let load = |text: &str| match compose::load_as(&path, text, &Options::default()) {
            Ok((plan, _)) => Ok(plan),
            Err(report) => Err(TestCaseError::fail(report.to_string())),
        };
        same(&load(&shuffled.concat())?, &load(text)?)?;
    }

    #[test]
    fn the_order_of_the_tables_and_keys_of_a_random_board_does_not_matter(
        (tables, lines) in random_board().prop_flat_map(|tables| (Just(tables.clone()), Just(lines(&tables)).prop_shuffle())))
    {
        let mut shuffled: Vec<(&str, String)> = Vec::new();
        for (header, line) in &lines {
            match shuffled.iter_mut().find(|(other, _)| other == header) {
                Some((_, table)) => table.push_str(line),
                None => shuffled.push((header, format!("{header}{line}"))),
            }
        }
        let shuffled: String = shuffled.into_iter().map(|(_, table)| table).collect();
        same(&good(&shuffled)?.plan, &good(&tables.concat())?.plan)?;
    }

    #[test]
    fn a_random_board_shown_as_one_file_resolves_to_the_same_plan(tables in random_board()) {
        let loaded = good(&tables.concat())?;
        let shown = write::board(&loaded.board, &loaded.report.sources);
        let again = good(&shown)?;
        same(&again.plan, &loaded.plan)?;
        prop_assert_eq!(write::board(&again.board, &again.report.sources), shown, "shown twice, it changes");
    }

    #[test]
    fn what_is_deleted_and_added_again_is_as_before(
        devices in prop::sample::subsequence(
            vec!["cpu", "ram", "gt", "flash", "fpga", "cbus", "kbc", "com1", "com2", "slot1", "slot3", "spd", "serialno", "fpga-spd"], 0..14),
        irqs in any::<bool>())
    {
        let malta = BUILT_IN.iter().find(|(name, _)| *name == "malta").map(|(_, text)| *text).unwrap_or_default();
        let summary = "MIPS Malta with a Core LV card";
        let paths: Vec<_> = devices.iter().map(|name| format!("dev.{name}")).collect();
        let deleted: Vec<_> = paths
            .iter()
            .map(|path| {
                // The lines alone, where there are any.
                let header = [format!("[{path}]")];
                let wired = tables_of(malta, &header).contains("\nirq.");
                if irqs && wired { format!("{path}.irq") } else { path.clone() }
            })
            .collect();
        let headers: Vec<_> = paths.iter().flat_map(|path| [format!("[{path}]"), format!("[{path}.")]).collect();
        let text = format!(
            "[board]\nname = \"malta\"\nsummary = \"{summary}\"\nextends = \"malta\"\ndelete = {deleted:?}\n{}",
            tables_of(malta, &headers)
        );
        same(&good(&text)?.plan, &good(malta)?.plan)?;
    }

    #[test]
    fn a_board_with_mistakes_is_told_where_they_are(
        board in prop::sample::select(built_in()), edits in prop::collection::vec(edit(), 1..4))
    {
        let (path, text) = board;
        let text = edits.iter().fold(text.to_owned(), |text, edit| edit.apply(&text));
        match compose::load_as(&path, &text, &Options::default()) {
            Ok((plan, report)) => {
                prop_assert!(!report.has_errors());
                has_places(&report)?;
                prop_assert!(!plan.to_string().is_empty());
            }
            Err(report) => {
                prop_assert!(report.has_errors());
                has_places(&report)?;
            }
        }
    }

    #[test]
    fn a_random_board_with_mistakes_is_told_where_they_are(
        tables in random_board(), edits in prop::collection::vec(edit(), 1..4))
    {
        let text = edits.iter().fold(tables.concat(), |text, edit| edit.apply(&text));
        let report = compose::load_text("random.toml", &text, &Options::default());
        has_places(&report.map_or_else(|report| report, |(_, warnings)| warnings))?;
    }
}
