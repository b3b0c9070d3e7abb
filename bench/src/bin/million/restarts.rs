//! Restarts: how long nodes that hold everything take until they serve again.

use std::time::Duration;

use orrery_bench::paced_load::PacedLoad;
use orrery_model::NodeId;

use crate::bench::Bench;

/// The longest that a restart may take until the node serves.
const SERVING_MAX: Duration = Duration::from_secs(5);

/// How nodes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// As an operator ends them.
    Stopped,
    /// By SIGKILL.
    Killed,
}

/// Kills a node under load and starts it again at once.
///
/// # Errors
/// When it does not come back.
pub(crate) async fn one(
    bench: &mut Bench,
    load: &PacedLoad,
    node: NodeId,
    from: &str,
) -> anyhow::Result<()> {
    bench.cluster.settled().await?;
    let back = bench.writes_during(load, async |bench| {
        bench.cluster.kill(node).await?;
        bench.cluster.restart(node)?;
        let begun_ns = bench.clock.now_ns();
        bench.cluster.ready(node).await?;
        let (ready_ns, cpu_s) = (bench.clock.now_ns(), bench.cpu_of(node));
        bench.cluster.caught_up().await?;
        Ok((ready_ns - begun_ns, bench.clock.now_ns() - begun_ns, cpu_s))
    });
    let ((ready_ns, caught_up_ns, cpu_s), _, writes) = back.await?;
    let (ready, caught_up) = (Duration::from_nanos(ready_ns), Duration::from_nanos(caught_up_ns));
    let text = format!(
        "ready after {:.2} s with {cpu_s:.2} s of processor time, caught up after {:.2} s",
        ready.as_secs_f64(),
        caught_up.as_secs_f64()
    );
    bench.findings.add(format!("node {node} killed and started, {from}"), text);
    bench.findings.writes("meanwhile", &writes);
    bench.findings.bar("restart of one node: caught up", caught_up.max(ready), SERVING_MAX);
    Ok(())
}

/// Ends all nodes and starts them.
///
/// # Errors
/// When they do not come back.
pub(crate) async fn all(bench: &mut Bench, end: End) -> anyhow::Result<()> {
    let nodes = bench.nodes();
    match end {
        End::Stopped => bench.cluster.stop_all().await?,
        End::Killed => {
            for node in &nodes {
                bench.cluster.kill(*node).await?;
            }
        }
    }
    for node in &nodes {
        bench.cluster.restart(*node)?;
    }
    let (first, last) = bench.all_serve().await?;
    let cpu_s: Vec<_> = nodes.iter().map(|node| format!("{:.2}", bench.cpu_of(*node))).collect();
    let text = format!(
        "the first shard answers after {:.2} s, all after {:.2} s, with {} s of processor time",
        first.as_secs_f64(),
        last.as_secs_f64(),
        cpu_s.join(", ")
    );
    bench.findings.add(format!("all nodes {end:?} and started"), text);
    bench.findings.bar("restart of all nodes: every shard serves", last, SERVING_MAX);
    bench.cluster.settled().await?;
    Ok(())
}
