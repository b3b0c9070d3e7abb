//! `orrery ctl leader …`: who leads what.

use std::collections::BTreeMap;

use orrery_model::cluster::{NodeState, Placement};
use orrery_model::control::ControlCommand;
use orrery_model::{NodeId, ShardId};
use serde_json::json;

use super::args::LeaderVerb;
use super::context::Context;
use super::error::CtlError;
use super::fleet::Fleet;
use super::print::{Output, shard_name, table};

pub(super) async fn run(context: &Context, verb: LeaderVerb) -> Result<Output, CtlError> {
    let fleet = Fleet::look(context).await?;
    let context = &context.with_all(&fleet);
    let moves = match verb {
        LeaderVerb::Move { shard, node } => {
            vec![reordered(&fleet, ShardId(shard), NodeId(node))?]
        }
        LeaderVerb::Balance => balanced(&fleet),
    };
    for placement in &moves {
        let held = fleet.placements.get(&placement.shard);
        if held.is_some_and(|(held, _)| held.version != placement.version) {
            context.change(&ControlCommand::Place(placement.clone())).await?;
        }
    }
    for placement in &moves {
        led(context, placement).await?;
    }
    let rows: Vec<_> = moves.iter().map(|placement| (placement.shard, first(placement))).collect();
    let cells: Vec<_> =
        rows.iter().map(|(shard, node)| [shard_name(*shard), node.0.to_string()]).collect();
    let text = match cells.as_slice() {
        [] => "the leaders are spread evenly already\n".to_owned(),
        cells => table(["SHARD", "LED BY"], cells),
    };
    let moved: Vec<_> =
        rows.iter().map(|(shard, node)| json!({ "shard": shard.0, "leader": node.0 })).collect();
    Ok(Output::new(text, json!({ "moved": moved })))
}

fn first(placement: &Placement) -> NodeId {
    placement.replicas.first().copied().unwrap_or_default()
}

/// The shard's placement with the node as the preferred leader; the newest one itself where it is so.
fn reordered(fleet: &Fleet, shard: ShardId, node: NodeId) -> Result<Placement, CtlError> {
    let Some((placement, _)) = fleet.placements.get(&shard) else {
        return Err(CtlError::failed(format!("the cluster has no shard {shard}")));
    };
    if !placement.replicas.contains(&node) {
        let replicas: Vec<_> = placement.replicas.iter().map(ToString::to_string).collect();
        return Err(CtlError::failed(format!(
            "node {node} holds no replica of shard {}, which is on nodes {}",
            shard_name(shard),
            replicas.join(", "),
        )));
    }
    may_lead(fleet, node)?;
    Ok(prefer(placement, node))
}

/// Refuses a node to which no leader would move.
fn may_lead(fleet: &Fleet, id: NodeId) -> Result<(), CtlError> {
    let Some(node) = fleet.node(id) else {
        return Err(CtlError::failed(format!("the cluster has no node {id}")));
    };
    let report = match (&node.report, node.state) {
        (_, state @ (NodeState::Draining | NodeState::Leaving)) => {
            return Err(CtlError::failed(format!("node {id} is {state}: it is to lead nothing")));
        }
        (Err(why), _) => return Err(CtlError::Unreachable(format!("node {id}: {why}"))),
        (Ok(report), _) => report,
    };
    match report.disk_full {
        true => Err(CtlError::failed(format!("node {id}: its disk is below its reserve"))),
        false => Ok(()),
    }
}

fn prefer(placement: &Placement, node: NodeId) -> Placement {
    if first(placement) == node {
        return placement.clone();
    }
    let others = placement.replicas.iter().copied().filter(|other| *other != node);
    let replicas = std::iter::once(node).chain(others).collect();
    Placement { shard: placement.shard, version: placement.version + 1, replicas }
}

/// Placements that spread the leaders evenly, with few moves.
fn balanced(fleet: &Fleet) -> Vec<Placement> {
    let may_lead = |node: &NodeId| {
        let node = fleet.node(*node);
        node.is_some_and(|node| node.state == NodeState::Active && node.report.is_ok())
    };
    let shards: Vec<_> = fleet
        .placements
        .values()
        .map(|(placement, _)| {
            let able = placement.replicas.iter().copied().filter(may_lead).collect();
            (placement.shard, able)
        })
        .collect();
    let chosen = spread(&shards);
    let places = fleet.placements.values().map(|(placement, _)| placement);
    places
        .filter_map(|placement| {
            let node = *chosen.get(&placement.shard)?;
            let led = fleet.leader(placement.shard).is_some_and(|(leader, _)| leader == node);
            (!led || first(placement) != node).then(|| prefer(placement, node))
        })
        .collect()
}

