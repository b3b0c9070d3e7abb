//! What must hold of plans, whatever the cluster and whatever happens to it: each step is safe, and they
//! end where everything is as even as it can be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support included")]

mod cluster;

use std::collections::BTreeSet;

use cluster::{Cluster, Happening, happening, unheard_of};
use orrery_model::cluster::{NodeState, Placement};
use orrery_model::{NodeId, ShardId};
use orrery_router_core::placement;
use orrery_router_core::plan::preferred_leader;
use proptest::collection::vec;
use proptest::prelude::*;

/// Whether `shards`, each with the nodes that may lead it, can be led so that no node has more than
/// `most`: a matching with augmenting paths, written down anew so that no bug judges itself.
fn can_lead_with_at_most(most: usize, shards: &[Vec<NodeId>]) -> bool {
    let mut leaders: Vec<Option<NodeId>> = vec![None; shards.len()];
    fn seat(
        shard: usize,
        most: usize,
        shards: &[Vec<NodeId>],
        leaders: &mut Vec<Option<NodeId>>,
        tried: &mut BTreeSet<NodeId>,
    ) -> bool {
        for node in &shards[shard] {
            if !tried.insert(*node) {
                continue;
            }
            let theirs: Vec<_> = (0..shards.len()).filter(|s| leaders[*s] == Some(*node)).collect();
            let is_free = theirs.len() < most;
            if is_free || theirs.into_iter().any(|s| seat(s, most, shards, leaders, tried)) {
                leaders[shard] = Some(*node);
                return true;
            }
        }
        false
    }
    (0..shards.len()).all(|s| seat(s, most, shards, &mut leaders, &mut BTreeSet::new()))
}

/// Whether each of `nodes` can lead at least `least` shards.
fn can_lead_with_at_least(least: usize, nodes: &[NodeId], shards: &[Vec<NodeId>]) -> bool {
    // Turned round: each node has `least` wishes, and a shard fulfils one.
    let wishes: Vec<Vec<NodeId>> = nodes
        .iter()
        .flat_map(|node| {
            let led = (0..shards.len()).filter(|s| shards[*s].contains(node));
            let led: Vec<_> = led.map(|s| NodeId(s as u64)).collect();
            std::iter::repeat_n(led, least)
        })
        .collect();
    can_lead_with_at_most(1, &wishes)
}

