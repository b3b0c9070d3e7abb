//! Naming: what the registry calls a connection, and what is held until that is known.

use std::sync::Arc;

use orrery_comet_core::{Accepts, Established};
use orrery_model::message::{CloseReason, Delivered, DropReason, WhenFull};
use orrery_model::{Address, Incarnation, Seq};

use super::Connection;
use super::agenda::Held;
use crate::delivery::{Delivery, Slip, Work};
use crate::limits::HELD_MAX;
use crate::presence::Names;

impl Connection {
    /// Carries out what a delivery wants of one target, if the connection is called so; holds it while
    /// that is not known.
    pub(crate) fn take_target(&self, delivery: &Arc<Delivery>, number: usize) {
        self.take_waiting();
        self.take_or_hold(delivery, number, delivery.when_full);
    }

    fn take_or_hold(&self, delivery: &Arc<Delivery>, number: usize, when_full: WhenFull) {
        match self.knows_names_of(delivery.incarnation) {
            true => self.take_known(delivery, number, when_full),
            false => match self.hold(Held::Target(delivery.clone(), number)) {
                Ok(()) => delivery.held(),
                Err(_) => delivery.say(number, Delivered::Dropped(DropReason::BindingFull)),
            },
        }
    }

    fn take_known(&self, delivery: &Arc<Delivery>, number: usize, when_full: WhenFull) {
        let target = &delivery.work.targets()[number];
        let is_called = target.address.as_ref().is_some_and(|it| self.is_called(it, target.seq));
        if !is_called {
            return delivery.say(number, Delivered::NotHere);
        }
        match &delivery.work {
            Work::Push { encoded, .. } => {
                let slip = Slip::of(delivery, Some(number));
                let op = encoded.message().op;
                let bytes = encoded.bytes(self.dialect);
                let pushed = self.push_addressed(bytes, op, slip, when_full);
                if let Some(delivered) = pushed.delivered() {
                    delivery.say(number, delivered);
                }
            }
            Work::Close { reason, .. } => {
                self.close(*reason);
                delivery.say(number, Delivered::Queued);
            }
            Work::Room { .. } | Work::All { .. } => {}
        }
    }

    /// Closes it, if it is called so; waits while that is not known.
    pub(crate) fn close_named(&self, address: Address, seq: Seq, reason: CloseReason) {
        if !self.is_ready() {
            // If there is no room, logic's own word to close it is held or refused as well, and the
            // registry has its route no more.
            let _ = self.hold(Held::Close(address, seq, reason));
        } else if self.is_called(&address, seq) {
            self.close(reason);
        }
    }

    /// Closes it, if it is called so, since the registry has lost that route; tells whether it does.
    pub(crate) fn lose(&self, address: &Address, seq: Seq) -> bool {
        let lost = !self.is_closing() && self.is_called(address, seq);
        if lost {
            self.close(CloseReason::Lost);
        }
        lost
    }

    /// What it is called in a life of the comet, unless it is being bound (again) or closed.
    pub(crate) fn names_in(&self, incarnation: Incarnation) -> Option<Arc<Names>> {
        let names = self.names.borrow();
        names.clone().filter(|names| names.incarnation == incarnation && !self.is_closing())
    }

    /// Tells the device that it is connected and lets go of what was held.
    pub(super) fn greet(
        &self,
        names: Arc<Names>,
        established: &Established<'_>,
        accepts: Accepts,
        now_ms: u64,
    ) {
        let reply = self.session.borrow_mut().handle_established(established, accepts, now_ms);
        // Nothing where somebody closed the connection meanwhile.
        if let Some(reply) = reply {
            self.answer(reply);
            self.named(names);
        }
    }

