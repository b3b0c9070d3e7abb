//! The cluster service as operators call it: on one node, or on whoever leads the control shard.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use orrery_host::{Host, Task, grpc};
use orrery_model::cluster::NodeState;
use orrery_model::control::ControlCommand;
use orrery_model::{NodeId, ShardId};
use orrery_proto::cluster as wire;
use orrery_proto::cluster::cluster_server::{Cluster, ClusterServer};
use orrery_router_client::Config;
use orrery_router_client::cluster::{Adoption, ClusterClient, ClusterError};
use parking_lot::Mutex;
use tonic::{Request, Response, Status};

use crate::scripted::{nobody, soon, within};

/// A node whose cluster service does as it is told.
struct Node {
    address: String,
    inner: Arc<Inner>,
    _server: Task,
}

#[derive(Default)]
struct Inner {
    changes: Mutex<VecDeque<Result<u64, Status>>>,
    asked: Mutex<Vec<wire::ChangeRequest>>,
    described: Mutex<wire::DescribeResponse>,
    status: Mutex<wire::StatusResponse>,
    chunks: Mutex<Vec<Result<wire::BackupChunk, Status>>>,
}

impl Node {
    async fn start() -> Self {
        let host = Host::system();
        let listener = host.net.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inner = Arc::new(Inner::default());
        let service = ClusterServer::new(Service(inner.clone()));
        let server = host.tasks.spawn("scripted node", async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(grpc::incoming(listener)).await.unwrap();
        });
        Self { address, inner, _server: server }
    }

    fn will_change(&self, result: Result<u64, Status>) {
        self.inner.changes.lock().push_back(result);
    }

    fn asked(&self) -> usize {
        self.inner.asked.lock().len()
    }
}

struct Service(Arc<Inner>);

#[tonic::async_trait]
impl Cluster for Service {
    type BackupStream = BoxStream<'static, Result<wire::BackupChunk, Status>>;

    async fn describe(
        &self,
        _: Request<wire::DescribeRequest>,
    ) -> Result<Response<wire::DescribeResponse>, Status> {
        Ok(Response::new(self.0.described.lock().clone()))
    }

    async fn adopt(
        &self,
        _: Request<wire::AdoptRequest>,
    ) -> Result<Response<wire::AdoptResponse>, Status> {
        Err(Status::failed_precondition("another cluster's"))
    }

    async fn status(
        &self,
        _: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        Ok(Response::new(self.0.status.lock().clone()))
    }

    async fn change(
        &self,
        request: Request<wire::ChangeRequest>,
    ) -> Result<Response<wire::ChangeResponse>, Status> {
        self.0.asked.lock().push(request.into_inner());
        let result = self.0.changes.lock().pop_front();
        let log_index = result.unwrap_or_else(|| Err(Status::unavailable("no leader")))?;
        Ok(Response::new(wire::ChangeResponse { log_index }))
    }

    async fn snapshot(
        &self,
        _: Request<wire::SnapshotRequest>,
    ) -> Result<Response<wire::SnapshotResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn digest(
        &self,
        _: Request<wire::DigestRequest>,
    ) -> Result<Response<wire::DigestResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn backup(
        &self,
        _: Request<wire::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let chunks = std::mem::take(&mut *self.0.chunks.lock());
        Ok(Response::new(stream::iter(chunks).boxed()))
    }
}

fn client(nodes: &[&Node]) -> ClusterClient {
    let nodes = nodes.iter().map(|node| node.address.clone()).collect();
    ClusterClient::new(&Config { nodes, ..Config::default() }, Host::system())
}

fn drain() -> ControlCommand {
    ControlCommand::SetNodeState { node: NodeId(2), state: NodeState::Draining }
}

fn led_at(address: &str) -> Status {
    let mut status = Status::unavailable("not the leader");
    status.metadata_mut().insert("orrery-leader", address.parse().unwrap());
    status
}

#[tokio::test]
async fn a_change_goes_to_the_leader_that_a_node_names_and_the_next_one_straight_there() {
    let (first, leader) = (Node::start().await, Node::start().await);
    let client = client(&[&first]);
    first.will_change(Err(led_at(&leader.address)));
    leader.will_change(Ok(7));
    leader.will_change(Ok(8));
    assert_eq!(client.change(&drain(), "me@here", soon()).await, Ok(7));
    assert_eq!(client.change(&drain(), "me@here", soon()).await, Ok(8));
    assert_eq!((first.asked(), leader.asked()), (1, 2));
    assert!(leader.inner.asked.lock().iter().all(|request| request.by == "me@here"));
}

