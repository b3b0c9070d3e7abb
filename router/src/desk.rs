//! Desk: the way to the leader of the control shard, wherever it is, for what this node has to say on its
//! own behalf: commands of its upkeep, and that it lives.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orrery_host::grpc;
use orrery_model::control::{ControlCommand, ControlRefusal};
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_model::{NodeId, ShardId};
use orrery_proto::peers as wire;
use orrery_proto::peers::duties_client::DutiesClient;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::error::WriteError;
use crate::peers::Me;
use crate::reports::{Report, Reports};
use crate::shard::ControlShard;
use crate::surroundings::Surroundings;

/// Why something was not said to the control shard. All but a refusal may be tried again.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DeskError {
    /// See [`WriteError`].
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The control shard refused; every replica would.
    #[error("refused: {0}")]
    Refused(String),
    /// Whoever was asked does not talk to this node; the word says why.
    #[error("{0}")]
    ShutOut(String),
    /// Nobody leads, or whoever does cannot be reached.
    #[error("the control shard's leader cannot be reached: {0}")]
    Unreachable(String),
}

impl From<ControlRefusal> for DeskError {
    fn from(refusal: ControlRefusal) -> Self {
        Self::Refused(refusal.to_string())
    }
}

/// The way to the control shard's leader.
pub(crate) struct Desk {
    control: Arc<ControlShard>,
    around: Surroundings,
    me: Me,
    reports: Arc<Reports>,
    /// One for each address asked; a handful.
    channels: Mutex<BTreeMap<String, Channel>>,
    heard: Mutex<Heard>,
    /// This node should lead nothing any more.
    stopping: AtomicBool,
}

