//! Checkers: how long the checkers take, against the bars that they must keep. Fails if one is broken.
//!
//! `cargo run --release -p orrery-judge --example checkers`
//!
//! What counts is the time that a core worked for them, which a busy machine does not blur: they have one thread.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "this measures, and a history that it made up is whole"
)]

#[path = "../tests/support/generate.rs"]
mod generate;

use std::process::ExitCode;
use std::time::Instant;

use orrery_judge::checker::{linear_by_index, linear_by_search};
use orrery_judge::history::{Event, History, Op};
use orrery_judge::settings::Settings;
use orrery_judge::verdict::Verdict;

use generate::{Shape, generate};

/// Operations over [`SEARCHED_USERS`] addresses that are searched for an order.
const SEARCHED: usize = 200_000;
const SEARCHED_USERS: u64 = 2_000;

/// How long that may take, in seconds.
const SEARCHED_BAR: f64 = 1.0;

/// Operations that are judged by log index.
const INDEXED: usize = 1_000_000;

/// How long that may take, in seconds.
const INDEXED_BAR: f64 = 10.0;

const SHAPE: Shape = Shape {
    operations: SEARCHED,
    users: SEARCHED_USERS,
    users_at_once: 20,
    processes: 8,
    lost_one_in: 50,
    repeat_one_in: 50,
    attach_one_in: 5_000,
    one_newest: false,
};

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        println!("the bars are those of a release build: cargo run --release ...");
        return ExitCode::from(3);
    }
    let mut keeps = true;
    let legal = generate(SHAPE, 1);
    let (search, name) = (linear_by_search::check, "linear-by-search");
    keeps &= bar(name, "every read right", &legal, search, true, SEARCHED_BAR);
    let wrong = made_wrong(legal);
    keeps &= bar(name, "one in 500 reads wrong", &wrong, search, false, SEARCHED_BAR);
    let newest = generate(Shape { one_newest: true, ..SHAPE }, 1);
    keeps &= bar(name, "one connection for each", &newest, search, true, SEARCHED_BAR);

    let (index, name) = (linear_by_index::check, "linear-by-index");
    let shape = Shape { operations: INDEXED, users: 20_000, users_at_once: 10, ..SHAPE };
    keeps &= bar(name, "20,000 addresses", &generate(shape, 2), index, true, INDEXED_BAR);
    let few = generate(Shape { users: 10, one_newest: true, ..shape }, 2);
    keeps &= bar(name, "10 addresses", &few, index, true, INDEXED_BAR);
    ExitCode::from(u8::from(!keeps))
}

/// Takes a route out of some reads.
fn made_wrong(mut events: Vec<Event>) -> Vec<Event> {
    let reads = events.iter_mut().filter_map(|event| match &mut event.op {
        Op::Locate(locate) => locate.routes.as_mut().filter(|routes| !routes.is_empty()),
        _ => None,
    });
    reads.step_by(500).for_each(|routes| drop(routes.pop()));
    events
}

/// Judges a history, from its events on, and tells how long that took; whether it was in time and said what
/// is true.
fn bar(
    property: &str,
    what: &str,
    events: &[Event],
    check: impl FnOnce(&History<'_>, &Settings) -> Verdict,
    holds: bool,
    most: f64,
) -> bool {
    let (start, before) = (Instant::now(), on_cpu());
    let history = History::new(events).unwrap();
    let verdict = check(&history, &Settings::default());
    let wall = start.elapsed().as_secs_f64();
    let took = on_cpu().zip(before).map_or(wall, |(after, before)| after - before);
    let is_right = verdict.passes() == holds && verdict.is_violated() != holds;
    let keeps = took < most && is_right;
    println!(
        "{:7} {property:17} {:>9} operations, {what:24} {took:6.3} s of a core, less than {most:4.1} s{}",
        if keeps { "ok" } else { "BROKEN" },
        history.operations.len(),
        if is_right { "" } else { "; and its verdict is wrong" },
    );
    keeps
}

/// Seconds that this thread has run, if the kernel says.
fn on_cpu() -> Option<f64> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(told.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}
