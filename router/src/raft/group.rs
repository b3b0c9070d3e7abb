//! Group: one node's part in one shard's Raft group. What openraft answers is put into our words here.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{
    ClientWriteError, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError,
};
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use openraft::storage::RaftLogStorage as _;
use openraft::type_config::alias::OneshotReceiverOf;
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{Config as RaftConfig, LogState, ReadPolicy, SnapshotPolicy, StepDownPolicy};
use orrery_host::{Host, Tasks};
use orrery_model::{NodeId, ShardId};
use orrery_router_store::Store;
use seeded_bugs::Bug;
use tokio::sync::Semaphore;

use super::backlog::Backlog;
use super::departure::{self, Departure};
use super::heard::{Heard, Silences};
use super::incoming::Turns;
use super::log_store::LogStore;
use super::machine::Machine;
use super::network::Network;
use super::replica::Replica;
use super::types::{Payload, PeerAddress, Raft, Replies, Types};
use crate::config::Config;
use crate::error::{ReadError, WriteError};
use crate::limits::QUORUM_PROBE_ELECTIONS;
use crate::log_writer::LogWriter;
use crate::peers::Links;

/// Pauses before a peer that cannot be reached is tried again, up to a second. A node that starts
/// again is back in the group within the first ones.
const BACKOFF: &str = "50ms 100ms 200ms ...1s";

/// What all groups of a node share.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) host: Host,
    pub(crate) log_writer: LogWriter,
    pub(crate) peers: Arc<Links>,
    /// A permit for each snapshot that may be written at once.
    pub(crate) snapshot_permits: Arc<Semaphore>,
}

/// One node's part in one shard.
pub(crate) struct Group {
    shard: ShardId,
    pub(super) raft: Raft,
    replica: Arc<Replica>,
    recovered: AtomicBool,
    /// When a leader of the shard was last heard of.
    pub(super) heard: Heard,
    pub(super) turns: Turns,
    /// What the core was given by other nodes' lanes.
    pub(super) backlog: Arc<Backlog>,
    pub(super) store: Arc<dyn Store>,
    pub(super) tasks: Arc<dyn Tasks>,
    /// How often a leader tells that it lives.
    pub(super) heartbeat: Duration,
    /// How long a leader takes entries after its quorum last answered; the longest an election waits.
    pub(super) lease: Duration,
    /// After how many entries a snapshot is due.
    pub(super) snapshot_entries: u64,
    /// Whether the core's own ticks are on.
    ticking: AtomicBool,
    pub(super) departure: Departure,
    /// The core is ended on purpose.
    ending: AtomicBool,
}

/// Where a group stands, for metrics and for people.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    pub(crate) term: u64,
    /// Who leads, as far as this node has evidence now: its quorum answers, or it is heard.
    pub(crate) leader: Option<NodeId>,
    pub(crate) leads: bool,
    pub(crate) last_index: u64,
    /// The last log index that this node knows to be committed.
    pub(crate) committed_index: u64,
    pub(crate) applied_index: u64,
    pub(crate) snapshot_index: u64,
    pub(crate) purged_index: u64,
}

/// An entry on its way: handed to the core, outcome not known yet.
pub(crate) struct Proposed(Option<OneshotReceiverOf<Types, ClientWriteResult<Types>>>);

impl Group {
    /// Opens the shard's log and newest snapshot and starts its core.
    ///
    /// # Errors
    /// When the store cannot be read or is corrupt, or the configuration does not hold together.
    pub(crate) async fn open(config: &Config, shard: ShardId, ground: Ground) -> io::Result<Self> {
        let Ground { store, host, log_writer, peers, snapshot_permits } = ground;
        let tail_bytes = config.log_tail_bytes;
        let tasks = host.tasks.clone();
        let left = departure::arrive(shard, &store, &tasks, &log_writer).await?;
        let mut log =
            LogStore::open(shard, store.clone(), tasks.clone(), log_writer, tail_bytes).await?;
        let LogState { last_purged_log_id, last_log_id } = log.get_log_state().await?;
        let replica = Arc::new(Replica::new(shard));
        let machine = Machine::new(replica.clone(), store.clone(), host, snapshot_permits)
            .after(last_purged_log_id);
        let departure = Departure::new(left, last_log_id, machine.newest());
        let mut raft_config = raft_config(config, shard).validate().map_err(io::Error::other)?;
        raft_config.enable_elect = departure.has_caught_up();
        let network = Network { shard, peers, tasks: tasks.clone() };
        let raft = Raft::new(config.node_id, Arc::new(raft_config), network, log, machine);
        let raft = raft.await.map_err(io::Error::other)?;
        // Until the core has begun it shows no members, and would pass for a replica that never had any.
        raft.with_raft_state(|_| ()).await.map_err(io::Error::other)?;
        let lease = Duration::from_millis(config.election_ms_max);
        Ok(Self {
            shard,
            raft,
            replica,
            recovered: AtomicBool::new(false),
            heard: Heard::new(Silences::of(lease)),
            turns: Turns::new(),
            backlog: Backlog::new(),
            store,
            tasks,
            heartbeat: Duration::from_millis(config.heartbeat_ms),
            lease,
            snapshot_entries: snapshot_entries(config, shard),
            ticking: AtomicBool::new(true),
            departure,
            ending: AtomicBool::new(false),
        })
    }

