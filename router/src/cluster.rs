//! Cluster: what operators ask of a node: who it is, how the cluster stands, and changes of it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use orrery_model::cluster::{Node, NodeState, Placed, Placement};
use orrery_model::control::{ControlCommand, ControlRefusal, Found};
use orrery_model::{NodeId, ShardId};
use orrery_router_store::Space;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use crate::audit::{Asked, Asker};
use crate::backup::Backup;
use crate::digests::{DigestError, Digests};
use crate::error::{ReadError, WriteError};
use crate::limits::{BACKUPS_AT_ONCE_MAX, SNAPSHOT_LOOK};
use crate::lobby::{Lobby, Phase};
use crate::member::Member;
use crate::plan;
use crate::raft::digest::ShardDigest;
use crate::raft::group::{Group, Progress};
use crate::room::Room;
use crate::server::not_ready;
use crate::thrift;

pub(crate) use crate::lobby::{AdoptError, Adoption};

/// What operators ask of a node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ClusterPlane {
    lobby: Arc<Lobby>,
    /// A permit for each backup that may be under way at once.
    backups: Arc<Semaphore>,
    digests: Digests,
}

/// Who a node is.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    pub(crate) node: Node,
    /// None: it belongs to no cluster yet.
    pub(crate) cluster_id: Option<String>,
    pub(crate) build: &'static str,
    /// What its cluster was founded with, where it was there.
    pub(crate) founding: Option<Found>,
}

/// How the cluster stands, as this node knows, and its own replicas.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) description: Description,
    pub(crate) not_ready: Option<String>,
    pub(crate) nodes: Vec<(Node, NodeState)>,
    pub(crate) placements: Vec<(Placement, Option<Placed>)>,
    /// Replicas of each shard when the cluster was founded; 0 before the control shard knows.
    pub(crate) replicas_founded: usize,
    pub(crate) replicas: Vec<ReplicaStatus>,
    pub(crate) table_epoch: u64,
    pub(crate) comets: u64,
    pub(crate) space: Option<Space>,
    pub(crate) disk_full: bool,
}

/// How one replica stands.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaStatus {
    pub(crate) shard: ShardId,
    pub(crate) role: Role,
    pub(crate) progress: Progress,
    pub(crate) voters: Vec<NodeId>,
    pub(crate) learners: Vec<NodeId>,
    pub(crate) joint: bool,
    pub(crate) recovered: bool,
    /// Of a data shard.
    pub(crate) data: Option<DataStatus>,
}

/// What a node is in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Leader,
    Follower,
    /// A voter that knows no leader.
    Candidate,
    Learner,
}

/// What a data shard holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DataStatus {
    pub(crate) slots: u64,
    pub(crate) routes: u64,
    pub(crate) listings: u64,
    pub(crate) next_seq: u64,
    pub(crate) cursor: u64,
}

/// The node belongs to no cluster yet, or is starting or stopping. Ask again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node is no member of a cluster now")]
pub(crate) struct NotMember;

/// Why the cluster was not changed, or why nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeError {
    /// See [`NotMember`].
    #[error("{NotMember}")]
    NotMember,
    /// Not done: ask the leader of the control shard.
    #[error("this node does not lead the control shard")]
    NotLeader {
        /// `host:port` of its registry service, where known.
        leader: Option<String>,
    },
    /// Not done; every replica refuses alike.
    #[error(transparent)]
    Refused(#[from] ControlRefusal),
    /// Not done: not every node understands it yet.
    #[error("it needs protocol {needs}, and not every node speaks more than {speaks}")]
    Protocol { needs: u32, speaks: u32 },
    /// Not done, and never will be.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// See [`WriteError`].
    #[error(transparent)]
    Write(WriteError),
}

/// Why a snapshot was not written. Asking again may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// See [`NotMember`].
    #[error("{NotMember}")]
    NotMember,
    #[error("this node has no replica of shard {0}")]
    NoShard(ShardId),
    #[error("{0}")]
    Failed(String),
}

