//! Who wants to know what of a block is written: each watcher has pages of its own and answers of its own.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Deref, Range};
use std::rc::Rc;

use crate::{PAGE, Ram};

/// What of a page is told apart: 64 lines.
const LINE: u64 = PAGE / 64;

/// The watchers of a block.
#[derive(Default)]
pub(crate) struct Watch {
    watchers: RefCell<Vec<Rc<Marks>>>,
    reserved: RefCell<Vec<Reserved>>,
}

/// What a watcher wants to know, and what it has not been told yet.
#[derive(Default)]
struct Marks {
    /// A page is watched no longer once it was written.
    once: bool,
    /// One bit per page. Made with the first.
    pages: OnceCell<Box<[Cell<u64>]>>,
    /// There is something in what follows.
    news: Cell<bool>,
    /// Pages that were written, and lines of them.
    written: RefCell<Vec<(u32, u64)>>,
    /// Pages that must not be written directly any more.
    guarded: RefCell<BTreeSet<u32>>,
}

struct Reserved {
    bytes: Range<u64>,
    held: Rc<Cell<bool>>,
}

fn bits(ram: &Ram) -> Box<[Cell<u64>]> {
    vec![Cell::new(0); ram.pages().div_ceil(64) as usize].into()
}

fn set(bits: &[Cell<u64>], page: u32, on: bool) {
    if let Some(word) = bits.get(page as usize / 64) {
        let others = word.get() & !(1 << (page % 64));
        word.set(others | u64::from(on) << (page % 64));
    }
}

impl Marks {
    /// The bits of the 64 pages from `64 * word` on.
    fn word(&self, word: usize) -> u64 {
        let pages = self.pages.get();
        pages.and_then(|p| p.get(word)).map_or(0, Cell::get)
    }

    fn has(&self, page: u32) -> bool {
        self.word(page as usize / 64) >> (page % 64) & 1 != 0
    }

    fn note(&self, page: u32, lines: u64) {
        self.news.set(true);
        let written = &mut *self.written.borrow_mut();
        if let Some((last, known)) = written.last_mut()
            && *last == page
        {
            *known |= lines;
            return;
        }
        // The same pages again and again do not make it long.
        const SHORT: usize = 64;
        if written.len() >= SHORT && written.len() == written.capacity() {
            written.sort_unstable();
            written.dedup_by(|more, first| {
                let same = more.0 == first.0;
                first.1 |= if same { more.1 } else { 0 };
                same
            });
            written.reserve(written.len());
        }
        written.push((page, lines));
    }
}

impl Ram {
    /// Another watcher, which watches nothing yet.
    pub fn watcher(&self) -> Watcher {
        self.watching(Marks::default())
    }

    /// Another who wants to know which pages are written from now on.
    pub fn dirty(&self) -> Dirty {
        let watcher = self.watching(Marks {
            once: true,
            ..Marks::default()
        });
        (0..self.pages() as u32).for_each(|page| watcher.watch(page, true));
        Dirty(watcher)
    }

    fn watching(&self, marks: Marks) -> Watcher {
        let marks = Rc::new(marks);
        self.0.watch.watchers.borrow_mut().push(marks.clone());
        Watcher {
            ram: self.clone(),
            marks,
        }
    }

    /// Some of a page that is watched is written.
    #[cold]
    #[inline(never)]
    pub(crate) fn written(&self, page: u32, offset: u64, len: u64) {
        let start = u64::from(page) * PAGE;
        let first = offset.max(start) - start;
        let last = (offset + len - 1).min(start + PAGE - 1) - start;
        let lines = u64::MAX << (first / LINE) & u64::MAX >> (63 - last / LINE);
        let watch = &self.0.watch;
        let mut over = false;
        for marks in watch.watchers.borrow().iter().filter(|m| m.has(page)) {
            marks.note(page, lines);
            if marks.once
                && let Some(pages) = marks.pages.get()
            {
                set(pages, page, false);
                over = true;
            }
        }
        if over {
            self.unguard(page as usize / 64);
        }
        for reserved in watch.reserved.borrow().iter() {
            if reserved.bytes.start < offset + len && offset < reserved.bytes.end {
                reserved.held.set(false);
            }
        }
    }

    /// Somebody begins to watch a page: nobody must reach it directly. Who knows that already is not told.
    fn guard(&self, page: u32, knows: Option<&Rc<Marks>>) {
        if self.is_watched(page) {
            return;
        }
        set(self.0.watched.get_or_init(|| bits(self)), page, true);
        for marks in self.0.watch.watchers.borrow().iter() {
            if !marks.once && knows.is_none_or(|knows| !Rc::ptr_eq(marks, knows)) {
                marks.guarded.borrow_mut().insert(page);
                marks.news.set(true);
            }
        }
    }

