//! Starting and stopping.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use orrery_host::Host;
use orrery_proto::cluster::cluster_client::ClusterClient;
use orrery_proto::registry as wire;
use orrery_router::{Config, StartError};
use orrery_router_store::{Disk, Identity, Opened, Store, StoreError};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::node::{Node, PATIENCE, bind_command, channel, config, directory, model, until, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_directory_becomes_a_cluster_within_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let disk = self::directory(directory.path());
    let begun = Instant::now();
    let node = Node::start(disk).await;
    let took = begun.elapsed();
    let answer = node.client.clone().get_table(wire::GetTableRequest {}).await.unwrap();
    let answer = answer.into_inner();
    assert!(!answer.cluster_id.is_empty());
    assert_eq!(answer.nodes[0].registry, node.handle.registry_address().to_string());
    let mut shards = answer.table.unwrap().owners;
    assert_eq!(shards.len(), 4096);
    shards.sort_unstable();
    shards.dedup();
    assert_eq!(shards, [1, 2, 3, 4]);
    assert!(took < Duration::from_secs(1), "took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_when_the_node_serves() {
    let node = Node::start(Arc::new(model())).await;
    let address = node.handle.registry_address().to_string();
    let channel = orrery_host::grpc::channel(Host::system().net, &address).unwrap();
    let request = HealthCheckRequest { service: "orrery.registry.v1.Registry".to_owned() };
    until("health says so", || async {
        let answer = HealthClient::new(channel.clone()).check(request.clone()).await.ok()?;
        (answer.into_inner().status() == ServingStatus::Serving).then_some(())
    })
    .await;
}

/// A disk that takes its time to become a member's.
struct SlowDisk {
    inner: Arc<dyn Disk>,
    may_adopt: Mutex<mpsc::Receiver<()>>,
}

impl Disk for SlowDisk {
    fn open(&self) -> Result<Opened, StoreError> {
        self.inner.open()
    }

    fn adopt(&self, identity: Identity) -> Result<Arc<dyn Store>, StoreError> {
        self.may_adopt.lock().recv().expect("the test goes on");
        self.inner.adopt(identity)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_a_node_that_is_founding_its_own_cluster_is_refused() {
    let (go, may_adopt) = mpsc::channel();
    let may_adopt = Mutex::new(may_adopt);
    let disk = Arc::new(SlowDisk { inner: Arc::new(model()), may_adopt });
    let handle = orrery_router::start(config(), Host::system(), disk).await.unwrap();
    let mut cluster = ClusterClient::new(channel(&handle));
    let request = orrery_proto::cluster::AdoptRequest {
        cluster_id: "another".to_owned(),
        node: 1,
        instance: "first".to_owned(),
        shards: 4,
        founding: None,
        by: String::new(),
    };
    let adopted = cluster.adopt(request);
    tokio::pin!(adopted);
    // Long enough for the node to have been asked; it cannot answer yet.
    let early = timeout(Duration::from_millis(300), &mut adopted).await;
    assert!(early.is_err(), "{early:?}");
    go.send(()).unwrap();
    let refused = timeout(PATIENCE, adopted).await.expect("it is answered").unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    until("the node is ready", || std::future::ready(handle.ready().ok())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_found_under_its_new_address_after_a_restart() {
    let disk = Arc::new(model());
    let node = Node::start(disk.clone()).await;
    node.stop().await;
    let config = Config { registry_advertise: Some("router.example:1".to_owned()), ..config() };
    let node = Node::start_with(config, disk).await;
    let table = node.client.clone().get_table(wire::GetTableRequest {}).await.unwrap();
    assert_eq!(table.into_inner().nodes[0].registry, "router.example:1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_the_directory_is_refused() {
    let disk = Arc::new(model());
    Node::start(disk.clone()).await.stop().await;
    let start = |config| orrery_router::start(config, Host::system(), disk.clone());
    let error = start(Config { shards: Some(8), ..config() }).await.err().unwrap();
    assert!(matches!(error, StartError::OtherShards { configured: 8, stored: 4 }), "{error}");
    let error = start(Config { node_id: 2, ..config() }).await.err().unwrap();
    assert!(matches!(error, StartError::OtherNode { configured: 2, stored: 1 }), "{error}");
    let error = start(Config { lease_ms: 1, ..config() }).await.err().unwrap();
    assert!(error.to_string().contains("lease_ms"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_already_taken_is_named() {
    let node = Node::start(Arc::new(model())).await;
    let taken = node.handle.registry_address();
    let config = Config { registry_listen: taken, ..config() };
    let error =
        orrery_router::start(config, Host::system(), Arc::new(model())).await.err().unwrap();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_answers_what_is_under_way() {
    let node = Node::start(Arc::new(model())).await;
    let binds = (0..100).map(|number| {
        let user = user(format!("user-{number}"));
        (node.shard_of(&user), Some(bind_command(&user, "comet-a", 1, number)))
    });
    let answers = node.caller.send_all(binds.collect());
    // All are at the node once the last one is answered; some of the others may still be under way.
    let mut answers = answers.into_iter();
    let first = timeout(PATIENCE, answers.next().unwrap()).await.unwrap().unwrap();
    assert!(matches!(first.kind, Some(wire::response::Kind::Reply(_))), "{first:?}");
    let (handle, caller) = (node.handle, node.caller);
    timeout(PATIENCE, handle.stop()).await.expect("an open session does not hold it up");
    for answer in answers {
        let answer = timeout(PATIENCE, answer).await.unwrap().expect("each is answered");
        assert!(matches!(answer.kind, Some(wire::response::Kind::Reply(_))), "{answer:?}");
    }
    drop(caller);
}
