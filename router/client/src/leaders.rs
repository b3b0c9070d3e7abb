//! Leaders: which node led each shard when it last answered. A hint; the node itself decides.
//!
//! While nobody knows who leads a shard, few of its callers ask around and the others wait for what those
//! find: a thousand callers that all ask would only keep the nodes from electing somebody.

use std::collections::HashMap;
use std::sync::Arc;

use orrery_model::{NodeId, ShardId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::limits::{RECONNECT_PAUSE, SCOUT_PAUSE};

/// The remembered leader of each shard; bounded by the shards of the table.
#[derive(Default)]
pub(crate) struct Leaders(Mutex<HashMap<ShardId, Memory>>);

#[derive(Default)]
struct Memory {
    leader: Option<NodeId>,
    /// Who did not do as a leader, and when that was seen last.
    failed: Option<(NodeId, Instant)>,
    /// When somebody last asked around.
    scouted: Option<Instant>,
    /// Told when another leader is remembered.
    learned: Arc<Notify>,
}

impl Leaders {
    pub(crate) fn of(&self, shard: ShardId) -> Option<NodeId> {
        self.0.lock().get(&shard)?.leader
    }

    /// A node answered as only the leader does.
    pub(crate) fn remember(&self, shard: ShardId, node: NodeId) {
        let mut memories = self.0.lock();
        let memory = memories.entry(shard).or_default();
        memory.failed.take_if(|(failed, _)| *failed == node);
        memory.learn(node);
    }

    /// A node that does not lead named who does. It may be behind: whoever else is remembered stays.
    /// Returns whether asking the named one is worth it: replicas go on naming a dead leader until they elect
    /// another one.
    pub(crate) fn hear(&self, shard: ShardId, from: NodeId, node: NodeId) -> bool {
        let mut memories = self.0.lock();
        let memory = memories.entry(shard).or_default();
        memory.leader.take_if(|leader| *leader == from && from != node);
        let dead = memory
            .failed
            .is_some_and(|(failed, at)| failed == node && Instant::now() < at + RECONNECT_PAUSE);
        if !dead && memory.leader.is_none() {
            memory.learn(node);
        }
        !dead
    }

    /// Forgets the node, unless somebody else learned of another leader meanwhile.
    pub(crate) fn forget(&self, shard: ShardId, node: NodeId) {
        let mut memories = self.0.lock();
        let memory = memories.entry(shard).or_default();
        memory.failed = Some((node, Instant::now()));
        memory.leader.take_if(|leader| *leader == node);
    }

    /// Whether this caller may ask around for the leader now; the others wait for what it finds.
    pub(crate) fn may_scout(&self, shard: ShardId) -> bool {
        let mut memories = self.0.lock();
        let memory = memories.entry(shard).or_default();
        // Before the first failure all may: nothing is wrong yet.
        if memory.failed.is_none() {
            return true;
        }
        let now = Instant::now();
        let may = memory.scouted.is_none_or(|at| now >= at + SCOUT_PAUSE);
        if may {
            memory.scouted = Some(now);
        }
        may
    }

    /// Waits until another leader of the shard is remembered, or until then.
    pub(crate) async fn learned(&self, shard: ShardId, until: Instant) {
        let learned = self.0.lock().entry(shard).or_default().learned.clone();
        // Out of time: the caller looks again by itself.
        let _ = timeout_at(until, learned.notified()).await;
    }
}

impl Memory {
    fn learn(&mut self, node: NodeId) {
        if self.leader != Some(node) {
            self.leader = Some(node);
            self.learned.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SHARD: ShardId = ShardId(3);

    #[tokio::test]
    async fn a_dead_leader_named_by_others_is_not_followed_for_a_moment() {
        let leaders = Leaders::default();
        leaders.remember(SHARD, NodeId(1));
        leaders.forget(SHARD, NodeId(1));
        let from = NodeId(9);
        assert!(!leaders.hear(SHARD, from, NodeId(1)) && leaders.of(SHARD).is_none());
        assert!(leaders.hear(SHARD, from, NodeId(2)) && leaders.of(SHARD) == Some(NodeId(2)));
        leaders.forget(SHARD, NodeId(1));
        assert_eq!(leaders.of(SHARD), Some(NodeId(2)), "another one is known");
        tokio::time::sleep(RECONNECT_PAUSE).await;
        assert!(leaders.hear(SHARD, from, NodeId(1)), "it may have come back");
    }

    #[tokio::test]
    async fn what_a_node_says_of_others_replaces_only_what_was_known_of_itself() {
        let leaders = Leaders::default();
        assert!(leaders.hear(SHARD, NodeId(3), NodeId(1)), "nobody was known");
        assert_eq!(leaders.of(SHARD), Some(NodeId(1)));
        assert!(leaders.hear(SHARD, NodeId(3), NodeId(2)), "worth asking");
        assert_eq!(leaders.of(SHARD), Some(NodeId(1)), "it may be behind");
        assert!(leaders.hear(SHARD, NodeId(1), NodeId(2)));
        assert_eq!(leaders.of(SHARD), Some(NodeId(2)), "node 1 itself does not lead");
        leaders.forget(SHARD, NodeId(1));
        assert!(!leaders.hear(SHARD, NodeId(2), NodeId(1)), "it failed a moment ago");
        assert_eq!(leaders.of(SHARD), None, "nor does node 2");
    }

    #[tokio::test]
    async fn few_ask_around_and_the_others_hear_of_it() {
        let leaders = Leaders::default();
        assert!(leaders.may_scout(SHARD) && leaders.may_scout(SHARD), "nothing is wrong yet");
        leaders.forget(SHARD, NodeId(1));
        let may = (0..3).filter(|_| leaders.may_scout(SHARD)).count();
        assert_eq!(may, 1, "in less time than {SCOUT_PAUSE:?}");
        tokio::time::sleep(SCOUT_PAUSE).await;
        assert!(leaders.may_scout(SHARD));
        let begun = Instant::now();
        let found = async {
            tokio::task::yield_now().await;
            leaders.remember(SHARD, NodeId(2));
        };
        tokio::join!(leaders.learned(SHARD, begun + Duration::from_secs(9)), found);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
