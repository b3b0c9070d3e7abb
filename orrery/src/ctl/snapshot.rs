//! `orrery ctl snapshot`: lets nodes write snapshots of their replicas now.

use orrery_model::{NodeId, ShardId};
use serde_json::json;

use super::args::SnapshotOptions;
use super::context::Context;
use super::error::CtlError;
use super::fleet::Fleet;
use super::print::{Output, table};

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
    let mut rows = Vec::new();
    for node in fleet.nodes.iter().filter(|node| only.is_none_or(|only| only == node.node.id)) {
        let id = node.node.id;
        let report = node.report.as_ref();
        let report = report.map_err(|why| CtlError::Unreachable(format!("node {id}: {why}")))?;
        let mut here = asked.clone();
        here.retain(|shard| report.replica(*shard).is_some());
        if here.is_empty() && !asked.is_empty() {
            continue;
        }
        let made = context.client.snapshot(&node.node.registry, &here, context.deadline).await?;
        rows.extend(made.into_iter().map(|(shard, index)| (id, shard, index)));
    }
    let cells: Vec<_> = rows
        .iter()
        .map(|(node, shard, index)| [node.to_string(), shard.to_string(), index.to_string()])
        .collect();
    let made: Vec<_> = rows
        .iter()
        .map(|(node, shard, index)| json!({ "node": node.0, "shard": shard.0, "index": index }))
        .collect();
    let text = table(["NODE", "SHARD", "SNAPSHOT AT"], &cells);
    Ok(Output::new(text, json!({ "snapshots": made })))
}
