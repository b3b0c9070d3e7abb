//! Catching up: a node that was away for so long that the others no longer have the log it lacks.

use std::collections::BTreeMap;

use orrery_bench::paced_load::PacedLoad;
use orrery_model::{NodeId, ShardId};

use crate::bench::Bench;

/// Stops a node, binds so many more users, and starts it again.
///
/// # Errors
/// When it does not come back.
pub(crate) async fn measure(
    bench: &mut Bench,
    load: &PacedLoad,
    node: NodeId,
    users: u64,
) -> anyhow::Result<()> {
    bench.cluster.settled().await?;
    let reached = positions(bench, |replica| replica.last_index).await;
    let reached: BTreeMap<_, _> = reached.into_iter().filter(|(at, _)| at.0 == node).collect();
    bench.cluster.stop(node).await?;
    let ((), _, writes) = bench.writes_during(load, async |bench| bench.bind(users).await).await?;
    bench.findings.writes("meanwhile, on two nodes", &writes);
    for other in others(bench, node) {
        // What was written by itself may lie before the node's end; from here on it lies behind it.
        bench.cluster.snapshot(other, &[]).await?;
    }
    let purged = positions(bench, |replica| replica.purged_index).await;
    let lacks = reached.iter().filter(|((_, shard), last)| {
        let purged_by = |other: &NodeId| purged.get(&(*other, *shard)).is_some_and(|at| at > last);
        others(bench, node).iter().all(purged_by)
    });
    let lacks = lacks.count();
    let total = reached.len();
    let back = bench.writes_during(load, async |bench| {
        bench.cluster.restart(node)?;
        let begun_ns = bench.clock.now_ns();
        bench.cluster.ready(node).await?;
        let ready_ns = bench.clock.now_ns();
        bench.cluster.caught_up().await?;
        Ok(((ready_ns - begun_ns) / 1_000_000, (bench.clock.now_ns() - begun_ns) / 1_000_000))
    });
    let ((ready_ms, caught_up_ms), _, writes) = back.await?;
    let text = format!(
        "{lacks} of {total} shards need a snapshot: ready after {ready_ms} ms, caught up after {caught_up_ms} ms"
    );
    bench.findings.add(format!("node {node} started after {users} binds"), text);
    bench.findings.writes("while it catches up", &writes);
    Ok(())
}

fn others(bench: &Bench, node: NodeId) -> Vec<NodeId> {
    bench.nodes().into_iter().filter(|other| *other != node).collect()
}

/// A log index of every data shard's replicas, on the nodes that answer.
async fn positions(
    bench: &Bench,
    of: impl Fn(&orrery_router_client::cluster::ReplicaReport) -> u64,
) -> BTreeMap<(NodeId, ShardId), u64> {
    let mut positions = BTreeMap::new();
    for report in bench.cluster.reports().await.into_iter().flatten() {
        let node = report.node.node.id;
        let data = report.replicas.iter().filter(|replica| replica.shard != ShardId::CONTROL);
        positions.extend(data.map(|replica| ((node, replica.shard), of(replica))));
    }
    positions
}
