//! Founding: makes blank nodes a cluster by a plan, or goes on with the plan that some of them have.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use orrery_host::Host;
use orrery_model::cluster::{Counters, Node};
use orrery_model::control::{Found, shards_of};
use orrery_model::{NodeId, ShardId, SlotTable};
use orrery_router_client::cluster::{Adoption, ClusterError, Described};
use orrery_router_core::placement;

use super::context::Context;
use super::error::CtlError;
use super::fleet::Fleet;

/// Nodes that hold each shard where nobody says how many.
pub(super) const REPLICAS: u32 = 3;

/// A named node: the address it was named by, and who is there.
pub(super) type Named = (String, Described);

/// Asks all named nodes who they are, waiting for those that are still starting.
pub(super) async fn describe_all(
    context: &Context,
    addresses: &[String],
) -> Result<Vec<Named>, CtlError> {
    for (place, address) in addresses.iter().enumerate() {
        if addresses.get(..place).is_some_and(|before| before.contains(address)) {
            return Err(CtlError::Usage(format!("{address} is named twice")));
        }
    }
    let nodes: Result<Vec<_>, _> =
        join_all(addresses.iter().map(|address| describe(context, address)))
            .await
            .into_iter()
            .collect();
    let nodes = nodes?;
    let mut by_id: BTreeMap<NodeId, &str> = BTreeMap::new();
    for (address, described) in &nodes {
        if let Some(other) = by_id.insert(described.node.id, address) {
            let id = described.node.id;
            return Err(CtlError::failed(format!("{other} and {address} both are node {id}")));
        }
    }
    let (oldest, newest) = protocols(&nodes);
    if newest - oldest > 1 {
        return Err(CtlError::failed(format!(
            "the nodes speak versions {oldest} and {newest} of the protocol: only versions one apart \
             work together",
        )));
    }
    Ok(nodes)
}

/// The oldest and the newest protocol version of the nodes.
pub(super) fn protocols(nodes: &[Named]) -> (u32, u32) {
    let versions = || nodes.iter().map(|(_, described)| described.node.protocol);
    (versions().min().unwrap_or(0), versions().max().unwrap_or(0))
}

/// Who the node at an address is, waiting for it to start.
pub(super) async fn describe(context: &Context, address: &str) -> Result<Named, CtlError> {
    loop {
        match context.client.describe(address, context.soon()).await {
            Ok(described) => return Ok((address.to_owned(), described)),
            Err(error @ (ClusterError::Unreachable { .. } | ClusterError::Unknown { .. })) => {
                let missing = error.to_string();
                context.pause(&*missing).await.map_err(|_| CtlError::Unreachable(missing))?;
            }
            Err(error) => return Err(CtlError::failed(format!("{address}: {error}"))),
        }
    }
}

/// The plan that some of the nodes already have.
///
/// # Errors
/// When they are of different clusters, or of one that none of them helped to found.
pub(super) fn plan_of(nodes: &[Named]) -> Result<Option<Found>, CtlError> {
    let mut held: Option<(&str, &str)> = None;
    for (address, described) in nodes {
        let Some(cluster) = described.cluster_id.as_deref() else { continue };
        match held {
            Some((other, first)) if first != cluster => {
                return Err(CtlError::failed(format!(
                    "{other} belongs to cluster {first} and {address} to cluster {cluster}",
                )));
            }
            _ => held = Some((address, cluster)),
        }
    }
    let Some((address, cluster)) = held else { return Ok(None) };
    let plan = nodes.iter().find_map(|(_, described)| described.founding.clone());
    plan.map(Some).ok_or_else(|| {
        CtlError::failed(format!(
            "{address} has joined the cluster {cluster}, but none of the nodes named was there when it \
             was founded: add nodes with `orrery ctl node add`",
        ))
    })
}

