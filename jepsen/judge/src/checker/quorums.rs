//! Quorums: the logs of a majority of those who vote reach as far as a replica once said to be committed, ever after.
//!
//! Nodes tell the index at which their logs end and not the term of the entry there: a log that is long enough by
//! entries that were never committed passes here. What replicas hold at one index is for their digests to say.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::looks::{Look, looks};
use crate::history::{History, Replica};
use crate::verdict::Violation;

/// What the nodes said of their replicas of a shard at one look: each by the event that told it.
type Replicas<'a> = BTreeMap<u64, (u64, &'a Replica)>;

/// An index that is committed, by the event that told it, and who voted there.
struct Committed {
    index: u64,
    event: u64,
    voters: BTreeSet<u64>,
}

/// Judges every look by what was said to be committed at those before it. As long as the same nodes vote, so many of
/// them answer that they do not have it that the others are no majority: then it was committed by fewer. Who does
/// not answer, or has just begun anew on an empty disk, may have had it.
pub(super) fn check(history: &History<'_>, violations: &mut Vec<Violation>) {
    let mut committed: BTreeMap<u32, Committed> = BTreeMap::new();
    for look in looks(history) {
        for (shard, replicas) in by_shard(&look) {
            if let Some(known) = committed.get(&shard) {
                violations.extend(short(shard, known, &replicas));
            }
            let voters = voters(&replicas);
            for (node, (event, replica)) in &replicas {
                let Some(index) = replica.committed else { continue };
                let is_later = committed.get(&shard).is_none_or(|known| known.index < index);
                match &voters {
                    Some(voters) if is_later && voters.contains(node) => {
                        let told = Committed { index, event: *event, voters: voters.clone() };
                        committed.insert(shard, told);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Who votes, if all who vote and answer say the same, and it is not changing.
fn voters(replicas: &Replicas<'_>) -> Option<BTreeSet<u64>> {
    let said = replicas.iter().filter(|(node, (_, replica))| replica.voters.contains(*node));
    let mut said = said.map(|(_, (_, replica))| replica);
    let first = said.next()?;
    let all_agree = !first.joint && said.all(|other| !other.joint && other.voters == first.voters);
    all_agree.then(|| first.voters.iter().copied().collect())
}

fn short(shard: u32, known: &Committed, replicas: &Replicas<'_>) -> Option<Violation> {
    if voters(replicas)? != known.voters {
        return None;
    }
    let lacks = |(node, (_, replica)): &(&u64, &(u64, &Replica))| {
        let is_one = replica.voters.contains(*node) && replica.applied > 0;
        is_one && replica.last.is_some_and(|last| last > 0 && last < known.index)
    };
    let lacking: Vec<(u64, u64)> =
        replicas.iter().filter(lacks).map(|(node, (event, _))| (*node, *event)).collect();
    let may_have_it = known.voters.len() - lacking.len();
    (may_have_it * 2 <= known.voters.len()).then(|| {
        let nodes: Vec<u64> = lacking.iter().map(|(node, _)| *node).collect();
        let text = format!(
            "index {} of shard {shard} was committed, but of its voters {:?} the logs of {nodes:?} end before",
            known.index, known.voters
        );
        let events = lacking.iter().map(|(_, event)| *event);
        Violation::new(events.chain([known.event]), text)
    })
}

/// The replicas of each shard that the nodes spoke of.
fn by_shard<'a>(look: &Look<'a>) -> BTreeMap<u32, Replicas<'a>> {
    let mut shards: BTreeMap<u32, Replicas<'a>> = BTreeMap::new();
    for (node, (event, standing)) in look {
        for replica in &standing.replicas {
            shards.entry(replica.shard).or_default().insert(*node, (event.index, replica));
        }
    }
    shards
}
