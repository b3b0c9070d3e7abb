//! What health checks are told of a node's services.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::time::timeout;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::cluster::{Cluster, PATIENCE, Plan};

const REGISTRY: &str = "orrery.registry.v1.Registry";
const CLUSTER: &str = "orrery.cluster.v1.Cluster";

/// What is told of a service, from now on.
struct Word(BoxStream<'static, ServingStatus>);

impl Word {
    async fn of(cluster: &Cluster, id: u64, service: &str) -> Self {
        let mut health = HealthClient::new(cluster.channel(id));
        let request = HealthCheckRequest { service: service.to_owned() };
        let told = health.watch(request).await.unwrap().into_inner();
        // It ends with the node.
        Self(told.filter_map(async |told| Some(told.ok()?.status())).boxed())
    }

    /// Waits until this is told.
    async fn until(&mut self, status: ServingStatus) {
        let told = async {
            loop {
                match self.0.next().await {
                    Some(told) if told == status => return,
                    Some(_) => {}
                    None => panic!("the node ended and never said {status:?}"),
                }
            }
        };
        timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("never {status:?}"));
    }
}

async fn check(cluster: &Cluster, id: u64, service: &str) -> Option<ServingStatus> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let told = HealthClient::new(cluster.channel(id)).check(request).await;
    told.ok().map(|told| told.into_inner().status())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_service_says_whether_it_serves_and_follows_the_node() {
    use ServingStatus::{NotServing, Serving};
    let mut cluster = Plan::new(3, 2).found().await;
    let mut whole = Word::of(&cluster, 1, "").await;
    let mut registry = Word::of(&cluster, 1, REGISTRY).await;
    let mut itself = Word::of(&cluster, 1, CLUSTER).await;
    for word in [&mut whole, &mut registry, &mut itself] {
        word.until(Serving).await;
    }
    assert_eq!(check(&cluster, 1, "other").await, None);

    // Alone it can serve nobody, but say so.
    cluster.kill(2);
    cluster.kill(3);
    registry.until(NotServing).await;
    whole.until(NotServing).await;
    assert_eq!(check(&cluster, 1, CLUSTER).await, Some(Serving));
    cluster.start(2).await;
    cluster.start(3).await;
    registry.until(Serving).await;
    whole.until(Serving).await;

    let told = async {
        for word in [&mut whole, &mut registry, &mut itself] {
            word.until(NotServing).await;
        }
    };
    tokio::join!(cluster.stop(1), told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_cluster_serves_who_wants_to_found_one_and_nobody_else() {
    let mut cluster = Cluster::blank(Plan::new(1, 1));
    cluster.start(1).await;
    Word::of(&cluster, 1, CLUSTER).await.until(ServingStatus::Serving).await;
    for service in ["", REGISTRY] {
        Word::of(&cluster, 1, service).await.until(ServingStatus::NotServing).await;
    }
}
