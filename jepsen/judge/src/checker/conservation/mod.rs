//! The same connections are counted by users, by comets and by rooms (Jepsen's bank: W4).

mod last;
mod memberships;
mod moment;
mod moments;

use self::last::Last;
use self::moments::Moments;
use super::Property;
use crate::history::{History, Op, PhaseName};
use crate::settings::Settings;
use crate::verdict::Verdict;

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "conservation",
    source: "Jepsen bank: the sum is the same whichever way it is taken (W4)",
    needs: &["comet-routes", "count"],
    check,
    covers: None,
};

/// (comet, incarnation, key, seq): one route.
type Route<'a> = (&'a str, u64, &'a str, u64);

/// - At one index of a shard, at any time: every answer to one question is the same; the routes that users show
///   are those that comets show, and no more than the replicas say that they hold; a room counts as many members
///   as it shows, each of whom its user and its comet show; and each connection that these show is in its rooms.
/// - At an index of the final phase at which all living comets were asked, they show together as many routes as
///   each replica says in its metrics that it holds.
/// - From the last reads of the final phase, in which nothing is written, over all shards: the routes found by
///   asking the users are those found by asking the comets, and in each shard each room counts the living
///   connections that were last said to be in it.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let phase = history
        .events
        .iter()
        .find(|event| matches!(&event.op, Op::Phase(phase) if phase.name == PhaseName::Final));
    let Some(phase) = phase else { return Verdict::Unknown("there is no final phase".into()) };
    let mut last = Last::default();
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        if operation.began() > phase.index {
            last.take(operation);
        }
    }
    if last.users.is_empty() {
        return Verdict::Unknown("no user was read in the final phase".into());
    }
    let mut violations = Vec::new();
    let counted = Moments::new(history, phase.index).check(&mut violations);
    last.routes(&mut violations);
    last.counts(history, &mut violations);
    let shards = settings.gates.shards.iter().filter(|_| settings.gates.compared);
    let missing: Vec<&u32> = shards.filter(|shard| !counted.contains(shard)).collect();
    if violations.is_empty() && !missing.is_empty() {
        let text = format!(
            "the routes of the shards {missing:?} were not counted in all ways at one index"
        );
        return Verdict::Unknown(text);
    }
    Verdict::of(violations)
}
