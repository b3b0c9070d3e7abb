//! Founding: makes blank nodes a cluster by a plan, or goes on with the plan that some of them have.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use orrery_host::Host;
use orrery_model::cluster::{Counters, Node};
use orrery_model::control::{Found, shards_of};
use orrery_model::{NodeId, ShardId, SlotTable};
use orrery_router_client::cluster::{Adoption, ClusterError, Described};
use orrery_router_core::placement;
use tokio::time::Instant;

use super::context::Context;
use super::error::{CtlError, no_answer};
use super::fleet::Fleet;
use super::print::shard_name;

/// How long the nodes have to say why they are no cluster.
const LAST_LOOK_TIMEOUT: Duration = Duration::from_millis(500);

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
    work_together(&nodes)?;
    Ok(nodes)
}

/// Refuses nodes of builds that are too far apart.
fn work_together(nodes: &[Named]) -> Result<(), CtlError> {
    let (oldest, newest) = protocols(nodes);
    if newest - oldest > 1 {
        return Err(CtlError::failed(format!(
            "the nodes speak versions {oldest} and {newest} of the protocol: only versions one apart \
             work together",
        )));
    }
    Ok(())
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
                let why = no_answer(error);
                let missing = format!("{address} does not answer as a router's registry: {why}");
                context.pause(&*missing).await.map_err(|_| CtlError::Unreachable(missing))?;
            }
            Err(error) => return Err(CtlError::failed(format!("{address}: {error}"))),
        }
    }
}

/// What is wrong with a node that has the number of another one.
pub(super) fn lost_disk(node: NodeId, address: &str) -> String {
    format!(
        "{address} is node {node}, but lost its disk or never had it: start it under a new node id, then \
         `orrery ctl node replace {node} {address}`",
    )
}

/// Why nobody answered for the cluster, where the nodes that the operator named tell: they belong to none, or
/// none of them is there. Nothing where one belongs to a cluster.
pub(super) async fn no_cluster(context: &Context) -> Option<CtlError> {
    // However little time is left for the command.
    let until = Instant::now() + LAST_LOOK_TIMEOUT;
    let looks = context.routers.iter().map(|address| async move {
        (address.as_str(), context.client.describe(address, until).await)
    });
    let looks = join_all(looks).await;
    let mut blank = Vec::new();
    for (address, described) in &looks {
        match described {
            Ok(described) if described.cluster_id.is_some() => return None,
            Ok(_) => blank.push(*address),
            Err(_) => {}
        }
    }
    match blank.as_slice() {
        [] => {
            let silent = looks.into_iter().filter_map(|(address, described)| {
                Some(format!("{address}: {}", no_answer(described.err()?)))
            });
            let silent: Vec<_> = silent.collect();
            Some(CtlError::Unreachable(format!("no router node answers: {}", silent.join("; "))))
        }
        [address] => Some(CtlError::Unreachable(format!(
            "{address} belongs to no cluster; see `orrery ctl cluster bootstrap`",
        ))),
        all => Some(CtlError::Unreachable(format!(
            "{} belong to no cluster; see `orrery ctl cluster bootstrap`",
            all.join(" and "),
        ))),
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
            if described.cluster_id.is_some() {
                return Err(CtlError::failed(format!(
                    "{address} is node {id}, which joined the cluster {} later: name only those that it \
                     was founded with",
                    plan.cluster_id,
                )));
            }
            return Err(CtlError::failed(format!(
                "{address} is node {id}, which the cluster {} was not founded with: add it with `orrery \
                 ctl node add {address}`",
                plan.cluster_id,
            )));
        };
        if planned.instance != described.node.instance {
            return Err(CtlError::failed(lost_disk(id, address)));
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
        return Some(fleet.leaderless(shard));
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
    let moving = moving.filter(|_| all_there);
    moving.map(|shard| format!("shard {} is not where it should be yet", shard_name(shard)))
}

/// Makes a node a part of the cluster. A repeat changes nothing, so an unknown outcome is repeated.
pub(super) async fn adopt(
    context: &Context,
    address: &str,
    adoption: &Adoption,
) -> Result<(), CtlError> {
    loop {
        match context.client.adopt(address, adoption, &context.by, context.soon()).await {
            Ok(()) => return Ok(()),
            Err(error @ (ClusterError::Unreachable { .. } | ClusterError::Unknown { .. })) => {
                context.pause(error.to_string()).await?;
            }
            Err(error) => return Err(CtlError::failed(format!("{address}: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(protocols: &[u32]) -> Vec<Named> {
        let named = |(id, protocol): (u64, &u32)| {
            let (registry, peers) = (format!("{id}:1"), format!("{id}:2"));
            let instance = format!("instance-{id}");
            let node = Node { id: NodeId(id), registry, peers, instance, protocol: *protocol };
            let described =
                Described { node, cluster_id: None, build: String::new(), founding: None };
            (format!("{id}:1"), described)
        };
        (1..).zip(protocols).map(named).collect()
    }

    #[test]
    fn nodes_of_builds_too_far_apart_are_no_cluster() {
        assert!(work_together(&nodes(&[2, 2, 2])).is_ok());
        assert!(work_together(&nodes(&[3, 2, 3])).is_ok());
        let refused = work_together(&nodes(&[2, 3, 4])).unwrap_err();
        assert_eq!(refused.code(), 1);
        assert!(refused.to_string().contains("versions 2 and 4"), "{refused}");
    }
}
