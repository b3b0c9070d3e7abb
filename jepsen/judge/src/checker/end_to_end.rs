//! A push after an acknowledged connect arrives or its receipt says why not, and nobody gets another's message.

use std::collections::{BTreeMap, BTreeSet};

use super::Property;
use crate::facts::{Device, Devices, Facts};
use crate::history::{Deliver, EVERYBODY, History, Kind, Op, Operation, Push, Receipt, Told};
use crate::settings::Settings;
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "end-to-end",
    source: "Jepsen's queue and set tests, applied from backend to device",
    needs: &["push", "deliver"],
    check,
    covers: None,
};

/// What arrived of one message: connection → event.
type Arrived = BTreeMap<u64, u64>;

/// - Each delivery is of a message that was pushed, to an address of the device that got it or to a room
///   that it was in, and happens once a connection; a failed push is never delivered.
/// - A push acknowledged with a receipt reached each device that was connected (in the room) before the
///   push began, stayed until the receipt and sent something afterwards that its comet answered, which
///   writes to a device in order; unless the receipt excuses as many (filtered, dropped, unknown,
///   incomplete), or the device's routes may have been away, because its comet's life had perhaps ended.
/// - What a receipt calls acked has arrived.
///
/// Where no push had to reach anybody, or all of them are excused, and nothing is wrong, nothing is known.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let facts = Facts::new(history, settings);
    let devices = Devices::new(history, settings);
    let mut pushes: BTreeMap<&str, &Operation<'_>> = BTreeMap::new();
    for operation in &history.operations {
        if let Op::Push(push) = operation.op() {
            pushes.insert(&push.message, operation);
        }
    }
    let mut violations = Vec::new();
    let mut arrived: BTreeMap<&str, Arrived> = BTreeMap::new();
    for event in history.events {
        let Op::Deliver(deliver) = &event.op else { continue };
        if let Some(violation) = addressed(event.index, deliver, &pushes, &devices) {
            violations.push(violation);
        }
        let of_message = arrived.entry(&deliver.message).or_default();
        if let Some(first) = of_message.insert(deliver.conn, event.index) {
            let text = format!("{} was delivered to {} twice", deliver.message, deliver.conn);
            violations.push(Violation::new([first, event.index], text));
        }
    }
    let by_address = devices.by_address();
    let nothing = Arrived::new();
    let (mut due, mut came) = (0, 0);
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        if let Op::Push(push) = operation.op() {
            let arrived = arrived.get(push.message.as_str()).unwrap_or(&nothing);
            let of_push = OfPush { facts: &facts, devices: &devices, operation, push, arrived };
            let devices = by_address.get(push.to.as_str()).map_or(&[][..], Vec::as_slice);
            let reached: Vec<&Device<'_>> =
                devices.iter().copied().filter(|device| of_push.must_reach(device)).collect();
            due += reached.len();
            let has_it = |device: &&&Device<'_>| arrived.contains_key(&device.connect.conn);
            came += reached.iter().filter(has_it).count();
            violations.extend(of_push.complete(&reached));
        }
    }
    if due == 0 && violations.is_empty() {
        return Verdict::Unknown("no push had to reach anybody".into());
    }
    if came == 0 && violations.is_empty() {
        return Verdict::Unknown(format!(
            "{due} times a push had to reach somebody, and never did"
        ));
    }
    Verdict::of(violations)
}

fn addressed(
    event: u64,
    deliver: &Deliver,
    pushes: &BTreeMap<&str, &Operation<'_>>,
    devices: &Devices<'_, '_>,
) -> Option<Violation> {
    let message = &deliver.message;
    let violated = |other, text| Some(Violation::new([other, event], text));
    let Some(operation) = pushes.get(message.as_str()).filter(|push| push.began() < event) else {
        return violated(u64::MAX, format!("{message} was delivered, but never pushed"));
    };
    let Op::Push(push) = operation.op() else { return None };
    if operation.kind() == Kind::Fail {
        return violated(
            operation.told_by(),
            format!("{message} was delivered, but its push failed"),
        );
    }
    let Some(device) = devices.all.get(&deliver.conn) else {
        return violated(
            operation.began(),
            format!("{message} was delivered to connection {}, which never was", deliver.conn),
        );
    };
    if is_named(device, &push.to) {
        return None;
    }
    let stays = device.rooms.get(push.to.as_str()).map(Vec::as_slice).unwrap_or_default();
    match stays.iter().any(|stay| stay.joining < event && stay.left > operation.began()) {
        true => None,
        false => violated(
            operation.began(),
            format!("{message} is for {}, but {} of {} got it", push.to, deliver.conn, deliver.to),
        ),
    }
}

fn is_named(device: &Device<'_>, to: &str) -> bool {
    [EVERYBODY, &device.connect.user].contains(&to) || device.connect.second.as_deref() == Some(to)
}

/// One acknowledged push with all that judges it.
struct OfPush<'h, 'a> {
    facts: &'h Facts<'h, 'a>,
    devices: &'h Devices<'h, 'a>,
    operation: &'h Operation<'a>,
    push: &'a Push,
    arrived: &'h Arrived,
}

impl OfPush<'_, '_> {
    /// Judges a push by those whom it must have reached unless its receipt says why not.
    fn complete(&self, devices: &[&Device<'_>]) -> Option<Violation> {
        let nothing = Receipt::default();
        let receipt = self.push.receipt.as_ref().unwrap_or(&nothing);
        let event = self.operation.told_by();
        let acked = receipt.reports.iter().filter(|report| report.told == Told::Acked);
        let has_more = |conn: &u64| self.devices.all.get(conn).is_some_and(|d| d.heard > event);
        let untrue = acked
            .filter_map(|report| report.conn)
            .find(|conn| has_more(conn) && !self.arrived.contains_key(conn));
        if let Some(conn) = untrue {
            let text = format!("{} is acked by {conn}, which never got it", self.push.message);
            return Some(Violation::new([event], text));
        }
        if receipt.incomplete {
            return None;
        }
        let excuses = receipt
            .reports
            .iter()
            .filter(|report| matches!(report.told, Told::Filtered | Told::Dropped | Told::Unknown));
        let named: BTreeSet<u64> = excuses.clone().filter_map(|report| report.conn).collect();
        let unnamed = excuses.filter(|report| report.conn.is_none()).count();
        let missed: Vec<&Device<'_>> = devices
            .iter()
            .copied()
            .filter(|device| !self.arrived.contains_key(&device.connect.conn))
            .filter(|device| !named.contains(&device.connect.conn))
            .collect();
        if missed.len() <= unnamed {
            return None;
        }
        let who: Vec<u64> = missed.iter().map(|device| device.connect.conn).collect();
        let events = missed.iter().map(|device| device.connected);
        let text = format!(
            "{} for {} never reached connections {who:?}, and its receipt does not say why",
            self.push.message, self.push.to
        );
        Some(Violation::new(events.chain([self.operation.began(), event]), text))
    }

    fn must_reach(&self, device: &Device<'_>) -> bool {
        let (began, told) = (self.operation.began(), self.operation.told_by());
        if device.connected >= began || device.heard <= told {
            return false;
        }
        let rooms = device.rooms.get(self.push.to.as_str()).map(Vec::as_slice).unwrap_or_default();
        let is_meant = is_named(device, &self.push.to)
            || rooms.iter().any(|stay| stay.joined < began && stay.leaving > told);
        is_meant && self.devices.is_bound(self.facts, device, began, told)
    }
}
