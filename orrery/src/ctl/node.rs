//! `orrery ctl node …`: nodes come and go.

use orrery_model::cluster::NodeState;
use orrery_model::control::ControlCommand;
use orrery_model::{NodeId, ShardId};
use orrery_router_client::cluster::{Adoption, ReplicaRole};
use serde_json::json;

use super::args::NodeVerb;
use super::context::Context;
use super::error::CtlError;
use super::fleet::{Fleet, FleetNode};
use super::founding::{Named, adopt, describe, lost_disk};
use super::print::{Output, shard_name};

/// How many looks in a row must find everything in its place before it counts as settled: the planner
/// moves a few shards at a time, and seems to have nothing to do in between.
const QUIET_LOOKS: u32 = 10;

pub(super) async fn run(context: &Context, verb: NodeVerb) -> Result<Output, CtlError> {
    let fleet = Fleet::look(context).await?;
    let context = &context.with_all(&fleet);
    match verb {
        NodeVerb::Add { address, no_wait } => {
            let node = join(context, &fleet, &address).await?;
            if !no_wait {
                settled(context).await?;
            }
            Ok(done(format!("node {node} is part of the cluster"), node, "added"))
        }
        NodeVerb::Remove { node, fewer_replicas, no_wait } => {
            let node = NodeId(node);
            if !fewer_replicas {
                enough_stay(&fleet, node)?;
            }
            leave(context, &fleet, node).await?;
            if no_wait {
                return Ok(done(format!("node {node} is leaving"), node, "leaving"));
            }
            removed(context, node).await?;
            Ok(done(format!("node {node} was removed for good"), node, "removed"))
        }
        NodeVerb::Replace { old, address, no_wait } => {
            let old = NodeId(old);
            may_replace(&fleet, old, &describe(context, &address).await?)?;
            let new = join(context, &fleet, &address).await?;
            leave(context, &fleet, old).await?;
            if !no_wait {
                removed(context, old).await?;
                settled(context).await?;
            }
            Ok(done(format!("node {new} takes the place of node {old}"), new, "added"))
        }
        NodeVerb::Drain { node, undo, no_wait } => {
            let node = NodeId(node);
            let held = known(&fleet, node)?.state;
            if held == NodeState::Leaving && !undo {
                return Err(CtlError::failed(leaving(node)));
            }
            let state = if undo { NodeState::Active } else { NodeState::Draining };
            context.change(&ControlCommand::SetNodeState { node, state }).await?;
            if undo {
                let text = match held {
                    NodeState::Leaving => format!("node {node} stays and may lead"),
                    _ => format!("node {node} may lead again"),
                };
                return Ok(done(text, node, "active"));
            }
            if !no_wait {
                leads_nothing(context, node).await?;
            }
            Ok(done(format!("node {node} gives its leaderships away"), node, "draining"))
        }
    }
}

fn done(text: String, node: NodeId, state: &str) -> Output {
    Output::new(format!("{text}\n"), json!({ "node": node.0, "state": state }))
}

fn leaving(node: NodeId) -> String {
    format!("node {node} is leaving; `orrery ctl node drain {node} --undo` keeps it")
}

fn known(fleet: &Fleet, node: NodeId) -> Result<&FleetNode, CtlError> {
    match (fleet.node(node), fleet.removed.contains(&node)) {
        (Some(node), _) => Ok(node),
        (None, true) => Err(CtlError::failed(format!("node {node} was removed"))),
        (None, false) => Err(CtlError::failed(format!("the cluster has no node {node}"))),
    }
}

/// Refuses to take out a node without which the shards could not have all their replicas.
fn enough_stay(fleet: &Fleet, node: NodeId) -> Result<(), CtlError> {
    let held = fleet.node(node).map(|node| node.state);
    let stay = fleet.staying().filter(|other| other.node.id != node).count();
    let wanted = fleet.replicas_wanted();
    match held {
        // It was decided already.
        None | Some(NodeState::Leaving) => Ok(()),
        Some(_) if stay >= wanted => Ok(()),
        Some(_) => Err(CtlError::failed(format!(
            "without node {node} {stay} nodes stay, too few for the {wanted} replicas of each shard: add \
             one first, or say --fewer-replicas",
        ))),
    }
}

/// Refuses what would not put a new node in the place of the old one, or did not begin to earlier.
fn may_replace(fleet: &Fleet, old: NodeId, (address, new): &Named) -> Result<(), CtlError> {
    let id = new.node.id;
    if id == old && fleet.node(old).is_none_or(|held| held.node.instance == new.node.instance) {
        return Err(CtlError::failed(format!(
            "{address} is node {old} itself: its place is taken by another, blank one",
        )));
    }
    let is_gone = fleet.removed.contains(&old);
    if !is_gone {
        known(fleet, old)?;
    }
    let blank = new.cluster_id.is_none();
    let Some(held) = fleet.node(id).filter(|held| held.node.instance == new.node.instance) else {
        return match is_gone && blank {
            true => Err(CtlError::failed(format!(
                "node {old} was removed already: add the new one with `orrery ctl node add {address}`",
            ))),
            // Whatever else is wrong with it is found when it joins.
            false => Ok(()),
        };
    };
    // It is there; so this repeats what was interrupted, or it was put there for this.
    if held.state != NodeState::Active {
        return Err(CtlError::failed(format!("node {id} at {address} is {}", held.state)));
    }
    if new.founding.is_some() {
        return Err(CtlError::failed(format!(
            "node {id} at {address} has been there since the cluster was founded: a node's place is taken \
             by a blank one",
        )));
    }
    enough_stay(fleet, old)
}

