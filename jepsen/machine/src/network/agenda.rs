//! Agenda: what is due when, in order of time and, at one time, of arrival.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

/// Things with the time at which they are due.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    entries: BinaryHeap<Reverse<Entry<T>>>,
    next_number: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Duration,
    number: u64,
    thing: T,
}

impl<T> Agenda<T> {
    /// One without entries.
    pub(super) fn new() -> Self {
        Self { entries: BinaryHeap::new(), next_number: 0 }
    }

    /// Adds one; whether it is now the first to be due.
    pub(super) fn add(&mut self, at: Duration, thing: T) -> bool {
        let first = self.next().is_none_or(|next| at < next);
        let number = self.next_number;
        self.next_number += 1;
        self.entries.push(Reverse(Entry { at, number, thing }));
        first
    }

    /// When the first one is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.entries.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes the first one if it is due.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.entries.pop().map(|Reverse(entry)| entry.thing)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_by_time_then_in_the_order_they_were_added() {
        let ms = Duration::from_millis;
        let mut agenda = Agenda::new();
        assert!(agenda.add(ms(5), "b"));
        assert!(!agenda.add(ms(5), "c"));
        assert!(!agenda.add(ms(9), "d"));
        assert!(agenda.add(ms(2), "a"));
        assert_eq!(agenda.next(), Some(ms(2)));
        assert_eq!(agenda.take_due(ms(1)), None);
        let taken: Vec<_> = std::iter::from_fn(|| agenda.take_due(ms(5))).collect();
        assert_eq!(taken, ["a", "b", "c"]);
        assert_eq!(agenda.next(), Some(ms(9)));
        assert_eq!(agenda.take_due(ms(9)), Some("d"));
        assert_eq!(agenda.next(), None);
    }
}
