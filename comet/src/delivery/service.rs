//! Service: the gRPC door through which logic delivers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use orrery_host::{Host, Listener, Task};
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_proto::delivery::delivery_server::{Delivery as Contract, DeliveryServer, SERVICE_NAME};
use orrery_proto::delivery::{CensusPage, CensusRequest, Deliveries, Receipts};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use super::{census, session};
use crate::comet::Comet;
use crate::limits::{DELIVERY_FAREWELL, RECEIPTS_OUTBOUND};
use crate::operating::Operating;
use crate::presence::Life;

/// How often an idle connection of a logic is checked.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The running service. Its drop ends it.
pub(crate) struct Server {
    address: SocketAddr,
    task: Task,
    stop: CancellationToken,
}

impl Server {
    /// Serves on a listener, which is bound to `address`.
    pub(crate) fn start(
        comet: Arc<Comet>,
        host: &Host,
        listener: Box<dyn Listener>,
        address: SocketAddr,
    ) -> Self {
        let stop = CancellationToken::new();
        let life = comet.presence.life();
        let operating = Operating::service(comet.clone());
        let service = Service { comet, host: host.clone(), stop: stop.clone() };
        let service =
            DeliveryServer::new(service).max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX);
        let stopped = stop.clone().cancelled_owned();
        let (health, health_service) = health_reporter();
        let told = tell_health(health, life);
        let served = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .add_service(health_service)
            .add_service(service)
            .add_service(operating)
            .serve_with_incoming_shutdown(orrery_host::grpc::incoming(listener), stopped);
        let task = host.tasks.spawn("delivery", async move {
            let served = tokio::select! {
                // First: nobody is to be told anything before it is known.
                biased;
                never = told => match never {},
                served = served => served,
            };
            if let Err(error) = served {
                tracing::error!(%error, "the delivery service ended");
            }
        });
        Self { address, task, stop }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all sessions and the server, at the latest after [`DELIVERY_FAREWELL`].
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(DELIVERY_FAREWELL, self.task.join()).await;
    }
}

/// Tells health checks whether logic can deliver here: for as long as the comet lives.
async fn tell_health(health: HealthReporter, mut life: watch::Receiver<Life>) -> Infallible {
    loop {
        let status = match *life.borrow_and_update() {
            Life::Attached(_) => ServingStatus::Serving,
            Life::Attaching | Life::Superseded | Life::Ended => ServingStatus::NotServing,
        };
        for service in ["", SERVICE_NAME] {
            health.set_service_status(service, status).await;
        }
        if life.changed().await.is_err() {
            // Whoever could end the comet is gone, and with it this task's owner.
            std::future::pending().await
        }
    }
}

struct Service {
    comet: Arc<Comet>,
    host: Host,
    stop: CancellationToken,
}

type Outbound<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Contract for Service {
    type SessionStream = Outbound<Receipts>;
    type CensusStream = Outbound<CensusPage>;

    async fn session(
        &self,
        request: Request<Streaming<Deliveries>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (outbound, receipts) = mpsc::channel(RECEIPTS_OUTBOUND);
        let (comet, stop) = (self.comet.clone(), self.stop.clone());
        let (reader, writer) = session::new(comet, outbound, stop);
        let tasks = &self.host.tasks;
        let session = Owned {
            receipts: ReceiverStream::new(receipts),
            _tasks: [
                tasks.spawn("deliveries", reader.run(request.into_inner())),
                tasks.spawn("receipts", writer.run()),
            ],
        };
        // It ends with the writer, which tells what there is to tell first.
        Ok(Response::new(session.boxed()))
    }

    async fn census(
        &self,
        _request: Request<CensusRequest>,
    ) -> Result<Response<Self::CensusStream>, Status> {
        let pages = census::pages(&self.comet).into_iter().map(Ok);
        Ok(Response::new(stream::iter(pages).boxed()))
    }
}

/// The receipts of a session, which owns the tasks that make them.
struct Owned {
    receipts: ReceiverStream<Result<Receipts, Status>>,
    _tasks: [Task; 2],
}

impl Stream for Owned {
    type Item = Result<Receipts, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receipts.poll_next_unpin(cx)
    }
}
