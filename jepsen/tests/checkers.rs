//! The checkers find what they are for: each gets a good history, and the same with one thing wrong.

use orrery_jepsen::checker::{Verdict, binds_survive, seq_rises, validity};
use orrery_jepsen::history::{self, Event, NEMESIS, Op, Phase};

fn history(events: Vec<(i64, Phase, Op)>) -> Vec<Event> {
    let events = events.into_iter().enumerate();
    events
        .map(|(at, (process, phase, op))| Event {
            index: at as u64,
            time: at as u64,
            process,
            phase,
            op,
            error: None,
        })
        .collect()
}

fn bind(conn: u64, seq: Option<u64>) -> Op {
    Op::Bind { key: "u".into(), conn, seq }
}

fn unbind(conn: u64) -> Op {
    Op::Unbind { key: "u".into(), conn }
}

fn locate(routes: Option<&[(i64, u64, u64)]>) -> Op {
    let named = |r: &[(i64, u64, u64)]| {
        r.iter().map(|(p, conn, seq)| (binds_survive::comet_of(*p), *conn, *seq)).collect()
    };
    Op::Locate { key: "u".into(), routes: routes.map(named) }
}

/// Two processes bind, one unbinds, a third reads before and after.
fn good() -> Vec<(i64, Phase, Op)> {
    use Phase::{Invoke, Ok};
    vec![
        (0, Invoke, bind(1, None)),
        (1, Invoke, bind(1, None)),
        (0, Ok, bind(1, Some(4))),
        (1, Ok, bind(1, Some(5))),
        (2, Invoke, locate(None)),
        (2, Ok, locate(Some(&[(0, 1, 4), (1, 1, 5)]))),
        (0, Invoke, unbind(1)),
        (0, Ok, unbind(1)),
        (2, Invoke, locate(None)),
        (2, Ok, locate(Some(&[(1, 1, 5)]))),
    ]
}

fn violated(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Violated(_))
}

#[test]
fn a_good_history_passes() {
    let events = history(good());
    assert_eq!(binds_survive::check(&events), Verdict::Holds);
    assert_eq!(seq_rises::check(&events), Verdict::Holds);
}

#[test]
fn a_lost_bind_is_found() {
    let mut events = good();
    events[5].2 = locate(Some(&[(1, 1, 5)]));
    assert!(violated(&binds_survive::check(&history(events))));
}

#[test]
fn a_route_that_came_back_is_found() {
    let mut events = good();
    events[9].2 = locate(Some(&[(0, 1, 4), (1, 1, 5)]));
    assert!(violated(&binds_survive::check(&history(events))));
}

#[test]
fn a_phantom_is_found() {
    let mut events = good();
    events[9].2 = locate(Some(&[(1, 1, 5), (3, 9, 9)]));
    assert!(violated(&binds_survive::check(&history(events))));
}

#[test]
fn a_changed_seq_is_found() {
    let mut events = good();
    events[9].2 = locate(Some(&[(1, 1, 6)]));
    assert!(violated(&binds_survive::check(&history(events))));
}

#[test]
fn a_bind_of_unknown_outcome_may_be_there_or_not() {
    for routes in [&[(1, 1, 5)][..], &[]] {
        let events = history(vec![
            (1, Phase::Invoke, bind(1, None)),
            (1, Phase::Info, bind(1, None)),
            (2, Phase::Invoke, locate(None)),
            (2, Phase::Ok, locate(Some(routes))),
        ]);
        assert_eq!(binds_survive::check(&events), Verdict::Holds);
    }
}

#[test]
fn a_seq_given_twice_is_found() {
    let mut events = good();
    events[3].2 = bind(1, Some(4));
    assert!(violated(&seq_rises::check(&history(events))));
}

#[test]
fn a_seq_that_falls_is_found() {
    let mut events = good();
    events.push((0, Phase::Invoke, bind(2, None)));
    events.push((0, Phase::Ok, bind(2, Some(3))));
    assert!(violated(&seq_rises::check(&history(events))));
}

#[test]
fn a_run_without_faults_or_operations_is_unknown() {
    let fault = Op::Fault { value: "kill".into() };
    let idle = history(vec![(NEMESIS, Phase::Invoke, fault.clone()), (NEMESIS, Phase::Ok, fault)]);
    assert!(matches!(validity::check(&idle), Verdict::Unknown(_)));
    assert!(matches!(validity::check(&history(good())), Verdict::Unknown(_)));
}

#[test]
fn a_history_survives_its_file_and_a_cut_one_is_refused() {
    let events = history(good());
    let mut bytes = Vec::new();
    history::write(&events, &mut bytes).unwrap();
    assert_eq!(history::read(bytes.as_slice()).unwrap(), events);
    assert!(history::read(&bytes[..bytes.len() - 10]).is_err());
    let tail = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
    assert!(history::read(&bytes[tail..]).is_err(), "a history must begin at its beginning");
}
