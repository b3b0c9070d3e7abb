//! Calls: the beginnings and ends that have no place yet, in order of time, as a linked list.

use super::Call;

/// An entry of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// A call begins.
    Called(usize),
    /// A call ends.
    Returned(usize),
}

/// The entries that are not lifted out. Place 0 is before the first.
pub(super) struct Calls {
    entries: Vec<Entry>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// For each call the place of its beginning and of its end, 0 where it has none.
    places: Vec<(usize, usize)>,
}

impl Calls {
    pub(super) fn new<I, O>(calls: &[Call<I, O>]) -> Self {
        let mut moments: Vec<(u64, bool, usize)> = Vec::with_capacity(calls.len() * 2);
        for (at, call) in calls.iter().enumerate() {
            moments.push((call.called, false, at));
            // An end before its beginning would never be reached.
            moments.extend(call.returned.map(|time| (time.max(call.called), true, at)));
        }
        moments.sort_unstable();
        let mut places = vec![(0, 0); calls.len()];
        let mut entries = vec![Entry::Called(usize::MAX)];
        for (_, is_return, call) in moments {
            if is_return {
                places[call].1 = entries.len();
                entries.push(Entry::Returned(call));
            } else {
                places[call].0 = entries.len();
                entries.push(Entry::Called(call));
            }
        }
        let length = entries.len();
        let next = (1..=length).collect();
        let previous = (0..=length).map(|place| place.saturating_sub(1)).collect();
        Self { entries, next, previous, places }
    }

    /// The place of the first entry.
    pub(super) fn first(&self) -> usize {
        self.next[0]
    }

    /// The place after another.
    pub(super) fn after(&self, place: usize) -> usize {
        self.next[place]
    }

    /// The place of a call's beginning.
    pub(super) fn place(&self, call: usize) -> usize {
        self.places[call].0
    }

    /// The entry at a place; none at the end.
    pub(super) fn entry(&self, place: usize) -> Option<Entry> {
        self.entries.get(place).copied()
    }

    /// Takes a call out.
    pub(super) fn lift(&mut self, call: usize) {
        let (begin, end) = self.places[call];
        self.unlink(begin);
        if end != 0 {
            self.unlink(end);
        }
    }

    /// Puts the call that was lifted last back.
    pub(super) fn unlift(&mut self, call: usize) {
        let (begin, end) = self.places[call];
        if end != 0 {
            self.relink(end);
        }
        self.relink(begin);
    }

    fn unlink(&mut self, place: usize) {
        let (previous, next) = (self.previous[place], self.next[place]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    fn relink(&mut self, place: usize) {
        let (previous, next) = (self.previous[place], self.next[place]);
        self.next[previous] = place;
        self.previous[next] = place;
    }
}
