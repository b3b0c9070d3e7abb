//! The checkers against the registry itself, under every policy: they accept what it did, by the log as by the
//! search, and refuse most of the same with one answer made wrong.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "clippy knows only #[test] functions as tests"
)]

#[path = "support/corrupt.rs"]
mod corrupt;
#[path = "support/generate.rs"]
#[expect(dead_code, reason = "only its numbers are drawn here")]
mod generate;
#[path = "support/product.rs"]
mod product;
#[path = "support/tell.rs"]
mod tell;

use std::collections::BTreeMap;

use orrery_judge::checker::{
    Property, binds_survive, leases, linear_by_index, linear_by_search, seq_rises,
};
use orrery_judge::history::{History, Op};
use orrery_judge::settings::{Search, Settings};
use orrery_judge::verdict::Verdict;

use corrupt::corrupt;
use generate::Numbers;
use product::history;
use tell::tell;

const PROPERTIES: [Property; 5] = [
    linear_by_index::PROPERTY,
    linear_by_search::PROPERTY,
    binds_survive::PROPERTY,
    seq_rises::PROPERTY,
    leases::PROPERTY,
];

fn settings() -> Settings {
    let search = Search { unknown_max: 20, ..Search::default() };
    Settings { search, ..Settings::default() }
}

#[test]
fn no_checker_objects_to_the_registry() {
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..2_000 {
        let events = history(40, seed);
        for event in &events {
            if let Some(refusal) = &event.error {
                let word = refusal.to_string();
                let word = word.split(' ').next().unwrap_or_default();
                *met.entry(word.to_owned()).or_default() += 1;
            }
            if let Op::Bind(bind) = &event.op {
                let evicts = bind.losers.as_ref().is_some_and(|losers| !losers.is_empty());
                *met.entry("evictions".into()).or_default() += usize::from(evicts);
                let second = bind.primary.is_some() && bind.seq.is_some();
                *met.entry("seconds".into()).or_default() += usize::from(second);
            }
        }
        let history = History::new(&events).unwrap();
        for property in PROPERTIES {
            let verdict = (property.check)(&history, &settings());
            let unknown = matches!(verdict, Verdict::Unknown(_));
            if !unknown && verdict != Verdict::Holds {
                tell(&events);
                panic!("seed {seed}, {}: {verdict:#?}", property.name);
            }
        }
    }
    println!("{met:?}");
    for what in ["gone", "fenced", "outranked", "evictions", "seconds"] {
        assert!(met.get(what).is_some_and(|count| *count > 100), "{what}: {met:?}");
    }
}

#[test]
fn most_answers_made_wrong_are_found() {
    let (mut made, mut found) = (0, 0);
    let mut by: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..1_500 {
        let mut events = history(40, seed);
        let before = events.clone();
        corrupt(&mut events, &mut Numbers(seed));
        if events == before {
            continue;
        }
        made += 1;
        let history = History::new(&events).unwrap();
        let mut is_found = false;
        for property in PROPERTIES {
            if (property.check)(&history, &settings()).is_violated() {
                is_found = true;
                *by.entry(property.name).or_default() += 1;
            }
        }
        found += usize::from(is_found);
    }
    println!("{found} of {made} found: {by:?}");
    assert!(made > 300 && found * 100 > made * 70, "{found} of {made}: {by:?}");
}
