//! Checks: what the control shard refuses before it looks at its state.

use std::collections::BTreeSet;

use orrery_model::cluster::{Node, Placed};
use orrery_model::control::{Attach, ControlRefusal, Found, shards_of};
use orrery_model::{NodeId, ShardId};

use super::placements::all_shards;
use crate::limits::{
    ADVERTISE_ADDRESSES_MAX, ADVERTISE_TEXT_BYTES_MAX, INSTANCE_BYTES_MAX, MEMBERS_MAX, NODES_MAX,
    REPLICAS_MAX,
};

/// Checks that a cluster can be founded so: a control shard that has none takes exactly what passes.
///
/// # Errors
/// What is wrong with it.
pub fn check_found(found: &Found) -> Result<(), ControlRefusal> {
    if found.cluster_id.is_empty() {
        return Err(ControlRefusal::Invalid("a cluster needs an id"));
    }
    let nodes: BTreeSet<NodeId> = found.nodes.iter().map(|node| node.id).collect();
    if nodes.is_empty() || nodes.len() > NODES_MAX {
        return Err(ControlRefusal::Invalid("a cluster begins with 1 to 64 nodes"));
    }
    if nodes.len() != found.nodes.len() {
        return Err(ControlRefusal::Invalid("two nodes have one number"));
    }
    let data = shards_of(&found.table);
    if data.contains(&ShardId::CONTROL) {
        return Err(ControlRefusal::Invalid("the control shard owns no slots"));
    }
    if found.counters.first_seqs.keys().any(|shard| !data.contains(shard)) {
        return Err(ControlRefusal::Invalid("a first seq names no shard of the table"));
    }
    found.nodes.iter().try_for_each(check_node)?;
    check_first_placements(found, &nodes)
}

fn check_first_placements(found: &Found, nodes: &BTreeSet<NodeId>) -> Result<(), ControlRefusal> {
    if found.placements.is_empty() {
        let everywhere: Vec<_> = nodes.iter().copied().collect();
        return check_replicas(&everywhere);
    }
    let mut placed: Vec<_> = found.placements.iter().map(|placement| placement.shard).collect();
    placed.sort_unstable();
    if placed != all_shards(found) {
        return Err(ControlRefusal::Invalid("each shard is placed once, the control shard too"));
    }
    for placement in &found.placements {
        if placement.version != 1 {
            return Err(ControlRefusal::Invalid("the first placement of a shard is version 1"));
        }
        check_replicas(&placement.replicas)?;
        if let Some(node) = placement.replicas.iter().find(|node| !nodes.contains(node)) {
            return Err(ControlRefusal::UnknownNode { node: *node });
        }
    }
    Ok(())
}

pub(super) fn check_node(node: &Node) -> Result<(), ControlRefusal> {
    if node.id == NodeId(0) {
        return Err(ControlRefusal::Invalid("a node's number begins at 1"));
    }
    if node.instance.is_empty() || node.instance.len() > INSTANCE_BYTES_MAX {
        return Err(ControlRefusal::Invalid("an instance has 1 to 128 bytes"));
    }
    if [&node.registry, &node.peers].iter().any(|text| text.len() > ADVERTISE_TEXT_BYTES_MAX) {
        return Err(ControlRefusal::Invalid("an address of a node is too long"));
    }
    if node.protocol == 0 {
        return Err(ControlRefusal::Invalid("a node speaks protocol 1 at least"));
    }
    Ok(())
}

pub(super) fn check_replicas(replicas: &[NodeId]) -> Result<(), ControlRefusal> {
    if replicas.is_empty() || replicas.len() > REPLICAS_MAX {
        return Err(ControlRefusal::Invalid("a shard has 1 to 7 replicas"));
    }
    if !is_each_once(replicas) {
        return Err(ControlRefusal::Invalid("a node holds one replica of a shard"));
    }
    Ok(())
}

pub(super) fn check_placed(placed: &Placed) -> Result<(), ControlRefusal> {
    let Placed { voters, learners, .. } = placed;
    if voters.is_empty() {
        return Err(ControlRefusal::Invalid("a shard has at least one voter"));
    }
    if voters.len() > MEMBERS_MAX || learners.len() > MEMBERS_MAX {
        return Err(ControlRefusal::Invalid("a shard has too many members"));
    }
    if !is_each_once(voters) || !is_each_once(learners) {
        return Err(ControlRefusal::Invalid("a node is a member once"));
    }
    Ok(())
}

fn is_each_once(nodes: &[NodeId]) -> bool {
    nodes.iter().collect::<BTreeSet<_>>().len() == nodes.len()
}

pub(super) fn check_attach(attach: &Attach) -> Result<(), ControlRefusal> {
    if attach.instance.is_empty() || attach.instance.len() > INSTANCE_BYTES_MAX {
        return Err(ControlRefusal::Invalid("an instance has 1 to 128 bytes"));
    }
    let advertise = &attach.advertise;
    if advertise.addresses.len() > ADVERTISE_ADDRESSES_MAX {
        return Err(ControlRefusal::Invalid("too many advertised addresses"));
    }
    let texts = [
        &advertise.delivery,
        &advertise.hostname,
        &advertise.region,
        &advertise.zone,
        &advertise.env,
    ];
    let mut texts = texts.into_iter().chain(&advertise.addresses);
    if texts.any(|text| text.len() > ADVERTISE_TEXT_BYTES_MAX) {
        return Err(ControlRefusal::Invalid("an advertised text is too long"));
    }
    Ok(())
}

const _: () = assert!(INSTANCE_BYTES_MAX == 128, "the refusals' text names the limit");
const _: () = assert!(NODES_MAX == 64, "the refusal's text names the limit");
const _: () = assert!(REPLICAS_MAX == 7, "the refusal's text names the limit");
