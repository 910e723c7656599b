//! The address map as it is now, as text.

use std::fmt::Write;

use solderless_model::BusKind;

use super::super::space::{Behind, Rank, Window};
use super::{Domain, SpaceId};

impl Domain {
    /// Every window of every space, in the order of their addresses. `buses` are the names of the buses, by number.
    pub(in crate::machine) fn address_map(&self, buses: &[String]) -> String {
        let mut out = String::new();
        for (bus, name) in self.buses.iter().zip(buses) {
            for (space, kind) in [(bus.memory, "memory"), (bus.io, "I/O")] {
                let Some(space) = space else { continue };
                // Few boards have ports on the CPU's own bus.
                if bus.kind == BusKind::System
                    && kind == "I/O"
                    && self.spaces[space.0].windows().next().is_none()
                {
                    continue;
                }
                // Writing to a string has no way to fail.
                let _ = writeln!(out, "address-space: {name} {kind}");
                let mut windows: Vec<_> = self.spaces[space.0].windows().collect();
                windows.sort_by_key(|w| (w.at, std::cmp::Reverse(w.rank), w.last));
                for window in windows {
                    let _ = writeln!(out, "  {}", self.window(window, buses));
                }
            }
        }
        out
    }

    fn window(&self, window: &Window, buses: &[String]) -> String {
        let place = &self.places[window.dev.0 as usize];
        let region = place.region(window.region);
        let region = region.map_or("", |r| r.region.name);
        let mut text = format!(
            "{:016x}-{:016x} {}.{region}",
            window.at, window.last, place.path
        );
        match window.behind {
            Behind::Region if window.offset == 0 => {}
            Behind::Region => {
                let _ = write!(text, " @{:016x}", window.offset);
            }
            Behind::Space(space) => {
                let name = self.space_name(space, buses);
                let _ = write!(text, " -> {name} @{:016x}", window.offset);
            }
        }
        text += match window.rank {
            Rank::Background => " (background)",
            Rank::Over => " (over)",
            Rank::Placed | Rank::Board => "",
        };
        text
    }

    fn space_name(&self, space: SpaceId, buses: &[String]) -> String {
        let named = self.buses.iter().zip(buses).find_map(|(bus, name)| {
            if bus.memory == Some(space) {
                return Some(format!("{name} memory"));
            }
            (bus.io == Some(space)).then(|| format!("{name} I/O"))
        });
        named.unwrap_or_default()
    }
}
