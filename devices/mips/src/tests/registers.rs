use solderless_model::Processor;
use solderless_model::registers::{Register, Value, description};

use super::Rig;
use crate::CpuModel;

fn place(rig: &Rig, name: &str) -> usize {
    rig.bench
        .dev
        .named(name)
        .unwrap_or_else(|| panic!("{name}"))
}

fn read(rig: &Rig, name: &str) -> u64 {
    rig.bench.dev.register(place(rig, name)).unwrap().low()
}

fn write(rig: &mut Rig, name: &str, value: u64) -> bool {
    let place = place(rig, name);
    rig.bench.dev.set_register(place, value.into())
}

#[test]
fn registers_are_there_once_and_those_of_the_fpu_with_it() {
    let with = Rig::new(|_| ()).bench.dev.registers();
    let without = Rig::new(|p| p.model = CpuModel::M4KEc)
        .bench
        .dev
        .registers();
    assert_eq!(without, with[..without.len()]);
    assert!(with[without.len()..].iter().all(|r| r.group == "fpu"));
    assert_eq!(with.len() - without.len(), 34);
    for (n, a) in with.iter().enumerate() {
        assert_eq!(a.name, a.name.to_lowercase());
        for b in &with[n + 1..] {
            assert_ne!(a.name, b.name);
            let number = |r: &Register| r.gdb.map(|gdb| gdb.number);
            assert!(number(a).is_none() || number(a) != number(b), "{}", b.name);
        }
    }
}

#[test]
fn what_is_written_to_a_register_is_read_of_it() {
    let mut rig = Rig::new(|_| ());
    let dev = &mut rig.bench.dev;
    for (place, register) in dev.registers().iter().enumerate() {
        let before = dev.register(place).unwrap();
        let value = 0x0101_0101 * (place as u32 & 0xff);
        let fixed =
            ["zero", "fir", "prid"].contains(&register.name) || register.name.starts_with("config");
        let written = dev.set_register(place, value.into());
        let now = dev.register(place).unwrap();
        match register.group {
            // Fields of these are fixed.
            _ if ["status", "cause", "fcsr"].contains(&register.name) => assert!(written),
            "cp0" if !written => assert_eq!(now, before, "{}", register.name),
            _ if fixed => assert_eq!((written, now), (false, before), "{}", register.name),
            _ => assert_eq!((written, now), (true, value.into()), "{}", register.name),
        }
    }
    let end = dev.registers().len();
    assert_eq!(dev.register(end), None);
    assert!(!dev.set_register(end, Value::default()));
}

#[test]
fn floating_point_registers_are_halves_while_status_says_so() {
    let mut rig = Rig::new(|_| ());
    assert!(write(&mut rig, "status", 0x2400_0000));
    assert!(write(&mut rig, "f2", 0x1111_2222_3333_4444));
    assert!(write(&mut rig, "f3", 0x5555_6666_7777_8888));
    assert!(write(&mut rig, "status", 0x2000_0000));
    assert_eq!(
        [read(&rig, "f2"), read(&rig, "f3")],
        [0x3333_4444, 0x1111_2222]
    );
    assert!(write(&mut rig, "f3", 0x9999_aaaa_bbbb_cccc));
    assert_eq!(
        [read(&rig, "f2"), read(&rig, "f3")],
        [0x3333_4444, 0xbbbb_cccc]
    );
    assert!(write(&mut rig, "status", 0x2400_0000));
    assert_eq!(
        [read(&rig, "f2"), read(&rig, "f3")],
        [0xbbbb_cccc_3333_4444, 0x5555_6666_7777_8888]
    );
}

/// The features that gdb's manual names, with the registers that it wants in each ("MIPS Features").
#[test]
fn gdb_is_told_what_it_looks_for() {
    let rig = Rig::new(|_| ());
    let dev = &rig.bench.dev;
    let text = description(dev.architecture(), &dev.registers());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..6],
        [
            r#"<?xml version="1.0"?>"#,
            r#"<!DOCTYPE target SYSTEM "gdb-target.dtd">"#,
            r#"<target version="1.0">"#,
            "  <architecture>mips</architecture>",
            r#"  <feature name="org.gnu.gdb.mips.cpu">"#,
            r#"    <reg name="r0" bitsize="32" regnum="0" type="int" group="general"/>"#,
        ]
    );
    let mut expected = vec![String::new()];
    let mut feature = |name: &str, registers: &[(String, u32)]| {
        expected.push(format!("feature {name}"));
        expected.extend(
            registers
                .iter()
                .map(|(name, number)| format!("{name} {number}")),
        );
    };
    let numbered =
        |letter: &'static str, from: u32| (0..32).map(move |n| (format!("{letter}{n}"), from + n));
    let one = |name: &str, number| (name.to_owned(), number);
    let general = [one("lo", 33), one("hi", 34), one("pc", 37)];
    feature(
        "org.gnu.gdb.mips.cpu",
        &numbered("r", 0).chain(general).collect::<Vec<_>>(),
    );
    let control = [one("status", 32), one("badvaddr", 35), one("cause", 36)];
    feature("org.gnu.gdb.mips.cp0", &control);
    let fpu = [one("fcsr", 70), one("fir", 71)];
    feature(
        "org.gnu.gdb.mips.fpu",
        &numbered("f", 38).chain(fpu).collect::<Vec<_>>(),
    );
    let rest: Vec<_> = dev
        .registers()
        .iter()
        .filter(|r| r.group == "cp0")
        .map(|r| r.name)
        .collect();
    let rest: Vec<_> = rest[3..]
        .iter()
        .zip(73..)
        .map(|(name, number)| one(name, number))
        .collect();
    feature("org.solderless.mips.cp0", &rest);
    let mut said = vec![String::new()];
    for line in &lines[4..] {
        let words: Vec<&str> = line.split('"').collect();
        match words[0].trim() {
            "<feature name=" => said.push(format!("feature {}", words[1])),
            "<reg name=" => said.push(format!("{} {}", words[1], words[5])),
            _ => {}
        }
    }
    assert_eq!(said, expected);
    assert!(
        text.contains(
            r#"<reg name="pc" bitsize="32" regnum="37" type="code_ptr" group="general"/>"#
        )
    );
    assert!(
        text.contains(
            r#"<reg name="f31" bitsize="64" regnum="69" type="ieee_double" group="fpu"/>"#
        )
    );
    assert!(text.ends_with("  </feature>\n</target>\n"));
    let without = Rig::new(|p| p.model = CpuModel::M4KEc);
    let dev = &without.bench.dev;
    assert!(!description(dev.architecture(), &dev.registers()).contains("mips.fpu"));
}
