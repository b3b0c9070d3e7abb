//! Members: who belongs to a shard's group, how far each one is, and how that is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, Instant as _, Precondition, ServerState};
use orrery_model::NodeId;
use tokio::time::timeout;

use super::group::{Group, not_leader};
use super::types::{LogId, PeerAddress, Types};
use crate::limits::{TRANSFER_LAG_MAX, TRANSFER_SILENCE_HEARTBEATS};

/// The members of a group, as this node knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Members {
    /// The voters; two sets while they change.
    pub(crate) voters: Vec<BTreeSet<NodeId>>,
    /// Those who follow without a vote.
    pub(crate) learners: BTreeSet<NodeId>,
    /// Two sets of voters are in force; a change is under way or was left behind.
    pub(crate) joint: bool,
    /// A majority has it on disk.
    pub(crate) committed: bool,
    /// Index of the entry that made them so.
    pub(crate) log_index: u64,
    at: Option<LogId>,
}

impl Members {
    /// Whether a node votes, in either set.
    pub(crate) fn votes(&self, node: NodeId) -> bool {
        self.voters.iter().any(|set| set.contains(&node))
    }

    /// Whether a node is a voter or a learner.
    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.votes(node) || self.learners.contains(&node)
    }

    /// All voters, of either set.
    pub(crate) fn all_voters(&self) -> BTreeSet<NodeId> {
        self.voters.iter().flatten().copied().collect()
    }
}

/// How far a member is, as its leader knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replication {
    /// Last log index that the member is known to have, 0 for none.
    pub(crate) matched: u64,
    /// Entries of the leader's log beyond that.
    pub(crate) lag: u64,
    /// Milliseconds since it last answered; none where it never did.
    pub(crate) heard_ms: Option<u64>,
}

/// Why members were not changed, or why nobody knows. Look at the members again before trying again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MembersError {
    /// Not changed: another node leads the shard.
    #[error("this node does not lead the shard")]
    NotLeader { leader: Option<NodeId> },
    /// Not changed: the members are others than those the change was made from, or they are just being
    /// changed.
    #[error("the members have changed: {0}")]
    Outdated(String),
    /// Not changed: it makes no sense.
    #[error("{0}")]
    Refused(String),
    /// The change, or a first part of it, may have taken effect.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

/// Why a leadership is not handed over. Nothing has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransferError {
    /// Another node leads the shard.
    #[error("this node does not lead the shard")]
    NotLeader { leader: Option<NodeId> },
    /// Nobody else may lead.
    #[error("node {0} is no voter of the shard")]
    NoVoter(NodeId),
    /// The shard would have no leader until it has caught up, or an election.
    #[error("node {node} is not ready to lead: {detail}")]
    NotReady { node: NodeId, detail: String },
}

impl Group {
    /// The members, as this node knows them; committed or not.
    pub(crate) fn members(&self) -> Members {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let stored = &metrics.membership_config;
        let membership = stored.membership();
        let sets = membership.get_joint_config();
        Members {
            voters: sets.iter().map(|set| set.iter().copied().map(NodeId).collect()).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
            joint: sets.len() > 1,
            committed: stored.log_id() == metrics.committed_membership_config.log_id(),
            log_index: stored.log_id().map_or(0, |at| at.index),
            at: *stored.log_id(),
        }
    }

