//! Fan-out: carries deliveries to the connections of one worker. It never waits for a device.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use orrery_comet_core::{Dialect, Encoded};
use orrery_model::Id;
use orrery_model::message::{Delivered, DropReason};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Worker;
use super::audience::Audience;
use super::coalescing::Verdict;
use super::section::{Section, Waiting};
use crate::connection::{Connection, Pushed};
use crate::delivery::{Delivery, Slip, Work};
use crate::limits::BROADCASTS_MAX;
use crate::pace::Pace;
use crate::presence::worker_of;

impl Worker {
    /// Carries out a delivery; to how many it gave something.
    pub(super) fn deliver(
        self: &Rc<Self>,
        delivery: Arc<Delivery>,
        broadcasts: &mut JoinSet<()>,
    ) -> usize {
        let mut given = 0;
        match &delivery.work {
            Work::Push { targets, .. } | Work::Close { targets, .. } => {
                let connections = self.connections.borrow();
                for (number, target) in targets.iter().enumerate() {
                    if worker_of(target.conn) != self.index {
                        continue;
                    }
                    given += 1;
                    match connections.get(target.conn) {
                        Some(connection) => connection.take_target(&delivery, number),
                        None => delivery.say(number, Delivered::NotHere),
                    }
                }
            }
            Work::Room { encoded, room } => {
                let sections = self.rooms.borrow().get(room).to_vec();
                for section in &sections {
                    given += self.push_to_section(&delivery, encoded, section);
                }
                delivery.taken();
            }
            Work::All { encoded, namespace, rate: 0 } => {
                let mut fanout = FanOut::new(&delivery, encoded);
                for connection in self.connections.borrow().iter() {
                    fanout.push_to_all(connection, namespace.as_ref());
                    given += 1;
                }
                fanout.report();
                delivery.taken();
            }
            Work::All { namespace, .. } if broadcasts.len() >= BROADCASTS_MAX => {
                let connections = self.connections.borrow();
                let present = |it: &&Rc<Connection>| it.is_in(namespace.as_ref());
                let connections = connections.iter().filter(present).count();
                let refused = Delivered::Dropped(DropReason::Overloaded);
                delivery.count(refused, u32::try_from(connections).unwrap_or(u32::MAX));
                delivery.taken();
            }
            Work::All { rate, .. } => {
                broadcasts.spawn_local(self.clone().broadcast(delivery.clone(), *rate));
            }
        }
        given
    }

    /// Gives a push to a section, or to its members; to how many it gave it.
    fn push_to_section(
        &self,
        delivery: &Arc<Delivery>,
        encoded: &Arc<Encoded>,
        section: &Rc<Section>,
    ) -> usize {
        let idle = || !section.waits() && self.coalescing.verdict(&section.busy) == Verdict::Now;
        // Where each member's kernel has a word on it, it goes by itself, behind what waits.
        if delivery.wait_written || idle() {
            self.write_section(section);
            let mut fanout = FanOut::new(delivery, encoded);
            section.push_to_each(|connection| fanout.push_to_member(connection));
            fanout.report();
            self.section_written(section, 1);
            section.members()
        } else {
            if !section.has_room(encoded.message().body.len(), self.room_limits) {
                self.write_section(section);
            }
            let number = self.coalescing.number();
            let waiting = Waiting { number, encoded: encoded.clone() };
            let (queued, full) = section.wait(waiting, delivery.when_full);
            let count = |delivered, connections| {
                delivery.count(delivered, u32::try_from(connections).unwrap_or(u32::MAX));
            };
            count(Delivered::Queued, queued);
            count(Delivered::Dropped(DropReason::OutboxFull), full);
            // A single large one may be too much, too.
            if !section.has_room(0, self.room_limits) {
                self.write_section(section);
            } else if section.become_known() {
                self.coalescing.add_section(section.clone());
            }
            1
        }
    }

    /// Gives what waits in a section to its members.
    pub(super) fn write_section(&self, section: &Section) {
        if section.waits() {
            self.section_written(section, section.write());
        }
    }

