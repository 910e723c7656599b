//! Commands that press keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Vm;
use super::super::table::{Error, Nothing};
use crate::diagnostics::suggest;
use crate::machine::Event;

/// A key, by name or by number.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "type", content = "data", rename_all = "kebab-case")]
pub enum KeyValue {
    /// Its name: `a`, `ret`, `ctrl`, `delete`.
    Qcode(String),
    /// Its scan code of set 1, with bit 7 set if 0xe0 stands before it.
    Number(u16),
}

impl KeyValue {
    /// The scan code of set 1, with 0xe000 added if 0xe0 stands before it.
    fn code(&self) -> Result<u16, Error> {
        match self {
            Self::Qcode(name) => {
                let found = CODES.iter().find(|(known, _)| known == name);
                found.map(|(_, code)| *code).ok_or_else(|| {
                    let help = suggest(name, "keys", CODES.iter().map(|(name, _)| *name));
                    format!("invalid key '{name}'\n{help}").into()
                })
            }
            Self::Number(number @ 1..=0xff) => Ok(match number & 0x80 {
                0 => *number,
                _ => 0xe000 | number & 0x7f,
            }),
            Self::Number(number) => Err(format!("invalid key {number}: 1 to 255").into()),
        }
    }
}

/// Keys that are pressed together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SendKey {
    /// The keys, in the order in which they are pressed.
    keys: Vec<KeyValue>,
    /// In QEMU, milliseconds until they are let go. Here that is at once: a keyboard tells both one after the other.
    #[serde(default)]
    hold_time: Option<u64>,
}

pub fn send(vm: &mut Vm<'_>, args: SendKey) -> Result<Nothing, Error> {
    let _ = args.hold_time;
    let codes = args.keys.iter().map(KeyValue::code);
    press(vm, &codes.collect::<Result<Vec<_>, _>>()?)
}

/// Keys as people type them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendKeyTyped {
    /// The keys that are pressed together, with - between them: names, or numbers that begin with 0x.
    keys: String,
    /// In QEMU, milliseconds until they are let go; here that is at once.
    #[serde(default)]
    hold_time: Option<u64>,
}

pub fn send_typed(vm: &mut Vm<'_>, args: SendKeyTyped) -> Result<Nothing, Error> {
    let _ = args.hold_time;
    // Behind a - is a key, and the last may be one itself.
    let names = args.keys.strip_suffix("--").map_or_else(
        || args.keys.split('-').collect::<Vec<_>>(),
        |before| before.split('-').chain(["minus"]).collect(),
    );
    let codes = names.iter().map(|name| match name.strip_prefix("0x") {
        Some(digits) => match u16::from_str_radix(digits, 16) {
            Ok(number) => KeyValue::Number(number).code(),
            Err(_) => Err(format!("invalid key '{name}'").into()),
        },
        None => KeyValue::Qcode((*name).to_owned()).code(),
    });
    press(vm, &codes.collect::<Result<Vec<_>, _>>()?)
}

/// Presses keys of the first keyboard in this order, and lets them go in the other.
fn press(vm: &mut Vm<'_>, codes: &[u16]) -> Result<Nothing, Error> {
    let paths = vm.loaded.plan.devices.iter().map(|device| &device.path);
    let keyboard = paths.into_iter().position(|path| {
        vm.machine
            .device(path)
            .is_some_and(|d| d.keyboard().is_some())
    });
    let device = keyboard.ok_or("no device of the board is a keyboard")?;
    let down = codes.iter().map(|code| (*code, true));
    let up = codes.iter().rev().map(|code| (*code, false));
    for (code, down) in down.chain(up) {
        let told = vm.machine.tell(Event::Key { device, code, down });
        told.map_err(|e| e.to_string())?;
    }
    Ok(Nothing {})
}

/// The names of the keys that can be typed.
pub fn names() -> impl Iterator<Item = &'static str> {
    CODES.iter().map(|(name, _)| *name)
}

/// Keys as QEMU calls them (QKeyCode), and their scan codes of set 1, with 0xe000 added if 0xe0 stands before them.
#[rustfmt::skip]
const CODES: &[(&str, u16)] = &[
    ("0", 0x0b),
    ("1", 0x02),
    ("2", 0x03),
    ("3", 0x04),
    ("4", 0x05),
    ("5", 0x06),
    ("6", 0x07),
    ("7", 0x08),
    ("8", 0x09),
    ("9", 0x0a),
    ("a", 0x1e),
    ("alt", 0x38),
    ("alt_r", 0xe038),
    ("apostrophe", 0x28),
    ("asterisk", 0x37),
    ("b", 0x30),
    ("backslash", 0x2b),
    ("backspace", 0x0e),
    ("bracket_left", 0x1a),
    ("bracket_right", 0x1b),
    ("c", 0x2e),
    ("caps_lock", 0x3a),
    ("comma", 0x33),
    ("compose", 0xe05d),
    ("ctrl", 0x1d),
    ("ctrl_r", 0xe01d),
    ("d", 0x20),
    ("delete", 0xe053),
    ("dot", 0x34),
    ("down", 0xe050),
    ("e", 0x12),
    ("end", 0xe04f),
    ("equal", 0x0d),
    ("esc", 0x01),
    ("f", 0x21),
    ("f1", 0x3b),
    ("f10", 0x44),
    ("f11", 0x57),
    ("f12", 0x58),
    ("f2", 0x3c),
    ("f3", 0x3d),
    ("f4", 0x3e),
    ("f5", 0x3f),
    ("f6", 0x40),
    ("f7", 0x41),
    ("f8", 0x42),
    ("f9", 0x43),
    ("g", 0x22),
    ("grave_accent", 0x29),
    ("h", 0x23),
    ("home", 0xe047),
    ("i", 0x17),
    ("insert", 0xe052),
    ("j", 0x24),
    ("k", 0x25),
    ("kp_0", 0x52),
    ("kp_1", 0x4f),
    ("kp_2", 0x50),
    ("kp_3", 0x51),
    ("kp_4", 0x4b),
    ("kp_5", 0x4c),
    ("kp_6", 0x4d),
    ("kp_7", 0x47),
    ("kp_8", 0x48),
    ("kp_9", 0x49),
    ("kp_add", 0x4e),
    ("kp_decimal", 0x53),
    ("kp_divide", 0xe035),
    ("kp_enter", 0xe01c),
    ("kp_multiply", 0x37),
    ("kp_subtract", 0x4a),
    ("l", 0x26),
    ("left", 0xe04b),
    ("less", 0x56),
    ("m", 0x32),
    ("menu", 0xe05d),
    ("meta_l", 0xe05b),
    ("meta_r", 0xe05c),
    ("minus", 0x0c),
    ("n", 0x31),
    ("num_lock", 0x45),
    ("o", 0x18),
    ("p", 0x19),
    ("pause", 0xe11d),
    ("pgdn", 0xe051),
    ("pgup", 0xe049),
    ("print", 0xe037),
    ("q", 0x10),
    ("r", 0x13),
    ("ret", 0x1c),
    ("right", 0xe04d),
    ("s", 0x1f),
    ("scroll_lock", 0x46),
    ("semicolon", 0x27),
    ("shift", 0x2a),
    ("shift_r", 0x36),
    ("slash", 0x35),
    ("spc", 0x39),
    ("sysrq", 0xe037),
    ("t", 0x14),
    ("tab", 0x0f),
    ("u", 0x16),
    ("up", 0xe048),
    ("v", 0x2f),
    ("w", 0x11),
    ("x", 0x2d),
    ("y", 0x15),
    ("z", 0x2c),
];
