//! What holds for every device type of this build, whatever it is: no guest can make it panic, wake it without end, or
//! find a difference between it and one that was loaded from its state.

use serde_json::{Value, json};
use solderless::registry::{Entry, Properties, TYPES};
use solderless::state::payload::show;
use solderless_model::memory::Ram;
use solderless_model::testing::{Bench, Noise, exercise, step};
use solderless_model::{Device, Interface, Pin, PortId, RegionKind, Space, Wires};

/// Values that a property may take if its default does not fit, in the order they are tried.
const VALUES: [fn() -> Value; 6] = [
    || json!(1),
    || json!(2),
    || json!("4KiB"),
    || json!("64KiB"),
    || json!("1MHz"),
    || json!("100MHz"),
];

/// The interface of a type, and properties with it: the defaults, except where the type says that one does not fit.
pub fn properties(entry: &Entry) -> (Properties, Interface) {
    let mut set = serde_json::Map::new();
    let interface = |set: &serde_json::Map<String, Value>| {
        let props = (entry.decode)(&Value::Object(set.clone())).map_err(|reason| (None, reason))?;
        match props.interface() {
            Ok(interface) => Ok((props, interface)),
            Err(error) => Err((Some(error.property), error.reason)),
        }
    };
    loop {
        let (property, reason) = match interface(&set) {
            Ok(found) => return found,
            Err((Some(property), reason)) if !set.contains_key(property) => (property, reason),
            Err((_, reason)) => panic!("{}: no value tried fits: {reason}", entry.name),
        };
        let fits = VALUES.iter().map(|value| value()).find(|value| {
            set.insert(property.to_owned(), value.clone());
            !matches!(interface(&set), Err((at, _)) if at.is_none_or(|at| at == property))
        });
        assert!(
            fits.is_some(),
            "{}: no value tried fits {property}: {reason}",
            entry.name
        );
    }
}

/// A device of this type on a bench with memory full of noise.
pub fn bench(entry: &Entry, props: &Properties, interface: &Interface) -> Bench<Box<dyn Device>> {
    let images = vec![None; interface.slots.len()];
    let dev = props.build(Wires::new(&interface.present(), &images));
    let dev = dev.unwrap_or_else(|e| panic!("{}: {e}", entry.name));
    let mut bench = Bench::holding(dev, interface.clone());
    let ram = Ram::new(0x1_0000).expect("host memory");
    let mut noise = Noise(7);
    for at in (0..ram.size()).step_by(8) {
        ram.write_u64(at, noise.value()).expect("within the block");
    }
    bench.around.ram = Some(ram);
    bench
}

/// The properties with which a type has each of its parts that the default leaves away, one at a time.
pub fn with_parts(
    entry: &Entry,
    props: &Properties,
    interface: &Interface,
) -> Vec<(Properties, Interface)> {
    let absent = interface.parts.iter().filter(|p| !p.present && p.built);
    let mut all = Vec::new();
    for part in absent {
        let mut set = props.to_json();
        for (property, off) in part.off {
            set[*property] = json!(!off);
        }
        let props = (entry.decode)(&set).expect("properties of the type");
        if let Ok(interface) = props.interface() {
            assert!(interface.present().has(part.name), "{}", part.name);
            all.push((props, interface));
        }
    }
    all
}

#[test]
fn every_type_stands_random_accesses_and_keeps_its_state() {
    for entry in TYPES {
        println!("{}", entry.name);
        let (props, interface) = properties(entry);
        for (props, interface) in with_parts(entry, &props, &interface) {
            exercise(|| bench(entry, &props, &interface));
        }
        exercise(|| bench(entry, &props, &interface));
    }
}

/// Whether a device is the same with an input high as with it low, as far as can be seen from outside, through random steps.
fn makes_no_difference(new: impl Fn() -> Bench<Box<dyn Device>>, pin: Pin) -> bool {
    let differs = |seed: u64| {
        let mut noise = Noise(seed);
        let (mut low, mut high) = (new(), new());
        for n in 0..300 {
            // The steps before the difference are different ones, too.
            if n >= 100 {
                low.line(pin, false);
                high.line(pin, true);
            }
            let mut again = noise.clone();
            let seen = [(&mut low, &mut noise), (&mut high, &mut again)].map(|(bench, noise)| {
                let answer = step(bench, noise);
                let cpu = bench.dev.processor().map(|cpu| {
                    let values = (0..).map_while(|place| cpu.register(place));
                    values.collect::<Vec<_>>()
                });
                let around = &bench.around;
                let lines = (around.outputs.clone(), around.timers.clone());
                (answer, cpu, lines, around.sent.clone())
            });
            if seen[0] != seen[1] {
                return true;
            }
        }
        low.save() != high.save()
    };
    !(0..200).any(differs)
}