    fn section_written(&self, section: &Section, pushes: usize) {
        self.coalescing.written(&section.busy);
        self.comet.metrics.room_sweeps.inc();
        self.comet.metrics.room_pushes.inc_by(pushes as u64);
    }

    /// Pushes to everybody at a rate over the whole comet, to which each worker contributes alike.
    async fn broadcast(self: Rc<Self>, delivery: Arc<Delivery>, rate: u32) {
        let Work::All { encoded, namespace, .. } = &delivery.work else { return };
        let mut fanout = FanOut::new(&delivery, encoded);
        let mut pace = Pace::per_second(f64::from(rate) / self.comet.presence.workers() as f64);
        let mut audience = Audience::of(&self.connections.borrow(), namespace.as_ref());
        delivery.await_turn(audience.waiting());
        delivery.taken();
        let present = |it: &&Rc<Connection>| it.is_in(namespace.as_ref());
        let present_at = |slot| self.connections.borrow().at(slot).filter(present).cloned();
        let mut next = 0;
        // Those who connect meanwhile may or may not be reached: they connected after the push.
        while next < self.connections.borrow().slots() {
            let slot = next;
            next += 1;
            // Whom it is not for costs no part of the pace.
            if present_at(slot).is_none() {
                continue;
            }
            pace.ready().await;
            // The worker's own loop may not have looked for a while.
            self.coalescing.look(Instant::now());
            // Looked for again: one that went during the pause takes nothing any more.
            if let Some(connection) = present_at(slot) {
                fanout.push_to_all(&connection, namespace.as_ref());
                fanout.report();
                delivery.had_turn(audience.had_turn(connection.conn()));
            }
        }
        // Those who went before their turn.
        delivery.had_turn(audience.waiting());
    }
}

/// One pass over many connections: the frames, and what became of them.
struct FanOut<'a> {
    delivery: &'a Arc<Delivery>,
    encoded: &'a Encoded,
    /// The frame in each dialect that was needed so far.
    forms: [Option<Bytes>; 4],
    queued: u32,
    filtered: u32,
    dropped: u32,
}

impl<'a> FanOut<'a> {
    fn new(delivery: &'a Arc<Delivery>, encoded: &'a Encoded) -> Self {
        Self { delivery, encoded, forms: [const { None }; 4], queued: 0, filtered: 0, dropped: 0 }
    }

    fn bytes(&mut self, dialect: Dialect) -> Bytes {
        let form = match dialect {
            Dialect::Tcp => &mut self.forms[0],
            Dialect::WebSocket => &mut self.forms[1],
            Dialect::Json => &mut self.forms[2],
            Dialect::Http => &mut self.forms[3],
        };
        form.get_or_insert_with(|| self.encoded.bytes(dialect)).clone()
    }

    fn push_to_member(&mut self, connection: &Connection) {
        connection.take_waiting();
        let bytes = self.bytes(connection.dialect());
        let slip = Slip::of(self.delivery, None);
        let pushed = connection.push_to_room(bytes, slip, self.delivery.when_full);
        self.count(pushed);
    }

    fn push_to_all(&mut self, connection: &Connection, namespace: Option<&Id>) {
        // One that is being bound was not connected when the push began.
        if connection.is_in(namespace) {
            connection.take_waiting();
            let bytes = self.bytes(connection.dialect());
            let op = self.encoded.message().op;
            let slip = Slip::of(self.delivery, None);
            let pushed = connection.push_addressed(bytes, op, slip, self.delivery.when_full);
            self.count(pushed);
        }
    }

    fn count(&mut self, pushed: Pushed) {
        match pushed {
            Pushed::Queued => self.queued += 1,
            Pushed::Pending => {}
            Pushed::Filtered => self.filtered += 1,
            Pushed::Dropped(_) => self.dropped += 1,
        }
    }

    /// Tells the delivery what was counted since the last time.
    fn report(&mut self) {
        for (delivered, connections) in [
            (Delivered::Queued, &mut self.queued),
            (Delivered::Filtered, &mut self.filtered),
            (Delivered::Dropped(DropReason::OutboxFull), &mut self.dropped),
        ] {
            self.delivery.count(delivered, std::mem::take(connections));
        }
    }
}
