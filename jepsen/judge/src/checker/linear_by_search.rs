//! The registry is linearizable, trusting no log index (Wing-Gong-Lowe as in Knossos and porcupine: W2).

use std::collections::BTreeMap;

use super::{Property, Share};
use crate::facts::{Facts, Identity, Lives};
use crate::history::{History, Op, Operation, Refusal, Route, Scope};
use crate::registry::{self, Address, Connection, Input, Output};
use crate::settings::{Search, Settings};
use crate::verdict::{Verdict, Violation};
use crate::wgl::{self, Call, Outcome};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "linear-by-search",
    source: "Wing, Gong, Lowe; partitioned by key as in Knossos and porcupine (W2)",
    needs: &["bind", "unbind", "locate"],
    check,
    covers: Some(covers),
};

/// How many addresses were judged, and why others were not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Addresses that have an order.
    pub judged: usize,
    /// Addresses with more operations than are searched.
    pub too_many: usize,
    /// Addresses with more operations of unknown outcome than are searched.
    pub too_unknown: usize,
    /// Addresses whose search used up its steps.
    pub exhausted: usize,
}

impl Coverage {
    /// Addresses beyond the bounds of the search.
    pub fn beyond(&self) -> usize {
        self.too_many + self.too_unknown
    }

    /// Every address that has operations.
    pub fn all(&self) -> usize {
        self.judged + self.beyond() + self.exhausted
    }

    fn share(&self) -> Share {
        let mut what = "addresses".to_owned();
        for (count, why) in [
            (self.too_many, "with too many operations"),
            (self.too_unknown, "with too many of unknown outcome"),
            (self.exhausted, "given up"),
        ] {
            if count > 0 {
                what.push_str(&format!("; {count} {why}"));
            }
        }
        Share { judged: self.judged, all: self.all(), what }
    }
}

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

