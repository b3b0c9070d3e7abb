//! Shards: all shards that this node holds a replica of.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use orrery_host::Task;
use orrery_model::ShardId;
use orrery_router_core::registry::Stats;
use tokio::time::timeout;

use crate::config::Config;
use crate::error::StartError;
use crate::failure::Failure;
use crate::limits::SHUTDOWN_TIMEOUT;
use crate::metrics::Metrics;
use crate::raft::group::{Ground, Group, Progress};
use crate::shard::{ControlShard, DataShard, Shard};

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

/// All shards of this node.
pub(crate) struct Shards {
    control: Arc<ControlShard>,
    data: BTreeMap<ShardId, Arc<DataShard>>,
}

impl Shards {
    /// Opens the control shard and `config.shards` data shards. The tasks end when they are dropped.
    ///
    /// # Errors
    /// [`StartError::Shard`] when one of them cannot be opened.
    pub(crate) async fn open(
        config: &Config,
        ground: &Ground,
        failure: &Failure,
        metrics: &Metrics,
    ) -> Result<(Self, Vec<Task>), StartError> {
        let ids = std::iter::once(ShardId::CONTROL).chain((1..=config.shards).map(ShardId));
        let opened = join_all(ids.map(|shard| async move {
            let group = Group::open(config, shard, ground.clone()).await;
            group.map_err(|source| StartError::Shard { shard, source })
        }));
        let (mut control, mut data, mut tasks) = (None, BTreeMap::new(), Vec::new());
        for group in opened.await {
            let group = group?;
            let id = group.shard();
            let (failure, metrics) = (failure.clone(), metrics.shard(id));
            tasks.extend(if id == ShardId::CONTROL {
                let (shard, tasks) = Shard::start(group, &ground.host, failure, metrics);
                control = Some(Arc::new(shard));
                tasks
            } else {
                let (shard, tasks) = Shard::start(group, &ground.host, failure, metrics);
                data.insert(id, Arc::new(shard));
                tasks
            });
        }
        let control = control.expect("the control shard is the first one opened");
        Ok((Self { control, data }, tasks))
    }

    /// The control shard.
    pub(crate) fn control(&self) -> &Arc<ControlShard> {
        &self.control
    }

    /// A data shard, where this node holds it.
    pub(crate) fn get(&self, shard: ShardId) -> Option<&Arc<DataShard>> {
        self.data.get(&shard)
    }

    /// All data shards of this node.
    pub(crate) fn data(&self) -> impl Iterator<Item = &Arc<DataShard>> {
        self.data.values()
    }

    /// All groups of this node.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        let data = self.data.values().map(|shard| shard.group());
        std::iter::once(self.control.group()).chain(data)
    }

    /// Where each group stands.
    pub(crate) fn progress(&self) -> Vec<(ShardId, Progress)> {
        self.groups().map(|group| (group.shard(), group.progress())).collect()
    }

    /// What each data shard holds.
    pub(crate) fn stats(&self) -> Vec<(ShardId, Stats)> {
        let stats =
            |shard: &Arc<DataShard>| shard.replica().registry(|registry, _| registry.stats());
        self.data().map(|shard| (shard.id(), stats(shard))).collect()
    }

    /// Ends all cores, each in bounded time.
    pub(crate) async fn shutdown(&self) {
        join_all(self.groups().map(|group| async {
            if timeout(SHUTDOWN_TIMEOUT, group.shutdown()).await.is_err() {
                tracing::warn!(shard = %group.shard(), "the shard's core did not end in time");
            }
        }))
        .await;
    }
}
