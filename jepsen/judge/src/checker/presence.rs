//! Whoever is connected is shown online, and whoever vanished goes offline in time (W10).

use std::collections::BTreeMap;

use super::Property;
use crate::facts::{Device, Devices, Facts};
use crate::history::{History, Op, Operation};
use crate::settings::{Settings, nanos};
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "presence",
    source: "presence under disconnect (W10)",
    needs: &["connect"],
    check,
};

/// Each linearizable read of a user shows at least as many connections as certainly stood throughout it,
/// and at most as many as may have.
///
/// A connection certainly stands from the acknowledged connect until `margin` before the device loses or
/// gives it up, while the life of its comet certainly goes on (a comet's life that ends takes its devices
/// offline until they are bound again, for which `recovery` is allowed). It may stand until `silence`, two
/// leases and `margin` after the device left, counted anew from each fault and heal, for nothing expires
/// while the control shard has no quorum.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let facts = Facts::new(history, settings);
    let devices = Devices::new(history);
    let mut by_user: BTreeMap<&str, Vec<&Device<'_>>> = BTreeMap::new();
    for device in devices.all.values() {
        by_user.entry(&device.connect.user).or_default().push(device);
    }
    let changes: Vec<u64> = history
        .events
        .iter()
        .filter(|event| matches!(event.op, Op::Fault(_) | Op::Heal(_)))
        .map(|event| event.time)
        .collect();
    let mut violations = Vec::new();
    let mut judged = 0;
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        let (Op::Locate(locate), Some(user)) = (operation.op(), operation.key()) else { continue };
        let Some(mine) = by_user.get(user).filter(|_| !locate.stale) else { continue };
        judged += 1;
        let shown = locate.routes.as_ref().map_or(0, Vec::len);
        let window = Window { history, settings, operation, changes: &changes };
        let certain: Vec<u64> = mine
            .iter()
            .filter(|device| window.certainly(device.connected, device.leaving))
            .filter(|device| {
                let grace = nanos(settings.recovery);
                let (from, until) = (operation.began(), operation.told_by());
                device.is_held(history, &facts.comets, &facts.ends, from, until, grace)
            })
            .map(|device| device.connected)
            .collect();
        let event = operation.told_by();
        if shown < certain.len() {
            let text = format!(
                "{user} is shown with {shown} connections, but {} devices were connected",
                certain.len()
            );
            violations.push(Violation::new(certain.into_iter().chain([event]), text));
        }
        let possible = mine
            .iter()
            .filter(|device| device.began < event && !window.is_past(device.left))
            .count();
        if shown > possible {
            let text = format!(
                "{user} is shown with {shown} connections, but at most {possible} can be left"
            );
            violations.push(Violation::new([event], text));
        }
    }
    if judged == 0 {
        return Verdict::Unknown("no user with a device was read".into());
    }
    Verdict::of(violations)
}

/// The time of one read.
struct Window<'h, 'a> {
    history: &'h History<'a>,
    settings: &'h Settings,
    operation: &'h Operation<'a>,
    changes: &'h [u64],
}

impl Window<'_, '_> {
    /// Whether what was there from one event until `margin` before another was there throughout.
    fn certainly(&self, from: u64, until: u64) -> bool {
        let end = self.history.time(self.operation.told_by());
        let last = self.history.events.last().map_or(0, |event| event.time);
        let until = self.history.time(until).min(last);
        from < self.operation.began() && end.saturating_add(nanos(self.settings.margin)) < until
    }

    /// Whether what ended at an event must be gone by now.
    fn is_past(&self, left: u64) -> bool {
        if left == u64::MAX {
            return false;
        }
        let start = self.operation.invoke.time;
        let changed = self.changes.partition_point(|time| *time <= start);
        let quiet = changed.checked_sub(1).map_or(0, |last| self.changes[last]);
        let bound = self.settings.silence + self.settings.lease * 2 + self.settings.margin;
        self.history.time(left).max(quiet).saturating_add(nanos(bound)) < start
    }
}
