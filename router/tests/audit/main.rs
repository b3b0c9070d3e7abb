//! Whoever changes the cluster leaves a line that says so, whatever becomes of it.
//!
//! A program of its own: a place in the code that is first come by in a thread where nobody listens may stay
//! silent for the others, so here every test listens.
// What tests share may unwrap as tests do.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with tests that use all of it")]
#[path = "../router/gated_disk.rs"]
mod gated_disk;
#[path = "../router/gated_store.rs"]
mod gated_store;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use orrery_host::Host;
use orrery_model::NodeId;
use orrery_model::cluster::NodeState;
use orrery_model::control::ControlCommand;
use orrery_proto::cluster as wire;
use orrery_proto::cluster::cluster_client::ClusterClient;
use orrery_router::{Config, Handle};
use orrery_router_store::Disk;
use orrery_router_store::model::ModelDisk;
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic::transport::Channel;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber, span};

use gated_disk::GatedDisk;

/// No condition of a test takes longer than this unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// The lines of the audit log that this thread wrote, and that of a runtime with no other has.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn watch() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let watching = tracing::subscriber::set_default(lines.clone());
        (lines, watching)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }

    async fn holds(&self, what: &str, with: &str) {
        until(what, async || self.0.lock().iter().any(|line| line.contains(with))).await;
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.0.insert_str(0, &format!("{value:?}")),
            name => self.0 += &format!(" {name}={value:?}"),
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "audit"
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().push(line.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn config() -> Config {
    let any = ([127, 0, 0, 1], 0).into();
    Config { found_alone: true, registry_listen: any, peers_listen: any, ..Config::default() }
}

fn model() -> ModelDisk {
    ModelDisk::blank(NodeId(1), "first")
}

/// A node that serves, and how it is asked.
async fn start(config: Config, disk: Arc<dyn Disk>) -> (Handle, ClusterClient<Channel>) {
    let (handle, cluster) = start_blank(config, disk).await;
    until("the node is ready", async || handle.ready().is_ok()).await;
    (handle, cluster)
}

async fn start_blank(config: Config, disk: Arc<dyn Disk>) -> (Handle, ClusterClient<Channel>) {
    let host = Host::system();
    let handle = orrery_router::start(config, host.clone(), disk).await.unwrap();
    let address = handle.registry_address().to_string();
    let channel = orrery_host::grpc::channel(host.net, &address).unwrap();
    (handle, ClusterClient::new(channel))
}

/// Looks until it is so.
async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !look().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("in vain waited until {what}"));
}

fn drain(node: u64) -> wire::ChangeRequest {
    let command = ControlCommand::SetNodeState { node: NodeId(node), state: NodeState::Draining };
    wire::ChangeRequest { command: Some((&command).into()), by: "ann@desk".to_owned() }
}

async fn is_draining(cluster: &ClusterClient<Channel>) -> bool {
    let status = cluster.clone().status(wire::StatusRequest {}).await.unwrap().into_inner();
    status.nodes[0].state() == orrery_proto::registry::NodeState::Draining
}

#[tokio::test]
async fn a_change_is_told_before_it_is_made_and_after() {
    let (lines, _watching) = Lines::watch();
    let (_handle, mut cluster) = start(config(), Arc::new(model())).await;
    let log_index = cluster.change(drain(1)).await.unwrap().into_inner().log_index;
    let told = lines.take();
    let [asked, done] = &told[..] else { panic!("{told:?}") };
    assert!(asked.starts_with("change asked") && done.starts_with("change done"), "{told:?}");
    assert!(done.contains(&format!("log_index={log_index}")), "{done}");
    for line in [asked, done] {
        let all = ["by=\"ann@desk\"", "peer=\"127.0.0.1:", "SetNodeState", "Draining"];
        assert!(all.iter().all(|part| line.contains(part)), "{line}");
    }

    let refused = cluster.change(drain(9)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let told = lines.take();
    assert!(told.len() == 2 && told[1].starts_with("change refused"), "{told:?}");
    assert!(told[1].contains("no node 9"), "{told:?}");
}

#[tokio::test]
async fn a_change_whose_caller_goes_away_is_told_of_all_the_same() {
    let (lines, _watching) = Lines::watch();
    let disk = Arc::new(GatedDisk::new(Arc::new(model())));
    let (_handle, cluster) = start(config(), disk.clone()).await;
    disk.shut();
    let mut caller = cluster.clone();
    let change = Host::system().tasks.spawn("caller", async move {
        let _ = caller.change(drain(1)).await;
    });
    lines.holds("the change is asked for", "change asked").await;
    drop(change);
    lines.holds("the outcome is unknown", "change unknown").await;
    let told = lines.take();
    assert!(told.len() == 2 && told[1].contains("ann@desk"), "{told:?}");
    // Unknown was right: it is made.
    disk.release();
    until("it is made", async || is_draining(&cluster).await).await;
}

#[tokio::test]
async fn a_change_that_is_not_made_in_time_is_told_as_unknown() {
    let (lines, _watching) = Lines::watch();
    let disk = Arc::new(GatedDisk::new(Arc::new(model())));
    let config = Config { request_timeout_ms: 100, ..config() };
    let (_handle, mut cluster) = start(config, disk.clone()).await;
    disk.shut();
    let late = cluster.change(drain(1)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    let told = lines.take();
    let [asked, unknown] = &told[..] else { panic!("{told:?}") };
    assert!(asked.starts_with("change asked"), "{told:?}");
    assert!(unknown.starts_with("change unknown") && unknown.contains("ann@desk"), "{told:?}");
    disk.release();
}

#[tokio::test]
async fn a_node_that_is_taken_into_a_cluster_tells_by_whom() {
    let (lines, _watching) = Lines::watch();
    let blank = Config { found_alone: false, ..config() };
    let (_handle, mut cluster) = start_blank(blank, Arc::new(model())).await;
    let request = |instance: &str| wire::AdoptRequest {
        cluster_id: "of-two".to_owned(),
        node: 1,
        instance: instance.to_owned(),
        shards: 2,
        founding: None,
        by: "ann@desk".to_owned(),
    };
    cluster.adopt(request("lost")).await.unwrap_err();
    let told = lines.take();
    assert!(told.len() == 2 && told[1].starts_with("change refused"), "{told:?}");
    cluster.adopt(request("first")).await.unwrap();
    let told = lines.take();
    let [asked, done] = &told[..] else { panic!("{told:?}") };
    assert!(asked.starts_with("change asked") && done.starts_with("change done"), "{told:?}");
    for line in [asked, done] {
        let all = ["by=\"ann@desk\"", "peer=\"127.0.0.1:", "node 1", "of-two"];
        assert!(all.iter().all(|part| line.contains(part)), "{line}");
    }
}
