//! Calls: what the search is given to put in order.

use std::collections::BTreeMap;

use crate::facts::{Facts, Identity, Lives};
use crate::history::{Op, Operation, Refusal, Route, Scope};
use crate::registry::{Connection, Input, Output};
use crate::wgl::Call;

/// A call of the search with the events that it comes from.
pub(super) struct Asked {
    pub(super) call: Call<Input, Output>,
    pub(super) event: u64,
}

/// Adds what an operation asked and was answered.
pub(super) fn ask(
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
            let connection = number(&unbind.comet, unbind.incarnation, unbind.conn);
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
pub(super) fn fences(
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
