//! Commands about traces.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Vm;
use super::super::table::{Error, Nothing};
use crate::backend::traced;
use crate::machine::{Trace, points, select};

/// What is traced.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Points {
    /// Points, as `info trace` lists them, parted by commas; `*` stands for any text.
    pattern: String,
    /// on or off; on without it.
    state: Option<String>,
}

pub fn trace(vm: &mut Vm<'_>, args: Points) -> Result<Nothing, Error> {
    let chosen = select(&vm.loaded.plan, &args.pattern)?;
    let on = match args.state.as_deref() {
        None | Some("on") => true,
        Some("off") => false,
        Some(other) => return Err(format!("\"{other}\" is neither on nor off").into()),
    };
    let mut wanted = BTreeSet::new();
    let keep = match vm.machine.take_trace() {
        Some(trace) => {
            wanted.clone_from(trace.wanted());
            trace.into_keep()
        }
        None => match vm.trace.take() {
            Some(keep) => keep,
            None => traced(None)?,
        },
    };
    match on {
        true => wanted.extend(chosen),
        false => wanted.retain(|point| !chosen.contains(point)),
    }
    match wanted.is_empty() {
        // Where it went it goes again.
        true => vm.trace = Some(keep),
        false => vm.machine.set_trace(Some(Trace::new(wanted, keep))),
    }
    Ok(Nothing {})
}

/// The points.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PointInfo {
    /// Its name.
    name: String,
    /// Whether it is traced.
    state: &'static str,
}

pub fn list(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<PointInfo>, Error> {
    let trace = vm.machine.trace();
    let wanted = |name: &String| trace.is_some_and(|t| t.wanted().contains(name));
    let points = points(&vm.loaded.plan).into_iter();
    let info = points.map(|name| PointInfo {
        state: if wanted(&name) { "on" } else { "off" },
        name,
    });
    Ok(info.collect())
}

pub fn say_list(points: &[PointInfo]) -> String {
    let line = |p: &PointInfo| format!("{}: {}\n", p.name, p.state);
    points.iter().map(line).collect()
}