/// Why a shard was not backed up. Asking again, or another node, may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BackupError {
    /// See [`NotMember`].
    #[error("{NotMember}")]
    NotMember,
    #[error("this node has no replica of shard {0}")]
    NoShard(ShardId),
    /// Another one is under way: later.
    #[error("this node is giving a backup already")]
    Busy,
    /// See [`ReadError`].
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl ClusterPlane {
    pub(crate) fn new(lobby: Arc<Lobby>) -> Self {
        let backups = Arc::new(Semaphore::new(BACKUPS_AT_ONCE_MAX));
        Self { lobby, backups, digests: Digests::new() }
    }

    fn member(&self) -> Result<Arc<Member>, NotMember> {
        self.lobby.member().map_err(|_| NotMember)
    }

    /// Who this node is; also while it belongs to no cluster.
    pub(crate) fn describe(&self) -> Description {
        let identity = match self.lobby.phase() {
            Phase::Joining(identity) | Phase::Member(identity, _) => Some(identity),
            Phase::Opening | Phase::Blank(_) | Phase::Gone => None,
        };
        // Checked when it was taken.
        let plan = |founding: &Bytes| plan::decode(founding).ok().flatten();
        Description {
            node: (*self.lobby.node()).clone(),
            build: env!("CARGO_PKG_VERSION"),
            founding: identity.as_ref().and_then(|identity| plan(&identity.founding)),
            cluster_id: identity.map(|identity| identity.cluster_id),
        }
    }

    /// Makes this node a member of a cluster, and says so in the audit log. A repeat changes nothing.
    ///
    /// # Errors
    /// See [`AdoptError`].
    pub(crate) async fn adopt(&self, adoption: Adoption, asker: Asker) -> Result<(), AdoptError> {
        let Adoption { cluster_id, node, instance, founding, .. } = &adoption;
        let how = if founding.is_some() { "founding it" } else { "joining it" };
        let change = format!("node {node} {instance:?} belongs to cluster {cluster_id:?}, {how}");
        let asked = Asked::begin(asker, change);
        let adopted = self.lobby.adopt(adoption).await;
        match &adopted {
            Ok(()) => asked.done(None),
            Err(error @ AdoptError::Disk(_)) => asked.unknown(error),
            Err(error) => asked.refused(error),
        }
        adopted
    }

    /// How the cluster stands, as this node knows.
    ///
    /// # Errors
    /// [`NotMember`].
    pub(crate) fn status(&self) -> Result<Status, NotMember> {
        let member = self.member()?;
        let view = member.around.views.now();
        let seen = member.around.room.seen();
        let placement =
            |placement: &Placement| (placement.clone(), view.placed.get(&placement.shard).cloned());
        let replica = |group: &Arc<Group>| replica(&member, group);
        let control = member.shards.control().replica();
        let (comets, replicas_founded) = control.control(|state, _| {
            let founded = |shard| state.first_replicas(shard).map(|replicas| replicas.len());
            (state.comets().count(), state.shards().filter_map(founded).max().unwrap_or(0))
        });
        Ok(Status {
            description: self.describe(),
            not_ready: not_ready(&self.lobby),
            nodes: view.nodes.values().cloned().collect(),
            placements: view.placements.values().map(placement).collect(),
            replicas_founded,
            replicas: member.shards.groups().iter().map(replica).collect(),
            table_epoch: view.table.as_ref().map_or(0, |table| table.epoch),
            comets: comets as u64,
            space: seen.space,
            disk_full: seen.full,
        })
    }

    /// Changes the cluster, and says in the audit log who had it changed. Gives the log index of the
    /// change.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub(crate) async fn change(
        &self,
        command: ControlCommand,
        asker: Asker,
        deadline: Instant,
    ) -> Result<u64, ChangeError> {
        let member = self.member().map_err(|NotMember| ChangeError::NotMember)?;
        check(&command)?;
        if member.shards.control().group().leading_term().is_none() {
            // Whoever leads leaves the line.
            return Err(not_leader(&member, None));
        }
        let asked = Asked::begin(asker, format!("{command:?}"));
        let changed = write(&member, command, deadline).await;
        match &changed {
            Ok(log_index) => asked.done(Some(*log_index)),
            Err(error @ ChangeError::Write(WriteError::Unknown(_))) => asked.unknown(error),
            Err(error) => asked.refused(error),
        }
        changed
    }

    /// Lets replicas of this node write snapshots now, and gives the log index of each newest one then.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub(crate) async fn snapshot(
        &self,
        shards: &[ShardId],
        deadline: Instant,
    ) -> Result<Vec<(ShardId, u64)>, SnapshotError> {
        let member = self.member().map_err(|NotMember| SnapshotError::NotMember)?;
        let groups = member.shards.groups();
        let missing = shards.iter().find(|shard| groups.iter().all(|held| held.shard() != **shard));
        if let Some(missing) = missing {
            return Err(SnapshotError::NoShard(*missing));
        }
        let asked = |group: &&Arc<Group>| shards.is_empty() || shards.contains(&group.shard());
        let room = &member.around.room;
        let written =
            groups.iter().filter(asked).map(|group| write_snapshot(room, group, deadline));
        join_all(written).await.into_iter().collect()
    }

    /// The digests of replicas of this node, or of all where none is named.
    ///
    /// # Errors
    /// See [`DigestError`].
    pub(crate) async fn digests(
        &self,
        shards: &[ShardId],
    ) -> Result<Vec<ShardDigest>, DigestError> {
        let member = self.member().map_err(|NotMember| DigestError::NotMember)?;
        self.digests.of(&member.shards.groups(), shards, &member.around.host.tasks).await
    }

    /// Everything that a shard holds. Only its leader answers, linearizably, and only one at a time.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub(crate) async fn backup(
        &self,
        shard: ShardId,
        deadline: Instant,
    ) -> Result<Backup, BackupError> {
        let member = self.member().map_err(|NotMember| BackupError::NotMember)?;
        let permit = self.backups.clone().try_acquire_owned().map_err(|_| BackupError::Busy)?;
        let group = match shard {
            ShardId::CONTROL => {
                member.shards.control().confirm(deadline).await?;
                member.shards.control().group().clone()
            }
            shard => {
                let held = member.shards.get(shard).ok_or(BackupError::NoShard(shard))?;
                held.confirm(deadline).await?;
                held.group().clone()
            }
        };
        let host = &member.around.host;
        let captured = group.replica().capture_all(host.random.uuid());
        let begun = Backup::begin(captured, permit, &host.tasks);
        Ok(begun.map_err(|error| ReadError::Unavailable(error.to_string()))?)
    }
}

