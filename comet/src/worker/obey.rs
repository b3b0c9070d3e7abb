//! Obey: what a worker is told to do with single connections, and asked about them.

use orrery_model::Incarnation;
use orrery_model::message::CloseReason;

use super::Worker;
use crate::drain::Elsewhere;
use crate::limits::{AUDIT_PAGE, SLOW_PAGE};
use crate::mailbox::{Roll, ToWorker};
use crate::slow::{SlowPage, Slowest};

impl Worker {
    /// Does to single connections what somebody wants.
    pub(super) fn obey(&self, mail: ToWorker) {
        match mail {
            ToWorker::Arrived(_) | ToWorker::Deliver(_) => {}
            ToWorker::Close { conn, address, seq, reason } => {
                if let Some(connection) = self.connections.borrow().get(conn) {
                    connection.close_named(address, seq, reason);
                }
            }
            ToWorker::Lost { conn, address, seq } => {
                let connections = self.connections.borrow();
                if connections.get(conn).is_some_and(|connection| connection.lose(&address, seq)) {
                    self.comet.metrics.audit_missing_routes.inc();
                }
            }
            ToWorker::CallRoll { from, incarnation, answer } => {
                // Whoever asked may have stopped waiting.
                let _ = answer.send(self.call_roll(from, incarnation));
            }
            ToWorker::CloseOne(reason, answer) => {
                let connections = self.connections.borrow();
                let any = connections.iter().find(|connection| !connection.is_closing());
                if let Some(connection) = any {
                    connection.close(reason);
                }
                // Whoever asked may have stopped waiting.
                let _ = answer.send(any.is_some());
            }
            ToWorker::SendAway { most, elsewhere, answer } => {
                // Whoever asked may have stopped waiting.
                let _ = answer.send(self.send_away(most, &elsewhere));
            }
            ToWorker::FindSlow { from, most, answer } => {
                // As above.
                let _ = answer.send(self.find_slow(from, most));
            }
            ToWorker::CloseAll(reason) => self.close_all(reason),
            ToWorker::Rebind(conn) => {
                if let Some(connection) = self.connections.borrow().get(conn) {
                    connection.rebind();
                }
            }
        }
    }

    /// Sends some connections elsewhere; gives how many.
    fn send_away(&self, most: usize, elsewhere: &Elsewhere) -> usize {
        let connections = self.connections.borrow();
        let slots = connections.slots();
        // Begins where it stopped the last time: those before that one are mostly gone.
        let from = self.sent_away.get();
        let mut sent = 0;
        for slot in (0..slots).map(|step| (from + step) % slots) {
            if sent == most {
                self.sent_away.set(slot);
                break;
            }
            if let Some(connection) = connections.at(slot).filter(|it| !it.is_closing()) {
                let hint = elsewhere.hint(&*self.comet.random);
                connection.send_away(hint);
                sent += 1;
            }
        }
        sent
    }

    /// The slowest devices in some slots.
    fn find_slow(&self, from: usize, most: usize) -> SlowPage {
        let connections = self.connections.borrow();
        let end = from.saturating_add(SLOW_PAGE).min(connections.slots());
        let mut slowest = Slowest::new(most);
        for slot in from..end {
            if let Some(connection) = connections.at(slot)
                && let Some(lag) = connection.lag()
                && slowest.is_among(lag)
            {
                slowest.insert(connection.slow_device(lag));
            }
        }
        let next = (end < connections.slots()).then_some(end);
        SlowPage { devices: slowest.into_devices(), next }
    }

    fn close_all(&self, reason: CloseReason) {
        self.closing.cancel();
        for connection in self.connections.borrow().iter() {
            connection.close(reason);
        }
    }

    /// What the connections in some slots are called.
    fn call_roll(&self, from: usize, incarnation: Incarnation) -> Roll {
        let connections = self.connections.borrow();
        let end = from.saturating_add(AUDIT_PAGE).min(connections.slots());
        let called = (from..end).filter_map(|slot| {
            let connection = connections.at(slot)?;
            Some((connection.conn(), connection.names_in(incarnation)?))
        });
        Roll { called: called.collect(), next: (end < connections.slots()).then_some(end) }
    }
}
