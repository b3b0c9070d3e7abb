//! How a cluster begins, and who does not belong to it.

use std::collections::BTreeSet;
use std::time::Duration;

use orrery_model::NodeId;
use orrery_model::cluster::NodeState;
use orrery_model::control::ControlCommand;
use orrery_proto::registry as wire;
use orrery_proto::registry::registry_client::RegistryClient;
use tokio::time::timeout;
use tonic::Code;

use crate::cluster::{CLUSTER_ID, Cluster, PATIENCE, Plan, node, until};
use crate::users::{bind_all, located_all};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_become_a_cluster_and_share_its_shards() {
    let cluster = Plan::new(3, 6).found().await;
    let client = cluster.client();
    bind_all(&client, 0..50).await;
    located_all(&client, 0..50).await;
    let mut leaders = BTreeSet::new();
    for shard in 1..=6 {
        leaders.insert(cluster.leader(shard).await);
    }
    assert_eq!(leaders, [1, 2, 3].into(), "every node leads something");
    let mut registry = RegistryClient::new(cluster.channel(2));
    let table = registry.get_table(wire::GetTableRequest {}).await.unwrap().into_inner();
    assert_eq!(table.nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn founding_again_changes_nothing_and_founding_otherwise_is_refused() {
    let cluster = Plan::new(3, 2).found().await;
    let described = cluster.describe(1).await;
    let found = orrery_model::control::Found::try_from(described.founding.unwrap()).unwrap();
    cluster.adopt(1, CLUSTER_ID, 2, Some(found.clone())).await.expect("a repeat");

    let other = orrery_model::control::Found { cluster_id: "other".to_owned(), ..found };
    let refused = cluster.adopt(1, "other", 2, Some(other)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let refused = cluster.adopt(1, CLUSTER_ID, 2, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    bind_all(&cluster.client(), 0..5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_cluster_says_so_and_waits() {
    let mut cluster = Plan::new(3, 2).found().await;
    cluster.start(4).await;
    let described = cluster.describe(4).await;
    assert_eq!((described.node, described.cluster_id.as_str()), (4, ""));
    let mut registry = RegistryClient::new(cluster.channel(4));
    let refused = registry.get_table(wire::GetTableRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("no cluster yet"), "{refused}");
    assert!(cluster.handle(4).ready().unwrap_err().contains("no cluster yet"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_does_not_come_back_under_its_old_number() {
    let mut cluster = Plan::new(3, 2).found().await;
    let described = cluster.describe(3).await;
    let found = orrery_model::control::Found::try_from(described.founding.unwrap()).unwrap();
    bind_all(&cluster.client(), 0..20).await;
    cluster.kill(3);
    cluster.lose_disk(3);
    cluster.start(3).await;

    // Neither by the plan it was once in, nor as a new node.
    let refused = cluster.adopt(3, CLUSTER_ID, 2, Some(found)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let newcomer = node(&cluster.describe(3).await);
    let refused = cluster.change(ControlCommand::AddNode(newcomer)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("new node id"), "{refused}");

    // And taken in all the same, it ends itself.
    cluster.adopt(3, CLUSTER_ID, 2, None).await.unwrap();
    let handle = cluster.handle(3);
    let shut_out = until("the node is shut out", || async {
        let ended = timeout(Duration::from_millis(1), handle.failed()).await.ok();
        let reason = ended.or_else(|| handle.ready().err()).unwrap_or_default();
        match reason.contains("instance") {
            true => Ok(reason),
            false => Err(reason),
        }
    });
    let reason = shut_out.await;
    assert!(reason.contains("instance"), "{reason}");
    located_all(&cluster.client_of(&[1, 2]), 0..20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_not_talked_to() {
    let mut cluster = Plan::new(3, 2).found().await;
    cluster.start(4).await;
    let stranger = node(&cluster.describe(4).await);
    cluster.change(ControlCommand::AddNode(stranger)).await.unwrap();
    cluster.adopt(4, "another-cluster", 2, None).await.unwrap();
    // It knows nobody, and whoever would teach it speaks of another cluster.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(cluster.handle(4).ready().is_err());
    let status = cluster.status(4).await.unwrap();
    assert!(status.nodes.is_empty(), "{status:?}");
    bind_all(&cluster.client_of(&[1, 2, 3]), 0..5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_nobody_has_begun_says_who_is_to_do_it() {
    let placements = vec![(0, vec![1, 2, 3]), (1, vec![1, 2, 3]), (2, vec![3, 1, 2])];
    let mut cluster = Cluster::blank(Plan::new(3, 2).with(|plan| plan.placements = placements));
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let found = cluster.plan().await;
    let says = async |cluster: &Cluster, id: u64, what: &str| {
        until(what, || async {
            let status = cluster.status(id).await.map_err(|status| status.to_string())?;
            match status.not_ready.contains(what) {
                true => Ok(()),
                false => Err(status.not_ready),
            }
        })
        .await;
    };
    // Without the node that is to begin the control shard there is no cluster at all.
    cluster.adopt(2, CLUSTER_ID, 2, Some(found.clone())).await.unwrap();
    says(&cluster, 2, "not founded yet: its control shard was not begun yet, which node 1").await;
    let mut registry = RegistryClient::new(cluster.channel(2));
    let refused = registry.get_table(wire::GetTableRequest {}).await.unwrap_err();
    assert!(refused.message().contains("node 1"), "{refused}");
    // With it all is there but the shard of the third.
    cluster.adopt(1, CLUSTER_ID, 2, Some(found.clone())).await.unwrap();
    for id in [1, 2] {
        says(&cluster, id, "shard 2 was not begun yet, which node 3 is to do").await;
    }
    cluster.adopt(3, CLUSTER_ID, 2, Some(found)).await.unwrap();
    cluster.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_was_used_is_never_used_again() {
    let mut cluster = Plan::new(3, 2).found().await;
    cluster.join(4).await;
    cluster.ready().await;
    cluster.set_state(4, NodeState::Leaving).await.unwrap();
    let ended = timeout(PATIENCE, cluster.handle(4).failed()).await.expect("it ends itself");
    assert!(ended.contains("removed"), "{ended}");
    cluster.stop(4).await;
    cluster.lose_disk(4);
    cluster.start(4).await;
    let newcomer = node(&cluster.describe(4).await);
    assert_eq!(newcomer.id, NodeId(4));
    let refused = cluster.change(ControlCommand::AddNode(newcomer)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
}