/// What people may have written: the rest is the cluster's own.
fn check(command: &ControlCommand) -> Result<(), ChangeError> {
    match command {
        ControlCommand::AddNode(_)
        | ControlCommand::SetNodeState { .. }
        | ControlCommand::Place(_) => Ok(()),
        ControlCommand::Found(_) => {
            Err(ChangeError::NotAllowed("a cluster is founded by adopting its nodes"))
        }
        ControlCommand::Attach(_) | ControlCommand::Expire(_) => {
            Err(ChangeError::NotAllowed("comets attach and detach through the registry"))
        }
        ControlCommand::Trim { .. } | ControlCommand::UpdateNode(_) | ControlCommand::Placed(_) => {
            Err(ChangeError::NotAllowed("only the cluster itself writes this kind of command"))
        }
    }
}

async fn write(
    member: &Member,
    command: ControlCommand,
    deadline: Instant,
) -> Result<u64, ChangeError> {
    let (needs, speaks) = (command.protocol(), member.around.views.now().protocol);
    if needs > speaks {
        return Err(ChangeError::Protocol { needs, speaks });
    }
    let written = member.shards.control().write_in_turn(command, deadline).await;
    let written = written.map_err(|error| match error {
        WriteError::NotLeader { leader } => not_leader(member, leader),
        error => ChangeError::Write(error),
    })?;
    written.reply?;
    Ok(written.log_index)
}

fn not_leader(member: &Member, leader: Option<NodeId>) -> ChangeError {
    let leader = leader.or_else(|| member.shards.control().group().leader());
    let view = member.around.views.now();
    let leader = leader.and_then(|leader| view.member(leader));
    ChangeError::NotLeader { leader: leader.map(|(node, _)| node.registry.clone()) }
}

fn replica(member: &Member, group: &Arc<Group>) -> ReplicaStatus {
    let (shard, progress, members) = (group.shard(), group.progress(), group.members());
    let votes = members.votes(member.around.me());
    let role = match (progress.leads, votes, progress.leader) {
        (true, ..) => Role::Leader,
        (false, true, Some(_)) => Role::Follower,
        (false, true, None) => Role::Candidate,
        (false, false, _) => Role::Learner,
    };
    let data = || {
        group.replica().registry(|registry, _| {
            let stats = registry.stats();
            DataStatus {
                slots: stats.slots,
                routes: stats.routes,
                listings: stats.listings,
                next_seq: registry.next_seq().0,
                cursor: registry.cursor(),
            }
        })
    };
    ReplicaStatus {
        shard,
        role,
        progress,
        voters: members.all_voters().into_iter().collect(),
        learners: members.learners.iter().copied().collect(),
        joint: members.joint,
        recovered: group.has_recovered(),
        data: (shard != ShardId::CONTROL).then(data),
    }
}

/// Has a snapshot of everything applied by now written, and waits for it.
async fn write_snapshot(
    room: &Room,
    group: &Group,
    deadline: Instant,
) -> Result<(ShardId, u64), SnapshotError> {
    let shard = group.shard();
    let failed = |detail: String| SnapshotError::Failed(format!("shard {shard}: {detail}"));
    if room.is_full() {
        let written = thrift::write_snapshot(room, group, deadline).await;
        return written.map(|index| (shard, index)).map_err(|error| failed(error.to_string()));
    }
    let applied = group.progress().applied_index;
    let written = async {
        loop {
            let index = group.progress().snapshot_index;
            if index >= applied {
                return Ok((shard, index));
            }
            // Not only once: while an older one is being written nothing is begun.
            group.snapshot_now().await.map_err(|error| failed(error.to_string()))?;
            sleep(SNAPSHOT_LOOK).await;
        }
    };
    let in_time = timeout_at(deadline, written).await;
    in_time.unwrap_or_else(|_| Err(failed("not written in time".to_owned())))
}