/// Makes the node at an address a part of the cluster, and waits until it follows the control shard.
async fn join(context: &Context, fleet: &Fleet, address: &str) -> Result<NodeId, CtlError> {
    let (_, described) = describe(context, address).await?;
    let node = described.node.clone();
    match &described.cluster_id {
        Some(other) if *other != fleet.cluster_id => {
            return Err(CtlError::failed(format!(
                "{address} is node {} of another cluster, {other}",
                node.id,
            )));
        }
        _ => {}
    }
    match fleet.node(node.id) {
        Some(held) if held.node.instance != node.instance => {
            return Err(CtlError::failed(lost_disk(node.id, address)));
        }
        Some(held) if held.state == NodeState::Leaving => {
            return Err(CtlError::failed(leaving(node.id)));
        }
        _ => {}
    }
    // A repeat is answered alike; a number that was another's is refused.
    context.change(&ControlCommand::AddNode(node.clone())).await?;
    let adoption = Adoption {
        cluster_id: fleet.cluster_id.clone(),
        node: node.id,
        instance: node.instance,
        shards: u32::try_from(fleet.data_shards.len()).unwrap_or(u32::MAX),
        founding: None,
    };
    if described.cluster_id.is_none() {
        adopt(context, address, &adoption).await?;
    }
    let target = fleet.leader(ShardId::CONTROL).map_or(0, |(_, leader)| leader.committed_index);
    loop {
        let missing = match context.client.report(address, context.soon()).await {
            Err(error) => error.to_string(),
            Ok(report) => match report.replica(ShardId::CONTROL) {
                Some(replica)
                    if replica.role != ReplicaRole::Candidate
                        && replica.applied_index >= target =>
                {
                    return Ok(node.id);
                }
                _ => format!("node {} does not follow the control shard yet", node.id),
            },
        };
        context.pause(missing).await?;
    }
}

async fn leave(context: &Context, fleet: &Fleet, node: NodeId) -> Result<(), CtlError> {
    if fleet.removed.contains(&node) {
        return Ok(());
    }
    known(fleet, node)?;
    let state = NodeState::Leaving;
    context.change(&ControlCommand::SetNodeState { node, state }).await
}

/// Waits until a node was removed.
async fn removed(context: &Context, node: NodeId) -> Result<(), CtlError> {
    loop {
        let missing = match Fleet::look(context).await {
            Ok(fleet) if fleet.removed.contains(&node) => return Ok(()),
            Ok(fleet) => {
                let held = fleet.placements.values().filter(|(placement, placed)| {
                    let voted = placed.as_ref().is_some_and(|placed| placed.voters.contains(&node));
                    placement.replicas.contains(&node) || voted
                });
                format!("node {node} still holds {} shards", held.count())
            }
            Err(error) => error.to_string(),
        };
        context.pause(missing).await?;
    }
}

/// Waits until every shard is where it should be, and stays so.
pub(super) async fn settled(context: &Context) -> Result<(), CtlError> {
    let mut quiet = 0;
    let mut versions = Vec::new();
    loop {
        let missing = match Fleet::look(context).await {
            Ok(fleet) => {
                let now: Vec<u64> = fleet.placements.values().map(|both| both.0.version).collect();
                let moving: Vec<_> =
                    fleet.shards().filter(|shard| !fleet.is_settled(*shard)).collect();
                let even = fleet.is_even();
                let in_place = moving.is_empty() && even && now == versions;
                quiet = if in_place { quiet + 1 } else { 0 };
                versions = now;
                if quiet >= QUIET_LOOKS {
                    return Ok(());
                }
                match moving.first() {
                    Some(shard) => {
                        format!("shard {} is not where it should be yet", shard_name(*shard))
                    }
                    None if !even => "the replicas are not spread evenly yet".to_owned(),
                    None => "everything is in its place only just now".to_owned(),
                }
            }
            Err(error) => error.to_string(),
        };
        context.pause(missing).await?;
    }
}

/// Waits until a node leads no shard that another one can lead.
async fn leads_nothing(context: &Context, node: NodeId) -> Result<(), CtlError> {
    loop {
        let missing = match Fleet::look(context).await {
            Ok(fleet) => {
                let led = |shard: &ShardId| {
                    let leads = fleet.leader(*shard).is_some_and(|(leader, _)| leader == node);
                    leads && can_move(&fleet, *shard, node)
                };
                match fleet.shards().find(led) {
                    None => return Ok(()),
                    Some(shard) => format!("node {node} still leads shard {}", shard_name(shard)),
                }
            }
            Err(error) => error.to_string(),
        };
        context.pause(missing).await?;
    }
}

/// Whether another node could lead the shard: one that votes, is reached and may lead.
fn can_move(fleet: &Fleet, shard: ShardId, from: NodeId) -> bool {
    let Some((placement, _)) = fleet.placements.get(&shard) else { return false };
    placement.replicas.iter().filter(|node| **node != from).any(|node| {
        fleet.node(*node).is_some_and(|node| node.state == NodeState::Active && node.report.is_ok())
    })
}
