//! The registry is linearizable, trusting no log index (Wing-Gong-Lowe as in Knossos and porcupine: W2).

mod calls;
mod coverage;

use std::collections::BTreeMap;

use self::calls::{ask, fences};
pub use self::coverage::Coverage;
use super::{Property, Share};
use crate::facts::{Facts, Lives};
use crate::history::{History, Op, Operation, Refusal};
use crate::registry::{self, Address};
use crate::settings::{Search, Settings};
use crate::verdict::{Verdict, Violation};
use crate::wgl::{self, Outcome};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "linear-by-search",
    source: "Wing, Gong, Lowe; partitioned by key as in Knossos and porcupine (W2)",
    needs: &["bind", "unbind", "locate"],
    check,
    covers: Some(covers),
};

/// Each address alone has an order of its operations that explains every answer. Addresses beyond the
/// bounds of the search are skipped, for the check by index judges those; where too few are left the
/// verdict is unknown, and so it is where one's search was given up.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    covers(history, settings).0
}

fn covers(history: &History<'_>, settings: &Settings) -> (Verdict, Share) {
    let (violations, coverage) = check_with_coverage(history, settings);
    let (least, all) = (settings.search.judged_percent_min, coverage.all());
    let share = coverage.share();
    let verdict = if !violations.is_empty() {
        Verdict::of(violations)
    } else if coverage.exhausted > 0 {
        Verdict::Unknown(format!("the search of {} addresses was given up", coverage.exhausted))
    } else if coverage.judged * 100 < all * least {
        Verdict::Unknown(format!("under {least} % could be searched: {share}"))
    } else {
        Verdict::Holds
    };
    (verdict, share)
}

/// The same, with how many addresses were judged.
pub fn check_with_coverage(
    history: &History<'_>,
    settings: &Settings,
) -> (Vec<Violation>, Coverage) {
    let facts = Facts::new(history, settings);
    let mut violations = Vec::new();
    let mut coverage = Coverage::default();
    for (key, places) in &facts.by_key {
        let operations: Vec<&Operation<'_>> =
            places.iter().map(|at| &history.operations[*at]).filter(|o| speaks(o)).collect();
        if operations.is_empty() {
            continue;
        }
        if operations.len() > settings.search.operations_max {
            coverage.too_many += 1;
            continue;
        }
        match judge(key, &operations, &facts, settings.search) {
            Judgement::Holds => coverage.judged += 1,
            Judgement::TooUnknown => coverage.too_unknown += 1,
            Judgement::Exhausted => coverage.exhausted += 1,
            Judgement::Violated(violation) => {
                coverage.judged += 1;
                violations.push(violation);
            }
        }
    }
    (violations, coverage)
}

enum Judgement {
    Holds,
    TooUnknown,
    Exhausted,
    Violated(Violation),
}

/// Whether an operation says anything about an address's routes.
fn speaks(operation: &Operation<'_>) -> bool {
    match operation.op() {
        Op::Locate(locate) => operation.is_ok() && !locate.stale,
        Op::Bind(_) | Op::Unbind(_) => {
            operation.may_have_happened() || operation.refusal().is_some_and(Refusal::is_judgement)
        }
        _ => false,
    }
}

fn judge(
    key: &str,
    operations: &[&Operation<'_>],
    facts: &Facts<'_, '_>,
    search: Search,
) -> Judgement {
    let lives = Lives::new(operations.iter().map(|o| **o), &facts.comets);
    let mut asked = Vec::new();
    for operation in operations {
        ask(operation, facts, &lives, &mut asked);
    }
    fences(facts, &lives, operations, &mut asked);
    let unknown = asked.iter().filter(|asked| asked.call.returned.is_none()).count();
    if unknown > search.unknown_max {
        return Judgement::TooUnknown;
    }
    let (calls, events): (Vec<_>, Vec<_>) =
        asked.into_iter().map(|asked| (asked.call, asked.event)).unzip();
    match wgl::search(&address(facts, &lives), &calls, search.steps_max) {
        Outcome::Linearizable(_) => Judgement::Holds,
        Outcome::Exhausted => Judgement::Exhausted,
        Outcome::Illegal { longest, stuck } => {
            let last = longest.last().map_or(u64::MAX, |call| events[*call]);
            let text = format!(
                "no order of the operations on {key} explains all answers: after {} of {} of them, \
                 {:?} answered {:?} has no place",
                longest.len(),
                calls.len(),
                calls[stuck].input,
                calls[stuck].output
            );
            Judgement::Violated(Violation::new([last, events[stuck]], text))
        }
    }
}

fn address(facts: &Facts<'_, '_>, lives: &Lives<'_>) -> Address {
    let mut platforms: BTreeMap<&str, u32> = BTreeMap::new();
    let mut users: BTreeMap<&str, u32> = BTreeMap::new();
    let connections = lives.all.iter().map(|life| {
        let next = platforms.len() as u32;
        let platform = *platforms.entry(life.platform()).or_insert(next);
        let primary = life.asked.and_then(|bind| bind.primary.as_ref()).map(|primary| {
            let next = users.len() as u32;
            (*users.entry(&primary.key).or_insert(next), primary.seq)
        });
        registry::Identity {
            comet: facts.comets.place(life.identity.comet),
            incarnation: life.identity.incarnation,
            seq: life.seq,
            policy: life.asked.and_then(|bind| bind.policy),
            platform,
            rank: life.asked.and_then(|bind| bind.rank),
            primary,
        }
    });
    Address { connections: connections.collect() }
}
