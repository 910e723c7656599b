//! Address spaces: which region answers at an address.

use std::cell::{Cell, OnceCell};

use solderless_model::{DevId, Open, RegionId};

/// Number of a space within its domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceId(pub usize);

/// Which window wins where several lie over one another, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Decodes what nobody else does.
    Background,
    /// Placed by the device at run time.
    Placed,
    /// Placed by the board.
    Board,
    /// Placed by the board over another.
    Over,
}

/// What is behind a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// A device's region.
    Region,
    /// Another space.
    Space(SpaceId),
}

/// A range of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The device that it belongs to.
    pub dev: DevId,
    /// Its region.
    pub region: RegionId,
    /// First address.
    pub at: u64,
    /// Last address.
    pub last: u64,
    /// What the first address is called behind the window.
    pub offset: u64,
    /// What is behind it.
    pub behind: Behind,
    /// Who wins.
    pub rank: Rank,
}

/// What answers at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A device's region, from an offset on.
    Region {
        /// The device.
        dev: DevId,
        /// The region.
        region: RegionId,
        /// Offset of the address in the region.
        offset: u64,
        /// How many bytes from there on answer in the same way.
        len: u64,
        /// Nanoseconds that one access takes.
        wait_ns: u32,
    },
    /// An open bus.
    Ones,
}

/// Addresses between two borders, and the windows over them, strongest first.
#[derive(Debug)]
struct Stretch {
    at: u64,
    last: u64,
    windows: Vec<Window>,
}

/// One address space.
#[derive(Debug)]
pub struct Space {
    windows: Vec<Window>,
    /// What follows from the windows, worked out when it is looked at: a guest often changes several in a row.
    stretches: OnceCell<Vec<Stretch>>,
    recent: Cell<usize>,
    open: Open,
    /// The highest address; those above it do not exist.
    pub last: u64,
    wait_ns: u32,
}

impl Space {
    /// An empty space that ends at `last`, with what happens where nothing answers and how long an access takes.
    pub fn new(last: u64, open: Open, wait_ns: u32) -> Self {
        Self {
            windows: Vec::new(),
            stretches: OnceCell::new(),
            recent: Cell::new(0),
            open,
            last,
            wait_ns,
        }
    }

    /// Adds a window, cut to the space.
    pub fn add(&mut self, window: Window) {
        if window.at <= self.last {
            self.windows.push(Window {
                last: window.last.min(self.last),
                ..window
            });
            self.changed();
        }
    }

    /// Takes away the windows of a region that are of this rank. Returns whether there were any.
    pub fn remove(&mut self, dev: DevId, region: RegionId, rank: Rank) -> bool {
        let before = self.windows.len();
        self.windows
            .retain(|w| (w.dev, w.region, w.rank) != (dev, region, rank));
        let changed = self.windows.len() != before;
        if changed {
            self.changed();
        }
        changed
    }

    /// Takes away everything that devices placed at run time. Background windows stay.
    pub fn remove_placed(&mut self) {
        self.windows.retain(|w| w.rank != Rank::Placed);
        self.changed();
    }

    /// Its windows, in no order.
    pub fn windows(&self) -> impl Iterator<Item = &Window> {
        self.windows.iter()
    }

    fn changed(&mut self) {
        self.stretches.take();
        self.recent.set(0);
    }

    fn cut(&self) -> Vec<Stretch> {
        let mut windows: Vec<&Window> = self.windows.iter().collect();
        windows.sort_by_key(|w| (std::cmp::Reverse(w.rank), w.dev, w.region, w.at));
        let borders = windows
            .iter()
            .flat_map(|w| [Some(w.at), w.last.checked_add(1)]);
        let mut borders: Vec<u64> = borders.flatten().collect();
        borders.sort_unstable();
        borders.dedup();
        let mut stretches = Vec::with_capacity(borders.len());
        for (i, at) in borders.iter().enumerate() {
            let last = borders.get(i + 1).map_or(u64::MAX, |next| next - 1);
            let over = windows.iter().filter(|w| w.at <= *at && last <= w.last);
            let windows: Vec<Window> = over.map(|w| **w).collect();
            if !windows.is_empty() {
                stretches.push(Stretch {
                    at: *at,
                    last,
                    windows,
                });
            }
        }
        stretches
    }

    fn stretch(&self, at: u64) -> Option<&Stretch> {
        let stretches = self.stretches.get_or_init(|| self.cut());
        if let Some(s) = stretches.get(self.recent.get())
            && s.at <= at
            && at <= s.last
        {
            return Some(s);
        }
        let index = stretches.partition_point(|s| s.last < at);
        self.recent.set(index);
        stretches.get(index).filter(|s| s.at <= at)
    }
}

