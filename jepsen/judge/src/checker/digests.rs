//! Replicas that applied the same log are in the same state (TigerBeetle's and CockroachDB's consistency checks).

use std::collections::{BTreeMap, BTreeSet};

use super::Property;
use crate::facts::standings::{Standings, final_events};
use crate::history::{History, Op};
use crate::settings::Settings;
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "digests",
    source: "TigerBeetle's state checker, CockroachDB's consistency checker",
    needs: &["digest"],
    check,
    covers: None,
};

/// The digests of all replicas of a shard at one applied index are equal.
pub fn check(history: &History<'_>, _: &Settings) -> Verdict {
    let mut violations = Vec::new();
    let mut first: BTreeMap<(u32, u64), (&str, u64, Option<u64>)> = BTreeMap::new();
    for event in history.events {
        let Op::Digest(digest) = &event.op else { continue };
        let told = (digest.digest.as_str(), event.index, event.node);
        let (held, by, node) = *first.entry((digest.shard, digest.applied)).or_insert(told);
        if held != digest.digest {
            let name = |node: Option<u64>| node.map_or("?".to_owned(), |node| node.to_string());
            let text = format!(
                "shard {} at index {}: node {} has digest {held}, node {} has {}",
                digest.shard,
                digest.applied,
                name(node),
                name(event.node),
                digest.digest
            );
            violations.push(Violation::new([by, event.index], text));
        }
    }
    Verdict::of(violations)
}

/// The shards whose replicas were not all compared at one index in the final phase, in words.
pub(super) fn missing(history: &History<'_>) -> Vec<String> {
    let standings = Standings::new(history);
    let Some((_, best)) = standings.best() else {
        return vec!["no node said where replicas should be".into()];
    };
    let mut told: BTreeMap<(u32, u64), BTreeSet<u64>> = BTreeMap::new();
    for event in final_events(history) {
        if let (Op::Digest(digest), Some(node)) = (&event.op, event.node) {
            told.entry((digest.shard, digest.applied)).or_default().insert(node);
        }
    }
    let is_compared = |shard: u32, holders: &BTreeSet<u64>| {
        let mut at = told.range((shard, 0)..=(shard, u64::MAX));
        at.any(|(_, nodes)| holders.is_subset(nodes))
    };
    let shards = best.placements.iter().map(|(shard, _)| *shard);
    let shards = shards.map(|shard| (shard, Standings::holders(best, shard)));
    shards
        .filter(|(shard, holders)| holders.is_empty() || !is_compared(*shard, holders))
        .map(|(shard, holders)| {
            format!("the replicas {holders:?} of shard {shard} were not compared")
        })
        .collect()
}
