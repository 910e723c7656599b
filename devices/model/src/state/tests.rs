use super::*;
use crate::{Parts, State, contents};

#[derive(Debug, Default, PartialEq, State)]
struct Inner {
    level: bool,
    fifo: VecDeque<u8>,
}

#[derive(Debug, Default, PartialEq, State)]
enum Mode {
    #[default]
    Idle,
    Busy(u32),
    Done {
        code: i16,
    },
}

#[derive(Debug, State)]
struct Hotplug {
    up: u32,
}
impl Part for Hotplug {
    const NAME: &'static str = "hotplug";
}

#[derive(Debug, State)]
struct Whole {
    regs: [u16; 2],
    latch: Option<u8>,
    mode: Mode,
    inner: Inner,
    hotplug: Fitted<Hotplug>,
    #[state(skip = "derived from regs")]
    sum: u32,
}

fn whole(part: bool) -> Whole {
    Whole {
        regs: [1, 2],
        latch: Some(3),
        mode: Mode::Busy(4),
        inner: Inner {
            level: true,
            fifo: [5, 6].into(),
        },
        hotplug: Fitted(part.then_some(Hotplug { up: 7 })),
        sum: 3,
    }
}

fn sections(state: &dyn Persist) -> Vec<Section> {
    let mut out = Writer::default();
    out.section("dev", state);
    out.finish().unwrap()
}

#[test]
fn a_part_is_a_section_or_nothing() {
    let (with, without) = (sections(&whole(true)), sections(&whole(false)));
    assert_eq!(with[0], without[0]);
    assert_eq!(with.len(), 2);
    assert_eq!(without.len(), 1);
    assert_eq!(
        (with[1].path.as_str(), with[1].payload.as_slice()),
        ("dev.hotplug", &[7, 0, 0, 0][..])
    );
    let without = contents::<Whole>(&Parts::default(), &[]);
    let text = format!("{without:?}");
    assert!(!text.contains("hotplug"), "{text}");
    let with = contents::<Whole>(&Parts::from_iter(["hotplug"]), &[]);
    assert_eq!(with[0], without[0]);
    assert_eq!(with.len(), 2);
    assert_eq!((&*with[1].0, with[1].1.size()), (".hotplug", (4, false)));
}

#[test]
fn what_is_saved_is_loaded() {
    let saved = sections(&whole(true));
    let mut fresh = Whole {
        regs: [0; 2],
        latch: None,
        mode: Mode::Done { code: -1 },
        inner: Inner::default(),
        hotplug: Fitted(Some(Hotplug { up: 0 })),
        sum: 99,
    };
    Reader::new(&saved, NEWEST)
        .section("dev", &mut fresh)
        .unwrap();
    assert_eq!(sections(&fresh), saved);
    assert_eq!(fresh.sum, 99, "a skipped field keeps its value");
}

#[derive(Debug, Default, PartialEq, State)]
enum Speed {
    #[default]
    Low,
    Full,
    #[state(since = 3)]
    High,
}

#[derive(Debug, Default, PartialEq, State)]
struct Changed {
    first: u8,
    #[state(since = 2, renamed = "old")]
    new: u16,
    #[state(since = 3, default = 7)]
    added: u8,
    speed: Speed,
}

#[test]
fn a_state_version_has_what_it_had_then() {
    let state = Changed {
        first: 1,
        new: 2,
        added: 7,
        speed: Speed::Full,
    };
    let names = |version| match &contents::<Changed>(&Parts::default().at(version), &[])[0].1 {
        Type::Struct(_, fields) => fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(names(1), ["first", "old", "speed"]);
    assert_eq!(names(2), ["first", "new", "speed"]);
    assert_eq!(names(NEWEST), ["first", "new", "added", "speed"]);
    let save = |state: &Changed, version| {
        let mut out = Writer::new(version);
        out.section("dev", state);
        out.finish()
    };
    let saved = save(&state, 2).unwrap();
    assert_eq!(saved[0].payload, [1, 2, 0, 1, 0, 0, 0]);
    let mut loaded = Changed::default();
    Reader::new(&saved, 2).section("dev", &mut loaded).unwrap();
    assert_eq!(loaded, state, "what was added has its default");
    assert_eq!(
        save(&state, 3).unwrap()[0].payload,
        [1, 2, 0, 7, 1, 0, 0, 0]
    );
    for state in [
        Changed {
            added: 8,
            ..Changed::default()
        },
        Changed {
            added: 7,
            speed: Speed::High,
            ..Changed::default()
        },
    ] {
        let error = save(&state, 2).unwrap_err().to_string();
        assert!(error.ends_with("a board of state version 3 can"), "{error}");
        assert!(save(&state, 3).is_ok());
    }
}

#[test]
fn a_length_that_is_a_lie_costs_nothing() {
    let mut saved = sections(&vec![1u64]);
    saved[0].payload[..8].fill(0xff);
    let error = Reader::new(&saved, NEWEST).section("dev", &mut Vec::<u64>::new());
    assert!(error.unwrap_err().to_string().contains("elements"));
}

#[test]
fn broken_streams_are_refused_with_the_place() {
    let mut saved = sections(&whole(false));
    let error = |s: &[Section]| {
        Reader::new(s, NEWEST)
            .section("dev", &mut whole(false))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        Reader::new(&saved, NEWEST)
            .section("other", &mut 0u8)
            .unwrap_err()
            .to_string(),
        "section other is missing"
    );
    assert_eq!(
        Reader::new(&saved, NEWEST)
            .section("dev", &mut whole(true))
            .unwrap_err()
            .to_string(),
        "hotplug: section dev.hotplug is missing"
    );
    saved[0].payload.push(0);
    assert_eq!(
        error(&saved),
        "section dev has 1 bytes and 0 blocks of memory too many"
    );
    saved[0].payload[6] = 9;
    assert_eq!(error(&saved), "mode: Mode has no variant 9");
    saved[0].payload.truncate(12);
    saved[0].payload[6] = 2;
    assert!(error(&saved).starts_with("inner: "), "{}", error(&saved));
}
