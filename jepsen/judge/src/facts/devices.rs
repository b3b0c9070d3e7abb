//! Devices: when each device's connection certainly stood, and when it may have.

use std::collections::BTreeMap;

use super::{Comets, Ends};
use crate::history::{Connect, History, Op};

/// One device's connection. Events are indices; `u64::MAX` is never.
#[derive(Debug, Clone)]
pub(crate) struct Device<'a> {
    pub(crate) connect: &'a Connect,
    /// It may be connected from here on.
    pub(crate) began: u64,
    /// It was told that it is connected.
    pub(crate) connected: u64,
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

/// All devices' connections by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Devices<'a> {
    pub(crate) all: BTreeMap<u64, Device<'a>>,
}

impl<'a> Devices<'a> {
    /// The devices that a push to an address may be for: of a user, a second address, or a room.
    pub(crate) fn by_address(&self) -> BTreeMap<&'a str, Vec<&Device<'a>>> {
        let mut by_address: BTreeMap<&'a str, Vec<&Device<'a>>> = BTreeMap::new();
        for device in self.all.values() {
            let connect = device.connect;
            let named = [Some(connect.user.as_str()), connect.second.as_deref()];
            let rooms = device.rooms.keys().copied();
            for address in named.into_iter().flatten().chain(rooms) {
                by_address.entry(address).or_default().push(device);
            }
        }
        by_address
    }

    pub(crate) fn new(history: &History<'a>) -> Self {
        let mut devices = Self::default();
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
                    let device = Device { connect, began, connected, leaving, left, rooms };
                    devices.all.insert(connect.conn, device);
                }
                Op::Disconnect(named) => {
                    if let Some(device) = devices.all.get_mut(&named.conn) {
                        device.leaving = device.leaving.min(began);
                        device.left = device.left.min(ended);
                    }
                }
                Op::Join(joined) => {
                    if let Some(device) = devices.all.get_mut(&joined.conn) {
                        let stays = device.rooms.entry(&joined.room).or_default();
                        stays.push(Stay::new(began, acknowledged));
                    }
                }
                Op::Leave(joined) => {
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
}

impl Device<'_> {
    /// Whether its comet's life certainly went on from long enough before `from` for the device to be
    /// bound in it, until `until`; both are events, `grace` is in nanoseconds.
    pub(crate) fn is_held(
        &self,
        history: &History<'_>,
        comets: &Comets<'_>,
        ends: &Ends,
        from: u64,
        until: u64,
        grace: u64,
    ) -> bool {
        let Some(comet) = self.connect.comet.as_deref() else { return false };
        let Some(comet) = comets.find(comet) else { return true };
        let settled = history.time(from).saturating_sub(grace);
        let settled = history.events.partition_point(|event| event.time < settled) as u64;
        let Some(life) = ends.current(comet, settled.max(self.connected)) else { return true };
        ends.earliest(comet, life).is_none_or(|event| event > until)
    }
}
