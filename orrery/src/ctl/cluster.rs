//! `orrery ctl cluster …`: the cluster as a whole.

use serde::Serialize;
use serde_json::json;

use super::args::ClusterVerb;
use super::context::Context;
use super::error::CtlError;
use super::fleet::Fleet;
use super::print::Output;
use super::rows::{self, NodeRow, ShardRow};
use super::{bootstrap, comets, digests, replicas};

/// Everything at a glance.
#[derive(Debug, Serialize)]
struct Status {
    cluster_id: String,
    /// Nothing is wrong.
    healthy: bool,
    problems: Vec<String>,
    table_epoch: u64,
    control_leader: Option<u64>,
    comets: Option<u64>,
    /// Of the shard that has the fewest.
    replicas: usize,
    replicas_wanted: usize,
    removed_nodes: Vec<u64>,
    nodes: Vec<NodeRow>,
    shards: Vec<ShardRow>,
}

pub(super) async fn run(context: &Context, verb: ClusterVerb) -> Result<Output, CtlError> {
    match verb {
        ClusterVerb::Bootstrap(options) => bootstrap::run(context, &options).await,
        ClusterVerb::Status => Ok(status(&Fleet::look(context).await?)),
        ClusterVerb::Nodes => {
            let rows = rows::nodes(&Fleet::look(context).await?);
            Ok(Output::new(rows::node_table(&rows), json!({ "nodes": rows })))
        }
        ClusterVerb::Shards => {
            let rows = rows::shards(&Fleet::look(context).await?);
            Ok(Output::new(rows::shard_table(&rows), json!({ "shards": rows })))
        }
        ClusterVerb::Members => {
            let rows = rows::members(&Fleet::look(context).await?);
            Ok(Output::new(rows::member_table(&rows), json!({ "members": rows })))
        }
        ClusterVerb::Digests => digests::run(context).await,
        ClusterVerb::Comets => comets::run(context).await,
        ClusterVerb::Replicas { replicas } => replicas::run(context, replicas as usize).await,
    }
}

/// Shows what was found.
pub(super) fn status(fleet: &Fleet) -> Output {
    let control = fleet.leader(orrery_model::ShardId::CONTROL);
    let comets = control
        .and_then(|(node, _)| fleet.node(node))
        .and_then(|node| node.report.as_ref().ok().map(|report| report.comets));
    let problems = fleet.problems();
    let status = Status {
        cluster_id: fleet.cluster_id.clone(),
        healthy: problems.is_empty(),
        problems,
        table_epoch: fleet.table_epoch,
        control_leader: control.map(|(node, _)| node.0),
        comets,
        replicas: fleet.replicas_least(),
        replicas_wanted: fleet.replicas_wanted(),
        removed_nodes: fleet.removed.iter().map(|node| node.0).collect(),
        nodes: rows::nodes(fleet),
        shards: rows::shards(fleet),
    };
    let led = status.shards.iter().filter(|shard| shard.leader.is_some()).count();
    let settled = status.shards.iter().filter(|shard| shard.settled).count();
    let mut text = format!(
        "cluster  {}\nnodes    {}\nshards   {} and the control shard; {led} of {} led, {settled} settled\n",
        status.cluster_id,
        rows::states(fleet),
        fleet.data_shards.len(),
        status.shards.len(),
    );
    let wanted = match status.replicas < status.replicas_wanted {
        true => format!(" ({} wanted)", status.replicas_wanted),
        false => String::new(),
    };
    text += &format!("replicas {}{wanted}\n", status.replicas);
    text += &format!("comets   {}\n\n", super::print::maybe(status.comets));
    text += &rows::node_table(&status.nodes);
    text.push('\n');
    match status.problems.as_slice() {
        [] => text += "healthy\n",
        problems => problems.iter().for_each(|problem| text += &format!("PROBLEM  {problem}\n")),
    }
    Output::new(text, status)
}