    /// Finds out whether anybody watches these 64 pages still.
    fn unguard(&self, word: usize) {
        let Some(watched) = self.0.watched.get().and_then(|w| w.get(word)) else {
            return;
        };
        let watch = &self.0.watch;
        let mut left = 0;
        for marks in watch.watchers.borrow().iter() {
            left |= marks.word(word);
        }
        for reserved in watch.reserved.borrow().iter() {
            let page = reserved.bytes.start / PAGE;
            if page / 64 == word as u64 {
                left |= 1 << (page % 64);
            }
        }
        watched.set(left);
    }
}

/// A handle to a block that is told of writes to pages that it watches, whoever writes, and of what it must not write directly
/// any more. None takes away what another is told.
pub struct Watcher {
    ram: Ram,
    marks: Rc<Marks>,
}

impl Watcher {
    /// Begins or ends to watch the page with this number (offset / [`PAGE`]). A [`SoftTlb`](crate::SoftTlb) of the watcher's
    /// own must have no writable entry for it.
    pub fn watch(&self, page: u32, on: bool) {
        if on {
            self.ram.guard(page, Some(&self.marks));
            set(self.marks.pages.get_or_init(|| bits(&self.ram)), page, true);
        } else if self.marks.has(page)
            && let Some(pages) = self.marks.pages.get()
        {
            set(pages, page, false);
            self.ram.unguard(page as usize / 64);
        }
    }

    /// Whether there is something to be taken.
    #[inline]
    pub fn news(&self) -> bool {
        self.marks.news.get()
    }

    /// The pages that must not be written directly any more, and in place of what is in `written` those watched here that were written, with a bit for each of
    /// their 64 lines, both since the last call. A page may be there more than once.
    pub fn take_news(&self, written: &mut Vec<(u32, u64)>) -> BTreeSet<u32> {
        self.marks.news.set(false);
        written.clear();
        // The room goes to and fro, and need not be made anew.
        std::mem::swap(&mut *self.marks.written.borrow_mut(), written);
        std::mem::take(&mut *self.marks.guarded.borrow_mut())
    }
}

impl Deref for Watcher {
    type Target = Ram;
    fn deref(&self) -> &Ram {
        &self.ram
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watcher({:?})", self.ram)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let watchers = &self.ram.0.watch.watchers;
        watchers
            .borrow_mut()
            .retain(|marks| !Rc::ptr_eq(marks, &self.marks));
        let words = self.marks.pages.get().map_or(0, |pages| pages.len());
        for word in (0..words).filter(|word| self.marks.word(*word) != 0) {
            self.ram.unguard(word);
        }
    }
}

/// One who wants to know which pages of a block were written since it asked last, by whomever: for a copy that is kept up to date. A
/// page that was written costs nothing more until that was asked.
#[derive(Debug)]
pub struct Dirty(Watcher);

impl Dirty {
    /// The pages that were, since the last call.
    pub fn written(&self) -> BTreeSet<u32> {
        let mut written = Vec::new();
        self.0.take_news(&mut written);
        let written: BTreeSet<u32> = written.into_iter().map(|(page, _)| page).collect();
        written.iter().for_each(|page| self.0.watch(*page, true));
        written
    }
}

/// What a CPU has reserved with a load-linked. Only somebody else's write ends it, and while the CPU runs nobody else does write. So
/// memory is watched just while the CPU rests and has reserved something, and nothing has to be looked at otherwise: what is written
/// there then, even if it is what was there before, ends the reservation at once.
#[derive(Debug, Default)]
pub struct Reservation {
    held: Rc<Cell<bool>>,
    lent: Option<(Ram, u32)>,
}

impl Reservation {
    /// Whether it is there.
    pub fn held(&self) -> bool {
        self.held.get()
    }

    /// Makes or ends it.
    pub fn set(&mut self, held: bool) {
        self.held.set(held);
    }

    /// Others may write from now on: whoever writes to these bytes, which lie in one page, ends it.
    pub fn lend(&mut self, memory: &Ram, bytes: Range<u64>) {
        self.take_back();
        let page = (bytes.start / PAGE) as u32;
        if self.held() && bytes.end <= memory.size() {
            memory.guard(page, None);
            let held = self.held.clone();
            let reserved = &memory.0.watch.reserved;
            reserved.borrow_mut().push(Reserved { bytes, held });
            self.lent = Some((memory.clone(), page));
        }
    }