/// Bridges may lead from space to space at most this often: a board's buses form a tree.
const DEPTH: u32 = 8;

/// Finds what answers at an address of a space.
pub fn resolve(spaces: &[Space], space: SpaceId, at: u64) -> Option<Target> {
    search(spaces, space, at, DEPTH)
}

fn search(spaces: &[Space], id: SpaceId, at: u64, depth: u32) -> Option<Target> {
    let space = spaces.get(id.0)?;
    if at > space.last || depth == 0 {
        return None;
    }
    if let Some(stretch) = space.stretch(at) {
        for window in &stretch.windows {
            let offset = window.offset.wrapping_add(at - window.at);
            let left = stretch.last - at;
            match window.behind {
                Behind::Region => {
                    let (dev, region) = (window.dev, window.region);
                    return Some(Target::Region {
                        dev,
                        region,
                        offset,
                        len: left.saturating_add(1),
                        wait_ns: space.wait_ns,
                    });
                }
                Behind::Space(child) => match search(spaces, child, offset, depth - 1) {
                    Some(Target::Region {
                        dev,
                        region,
                        offset,
                        len,
                        wait_ns,
                    }) => {
                        let len = len.min(left.saturating_add(1));
                        return Some(Target::Region {
                            dev,
                            region,
                            offset,
                            len,
                            wait_ns: wait_ns.max(space.wait_ns),
                        });
                    }
                    Some(Target::Ones) => return Some(Target::Ones),
                    None => {}
                },
            }
        }
    }
    (space.open == Open::Ones).then_some(Target::Ones)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(dev: u32, at: u64, size: u64, rank: Rank) -> Window {
        Window {
            dev: DevId(dev),
            region: RegionId(0),
            at,
            last: at + size - 1,
            offset: 0,
            behind: Behind::Region,
            rank,
        }
    }

    fn hit(spaces: &[Space], at: u64) -> Option<(u32, u64, u64)> {
        match resolve(spaces, SpaceId(0), at)? {
            Target::Region {
                dev, offset, len, ..
            } => Some((dev.0, offset, len)),
            Target::Ones => Some((u32::MAX, 0, 0)),
        }
    }

    #[test]
    fn the_strongest_window_answers() {
        let mut space = Space::new(u64::from(u32::MAX), Open::Error, 0);
        space.add(window(1, 0, 0x1000, Rank::Background));
        space.add(window(2, 0x100, 0x100, Rank::Board));
        space.add(window(3, 0x180, 0x10, Rank::Over));
        space.add(window(4, 0xffff_fff0, 0x100, Rank::Placed));
        let mut spaces = [space];
        for (at, expected) in [
            (0, Some((1, 0, 0x100))),
            (0x17f, Some((2, 0x7f, 1))),
            (0x180, Some((3, 0, 0x10))),
            (0x190, Some((2, 0x90, 0x70))),
            (0xfff, Some((1, 0xfff, 1))),
            (0x1000, None),
            (0xffff_ffff, Some((4, 15, 1))),
            (0x1_0000_0000, None),
        ] {
            assert_eq!(hit(&spaces, at), expected, "{at:#x}");
        }
        assert!(spaces[0].remove(DevId(3), RegionId(0), Rank::Over));
        assert_eq!(hit(&spaces, 0x180), Some((2, 0x80, 0x80)));
        spaces[0].remove_placed();
        assert_eq!(hit(&spaces, 0xffff_ffff), None);
    }

    #[test]
    fn a_bridge_shows_its_child_and_yields_where_that_is_empty() {
        let mut parent = Space::new(u64::from(u32::MAX), Open::Error, 0);
        parent.add(window(1, 0, 0x1_0000, Rank::Background));
        parent.add(Window {
            offset: 0x40,
            behind: Behind::Space(SpaceId(1)),
            ..window(2, 0x1000, 0x1000, Rank::Placed)
        });
        let mut child = Space::new(0xff, Open::Error, 5);
        child.add(window(3, 0x50, 8, Rank::Board));
        let spaces = [parent, child];
        assert_eq!(hit(&spaces, 0x1010), Some((3, 0, 8)));
        assert_eq!(hit(&spaces, 0x1018), Some((1, 0x1018, 0xfe8)));
        assert!(matches!(
            resolve(&spaces, SpaceId(0), 0x1010),
            Some(Target::Region { wait_ns: 5, .. })
        ));
    }

    #[test]
    fn an_open_bus_answers_with_ones() {
        assert_eq!(
            resolve(&[Space::new(0xffff, Open::Ones, 0)], SpaceId(0), 0x61),
            Some(Target::Ones)
        );
        assert_eq!(
            resolve(&[Space::new(0xffff, Open::Ones, 0)], SpaceId(0), 0x1_0000),
            None
        );
    }
}
