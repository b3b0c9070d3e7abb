//! An acknowledged bind is never lost, an acknowledged unbind never comes back (Jepsen's set-full: W1).

use std::collections::BTreeSet;

use super::Property;
use crate::facts::{Facts, Identity, Lives};
use crate::history::{History, Locate, Op, Operation};
use crate::settings::Settings;
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "binds-survive",
    source: "Jepsen set-full (W1)",
    needs: &["bind", "unbind"],
    check,
};

/// By real time alone, trusting no log index: every linearizable read shows each connection whose bind
/// was acknowledged before it began, unless something may have removed it before the read ended, and none
/// that was never bound or certainly gone before the read began.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let facts = Facts::new(history, settings);
    let mut violations = Vec::new();
    for (key, places) in &facts.by_key {
        let operations: Vec<&Operation<'_>> =
            places.iter().map(|at| &history.operations[*at]).collect();
        let lives = Lives::new(operations.iter().map(|o| **o), &facts.comets);
        judge(key, &operations, &lives, &facts, &mut violations);
    }
    Verdict::of(violations)
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
    for operation in operations.iter().filter(|operation| operation.is_ok()) {
        let Op::Locate(locate) = operation.op() else { continue };
        if locate.stale {
            continue;
        }
        let (start, end) = (operation.began(), operation.told_by());
        while let Some((_, at)) = coming.next_if(|(acknowledged, _)| *acknowledged < start) {
            living.insert(at);
        }
        let shown = shown(key, locate, start, end, lives, facts, violations);
        living.retain(|at| {
            let life = &lives.all[*at];
            let Identity { comet, incarnation, conn } = life.identity;
            let earliest = facts.ends.earliest(comet, incarnation).unwrap_or(u64::MAX);
            let removal = lives.may_be_removed(life).min(earliest);
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
