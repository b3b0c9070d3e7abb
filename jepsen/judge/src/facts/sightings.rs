//! Sightings: which comets were seen alive, and in which of their lives.
//!
//! A life never comes back. So a comet that a read of the control shard shows alive was alive in that life
//! ever since an earlier read showed it in the same one, in every shard: shards learn of an end only after
//! the control shard has decided it.

use std::collections::BTreeMap;

use crate::history::{History, Op};

/// One answered read of the living comets.
#[derive(Debug)]
struct Sighting<'a> {
    began: u64,
    told: u64,
    living: BTreeMap<&'a str, u64>,
}

/// All answered reads of the living comets, in the order in which they began.
#[derive(Debug)]
pub(crate) struct Sightings<'a>(Vec<Sighting<'a>>);

impl<'a> Sightings<'a> {
    pub(crate) fn new(history: &History<'a>) -> Self {
        let mut sightings = Vec::new();
        for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
            let Op::Comets(read) = operation.op() else { continue };
            let living = read.comets.iter().flatten();
            let living = living.map(|(comet, life)| (comet.as_str(), *life)).collect();
            let (began, told) = (operation.began(), operation.told_by());
            sightings.push(Sighting { began, told, living });
        }
        Self(sightings)
    }

    /// Whether nobody looked.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The life in which the comet certainly was, all the time until an event.
    pub(crate) fn until(&self, comet: &str, event: u64) -> Option<u64> {
        let next = self.0.partition_point(|sighting| sighting.began <= event);
        self.0.get(next)?.living.get(comet).copied()
    }

    /// The latest life that the comet was seen in before an event.
    pub(crate) fn before(&self, comet: &str, event: u64) -> Option<u64> {
        let seen = self.0.iter().filter(|sighting| sighting.told < event);
        seen.filter_map(|sighting| sighting.living.get(comet)).copied().max()
    }

    /// The event by which the comet was first seen in a life.
    pub(crate) fn first(&self, comet: &str, life: u64) -> Option<u64> {
        let seen = self.0.iter().filter(|sighting| sighting.living.get(comet) == Some(&life));
        seen.map(|sighting| sighting.told).min()
    }
}