/// Inputs that are of use only to software that has set up the local APIC, which no noise does.
const SET_UP: [&str; 2] = ["x86_64-cpu.nmi[0]", "x86_64-cpu.apic[0]"];

#[test]
fn every_input_is_of_use_and_what_is_inside_is_not() {
    for entry in TYPES {
        let (props, interface) = properties(entry);
        let mut all = with_parts(entry, &props, &interface);
        all.push((props, interface));
        // With one of all parts that it can have, each input has to be of use.
        let mut useless: Option<Vec<String>> = None;
        for (props, interface) in all {
            let mut first = 0;
            let mut here = Vec::new();
            for group in &interface.inputs {
                for number in 0..group.count {
                    let name = format!("{}.{}[{number}]", entry.name, group.name);
                    let pin = Pin(first + number);
                    let idle = makes_no_difference(|| bench(entry, &props, &interface), pin);
                    if group.inside.contains(&number) {
                        assert!(idle, "{name} is said to be inside and can be driven");
                    } else if idle {
                        here.push(name);
                    }
                }
                first += group.count;
            }
            match &mut useless {
                None => useless = Some(here),
                Some(useless) => useless.retain(|name| here.contains(name)),
            }
        }
        let mut useless = useless.unwrap_or_default();
        useless.retain(|name| !SET_UP.contains(&name.as_str()));
        assert!(useless.is_empty(), "these do nothing: {useless:?}");
    }
}

#[test]
fn every_space_of_a_bus_is_shown_by_the_type_that_offers_it() {
    for entry in TYPES {
        let (_, interface) = properties(entry);
        for (number, port) in (0..).zip(&interface.ports) {
            for space in [Space::Memory, Space::Io] {
                let shown = interface.regions.iter().any(|region| {
                    let port = PortId(number);
                    region.kind == RegionKind::Bridge { port, space }
                });
                assert_eq!(
                    shown,
                    port.kind.space(space).is_some(),
                    "{}.{}: {space:?}",
                    entry.name,
                    port.name
                );
            }
        }
    }
}

#[test]
fn every_type_saves_what_its_layout_says() {
    for entry in TYPES {
        let (props, interface) = properties(entry);
        let mut all = with_parts(entry, &props, &interface);
        all.push((props, interface));
        for (props, interface) in all {
            let bench = bench(entry, &props, &interface);
            let sections = bench.save();
            // Memories are those of the regions, in their order: the layout has their sizes from there.
            let regions = interface.regions.iter();
            let regions = regions.filter(|r| r.kind == RegionKind::Memory);
            let blocks = sections.iter().flat_map(|s| &s.memory);
            assert!(
                blocks.map(Ram::size).eq(regions.map(|r| r.size)),
                "{}: memory",
                entry.name
            );
            let contents = (entry.contents)(&interface.present(), &[]);
            let contents = contents.iter().filter(|(_, content)| !content.is_empty());
            let paths = contents.clone().map(|(path, _)| format!("dev{path}"));
            assert!(
                paths.eq(sections.iter().map(|s| s.path.clone())),
                "{}",
                entry.name
            );
            for ((_, content), section) in contents.zip(&sections) {
                let shown = show(section, content);
                shown.unwrap_or_else(|e| panic!("{}: {e}", entry.name));
            }
        }
    }
}

#[test]
fn what_the_schema_refuses_of_numbers_and_lists_does_not_decode() {
    let mut tried = 0;
    for entry in TYPES {
        let schema = (entry.schema)().to_value();
        let properties = schema["properties"].as_object();
        for (name, property) in properties.into_iter().flatten() {
            let bound = |key: &str| property[key].as_i64();
            let list = |len: i64| json!(vec![0; len as usize]);
            let values = [
                bound("minimum").map(|min| json!(min - 1)),
                bound("maximum").map(|max| json!(max + 1)),
                bound("minItems")
                    .filter(|min| *min > 0)
                    .map(|min| list(min - 1)),
                bound("maxItems").map(|max| list(max + 1)),
            ];
            for value in values.into_iter().flatten() {
                let decoded = (entry.decode)(&json!({ name.as_str(): value }));
                assert!(decoded.is_err(), "{}: {name} = {value}", entry.name);
                tried += 1;
            }
            let ends = [bound("minimum"), bound("maximum")];
            for end in ends.into_iter().flatten() {
                let decoded = (entry.decode)(&json!({ name.as_str(): end }));
                assert!(decoded.is_ok(), "{}: {name} = {end}", entry.name);
            }
        }
    }
    assert!(tried > 30, "{tried}");
}