/// Checks that every named node is one of the plan's.
pub(super) fn check_plan(plan: &Found, nodes: &[Named]) -> Result<(), CtlError> {
    for (address, described) in nodes {
        let id = described.node.id;
        let Some(planned) = plan.nodes.iter().find(|node| node.id == id) else {
            return Err(CtlError::failed(format!(
                "{address} is node {id}, which the cluster {} was not founded with: add it with `orrery \
                 ctl node add {address}`",
                plan.cluster_id,
            )));
        };
        if planned.instance != described.node.instance {
            return Err(CtlError::failed(format!(
                "{address} is node {id}, but not with the data directory that cluster {} was founded \
                 with: it lost its disk, add it under a new id",
                plan.cluster_id,
            )));
        }
    }
    Ok(())
}

/// Draws a plan for blank nodes.
///
/// # Errors
/// When there are fewer nodes than replicas.
pub(super) fn draw(
    host: &Host,
    nodes: &[Named],
    table: SlotTable,
    replicas: Option<u32>,
    counters: Counters,
) -> Result<Found, CtlError> {
    let mut members: Vec<Node> =
        nodes.iter().map(|(_, described)| described.node.clone()).collect();
    members.sort_by_key(|node| node.id);
    let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let replicas = replicas.unwrap_or(REPLICAS.min(count));
    if replicas > count {
        return Err(CtlError::Usage(format!("{replicas} replicas do not fit on {count} nodes")));
    }
    let ids: Vec<NodeId> = members.iter().map(|node| node.id).collect();
    let shards: Vec<ShardId> = std::iter::once(ShardId::CONTROL).chain(shards_of(&table)).collect();
    let placements = placement::propose(&ids, &shards, replicas as usize);
    Ok(Found { cluster_id: host.random.uuid(), nodes: members, table, placements, counters })
}

/// Gives the plan to every named node, and waits until the cluster of all of the plan's nodes serves.
pub(super) async fn found(
    context: &Context,
    plan: &Found,
    nodes: &[Named],
) -> Result<Fleet, CtlError> {
    let shards = shards_of(&plan.table).len();
    for (address, described) in nodes {
        let adoption = Adoption {
            cluster_id: plan.cluster_id.clone(),
            node: described.node.id,
            instance: described.node.instance.clone(),
            shards: u32::try_from(shards).unwrap_or(u32::MAX),
            founding: Some(plan.clone()),
        };
        adopt(context, address, &adoption).await?;
    }
    loop {
        let missing = match Fleet::look(context).await {
            Ok(fleet) => match not_serving(&fleet, nodes) {
                None => return Ok(fleet),
                Some(missing) => missing,
            },
            Err(error) => error.to_string(),
        };
        context.pause(missing).await?;
    }
}

/// What keeps the cluster from serving, or one of the named nodes; a planned node that was not named may be
/// away.
fn not_serving(fleet: &Fleet, named: &[Named]) -> Option<String> {
    if let Some(shard) = fleet.shards().find(|shard| fleet.leader(*shard).is_none()) {
        return Some(format!("shard {shard} has no leader yet"));
    }
    for (address, described) in named {
        let told = fleet.node(described.node.id).map(|node| node.report.as_ref());
        let reason = match told {
            None => Some("the cluster does not know it yet".to_owned()),
            Some(Err(why)) => Some(why.clone()),
            Some(Ok(report)) => report.not_ready.clone(),
        };
        if let Some(reason) = reason {
            return Some(format!("{address}: {reason}"));
        }
    }
    let all_there = fleet.nodes.iter().all(|node| node.report.is_ok());
    let moving = fleet.shards().find(|shard| !fleet.is_settled(*shard));
    moving.filter(|_| all_there).map(|shard| format!("shard {shard} is not where it should be yet"))
}

/// Makes a node a part of the cluster. A repeat changes nothing, so an unknown outcome is repeated.
pub(super) async fn adopt(
    context: &Context,
    address: &str,
    adoption: &Adoption,
) -> Result<(), CtlError> {
    loop {
        match context.client.adopt(address, adoption, context.soon()).await {
            Ok(()) => return Ok(()),
            Err(error @ (ClusterError::Unreachable { .. } | ClusterError::Unknown { .. })) => {
                context.pause(error.to_string()).await?;
            }
            Err(error) => return Err(CtlError::failed(format!("{address}: {error}"))),
        }
    }
}
