//! Snapshots: what writing them costs the writes of others.

use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use orrery_bench::paced_load::PacedLoad;
use orrery_model::ShardId;
use tokio::time::sleep;

use crate::bench::Bench;
use crate::findings::Writes;
use crate::limits::BASELINE;

/// The longest that a snapshot may stop the writes of a shard.
const STOPPED_MAX: Duration = Duration::from_millis(50);

/// Lets nodes write snapshots under load: shard by shard at their leaders, as it happens by itself; then all
/// shards of one node at once; then everything at once.
///
/// # Errors
/// When a snapshot is not written.
pub(crate) async fn measure(bench: &mut Bench, load: &PacedLoad) -> anyhow::Result<()> {
    let (_, _, before) = bench
        .writes_during(load, async |_| {
            sleep(BASELINE).await;
            Ok(())
        })
        .await?;
    bench.findings.writes("before snapshots", &before);

    let leaders = bench.cluster.settled().await?;
    let (mut slowest, mut worst) = (Duration::ZERO, None::<Writes>);
    for shard in bench.shards() {
        let node = *leaders.get(&shard).context("nobody leads a shard")?;
        let written =
            bench.writes_during(load, async |bench| bench.cluster.snapshot(node, &[shard]).await);
        let ((), took, writes) = written.await?;
        slowest = slowest.max(took);
        if worst.is_none_or(|worst| writes.gap > worst.gap) {
            worst = Some(writes);
        }
    }
    let worst = worst.context("there are no shards")?;
    bench.findings.add(
        "a snapshot of one shard at its leader",
        format!("at most {} ms", slowest.as_millis()),
    );
    bench.findings.writes("during the worst of these", &worst);
    bench.findings.bar("writes during a shard's snapshot: gap", worst.gap, STOPPED_MAX);

    let nodes = bench.nodes();
    for node in &nodes {
        let all = bench.writes_during(load, async |bench| bench.cluster.snapshot(*node, &[]).await);
        let ((), took, writes) = all.await?;
        bench.findings.add(
            format!("snapshots of all shards of node {node}"),
            format!("{} ms", took.as_millis()),
        );
        bench.findings.writes(&format!("during snapshots of node {node}"), &writes);
        bench.findings.bar("writes during snapshots of one node: gap", writes.gap, STOPPED_MAX);
    }
    let all = bench.writes_during(load, async |bench| {
        try_join_all(nodes.iter().map(|node| bench.cluster.snapshot(*node, &[] as &[ShardId])))
            .await
    });
    let (_, took, writes) = all.await?;
    bench.findings.add("snapshots of all shards of all nodes", format!("{} ms", took.as_millis()));
    bench.findings.writes("during all snapshots at once", &writes);
    Ok(())
}
