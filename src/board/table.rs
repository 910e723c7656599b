//! A table of a board: few keys mostly, in alphabetical order whatever the order of the text.

use std::ops::Index;

use super::tree::Entry;

/// Keys with their values, sorted by key. Boards have very many small tables, which a sorted list holds in a quarter of
/// the memory of a search tree.
#[derive(Debug, Clone, Default)]
pub struct Table(Vec<(String, Entry)>);

impl Table {
    /// A table without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(name, _)| name.as_str().cmp(key))
    }

    /// Whether it has a key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    /// The value of a key.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.find(key).ok().map(|at| &mut self.0[at].1)
    }

    /// The value of a key, which is put there if there is none.
    pub fn get_or_insert_with(&mut self, key: &str, make: impl FnOnce() -> Entry) -> &mut Entry {
        let at = match self.find(key) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (key.to_owned(), make()));
                at
            }
        };
        &mut self.0[at].1
    }

    /// Puts a value under a key, and returns what was there.
    pub fn insert(&mut self, key: String, entry: Entry) -> Option<Entry> {
        // Most come in order.
        if self.0.last().is_none_or(|(last, _)| *last < key) {
            self.0.push((key, entry));
            return None;
        }
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, entry)),
            Err(at) => {
                self.0.insert(at, (key, entry));
                None
            }
        }
    }

    /// Takes out a key.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        self.find(key).ok().map(|at| self.0.remove(at).1)
    }

    /// Keeps what the test says.
    pub fn retain(&mut self, mut keep: impl FnMut(&String, &mut Entry) -> bool) {
        self.0.retain_mut(|(key, entry)| keep(key, entry));
    }

    /// The keys and values, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&String, &Entry)> {
        self.0.iter().map(|(key, entry)| (key, entry))
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().map(|(_, entry)| entry)
    }

    /// The values, in the order of their keys.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.0.iter_mut().map(|(_, entry)| entry)
    }

    /// The keys and values, in order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Entry)> {
        self.0.iter_mut().map(|(key, entry)| (&*key, entry))
    }
}

impl FromIterator<(String, Entry)> for Table {
    /// Of equal keys the last counts.
    fn from_iter<I: IntoIterator<Item = (String, Entry)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        // Not collected, as that makes room for more than most tables have.
        let mut table = Self(Vec::with_capacity(entries.size_hint().0));
        table.0.extend(entries);
        table.0.sort_by(|a, b| a.0.cmp(&b.0));
        table.0.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        table.0.shrink_to_fit();
        table
    }
}

impl Extend<(String, Entry)> for Table {
    fn extend<I: IntoIterator<Item = (String, Entry)>>(&mut self, entries: I) {
        for (key, entry) in entries {
            self.insert(key, entry);
        }
    }
}

impl<const N: usize> From<[(String, Entry); N]> for Table {
    fn from(entries: [(String, Entry); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl IntoIterator for Table {
    type Item = (String, Entry);
    type IntoIter = std::vec::IntoIter<(String, Entry)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// What gives a key and its value as two.
type Pair<'t> = fn(&'t (String, Entry)) -> (&'t String, &'t Entry);
/// See [`Pair`].
type PairMut<'t> = fn(&'t mut (String, Entry)) -> (&'t String, &'t mut Entry);

impl<'t> IntoIterator for &'t Table {
    type Item = (&'t String, &'t Entry);
    type IntoIter = std::iter::Map<std::slice::Iter<'t, (String, Entry)>, Pair<'t>>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, entry)| (key, entry))
    }
}

impl<'t> IntoIterator for &'t mut Table {
    type Item = (&'t String, &'t mut Entry);
    type IntoIter = std::iter::Map<std::slice::IterMut<'t, (String, Entry)>, PairMut<'t>>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut().map(|(key, entry)| (&*key, entry))
    }
}

impl Index<&str> for Table {
    type Output = Entry;
    fn index(&self, key: &str) -> &Entry {
        self.get(key).expect("the caller knows of the key")
    }
}
