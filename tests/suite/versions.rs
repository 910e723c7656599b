//! Boards that are released under a version: what their machines save never changes, and streams of theirs that were
//! kept are loaded for ever.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use solderless::compose::{self, BUILT_IN, Loaded, Options};
use solderless::machine::{Fittings, Machine, Pace, Run};
use solderless::state::payload::show;
use solderless::state::{Description, Layout, Stream, Uri, forever, save, stream};
use solderless_acpi::{Hotplug, MemoryModule, Piix4Pm, Piix4PmProps, Place};
use solderless_model::testing::Bench;
use solderless_model::{NEWEST, Section};

use crate::outside::Typed;

/// What to do when a test here fails.
const FROZEN: &str = "
The layout of a board with a version is frozen: streams of it are out there, and so are programs that load them.
- A field that is new: declare it with #[state(since = N, default = …)]. One with another name: #[state(since = N,
  renamed = \"…\")]. N is one more than the state version of the newest board that has a version; the new layout comes
  with a new board, machines/NAME@M.toml, with `state = N`.
- A device, property default or part that is new on the board it extends: take it back in the older version's file, with
  `delete` or [defaults.…].
- A field that is gone or has another type: keep it, or give the field a new name and the old one's meaning a default.
Only a layout that was never released may be written anew: delete its file under tests/layouts, and run with UPDATE=1.";

fn open(board: &str, set: &[(&str, &str)]) -> Loaded {
    let own = |(path, value): &(&str, &str)| ((*path).to_owned(), (*value).to_owned());
    let options = Options {
        set: set.iter().map(own).collect(),
        ..Options::default()
    };
    compose::open(Some(board), &options).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

/// What `malta` has and its versions have not.
const NEW: &str = "\"dev.net\", \"dev.hda\", \"dev.hdb\", \"dev.hdc\", \"dev.hdd\", \"slot.net0\", \"slot.disk0\", \"slot.disk1\", \"slot.disk2\", \"slot.cdrom\"";

/// `malta` without some of it.
fn without(gone: &str, set: &[(&str, &str)]) -> Loaded {
    let text = format!("[board]\nname = \"older\"\nextends = \"malta\"\ndelete = [{gone}]\n");
    let own = |(path, value): &(&str, &str)| ((*path).to_owned(), (*value).to_owned());
    let options = Options {
        set: set.iter().map(own).collect(),
        ..Options::default()
    };
    compose::open_text("older", &text, &options).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

fn versions() -> impl Iterator<Item = &'static str> {
    BUILT_IN
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| name.contains('@'))
}

/// Whether the files of this run may be made.
fn update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

#[test]
fn the_layout_of_a_version_never_changes() {
    assert!(versions().count() > 1);
    for name in versions() {
        let loaded = open(name, &[]);
        assert!(
            loaded.plan.state.is_some(),
            "{name} needs a line `state = N`"
        );
        let layout = Layout::of(&loaded.plan).to_string();
        let path = format!("tests/layouts/{name}.txt");
        if update() && !Path::new(&path).exists() {
            std::fs::create_dir_all("tests/layouts").expect("the folder");
            std::fs::write(&path, &layout).expect("the file");
        }
        let frozen = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        if frozen != layout {
            let only = |a: &str, b: &str, mark: char| {
                let lines = a
                    .lines()
                    .filter(|line| !b.lines().any(|other| other == *line));
                lines
                    .map(|line| format!("{mark} {line}\n"))
                    .collect::<String>()
            };
            let (gone, new) = (only(&frozen, &layout, '-'), only(&layout, &frozen, '+'));
            panic!("the layout of {name} is not that of {path}:\n{gone}{new}{FROZEN}");
        }
    }
}

fn run(machine: &mut Machine) {
    let run = Run {
        pace: Pace::Deterministic,
        no_reboot: false,
        max_time: Some(Duration::from_millis(20)),
    };
    machine.run(run, &mut Typed::default());
}

/// Has the host ask the guest of a stream for what it can ask while it runs, and not be answered. No board brings such a wish to its
/// device yet, so that it is told it here.
fn ask(stream: &mut Stream) {
    const PM: &str = "piix4.pm";
    const BENCH: &str = "dev";
    let own = stream.board(&Options::default()).expect("its board");
    let pm = own.plan.devices.iter().find(|device| device.path == PM);
    let props = serde_json::from_value(pm.expect("a device").props.to_json());
    let props: Piix4PmProps = props.expect("its properties");
    let mut bench = Bench::<Piix4Pm>::new(props.clone());
    let is_its = |section: &&mut Section| section.path.starts_with(PM);
    let sections = stream.sections.iter_mut().filter(is_its);
    let theirs: Vec<_> = sections
        .map(|section| Section {
            path: section.path.replacen(PM, BENCH, 1),
            ..section.clone()
        })
        .collect();
    let around = Bench::<Piix4Pm>::new(props).around;
    bench.load(&theirs, &around);
    let module = MemoryModule {
        address: 0x4000_0000,
        size: 32 << 20,
        proximity: 0,
    };
    let slot = |slot| Place::Pci { bus: 0, slot };
    for change in [
        Hotplug::Memory { slot: 2, module },
        Hotplug::Unplug(Place::Memory { slot: 2 }),
        Hotplug::Pci {
            bus: 0,
            slot: 20,
            acpi_index: 0,
        },
        Hotplug::Unplug(slot(21)),
    ] {
        bench
            .with(|pm, cx| pm.hotplug(cx, change))
            .expect("a place");
    }
    let sections = stream.sections.iter_mut().filter(is_its);
    for (section, asked) in sections.zip(bench.save()) {
        assert_eq!(section.path.replacen(PM, BENCH, 1), asked.path);
        section.payload = asked.payload;
    }
}