/// What the control shard's leader last answered.
#[derive(Default)]
struct Heard {
    at: Option<Instant>,
    unfit: BTreeSet<NodeId>,
    /// Why this node is not talked to, while that is so.
    shut_out: Option<String>,
    /// Counts reports that failed since one was heard.
    turn: usize,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Desk {
    pub(crate) fn new(
        control: Arc<ControlShard>,
        around: Surroundings,
        me: Me,
        reports: Arc<Reports>,
    ) -> Self {
        let (channels, heard) = (Mutex::default(), Mutex::default());
        let stopping = AtomicBool::new(false);
        Self { control, around, me, reports, channels, heard, stopping }
    }

    /// How long ago the control shard's leader spoke to this node.
    pub(crate) fn silence(&self) -> Option<Duration> {
        if self.control.group().leading_term().is_some() {
            return Some(Duration::ZERO);
        }
        self.heard.lock().at.map(|at| at.elapsed())
    }

    /// Whether a node said that it should lead nothing.
    pub(crate) fn is_unfit(&self, node: NodeId) -> bool {
        match node == self.me.node {
            true => self.around.room.is_full() || self.stopping.load(Ordering::Relaxed),
            false => self.heard.lock().unfit.contains(&node),
        }
    }

    /// From here on says that this node should lead nothing.
    pub(crate) fn lead_no_more(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Why other nodes do not talk to this one, where they say so.
    pub(crate) fn shut_out(&self) -> Option<String> {
        self.heard.lock().shut_out.clone()
    }

    /// Writes a command of the node's own into the control shard's log.
    ///
    /// # Errors
    /// See [`DeskError`].
    pub(crate) async fn write(
        &self,
        command: ControlCommand,
        deadline: Instant,
    ) -> Result<(), DeskError> {
        if self.control.group().leading_term().is_some() {
            self.control.write_in_turn(command, deadline).await?.reply?;
            return Ok(());
        }
        let leader = self.control.group().leader().filter(|node| *node != self.me.node);
        let leader = leader.ok_or_else(|| DeskError::Unreachable("nobody leads".to_owned()))?;
        let request = wire::ProposeRequest {
            envelope: Some(self.me.envelope(ShardId::CONTROL, leader)),
            command: Some((&command).into()),
        };
        let mut client = self.client(leader)?;
        match timeout_at(deadline, client.propose(request)).await {
            Ok(answer) => answer.map(|_| ()).map_err(|status| error_of(&status)),
            Err(_) => Err(DeskError::Unreachable("no answer in time".to_owned())),
        }
    }

    /// Says that this node lives and how far its shards are.
    ///
    /// # Errors
    /// See [`DeskError`].
    pub(crate) async fn report(
        &self,
        mut report: Report,
        deadline: Instant,
    ) -> Result<(), DeskError> {
        report.unfit = self.is_unfit(self.me.node);
        let now = Instant::now();
        if self.control.group().leading_term().is_some() {
            self.reports.take(self.me.node, report, now);
            let unfit = self.reports.unfit(now);
            self.hear(unfit);
            return Ok(());
        }
        let to = self.whom_to_tell();
        let to = to.ok_or_else(|| DeskError::Unreachable("nobody is known".to_owned()))?;
        let request = wire::ReportRequest {
            envelope: Some(self.me.envelope(ShardId::CONTROL, to)),
            cursors: report.to_wire(),
            unfit: report.unfit,
        };
        let mut client = self.client(to)?;
        let answer = match timeout_at(deadline, client.report(request)).await {
            Ok(answer) => answer.map_err(|status| error_of(&status)),
            Err(_) => Err(DeskError::Unreachable("no answer in time".to_owned())),
        };
        match answer {
            Ok(answer) => {
                self.hear(answer.into_inner().unfit_nodes.into_iter().map(NodeId).collect());
                Ok(())
            }
            Err(error) => {
                // The leader may be another one by now: the next is asked.
                let mut heard = self.heard.lock();
                heard.turn = heard.turn.wrapping_add(1);
                if let DeskError::ShutOut(why) = &error {
                    heard.shut_out = Some(why.clone());
                }
                Err(error)
            }
        }
    }

    fn hear(&self, unfit: BTreeSet<NodeId>) {
        let mut heard = self.heard.lock();
        heard.at = Some(Instant::now());
        heard.unfit = unfit;
        heard.shut_out = None;
        heard.turn = 0;
    }

    /// The leader as far as known. It may be gone for good without this node ever hearing of the next one,
    /// so after each failure somebody else is told in between.
    fn whom_to_tell(&self) -> Option<NodeId> {
        let turn = self.heard.lock().turn;
        let others = |node: &NodeId| *node != self.me.node;
        let leader = self.control.group().leader().filter(others);
        if leader.is_some() && turn.is_multiple_of(2) {
            return leader;
        }
        let view = self.around.views.now();
        let members: Vec<NodeId> = view.members().map(|node| node.id).filter(others).collect();
        members.get((turn / 2).checked_rem(members.len())?).copied().or(leader)
    }

    fn client(&self, node: NodeId) -> Result<DutiesClient<Channel>, DeskError> {
        let view = self.around.views.now();
        let address = view.member(node).map(|(node, _)| node.peers.clone());
        let unknown = || DeskError::Unreachable(format!("node {node} has no known address"));
        let address = address.ok_or_else(unknown)?;
        let mut channels = self.channels.lock();
        if channels.len() > view.nodes.len() + 1 {
            channels.retain(|held, _| view.members().any(|node| node.peers == *held));
        }
        let channel = match channels.get(&address) {
            Some(channel) => channel.clone(),
            None => {
                let channel = grpc::channel(self.around.host.net.clone(), &address)
                    .map_err(|error| DeskError::Unreachable(error.to_string()))?;
                channels.insert(address, channel.clone());
                channel
            }
        };
        Ok(DutiesClient::new(channel)
            .max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(INTERNAL_MESSAGE_BYTES_MAX))
    }
}

fn error_of(status: &Status) -> DeskError {
    let detail = status.message().to_owned();
    let words = ["WRONG_CLUSTER", "WRONG_NODE", "UNKNOWN_NODE", "REMOVED_NODE", "PROTOCOL"];
    match status.code() {
        Code::FailedPrecondition if words.iter().any(|word| detail.starts_with(word)) => {
            DeskError::ShutOut(detail)
        }
        Code::FailedPrecondition | Code::InvalidArgument => DeskError::Refused(detail),
        code => DeskError::Unreachable(format!("{code}: {detail}")),
    }
}
