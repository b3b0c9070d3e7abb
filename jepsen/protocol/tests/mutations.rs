//! Every rule of the protocol is needed: without it a promise is broken, and the model shows how. And every
//! promise is one that can be broken.

use std::collections::BTreeSet;

use orrery_jepsen_protocol::Mutation::*;
use orrery_jepsen_protocol::{Mutation, Policy, Protocol};
use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// Which connections begin.
const ONE: [bool; 3] = [true, false, false];
/// On two comets.
const TWO: [bool; 3] = [true, true, false];
/// On one comet.
const NEIGHBOURS: [bool; 3] = [true, false, true];

const SEQ: &str = "a seq is given once";
const FENCED: &str = "a fenced life never writes";
const AGE: &str = "a connection is as old as its first bind";
const PAST_FENCE: &str = "nothing is visible past the event that fences it";
const ONE_LIFE: &str = "a comet has one life in a shard";
const STAYS: &str = "an acknowledged bind stays";
const STAYS_AWAY: &str = "what was unbound never comes back";
const ONE_WINNER: &str = "a policy leaves one winner";
const EXACT: &str = "a quiet registry is what the comets hold";
const AGREES: &str = "a quiet secondary address agrees with the primary";
const SOMEBODY: &str = "not everybody loses";

/// A rule left out, the connections with which that shows, and the promises that it breaks.
const MUTATIONS: [(Mutation, [bool; 3], &[&str]); 16] = [
    (UnbindLeavesNoMark, ONE, &[STAYS_AWAY, EXACT, AGREES]),
    (AbsenceLeavesNoMark, ONE, &[STAYS_AWAY, EXACT, AGREES]),
    (EvictionLeavesNoMark, TWO, &[STAYS_AWAY]),
    (SettledIgnored, ONE, &[STAYS_AWAY, EXACT, AGREES]),
    (SettledTooEarly, TWO, &[SOMEBODY]),
    (FenceNotChecked, ONE, &[FENCED, PAST_FENCE]),
    (FenceNotRaised, ONE, &[ONE_LIFE, STAYS]),
    (FenceEventSkipped, ONE, &[PAST_FENCE]),
    (ExactRemovalSkipped, NEIGHBOURS, &[STAYS]),
    (RankIgnored, TWO, &[AGE]),
    (SecondaryByArrival, TWO, &[AGE]),
    (PolicyPerComet, TWO, &[ONE_WINNER]),
    (BothLose, TWO, &[SOMEBODY]),
    (SeqCounterLost, ONE, &[SEQ]),
    (BindNotIdempotent, ONE, &[STAYS]),
    (RebindForgetsSecondary, ONE, &[STAYS]),
];

/// Looks for a way to break a promise. That not everybody loses is promised where nobody goes by itself;
/// two lives of a comet can only be seen side by side where there is more than one place.
fn is_broken(mutation: Option<Mutation>, connections: [bool; 3], promise: &'static str) -> bool {
    let protocol = Protocol {
        connections,
        fenced: [true, false],
        leaves: promise != SOMEBODY,
        forgets: mutation.is_none(),
        mutation,
        ..Protocol::new(if promise == ONE_LIFE { Policy::All } else { Policy::Newest })
    };
    let wanted = HasDiscoveries::AnyOf(BTreeSet::from([promise]));
    protocol.checker().finish_when(wanted).spawn_bfs().join().discovery(promise).is_some()
}

#[test]
fn each_rule_left_out_breaks_its_promises() {
    for (mutation, connections, promises) in MUTATIONS {
        for promise in promises {
            assert!(is_broken(Some(mutation), connections, promise), "{mutation:?}: {promise}");
            assert!(!is_broken(None, connections, promise), "all rules: {promise}");
        }
    }
}

#[test]
fn each_promise_is_broken_by_some_rule_left_out() {
    let broken: BTreeSet<&str> = MUTATIONS.iter().flat_map(|it| it.2.iter().copied()).collect();
    let promises = Protocol::new(Policy::Newest).properties().into_iter();
    let promises = promises.filter(|it| it.expectation == Expectation::Always);
    assert_eq!(broken, promises.map(|it| it.name).collect());
}