/// The stream that was kept of a version: a Malta in the middle of its ROM.
fn kept(name: &str) -> Stream {
    let path = format!("tests/streams/{name}.snap.gz");
    if update() && !Path::new(&path).exists() && name == ASKED {
        let mut stream = kept("malta-hotplug");
        ask(&mut stream);
        let mut gzip = Command::new("sh");
        let gzip = gzip
            .args(["-c", "gzip -9nc > \"$0\"", &path])
            .stdin(Stdio::piped());
        let mut gzip = gzip.spawn().expect("gzip");
        let mut bytes = Vec::new();
        let sections = &stream.sections;
        stream::write(&mut bytes, &stream.description, sections, &mut |_, _| {}).expect("memory");
        gzip.stdin
            .take()
            .expect("a pipe")
            .write_all(&bytes)
            .expect("a file");
        assert!(gzip.wait().expect("gzip").success());
    }
    if update() && !Path::new(&path).exists() {
        std::fs::create_dir_all("tests/streams").expect("the folder");
        let loaded = open(name, &[("param.ram", "16MiB")]);
        let mut images = vec![None; loaded.plan.slots.len()];
        let boot = loaded.plan.boot.as_ref().expect("it boots");
        images[boot.firmware] = Some(
            solderless::backend::rom("malta-rom-le")
                .expect("it ships")
                .to_vec(),
        );
        let fittings = Fittings {
            images,
            epoch: 1_700_000_000,
            ..Fittings::default()
        };
        let mut machine = Machine::new(&loaded.plan, fittings).expect("a machine");
        run(&mut machine);
        let to = Uri::Exec(format!("gzip -9nc > '{path}'"));
        save(
            &machine,
            &Description::new(&loaded),
            &to,
            &mut |_, _| {},
            &mut forever,
        )
        .expect("a file");
    }
    let from = Uri::Exec(format!("gzip -dc '{path}'"));
    Stream::open(&from, &mut |_, _| {}, &mut forever).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Loads the stream of one version into a board.
fn load(name: &str, into: &Loaded) -> Result<Machine, String> {
    let stream = kept(name);
    let own = stream.board(&Options::default()).expect("its board");
    let built = stream.build(&own.plan, &into.plan, Fittings::default());
    built.map_err(|e| e.to_string())
}

#[test]
fn streams_of_every_version_are_loaded_for_ever() {
    for name in versions() {
        let loaded = open(name, &[("param.ram", "16MiB")]);
        let mut machine = load(name, &loaded).unwrap_or_else(|e| panic!("{name}: {e}{FROZEN}"));
        let before = machine.now();
        assert_eq!(before / 1_000_000, 20, "{name}");
        run(&mut machine);
        assert_eq!(machine.now() / 1_000_000, 40, "{name}");
    }
}

#[test]
fn a_version_loads_into_the_next_as_far_as_the_board_lets_it() {
    let ram = ("param.ram", "16MiB");
    // The next version's board has a part that this one's has not.
    let error = load("malta@1", &open("malta@2", &[ram]))
        .map(drop)
        .unwrap_err();
    assert!(
        error.contains("piix4.rtc.extended: the saved state has no such section"),
        "{error}"
    );
    assert!(error.contains("+   extended-ram = true"), "{error}");
    // Without it, what is new has its default and what was renamed its value.
    let off = ("chip.piix4.dev.rtc.mc146818rtc.extended-ram", "false");
    let newer = load("malta@1", &open("malta@2", &[ram, off])).expect("it fits");
    let older = load("malta@1", &open("malta@1", &[ram])).expect("it fits");
    assert_eq!(newer.state_hash(), older.state_hash());
    // What has no version has all there is, and without the devices that the versions have not takes what they have saved.
    let none = ("dev.cpu.mips32-cpu.victim-tlb", "false");
    load("malta@1", &without(NEW, &[ram, off, none])).expect("it fits");
    load("malta@2", &without(NEW, &[ram, none])).expect("it fits");
    load("malta@3", &without(NEW, &[ram])).expect("it fits");
    let error = load("malta@3", &open("malta", &[ram])).map(drop);
    let error = error.unwrap_err();
    assert!(error.contains("+ device hda"), "{error}");
    // And not back: the older version's layout does not have the field.
    let error = load("malta@2", &open("malta@1", &[ram]))
        .map(drop)
        .unwrap_err();
    assert!(
        error.contains("/clock: request: the saved state has it, and nothing here takes it"),
        "{error}"
    );
}

#[test]
fn a_version_saves_what_programs_of_its_time_load() {
    let loaded = open("malta@1", &[]);
    let machine = Machine::new(&loaded.plan, Fittings::default()).expect("a machine");
    let sections = machine.save(1).expect("it holds all");
    let newest = machine.save(NEWEST).expect("it holds all");
    let length = |sections: &[solderless_model::Section]| {
        let clock = sections.iter().find(|s| s.path == "/clock");
        clock.expect("a section").payload.len()
    };
    assert_eq!(
        length(&sections) + 1,
        length(&newest),
        "the latch of a request"
    );
    let layout = Layout::of(&loaded.plan);
    let (_, rtc) = layout.section("piix4.rtc").expect("a section");
    let text = format!("{rtc:?}");
    assert!(
        text.contains("\"checked\"") && !text.contains("flags_until"),
        "{text}"
    );
}

/// The value of a field: section, field and value.
type Value = (&'static str, &'static str, &'static str);

/// Machines that were kept in the middle of something, each with what it is in the middle of: section, field and value.
const MIDWAY: [(&str, &[Value]); 5] = [
    // An interrupt that nobody takes: of a serial port that may send.
    (
        "malta@3-interrupt",
        &[("com2", "uart.ier", "0x2"), ("/lines", "com2", "[01]")],
    ),
    // A word of the flash memory is to be programmed.
    (
        "malta@3-flash",
        &[
            ("flash", "step", "ProgramData"),
            ("flash", "mode", "Status"),
        ],
    ),
    // A channel that is not masked, and is asked for.
    (
        "malta@3-dma",
        &[
            ("piix4.dma", "first.mask", "0xd"),
            ("piix4.dma", "first.request", "0x2"),
        ],
    ),
    // A module's slot is selected, and the guest has begun to say what became of it. No release has the part.
    (
        "malta-hotplug",
        &[
            ("piix4.pm.memhp", "select", "0x2"),
            ("piix4.pm.memhp", "slots[2].ost_event", "0x103"),
        ],
    ),
    // The host has plugged in a module and wants it back, has put a card into a slot and wants that of another, and the guest has
    // answered nothing.
    (
        ASKED,
        &[
            ("piix4.pm", "gpe.sts", "0xa"),
            ("piix4.pm.memhp", "slots[2].inserting", "true"),
            ("piix4.pm.memhp", "slots[2].removing", "true"),
            ("piix4.pm.memhp", "slots[2].ost_event", "0x103"),
            ("piix4.pm.pcihp", "buses[0].up", "0x100000"),
            ("piix4.pm.pcihp", "buses[0].down", "0x200000"),
        ],
    ),
];

const ASKED: &str = "malta-asked";

/// What the host had asked for stands in the registers of the machine that goes on.
#[test]
fn a_guest_finds_what_the_host_had_asked_for() {
    /// Where the ROM has the host bridge show PCI's I/O space.
    const IO: u64 = 0x1800_0000;
    let stream = kept(ASKED);
    let own = stream.board(&Options::default()).expect("its board");
    let built = stream.build(&own.plan, &own.plan, Fittings::default());
    let mut machine = built.unwrap_or_else(|e| panic!("{e}{FROZEN}"));
    for (port, value) in [
        // The module that is selected: where it is, how large, that it is there, comes and is to go.
        (0x0a00, 0x4000_0000),
        (0x0a08, 32 << 20),
        (0x0a14, 7),
        // The slots of the root bus in which something came, and from which it is to go.
        (0xae00, 1 << 20),
        (0xae04, 1 << 21),
    ] {
        assert_eq!(machine.read(IO + port, 4), Ok(value), "{port:#x}");
    }
}

#[test]
fn what_was_kept_in_the_middle_of_something_goes_on_there() {
    for (name, wanted) in MIDWAY {
        let stream = kept(name);
        for (path, field, value) in wanted {
            let section = stream.sections.iter().find(|s| s.path == *path);
            let (_, content) = stream
                .description
                .about
                .layout
                .section(path)
                .expect("a section");
            let lines = show(section.expect("a section"), content).expect("it is of its layout");
            let found = lines.iter().find(|(name, _)| name == field);
            assert_eq!(
                found.map(|(_, value)| value.as_str()),
                Some(*value),
                "{name}: {path}: {field}"
            );
        }
        let own = stream.board(&Options::default()).expect("its board");
        let into = match name.split_once('-') {
            Some((release, _)) if release.contains('@') => open(release, &[("param.ram", "16MiB")]),
            _ => stream.board(&Options::default()).expect("its board"),
        };
        let built = stream.build(&own.plan, &into.plan, Fittings::default());
        let mut machine = built.unwrap_or_else(|e| panic!("{name}: {e}{FROZEN}"));
        let before = machine.now();
        run(&mut machine);
        assert_eq!((machine.now() - before) / 1_000_000, 20, "{name}");
    }
}