/// Chooses a leader among each shard's nodes, beginning with the first of each and moving one from the
/// node that leads most to one that leads at least two fewer, until there is none such.
fn spread(shards: &[(ShardId, Vec<NodeId>)]) -> BTreeMap<ShardId, NodeId> {
    let mut chosen = BTreeMap::new();
    let mut leads: BTreeMap<NodeId, usize> = BTreeMap::new();
    for (shard, nodes) in shards {
        nodes.iter().for_each(|node| *leads.entry(*node).or_default() += 0);
        if let Some(node) = nodes.first() {
            chosen.insert(*shard, *node);
            *leads.entry(*node).or_default() += 1;
        }
    }
    let count =
        |leads: &BTreeMap<NodeId, usize>, node: &NodeId| leads.get(node).copied().unwrap_or(0);
    loop {
        let better = shards.iter().find_map(|(shard, nodes)| {
            let from = *chosen.get(shard)?;
            let to = *nodes.iter().min_by_key(|node| count(&leads, node))?;
            (count(&leads, &from) >= count(&leads, &to) + 2).then_some((*shard, from, to))
        });
        // Each step makes the sum of squares smaller, so this ends.
        let Some((shard, from, to)) = better else { return chosen };
        chosen.insert(shard, to);
        leads.entry(from).and_modify(|count| *count -= 1);
        *leads.entry(to).or_default() += 1;
    }
}

/// Waits until the placement's first node leads its shard.
async fn led(context: &Context, placement: &Placement) -> Result<(), CtlError> {
    let (shard, node) = (placement.shard, first(placement));
    loop {
        let missing = match Fleet::look(context).await {
            Ok(fleet) => match fleet.leader(shard) {
                Some((leader, _)) if leader == node => return Ok(()),
                Some((leader, _)) => {
                    format!("node {leader} still leads shard {}", shard_name(shard))
                }
                None => format!("shard {} has no leader", shard_name(shard)),
            },
            Err(error) => error.to_string(),
        };
        context.pause(missing).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(shards: &[(ShardId, Vec<NodeId>)]) -> BTreeMap<NodeId, usize> {
        let mut leads = BTreeMap::new();
        for node in spread(shards).values() {
            *leads.entry(*node).or_default() += 1;
        }
        leads
    }

    fn shards(of: &[&[u64]]) -> Vec<(ShardId, Vec<NodeId>)> {
        let nodes = |nodes: &[u64]| nodes.iter().copied().map(NodeId).collect();
        (0..).map(ShardId).zip(of.iter().map(|numbers| nodes(numbers))).collect()
    }

    #[test]
    fn leaders_are_spread_over_who_can_lead() {
        let all_at_one = [&[1, 2, 3][..]; 9];
        assert_eq!(leads(&shards(&all_at_one)), [1, 2, 3].map(|n| (NodeId(n), 3)).into());
        let shards = shards(&[&[1, 2], &[1, 2], &[1], &[]]);
        assert_eq!(leads(&shards), [(NodeId(1), 2), (NodeId(2), 1)].into());
    }

    #[test]
    fn what_is_even_stays_as_it_is() {
        let even = shards(&[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2], &[1, 2, 3]]);
        let firsts: Vec<_> = even.iter().map(|(_, nodes)| nodes[0]).collect();
        assert_eq!(spread(&even).into_values().collect::<Vec<_>>(), firsts);
    }

    #[test]
    fn a_placement_is_reordered_once() {
        let placement =
            Placement { shard: ShardId(4), version: 7, replicas: [1, 2, 3].map(NodeId).to_vec() };
        let moved = prefer(&placement, NodeId(3));
        assert_eq!((moved.version, moved.replicas.as_slice()), (8, &[3, 1, 2].map(NodeId)[..]));
        assert_eq!(prefer(&moved, NodeId(3)), moved);
    }
}
