//! An acknowledged bind is never lost, an acknowledged unbind never comes back (Jepsen's set-full).
//!
//! Each connection belongs to one process, which is the only one to bind and unbind it; so what a
//! connection must look like at any moment follows from its own process's events alone, and a read is
//! judged by what had ended before it began and what had begun before it ended.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;
use crate::history::{Event, Op, Phase};

/// What the history says of one connection so far.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Index at which its bind ended ok, with its seq.
    bound: Option<(u64, u64)>,
    /// Index at which its bind first began.
    bind_began: Option<u64>,
    /// Index at which its unbind first began.
    unbind_began: Option<u64>,
    /// Index at which its unbind ended ok.
    unbound: Option<u64>,
}

type Connection = (String, String, u64);

/// The comet that a process binds its connections on.
pub fn comet_of(process: i64) -> String {
    format!("comet-{process}")
}

/// Every read shows each connection whose bind had ended ok before it (and whose unbind had not begun),
/// and none that was unbound before it or was never bound.
pub fn check(events: &[Event]) -> Verdict {
    let connections = connections(events);
    let mut by_user: BTreeMap<&str, Vec<&Connection>> = BTreeMap::new();
    for connection in connections.keys() {
        by_user.entry(&connection.0).or_default().push(connection);
    }
    let mut violations = Vec::new();
    let mut began: BTreeMap<i64, u64> = BTreeMap::new();
    for event in events {
        let Op::Locate { key, routes } = &event.op else { continue };
        match (event.phase, routes) {
            (Phase::Invoke, _) => {
                began.insert(event.process, event.index);
            }
            (Phase::Ok, Some(routes)) => {
                let start = began.remove(&event.process).unwrap_or(event.index);
                let known = by_user.get(key.as_str()).map(Vec::as_slice).unwrap_or_default();
                judge(event.index, start, key, routes, known, &connections, &mut violations);
            }
            _ => {}
        }
    }
    Verdict::of(violations)
}

fn judge(
    end: u64,
    start: u64,
    user: &str,
    routes: &[(String, u64, u64)],
    known: &[&Connection],
    connections: &BTreeMap<Connection, Known>,
    violations: &mut Vec<String>,
) {
    let mut seen = BTreeSet::new();
    for (comet, conn, seq) in routes {
        let name = (user.to_owned(), comet.clone(), *conn);
        let Some(of) = connections.get(&name) else {
            violations.push(format!("event {end}: {name:?} was never bound"));
            continue;
        };
        if of.bind_began.is_none_or(|at| at > end) {
            violations.push(format!("event {end}: {name:?} is there before its bind began"));
        }
        if of.unbound.is_some_and(|at| at < start) {
            violations.push(format!("event {end}: {name:?} came back after its unbind"));
        }
        if of.bound.is_some_and(|(_, acknowledged)| acknowledged != *seq) {
            violations
                .push(format!("event {end}: {name:?} has seq {seq}, not what was acknowledged"));
        }
        if !seen.insert(name) {
            violations.push(format!("event {end}: {comet} {conn} of {user} is there twice"));
        }
    }
    for name in known {
        let of = &connections[*name];
        let must =
            of.bound.is_some_and(|(at, _)| at < start) && of.unbind_began.is_none_or(|at| at > end);
        if must && !seen.contains(*name) {
            violations.push(format!("event {end}: acknowledged bind of {name:?} is lost"));
        }
    }
}

fn connections(events: &[Event]) -> BTreeMap<Connection, Known> {
    let mut connections: BTreeMap<Connection, Known> = BTreeMap::new();
    for event in events {
        match (&event.op, event.phase) {
            (Op::Bind { key, conn, seq }, phase) => {
                let known = of(&mut connections, key, event.process, *conn);
                match (phase, seq) {
                    (Phase::Invoke, _) => {
                        known.bind_began.get_or_insert(event.index);
                    }
                    (Phase::Ok, Some(seq)) => known.bound = Some((event.index, *seq)),
                    _ => {}
                }
            }
            (Op::Unbind { key, conn }, phase) => {
                let known = of(&mut connections, key, event.process, *conn);
                match phase {
                    Phase::Invoke => {
                        known.unbind_began.get_or_insert(event.index);
                    }
                    Phase::Ok => {
                        known.unbound.get_or_insert(event.index);
                    }
                    Phase::Fail | Phase::Info => {}
                }
            }
            _ => {}
        }
    }
    connections
}

fn of<'a>(
    connections: &'a mut BTreeMap<Connection, Known>,
    key: &str,
    process: i64,
    conn: u64,
) -> &'a mut Known {
    connections.entry((key.to_owned(), comet_of(process), conn)).or_default()
}
