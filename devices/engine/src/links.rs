//! Jumps between blocks of generated code: which lead where, and which are to lead there once there is code.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap as HashMap;

use crate::generate::{Home, To};

/// See the module. A site is the place of a jump's displacement, from the start of the cache.
#[derive(Debug, Default)]
pub struct Links {
    /// Jumps to blocks that have no code yet, by the page they lead to; with the page that each is in.
    wanted: HashMap<Home, HashMap<To, Vec<(u32, Home)>>>,
    /// Jumps that lead to blocks of a page from others.
    into: HashMap<Home, Vec<(u32, Home, To)>>,
}

impl Links {
    /// Notes a jump out of generated code that would lead to a block.
    pub fn want(&mut self, site: u32, from: Home, to: To) {
        let wanted = self.wanted.entry(to.home).or_default();
        wanted.entry(to).or_default().push((site, from));
    }

    /// Notes a jump that leads to a block.
    pub fn made(&mut self, site: u32, from: Home, to: To) {
        if from != to.home {
            self.into.entry(to.home).or_default().push((site, from, to));
        }
    }

    /// The jumps that wait for a block, which from now on lead there.
    pub fn take_wanted(&mut self, to: To) -> Vec<u32> {
        let waiting = self
            .wanted
            .get_mut(&to.home)
            .and_then(|wanted| wanted.remove(&to))
            .unwrap_or_default();
        for (site, from) in &waiting {
            self.made(*site, *from, to);
        }
        waiting.into_iter().map(|(site, _)| site).collect()
    }

    /// The code of a page is gone: the jumps from other pages that led there, which now wait again.
    pub fn forget(&mut self, home: Home) -> Vec<(u32, To)> {
        if let Some(wanted) = self.wanted.get_mut(&home) {
            wanted.retain(|_, sites| {
                sites.retain(|(_, from)| *from != home);
                !sites.is_empty()
            });
        }
        let into = self.into.remove(&home).unwrap_or_default();
        for (site, from, to) in &into {
            self.want(*site, *from, *to);
        }
        into.into_iter().map(|(site, _, to)| (site, to)).collect()
    }

    /// Forgets all jumps to a page, and gives the pages that they are in.
    pub fn cut(&mut self, home: Home) -> BTreeSet<Home> {
        let wanted = self.wanted.remove(&home).unwrap_or_default();
        let wanted = wanted.into_values().flatten().map(|(_, from)| from);
        let into = self.into.remove(&home).unwrap_or_default();
        wanted.chain(into.into_iter().map(|l| l.1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_into_a_page_wait_again_when_it_is_gone() {
        let (a, b) = ((0, 1), (0, 2));
        let to = |home, unit| To {
            home,
            kind: 0,
            unit,
        };
        let mut links = Links::default();
        links.want(10, a, to(b, 3));
        links.want(20, b, to(b, 3));
        links.want(30, b, to(b, 4));
        assert_eq!(links.take_wanted(to(b, 3)), [10, 20]);
        assert!(links.take_wanted(to(b, 3)).is_empty());
        // The page goes: only what jumps in from elsewhere is left to wait.
        assert_eq!(links.forget(b), [(10, to(b, 3))]);
        assert!(links.take_wanted(to(b, 4)).is_empty());
        assert_eq!(links.take_wanted(to(b, 3)), [10]);
        links.want(40, (0, 3), to(b, 5));
        assert_eq!(links.cut(b), [a, (0, 3)].into());
        assert!(links.cut(b).is_empty());
    }
}