    /// How far each member is; empty where this node does not lead.
    pub(crate) fn replication(&self) -> BTreeMap<NodeId, Replication> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let last = metrics.last_log_index.unwrap_or(0);
        let Some(replication) = &metrics.replication else { return BTreeMap::new() };
        let heard = metrics.heartbeat.as_ref();
        let member = |(node, matched): (&u64, &Option<LogId>)| {
            let matched = matched.map_or(0, |matched| matched.index);
            let heard = heard.and_then(|heard| *heard.get(node)?);
            let heard_ms = match *node == metrics.id {
                true => Some(0),
                false => heard.map(|at| millis(at.into_inner().elapsed())),
            };
            let lag = last.saturating_sub(matched);
            (NodeId(*node), Replication { matched, lag, heard_ms })
        };
        replication.iter().map(member).collect()
    }

    /// Adds a node that follows without a vote. Does not wait until it has caught up.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub(crate) async fn add_learner(
        &self,
        seen: &Members,
        node: NodeId,
        address: &str,
    ) -> Result<(), MembersError> {
        let nodes = BTreeMap::from([(node.0, PeerAddress(address.to_owned()))]);
        self.change(seen, ChangeMembers::AddNodes(nodes), true).await
    }

    /// Takes away a node that follows without a vote.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub(crate) async fn remove_learner(
        &self,
        seen: &Members,
        node: NodeId,
    ) -> Result<(), MembersError> {
        self.change(seen, ChangeMembers::RemoveNodes(BTreeSet::from([node.0])), true).await
    }

    /// Replaces the voters, in two steps where that is needed; each has to be a member already. With
    /// `retain`, who no longer votes goes on following.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub(crate) async fn change_voters(
        &self,
        seen: &Members,
        voters: BTreeSet<NodeId>,
        retain: bool,
    ) -> Result<(), MembersError> {
        let voters = voters.into_iter().map(|node| node.0).collect();
        self.change(seen, ChangeMembers::ReplaceAllVoters(voters), retain).await
    }

    /// Ends a change of voters that was left halfway, by taking its second step.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub(crate) async fn finish_change(
        &self,
        seen: &Members,
        retain: bool,
    ) -> Result<(), MembersError> {
        self.change(seen, ChangeMembers::AddVoterIds(BTreeSet::new()), retain).await
    }

    async fn change(
        &self,
        seen: &Members,
        change: ChangeMembers<u64, PeerAddress>,
        retain: bool,
    ) -> Result<(), MembersError> {
        // Of several who decide at once only one changes what all of them saw.
        let unchanged = Precondition::LastMembershipLogId { last_membership_log_id: seen.at };
        match self.raft.change_membership_if(change, retain, [unchanged]).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(error)) => Err(members_error(error)),
            Err(RaftError::Fatal(fatal)) => Err(MembersError::Unknown(fatal.to_string())),
        }
    }

    /// Hands the leadership to another voter, if that can take it at once: nothing takes a hand-over
    /// back, and until somebody leads the shard stands still. [`Group::wait_leader`] tells the outcome.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub(crate) async fn transfer_leader(&self, to: NodeId) -> Result<(), TransferError> {
        let not_leader = || TransferError::NotLeader { leader: self.leader() };
        let replication = match self.leading_term() {
            Some(_) => self.replication(),
            None => return Err(not_leader()),
        };
        if !self.members().votes(to) {
            return Err(TransferError::NoVoter(to));
        }
        let silence = self.heartbeat * TRANSFER_SILENCE_HEARTBEATS;
        let not_ready = |detail: String| TransferError::NotReady { node: to, detail };
        match replication.get(&to).map(|member| (member.heard_ms, member.lag)) {
            None => return Err(not_ready("nothing is known of it".to_owned())),
            Some((None, _)) => return Err(not_ready("it never answered".to_owned())),
            Some((Some(ms), _)) if ms > millis(silence) => {
                return Err(not_ready(format!("it last answered {ms} ms ago")));
            }
            Some((_, lag)) if lag > TRANSFER_LAG_MAX => {
                return Err(not_ready(format!("it lacks {lag} entries")));
            }
            Some(_) => {}
        }
        self.raft.trigger().transfer_leader(to.0).await.map_err(|_| not_leader())
    }

    /// Who leads, as far as this node knows.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.raft.metrics().borrow_watched().current_leader.map(NodeId)
    }

    /// Waits until this node knows a leader that `accept` takes.
    pub(crate) async fn wait_leader(
        &self,
        patience: Duration,
        accept: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        let mut metrics = self.raft.server_metrics();
        let wait = async {
            loop {
                let leader = metrics.borrow_and_update().current_leader.map(NodeId);
                if let Some(leader) = leader.filter(|leader| accept(*leader)) {
                    return Some(leader);
                }
                metrics.changed().await.ok()?;
            }
        };
        timeout(patience, wait).await.ok().flatten()
    }

    /// Whether this node leads and others follow it, or it votes without leading.
    pub(super) fn standing(&self) -> Standing {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = &metrics.membership_config;
        // By the committed ones too, as openraft goes: a membership that only this node has on disk may
        // leave it out, and nobody else can win an election until that is committed or replaced.
        let in_force = [membership, &metrics.committed_membership_config];
        let votes = || in_force.iter().any(|held| held.voter_ids().any(|id| id == metrics.id));
        match metrics.state {
            ServerState::Leader if membership.nodes().nth(1).is_none() => Standing::LeadsAlone,
            ServerState::Leader => Standing::Leads,
            _ if votes() => Standing::Votes,
            _ => Standing::Follows,
        }
    }

    /// Asks for a snapshot now. Returns at once.
    ///
    /// # Errors
    /// When the shard's core has ended.
    pub(crate) async fn snapshot_now(&self) -> std::io::Result<()> {
        self.raft.trigger().snapshot().await.map_err(std::io::Error::other)
    }

    /// Whether the group never heard of anything: neither founded here nor told by a leader.
    ///
    /// # Errors
    /// When the shard's core has ended.
    pub(crate) async fn is_pristine(&self) -> std::io::Result<bool> {
        Ok(!self.is_initialized().await?)
    }
}

/// What a node is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The leader, and nobody else belongs to the group.
    LeadsAlone,
    /// The leader.
    Leads,
    /// A voter that does not lead, by the newest membership or by the one that is committed.
    Votes,
    /// Neither: a learner, or no member at all.
    Follows,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn members_error(error: ClientWriteError<Types>) -> MembersError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => match not_leader(forward) {
            Ok(leader) => MembersError::NotLeader { leader },
            Err(detail) => MembersError::Unknown(detail),
        },
        ClientWriteError::LogEntryDiscarded(_) => {
            MembersError::Unknown("another leader replaced the entry".to_owned())
        }
        ClientWriteError::PreconditionFailed(failed) => MembersError::Outdated(failed.to_string()),
        ClientWriteError::ChangeMembershipError(error) => {
            use openraft::errors::ChangeMembershipError as Error;
            match error {
                Error::InProgress(_) => MembersError::Outdated(error.to_string()),
                _ => MembersError::Refused(error.to_string()),
            }
        }
    }
}