/// How many of `named` each of `nodes` is, least and most.
fn spread(nodes: &[NodeId], named: impl Iterator<Item = NodeId> + Clone) -> (usize, usize) {
    let counts = || nodes.iter().map(|node| named.clone().filter(|n| n == node).count());
    (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
}

fn assert_leaders_are_even(placements: &[Placement], led: &[NodeId], may_lead: &[Vec<NodeId>]) {
    let nodes: BTreeSet<_> = may_lead.iter().flatten().copied().collect();
    let nodes: Vec<_> = nodes.into_iter().collect();
    let (least, most) = spread(&nodes, led.iter().copied());
    assert!(most == 0 || !can_lead_with_at_most(most - 1, may_lead), "{placements:?}");
    let may_be_more = can_lead_with_at_least(least + 1, &nodes, may_lead);
    assert!(nodes.is_empty() || !may_be_more, "{placements:?}");
}

/// Everything is where it should be, as far as the states of the nodes allow.
fn assert_in_order(cluster: &Cluster) {
    let control = &cluster.control;
    let nodes_in = |wanted: NodeState| -> Vec<NodeId> {
        let held = control.nodes().filter(|(_, state)| *state == wanted);
        held.map(|(node, _)| node.id).collect()
    };
    let (active, draining) = (nodes_in(NodeState::Active), nodes_in(NodeState::Draining));
    let placements: Vec<_> = control.placements().cloned().collect();
    for placement in &placements {
        let replicas = &placement.replicas;
        let is_spare = |node: &&NodeId| !replicas.contains(node);
        let waits_for = draining.iter().find(is_spare);
        assert!(control.placed(placement.shard).is_some_and(|placed| {
            let set = |ids: &[NodeId]| ids.iter().copied().collect::<BTreeSet<_>>();
            set(&placed.voters) == set(replicas)
        }));
        // A replica stays on a leaving node only while the one node that could take it drains.
        let leaving = nodes_in(NodeState::Leaving);
        if replicas.iter().any(|id| leaving.contains(id)) {
            assert!(active.iter().find(is_spare).is_none() && waits_for.is_some(), "{placement:?}");
        }
        // And a shard has fewer replicas than it had at first only for want of nodes.
        if replicas.len() < cluster.replicas {
            assert!(active.iter().find(is_spare).is_none(), "{placement:?} on {active:?}");
        }
        let leads = |id: &NodeId| active.contains(id);
        assert!(leads(&replicas[0]) || !replicas.iter().any(leads), "{placement:?}");
        let first = preferred_leader(control, placement.shard);
        assert!(first == Some(replicas[0]) || !replicas.iter().any(leads), "{placement:?}");
    }
    for node in nodes_in(NodeState::Leaving) {
        assert!(control.held_by(node).is_some(), "node {node} is gone but not removed");
    }
    let (least, most) = spread(&active, placements.iter().flat_map(|p| p.replicas.clone()));
    assert!(most - least <= 1, "replicas from {least} to {most}: {placements:?}");

    let candidates = |p: &Placement| -> Vec<NodeId> {
        p.replicas.iter().copied().filter(|id| active.contains(id)).collect()
    };
    let led = placements.iter().filter(|p| active.contains(&p.replicas[0]));
    let may_lead: Vec<_> = led.clone().map(candidates).collect();
    let led: Vec<_> = led.map(|p| p.replicas[0]).collect();
    assert_leaders_are_even(&placements, &led, &may_lead);
    if draining.is_empty() {
        assert_eq!(nodes_in(NodeState::Leaving), []);
        let (least, most) = spread(&active, led.into_iter());
        assert!(most - least <= 1, "leaders from {least} to {most}: {placements:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_proposed_placement_is_even(
        nodes in 1..40_u64,
        shards in 1..80_u32,
        replicas in 0..9_usize,
    ) {
        let ids: Vec<_> = (1..=nodes).map(NodeId).collect();
        let placed: Vec<_> = (0..shards).map(ShardId).collect();
        let placements = placement::propose(&ids, &placed, replicas);
        let expected = replicas.clamp(1, 7).min(ids.len());
        prop_assert!(placements.iter().map(|p| p.shard).eq(placed.iter().copied()));
        for placement in &placements {
            let each_once: BTreeSet<_> = placement.replicas.iter().collect();
            prop_assert_eq!((placement.replicas.len(), each_once.len()), (expected, expected));
            prop_assert_eq!(placement.version, 1);
        }
        let (least, most) = spread(&ids, placements.iter().flat_map(|p| p.replicas.clone()));
        prop_assert!(most - least <= 1, "replicas from {} to {}", least, most);
        let (least, most) = spread(&ids, placements.iter().map(|p| p.replicas[0]));
        prop_assert!(most - least <= 1, "leaders from {} to {}", least, most);
        let mut shuffled = ids.clone();
        shuffled.reverse();
        prop_assert_eq!(placement::propose(&shuffled, &placed, replicas), placements);
    }

    #[test]
    fn every_cluster_comes_to_order(
        nodes in 1..10_u64,
        shards in 1..21_u32,
        replicas in 1..6_usize,
        happenings in vec(happening(), 0..24),
    ) {
        let mut cluster = Cluster::found(nodes, shards, replicas);
        for happening in &happenings {
            cluster.happens(happening);
        }
        cluster.revive_all();
        cluster.come_to_rest();
        assert_in_order(&cluster);
        cluster.activate_all();
        cluster.come_to_rest();
        assert_in_order(&cluster);
    }

    #[test]
    fn nobody_is_removed_who_is_a_member_however_late_that_is_told(
        nodes in 3..6_u64,
        shards in 1..3_u32,
        happenings in vec(unheard_of(), 0..96),
    ) {
        let mut cluster = Cluster::found(nodes, shards, 3);
        cluster.come_to_rest();
        for happening in &happenings {
            // Asserts it.
            cluster.happens(happening);
        }
    }

    #[test]
    fn a_new_node_takes_the_place_of_the_one_it_replaces(
        nodes in 2..10_u64,
        shards in 1..21_u32,
        replicas in 1..6_usize,
        old in any::<prop::sample::Index>(),
        is_dead in any::<bool>(),
    ) {
        let mut cluster = Cluster::found(nodes, shards, replicas);
        cluster.come_to_rest();
        let old = NodeId(1 + old.index(nodes as usize) as u64);
        // Of fewer than three replicas none can be replaced that is dead.
        if is_dead && cluster.replicas >= 3 {
            cluster.happens(&Happening::Dies(old.0 as usize - 1));
        }
        let held = cluster.held(old);
        let new = cluster.replace(old);
        cluster.come_to_rest();
        prop_assert_eq!(cluster.control.node(old).unwrap().1, NodeState::Removed);
        // The very last replica may go to a node that is as empty.
        prop_assert!(cluster.held(new).abs_diff(held) <= 1);
        assert_in_order(&cluster);
    }
}
