//! Holdings: opens the shards that are placed on this node, and leaves those that are not any more. One
//! task does both, so that no replica is opened while its data is being cleared.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use futures_util::future::join_all;
use orrery_host::Task;
use orrery_model::cluster::Placed;
use orrery_model::{NodeId, ShardId};
use tokio::time::{sleep, timeout};

use crate::blocking::blocking;
use crate::desk::Desk;
use crate::limits::{LOOK_AGAIN, SHUTDOWN_TIMEOUT};
use crate::raft::departure;
use crate::raft::group::{Ground, Group};
use crate::raft::members::Members;
use crate::shard::Shard;
use crate::shards::Shards;
use crate::surroundings::Surroundings;
use crate::{fences, keeper, opening};

/// The shards of this node as they come and go.
pub(crate) struct Holdings {
    around: Surroundings,
    ground: Ground,
    shards: Arc<Shards>,
    desk: Arc<Desk>,
    /// Tasks of the shards that are open.
    open: BTreeMap<ShardId, Vec<Task>>,
}

/// Why a shard was not opened or left. Final for the node.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} shard {shard}: {source}")]
pub(crate) struct HoldError {
    what: &'static str,
    shard: ShardId,
    source: io::Error,
}

impl Holdings {
    pub(crate) fn new(
        around: Surroundings,
        ground: Ground,
        shards: Arc<Shards>,
        desk: Arc<Desk>,
    ) -> Self {
        Self { around, ground, shards, desk, open: BTreeMap::new() }
    }

    /// Opens everything that is placed here or has data here, all at once: a node starts again as what
    /// it was, and leaves what it should not hold only once it knows that nobody counts on it.
    ///
    /// # Errors
    /// See [`HoldError`].
    pub(crate) async fn open_all(&mut self, shards: u32) -> Result<(), HoldError> {
        let view = self.around.views.now();
        let me = self.around.me();
        let mut wanted: BTreeSet<ShardId> = self.left_here(shards).await?;
        wanted.extend(view.placements.keys().filter(|shard| view.places(**shard, me)));
        wanted.remove(&ShardId::CONTROL);
        let (config, ground) = (&self.around.config, &self.ground);
        let groups = join_all(wanted.into_iter().map(|shard| async move {
            let group = Group::open(config, shard, ground.clone()).await;
            group.map_err(|source| HoldError { what: "open", shard, source })
        }));
        for group in groups.await {
            self.begin(group?);
        }
        Ok(())
    }

    /// The shards whose logs hold something on this disk. Of others it removes what they left over.
    async fn left_here(&self, shards: u32) -> Result<BTreeSet<ShardId>, HoldError> {
        let store = self.ground.store.clone();
        let look = move || {
            let of = |shard: ShardId, error: &dyn std::error::Error| {
                io::Error::other(format!("shard {shard}: {error}"))
            };
            let held = |shard: &ShardId| match store.log_state(*shard) {
                Ok(log) if log.empty && log.purged.is_none() => {
                    let removed = departure::remove_leftover(&*store, *shard);
                    removed.err().map(|error| Err(of(*shard, &error)))
                }
                Ok(_) => Some(Ok(*shard)),
                Err(error) => Some(Err(of(*shard, &error))),
            };
            (1..=shards).map(ShardId).collect::<Vec<_>>().iter().filter_map(held).collect()
        };
        let looked = blocking(&self.ground.host.tasks, "find-shards", look).await;
        looked.map_err(|source| HoldError { what: "look for", shard: ShardId::CONTROL, source })
    }

    fn begin(&mut self, group: Group) {
        let Surroundings { host, failure, metrics, .. } = &self.around;
        let metrics = metrics.shard(group.shard());
        let (shard, mut tasks) = Shard::start(group, &self.around, metrics.clone());
        let (shard, spawn) = (Arc::new(shard), &host.tasks);
        let control = self.shards.control().clone();
        let id = shard.id();
        let opening = opening::open(shard.clone(), control.clone(), failure.clone());
        tasks.push(spawn.spawn("shard-opening", opening));
        let fences = fences::distribute(shard.clone(), control, metrics);
        tasks.push(spawn.spawn("shard-fences", fences));
        let keeper = keeper::Keeper::new(shard.clone(), self.around.clone(), self.desk.clone());
        tasks.push(spawn.spawn("shard-keeper", keeper.run()));
        self.shards.insert(shard);
        self.open.insert(id, tasks);
        tracing::debug!(shard = %id, "shard opened");
    }

