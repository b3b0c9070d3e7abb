//! `orrery ctl backup restore`: makes blank nodes a new cluster whose numbers begin far above the old ones.

use std::path::Path;

use orrery_model::cluster::Counters;
use orrery_model::{Incarnation, Seq, ShardId};

use super::manifest::Manifest;
use super::verify::read_whole;
use crate::ctl::cluster::status;
use crate::ctl::context::Context;
use crate::ctl::error::CtlError;
use crate::ctl::founding::{check_plan, describe_all, draw, found, plan_of, protocols};
use crate::ctl::print::Output;

/// How far above the backup's the new cluster's numbers begin: more than the old cluster can have given
/// between the backup and its end.
const AHEAD: u64 = 1 << 40;

/// The first version of the protocol that knows where a cluster's numbers begin.
const PROTOCOL: u32 = 2;

/// Makes a new cluster.
pub(in crate::ctl) async fn restore(
    context: &Context,
    dir: &Path,
    addresses: &[String],
    replicas: Option<u32>,
) -> Result<Output, CtlError> {
    let manifest = read_whole(dir)?;
    let (table, counters) = (manifest.table()?, counters(&manifest)?);
    let context = context.at(addresses);
    let nodes = describe_all(&context, addresses).await?;
    if protocols(&nodes).0 < PROTOCOL {
        return Err(CtlError::failed(format!(
            "a restore needs version {PROTOCOL} of the protocol on every node",
        )));
    }
    let plan = match plan_of(&nodes)? {
        // An earlier try was interrupted; what it began is gone on with.
        Some(plan) if plan.table == table && plan.counters == counters => plan,
        Some(plan) => {
            return Err(CtlError::failed(format!(
                "the nodes belong to the cluster {} already: a backup is restored to blank nodes",
                plan.cluster_id,
            )));
        }
        None => draw(&context.host, &nodes, table, replicas, counters)?,
    };
    check_plan(&plan, &nodes)?;
    Ok(status(&found(&context, &plan, &nodes).await?))
}

/// Where the new cluster's numbers begin.
fn counters(manifest: &Manifest) -> Result<Counters, CtlError> {
    let ahead = |number: u64| {
        let ahead = number.checked_add(AHEAD);
        ahead.ok_or_else(|| CtlError::failed(format!("no number is left above {number}")))
    };
    let data = manifest.shards.iter().filter(|shard| shard.shard != ShardId::CONTROL.0);
    let first_seqs = data.map(|shard| Ok((ShardId(shard.shard), Seq(ahead(shard.next_seq)?))));
    Ok(Counters {
        first_incarnation: Incarnation(ahead(manifest.next_incarnation)?),
        first_seqs: first_seqs.collect::<Result<_, CtlError>>()?,
    })
}