/// A call of the search with the events that it comes from.
struct Asked {
    call: Call<Input, Output>,
    event: u64,
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

fn ask(
    operation: &Operation<'_>,
    facts: &Facts<'_, '_>,
    lives: &Lives<'_>,
    asked: &mut Vec<Asked>,
) {
    let number = |comet: &str, incarnation, conn| -> Connection {
        let comet = facts.comets.number(comet);
        let place = lives.place(Identity { comet, incarnation, conn });
        place.expect("the address's lives were gathered from these operations") as Connection
    };
    let numbers = |routes: &[Route]| {
        let mut numbers: Vec<Connection> =
            routes.iter().map(|r| number(&r.comet, r.incarnation, r.conn)).collect();
        numbers.sort_unstable();
        numbers
    };
    let event = operation.told_by();
    let mut push = |input, output, returned| {
        let call = Call { input, output, called: operation.began(), returned };
        asked.push(Asked { call, event });
    };
    let refused = match operation.refusal() {
        Some(Refusal::Gone) => Some(Output::Gone),
        Some(Refusal::Fenced { .. }) => Some(Output::Fenced),
        Some(Refusal::Outranked) => Some(Output::Outranked),
        _ => None,
    };
    let ended = Some(operation.ended()).filter(|ended| *ended != u64::MAX);
    match operation.op() {
        Op::Locate(locate) => {
            let routes = locate.routes.as_deref().unwrap_or_default();
            let mut shown: Vec<(Connection, u64)> = routes
                .iter()
                .map(|route| (number(&route.comet, route.incarnation, route.conn), route.seq))
                .collect();
            shown.sort_unstable();
            push(Input::Read, Some(Output::Routes(shown)), ended);
        }
        Op::Bind(bind) => {
            let connection = number(&bind.comet, bind.incarnation, bind.conn);
            let life = &lives.all[connection as usize];
            let Identity { comet, incarnation, conn } = life.identity;
            let settled = facts.settled.covers(comet, incarnation, conn, event);
            let input = Input::Bind { connection, settled };
            if let (true, Some(seq)) = (operation.is_ok(), bind.seq) {
                let losers = bind.losers.as_deref().map(numbers);
                push(input, Some(Output::Bound { seq, losers }), ended);
                return;
            }
            // Where nobody ever gives way, what took effect unseen changes no answer: it need not be tried.
            // What was seen did take effect, before that.
            let seen = life.seen != u64::MAX || life.binds > 1;
            // Nor can a late copy of what was gone.
            let is_late = life.seen_gone < operation.began();
            let matters = seen || life.seen_gone != u64::MAX || is_limited(lives);
            if operation.may_have_happened() && !is_late && matters {
                let certainly =
                    (seen && life.binds == 1).then_some(life.seen.min(operation.ended()));
                push(input.clone(), None, certainly);
            }
            if refused.is_some() {
                push(input, refused, ended);
            }
        }
        Op::Unbind(unbind) => {
            let comet = facts.comets.number(&unbind.comet);
            let (incarnation, conn) = (unbind.incarnation, unbind.conn);
            // What was refused about a connection that nothing else speaks of says nothing of the address.
            let Some(place) = lives.place(Identity { comet, incarnation, conn }) else { return };
            let connection = place as Connection;
            let input = Input::Unbind(connection);
            if operation.is_ok() {
                // A repeat of the one that removed it says so again only until the conn is settled.
                let Identity { comet, incarnation, conn } = lives.all[connection as usize].identity;
                let settled = facts.settled.covers(comet, incarnation, conn, operation.told_by());
                let is_certain = unbind.removed == Some(true) || operation.is_exact() || !settled;
                let removed = unbind.removed.filter(|_| is_certain);
                push(input, Some(Output::Unbound(removed)), ended);
                return;
            }
            if operation.may_have_happened() {
                push(input.clone(), None, None);
            }
            if refused.is_some() {
                push(input, refused, ended);
            }
        }
        _ => {}
    }
}

/// Whether any bind of an address limits who may stay.
fn is_limited(lives: &Lives<'_>) -> bool {
    let mut asked = lives.all.iter().filter_map(|life| life.asked?.policy);
    asked.any(|policy| policy.scope != Scope::All)
}

/// A life that may have ended may have been fenced at any moment from then on. That is tried where it
/// would explain something: a write refused as fenced, a read that misses a connection of that life, or a
/// bind that nobody had to give way to.
fn fences(
    facts: &Facts<'_, '_>,
    lives: &Lives<'_>,
    operations: &[&Operation<'_>],
    asked: &mut Vec<Asked>,
) {
    let shard = facts.shard(operations);
    let mut wanted: BTreeMap<(u32, u64), u64> = BTreeMap::new();
    for life in &lives.all {
        // What was refused at its only attempt never was, and nobody misses it; but that it was refused must
        // be explained.
        let is_missed = life.bind.is_some();
        let Identity { comet, incarnation, conn } = life.identity;
        let Some(earliest) = facts.ends.earliest_in(shard, comet, incarnation) else { continue };
        let name = facts.comets.name(comet);
        let explains = |operation: &&Operation<'_>| match operation.op() {
            Op::Locate(locate) if is_missed => !locate.routes.iter().flatten().any(|route| {
                route.comet == name && route.incarnation == incarnation && route.conn == conn
            }),
            Op::Bind(bind)
                if is_missed && bind.policy.is_some_and(|policy| policy.scope != Scope::All) =>
            {
                true
            }
            op => {
                op.writer() == Some((name, incarnation))
                    && matches!(operation.refusal(), Some(Refusal::Fenced { .. }))
            }
        };
        let mut later = operations.iter().filter(|operation| operation.told_by() > earliest);
        if later.any(explains) {
            wanted.insert((facts.comets.place(comet), incarnation), earliest);
        }
    }
    for ((comet, incarnation), called) in wanted {
        let input = Input::Fence { comet, below: incarnation + 1 };
        let call = Call { input, output: None, called, returned: None };
        asked.push(Asked { call, event: called });
    }
}
