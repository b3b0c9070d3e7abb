//! An acknowledged bind is never lost, an acknowledged unbind never comes back (Jepsen's set-full: W1).

use std::collections::BTreeSet;

use super::{Property, Share};
use crate::facts::{Facts, Identity, Life, Lives};
use crate::history::{History, Locate, Op, Operation};
use crate::settings::Settings;
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "binds-survive",
    source: "Jepsen set-full (W1)",
    needs: &["bind", "unbind"],
    check,
    covers: Some(covers),
};

/// By real time alone, trusting no log index: every linearizable read shows each connection whose bind
/// was acknowledged before it began, unless something may have removed it before the read ended, and none
/// that was never bound or certainly gone before the read began.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    covers(history, settings).0
}

/// How many acknowledged binds there are that a read began after, and how many of them were judged until
/// something at their address may have removed them, or until the last read: not only until their comet's
/// life may have ended.
#[derive(Debug, Default)]
struct Coverage {
    read: usize,
    whole: usize,
}

fn covers(history: &History<'_>, settings: &Settings) -> (Verdict, Share) {
    let facts = Facts::new(history, settings);
    let mut violations = Vec::new();
    let mut coverage = Coverage::default();
    for (key, places) in &facts.by_key {
        let operations: Vec<&Operation<'_>> =
            places.iter().map(|at| &history.operations[*at]).collect();
        let lives = Lives::new(operations.iter().map(|o| **o), &facts.comets);
        judge(key, &operations, &lives, &facts, &mut violations);
        coverage.add(&operations, &lives, &facts);
    }
    let Coverage { read, whole } = coverage;
    let what = "binds until they were removed, or last read".to_owned();
    (Verdict::of(violations), Share { judged: whole, all: read, what })
}

impl Coverage {
    fn add(&mut self, operations: &[&Operation<'_>], lives: &Lives<'_>, facts: &Facts<'_, '_>) {
        let shard = facts.shard(operations);
        let reads = operations.iter().filter(|operation| is_read(operation));
        let Some(last) = reads.map(|read| read.began()).max() else { return };
        for life in lives.all.iter().filter(|life| life.acknowledged < last) {
            let ends = may_end(life, shard, facts);
            self.read += 1;
            self.whole += usize::from(ends >= lives.may_be_removed(life).min(last));
        }
    }
}

fn is_read(operation: &Operation<'_>) -> bool {
    operation.is_ok() && matches!(operation.op(), Op::Locate(locate) if !locate.stale)
}

/// The first event from which on the life of a connection's comet may have been over, there.
fn may_end(life: &Life<'_>, shard: Option<u32>, facts: &Facts<'_, '_>) -> u64 {
    let Identity { comet, incarnation, .. } = life.identity;
    facts.ends.earliest_in(shard, comet, incarnation).unwrap_or(u64::MAX)
}

fn judge(
    key: &str,
    operations: &[&Operation<'_>],
    lives: &Lives<'_>,
    facts: &Facts<'_, '_>,
    violations: &mut Vec<Violation>,
) {
    let mut coming: Vec<(u64, usize)> =
        lives.all.iter().enumerate().map(|(at, life)| (life.acknowledged, at)).collect();
    coming.sort_unstable();
    let mut coming = coming.into_iter().peekable();
    let mut living: BTreeSet<usize> = BTreeSet::new();
    let shard = facts.shard(operations);
    for operation in operations.iter().filter(|operation| is_read(operation)) {
        let Op::Locate(locate) = operation.op() else { continue };
        let (start, end) = (operation.began(), operation.told_by());
        while let Some((_, at)) = coming.next_if(|(acknowledged, _)| *acknowledged < start) {
            living.insert(at);
        }
        let shown = shown(key, locate, start, end, lives, facts, violations);
        living.retain(|at| {
            let life = &lives.all[*at];
            let Identity { comet, incarnation, conn } = life.identity;
            let removal = lives.may_be_removed(life).min(may_end(life, shard, facts));
            if removal > end && !shown.contains(at) {
                let text = format!(
                    "the acknowledged bind of {key} to {}#{incarnation} conn {conn} is lost",
                    facts.comets.name(comet)
                );
                violations.push(Violation::new([life.acknowledged, start, end], text));
                return false;
            }
            // What may be gone already may be missing from every later read too.
            removal > start
        });
    }
}

fn shown(
    key: &str,
    locate: &Locate,
    start: u64,
    end: u64,
    lives: &Lives<'_>,
    facts: &Facts<'_, '_>,
    violations: &mut Vec<Violation>,
) -> BTreeSet<usize> {
    let mut shown = BTreeSet::new();
    for route in locate.routes.iter().flatten() {
        let Some(comet) = facts.comets.find(&route.comet) else { continue };
        let identity = Identity { comet, incarnation: route.incarnation, conn: route.conn };
        let Some(at) = lives.place(identity) else { continue };
        let life = &lives.all[at];
        let name = format!("{key} on {}#{} conn {}", route.comet, route.incarnation, route.conn);
        if life.bind.is_none() || life.began > end {
            let text = format!("{name} is shown before any bind of it began");
            violations.push(Violation::new([life.began, end], text));
        }
        if life.seen_gone < start {
            let text = format!("{name} came back after it was gone");
            violations.push(Violation::new([life.seen_gone, start, end], text));
        }
        if !shown.insert(at) {
            violations.push(Violation::new([end], format!("{name} is shown twice")));
        }
    }
    shown
}
