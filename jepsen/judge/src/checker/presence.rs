//! Whoever is connected is shown online, and whoever vanished goes offline in time (W10).

use std::collections::{BTreeMap, BTreeSet};

use super::{Property, comings};
use crate::facts::{Device, Devices, Facts};
use crate::history::{History, Op, Operation, Seen};
use crate::settings::{Settings, nanos};
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "presence",
    source: "presence under disconnect (W10)",
    needs: &["connect"],
    check,
    covers: None,
};

/// Each answer to who of a user is connected shows, for each comet, at least as many connections as
/// certainly stood there throughout it and at most as many as may have; none twice, and a comet in one life
/// only.
///
/// A connection certainly stands from the acknowledged connect until the last time that the device sent
/// something that its comet answered, while the life of its comet certainly goes on (a comet's life that ends
/// takes its devices offline until they are bound again, for which `recovery` and a lease are allowed). It may
/// stand until `silence`, two leases and `margin` after the device left, counted anew from each fault and
/// heal, for nothing expires while the control shard has no quorum.
///
/// To whoever asks, each seq of a user comes online once and goes offline once, on one comet in one of its lives.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let facts = Facts::new(history, settings);
    let devices = Devices::new(history, settings);
    let mut by_user: BTreeMap<&str, Vec<&Device<'_>>> = BTreeMap::new();
    for device in devices.all.values() {
        by_user.entry(&device.connect.user).or_default().push(device);
    }
    let mut violations = Vec::new();
    let mut judged = 0;
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        let (Op::Online(online), Some(user)) = (operation.op(), operation.key()) else { continue };
        let Some(mine) = by_user.get(user) else { continue };
        judged += 1;
        let shown = online.connections.as_deref().unwrap_or_default();
        let answer = Answer { history, settings, facts: &facts, devices: &devices, operation };
        let told = |text| Violation::new([operation.told_by()], format!("{user} is shown {text}"));
        violations.extend(once(shown).map(told));
        let comets = mine.iter().map(|device| device.connect.comet.as_deref());
        let comets: BTreeSet<Option<&str>> = comets.collect();
        for comet in comets {
            let of_comet = |one: &Seen| comet.is_none_or(|comet| one.comet == comet);
            let shown = shown.iter().filter(|one| of_comet(one)).count();
            let there: Vec<&Device<'_>> =
                mine.iter().filter(|d| d.connect.comet.as_deref() == comet).copied().collect();
            violations.extend(answer.judge(user, comet.unwrap_or("its comet"), shown, &there));
        }
        let elsewhere = shown.iter().filter(|one| {
            !mine.iter().any(|d| d.connect.comet.as_deref().is_none_or(|comet| comet == one.comet))
        });
        let phantom = |one: &Seen| format!("on {}, where it never was", one.comet);
        violations.extend(elsewhere.map(phantom).map(told));
    }
    comings::check(history, &mut violations);
    if judged == 0 {
        return Verdict::Unknown("no user with a device was asked about".into());
    }
    Verdict::of(violations)
}

/// What cannot be of the connections alone.
fn once(shown: &[Seen]) -> Option<String> {
    let seqs: BTreeSet<u64> = shown.iter().map(|one| one.seq).collect();
    if seqs.len() < shown.len() {
        return Some("with one connection twice".to_owned());
    }
    let mut lives: BTreeMap<&str, u64> = BTreeMap::new();
    for one in shown {
        let life = *lives.entry(&one.comet).or_insert(one.incarnation);
        if life != one.incarnation {
            let lives = format!("{life} and {}", one.incarnation);
            return Some(format!("on {} in two of its lives: {lives}", one.comet));
        }
    }
    None
}

/// One answer.
struct Answer<'h, 'a> {
    history: &'h History<'a>,
    settings: &'h Settings,
    facts: &'h Facts<'h, 'a>,
    devices: &'h Devices<'h, 'a>,
    operation: &'h Operation<'a>,
}

impl Answer<'_, '_> {
    fn judge(
        &self,
        user: &str,
        comet: &str,
        shown: usize,
        there: &[&Device<'_>],
    ) -> Option<Violation> {
        let (began, told) = (self.operation.began(), self.operation.told_by());
        let certain: Vec<&&Device<'_>> = there
            .iter()
            .filter(|device| device.connected < began && device.heard > told)
            .filter(|device| self.devices.is_bound(self.facts, device, began, told))
            .collect();
        if shown < certain.len() {
            let who: Vec<u64> = certain.iter().map(|device| device.connect.conn).collect();
            let text = format!(
                "{user} is shown with {shown} connections on {comet}, but its devices {who:?} were connected"
            );
            let events = certain.iter().map(|device| device.connected);
            return Some(Violation::new(events.chain([began, told]), text));
        }
        let possible = there.iter().filter(|d| d.began < told && !self.is_past(d.left)).count();
        (shown > possible).then(|| {
            let text = format!(
                "{user} is shown with {shown} connections on {comet}, but at most {possible} can be left"
            );
            Violation::new([began, told], text)
        })
    }

    /// Whether what ended at an event must be gone by now.
    fn is_past(&self, left: u64) -> bool {
        let began = self.operation.began();
        let Some(calm) = self.devices.calm.since(began).filter(|_| left != u64::MAX) else {
            return false;
        };
        let bound = self.settings.silence + self.settings.lease * 2 + self.settings.margin;
        let over = self.history.time(left).max(calm).saturating_add(nanos(bound));
        over < self.history.time(began)
    }
}
