//! Standings: what the nodes said of the cluster and of themselves in the final phase.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Event, History, Op, PhaseName, Standing};

/// The control shard.
pub(crate) const CONTROL: u32 = 0;

/// Nanoseconds within which the words of all nodes at one look are written down, where they do not say of which look
/// they are; looks are further apart.
pub(crate) const ONE_LOOK: u64 = 100_000_000;

/// What the nodes said in the final phase.
#[derive(Debug, Default)]
pub(crate) struct Standings<'a> {
    /// Node → the event of its last word, and that.
    pub(crate) last: BTreeMap<u64, (u64, &'a Standing)>,
    /// Node → when that was, and at which look.
    told: BTreeMap<u64, (u64, Option<u64>)>,
    /// Node and shard → the event that told the largest index it applied, and that.
    pub(crate) reached: BTreeMap<(u64, u32), (u64, u64)>,
    /// Shard → the event that told the largest index that any node had applied when the phase began.
    pub(crate) begun: BTreeMap<u32, (u64, u64)>,
}

impl<'a> Standings<'a> {
    pub(crate) fn new(history: &History<'a>) -> Self {
        let mut standings = Self::default();
        let mut heard = BTreeSet::new();
        for event in final_events(history) {
            let (Some(node), Op::Standing(standing)) = (event.node, &event.op) else { continue };
            let is_first = heard.insert(node);
            for replica in &standing.replicas {
                let told = (replica.applied, event.index);
                let largest = |held: &mut (u64, u64)| *held = told.max(*held);
                largest(standings.reached.entry((node, replica.shard)).or_insert(told));
                if is_first {
                    largest(standings.begun.entry(replica.shard).or_insert(told));
                }
            }
            standings.last.insert(node, (event.index, standing));
            standings.told.insert(node, (event.time, standing.look));
        }
        standings
    }

    /// The word of whoever knows most of the control shard's log.
    pub(crate) fn best(&self) -> Option<(u64, &'a Standing)> {
        let knows = |standing: &Standing| {
            let control = standing.replicas.iter().find(|replica| replica.shard == CONTROL);
            control.map(|replica| replica.applied)
        };
        self.last.values().copied().max_by_key(|(_, standing)| knows(standing))
    }

    /// Whether a node still answered when the others were asked for the last time.
    pub(crate) fn answers(&self, node: u64) -> bool {
        let (last, last_look) = self.told.values().max().copied().unwrap_or_default();
        self.told.get(&node).is_some_and(|(told, look)| match (look, last_look) {
            (Some(look), Some(last)) => *look == last,
            _ => told.saturating_add(ONE_LOOK) >= last,
        })
    }

    /// The nodes that should hold a shard, as this one knows: the control shard is held by all.
    pub(crate) fn holders(standing: &Standing, shard: u32) -> BTreeSet<u64> {
        match shard {
            CONTROL => staying(standing).collect(),
            shard => placed(standing, shard).into_iter().collect(),
        }
    }
}

/// The nodes that were not removed.
pub(crate) fn staying(standing: &Standing) -> impl Iterator<Item = u64> + '_ {
    standing.nodes.iter().filter(|(_, state)| state != "removed").map(|(node, _)| *node)
}

/// Where a shard is placed.
pub(crate) fn placed(standing: &Standing, shard: u32) -> Vec<u64> {
    let placed = standing.placements.iter().find(|(placed, _)| *placed == shard);
    placed.map(|(_, replicas)| replicas.clone()).unwrap_or_default()
}

/// The events of the final phase.
pub(crate) fn final_events<'a>(history: &History<'a>) -> impl Iterator<Item = &'a Event> {
    let is_final =
        |event: &&Event| matches!(&event.op, Op::Phase(phase) if phase.name == PhaseName::Final);
    history.events.iter().skip_while(move |event| !is_final(event))
}
