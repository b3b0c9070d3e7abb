//! How much work the search for an order is: counted in its steps, so that no machine's speed blurs it.

#![allow(clippy::unwrap_used, reason = "clippy knows only #[test] functions as tests")]

#[path = "support/generate.rs"]
mod generate;

use orrery_judge::checker::linear_by_search::check_with_coverage;
use orrery_judge::history::{Event, History, Op};
use orrery_judge::settings::Settings;

use generate::{Shape, generate};

/// Operations of each address.
const PER_USER: [usize; 3] = [50, 100, 400];

/// Steps for each operation of an address, at most, where every outcome is known: a step tries one call at one
/// place, and eight processes have few open at once.
const STEPS: usize = 8;

/// The same where one write in fifty is of unknown outcome, of which an address of a hundred operations has one
/// or two: each may be tried at every place.
const STEPS_OF_UNKNOWN: usize = 64;

/// One in so many: none.
const NEVER: u64 = u64::MAX;

/// A history whose addresses have so many operations each, of which one in so many writes is of unknown outcome.
fn history(per_user: usize, lost_one_in: u64, one_newest: bool) -> Vec<Event> {
    let users = 40;
    generate(
        Shape {
            operations: users * per_user,
            users: users as u64,
            users_at_once: 10,
            processes: 8,
            lost_one_in,
            repeat_one_in: 50,
            attach_one_in: 5_000,
            one_newest,
        },
        7,
    )
}

/// How many violations are found with so many steps for each operation that an address has. No search may be
/// given up.
fn found(events: &[Event], per_user: usize, steps: usize) -> usize {
    let mut settings = Settings::default();
    settings.search.steps_max = (steps * per_user) as u64;
    let (violations, coverage) = check_with_coverage(&History::new(events).unwrap(), &settings);
    assert_eq!(coverage.exhausted, 0, "{steps} steps for each of {per_user}: {coverage:?}");
    assert!(coverage.judged > 30, "{coverage:?}");
    violations.len()
}

/// Takes a route out of some reads.
fn make_wrong(events: &mut [Event], one_in: usize) {
    let reads = events.iter_mut().filter_map(|event| match &mut event.op {
        Op::Locate(locate) => locate.routes.as_mut().filter(|routes| !routes.is_empty()),
        _ => None,
    });
    reads.step_by(one_in).for_each(|routes| drop(routes.pop()));
}

#[test]
fn the_steps_of_a_search_grow_with_the_operations_and_no_faster() {
    for per_user in PER_USER {
        for one_newest in [false, true] {
            let events = history(per_user, NEVER, one_newest);
            assert_eq!(found(&events, per_user, STEPS), 0);
        }
    }
}

#[test]
fn a_wrong_read_is_found_without_going_through_every_order() {
    for per_user in PER_USER {
        let mut events = history(per_user, NEVER, false);
        make_wrong(&mut events, per_user);
        assert!(found(&events, per_user, STEPS) > 5);
    }
}

#[test]
fn a_few_unknown_outcomes_cost_some_times_as_much() {
    for per_user in [50, 100] {
        for one_newest in [false, true] {
            let mut events = history(per_user, 50, one_newest);
            assert_eq!(found(&events, per_user, STEPS_OF_UNKNOWN), 0);
            make_wrong(&mut events, per_user);
            assert!(found(&events, per_user, STEPS_OF_UNKNOWN) > 5);
        }
    }
}
