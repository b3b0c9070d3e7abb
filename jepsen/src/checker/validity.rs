//! A run counts only if something happened: etcd's robustness tests and restate's tail check.

use super::Verdict;
use crate::history::{Event, NEMESIS, Op, Phase};

/// Fewest operations that must have ended ok between any two faults, and after the last.
const OK_BETWEEN_FAULTS: usize = 10;

/// Enough operations ended ok before, between and after the faults, and at least one fault happened.
pub fn check(events: &[Event]) -> Verdict {
    let mut faults = 0;
    let mut ok_since = 0;
    for event in events {
        match (&event.op, event.phase) {
            (Op::Fault { .. }, Phase::Ok) if event.process == NEMESIS => {
                if ok_since < OK_BETWEEN_FAULTS {
                    return too_few(ok_since, event.index);
                }
                faults += 1;
                ok_since = 0;
            }
            (Op::Bind { .. } | Op::Unbind { .. } | Op::Locate { .. }, Phase::Ok) => ok_since += 1,
            _ => {}
        }
    }
    if faults == 0 {
        return Verdict::Unknown("no fault was installed".into());
    }
    if ok_since < OK_BETWEEN_FAULTS {
        return too_few(ok_since, events.len() as u64);
    }
    Verdict::Holds
}

fn too_few(ok: usize, index: u64) -> Verdict {
    Verdict::Unknown(format!("only {ok} operations ended ok before event {index}"))
}
