//! `orrery ctl snapshot`: lets nodes write snapshots of their replicas now.

use orrery_model::{NodeId, ShardId};
use serde_json::json;

use super::args::SnapshotOptions;
use super::context::Context;
use super::error::CtlError;
use super::fleet::{Fleet, FleetNode};
use super::print::{Output, shard_name, table};

pub(super) async fn run(context: &Context, options: SnapshotOptions) -> Result<Output, CtlError> {
    let fleet = Fleet::look(context).await?;
    let asked: Vec<ShardId> = options.shards.iter().copied().map(ShardId).collect();
    if let Some(unknown) = asked.iter().find(|shard| !fleet.shards().any(|known| known == **shard))
    {
        return Err(CtlError::failed(format!("the cluster has no shard {unknown}")));
    }
    let only = options.node.map(NodeId);
    if let Some(node) = only.filter(|node| fleet.node(*node).is_none()) {
        return Err(CtlError::failed(format!("the cluster has no node {node}")));
    }
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for node in fleet.nodes.iter().filter(|node| only.is_none_or(|only| only == node.node.id)) {
        let id = node.node.id;
        match on(context, node, &asked).await {
            Ok(made) => rows.extend(made.into_iter().map(|(shard, index)| (id, shard, index))),
            Err(error) => failures.push((id, error)),
        }
    }
    let cells: Vec<_> = rows
        .iter()
        .map(|(node, shard, index)| [node.to_string(), shard_name(*shard), index.to_string()])
        .collect();
    let made: Vec<_> = rows
        .iter()
        .map(|(node, shard, index)| json!({ "node": node.0, "shard": shard.0, "index": index }))
        .collect();
    let text = table(["NODE", "SHARD", "SNAPSHOT AT"], &cells);
    let output = Output::new(text, json!({ "snapshots": made }));
    Ok(match all(failures) {
        None => output,
        Some(error) => output.failed(error),
    })
}

/// The snapshots that a node writes of those of the shards that it holds, or of all where none is named.
async fn on(
    context: &Context,
    node: &FleetNode,
    asked: &[ShardId],
) -> Result<Vec<(ShardId, u64)>, CtlError> {
    let report = node.report.as_ref().map_err(|why| CtlError::Unreachable(why.clone()))?;
    let here: Vec<_> =
        asked.iter().copied().filter(|shard| report.replica(*shard).is_some()).collect();
    if here.is_empty() && !asked.is_empty() {
        return Ok(Vec::new());
    }
    Ok(context.client.snapshot(&node.node.registry, &here, context.deadline).await?)
}

/// What went wrong, in one: unreachable only where nothing was worse.
fn all(failures: Vec<(NodeId, CtlError)>) -> Option<CtlError> {
    let words: Vec<_> =
        failures.iter().map(|(node, error)| format!("node {node}: {error}")).collect();
    let words = words.join("; ");
    let worse = |(_, error): &(NodeId, CtlError)| matches!(error, CtlError::Failed(_));
    match failures.is_empty() {
        true => None,
        false if failures.iter().any(worse) => Some(CtlError::Failed(words)),
        false => Some(CtlError::Unreachable(words)),
    }
}
