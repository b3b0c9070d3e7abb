//! Every state within the bounds is looked at: each promise holds in all of them, and what must be reachable
//! is. The numbers of states are written down, so that a model that shrinks by accident is noticed.

use orrery_jepsen_protocol::Settling::{self, AtAnyMoment, WithWrites};
use orrery_jepsen_protocol::{Policy, Protocol, SecondaryRank, Step};
use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// Which comets may be fenced.
const ONE_FENCED: [bool; 2] = [true, false];
const NONE_FENCED: [bool; 2] = [false, false];

/// Which connections begin.
const ONE: [bool; 3] = [true, false, false];
/// On two comets.
const TWO: [bool; 3] = [true, true, false];
/// On one comet.
const NEIGHBOURS: [bool; 3] = [true, false, true];

/// Looks at all states; everything that is reachable somewhere must be so here, but for what cannot.
fn check(protocol: Protocol, states: usize, unreachable: &[&str]) {
    let checker = protocol.checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
    let checked = checker.spawn_bfs().join();
    for property in protocol.properties() {
        let found = checked.discovery(property.name);
        match property.expectation {
            Expectation::Always => {
                let steps = found.map(|path| path.into_actions());
                assert_eq!(steps, None, "{}: {protocol:?}", property.name);
            }
            Expectation::Sometimes => {
                let expected = !unreachable.contains(&property.name);
                assert_eq!(found.is_some(), expected, "{}: {protocol:?}", property.name);
            }
            Expectation::Eventually => unreachable!("nothing is promised for the end of a path"),
        }
    }
    assert_eq!(checked.unique_state_count(), states, "{protocol:?}");
}

/// The fewest steps that break a promise.
fn broken(protocol: Protocol, promise: &'static str) -> Vec<Step> {
    let within = |depth| {
        let checker = protocol.checker().finish_when(HasDiscoveries::AnyFailures);
        let checked = checker.target_max_depth(depth).spawn_bfs().join();
        checked.discovery(promise).map(|path| path.into_actions())
    };
    (1..40).find_map(within).expect("it is broken within so many steps")
}

fn with_writes(policy: Policy) -> Protocol {
    Protocol { settling: WithWrites, ..Protocol::new(policy) }
}

/// With what keeps the promises where the oldest wins.
fn oldest(settling: Settling) -> Protocol {
    let secondary_rank = SecondaryRank::WhereNewestWins;
    let oldest = Protocol::new(Policy::Oldest);
    Protocol { refusal_is_final: true, secondary_rank, settling, ..oldest }
}

#[test]
fn newest_wins_with_three_connections_and_all_fenced() {
    check(with_writes(Policy::Newest), 5_921_113, &[]);
}

#[test]
fn newest_wins_and_somebody_stays() {
    check(Protocol { leaves: false, ..with_writes(Policy::Newest) }, 1_172_366, &[]);
    let two = Protocol { connections: TWO, ..Protocol::new(Policy::Newest) };
    check(Protocol { leaves: false, ..two }, 32_135, &[]);
}

#[test]
fn newest_wins_whenever_shards_learn_what_is_settled() {
    let newest = Protocol::new(Policy::Newest);
    check(Protocol { connections: TWO, ..newest }, 111_475, &[]);
    check(Protocol { connections: NEIGHBOURS, ..newest }, 78_105, &[]);
    check(Protocol { fenced: ONE_FENCED, ..newest }, 468_406, &[]);
    check(Protocol { fenced: [false, true], ..newest }, 345_754, &[]);
}

#[test]
fn all_stay() {
    let all = Protocol::new(Policy::All);
    check(Protocol { connections: TWO, ..all }, 143_635, &[]);
    check(Protocol { connections: NEIGHBOURS, ..all }, 94_310, &[]);
}

