//! Leaders: which node led each shard when it last answered. A hint; the node itself decides.

use std::collections::HashMap;

use orrery_model::{NodeId, ShardId};
use parking_lot::Mutex;

/// The remembered leader of each shard; bounded by the shards of the table.
#[derive(Default)]
pub(crate) struct Leaders(Mutex<HashMap<ShardId, NodeId>>);

impl Leaders {
    pub(crate) fn of(&self, shard: ShardId) -> Option<NodeId> {
        self.0.lock().get(&shard).copied()
    }

    pub(crate) fn remember(&self, shard: ShardId, node: NodeId) {
        self.0.lock().insert(shard, node);
    }

    /// Forgets the node, unless somebody else learned of another leader meanwhile.
    pub(crate) fn forget(&self, shard: ShardId, node: NodeId) {
        let mut leaders = self.0.lock();
        if leaders.get(&shard) == Some(&node) {
            leaders.remove(&shard);
        }
    }
}
