//! Shard: one shard as the rest of the node uses it: writes, confirmed reads, and its state.

use std::sync::Arc;

use orrery_host::Task;
use orrery_model::ShardId;
use tokio::time::Instant;

use crate::error::{ReadError, WriteError};
use crate::kind::{Control, Data, Kind};
use crate::metrics::ShardMetrics;
use crate::proposals::{Proposals, Written};
use crate::raft::group::Group;
use crate::raft::replica::Replica;
use crate::raft::supervisor::supervise;
use crate::reads::Reads;
use crate::surroundings::Surroundings;

/// One shard on this node.
pub(crate) struct Shard<K: Kind> {
    group: Arc<Group>,
    proposals: Proposals<K>,
    reads: Reads,
}

/// A shard that holds routes.
pub(crate) type DataShard = Shard<Data>;

/// The shard that holds the cluster.
pub(crate) type ControlShard = Shard<Control>;

impl<K: Kind> Shard<K> {
    /// Takes a group into service. The tasks end when they are dropped.
    pub(crate) fn start(
        group: Group,
        around: &Surroundings,
        metrics: ShardMetrics,
    ) -> (Self, Vec<Task>) {
        let group = Arc::new(group);
        group.replica().snapshots().count(metrics.snapshots());
        let (proposals, batcher) = Proposals::new(group.clone(), around, metrics.clone());
        let (reads, confirmer) = Reads::new(group.clone(), metrics);
        let (spawn, failure) = (&around.host.tasks, around.failure.clone());
        let tasks = vec![
            spawn.spawn("shard-proposals", batcher.run()),
            spawn.spawn("shard-reads", confirmer.run()),
            spawn.spawn("shard-supervisor", supervise(group.clone(), failure)),
        ];
        (Self { group, proposals, reads }, tasks)
    }

    /// A group of which nobody carries out what is asked, and what is to be kept so that it waits.
    #[cfg(test)]
    pub(crate) fn idle(
        group: Arc<Group>,
        around: &Surroundings,
        metrics: ShardMetrics,
    ) -> (Self, impl Sized + use<K>) {
        let (proposals, batcher) = Proposals::new(group.clone(), around, metrics.clone());
        let (reads, confirmer) = Reads::new(group.clone(), metrics);
        (Self { group, proposals, reads }, (batcher, confirmer))
    }

    /// Which shard this is.
    pub(crate) fn id(&self) -> ShardId {
        self.group.shard()
    }

    /// The shard's Raft group.
    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// The shard's state here, as far as it was applied. Linearizable only after [`Shard::confirm`].
    pub(crate) fn replica(&self) -> &Replica {
        self.group.replica()
    }

    /// Writes a command whose encoded length is known.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub(crate) async fn write_sized(
        &self,
        command: K::Command,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Written<K::Reply>, WriteError> {
        self.proposals.write(command, bytes, deadline).await
    }

    /// Writes a command.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub(crate) async fn write(
        &self,
        command: K::Command,
        deadline: Instant,
    ) -> Result<Written<K::Reply>, WriteError> {
        let bytes = K::bytes(&command);
        self.write_sized(command, bytes, deadline).await
    }

    /// See [`Proposals::write_in_turn`].
    ///
    /// # Errors
    /// See [`WriteError`].
    pub(crate) async fn write_in_turn(
        &self,
        command: K::Command,
        deadline: Instant,
    ) -> Result<Written<K::Reply>, WriteError> {
        self.proposals.write_in_turn(command, None, deadline).await
    }

    /// As [`Shard::write_in_turn`], but only while this node leads in `term`: what was decided by what it
    /// knew then must not be written by what it does not know later.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub(crate) async fn write_in_term(
        &self,
        command: K::Command,
        term: u64,
        deadline: Instant,
    ) -> Result<Written<K::Reply>, WriteError> {
        self.proposals.write_in_turn(command, Some(term), deadline).await
    }

    /// See [`Reads::confirm`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(crate) async fn confirm(&self, deadline: Instant) -> Result<(), ReadError> {
        self.reads.confirm(deadline).await
    }
}
