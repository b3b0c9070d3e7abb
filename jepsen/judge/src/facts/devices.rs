//! Devices: when each device's connection certainly stood, and when it may have.

use std::collections::BTreeMap;

use super::{Calm, Facts, Sightings};
use crate::history::{Connect, EVERYBODY, History, Op};
use crate::settings::{Settings, nanos};

/// One device's connection. Events are indices; `u64::MAX` is never.
#[derive(Debug, Clone)]
pub(crate) struct Device<'a> {
    pub(crate) connect: &'a Connect,
    /// It may be connected from here on.
    pub(crate) began: u64,
    /// It was told that it is connected.
    pub(crate) connected: u64,
    /// Its comet certainly still had the connection then: it answered what the device sent afterwards.
    pub(crate) heard: u64,
    /// It began to disconnect, or lost the connection.
    pub(crate) leaving: u64,
    /// It was no longer connected.
    pub(crate) left: u64,
    /// room → its stays there, in order.
    pub(crate) rooms: BTreeMap<&'a str, Vec<Stay>>,
}

/// A device's stay in a room, as events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stay {
    pub(crate) joining: u64,
    pub(crate) joined: u64,
    pub(crate) leaving: u64,
    pub(crate) left: u64,
}

impl Stay {
    fn new(joining: u64, joined: u64) -> Self {
        Self { joining, joined, leaving: u64::MAX, left: u64::MAX }
    }
}

/// All devices' connections by their numbers, and what is known of their comets.
pub(crate) struct Devices<'h, 'a> {
    pub(crate) all: BTreeMap<u64, Device<'a>>,
    history: &'h History<'a>,
    sightings: Sightings<'a>,
    pub(crate) calm: Calm,
    /// Longest time until a comet has bound its devices again, in nanoseconds.
    patience: u64,
}

impl<'h, 'a> Devices<'h, 'a> {
    /// The devices that a push to an address may be for: of a user, a second address, a room, or everybody.
    pub(crate) fn by_address(&self) -> BTreeMap<&'a str, Vec<&Device<'a>>> {
        let mut by_address: BTreeMap<&'a str, Vec<&Device<'a>>> = BTreeMap::new();
        for device in self.all.values() {
            let connect = device.connect;
            let named = [Some(connect.user.as_str()), connect.second.as_deref(), Some(EVERYBODY)];
            let rooms = device.rooms.keys().copied();
            for address in named.into_iter().flatten().chain(rooms) {
                by_address.entry(address).or_default().push(device);
            }
        }
        by_address
    }

    pub(crate) fn new(history: &'h History<'a>, settings: &Settings) -> Self {
        let mut devices = Self {
            all: BTreeMap::new(),
            history,
            sightings: Sightings::new(history),
            calm: Calm::new(history),
            patience: nanos(settings.recovery + settings.lease),
        };
        for operation in &history.operations {
            let (began, ended) = (operation.began(), operation.told_by());
            let acknowledged = if operation.is_ok() { ended } else { u64::MAX };
            match operation.op() {
                Op::Connect(connect) => {
                    let failed = operation.kind() == crate::history::Kind::Fail;
                    let stay = Stay::new(began, acknowledged);
                    let rooms =
                        connect.rooms.iter().map(|room| (room.as_str(), vec![stay])).collect();
                    let left = if failed { ended } else { u64::MAX };
                    let (connected, leaving) = (acknowledged, left);
                    let heard = 0;
                    let device = Device { connect, began, connected, heard, leaving, left, rooms };
                    devices.all.insert(connect.conn, device);
                }
                Op::Disconnect(named) => {
                    if let Some(device) = devices.all.get_mut(&named.conn) {
                        device.leaving = device.leaving.min(began);
                        device.left = device.left.min(ended);
                    }
                }
                Op::Heartbeat(named) => devices.answered(named.conn, began, acknowledged),
                Op::Join(joined) => {
                    devices.answered(joined.conn, began, acknowledged);
                    if let Some(device) = devices.all.get_mut(&joined.conn) {
                        let stays = device.rooms.entry(&joined.room).or_default();
                        stays.push(Stay::new(began, acknowledged));
                    }
                }
                Op::Leave(joined) => {
                    devices.answered(joined.conn, began, acknowledged);
                    let device = devices.all.get_mut(&joined.conn);
                    let stay = device.and_then(|d| d.rooms.get_mut(joined.room.as_str()));
                    if let Some(stay) = stay.and_then(|stays| stays.last_mut()) {
                        stay.leaving = stay.leaving.min(began);
                        stay.left = stay.left.min(acknowledged);
                    }
                }
                _ => {}
            }
        }
        devices
    }

    /// What a device asked was answered.
    fn answered(&mut self, conn: u64, began: u64, acknowledged: u64) {
        if let Some(device) = self.all.get_mut(&conn).filter(|_| acknowledged != u64::MAX) {
            device.heard = device.heard.max(began);
        }
    }

    /// Whether the device certainly had its routes from one event until another, if its comet still had the
    /// connection: it connected in the life in which its comet certainly was all that time, or its comet has
    /// been in that life for long enough, with nothing broken or mended meanwhile, to have bound it again.
    pub(crate) fn is_bound(
        &self,
        facts: &Facts<'_, '_>,
        device: &Device<'_>,
        from: u64,
        until: u64,
    ) -> bool {
        let Some(comet) = device.connect.comet.as_deref() else { return false };
        let calm = self.calm.since(from);
        let is_patient = |since: u64| {
            calm.is_some_and(|calm| since.max(calm) + self.patience <= self.history.time(from))
        };
        if !self.sightings.is_empty() {
            // In the life in which it connected nothing that is broken meanwhile takes its routes away.
            let Some(life) = self.sightings.until(comet, until) else { return false };
            let first = self.sightings.first(comet, life);
            return self.sightings.before(comet, device.began) == Some(life)
                || first.is_some_and(|first| first < from && is_patient(self.history.time(first)));
        }
        // Nobody looked: what the history says of its lives must do.
        if calm.is_none() {
            return false;
        }
        let Some(comet) = facts.comets.find(comet) else { return true };
        let settled = self.history.time(from).saturating_sub(self.patience);
        let settled = self.history.events.partition_point(|event| event.time < settled) as u64;
        let Some(life) = facts.ends.current(comet, settled.max(device.connected)) else {
            return true;
        };
        facts.ends.earliest(comet, life).is_none_or(|event| event > until)
    }
}
