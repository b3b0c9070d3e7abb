//! Lines: work that waits in line for its slot, one piece of each slot under way at a time. A shard that does not
//! answer holds up what is for its own slots and nothing else, and what is for one address stays in order.

use std::collections::{BTreeMap, VecDeque};

use orrery_model::Slot;

use crate::limits::LINES_MAX;

/// One line a slot. Whoever polls a piece says when it is done with it.
#[derive(Debug)]
pub(super) struct Lines<T> {
    /// What waits behind the piece of its slot that is ready or under way; no entry where none is.
    behind: BTreeMap<Slot, VecDeque<T>>,
    /// The first of each line that may go.
    ready: VecDeque<(Slot, T)>,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self { behind: BTreeMap::new(), ready: VecDeque::new() }
    }
}

impl<T> Lines<T> {
    pub(super) fn push(&mut self, slot: Slot, piece: T) {
        match self.behind.get_mut(&slot) {
            Some(behind) => behind.push_back(piece),
            None => {
                self.behind.insert(slot, VecDeque::new());
                self.ready.push_back((slot, piece));
            }
        }
        debug_assert!(self.behind.len() <= LINES_MAX, "a line is a slot's");
    }

    /// The next piece whose slot is free. It is under way until [`Lines::done`].
    pub(super) fn poll(&mut self) -> Option<(Slot, T)> {
        self.ready.pop_front()
    }

    /// The piece of the slot that was under way is no longer.
    pub(super) fn done(&mut self, slot: Slot) {
        let Some(behind) = self.behind.get_mut(&slot) else { return };
        match behind.pop_front() {
            Some(next) => self.ready.push_back((slot, next)),
            None => {
                self.behind.remove(&slot);
            }
        }
    }

    /// Gives back all that waits. What is under way keeps its slot until it is done.
    pub(super) fn clear(&mut self) -> Vec<T> {
        let mut waiting = Vec::new();
        for (slot, first) in self.ready.drain(..) {
            waiting.push(first);
            waiting.extend(self.behind.remove(&slot).unwrap_or_default());
        }
        for behind in self.behind.values_mut() {
            waiting.extend(std::mem::take(behind));
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u32) -> Slot {
        Slot::new(number).unwrap()
    }

    #[test]
    fn a_slot_whose_piece_is_under_way_holds_up_only_itself() {
        let mut lines = Lines::default();
        for (number, piece) in [(1, "a"), (1, "b"), (1, "c"), (2, "d")] {
            lines.push(slot(number), piece);
        }
        assert_eq!(lines.poll(), Some((slot(1), "a")));
        assert_eq!(lines.poll(), Some((slot(2), "d")));
        assert_eq!(lines.poll(), None);
        lines.done(slot(2));
        lines.push(slot(2), "e");
        assert_eq!(lines.poll(), Some((slot(2), "e")));
        lines.done(slot(1));
        assert_eq!(lines.poll(), Some((slot(1), "b")), "in order");
    }

    #[test]
    fn what_is_under_way_keeps_its_slot_when_the_rest_is_cleared() {
        let mut lines = Lines::default();
        for (number, piece) in [(1, "a"), (1, "b"), (2, "c"), (2, "d")] {
            lines.push(slot(number), piece);
        }
        assert_eq!(lines.poll(), Some((slot(1), "a")));
        let mut waiting = lines.clear();
        waiting.sort_unstable();
        assert_eq!(waiting, ["b", "c", "d"]);
        lines.push(slot(1), "e");
        lines.push(slot(2), "f");
        assert_eq!(lines.poll(), Some((slot(2), "f")));
        assert_eq!(lines.poll(), None);
        lines.done(slot(1));
        assert_eq!(lines.poll(), Some((slot(1), "e")));
        lines.done(slot(1));
        lines.done(slot(2));
        assert!(lines.behind.is_empty());
    }
}
