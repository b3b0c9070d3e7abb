//! What a node takes for good when it is made a member of a cluster, and what it does not.

use std::sync::Arc;

use orrery_host::Host;
use orrery_model::cluster::{Counters, Node, Placement};
use orrery_model::control::Found;
use orrery_model::{Incarnation, NodeId, ShardId, ring};
use orrery_proto::cluster as wire;
use orrery_proto::cluster::cluster_client::ClusterClient;
use orrery_router::{Config, Handle};
use orrery_router_store::{Disk, Opened};
use tonic::{Code, Status};

use crate::node::{channel, config, model, until};

const INSTANCE: &str = "first";

fn node(id: u64) -> Node {
    let instance = if id == 1 { INSTANCE.to_owned() } else { format!("instance-{id}") };
    let at = |port| format!("127.0.0.1:{port}");
    Node { id: NodeId(id), registry: at(1), peers: at(2), instance, protocol: 2 }
}

fn place(shard: u32, replicas: &[u64]) -> Placement {
    let replicas = replicas.iter().copied().map(NodeId).collect();
    Placement { shard: ShardId(shard), version: 1, replicas }
}

/// A plan of this node and another one with two shards.
fn plan() -> Found {
    Found {
        cluster_id: "of-two".to_owned(),
        nodes: vec![node(1), node(2)],
        table: ring::propose(1, &[ShardId(1), ShardId(2)]).unwrap(),
        placements: vec![place(0, &[1]), place(1, &[1]), place(2, &[1])],
        counters: Counters::default(),
    }
}

async fn adopt(handle: &Handle, founding: Found) -> Result<(), Status> {
    let request = wire::AdoptRequest {
        cluster_id: founding.cluster_id.clone(),
        node: 1,
        instance: INSTANCE.to_owned(),
        shards: 2,
        founding: Some(founding.into()),
        by: "a test".to_owned(),
    };
    ClusterClient::new(channel(handle)).adopt(request).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_the_control_shard_would_refuse_is_not_taken() {
    let changed = |change: fn(&mut Found)| {
        let mut plan = plan();
        change(&mut plan);
        plan
    };
    let wrong = [
        ("two nodes of one number", changed(|plan| plan.nodes[1].id = NodeId(1))),
        ("a node without number", changed(|plan| plan.nodes[1].id = NodeId(0))),
        ("an endless instance", changed(|plan| plan.nodes[1].instance = "i".repeat(129))),
        ("a later placement", changed(|plan| plan.placements[2].version = 2)),
        ("a replica twice", changed(|plan| plan.placements[2] = place(2, &[1, 1]))),
        ("no control placement", changed(|plan| drop(plan.placements.remove(0)))),
        ("a shard placed twice", changed(|plan| plan.placements[2] = place(1, &[1]))),
        (
            "too many replicas",
            changed(|plan| {
                plan.nodes = (1..=8).map(node).collect();
                plan.placements[2] = place(2, &[1, 2, 3, 4, 5, 6, 7, 8]);
            }),
        ),
        ("too many nodes", changed(|plan| plan.nodes = (1..=65).map(node).collect())),
        (
            "numbers that a node does not understand",
            changed(|plan| {
                plan.nodes[1].protocol = 1;
                plan.counters.first_incarnation = Incarnation(1 << 40);
            }),
        ),
        ("an endless id", changed(|plan| plan.cluster_id = "c".repeat(129))),
    ];
    let disk = model();
    let blank = Config { found_alone: false, ..config() };
    let start = || orrery_router::start(blank.clone(), Host::system(), Arc::new(disk.clone()));
    let handle = start().await.unwrap();
    for (what, plan) in wrong {
        let refused = adopt(&handle, plan).await.expect_err(what);
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {refused}");
        assert!(handle.ready().unwrap_err().contains("no cluster yet"), "{what}");
    }
    handle.stop().await;
    assert!(matches!(Disk::open(&disk).unwrap(), Opened::Blank(_)), "the disk is as it was");

    let handle = start().await.unwrap();
    adopt(&handle, plan()).await.unwrap();
    until("it serves", || std::future::ready(handle.ready().ok())).await;
    handle.stop().await;
}
