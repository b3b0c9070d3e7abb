//! Plan: how a cluster begins, as each of its first nodes keeps it on disk.

use bytes::Bytes;
use orrery_model::cluster::{Counters, Node, Placement};
use orrery_model::control::{ControlCommand, ControlRefusal, Found, shards_of};
use orrery_model::{NodeId, ShardId, SlotTable, ring};
use orrery_proto::registry as wire;
use orrery_router_core::control::{Control, check_found};
use prost::Message as _;

/// The epoch of the slot table that a cluster begins with.
const FIRST_EPOCH: u64 = 1;

/// Why a plan cannot be used. The same one never can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    /// It is not what the contract says.
    #[error("the plan cannot be read: {0}")]
    Malformed(String),
    /// It founds a cluster without this node, or with another data directory under its number.
    #[error("the plan does not have node {node} with instance {instance:?}")]
    NotInPlan { node: NodeId, instance: String },
    /// It says one thing here and another there.
    #[error("the plan contradicts itself: {0}")]
    Contradicts(&'static str),
    /// The control shard would refuse to be founded so.
    #[error("no cluster can be founded so: {0}")]
    Refused(#[from] ControlRefusal),
    /// The control shard would never be founded so: not every node of the plan understands it.
    #[error("the plan needs protocol {needs}, which not every node of it speaks")]
    Protocol { needs: u32 },
}

/// The plan as it is kept.
pub(crate) fn encode(found: &Found) -> Bytes {
    wire::Found::from(found).encode_to_vec().into()
}

/// The plan from what was kept; none where nothing was.
///
/// # Errors
/// [`PlanError::Malformed`].
pub(crate) fn decode(bytes: &Bytes) -> Result<Option<Found>, PlanError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let malformed = |error: &dyn std::fmt::Display| PlanError::Malformed(error.to_string());
    let found = wire::Found::decode(bytes.clone()).map_err(|error| malformed(&error))?;
    Found::try_from(found).map(Some).map_err(|error| malformed(&error))
}

/// Checks that a plan founds this cluster with this node.
///
/// # Errors
/// [`PlanError::NotInPlan`], [`PlanError::Contradicts`].
pub(crate) fn check(
    found: &Found,
    cluster_id: &str,
    shards: u32,
    node: NodeId,
    instance: &str,
) -> Result<(), PlanError> {
    if found.cluster_id != cluster_id {
        return Err(PlanError::Contradicts("it founds another cluster"));
    }
    if shards_of(&found.table) != (1..=shards).map(ShardId).collect::<Vec<_>>() {
        return Err(PlanError::Contradicts("its slot table has other shards"));
    }
    let known = |id: &NodeId| found.nodes.iter().any(|node| node.id == *id);
    for placement in &found.placements {
        if placement.replicas.is_empty() || !placement.replicas.iter().all(known) {
            return Err(PlanError::Contradicts("a shard is placed on none of its nodes"));
        }
    }
    match found.nodes.iter().any(|held| held.id == node && held.instance == instance) {
        true => Ok(()),
        false => Err(PlanError::NotInPlan { node, instance: instance.to_owned() }),
    }
}

/// Checks that a cluster can be founded by a plan: a node that has taken one keeps it for good.
///
/// # Errors
/// [`PlanError::Refused`], [`PlanError::Protocol`].
pub(crate) fn check_whole(found: &Found) -> Result<(), PlanError> {
    check_found(found)?;
    let command = ControlCommand::Found(found.clone());
    match Control::new().proposable(&command) {
        true => Ok(()),
        false => Err(PlanError::Protocol { needs: command.protocol() }),
    }
}

/// The plan of a cluster that is this node.
pub(crate) fn alone(cluster_id: String, node: Node, shards: u32) -> Found {
    let numbers: Vec<ShardId> = (1..=shards).map(ShardId).collect();
    let place = |shard| Placement { shard, version: 1, replicas: vec![node.id] };
    let placements = std::iter::once(ShardId::CONTROL).chain(numbers.iter().copied()).map(place);
    Found {
        cluster_id,
        table: first_table(&numbers),
        placements: placements.collect(),
        nodes: vec![node],
        counters: Counters::default(),
    }
}

/// Where a shard begins: where the plan says, else on every node, each leading another shard.
pub(crate) fn placement(found: &Found, shard: ShardId) -> Placement {
    if let Some(placement) = found.placements.iter().find(|held| held.shard == shard) {
        return placement.clone();
    }
    Placement { shard, version: 1, replicas: found.nodes.iter().map(|node| node.id).collect() }
}

/// The control shard and the data shards of a plan, in order.
pub(crate) fn shards(found: &Found) -> Vec<ShardId> {
    let mut shards = shards_of(&found.table);
    shards.insert(0, ShardId::CONTROL);
    shards
}

fn first_table(shards: &[ShardId]) -> SlotTable {
    ring::propose(FIRST_EPOCH, shards).expect("a cluster has at least one data shard")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64) -> Node {
        let at = |port| format!("127.0.0.1:{port}");
        let (registry, peers, instance) = (at(1), at(2), format!("instance-{id}"));
        Node { id: NodeId(id), registry, peers, instance, protocol: 2 }
    }

    #[test]
    fn a_plan_survives_the_disk() {
        let plan = alone("one".to_owned(), node(1), 3);
        assert_eq!(decode(&encode(&plan)), Ok(Some(plan)));
        assert_eq!(decode(&Bytes::new()), Ok(None));
        assert!(matches!(decode(&Bytes::from_static(b"\xff")), Err(PlanError::Malformed(_))));
    }

    #[test]
    fn a_plan_without_this_node_or_directory_is_refused() {
        let plan = alone("one".to_owned(), node(1), 3);
        let check = |node, instance| super::check(&plan, "one", 3, NodeId(node), instance);
        assert_eq!(check(1, "instance-1"), Ok(()));
        assert!(matches!(check(1, "another"), Err(PlanError::NotInPlan { .. })));
        assert!(matches!(check(2, "instance-1"), Err(PlanError::NotInPlan { .. })));
    }

    #[test]
    fn a_plan_of_another_cluster_or_size_is_refused() {
        let plan = alone("one".to_owned(), node(1), 3);
        let check = |cluster, shards| super::check(&plan, cluster, shards, NodeId(1), "instance-1");
        assert!(matches!(check("two", 3), Err(PlanError::Contradicts(_))));
        assert!(matches!(check("one", 4), Err(PlanError::Contradicts(_))));
    }

    #[test]
    fn a_plan_without_placements_places_every_shard_everywhere() {
        let plan = Found {
            nodes: vec![node(1), node(2)],
            placements: Vec::new(),
            ..alone("one".to_owned(), node(1), 1)
        };
        assert_eq!(placement(&plan, ShardId(1)).replicas, [NodeId(1), NodeId(2)]);
    }
}