#[tokio::test]
async fn a_change_is_made_although_all_nodes_that_were_configured_have_been_replaced() {
    let node = Node::start().await;
    let nodes = vec![nobody().await];
    let client = ClusterClient::new(&Config { nodes, ..Config::default() }, Host::system());
    node.will_change(Ok(7));
    let error = client.change(&drain(), "", within(300)).await.unwrap_err();
    assert!(matches!(error, ClusterError::Unreachable { .. }), "{error}");
    let described = wire::DescribeResponse {
        node: 4,
        instance: "i".to_owned(),
        protocol: 2,
        registry: node.address.clone(),
        ..wire::DescribeResponse::default()
    };
    let own = orrery_proto::registry::Node {
        id: 4,
        registry: node.address.clone(),
        ..orrery_proto::registry::Node::default()
    };
    let state = orrery_proto::registry::NodeState::Active.into();
    *node.inner.status.lock() = wire::StatusResponse {
        node: Some(described),
        nodes: vec![wire::NodeStatus { node: Some(own), state }],
        ..wire::StatusResponse::default()
    };
    client.report(&node.address, soon()).await.unwrap();
    assert_eq!(client.change(&drain(), "", soon()).await, Ok(7));
}

#[tokio::test]
async fn a_refusal_is_told_and_not_repeated() {
    let node = Node::start().await;
    let client = client(&[&node]);
    node.will_change(Err(Status::failed_precondition("node 2 was removed")));
    let error = client.change(&drain(), "", soon()).await.unwrap_err();
    assert_eq!(error, ClusterError::Refused { detail: "node 2 was removed".to_owned() });
    node.will_change(Err(Status::invalid_argument("no")));
    let error = client.change(&drain(), "", soon()).await.unwrap_err();
    assert!(matches!(error, ClusterError::Invalid { .. }) && !error.may_retry(), "{error}");
    assert_eq!(node.asked(), 2);
    let adoption = Adoption {
        cluster_id: "c".to_owned(),
        node: NodeId(1),
        instance: "i".to_owned(),
        shards: 1,
        founding: None,
    };
    let error = client.adopt(&node.address, &adoption, "a test", soon()).await.unwrap_err();
    assert!(matches!(error, ClusterError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_change_that_may_have_been_made_is_unknown_and_one_that_never_left_is_not() {
    let node = Node::start().await;
    let client = client(&[&node]);
    node.will_change(Err(Status::deadline_exceeded("who knows")));
    let error = client.change(&drain(), "", within(100)).await.unwrap_err();
    assert!(matches!(error, ClusterError::Unknown { .. }), "{error}");
    let error = client.change(&drain(), "", within(100)).await.unwrap_err();
    assert!(matches!(error, ClusterError::Unreachable { .. }), "{error}");
    let error = client.describe(&nobody().await, within(500)).await.unwrap_err();
    assert!(matches!(error, ClusterError::Unreachable { .. }) && error.may_retry(), "{error}");
    let error = client.describe("not an address", soon()).await.unwrap_err();
    assert!(matches!(error, ClusterError::Invalid { .. }), "{error}");
}

#[tokio::test]
async fn who_a_node_is_is_checked() {
    let node = Node::start().await;
    let client = client(&[&node]);
    let error = client.describe(&node.address, soon()).await.unwrap_err();
    assert!(matches!(error, ClusterError::Malformed { .. }), "a node without a number: {error}");
    *node.inner.described.lock() = wire::DescribeResponse {
        node: 4,
        instance: "i".to_owned(),
        protocol: 2,
        registry: node.address.clone(),
        ..wire::DescribeResponse::default()
    };
    let described = client.describe(&node.address, soon()).await.unwrap();
    assert_eq!((described.node.id, described.cluster_id), (NodeId(4), None));
    let error = client.report(&node.address, soon()).await.unwrap_err();
    assert!(matches!(error, ClusterError::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn a_backup_arrives_in_parts_and_a_broken_one_says_so() {
    let node = Node::start().await;
    let client = client(&[&node]);
    let first = wire::BackupChunk { meta: Some(Default::default()), ..Default::default() };
    let end = wire::BackupEnd { records: 3, crc32: 9 };
    let last = wire::BackupChunk { end: Some(end), ..Default::default() };
    *node.inner.chunks.lock() = vec![Ok(first.clone()), Ok(last)];
    let mut stream = client.backup(&node.address, ShardId(1), soon()).await.unwrap();
    assert!(stream.next().await.unwrap().unwrap().meta.is_some());
    assert_eq!(stream.next().await.unwrap().unwrap().end, Some((3, 9)));
    assert_eq!(stream.next().await, Ok(None));

    *node.inner.chunks.lock() = vec![Ok(first), Err(Status::aborted("the leader moved"))];
    let mut stream = client.backup(&node.address, ShardId(1), soon()).await.unwrap();
    assert!(stream.next().await.is_ok());
    let error = stream.next().await.unwrap_err();
    assert!(matches!(error, ClusterError::Unreachable { .. }), "{error}");
}
