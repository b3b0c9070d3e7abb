//! Draw: the page of a history, and how long it took; without a history, of a made-up one of a million events.
//!
//! `cargo run --release -p orrery-jepsen-report --example draw [HISTORY] > page.html`

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used
)]

extern crate judge as orrery_judge;

#[path = "../../judge/tests/support/generate.rs"]
mod generate;

use std::fs::File;
use std::io::BufReader;
use std::time::Instant;

use judge::checker;
use judge::history::{self, Event, History, Op};
use judge::verdict::Verdict;
use report::{Page, RunFacts};

use generate::{Shape, generate};

fn main() {
    let path = std::env::args().nth(1);
    let events = match &path {
        Some(path) => history::read(BufReader::new(File::open(path).unwrap())).unwrap(),
        None => million(),
    };
    let run = RunFacts { name: path.unwrap_or("made up".into()), ..RunFacts::default() };
    let history = History::new(&events).unwrap();
    let began = Instant::now();
    let judged = checker::judge(&history, &run.settings, &[]);
    let (judging, began) = (began.elapsed(), Instant::now());
    let page = Page::of(&run, &events, &judged).draw(None);
    let of = |judged: &checker::Judged| judged.verdict.as_ref().is_some_and(Verdict::is_violated);
    eprintln!(
        "{} events, {} violated: judged in {judging:.1?}, drawn in {:.1?}, {} kB",
        events.len(),
        judged.iter().filter(|judged| of(judged)).count(),
        began.elapsed(),
        page.len() / 1_000
    );
    print!("{page}");
}

/// A million events of which one read lacks a route, far behind.
fn million() -> Vec<Event> {
    let mut events = generate(
        Shape {
            operations: 500_000,
            users: 20_000,
            users_at_once: 10,
            processes: 8,
            lost_one_in: 50,
            repeat_one_in: 50,
            attach_one_in: 5_000,
            one_newest: false,
        },
        1,
    );
    let reads = events.iter_mut().filter_map(|event| match &mut event.op {
        Op::Locate(locate) => locate.routes.as_mut().filter(|routes| !routes.is_empty()),
        _ => None,
    });
    if let Some(routes) = reads.skip(80_000).step_by(7).next() {
        routes.pop();
    }
    events
}
