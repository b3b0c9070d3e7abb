//! `orrery ctl cluster digests`: compares the replicas of each shard, each with all that it holds as one
//! number at one index of its log.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use orrery_model::{NodeId, ShardId};
use orrery_router_client::cluster::ShardDigest;
use serde::Serialize;
use serde_json::json;

use super::context::Context;
use super::error::{CtlError, no_answer};
use super::fleet::{Fleet, FleetNode};
use super::print::{Output, list, shard_name, table};

/// Digests of one replica that are remembered, the newest: replicas of a busy shard are compared at an index
/// that each of them happened to be asked at.
const REMEMBERED_MAX: usize = 256;

/// One replica. The field names are what scripts rely on.
#[derive(Debug, Serialize)]
struct DigestRow {
    shard: u32,
    node: u64,
    term: Option<u64>,
    index: Option<u64>,
    /// Hexadecimal.
    digest: Option<String>,
    /// `equal`, `differs`, or why it was not compared.
    verdict: String,
}

/// The digests of one shard's replicas as they come in.
#[derive(Debug, Default)]
struct Compared {
    told: BTreeMap<NodeId, BTreeMap<u64, ShardDigest>>,
}

impl Compared {
    fn take(&mut self, node: NodeId, told: ShardDigest) {
        let held = self.told.entry(node).or_default();
        held.insert(told.index, told);
        if held.len() > REMEMBERED_MAX {
            held.pop_first();
        }
    }

    /// The newest index at which all these replicas told theirs.
    fn common(&self, nodes: &BTreeSet<NodeId>) -> Option<u64> {
        let first = self.told.get(nodes.first()?)?;
        let at = |node, index| self.told.get(node).is_some_and(|held| held.contains_key(index));
        first.keys().rev().find(|index| nodes.iter().all(|node| at(node, index))).copied()
    }

    /// An index at which two replicas told different ones.
    fn differs(&self) -> Option<u64> {
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        let told = self.told.values().flat_map(BTreeMap::values);
        let mut all =
            told.map(|one| (one.index, *seen.entry(one.index).or_insert(one.digest) != one.digest));
        all.find_map(|(index, differs)| differs.then_some(index))
    }

    /// The nodes that hold something else than most at this index; all, where none are most.
    fn odd(&self, index: u64) -> BTreeSet<NodeId> {
        let mut groups: BTreeMap<u64, BTreeSet<NodeId>> = BTreeMap::new();
        for (node, held) in &self.told {
            if let Some(told) = held.get(&index) {
                groups.entry(told.digest).or_default().insert(*node);
            }
        }
        let all: usize = groups.values().map(BTreeSet::len).sum();
        let most = groups.values().find(|nodes| nodes.len() * 2 > all).cloned().unwrap_or_default();
        groups.into_values().flatten().filter(|node| !most.contains(node)).collect()
    }

    /// Whether nothing more needs to be asked.
    fn is_over(&self, nodes: &BTreeSet<NodeId>) -> bool {
        self.differs().is_some() || self.common(nodes).is_some()
    }
}

pub(super) async fn run(context: &Context) -> Result<Output, CtlError> {
    let fleet = Fleet::look(context).await?;
    let holders: BTreeMap<ShardId, BTreeSet<NodeId>> =
        fleet.shards().map(|shard| (shard, holders(&fleet, shard))).collect();
    let mut shards: BTreeMap<ShardId, Compared> =
        holders.keys().map(|shard| (*shard, Compared::default())).collect();
    let mut silent;
    let late = loop {
        silent = ask(context, &fleet, &holders, &mut shards).await;
        // Who does not answer is not waited for.
        let answering = |shard: &ShardId| answering(&holders[shard], &silent);
        let open = shards.iter().filter(|(shard, held)| !held.is_over(&answering(shard)));
        let open: Vec<_> = open.map(|(shard, _)| shard_name(*shard)).collect();
        if open.is_empty() {
            break None;
        }
        let missing = format!(
            "the replicas of shards {} were not met at one index of their logs",
            open.join(", ")
        );
        if let Err(late) = context.pause(missing).await {
            break Some(late);
        }
    };
    let rows = rows(&fleet, &holders, &shards, &silent);
    let cells = rows.iter().map(|row| {
        let number = |number: Option<u64>| super::print::maybe(number);
        [
            shard_name(ShardId(row.shard)),
            row.node.to_string(),
            number(row.term),
            number(row.index),
            row.digest.clone().unwrap_or_else(|| "-".to_owned()),
            row.verdict.clone(),
        ]
    });
    let text =
        table(["SHARD", "NODE", "TERM", "INDEX", "DIGEST", "VERDICT"], &cells.collect::<Vec<_>>());
    let output = Output::new(text, json!({ "digests": rows }));
    let differing: Vec<String> = shards
        .iter()
        .filter_map(|(shard, held)| {
            let index = held.differs()?;
            let odd: Vec<_> = held.odd(index).iter().map(|node| node.0).collect();
            let name = shard_name(*shard);
            Some(format!("shard {name} at index {index}: nodes {} hold something else", list(&odd)))
        })
        .collect();
    Ok(match (differing.is_empty(), silent.is_empty(), late) {
        (false, ..) => output.failed(CtlError::failed(differing.join("; "))),
        (true, false, _) => {
            let words: Vec<_> = silent.values().cloned().collect();
            output.failed(CtlError::Unreachable(words.join("; ")))
        }
        (true, true, Some(late)) => output.failed(late),
        (true, true, None) => output,
    })
}

