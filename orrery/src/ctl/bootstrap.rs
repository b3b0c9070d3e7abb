//! `orrery ctl cluster bootstrap`: makes blank nodes a cluster.

use orrery_model::cluster::Counters;
use orrery_model::control::{Found, shards_of};
use orrery_model::{ShardId, ring};

use super::args::BootstrapOptions;
use super::cluster::status;
use super::context::Context;
use super::error::CtlError;
use super::fleet::Fleet;
use super::founding::{check_plan, describe_all, draw, found, plan_of};
use super::print::Output;

/// Data shards where nobody says how many.
const SHARDS: u32 = 16;

/// The epoch of the slot table that a cluster begins with.
const FIRST_EPOCH: u64 = 1;

pub(super) async fn run(context: &Context, options: &BootstrapOptions) -> Result<Output, CtlError> {
    let BootstrapOptions { nodes, shards, replicas } = options;
    Ok(status(&bootstrap(&context.at(nodes), nodes, *shards, *replicas, SHARDS).await?))
}

/// Makes the nodes a cluster, or goes on with what an earlier try has begun.
pub(super) async fn bootstrap(
    context: &Context,
    addresses: &[String],
    shards: Option<u32>,
    replicas: Option<u32>,
    default_shards: u32,
) -> Result<Fleet, CtlError> {
    let nodes = describe_all(context, addresses).await?;
    let plan = match plan_of(&nodes)? {
        Some(plan) => {
            check_same(&plan, shards, replicas)?;
            plan
        }
        None => {
            let shards: Vec<_> = (1..=shards.unwrap_or(default_shards)).map(ShardId).collect();
            let table = ring::propose(FIRST_EPOCH, &shards)
                .ok_or_else(|| CtlError::Usage("a cluster has at least one shard".to_owned()))?;
            draw(&context.host, &nodes, table, replicas, Counters::default())?
        }
    };
    check_plan(&plan, &nodes)?;
    found(context, &plan, &nodes).await
}

/// Refuses options that contradict what the cluster was founded with.
fn check_same(plan: &Found, shards: Option<u32>, replicas: Option<u32>) -> Result<(), CtlError> {
    let held = shards_of(&plan.table).len();
    if let Some(asked) = shards
        && asked as usize != held
    {
        return Err(CtlError::failed(format!(
            "shards is {asked}, but the cluster {} was founded with {held}; it cannot change",
            plan.cluster_id,
        )));
    }
    let held = plan.placements.iter().map(|placement| placement.replicas.len()).max();
    if let (Some(asked), Some(held)) = (replicas, held)
        && asked as usize != held
    {
        return Err(CtlError::failed(format!(
            "replicas is {asked}, but the cluster {} was founded with {held}",
            plan.cluster_id,
        )));
    }
    Ok(())
}
