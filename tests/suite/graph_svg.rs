//! The picture of a board: that it shows everything, and that nothing in it lies on anything else.

use std::collections::BTreeMap;

use proptest::prelude::*;
use roxmltree::{Document, Node};
use solderless::compose::{self, BUILT_IN, Options};
use solderless::picture::{Format, export};
use solderless::plan::Plan;

fn plan(name: &str, text: &str) -> Plan {
    let (plan, _) = compose::load_text(name, text, &Options::default())
        .unwrap_or_else(|report| panic!("{text}\n{report}"));
    plan
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Area {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Area {
    fn of(rect: Node<'_, '_>) -> Self {
        let get = |name| rect.attribute(name).unwrap().parse::<i32>().unwrap();
        let (left, top) = (get("x"), get("y"));
        Self {
            left,
            top,
            right: left + get("width"),
            bottom: top + get("height"),
        }
    }

    /// Whether more than edges meet.
    fn meets(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    fn holds(&self, other: &Self) -> bool {
        self.left <= other.left
            && other.right <= self.right
            && self.top <= other.top
            && other.bottom <= self.bottom
    }
}

/// The pieces of a path of `M x y`, `H x` and `V y`.
fn pieces(path: &str) -> Vec<Area> {
    let spaced: String = path
        .chars()
        .flat_map(|c| {
            if c.is_ascii_uppercase() {
                vec![' ', c, ' ']
            } else {
                vec![c]
            }
        })
        .collect();
    let mut words = spaced.split_whitespace();
    let (mut x, mut y) = (0, 0);
    let mut pieces = Vec::new();
    while let Some(word) = words.next() {
        let mut number = || words.next().unwrap().parse::<i32>().unwrap();
        let from = (x, y);
        match word {
            "M" => {
                (x, y) = (number(), number());
                continue;
            }
            "H" => x = number(),
            "V" => y = number(),
            other => panic!("{other} in {path}"),
        }
        pieces.push(Area {
            left: from.0.min(x),
            top: from.1.min(y),
            right: from.0.max(x),
            bottom: from.1.max(y),
        });
    }
    pieces
}

fn title<'d>(group: Node<'d, '_>) -> &'d str {
    let title = group.children().find(|node| node.has_tag_name("title"));
    title.and_then(|title| title.text()).unwrap_or_default()
}

fn of_class<'d, 'i>(
    document: &'d Document<'i>,
    class: &'d str,
) -> impl Iterator<Item = Node<'d, 'i>> {
    document.descendants().filter(move |node| {
        node.attribute("class")
            .is_some_and(|all| all.split(' ').any(|one| one == class))
    })
}

fn rect(group: Node<'_, '_>) -> Option<Area> {
    group
        .children()
        .find(|node| node.has_tag_name("rect"))
        .map(Area::of)
}

/// Checks a plan's picture.
fn check(plan: &Plan) {
    let text = export(plan, Format::Svg);
    let document = Document::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let page = {
        let get = |name| {
            document
                .root_element()
                .attribute(name)
                .unwrap()
                .parse::<i32>()
                .unwrap()
        };
        Area {
            left: 0,
            top: 0,
            right: get("width"),
            bottom: get("height"),
        }
    };

    // Everything is there, by name.
    let cards: BTreeMap<&str, Area> = of_class(&document, "card")
        .map(|card| (title(card).split(':').next().unwrap(), rect(card).unwrap()))
        .collect();
    let words: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text())
        .collect();
    let is_there = |name: &str| assert!(words.contains(&name), "no {name}");
    for device in &plan.devices {
        assert!(
            cards.contains_key(device.path.as_str()),
            "no card of {}",
            device.path
        );
        is_there(&device.path);
        is_there(device.entry.name);
        let parts = device.interface.parts.iter().filter(|part| part.present);
        parts.for_each(|part| is_there(part.name));
        for bound in device.backends.iter().flatten() {
            is_there(&plan.slots[*bound].name);
        }
    }
    assert_eq!(cards.len(), plan.devices.len());
    let wires: Vec<&str> = of_class(&document, "wire").map(title).collect();
    for net in &plan.nets {
        let name = |(device, _): &(usize, _)| plan.devices[*device].path.clone();
        let ends: Vec<_> = net.drivers.iter().chain(&net.sinks).map(name).collect();
        let has = |wire: &&str| ends.iter().all(|end| wire.contains(&format!("{end}.")));
        assert!(wires.iter().any(has), "no wire between {ends:?}");
    }

    // No two things lie on one another, and all are on the page.
    let rails: Vec<Area> = of_class(&document, "bus").filter_map(rect).collect();
    let plugs: Vec<Area> = of_class(&document, "plug")
        .filter_map(|plug| title(plug).contains(':').then(|| rect(plug))?)
        .collect();
    let solid: Vec<Area> = cards.values().copied().chain(rails).chain(plugs).collect();
    for (index, one) in solid.iter().enumerate() {
        assert!(page.holds(one), "{one:?} is not on the page\n{text}");
        for other in &solid[index + 1..] {
            assert!(!one.meets(other), "{one:?} lies on {other:?}\n{text}");
        }
    }

    // A frame has its chip's cards in it and no other.
    for chip in of_class(&document, "chip") {
        let area = rect(chip).unwrap();
        for (path, card) in &cards {
            let inside = path.starts_with(&format!("{}.", title(chip)));
            assert!(
                inside || !area.meets(card),
                "{path} is in the frame of {}\n{text}",
                title(chip)
            );
            assert!(!area.meets(card) || area.holds(card));
        }
    }
    for path in plan.devices.iter().map(|device| device.path.as_str()) {
        for chip in path.match_indices('.').map(|(dot, _)| &path[..dot]) {
            let mut frames = of_class(&document, "chip").filter(|frame| title(*frame) == chip);
            assert!(
                frames.any(|frame| rect(frame).unwrap().holds(&cards[path])),
                "{path} is not in {chip}\n{text}"
            );
        }
    }

    // No connection runs along another or through anything.
    let connections: Vec<Vec<Area>> = of_class(&document, "wire")
        .chain(of_class(&document, "bus"))
        .filter(|group| !title(*group).is_empty())
        .map(|group| {
            let paths = group.children().filter(|node| node.has_tag_name("path"));
            paths
                .flat_map(|path| pieces(path.attribute("d").unwrap()))
                .collect()
        })
        .collect();
    let along = |one: &Area, other: &Area| {
        let across = |a: &Area| a.top == a.bottom;
        let down = |a: &Area| a.left == a.right;
        (across(one)
            && across(other)
            && one.top == other.top
            && one.left < other.right
            && other.left < one.right)
            || (down(one)
                && down(other)
                && one.left == other.left
                && one.top < other.bottom
                && other.top < one.bottom)
    };
    for (index, one) in connections.iter().enumerate() {
        for piece in one {
            assert!(page.holds(piece), "{piece:?} leaves the page\n{text}");
            for area in &solid {
                assert!(
                    !area.meets(piece),
                    "{piece:?} runs through {area:?}\n{text}"
                );
            }
            for other in connections[index + 1..].iter().flatten() {
                assert!(
                    !along(piece, other),
                    "{piece:?} runs along {other:?}\n{text}"
                );
            }
        }
    }
}

#[test]
fn nothing_lies_on_anything_else() {
    let built_in = BUILT_IN.iter().map(|(name, _)| *name);
    for board in built_in.chain(["tests/boards/good/all.toml"]) {
        let loaded = compose::load(board, &Options::default());
        check(&loaded.unwrap_or_else(|report| panic!("{report}")).0);
    }
    check(&plan("tiny.toml", "[board]\nname = \"tiny\""));
}

#[test]
fn names_are_escaped() {
    let text = "[board]\nname = \"<a> & \\\"b\\\" ]]>\"\nsummary = \"</svg><script> \\u0001\"\n\
        [slot]\n\"<&'>\" = { kind = \"chardev\", default = \"null\" }\n\
        [dev.uart]\nat = \"sys:0\"\nbackend.chr = \"<&'>\"\n[dev.uart.serial-mm]\n";
    let plan = plan("odd.toml", text);
    check(&plan);
    let svg = export(&plan, Format::Svg);
    let document = Document::parse(&svg).unwrap();
    let words: Vec<_> = document
        .descendants()
        .filter_map(|node| node.text())
        .collect();
    for expected in ["<a> & \"b\" ]]>", "</svg><script>  ", "<&'>"] {
        assert!(words.contains(&expected), "no {expected} in {words:?}");
    }
    assert!(
        document
            .descendants()
            .all(|node| !node.has_tag_name("script"))
    );
}

/// Malta with so many more devices of several kinds, some of them wired.
fn random(uarts: usize, eeproms: usize, slots: usize, ports: &[usize]) -> String {
    let mut text = "[board]\nname = \"random\"\nextends = \"malta\"\n\
        [join.cpu]\ninputs = \"cpu[4]\"\nop = \"or\"\n[join.other]\ninputs = \"cpu[6]\"\nop = \"or\"\n"
        .to_owned();
    for index in 0..uarts {
        let irq = [
            "",
            "irq.intr = \"cpu[4]\"\n",
            "irq.intr = [\"cpu[4]\", \"cpu[6]\"]\n",
        ][index % 3];
        let at = 0x4000_0000 + index * 0x1000;
        text += &format!(
            "[slot.s{index}]\nkind = \"chardev\"\n[dev.uart{index}]\nat = \"sys:{at:#x}\"\n{irq}\
            backend.chr = \"s{index}\"\n[dev.uart{index}.serial-mm]\n"
        );
    }
    for index in 0..eeproms {
        let at = 0x10 + index;
        text += &format!(
            "[dev.rom{index}]\nat = \"fpga.i2c:{at:#x}\"\n[dev.rom{index}.smbus-eeprom]\n"
        );
    }
    for index in 0..slots {
        let at = 0x16 + index;
        text += &format!(
            "[dev.card{index}]\nat = \"gt.pci:{at:02x}\"\nirq.intx = \"piix4[pirq]\"\n[dev.card{index}.pci-slot]\n"
        );
    }
    for (index, port) in ports.iter().enumerate() {
        let at = 0x1000 + index * 0x100 + port % 8 * 8;
        text += &format!(
            "[dev.port{index}]\nat = \"piix4.isa:{at:#x}\"\n[dev.port{index}.isa-serial]\n"
        );
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_lies_on_anything_else_on_random_boards(
        uarts in 0usize..24, eeproms in 0usize..24, slots in 0usize..8,
        ports in prop::collection::vec(any::<usize>(), 0..16),
        chips in prop::collection::vec(prop::sample::select(vec!["", "", "a.", "a.b.", "a.c.", "long-name-of-a-chip."]), 100))
    {
        let mut plan = plan("random.toml", &random(uarts, eeproms, slots, &ports));
        check(&plan);
        for (device, chip) in plan.devices.iter_mut().zip(chips) {
            device.path = format!("{chip}{}", device.path);
        }
        check(&plan);
    }
}
