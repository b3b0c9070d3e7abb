//! Shards: all shards that this node holds a replica of now.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use futures_util::future::join_all;
use orrery_model::ShardId;
use orrery_router_core::registry::Stats;
use parking_lot::RwLock;
use tokio::time::timeout;

use crate::limits::SHUTDOWN_TIMEOUT;
use crate::peers::Groups;
use crate::raft::group::{Group, Progress};
use crate::shard::{ControlShard, DataShard};

/// A gauge of a data shard's state: name, help, value.
pub(crate) type Stat = (&'static str, &'static str, fn(&Stats) -> u64);

/// What is shown of each data shard's state.
pub(crate) const STATS: [Stat; 7] = [
    ("slots", "Slots open in the shard", |stats| stats.slots),
    ("routes", "Visible routes", |stats| stats.routes),
    ("listings", "Comets listed for rooms", |stats| stats.listings),
    ("tombstones", "Listings taken off but remembered", |stats| stats.tombstones),
    ("marks", "Removed connections that are not settled", |stats| stats.marks),
    ("comets_known", "Comets the shard ever heard of", |stats| stats.comets),
    ("unswept", "Invisible routes and listings not swept yet", |stats| stats.unswept),
];

/// All shards of this node. The control shard is on every node; data shards come and go.
pub(crate) struct Shards {
    control: Arc<ControlShard>,
    data: RwLock<BTreeMap<ShardId, Arc<DataShard>>>,
}

impl Shards {
    /// The control shard alone.
    pub(crate) fn new(control: Arc<ControlShard>) -> Self {
        Self { control, data: RwLock::default() }
    }

    /// The control shard.
    pub(crate) fn control(&self) -> &Arc<ControlShard> {
        &self.control
    }

    /// A data shard, where this node holds it.
    pub(crate) fn get(&self, shard: ShardId) -> Option<Arc<DataShard>> {
        self.data.read().get(&shard).cloned()
    }

    /// All data shards of this node, in order.
    pub(crate) fn data(&self) -> Vec<Arc<DataShard>> {
        self.data.read().values().cloned().collect()
    }

    /// All groups of this node, the control shard's first.
    pub(crate) fn groups(&self) -> Vec<Arc<Group>> {
        let data = self.data.read();
        let groups = data.values().map(|shard| shard.group().clone());
        std::iter::once(self.control.group().clone()).chain(groups).collect()
    }

    /// Takes a data shard into service.
    pub(crate) fn insert(&self, shard: Arc<DataShard>) {
        self.data.write().insert(shard.id(), shard);
    }

    /// Takes a data shard out of service.
    pub(crate) fn remove(&self, shard: ShardId) -> Option<Arc<DataShard>> {
        self.data.write().remove(&shard)
    }

    /// Where each group stands.
    pub(crate) fn progress(&self) -> Vec<(ShardId, Progress)> {
        self.groups().iter().map(|group| (group.shard(), group.progress())).collect()
    }

    /// What each data shard holds.
    pub(crate) fn stats(&self) -> Vec<(ShardId, Stats)> {
        let stats =
            |shard: &Arc<DataShard>| shard.replica().registry(|registry, _| registry.stats());
        self.data().iter().map(|shard| (shard.id(), stats(shard))).collect()
    }

    /// Ends all cores, each in bounded time.
    pub(crate) async fn shutdown(&self) {
        join_all(self.groups().into_iter().map(|group| async move {
            if timeout(SHUTDOWN_TIMEOUT, group.shutdown()).await.is_err() {
                tracing::warn!(shard = %group.shard(), "the shard's core did not end in time");
            }
        }))
        .await;
    }
}

/// The groups as other nodes reach them. Gone with the node: a connection that another node keeps open
/// must not keep this one alive.
pub(crate) struct Reached(pub(crate) Weak<Shards>);

impl Groups for Reached {
    fn group(&self, shard: ShardId) -> Option<Arc<Group>> {
        let shards = self.0.upgrade()?;
        match shard {
            ShardId::CONTROL => Some(shards.control().group().clone()),
            shard => Some(shards.get(shard)?.group().clone()),
        }
    }

    fn groups(&self) -> Vec<Arc<Group>> {
        self.0.upgrade().map(|shards| shards.groups()).unwrap_or_default()
    }
}
