//! Calm: since when nothing was broken or mended.

use crate::history::{History, Op};

/// All changes that a nemesis made, or announced.
#[derive(Debug)]
pub(crate) struct Calm(Vec<Change>);

#[derive(Debug)]
struct Change {
    event: u64,
    time: u64,
    /// What is under way until the next change.
    announced: bool,
}

impl Calm {
    pub(crate) fn new(history: &History<'_>) -> Self {
        let change = |event: &crate::history::Event| {
            let announced = match &event.op {
                Op::Fault(fault) => fault.outcome.is_none(),
                Op::Heal(_) => false,
                _ => return None,
            };
            Some(Change { event: event.index, time: event.time, announced })
        };
        Self(history.events.iter().filter_map(change).collect())
    }

    /// The time of the last change before an event; none while one is under way. A fault that stays must be
    /// shorter than whoever asks is patient, for it may go on.
    pub(crate) fn since(&self, event: u64) -> Option<u64> {
        let before = self.0.partition_point(|change| change.event < event);
        match before.checked_sub(1).map(|last| &self.0[last]) {
            Some(change) if change.announced => None,
            Some(change) => Some(change.time),
            None => Some(0),
        }
    }
}
