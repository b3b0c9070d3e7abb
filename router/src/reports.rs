//! Reports: what the nodes told the leader of the control shard lately. Kept in its memory alone; a new
//! leader hears of everybody within a second.

use std::collections::{BTreeMap, BTreeSet};

use orrery_model::{NodeId, ShardId};
use orrery_proto::peers as wire;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::REPORT_LIFE;

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The fence events that each of its replicas has applied.
    pub(crate) cursors: BTreeMap<ShardId, u64>,
    /// It should lead nothing and take no more replicas: its disk is below its reserve, or it is stopping.
    pub(crate) unfit: bool,
}

impl Report {
    pub(crate) fn to_wire(&self) -> Vec<wire::ShardCursor> {
        let cursor = |(shard, cursor): (&ShardId, &u64)| wire::ShardCursor {
            shard: shard.0,
            cursor: *cursor,
        };
        self.cursors.iter().map(cursor).collect()
    }

    pub(crate) fn from_wire(request: &wire::ReportRequest) -> Self {
        let cursor = |held: &wire::ShardCursor| (ShardId(held.shard), held.cursor);
        Self { cursors: request.cursors.iter().map(cursor).collect(), unfit: request.unfit }
    }
}

/// What was reported.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    nodes: BTreeMap<NodeId, (Instant, bool)>,
    cursors: BTreeMap<ShardId, u64>,
}

impl Reports {
    /// Takes a node's report.
    pub(crate) fn take(&self, node: NodeId, report: Report, now: Instant) {
        let mut held = self.0.lock();
        held.nodes.insert(node, (now, report.unfit));
        for (shard, cursor) in report.cursors {
            // What one replica has applied is committed, and so in all of them to come.
            let known = held.cursors.entry(shard).or_default();
            *known = cursor.max(*known);
        }
    }

    /// The nodes that reported lately.
    pub(crate) fn live(&self, now: Instant) -> BTreeSet<NodeId> {
        let held = self.0.lock();
        let late = |at: &Instant| now.saturating_duration_since(*at) > REPORT_LIFE;
        held.nodes.iter().filter(|(_, (at, _))| !late(at)).map(|(node, _)| *node).collect()
    }

    /// The nodes that should lead nothing and take no more replicas, as they last said.
    pub(crate) fn unfit(&self, now: Instant) -> BTreeSet<NodeId> {
        let live = self.live(now);
        let held = self.0.lock();
        let unfit = |node: &NodeId| held.nodes.get(node).is_some_and(|(_, unfit)| *unfit);
        live.into_iter().filter(unfit).collect()
    }

    /// The position of fence events that all of these shards have passed; none while one of them was not
    /// heard of.
    pub(crate) fn applied_everywhere(&self, shards: &[ShardId]) -> Option<u64> {
        let held = self.0.lock();
        let cursors = shards.iter().map(|shard| held.cursors.get(shard).copied());
        cursors.collect::<Option<Vec<_>>>()?.into_iter().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cursors: &[(u32, u64)], unfit: bool) -> Report {
        let cursors = cursors.iter().map(|(shard, cursor)| (ShardId(*shard), *cursor)).collect();
        Report { cursors, unfit }
    }

    #[test]
    fn events_are_applied_everywhere_once_every_shard_was_heard_of() {
        let (reports, now) = (Reports::default(), Instant::now());
        let shards = [ShardId(1), ShardId(2)];
        reports.take(NodeId(1), report(&[(1, 7)], false), now);
        assert_eq!(reports.applied_everywhere(&shards), None);
        reports.take(NodeId(2), report(&[(1, 3), (2, 5)], false), now);
        assert_eq!(reports.applied_everywhere(&shards), Some(5));
    }

    #[test]
    fn who_is_silent_is_neither_alive_nor_unfit() {
        let (reports, now) = (Reports::default(), Instant::now());
        reports.take(NodeId(1), report(&[], true), now);
        let later = now + REPORT_LIFE * 2;
        reports.take(NodeId(2), report(&[], false), later);
        assert_eq!(reports.live(now), [NodeId(1), NodeId(2)].into());
        assert_eq!(reports.unfit(now), [NodeId(1)].into());
        assert_eq!(reports.live(later), [NodeId(2)].into());
        assert_eq!(reports.unfit(later), [].into());
    }
}
