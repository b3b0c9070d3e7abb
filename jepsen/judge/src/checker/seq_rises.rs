//! A seq is unique and rises per address (Jepsen's unique-ids and monotonic, applied to binds: W1).

use std::collections::BTreeMap;

use super::{Property, next_seqs};
use crate::history::{History, Op};
use crate::settings::Settings;
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "seq-rises",
    source: "Jepsen unique-ids, monotonic (W1)",
    needs: &["bind"],
    check,
    covers: None,
};

/// (comet, incarnation, conn): with the address, the identity of a bind.
type Identity<'a> = (&'a str, u64, u64);

/// Whoever was seen with a seq at an address, and where first.
#[derive(Default)]
struct Seqs<'a> {
    by_seq: BTreeMap<u64, (Identity<'a>, u64)>,
    by_identity: BTreeMap<Identity<'a>, (u64, u64)>,
    /// The highest seq that was seen, and where.
    highest: (u64, u64),
}

/// At each address: a bind whose answer was seen before another connection's bind began has the smaller
/// seq; one identity has one seq, in every answer, read and list of losers; no seq is ever given to two. What the
/// replicas of a shard would give next lies above all of it, and so it does at the end, when all is healed.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let mut violations = Vec::new();
    let mut addresses: BTreeMap<&str, Seqs<'_>> = BTreeMap::new();
    // For each bind, the highest seq seen at its address before its identity's first bind began.
    let mut floors: BTreeMap<(&str, Identity<'_>), (u64, u64)> = BTreeMap::new();
    for (_, began, at) in moments(history) {
        let operation = &history.operations[at];
        let Some(key) = operation.key() else { continue };
        let seqs = addresses.entry(key).or_default();
        if began {
            if let Op::Bind(bind) = &operation.invoke.op {
                let identity = (bind.comet.as_str(), bind.incarnation, bind.conn);
                floors.entry((key, identity)).or_insert(seqs.highest);
            }
            continue;
        }
        let event = operation.told_by();
        match operation.op() {
            Op::Bind(bind) => {
                let identity = (bind.comet.as_str(), bind.incarnation, bind.conn);
                let Some(seq) = bind.seq else {
                    let text = format!("a bind of {key} ended ok without a seq");
                    violations.push(Violation::new([event], text));
                    continue;
                };
                let (floor, seen) = floors.get(&(key, identity)).copied().unwrap_or_default();
                if seq <= floor {
                    let text =
                        format!("{key} gave seq {seq}, but {floor} was given before it began");
                    violations.push(Violation::new([seen, operation.began(), event], text));
                }
                note(key, seqs, identity, seq, event, &mut violations);
                for loser in bind.losers.iter().flatten() {
                    let identity = (loser.comet.as_str(), loser.incarnation, loser.conn);
                    note(key, seqs, identity, loser.seq, event, &mut violations);
                }
            }
            Op::Locate(locate) => {
                for route in locate.routes.iter().flatten() {
                    let identity = (route.comet.as_str(), route.incarnation, route.conn);
                    note(key, seqs, identity, route.seq, event, &mut violations);
                }
            }
            _ => {}
        }
    }
    match next_seqs::check(history, settings, &mut violations) {
        Some(missing) if violations.is_empty() => Verdict::Unknown(missing),
        _ => Verdict::of(violations),
    }
}

/// Beginnings, and ends that were ok, in order of their events.
fn moments(history: &History<'_>) -> Vec<(u64, bool, usize)> {
    let mut moments = Vec::new();
    for (at, operation) in history.operations.iter().enumerate() {
        if !matches!(operation.invoke.op, Op::Bind(_) | Op::Locate(_)) {
            continue;
        }
        moments.push((operation.began(), true, at));
        if operation.is_ok() {
            moments.push((operation.told_by(), false, at));
        }
    }
    moments.sort_unstable();
    moments
}

fn note<'a>(
    key: &str,
    seqs: &mut Seqs<'a>,
    identity: Identity<'a>,
    seq: u64,
    event: u64,
    violations: &mut Vec<Violation>,
) {
    let (owner, seen) = *seqs.by_seq.entry(seq).or_insert((identity, event));
    if owner != identity {
        let text = format!("seq {seq} of {key} belongs to {identity:?} and to {owner:?}");
        violations.push(Violation::new([seen, event], text));
    }
    let (held, seen) = *seqs.by_identity.entry(identity).or_insert((seq, event));
    if held != seq {
        let text = format!("{identity:?} of {key} has seq {seq}, and had {held}");
        violations.push(Violation::new([seen, event], text));
    }
    if seq > seqs.highest.0 {
        seqs.highest = (seq, event);
    }
}
