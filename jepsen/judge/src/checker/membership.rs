//! At the end all nodes agree on who belongs where, and it is so (Jepsen's membership tests: W7).

use std::collections::{BTreeMap, BTreeSet};

use super::{Property, drained, quorums};
use crate::facts::standings::{CONTROL, Standings, final_events, placed, staying};
use crate::history::{History, Op, Replica, Standing};
use crate::settings::Settings;
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "membership",
    source: "uniform membership and no zombies, as in Jepsen's membership tests (W7)",
    needs: &["standing"],
    check,
    covers: None,
};

/// By the last word of each node in the final phase:
///
/// - every node of the cluster answers, and all say the same of nodes and placements;
/// - no node is still on its way out, and none still drained, unless the cluster was not told to end that;
/// - each shard is held by the nodes where it is placed, each of which names exactly them as its voters;
///   the control shard is followed by all others, the others by nobody;
/// - nobody else holds a replica, a node that was removed least of all;
/// - each replica has applied at least what any had when the phase began, and every index at which anything was
///   answered: nobody is stuck.
///
/// And at all times: the logs of a majority of a shard's voters reach as far as it was said to be committed, and a node
/// that is drained leads nothing for long that another could.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let standings = Standings::new(history);
    let Some((by, best)) = standings.best() else {
        return Verdict::Unknown("no node said how it stands in the final phase".into());
    };
    let mut violations = Vec::new();
    let mut violated = |events: &[u64], text: String| {
        violations.push(Violation::new(events.iter().copied(), text));
    };
    let stay: BTreeSet<u64> = staying(best).collect();
    for (node, state) in &best.nodes {
        if state == "leaving" {
            violated(&[by], format!("node {node} is still leaving at the end"));
        }
        if state == "draining" && !may_be_drained(history, *node) {
            violated(&[by], format!("node {node} is still drained at the end"));
        }
        if state != "removed" && !standings.last.contains_key(node) {
            violated(&[by], format!("node {node} of the cluster does not answer at the end"));
        }
    }
    for (node, (event, standing)) in &standings.last {
        if !stay.contains(node) {
            // A replica that knows no members and no entry is none: its node came back without its disk.
            let is_one = |held: &&Replica| held.applied > 0 || !held.voters.is_empty();
            let held = standing.replicas.iter().filter(is_one);
            let shards: Vec<u32> = held.map(|held| held.shard).collect();
            // One that ended meanwhile, for it heard of that, is as it should be.
            if !shards.is_empty() && standings.answers(*node) {
                violated(&[by, *event], format!("node {node} was removed, and holds {shards:?}"));
            }
            continue;
        }
        if !agree(best, standing) {
            violated(&[by, *event], format!("node {node} knows other nodes or placements"));
        }
        replicas(*node, standing, best, &mut |text| violated(&[by, *event], text));
    }
    let answered = answered(history);
    for (shard, begun) in &standings.begun {
        let (target, begun) = answered.get(shard).unwrap_or(begun).max(begun);
        for node in Standings::holders(best, *shard) {
            let reached = standings.reached.get(&(node, *shard));
            if let Some((index, at)) = reached.filter(|(index, _)| index < target) {
                let text = format!(
                    "node {node} is stuck at index {index} of shard {shard}, which was at {target} already"
                );
                violated(&[*begun, *at], text);
            }
        }
    }
    quorums::check(history, &mut violations);
    drained::check(history, settings, &mut violations);
    Verdict::of(violations)
}

/// Whether the cluster was not certainly told that a node is to lead again.
fn may_be_drained(history: &History<'_>, node: u64) -> bool {
    let is_it = |event: &crate::history::Event| {
        event.node == Some(node) && matches!(event.op, Op::Drained(_))
    };
    final_events(history).any(is_it)
}

/// Who should vote in a shard and who should only follow it, as a node knows: all follow the control shard.
fn members_wanted(standing: &Standing, shard: u32) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let voters: BTreeSet<u64> = placed(standing, shard).into_iter().collect();
    let followers = match shard {
        CONTROL => staying(standing).filter(|node| !voters.contains(node)).collect(),
        _ => BTreeSet::new(),
    };
    (voters, followers)
}

/// Whether a replica's members are exactly those that should be.
pub(super) fn is_as_placed(held: &Replica, standing: &Standing) -> bool {
    let (voters, followers) = members_wanted(standing, held.shard);
    !held.joint
        && held.voters.iter().copied().eq(voters)
        && held.learners.iter().copied().eq(followers)
}

/// Of each shard the largest index at which anything was answered, and the event that told it.
fn answered(history: &History<'_>) -> BTreeMap<u32, (u64, u64)> {
    let mut answered = BTreeMap::new();
    for operation in &history.operations {
        if let (Some(shard), Some(index)) = (operation.shard(), operation.log_index()) {
            let told = (index, operation.told_by());
            let held = answered.entry(shard).or_insert(told);
            *held = told.max(*held);
        }
    }
    answered
}

/// Whether two nodes know the same cluster.
pub(super) fn agree(one: &Standing, other: &Standing) -> bool {
    one.nodes == other.nodes && one.placements == other.placements
}

/// Whether the node holds what is placed on it, with the members that should be, and nothing else.
fn replicas(node: u64, standing: &Standing, best: &Standing, violated: &mut impl FnMut(String)) {
    for (shard, _) in &best.placements {
        let should = Standings::holders(best, *shard).contains(&node);
        let held = standing.replicas.iter().find(|replica| replica.shard == *shard);
        let Some(held) = held else {
            if should {
                violated(format!("node {node} has no replica of shard {shard}, as it should"));
            }
            continue;
        };
        if !should {
            violated(format!("node {node} holds a replica of shard {shard}, as it should not"));
            continue;
        }
        if !is_as_placed(held, best) {
            let (voters, followers) = members_wanted(best, *shard);
            violated(format!(
                "node {node} says that {:?} vote in shard {shard} and {:?} follow{}, not {voters:?} and \
                 {followers:?}",
                held.voters,
                held.learners,
                if held.joint { ", and that this is changing" } else { "" }
            ));
        }
    }
}
