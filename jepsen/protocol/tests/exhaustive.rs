//! Every state within the bounds is looked at: each promise holds in all of them, and what must be reachable
//! is. The numbers of states are written down, so that a model that shrinks by accident is noticed.

use orrery_jepsen_protocol::Settling::WithWrites;
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

#[test]
fn newest_wins_with_three_connections_and_all_fenced() {
    check(with_writes(Policy::Newest), 5_660_461, &[]);
}

#[test]
fn newest_wins_and_somebody_stays() {
    check(Protocol { leaves: false, ..with_writes(Policy::Newest) }, 876_587, &[]);
    let two = Protocol { connections: TWO, ..Protocol::new(Policy::Newest) };
    check(Protocol { leaves: false, ..two }, 28_369, &[]);
}

#[test]
fn newest_wins_whenever_shards_learn_what_is_settled() {
    let newest = Protocol::new(Policy::Newest);
    check(Protocol { connections: TWO, ..newest }, 109_857, &[]);
    check(Protocol { connections: NEIGHBOURS, ..newest }, 78_749, &[]);
    check(Protocol { fenced: ONE_FENCED, ..newest }, 461_374, &[]);
    check(Protocol { fenced: [false, true], ..newest }, 337_909, &[]);
}

#[test]
fn all_stay() {
    let all = Protocol::new(Policy::All);
    check(Protocol { connections: TWO, ..all }, 142_661, &[]);
    check(Protocol { connections: NEIGHBOURS, ..all }, 94_478, &[]);
}

#[test]
fn oldest_wins() {
    let two = Protocol { connections: TWO, ..Protocol::new(Policy::Oldest) };
    check(two, 69_405, &[]);
    check(Protocol { leaves: false, ..two }, 13_531, &[]);
    check(Protocol { leaves: false, ..with_writes(Policy::Oldest) }, 66_051, &[]);
    check(with_writes(Policy::Oldest), 859_927, &[]);
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
    check(Protocol { connections: TWO, ..all }, 55_453, &fenceless);
    check(Protocol { connections: NEIGHBOURS, ..all }, 43_384, &fenceless);
}

#[test]
#[ignore = "takes minutes"]
fn forgetting_makes_no_difference_where_two_connections_are_fenced() {
    let all = Protocol { forgets: false, fenced: ONE_FENCED, ..Protocol::new(Policy::Newest) };
    check(Protocol { connections: TWO, ..all }, 1_943_722, &[]);
    check(Protocol { connections: NEIGHBOURS, ..all }, 4_382_816, &[]);
}

#[test]
#[ignore = "takes minutes"]
fn the_widest_bounds_for_each_policy() {
    check(Protocol::new(Policy::Newest), 7_864_851, &[]);
    check(with_writes(Policy::All), 8_757_820, &[]);
    check(Protocol { leaves: false, ..with_writes(Policy::All) }, 978_588, &[]);
    check(Protocol::new(Policy::Oldest), 1_523_179, &[]);
}

/// Where a refused bind leaves no mark, a copy of it may take the place of the one that it was refused for,
/// while that one is being bound again; its own comet has already given it up.
#[test]
fn where_a_refusal_is_not_final_both_may_lose() {
    let hole = Protocol {
        connections: TWO,
        fenced: ONE_FENCED,
        leaves: false,
        refusal_is_final: false,
        ..with_writes(Policy::Oldest)
    };
    assert_eq!(broken(hole, "not everybody loses").len(), 11);
}

/// On the secondary address the newest of a user's connections wins, whatever the policy: one that won its
/// place back by its age must not be that old there.
#[test]
fn where_the_oldest_wins_a_rank_on_the_secondary_address_may_lose_both() {
    let hole = Protocol { connections: TWO, leaves: false, ..with_writes(Policy::Oldest) };
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