#[test]
fn oldest_wins() {
    check(Protocol { connections: TWO, ..oldest(AtAnyMoment) }, 69_405, &[]);
    check(Protocol { connections: TWO, leaves: false, ..oldest(AtAnyMoment) }, 13_531, &[]);
    check(Protocol { leaves: false, ..oldest(WithWrites) }, 66_051, &[]);
    check(oldest(WithWrites), 859_927, &[]);
}

#[test]
fn what_the_oldest_needs_harms_no_other_policy() {
    let newest = Protocol { policy: Policy::Newest, connections: TWO, ..oldest(AtAnyMoment) };
    check(newest, 109_857, &[]);
    check(Protocol { policy: Policy::All, ..newest }, 142_661, &[]);
}

#[test]
fn forgetting_what_makes_no_difference_makes_none() {
    let all = Protocol { forgets: false, ..Protocol::new(Policy::Newest) };
    let alone = ["a connection is evicted", "a bind is refused"];
    check(Protocol { connections: ONE, ..all }, 167_704, &alone);
    let fenceless = [
        "an acknowledged bind is fenced",
        "shards disagree on who is fenced",
        "a connection is bound again with its rank",
        "a late bind is fenced",
    ];
    let all = Protocol { fenced: NONE_FENCED, ..all };
    check(Protocol { connections: TWO, ..all }, 54_021, &fenceless);
    check(Protocol { connections: NEIGHBOURS, ..all }, 42_252, &fenceless);
}

#[test]
#[ignore = "takes minutes"]
fn forgetting_makes_no_difference_where_two_connections_are_fenced() {
    let all = Protocol { forgets: false, fenced: ONE_FENCED, ..Protocol::new(Policy::Newest) };
    check(Protocol { connections: TWO, ..all }, 1_890_445, &[]);
    check(Protocol { connections: NEIGHBOURS, ..all }, 4_247_560, &[]);
}

#[test]
#[ignore = "takes minutes"]
fn the_widest_bounds_for_each_policy() {
    check(Protocol::new(Policy::Newest), 8_041_492, &[]);
    check(with_writes(Policy::All), 8_984_405, &[]);
    check(Protocol { leaves: false, ..with_writes(Policy::All) }, 1_282_342, &[]);
    check(oldest(AtAnyMoment), 1_523_179, &[]);
    let repaired = Protocol { policy: Policy::Newest, ..oldest(WithWrites) };
    check(Protocol { leaves: false, ..repaired }, 876_587, &[]);
}

/// A refused bind leaves no mark, so a copy of it may take the place of the one that it was refused for,
/// while that one is being bound again; its own comet has already given it up.
#[test]
fn where_a_refusal_is_not_final_both_may_lose() {
    let hole = Protocol {
        connections: TWO,
        fenced: ONE_FENCED,
        leaves: false,
        refusal_is_final: false,
        ..oldest(WithWrites)
    };
    assert_eq!(broken(hole, "not everybody loses").len(), 11);
}

/// On the secondary address the newest of a user's connections wins, whatever the policy: one that won its
/// place back by its age must not be that old there.
#[test]
fn where_the_oldest_wins_a_rank_on_the_secondary_address_may_lose_both() {
    let hole = Protocol { connections: TWO, leaves: false, ..oldest(WithWrites) };
    let as_on_primary = SecondaryRank::AsOnPrimary;
    let one = Protocol { fenced: ONE_FENCED, secondary_rank: as_on_primary, ..hole };
    assert_eq!(broken(one, "not everybody loses").len(), 18);
    let two = Protocol { secondary_rank: SecondaryRank::UnlessOverLater, ..hole };
    assert_eq!(broken(two, "not everybody loses").len(), 21);
}

/// The seq of a loser does not say that it came later: it may have been bound again itself.
#[test]
fn where_the_newest_wins_no_rank_may_be_dropped() {
    let secondary_rank = SecondaryRank::UnlessOverLater;
    let hole = Protocol { fenced: ONE_FENCED, secondary_rank, ..with_writes(Policy::Newest) };
    assert_eq!(broken(hole, "a connection is as old as its first bind").len(), 15);
}
