//! Logic: an edge service that agrees to everything and remembers nothing.

use std::net::SocketAddr;
use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use orrery_host::Host;
use orrery_model::Seq;
use orrery_model::command::{Bound, Command, Outcome, Reply};
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::edge::edge_response::Kind as Response;
use orrery_proto::edge::edge_server::{Edge, EdgeServer};
use orrery_proto::edge::{
    Attached, Audited, AuditedRoutes, Authenticate, Detached, EdgeRequests, EdgeResponse,
    EdgeResponses, Identity, KeptAlive,
};
use tonic::{Status, Streaming};

/// Serves until its runtime ends.
pub(crate) async fn start(host: &Host) -> SocketAddr {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = host.net.listen(any).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(EdgeServer::new(Agreeable))
        .serve_with_incoming(orrery_host::grpc::incoming(listener));
    host.tasks.spawn("logic", async { server.await.unwrap() }).detach();
    address
}

struct Agreeable;

#[tonic::async_trait]
impl Edge for Agreeable {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<EdgeResponses, Status>> + Send>>;

    async fn session(
        &self,
        request: tonic::Request<Streaming<EdgeRequests>>,
    ) -> Result<tonic::Response<Self::SessionStream>, Status> {
        let answers = request.into_inner().map(|batch| {
            let answer = |request: orrery_proto::edge::EdgeRequest| {
                let kind = answer(request.kind.unwrap())?;
                Some(EdgeResponse { id: request.id, kind: Some(kind) })
            };
            Ok(EdgeResponses {
                responses: batch?.requests.into_iter().filter_map(answer).collect(),
            })
        });
        Ok(tonic::Response::new(answers.boxed()))
    }
}

fn answer(request: Request) -> Option<Response> {
    Some(match request {
        Request::Attach(_) => Response::Attached(Attached {
            incarnation: 1,
            lease_ms: 60_000,
            keep_alive_ms: 1000,
            rebind_per_second: 1000,
        }),
        Request::KeepAlive(_) => Response::KeptAlive(KeptAlive { alive: true, superseded: false }),
        Request::Detach(_) => Response::Detached(Detached {}),
        Request::Authenticate(asked) => Response::Identity(identity(&asked)),
        Request::Write(command) => {
            let outcome = match Command::try_from(command).unwrap() {
                Command::Bind(bind) => {
                    Outcome::Bound(Bound { seq: Seq(bind.conn.0), losers: Vec::new() })
                }
                _ => Outcome::Done,
            };
            let reply: Reply = Ok(outcome);
            Response::Reply((&reply).into())
        }
        Request::Received(_) => return None,
        Request::Audit(_) => Response::Audited(Audited::default()),
        Request::AuditRoutes(_) => Response::AuditedRoutes(AuditedRoutes::default()),
    })
}

/// Users and keys are as long as in real systems.
fn identity(asked: &Authenticate) -> Identity {
    let credentials = String::from_utf8_lossy(&asked.credentials);
    let room = credentials.split_once(' ').map_or("", |(_, room)| room);
    Identity {
        user: format!("{:012}", asked.conn),
        key: format!("{:036}", asked.conn),
        rooms: if room.is_empty() { Vec::new() } else { vec![room.to_owned()] },
        accepts: vec![1000, 1001, 1002],
        heartbeat_ms: 30_000,
        heartbeat_max_ms: 60_000,
        ..Identity::default()
    }
}
