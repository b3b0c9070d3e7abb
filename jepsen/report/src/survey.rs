//! Survey: what the drawings and lists of a page have in common, found in one look at the history.

use std::collections::BTreeMap;

use judge::history::{Event, History, Op, Operation, PhaseName};

use crate::axis::Axis;
use crate::faults::{self, Span};

/// A history as the page's parts want it.
pub(crate) struct Survey<'a> {
    /// All events.
    pub(crate) events: &'a [Event],
    /// All operations, in order of their beginnings; none where the events do not pair.
    pub(crate) operations: Vec<Operation<'a>>,
    /// Why the events do not pair.
    pub(crate) broken: Option<String>,
    /// The run's time.
    pub(crate) axis: Axis,
    /// When each phase began.
    pub(crate) phases: Vec<(u64, PhaseName)>,
    /// Faults, by time.
    pub(crate) faults: Vec<Span<'a>>,
    /// When everything was healed.
    pub(crate) heals: Vec<u64>,
}

impl<'a> Survey<'a> {
    /// Looks at a history.
    pub(crate) fn of(events: &'a [Event]) -> Self {
        let (operations, broken) = match History::new(events) {
            Ok(history) => (history.operations, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let phases = events.iter().filter_map(|event| match &event.op {
            Op::Phase(phase) => Some((event.time, phase.name)),
            _ => None,
        });
        let heals = events.iter().filter_map(|event| match &event.op {
            Op::Heal(heal) if heal.families.is_empty() => Some(event.time),
            _ => None,
        });
        Self {
            axis: Axis::until(events.last().map_or(0, |last| last.time)),
            phases: phases.collect(),
            faults: faults::spans(events),
            heals: heals.collect(),
            operations,
            broken,
            events,
        }
    }

    /// The time of an event.
    pub(crate) fn time(&self, index: u64) -> u64 {
        self.event(index).map_or(0, |event| event.time)
    }

    /// An event.
    pub(crate) fn event(&self, index: u64) -> Option<&'a Event> {
        usize::try_from(index).ok().and_then(|at| self.events.get(at))
    }

    /// The shard of each address, as far as an answer told it.
    pub(crate) fn shards_of_keys(&self) -> BTreeMap<&'a str, u32> {
        let told = self.operations.iter();
        told.filter_map(|operation| Some((operation.key()?, operation.shard()?))).collect()
    }
}

/// When an operation began and ended.
pub(crate) fn times(operation: &Operation<'_>) -> (u64, Option<u64>) {
    (operation.invoke.time, operation.end.map(|end| end.time))
}
