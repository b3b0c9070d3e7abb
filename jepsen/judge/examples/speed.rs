//! Speed: how long the checkers take on long histories of a registry that works.
//!
//! `cargo run --release -p orrery-judge --example speed`

#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../tests/support/generate.rs"]
mod generate;

use std::time::Instant;

use orrery_judge::checker::linear_by_search::check_with_coverage;
use orrery_judge::checker::{binds_survive, leases, linear_by_index, seq_rises, sessions};
use orrery_judge::history::{self, Event, History, Op};
use orrery_judge::settings::Settings;
use orrery_judge::verdict::Verdict;

use generate::{Shape, generate};

const BY_SEARCH: Shape = Shape {
    operations: 200_000,
    users: 2_000,
    users_at_once: 20,
    processes: 8,
    lost_one_in: 50,
    repeat_one_in: 50,
    attach_one_in: 5_000,
    one_newest: false,
};

fn main() {
    let settings = Settings::default();
    let events = timed("generate 200,000", || generate(BY_SEARCH, 1));
    let history = timed("pair", || History::new(&events).unwrap());
    let (violations, coverage) =
        timed("search, 2,000 users", || check_with_coverage(&history, &settings));
    println!("  {} violations, {coverage:?}", violations.len());
    let newest = generate(Shape { one_newest: true, ..BY_SEARCH }, 1);
    let history = History::new(&newest).unwrap();
    let (violations, coverage) =
        timed("search, 2,000 users, one newest", || check_with_coverage(&history, &settings));
    println!("  {} violations, {coverage:?}", violations.len());

    let mut planted = events.clone();
    let reads = planted.iter_mut().filter_map(|event| match &mut event.op {
        Op::Locate(locate) => locate.routes.as_mut().filter(|routes| !routes.is_empty()),
        _ => None,
    });
    reads.step_by(500).for_each(|routes| drop(routes.pop()));
    let history = History::new(&planted).unwrap();
    let (violations, coverage) =
        timed("search, 2,000 users, reads made wrong", || check_with_coverage(&history, &settings));
    println!("  {} violations, {coverage:?}", violations.len());

    for users in [20_000, 10] {
        let shape = Shape { operations: 1_000_000, users, users_at_once: 10, ..BY_SEARCH };
        println!("1,000,000 operations, {users} users");
        let events = generate(Shape { one_newest: users == 10, ..shape }, 2);
        if users > 10 {
            file(&events);
        }
        let history = timed("pair", || History::new(&events).unwrap());
        for (name, check) in [
            ("linear-by-index", linear_by_index::check as fn(&History<'_>, &Settings) -> _),
            ("binds-survive", binds_survive::check),
            ("seq-rises", seq_rises::check),
            ("leases", leases::check),
            ("sessions", sessions::check),
        ] {
            match timed(name, || check(&history, &settings)) {
                Verdict::Violated(violations) => println!("  {} violations", violations.len()),
                verdict => println!("  {verdict:?}"),
            }
        }
    }
}

fn file(events: &[Event]) {
    let mut bytes = Vec::new();
    timed("write", || history::write(events, &mut bytes)).unwrap();
    println!("  {} MB", bytes.len() / 1_000_000);
    timed("read", || history::read(bytes.as_slice())).unwrap();
}

fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let (start, before) = (Instant::now(), on_cpu());
    let done = work();
    let (wall, cpu) = (start.elapsed().as_secs_f64(), on_cpu() - before);
    println!("{name}: {cpu:.3} s of a core, {wall:.3} s in all");
    done
}

/// Seconds that this thread has run, which a busy machine does not blur; 0 where the kernel does not say.
fn on_cpu() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = told.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok());
    first.unwrap_or_default() / 1e9
}
