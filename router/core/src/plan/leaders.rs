//! Leaders: spreads preferred leaders over the nodes as evenly as the replicas allow.
//!
//! Who may lead which shard is a bipartite graph, and the fairest choice in it is the one that no chain
//! of hand-overs improves: a shard goes from a node to a second one, one of the second's to a third, and
//! so on to a node that led at least two shards fewer than the first. (Harvey, Ladner, Lovász and Tamir,
//! "Semi-matchings for bipartite graphs and load balancing", 2003.) Such a choice has the smallest
//! possible maximum. Where each shard has the same number of replicas, all of them on active nodes, and
//! replicas are spread within one, leaders are within one too: giving each replica an equal share of its
//! shard is a solution in fractions, and rounding it moves no node's load past the next whole number.

use std::collections::BTreeMap;

use orrery_model::NodeId;
use orrery_model::cluster::NodeState;
use orrery_model::control::ControlCommand;

use super::layout::{Index, Layout};
use crate::limits::HANDOVERS_PER_PLAN_MAX;

/// Who leads a shard, and who might.
pub(crate) struct Choice {
    pub(crate) leader: NodeId,
    /// The leader among them.
    pub(crate) candidates: Vec<NodeId>,
    /// How often the shard was placed: what was moved last is the last to be moved again, so that a
    /// leader that a person put somewhere stays, and another one makes up for it.
    pub(crate) version: u64,
}

/// The placements that put other replicas first, as many as one plan holds.
pub(super) fn handovers(layout: &Layout) -> Vec<ControlCommand> {
    let shards = layout.shards();
    let mut choices: Vec<_> = (0..shards.len()).map(|index| choice(layout, index)).collect();
    let path = even_out(&mut choices);
    // First those that a node leads which should not; the others in the order of their chains.
    let misled = (0..shards.len()).filter(|index| {
        let first = shards[*index].placement.replicas[0];
        let candidates = &choices[*index].candidates;
        shards[*index].is_settled && !candidates.contains(&first)
    });
    let mut steps: Vec<_> = misled.map(|index| (index, choices[index].leader)).collect();
    if steps.is_empty() {
        // A shard that is handed over twice waits for its next turn, and so does all that follows.
        let is_new = |(at, (index, _)): &(usize, &(Index, NodeId))| {
            path[..*at].iter().all(|(earlier, _)| earlier != index)
        };
        steps = path.iter().enumerate().take_while(is_new).map(|(_, step)| *step).collect();
    }
    steps.truncate(HANDOVERS_PER_PLAN_MAX);
    let place = |(index, leader): (Index, NodeId)| {
        let shard = &shards[index];
        ControlCommand::Place(shard.next(led_by(&shard.placement.replicas, leader)))
    };
    steps.into_iter().map(place).collect()
}

/// The replicas with this one first, the others in their order.
pub(crate) fn led_by(replicas: &[NodeId], leader: NodeId) -> Vec<NodeId> {
    let others = replicas.iter().copied().filter(|id| *id != leader);
    std::iter::once(leader).chain(others).collect()
}

/// Whether a node is live does not matter here: one that restarts would lose all its shards, and get
/// them back, for nothing.
fn choice(layout: &Layout, index: Index) -> Choice {
    let shard = &layout.shards()[index];
    let replicas = &shard.placement.replicas;
    let active = replicas.iter().copied().filter(|id| layout.is(*id, NodeState::Active));
    let mut candidates: Vec<_> = active.collect();
    let leader = candidates.first().copied().unwrap_or(replicas[0]);
    if candidates.is_empty() || !shard.is_settled {
        candidates = vec![leader];
    }
    Choice { leader, candidates, version: shard.placement.version }
}

/// Changes leaders until no chain of hand-overs makes them more even, and returns the hand-overs in an
/// order in which each leaves the leaders at least as even as before.
pub(crate) fn even_out(choices: &mut [Choice]) -> Vec<(Index, NodeId)> {
    let mut handovers = Vec::new();
    while let Some(chain) = chain(choices) {
        for (index, leader) in chain {
            choices[index].leader = leader;
            handovers.push((index, leader));
        }
    }
    handovers
}

/// A chain that evens out, its end first.
fn chain(choices: &[Choice]) -> Option<Vec<(Index, NodeId)>> {
    let mut led: BTreeMap<NodeId, Vec<Index>> = BTreeMap::new();
    for (index, choice) in choices.iter().enumerate() {
        for candidate in &choice.candidates {
            led.entry(*candidate).or_default();
        }
        led.entry(choice.leader).or_default().push(index);
    }
    led.values_mut().for_each(|shards| shards.sort_by_key(|index| choices[*index].version));
    let mut starts: Vec<NodeId> = led.keys().copied().collect();
    starts.sort_by_key(|id| (std::cmp::Reverse(led[id].len()), *id));
    starts.into_iter().find_map(|start| chain_from(choices, &led, start))
}

/// The shortest chain from a node to one that leads at least two fewer.
fn chain_from(
    choices: &[Choice],
    led: &BTreeMap<NodeId, Vec<Index>>,
    start: NodeId,
) -> Option<Vec<(Index, NodeId)>> {
    // How each node was reached: from whom, by handing over which shard.
    let mut reached: BTreeMap<NodeId, (NodeId, Index)> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        if led[&node].len() + 2 <= led[&start].len() {
            let mut chain = Vec::new();
            let mut end = node;
            while end != start {
                let (from, index) = reached[&end];
                chain.push((index, end));
                end = from;
            }
            return Some(chain);
        }
        for index in &led[&node] {
            for next in &choices[*index].candidates {
                if *next != start && !reached.contains_key(next) {
                    reached.insert(*next, (node, *index));
                    queue.push_back(*next);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_was_moved_last_stays_and_another_makes_up_for_it() {
        let nodes = [NodeId(1), NodeId(2), NodeId(3)];
        for moved in 0..9 {
            let choice = |index: usize| Choice {
                leader: if index == moved { NodeId(2) } else { nodes[index % 3] },
                candidates: nodes.to_vec(),
                version: if index == moved { 2 } else { 1 },
            };
            let mut choices: Vec<_> = (0..9).map(choice).collect();
            even_out(&mut choices);
            assert_eq!(choices[moved].leader, NodeId(2), "shard {moved}");
            for node in nodes {
                assert_eq!(choices.iter().filter(|choice| choice.leader == node).count(), 3);
            }
        }
    }
}
