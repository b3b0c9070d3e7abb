//! Placement: proposes where the replicas of a new cluster's shards go.

use std::collections::BTreeSet;

use orrery_model::cluster::Placement;
use orrery_model::{NodeId, ShardId};

use crate::limits::REPLICAS_MAX;
use crate::plan::leaders::{Choice, even_out, led_by};

/// Places shards, the control shard among them, on nodes: as many replicas each as asked for, at least
/// one and at most [`REPLICAS_MAX`], or on all nodes where there are fewer. Neither the replicas nor the
/// preferred leaders of two nodes differ by more than one. Equal sets give equal placements, in order of
/// the shards; without nodes there are none.
///
/// An even number of replicas is taken as it is asked for, though it survives no more losses than one
/// fewer.
pub fn propose(nodes: &[NodeId], shards: &[ShardId], replicas: usize) -> Vec<Placement> {
    let nodes: Vec<NodeId> = nodes.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let shards: BTreeSet<ShardId> = shards.iter().copied().collect();
    if nodes.is_empty() {
        return Vec::new();
    }
    let replicas = replicas.clamp(1, REPLICAS_MAX).min(nodes.len());
    // Dealt out like cards: counts differ by at most one, and no shard gets a node twice.
    let mut dealt = nodes.iter().copied().cycle();
    let hands: Vec<Vec<NodeId>> =
        shards.iter().map(|_| dealt.by_ref().take(replicas).collect()).collect();
    let choice =
        |hand: &Vec<NodeId>| Choice { leader: hand[0], candidates: hand.clone(), version: 1 };
    let mut choices: Vec<_> = hands.iter().map(choice).collect();
    even_out(&mut choices);
    let placed = shards.into_iter().zip(hands.iter().zip(choices));
    let place = |(shard, (hand, choice)): (ShardId, (&Vec<NodeId>, Choice))| Placement {
        shard,
        version: 1,
        replicas: led_by(hand, choice.leader),
    };
    placed.map(place).collect()
}
