//! Comings: each connection comes online once and goes offline once, as those see it who ask.

use std::collections::BTreeMap;

use crate::history::{History, Op, Seen};
use crate::verdict::Violation;

/// An answer to who of a user is online, as events.
#[derive(Debug, Clone, Copy)]
struct Look<'a> {
    began: u64,
    told: u64,
    shown: &'a [Seen],
}

/// A seq of a user is shown by one comet in one of its lives, whoever asks; and once an answer that began after it
/// had been shown does not show it, no answer that begins after that one does.
pub(super) fn check(history: &History<'_>, violations: &mut Vec<Violation>) {
    let mut users: BTreeMap<&str, Vec<Look<'_>>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        if let (Op::Online(online), Some(user)) = (operation.op(), operation.key()) {
            let shown = online.connections.as_deref().unwrap_or_default();
            let look = Look { began: operation.began(), told: operation.told_by(), shown };
            users.entry(user).or_default().push(look);
        }
    }
    for (user, mut looks) in users {
        looks.sort_unstable_by_key(|look| look.told);
        one_place_each(user, &looks, violations);
        once_each(user, &looks, violations);
    }
}

fn one_place_each(user: &str, looks: &[Look<'_>], violations: &mut Vec<Violation>) {
    let mut places: BTreeMap<u64, (&Seen, u64)> = BTreeMap::new();
    for look in looks {
        for one in look.shown {
            let (first, event) = *places.entry(one.seq).or_insert((one, look.told));
            if first != one {
                let text = format!(
                    "seq {} of {user} came online on {} in life {}, and on {} in life {}",
                    one.seq, first.comet, first.incarnation, one.comet, one.incarnation
                );
                violations.push(Violation::new([event, look.told], text));
            }
        }
    }
}

/// Looks are in the order in which they were answered.
fn once_each(user: &str, looks: &[Look<'_>], violations: &mut Vec<Violation>) {
    // Each connection with the answer that showed it first, and the first one that certainly saw it gone.
    let mut known: BTreeMap<&Seen, (u64, Option<Look<'_>>)> = BTreeMap::new();
    for look in looks {
        for (one, (first, gone)) in &mut known {
            let is_shown = look.shown.contains(one);
            match gone {
                None if !is_shown && look.began > *first => *gone = Some(*look),
                Some(gone) if is_shown && look.began > gone.told => {
                    let text = format!(
                        "seq {} of {user} on {} went offline and came online once more",
                        one.seq, one.comet
                    );
                    violations.push(Violation::new([*first, gone.told, look.told], text));
                }
                _ => {}
            }
        }
        for one in look.shown {
            known.entry(one).or_insert((look.told, None));
        }
    }
}