    /// Which shard this is of.
    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    /// The shard's state on this node.
    pub(crate) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// Whether the shard has been founded, here or by a leader that told us.
    pub(crate) async fn is_initialized(&self) -> io::Result<bool> {
        self.raft.is_initialized().await.map_err(io::Error::other)
    }

    /// Founds the shard with its first members. Only ever on one node, and only once.
    pub(crate) async fn initialize(&self, members: &[(NodeId, String)]) -> io::Result<()> {
        let members: BTreeMap<u64, PeerAddress> =
            members.iter().map(|(id, address)| (id.0, PeerAddress(address.clone()))).collect();
        self.raft.initialize(members).await.map_err(io::Error::other)
    }

    /// Asks for an election now where this node is the only voter: nobody else could win it.
    pub(crate) async fn elect_if_alone(&self) -> io::Result<()> {
        let alone = self.raft.voter_ids().eq([*self.raft.node_id()]);
        if alone && self.departure.has_caught_up() {
            self.raft.trigger().elect(false).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Waits until the state has caught up with everything this node's log held when it started.
    pub(crate) async fn recover(&self) {
        if self.raft.wait_for_recovery(None).await.is_ok() {
            self.recovered.store(true, Ordering::Release);
        }
    }

    /// Whether [`Group::recover`] is over.
    pub(crate) fn has_recovered(&self) -> bool {
        self.recovered.load(Ordering::Acquire)
    }

    /// Turns the core's own ticks on or off.
    pub(super) fn set_ticking(&self, ticking: bool) {
        if self.ticking.swap(ticking, Ordering::Relaxed) != ticking {
            self.raft.runtime_config().tick(ticking);
        }
    }

    /// Hands an entry to the core. Entries of one caller are logged in the order of these calls.
    /// With a `term` it is appended only if this node leads in that very one; else it is refused as not
    /// done.
    pub(crate) async fn propose(&self, payload: Payload, term: Option<u64>) -> Proposed {
        let (responder, outcome) = ProgressResponder::complete_only();
        let sent = match term {
            Some(term) => {
                let leader = CommittedLeaderId::new(term);
                self.raft.write(payload).with_leader(leader).responder(responder).await
            }
            None => self.raft.client_write_ff(payload, Some(responder)).await,
        };
        Proposed(sent.is_ok().then_some(outcome))
    }

    /// Confirms that this node led the shard at some moment after the call began, and waits until the
    /// state here holds everything that was committed then (read index; never a lease).
    pub(crate) async fn confirm(&self, timeout: Duration) -> Result<(), ReadError> {
        if seeded_bugs::is(Bug::ReadWithoutReadIndex) && self.leading_term().is_some() {
            return Ok(());
        }
        let linearizer = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
        let ready = linearizer.map_err(read_error)?.try_await_ready(&self.raft, Some(timeout));
        match ready.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ReadError::Unavailable("the state lags behind the log".to_owned())),
            Err(fatal) => Err(ReadError::Unavailable(fatal.to_string())),
        }
    }

    /// Where the group stands.
    pub(crate) fn progress(&self) -> Progress {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let index = |log_id: Option<super::types::LogId>| log_id.map_or(0, |id| id.index);
        let leader = self.evident_leader(&metrics);
        Progress {
            term: metrics.current_term,
            leader,
            leads: leader == Some(NodeId(metrics.id)),
            last_index: metrics.last_log_index.unwrap_or(0),
            committed_index: index(metrics.cluster_committed).max(index(metrics.local_committed)),
            applied_index: index(metrics.last_applied),
            snapshot_index: index(metrics.snapshot),
            purged_index: index(metrics.purged),
        }
    }

    /// Whether the core is ended on purpose, or was.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Ends the core, then snapshots that wait for their turn. Entries under way are left as they are.
    pub(crate) async fn shutdown(&self) {
        self.ending.store(true, Ordering::Release);
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(shard = %self.shard, %error, "the shard's core did not end in order");
        }
        self.replica.snapshots().end();
    }
}