    /// Nobody else writes from now on.
    #[inline]
    pub fn take_back(&mut self) {
        if let Some((ram, page)) = self.lent.take() {
            let reserved = &ram.0.watch.reserved;
            reserved
                .borrow_mut()
                .retain(|r| !Rc::ptr_eq(&r.held, &self.held));
            ram.unguard(page as usize / 64);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.take_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(watcher: &Watcher) -> (BTreeSet<u32>, Vec<(u32, u64)>) {
        let mut written = vec![(0, 0)];
        (watcher.take_news(&mut written), written)
    }

    #[test]
    fn every_watcher_is_told_of_its_pages() {
        let ram = Ram::new(3 * PAGE).unwrap();
        let [a, b] = [ram.watcher(), ram.watcher()];
        a.watch(1, true);
        assert_eq!(news(&b), ([1].into(), vec![]));
        assert!(!a.news() && !b.news());
        ram.write_u8(0, 1).unwrap();
        assert!(!a.news());
        ram.write(PAGE - 1, &[1, 2]).unwrap();
        assert!(a.news() && !b.news());
        b.watch(1, true);
        assert_eq!(news(&a), ([].into(), vec![(1, 1)]));
        b.watch(2, true);
        ram.fill(PAGE + 63, PAGE, 7).unwrap();
        assert_eq!(news(&a), ([2].into(), vec![(1, u64::MAX)]));
        assert_eq!(news(&b), ([].into(), vec![(1, u64::MAX), (2, 1)]));
        a.watch(1, false);
        assert!(ram.is_watched(1));
        ram.write_u8(2 * PAGE - 1, 1).unwrap();
        assert!(!a.news());
        assert_eq!(news(&b), ([].into(), vec![(1, 1 << 63)]));
        drop(b);
        assert!(!ram.is_watched(1) && !ram.is_watched(2));
    }

    #[test]
    fn whoever_asks_for_pages_is_told_once_and_takes_nothing_from_others() {
        let ram = Ram::new(100 * PAGE).unwrap();
        let cpu = ram.watcher();
        let [a, b] = [ram.dirty(), ram.dirty()];
        assert_eq!(news(&cpu).0.len(), 100);
        cpu.watch(70, true);
        ram.write(3 * PAGE - 1, &[1, 2]).unwrap();
        ram.write_u8(70 * PAGE, 1).unwrap();
        // Nobody waits for them any more but the CPU for its own.
        assert!(!ram.is_watched(2) && !ram.is_watched(3) && ram.is_watched(70));
        assert_eq!(a.written(), [2, 3, 70].into());
        assert_eq!(a.written(), [].into());
        assert!(ram.is_watched(2));
        assert_eq!(news(&cpu), ([2, 3].into(), vec![(70, 1)]));
        ram.write_u8(2 * PAGE, 1).unwrap();
        assert_eq!(a.written(), [2].into());
        assert_eq!(b.written(), [2, 3, 70].into());
        drop((a, b));
        assert!(ram.is_watched(70) && !ram.is_watched(2));
    }

    #[test]
    fn what_waits_to_be_told_stays_short() {
        let ram = Ram::new(5 * PAGE).unwrap();
        let watcher = ram.watcher();
        (0..5).for_each(|page| watcher.watch(page, true));
        for n in 0..100_000 {
            ram.write_u8(n % 5 * PAGE + n / 5 % 64 * LINE, 0).unwrap();
        }
        let (_, written) = news(&watcher);
        assert!(written.len() < 200, "{}", written.len());
        for page in 0..5 {
            let lines = written.iter().filter(|w| w.0 == page);
            assert_eq!(lines.fold(0, |all, w| all | w.1), u64::MAX);
        }
    }

    #[test]
    fn a_reservation_ends_with_a_write_while_it_is_lent() {
        let ram = Ram::new(2 * PAGE).unwrap();
        let cpus = [ram.watcher(), ram.watcher()];
        let mut reservation = Reservation::default();
        reservation.set(true);
        let bytes = PAGE + 16..PAGE + 32;
        reservation.lend(&ram, bytes.clone());
        // Its owner too: somebody else may have reserved something there when it runs.
        assert_eq!(cpus.map(|cpu| news(&cpu).0), [[1].into(), [1].into()]);
        ram.write(PAGE + 14, &[0; 2]).unwrap();
        ram.write_u8(PAGE + 32, 1).unwrap();
        assert!(reservation.held());
        reservation.take_back();
        assert!(!ram.is_watched(1));
        ram.write_u8(PAGE + 16, 1).unwrap();
        assert!(reservation.held(), "it is its owner's write");
        reservation.lend(&ram, bytes.clone());
        // What is there is written again.
        ram.write_u8(PAGE + 16, 1).unwrap();
        assert!(!reservation.held());
        reservation.take_back();
        assert!(!reservation.held());
        reservation.lend(&ram, bytes.clone());
        assert!(!ram.is_watched(1), "nothing is reserved");
        reservation.set(true);
        reservation.lend(&ram, bytes);
        drop(reservation);
        assert!(!ram.is_watched(1));
    }
}
