//! `orrery ctl cluster replicas`: on how many nodes each shard is.

use orrery_model::NodeId;
use orrery_model::cluster::{NodeState, Placement};

use super::cluster::status;
use super::context::Context;
use super::error::CtlError;
use super::fleet::Fleet;
use super::node::settled;
use super::print::{Output, shard_name};

/// Shards that are on their way at a time: a new replica is sent everything.
const SHARDS_MOVING_MAX: usize = 2;

/// Gives each shard so many replicas, one after the other.
pub(super) async fn run(context: &Context, replicas: usize) -> Result<Output, CtlError> {
    let fleet = Fleet::look(context).await?;
    let context = &context.with_all(&fleet);
    if replicas < fleet.replicas_founded {
        return Err(CtlError::failed(format!(
            "the cluster was founded with {} replicas and would go back to them",
            fleet.replicas_founded,
        )));
    }
    let active = active(&fleet).count();
    if active < replicas {
        return Err(CtlError::failed(format!(
            "{replicas} replicas do not fit on {active} active nodes that are reached",
        )));
    }
    loop {
        let missing = match Fleet::look(context).await {
            Ok(fleet) => match missing(&fleet, replicas) {
                None => break,
                Some(mut missing) => {
                    for placement in steps(&fleet, replicas) {
                        if let Some(why) = context.place(placement).await? {
                            missing = why;
                            break;
                        }
                    }
                    missing
                }
            },
            Err(error) => error.to_string(),
        };
        context.pause(missing).await?;
    }
    settled(context).await?;
    Ok(status(&Fleet::look(context).await?))
}

/// The nodes that may take a replica.
fn active(fleet: &Fleet) -> impl Iterator<Item = NodeId> + '_ {
    let able = fleet.nodes.iter().filter(|node| {
        node.state == NodeState::Active
            && node.report.as_ref().is_ok_and(|report| !report.disk_full)
    });
    able.map(|node| node.node.id)
}

fn missing(fleet: &Fleet, replicas: usize) -> Option<String> {
    let all = fleet.placements.values();
    let mut other = all.filter(|(placement, _)| placement.replicas.len() != replicas);
    let (placement, _) = other.next()?;
    Some(format!("shard {} is on {} nodes", shard_name(placement.shard), placement.replicas.len(),))
}

/// What may be changed now: one replica of each of a few shards.
fn steps(fleet: &Fleet, replicas: usize) -> Vec<Placement> {
    let moving = fleet.shards().filter(|shard| !fleet.is_settled(*shard)).count();
    let mut placements: Vec<Placement> =
        fleet.placements.values().map(|(placement, _)| placement.clone()).collect();
    let mut steps = Vec::new();
    for index in 0..placements.len() {
        if moving + steps.len() >= SHARDS_MOVING_MAX {
            break;
        }
        if !fleet.is_settled(placements[index].shard) {
            continue;
        }
        if let Some(next) = next(fleet, &placements, index, replicas) {
            steps.push(next.clone());
            placements[index] = next;
        }
    }
    steps
}

/// The shard's placement with one replica more, on the node that has the fewest, or with one fewer, off the
/// node that has the most.
fn next(
    fleet: &Fleet,
    placements: &[Placement],
    index: usize,
    replicas: usize,
) -> Option<Placement> {
    let held = placements.get(index)?;
    let count = |node: &NodeId| {
        placements.iter().filter(|placement| placement.replicas.contains(node)).count()
    };
    let mut nodes = held.replicas.clone();
    match nodes.len().cmp(&replicas) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => {
            nodes.push(active(fleet).filter(|node| !nodes.contains(node)).min_by_key(count)?);
        }
        std::cmp::Ordering::Greater => {
            // Not the first one, which leads.
            let gone = nodes.iter().copied().skip(1).max_by_key(count)?;
            nodes.retain(|node| *node != gone);
        }
    }
    Some(Placement { shard: held.shard, version: held.version + 1, replicas: nodes })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use orrery_model::ShardId;
    use orrery_model::cluster::Placed;

    use super::*;

    fn placement(shard: u32, replicas: &[u64]) -> (Placement, Option<Placed>) {
        let (shard, replicas) = (ShardId(shard), replicas.iter().copied().map(NodeId).collect());
        (Placement { shard, version: 1, replicas }, None)
    }

    fn fleet(placements: &[(Placement, Option<Placed>)]) -> Fleet {
        let placements: BTreeMap<_, _> =
            placements.iter().map(|both| (both.0.shard, both.clone())).collect();
        Fleet {
            cluster_id: "one".to_owned(),
            table_epoch: 1,
            data_shards: placements.keys().copied().filter(|shard| shard.0 > 0).collect(),
            nodes: Vec::new(),
            removed: Vec::new(),
            placements,
            replicas_founded: 1,
        }
    }

    #[test]
    fn the_fullest_node_that_does_not_lead_loses_its_replica() {
        let fleet =
            fleet(&[placement(0, &[1, 2, 3]), placement(1, &[3, 1]), placement(2, &[3, 1])]);
        let all: Vec<_> = fleet.placements.values().map(|both| both.0.clone()).collect();
        let gone = next(&fleet, &all, 0, 2).unwrap();
        assert_eq!((gone.version, gone.replicas), (2, vec![NodeId(1), NodeId(2)]));
        assert_eq!(next(&fleet, &all, 1, 2), None);
        assert_eq!(missing(&fleet, 2).unwrap(), "shard control is on 3 nodes");
    }

    #[test]
    fn nothing_is_begun_while_shards_move() {
        let fleet = fleet(&[placement(0, &[1, 2, 3]), placement(1, &[3, 1, 2])]);
        assert!(steps(&fleet, 2).is_empty(), "nobody has said that they are in their places");
    }
}