impl Proposed {
    /// Waits for the outcome: the entry's log index and what applying it answered.
    pub(crate) async fn outcome(self) -> Result<(u64, Replies), WriteError> {
        let ended = || WriteError::Unknown("the shard's core has ended".to_owned());
        let answer = self.0.ok_or_else(ended)?.await.map_err(|_| ended())?;
        match answer {
            Ok(response) => Ok((response.log_id.index, response.data)),
            Err(error) => Err(write_error(error)),
        }
    }
}

/// Says what is known of a write that openraft refused. Matched by hand: its own conversions treat an
/// entry that was discarded (and may be committed by another leader) like one never appended.
fn write_error(error: ClientWriteError<Types>) -> WriteError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => match not_leader(forward) {
            Ok(leader) => WriteError::NotLeader { leader },
            Err(detail) => WriteError::Unavailable(detail),
        },
        ClientWriteError::LogEntryDiscarded(_) => {
            WriteError::Unknown("another leader replaced the entry".to_owned())
        }
        // Neither can answer a plain entry.
        ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => {
            WriteError::Unknown(error.to_string())
        }
    }
}

fn read_error(error: RaftError<Types, LinearizableReadError<Types>>) -> ReadError {
    match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
            match not_leader(forward) {
                Ok(leader) => ReadError::NotLeader { leader },
                Err(detail) => ReadError::Unavailable(detail),
            }
        }
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(error)) => {
            ReadError::Unavailable(error.to_string())
        }
        RaftError::Fatal(fatal) => ReadError::Unavailable(fatal.to_string()),
    }
}

/// Who leads instead, as far as known; or why this node, although leader, cannot.
pub(super) fn not_leader(forward: ForwardToLeader<Types>) -> Result<Option<NodeId>, String> {
    match forward.reason {
        ForwardReason::LeaseExpired => Err("the leader has lost its quorum".to_owned()),
        ForwardReason::NotLeader | ForwardReason::LeadershipTransfer => {
            Ok(forward.leader_id.map(NodeId))
        }
    }
}

/// Shards that fill evenly must not all write their snapshots at once: they are spread by 20 % each way.
fn snapshot_entries(config: &Config, shard: ShardId) -> u64 {
    let percent = 80 + u64::from(shard.0) * 17 % 41;
    (config.snapshot_log_entries.saturating_mul(percent) / 100).max(1)
}

fn raft_config(config: &Config, shard: ShardId) -> RaftConfig {
    RaftConfig {
        cluster_name: format!("shard-{shard}"),
        heartbeat_interval: config.heartbeat_ms,
        election_timeout_min: config.election_ms_min,
        election_timeout_max: config.election_ms_max,
        // On, a restarted leader goes on in its old term and can give a log id twice.
        enable_leader_restore: Some(seeded_bugs::is(Bug::LeaderRestored)),
        enable_pre_vote: Some(true),
        quorum_loss_probe_interval: Some(
            u64::from(QUORUM_PROBE_ELECTIONS) * config.election_ms_max,
        ),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshot_entries(config, shard)),
        max_in_snapshot_log_to_keep: config.log_keep_entries,
        purge_batch_size: config.purge_batch_entries,
        replication_lag_threshold: 1000,
        install_snapshot_timeout: 5_000,
        // A heartbeat that follows an append at once says nothing new; kept well below the interval,
        // so that one that is a little early is still sent.
        heartbeat_min_interval: Some(config.heartbeat_ms / 2),
        // What a message holds is bounded in bytes as well.
        max_payload_entries: 1000,
        // What is left of a leader that was voted out hands over by itself.
        removed_leader_step_down: StepDownPolicy::After(500),
        backoff: BACKOFF.to_owned(),
        reset_backoff_on_transfer_leader: Some(true),
        allow_log_reversion: seeded_bugs::is(Bug::SubQuorum).then_some(true),
        ..RaftConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of these has a default under which something acknowledged is lost, a read is stale or a shard has
    /// no leader for long: `tests/openraft` shows those that show by themselves.
    #[test]
    fn what_openraft_would_do_otherwise_is_decided_here() {
        let config = raft_config(&Config::default(), ShardId(1)).validate().unwrap();
        assert_eq!(config.enable_leader_restore, Some(false));
        assert_eq!(config.enable_pre_vote, Some(true));
        assert!(!config.allow_log_reversion.unwrap_or(false));
        assert!(config.quorum_loss_probe_interval.unwrap() > config.election_timeout_max);
        assert!(config.election_timeout_min > 2 * config.heartbeat_interval);
        assert!(config.heartbeat_min_interval.unwrap() < config.heartbeat_interval);
    }
}
