//! Duties: what other nodes ask of this one as the leader of the control shard.

use std::sync::{Arc, Weak};

use orrery_model::NodeId;
use orrery_model::control::ControlCommand;
use orrery_proto::peers as wire;
use orrery_proto::peers::duties_server::Duties;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::limits::UPKEEP_TIMEOUT;
use crate::peers::{Envelope, Gate};
use crate::reports::{Report, Reports};
use crate::shards::Shards;

/// The duties service of a node.
pub(crate) struct DutiesService {
    /// Gone with the node.
    pub(crate) shards: Weak<Shards>,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) reports: Arc<Reports>,
}

impl DutiesService {
    fn admit(&self, envelope: Option<wire::Envelope>) -> Result<NodeId, Status> {
        let envelope =
            envelope.ok_or_else(|| Status::invalid_argument("the envelope is missing"))?;
        let envelope = Envelope::from(envelope);
        self.gate.check(&envelope)?;
        Ok(envelope.from)
    }

    fn shards(&self) -> Result<Arc<Shards>, Status> {
        self.shards.upgrade().ok_or_else(|| Status::unavailable("the node is stopping"))
    }
}

#[tonic::async_trait]
impl Duties for DutiesService {
    async fn propose(
        &self,
        request: Request<wire::ProposeRequest>,
    ) -> Result<Response<wire::ProposeResponse>, Status> {
        let request = request.into_inner();
        let from = self.admit(request.envelope)?;
        let command =
            request.command.ok_or_else(|| Status::invalid_argument("the command is missing"))?;
        let command = ControlCommand::try_from(command)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if !may_propose(from, &command) {
            return Err(Status::invalid_argument("a node does not write this on its own behalf"));
        }
        let shards = self.shards()?;
        let deadline = Instant::now() + UPKEEP_TIMEOUT;
        let written = shards.control().write_in_turn(command, deadline).await?;
        match written.reply {
            Ok(_) => Ok(Response::new(wire::ProposeResponse { log_index: written.log_index })),
            Err(refusal) => Err(Status::failed_precondition(refusal.to_string())),
        }
    }

    async fn report(
        &self,
        request: Request<wire::ReportRequest>,
    ) -> Result<Response<wire::ReportResponse>, Status> {
        let mut request = request.into_inner();
        let from = self.admit(request.envelope.take())?;
        let shards = self.shards()?;
        if shards.control().group().leading_term().is_none() {
            return Err(Status::unavailable("this node does not lead the control shard"));
        }
        let now = Instant::now();
        self.reports.take(from, Report::from_wire(&request), now);
        let unfit_nodes = self.reports.unfit(now).into_iter().map(|node| node.0).collect();
        Ok(Response::new(wire::ReportResponse { unfit_nodes }))
    }
}

/// What a node may say on its own behalf: about itself, and about shards that it leads.
fn may_propose(from: NodeId, command: &ControlCommand) -> bool {
    match command {
        ControlCommand::UpdateNode(node) => node.id == from,
        ControlCommand::Placed(placed) => placed.voters.contains(&from),
        _ => false,
    }
}
