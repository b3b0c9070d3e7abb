//! Departure: how a node leaves a shard, and what binds it when it comes back.
//!
//! Who left has forgotten the log, but not that it acknowledged it: what a majority had on disk may have
//! been there with its help. So how far it had acknowledged stays with its vote. A candidate whose log ends
//! before that gets no vote of it, and until its own log reaches so far again it campaigns for none: in an
//! election it counts as if it had kept its log, which is what openraft, that looks at the log it finds,
//! takes for granted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::raft::VoteResponse;
use orrery_host::Tasks;
use orrery_model::ShardId;
use orrery_router_store::{Store, Write};

use super::entry::{decode_left, encode_left};
use super::group::Group;
use super::log_store::last_log_id;
use super::snapshot::Newest;
use super::types::{LogId, Types};
use crate::blocking::blocking;
use crate::log_writer::LogWriter;

/// How far a node had acknowledged when it left a shard, the furthest of all times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(super) last: Option<LogId>,
    /// The replica was opened again since: what is on the disk is of its new life.
    pub(super) returned: bool,
}

impl Left {
    /// Whether a log that ends at `last` may lack something that this node had acknowledged. Nobody is kept
    /// from leading who may: the entry that let this node go came later than all it had acknowledged, and
    /// whoever lacks that one cannot have a majority of those who vote since.
    pub(super) fn is_beyond(self, last: Option<LogId>) -> bool {
        self.last > last
    }
}

/// What a group knows of the times when its node left the shard.
pub(super) struct Departure {
    left: Left,
    /// The replica's own log reaches as far again, so that its core may campaign.
    caught_up: AtomicBool,
    newest: Newest,
}

impl Departure {
    /// Of a replica whose own log ends at `last`.
    pub(super) fn new(left: Left, last: Option<LogId>, newest: Newest) -> Self {
        Self { left, caught_up: AtomicBool::new(!left.is_beyond(last)), newest }
    }

    /// Whether the core may campaign.
    pub(super) fn has_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Relaxed)
    }
}

/// Begins the life of a replica: reads what was said when the node left the shard, if it did, and removes
/// what a leaving that was cut short has left over.
///
/// # Errors
/// When the store fails, or holds what this build does not understand.
pub(super) async fn arrive(
    shard: ShardId,
    store: &Arc<dyn Store>,
    tasks: &Arc<dyn Tasks>,
    log_writer: &LogWriter,
) -> io::Result<Left> {
    let looked = store.clone();
    let look = move || {
        remove_leftover(&*looked, shard)?;
        said(&*looked, shard)
    };
    let Some(left) = blocking(tasks, "look-back", look).await? else { return Ok(Left::default()) };
    if left.returned {
        return Ok(left);
    }
    // Before anything new is here, or that would be taken for left over.
    let left = Left { returned: true, ..left };
    log_writer.write(shard, Write::Left(encode_left(left))).await?;
    Ok(left)
}

/// Removes the snapshot of a shard that this node left, if a crash came before it was removed: with the
/// members it names the node would take itself for what it was then. Blocks.
///
/// # Errors
/// When the store fails, or holds what this build does not understand.
pub(crate) fn remove_leftover(store: &dyn Store, shard: ShardId) -> io::Result<()> {
    let is_gone = said(store, shard)?.is_some_and(|left| !left.returned);
    let log = store.log_state(shard).map_err(io::Error::other)?;
    // Where there is still a log, leaving has only begun, and the snapshot belongs to it.
    if is_gone && log.empty && log.purged.is_none() {
        store.remove_snapshot(shard).map_err(io::Error::other)?;
    }
    Ok(())
}

fn said(store: &dyn Store, shard: ShardId) -> io::Result<Option<Left>> {
    let bytes: Option<Bytes> = store.left(shard).map_err(io::Error::other)?;
    bytes.map(|bytes| decode_left(&bytes)).transpose()
}

impl Group {
    /// Forgets the log, all but the vote and how far this node had acknowledged. Only once the core has
    /// ended. A snapshot that is still being written fails from here on.
    ///
    /// # Errors
    /// When the disk refuses: the log is there whole, or it is cleared.
    pub(crate) async fn clear_log(&self, log_writer: &LogWriter) -> io::Result<()> {
        let (shard, store, newest) =
            (self.shard(), self.store.clone(), self.departure.newest.clone());
        let stored = blocking(&self.tasks, "end-snapshots", move || {
            newest.end();
            last_log_id(&*store, shard)
        });
        let applied = self.replica().position().0;
        let last = stored.await?.max(applied).max(self.departure.left.last);
        let left = Write::Left(encode_left(Left { last, returned: false }));
        // In this order: a log that is cleared without a word said would be one of a node that never
        // acknowledged anything.
        log_writer.submit_unwatched(shard, left).await?;
        log_writer.write(shard, Write::Clear).await
    }

    /// Forgets the snapshot of a log that was cleared.
    ///
    /// # Errors
    /// When the disk refuses; the next start tries again.
    pub(crate) async fn remove_snapshot(&self) -> io::Result<()> {
        let (shard, store) = (self.shard(), self.store.clone());
        let remove = move || store.remove_snapshot(shard).map_err(io::Error::other);
        blocking(&self.tasks, "remove-snapshot", remove).await
    }

    /// Whether a log that ends at `last` may lack something that this node had acknowledged before it left.
    pub(super) fn had_acknowledged_beyond(&self, last: Option<LogId>) -> bool {
        self.departure.left.is_beyond(last)
    }

    /// Answers a candidate that gets no vote, as the core answers one whose log is too short: neither vote
    /// nor term change.
    pub(super) async fn withhold_vote(&self) -> Result<VoteResponse<Types>, io::Error> {
        let vote = self.raft.with_raft_state(|state| *state.vote_ref()).await;
        let vote = vote.map_err(io::Error::other)?;
        let last = self.raft.data_metrics().borrow_watched().last_log;
        let left = self.departure.left.last;
        tracing::debug!(shard = %self.shard(), ?left, "a vote is withheld: the candidate's log is shorter");
        Ok(VoteResponse::new(vote, last.max(left), false))
    }

    /// Lets the core campaign once the log reaches what this node had acknowledged before it left.
    pub(super) fn look_whether_caught_up(&self) {
        if self.departure.has_caught_up() {
            return;
        }
        let last = self.raft.data_metrics().borrow_watched().last_log;
        if !self.had_acknowledged_beyond(last) {
            self.raft.runtime_config().elect(true);
            self.departure.caught_up.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use openraft::vote::leader_id_std::CommittedLeaderId;

    use super::*;

    fn at(term: u64, index: u64) -> Option<LogId> {
        Some(LogId::new(CommittedLeaderId::new(term), index))
    }

    fn left(last: Option<LogId>) -> Left {
        Left { last, returned: true }
    }

    #[test]
    fn who_never_left_withholds_nothing() {
        for last in [None, at(0, 0), at(7, 1)] {
            assert!(!left(None).is_beyond(last));
        }
    }

    #[test]
    fn a_log_that_ends_earlier_is_refused_and_no_other() {
        let left = left(at(3, 60));
        for last in [None, at(0, 0), at(3, 59), at(2, 100)] {
            assert!(left.is_beyond(last), "{last:?}");
        }
        for last in [at(3, 60), at(3, 61), at(4, 5)] {
            assert!(!left.is_beyond(last), "{last:?}");
        }
    }
}