    /// Follows the placements. Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut views = self.around.views.watch();
        loop {
            views.mark_unchanged();
            if let Err(error) = self.settle().await {
                self.around.failure.report(error.to_string());
                return;
            }
            tokio::select! {
                biased;
                changed = views.changed() => if changed.is_err() { return },
                // The members of a group change without a new placement.
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    async fn settle(&mut self) -> Result<(), HoldError> {
        let (view, me) = (self.around.views.now(), self.around.me());
        if !view.learnt {
            return Ok(());
        }
        for shard in self.shards.data() {
            let (id, members) = (shard.id(), shard.group().members());
            if may_leave(view.places(id, me), me, &members, view.placed.get(&id)) {
                drop(shard);
                self.leave(id).await?;
            }
        }
        for shard in view.placements.keys().copied() {
            let held = shard == ShardId::CONTROL || self.open.contains_key(&shard);
            if !held && view.places(shard, me) {
                let group = Group::open(&self.around.config, shard, self.ground.clone()).await;
                let group = group.map_err(|source| HoldError { what: "open", shard, source })?;
                tracing::info!(%shard, "a replica of the shard is placed here");
                self.begin(group);
            }
        }
        Ok(())
    }

    /// Ends a replica and forgets what it held, all but its vote and how far it had acknowledged.
    async fn leave(&mut self, id: ShardId) -> Result<(), HoldError> {
        // Before the core ends, or its supervisor takes that for a failure.
        let tasks = self.open.remove(&id);
        drop(tasks);
        let Some(shard) = self.shards.remove(id) else { return Ok(()) };
        if timeout(SHUTDOWN_TIMEOUT, shard.group().shutdown()).await.is_err() {
            let source = io::Error::new(io::ErrorKind::TimedOut, "its core does not end");
            return Err(HoldError { what: "leave", shard: id, source });
        }
        let leave = |source| HoldError { what: "leave", shard: id, source };
        shard.group().clear_log(&self.ground.log_writer).await.map_err(leave)?;
        shard.group().remove_snapshot().await.map_err(leave)?;
        tracing::info!(shard = %id, "the replica of the shard was given up");
        Ok(())
    }
}

/// Whether nobody counts on this node's replica any more: it should not be here, and either it never was
/// a member, or a committed membership without it is known, its own or one its leader spoke of since.
fn may_leave(placed_here: bool, me: NodeId, members: &Members, said: Option<&Placed>) -> bool {
    if placed_here {
        return false;
    }
    let never_a_member =
        members.voters.iter().all(BTreeSet::is_empty) && members.learners.is_empty();
    let without_me = |placed: &Placed| {
        placed.log_index > members.log_index
            && !placed.voters.contains(&me)
            && !placed.learners.contains(&me)
    };
    never_a_member || (members.committed && !members.contains(me)) || said.is_some_and(without_me)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(3);

    fn members(voters: &[u64], log_index: u64, committed: bool) -> Members {
        let mut members = Members::default();
        members.voters = vec![voters.iter().copied().map(NodeId).collect()];
        (members.log_index, members.committed) = (log_index, committed);
        members
    }

    fn placed(voters: &[u64], log_index: u64) -> Placed {
        let voters = voters.iter().copied().map(NodeId).collect();
        Placed { shard: ShardId(1), log_index, voters, learners: Vec::new(), version: None }
    }

    #[test]
    fn what_is_placed_here_stays() {
        assert!(!may_leave(true, ME, &members(&[1, 2], 9, true), None));
    }

    #[test]
    fn what_was_never_a_member_may_go() {
        assert!(may_leave(false, ME, &Members::default(), None));
    }

    #[test]
    fn a_member_stays_until_a_committed_membership_is_without_it() {
        assert!(!may_leave(false, ME, &members(&[1, 2, 3], 9, true), None));
        assert!(!may_leave(false, ME, &members(&[1, 2], 9, false), None));
        assert!(may_leave(false, ME, &members(&[1, 2], 9, true), None));
    }

    #[test]
    fn what_the_leader_said_counts_only_if_it_is_newer() {
        let own = members(&[1, 2, 3], 9, true);
        assert!(!may_leave(false, ME, &own, Some(&placed(&[1, 2], 9))));
        assert!(!may_leave(false, ME, &own, Some(&placed(&[1, 2, 3], 12))));
        assert!(may_leave(false, ME, &own, Some(&placed(&[1, 2], 12))));
    }
}
