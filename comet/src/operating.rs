//! Operating: the gRPC service by which people operate one comet. It shares the port of the deliveries.

use std::sync::Arc;

use orrery_model::limits::{DRAIN_NODE_BYTES_MAX, DRAIN_NODES_MAX};
use orrery_proto::comet::comet_server::{Comet as Contract, CometServer};
use orrery_proto::comet::{
    DrainRequest, DrainStatus, SlowRequest, SlowResponse, StatusRequest, UndrainRequest,
};
use tonic::{Request, Response, Status};

use crate::comet::Comet;
use crate::drain::{Elsewhere, Progress, Stopping, Wish};
use crate::slow;

/// Answers for one comet.
pub(crate) struct Operating {
    comet: Arc<Comet>,
}

impl Operating {
    pub(crate) fn service(comet: Arc<Comet>) -> CometServer<Self> {
        CometServer::new(Self { comet })
    }

    /// Refuses what is for another comet, whose address this one has taken.
    fn is_for_us(&self, comet: &str) -> Result<(), Status> {
        let id = self.comet.presence.id();
        match comet == id.as_str() {
            true => Ok(()),
            false => Err(Status::failed_precondition(format!("this is comet {id}"))),
        }
    }

    fn drain_status(&self) -> Response<DrainStatus> {
        let Progress { per_second, connections, handshakes, unbinding } =
            self.comet.drain_progress();
        Response::new(DrainStatus {
            draining: per_second.is_some(),
            per_second: per_second.unwrap_or(0),
            connections,
            handshakes,
            unbinding,
        })
    }
}

#[tonic::async_trait]
impl Contract for Operating {
    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainStatus>, Status> {
        let DrainRequest { comet, per_second, nodes, by } = request.into_inner();
        self.is_for_us(&comet)?;
        let fits = |node: &String| (1..=DRAIN_NODE_BYTES_MAX).contains(&node.len());
        if nodes.len() > DRAIN_NODES_MAX || !nodes.iter().all(fits) {
            let detail = format!(
                "at most {DRAIN_NODES_MAX} nodes, each of 1 to {DRAIN_NODE_BYTES_MAX} bytes"
            );
            return Err(Status::invalid_argument(detail));
        }
        let config = &self.comet.config;
        let per_second = match per_second {
            0 => config.drain_per_second,
            per_second => per_second,
        };
        tracing::info!(target: "audit", by, per_second, "drain asked");
        let elsewhere = Arc::new(Elsewhere { spread: config.drain_spread(), nodes });
        self.comet
            .drain
            .begin(Wish { per_second, until: None, elsewhere, last: false })
            .map_err(refused)?;
        Ok(self.drain_status())
    }

    async fn undrain(
        &self,
        request: Request<UndrainRequest>,
    ) -> Result<Response<DrainStatus>, Status> {
        let UndrainRequest { comet, by } = request.into_inner();
        self.is_for_us(&comet)?;
        tracing::info!(target: "audit", by, "end of the drain asked");
        self.comet.drain.end().map_err(refused)?;
        Ok(self.drain_status())
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<DrainStatus>, Status> {
        self.is_for_us(&request.into_inner().comet)?;
        Ok(self.drain_status())
    }

    async fn slow(&self, request: Request<SlowRequest>) -> Result<Response<SlowResponse>, Status> {
        let SlowRequest { comet, limit } = request.into_inner();
        self.is_for_us(&comet)?;
        let devices = slow::find(&self.comet.workers, limit).await;
        Ok(Response::new(SlowResponse { devices: devices.into_iter().map(Into::into).collect() }))
    }
}

fn refused(stopping: Stopping) -> Status {
    Status::failed_precondition(stopping.to_string())
}
