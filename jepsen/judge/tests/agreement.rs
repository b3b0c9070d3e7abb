//! The checkers against each other, on random histories of a registry that works and on the same with
//! one answer made wrong: no checker objects to the first, and whatever the search finds in the second,
//! the check by index finds too.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "clippy knows only #[test] functions as tests"
)]

#[path = "support/corrupt.rs"]
mod corrupt;
#[path = "support/generate.rs"]
mod generate;
#[path = "support/tell.rs"]
mod tell;

use orrery_judge::checker::{binds_survive, leases, linear_by_index, linear_by_search, seq_rises};
use orrery_judge::history::{Event, History, Kind};
use orrery_judge::settings::{Search, Settings};
use orrery_judge::verdict::Verdict;

use corrupt::corrupt;
use generate::{Numbers, Shape, generate};
use tell::tell;

fn shape(seed: u64) -> Shape {
    Shape {
        operations: 24,
        users: 2,
        users_at_once: 2,
        processes: 3,
        lost_one_in: if seed.is_multiple_of(3) { 1_000 } else { 6 },
        repeat_one_in: if seed % 5 < 3 { 1_000 } else { 4 },
        attach_one_in: if seed % 4 < 2 { 1_000 } else { 9 },
        one_newest: seed.is_multiple_of(2),
    }
}

fn settings() -> Settings {
    let search = Search { unknown_max: 12, ..Search::default() };
    Settings { search, ..Settings::default() }
}

#[test]
fn no_checker_objects_to_a_registry_that_works() {
    let mut fenced = 0;
    for seed in 0..4_000 {
        let events = generate(shape(seed), seed);
        let history = History::new(&events).unwrap();
        fenced += events.iter().filter(|e| e.kind == Kind::Fail).count();
        for (name, check) in [
            ("index", linear_by_index::check as fn(&_, &_) -> _),
            ("search", linear_by_search::check),
            ("survive", binds_survive::check),
            ("seq", seq_rises::check),
            ("leases", leases::check),
        ] {
            let verdict: Verdict = check(&history, &settings());
            let unknown = name == "search" && matches!(verdict, Verdict::Unknown(_));
            if !unknown && verdict != Verdict::Holds {
                tell(&events);
                panic!("seed {seed}, {name}: {verdict:#?}");
            }
        }
    }
    assert!(fenced > 500, "{fenced}");
}

#[test]
fn what_the_search_finds_the_other_checkers_find() {
    let (mut found, mut alone, mut missed) = (0, 0, 0);
    for seed in 0..6_000 {
        let mut events = generate(shape(seed), seed);
        corrupt(&mut events, &mut Numbers(seed));
        let history = History::new(&events).unwrap();
        let by_search = linear_by_search::check(&history, &settings()).is_violated();
        let others = [linear_by_index::check, seq_rises::check, binds_survive::check];
        let by_others = others.iter().any(|check| check(&history, &settings()).is_violated());
        if by_search && !by_others {
            // A bind that took effect without an answer might explain what is missing, though what it
            // would leave behind does not: only a search goes that far.
            let unheard = |event: &Event| {
                event.kind == Kind::Info || (event.kind == Kind::Fail && event.attempts != Some(1))
            };
            if !events.iter().any(unheard) {
                tell(&events);
                let verdict = linear_by_search::check(&history, &settings());
                panic!("seed {seed}: only the search finds {verdict:#?}");
            }
            missed += 1;
        }
        found += usize::from(by_search);
        alone += usize::from(by_others && !by_search);
    }
    println!(
        "{found} found by the search, {missed} of them by it alone, {alone} by the others alone"
    );
    assert!(found > 1_000 && missed * 50 < found, "{found} {missed}");
}
