//! Founding: makes routers a cluster, as `orrery ctl cluster bootstrap` does.

use std::time::Duration;

use orrery_model::cluster::{Counters, Node};
use orrery_model::control::Found;
use orrery_model::{ShardId, ring};
use orrery_router_client::cluster::{Adoption, ClusterClient};
use orrery_router_core::placement;
use tokio::time::{Instant, sleep};

/// How long one question may take.
const ASK: Duration = Duration::from_secs(2);

/// The id of every simulated cluster.
pub(crate) const CLUSTER: &str = "simulated";

/// Pause before it is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Who the node at an address is, once it answers.
pub(crate) async fn describe(client: &ClusterClient, address: &str) -> Node {
    loop {
        match client.describe(address, Instant::now() + ASK).await {
            Ok(described) => return described.node,
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Founds a cluster of these nodes.
///
/// # Errors
/// What a node says against it, in words.
pub(crate) async fn found(
    client: &ClusterClient,
    addresses: &[String],
    shards: u32,
    replicas: usize,
) -> Result<(), String> {
    let mut nodes = Vec::new();
    for address in addresses {
        nodes.push(describe(client, address).await);
    }
    let data: Vec<_> = (1..=shards).map(ShardId).collect();
    let all: Vec<_> = (0..=shards).map(ShardId).collect();
    let ids: Vec<_> = nodes.iter().map(|node| node.id).collect();
    let cluster_id = CLUSTER.to_owned();
    let found = Found {
        cluster_id: cluster_id.clone(),
        nodes: nodes.clone(),
        table: ring::propose(1, &data).ok_or("a cluster has at least one shard")?,
        placements: placement::propose(&ids, &all, replicas),
        counters: Counters::default(),
    };
    for node in &nodes {
        let adoption = Adoption {
            cluster_id: cluster_id.clone(),
            node: node.id,
            instance: node.instance.clone(),
            shards,
            founding: Some(found.clone()),
        };
        while let Err(error) =
            client.adopt(&node.registry, &adoption, "jepsen", Instant::now() + ASK).await
        {
            if !error.may_retry() {
                return Err(format!("node {}: {error}", node.id));
            }
            sleep(PAUSE).await;
        }
    }
    Ok(())
}