    /// Takes what the registry calls it from now on.
    pub(super) fn named(&self, names: Arc<Names>) {
        *self.names.borrow_mut() = Some(names);
        // Taken first: what is for a later life still is held again.
        let held = self.agenda.take_held();
        for held in held {
            match held {
                // What waits in its rooms came after all that is held.
                Held::Target(delivery, number) => {
                    // It is we who have it wait: that all of it comes at once does not make the device slow.
                    let when_full = match delivery.when_full {
                        WhenFull::Close => WhenFull::DropNewest,
                        when_full => when_full,
                    };
                    self.take_or_hold(&delivery, number, when_full);
                }
                Held::Room(bytes, frames, slip) => {
                    self.outbox.borrow_mut().push_promised(bytes, frames, slip);
                }
                Held::Close(address, seq, reason) => self.close_named(address, seq, reason),
            }
        }
    }

    pub(super) fn hold(&self, held: Held) -> Result<(), Held> {
        let promised = self.agenda.promised();
        let more = held.promised();
        let full = more > 0 && promised > 0 && promised + more > self.limits().bytes;
        if full || self.agenda.held() >= HELD_MAX {
            return Err(held);
        }
        self.agenda.hold(held);
        Ok(())
    }

    pub(super) fn is_holding_all_it_may(&self) -> bool {
        self.agenda.held() >= HELD_MAX || self.agenda.promised() >= self.limits().bytes
    }

    fn knows_names_of(&self, incarnation: Incarnation) -> bool {
        self.names.borrow().as_ref().is_some_and(|names| names.incarnation >= incarnation)
    }

    fn is_called(&self, address: &Address, seq: Seq) -> bool {
        self.names.borrow().as_ref().is_some_and(|names| names.has(address, seq))
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use bytes::Bytes;
    use orrery_comet_core::{Dialect, Encoded, Session};
    use orrery_model::message::Message;
    use orrery_model::{Conn, Id};
    use tokio::sync::{Semaphore, mpsc};

    use super::*;
    use crate::connection::Shared;
    use crate::delivery::{ReplyTo, Target};
    use crate::outbox::OutboxLimits;

    fn names(incarnation: u64, seq: u64) -> Arc<Names> {
        let primary = (Address::user(Id::new("1").unwrap()), Seq(seq));
        Arc::new(Names { incarnation: Incarnation(incarnation), primary, secondary: None })
    }

    /// A connection without a name, and what is to be done there once it has that of this life.
    fn nameless(
        incarnation: u64,
        work: impl FnOnce(Vec<Target>) -> Work,
    ) -> (Connection, Arc<Delivery>) {
        let limits = OutboxLimits { frames: 8, bytes: 1024 };
        let session = Session::new(Dialect::Tcp, 0);
        let connection = Connection::new(Conn(256), session, Shared::of(Rc::default(), limits));
        let (address, seq) = names(incarnation, 8).primary.clone();
        let work = work(vec![Target { address: Some(address), conn: Conn(256), seq }]);
        let (receipts, _sent) = mpsc::channel(1);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let reply = ReplyTo { receipts, place, nudge: None, due: None };
        let delivery =
            Delivery::new(1, Incarnation(incarnation), false, WhenFull::default(), work, reply);
        (connection, Arc::new(delivery))
    }

    fn close(targets: Vec<Target>) -> Work {
        Work::Close { targets, reason: CloseReason::Kicked }
    }

    fn push(targets: Vec<Target>) -> Work {
        let message = Message { op: 1, body: Bytes::new() };
        Work::Push { encoded: Encoded::new(message), targets }
    }

    #[test]
    fn what_is_held_for_a_later_life_is_held_on_when_an_earlier_one_gives_a_name() {
        let (connection, delivery) = nameless(2, close);
        connection.take_target(&delivery, 0);
        connection.named(names(1, 7));
        assert!(!connection.is_closing(), "it is not yet known what it is called in that life");
        connection.named(names(2, 8));
        assert!(connection.is_closing());
    }

    #[test]
    fn a_push_that_nobody_waits_for_any_more_is_let_go_and_a_close_is_not() {
        for (work, held) in [(push as fn(Vec<Target>) -> Work, 1), (close, 2)] {
            let (connection, delivery) = nameless(1, work);
            connection.take_target(&delivery, 0);
            connection.sweep(0);
            assert_eq!(Arc::strong_count(&delivery), 2, "it is waited for");
            delivery.expire();
            connection.sweep(0);
            assert_eq!(Arc::strong_count(&delivery), held);
        }
    }
}