fn answering(nodes: &BTreeSet<NodeId>, silent: &BTreeMap<NodeId, String>) -> BTreeSet<NodeId> {
    nodes.iter().copied().filter(|node| !silent.contains_key(node)).collect()
}

/// The nodes that hold a replica, or should.
fn holders(fleet: &Fleet, shard: ShardId) -> BTreeSet<NodeId> {
    let placed = fleet.placements.get(&shard).map(|(placement, _)| placement.replicas.iter());
    fleet
        .replicas(shard)
        .map(|(node, _)| node)
        .chain(placed.into_iter().flatten().copied())
        .collect()
}

/// Asks each node for the digests that are still needed; gives those who do not answer, and why.
async fn ask(
    context: &Context,
    fleet: &Fleet,
    holders: &BTreeMap<ShardId, BTreeSet<NodeId>>,
    shards: &mut BTreeMap<ShardId, Compared>,
) -> BTreeMap<NodeId, String> {
    let asks = fleet.nodes.iter().map(|node| {
        let needed = |shard: &ShardId| {
            holders[shard].contains(&node.node.id) && !shards[shard].is_over(&holders[shard])
        };
        let needed: Vec<ShardId> = holders.keys().copied().filter(needed).collect();
        async move {
            let told = match needed.is_empty() {
                true => Ok(Vec::new()),
                false => digests(context, node, &needed).await,
            };
            (node.node.id, told)
        }
    });
    let mut silent = BTreeMap::new();
    for (node, told) in join_all(asks).await {
        match told {
            Ok(told) => told.into_iter().for_each(|one| {
                shards.entry(one.shard).or_default().take(node, one);
            }),
            Err(why) => {
                silent.insert(node, format!("node {node}: {why}"));
            }
        }
    }
    silent
}

async fn digests(
    context: &Context,
    node: &FleetNode,
    shards: &[ShardId],
) -> Result<Vec<ShardDigest>, String> {
    let report = node.report.as_ref().map_err(Clone::clone)?;
    // One that is to get a replica has none yet.
    let here: Vec<_> =
        shards.iter().copied().filter(|shard| report.replica(*shard).is_some()).collect();
    if here.is_empty() {
        return Ok(Vec::new());
    }
    // The states are read whole, which may take long.
    let told = context.client.digests(&node.node.registry, &here, context.deadline).await;
    told.map_err(no_answer)
}

fn rows(
    fleet: &Fleet,
    holders: &BTreeMap<ShardId, BTreeSet<NodeId>>,
    shards: &BTreeMap<ShardId, Compared>,
    silent: &BTreeMap<NodeId, String>,
) -> Vec<DigestRow> {
    let mut rows = Vec::new();
    for shard in fleet.shards() {
        let (nodes, held) = (&holders[&shard], &shards[&shard]);
        let differs = held.differs();
        let odd = differs.map(|index| held.odd(index)).unwrap_or_default();
        let common = differs.or_else(|| held.common(&answering(nodes, silent)));
        for node in nodes {
            let told = held.told.get(node).and_then(|told| match common {
                Some(index) => told.get(&index),
                None => told.values().next_back(),
            });
            let verdict = match (told, common) {
                (Some(_), Some(_)) if odd.contains(node) => "DIFFERS".to_owned(),
                (Some(_), Some(_)) => "equal".to_owned(),
                _ => silent.get(node).map_or_else(|| "not compared".to_owned(), Clone::clone),
            };
            rows.push(DigestRow {
                shard: shard.0,
                node: node.0,
                term: told.map(|told| told.term),
                index: told.map(|told| told.index),
                digest: told.map(|told| format!("{:016x}", told.digest)),
                verdict,
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(index: u64, digest: u64) -> ShardDigest {
        ShardDigest { shard: ShardId(1), term: 1, index, digest }
    }

    fn nodes(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn replicas_are_compared_at_an_index_that_all_of_them_told() {
        let mut shard = Compared::default();
        shard.take(NodeId(1), told(5, 50));
        shard.take(NodeId(2), told(6, 60));
        assert!(!shard.is_over(&nodes(&[1, 2])), "they never met");
        shard.take(NodeId(1), told(6, 60));
        assert_eq!(shard.common(&nodes(&[1, 2])), Some(6));
        assert!(!shard.is_over(&nodes(&[1, 2, 3])), "one said nothing");
        assert_eq!(shard.differs(), None);
    }

    #[test]
    fn who_holds_something_else_than_most_is_named() {
        let mut shard = Compared::default();
        shard.take(NodeId(1), told(6, 60));
        shard.take(NodeId(2), told(6, 61));
        assert!(shard.is_over(&nodes(&[1, 2, 3])), "nothing can mend it");
        assert_eq!(shard.odd(6), nodes(&[1, 2]), "none are most");
        shard.take(NodeId(3), told(6, 60));
        assert_eq!((shard.differs(), shard.odd(6)), (Some(6), nodes(&[2])));
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let mut shard = Compared::default();
        (0..1000).for_each(|index| shard.take(NodeId(1), told(index, 1)));
        assert_eq!(shard.told[&NodeId(1)].len(), REMEMBERED_MAX);
        assert!(shard.told[&NodeId(1)].contains_key(&999));
    }
}
