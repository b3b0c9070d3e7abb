//! Connection: the state of one device's connection as its worker sees it. The worker pushes, holds, closes and
//! [writes](writing); the connection's own [task] reads, goes on where the kernel took no more, and ends it.

mod agenda;
mod budget;
mod changes;
mod greet;
mod life;
mod member;
mod pushing;
mod task;
mod writing;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use orrery_comet_core::{Accepts, Close, Dialect, Established, Session};
use orrery_host::Stream;
use orrery_model::message::{CloseReason, Delivered, DropReason, WhenFull};
use orrery_model::{Address, Conn, Id, Incarnation, Seq};
use prometheus_client::metrics::counter::Counter;

use self::agenda::{Agenda, Change, Held};
use crate::delivery::{Delivery, Slip, Work};
use crate::drain::Hint;
use crate::limits::{CHANGES_WAITING_MAX, HELD_MAX};
use crate::outbox::{Lag, Outbox, OutboxLimits};
use crate::presence::Names;
use crate::slow::SlowDevice;
use crate::worker::{Busy, Coalescing, Room, Turn};

pub(crate) use self::budget::Flood;
pub(crate) use self::life::run;
pub(crate) use self::pushing::Pushed;
pub(crate) use self::writing::Wrote;

/// A room that a connection is in.
struct Membership {
    id: Id,
    room: Rc<Room>,
    /// Its slot there.
    slot: usize,
}

/// What the connections of a worker share with it.
pub(crate) struct Shared {
    pub(crate) turn: Rc<Turn>,
    pub(crate) coalescing: Rc<Coalescing>,
    /// Of each outbox.
    pub(crate) limits: OutboxLimits,
    /// Pushed frames that made room for newer ones.
    pub(crate) displaced: Counter,
    /// Connections that are given up, since something is wrong with our own code.
    pub(crate) panics: Counter,
}

#[cfg(test)]
impl Shared {
    /// What is shared with a worker that a test plays.
    fn of(turn: Rc<Turn>, limits: OutboxLimits) -> Rc<Self> {
        let (quiet, now) = (std::time::Duration::ZERO, tokio::time::Instant::now());
        let coalescing = Rc::new(Coalescing::new(quiet, now, (0, 1)));
        let (displaced, panics) = (Counter::default(), Counter::default());
        Rc::new(Self { turn, coalescing, limits, displaced, panics })
    }
}

/// One device's connection. A comet has very many of them, so that what is seldom there is elsewhere.
pub(crate) struct Connection {
    conn: Conn,
    dialect: Dialect,
    /// Whether the task was woken and has not run yet; the worker's turn counts it.
    woken: Cell<bool>,
    /// Whether what is in the outbox waits for more.
    waits: Cell<bool>,
    /// Whether the worker was asked to write and has not done so yet.
    asked: Cell<bool>,
    shared: Rc<Shared>,
    session: RefCell<Session>,
    outbox: RefCell<Outbox>,
    /// Taken out where only the last words are left to be said.
    stream: RefCell<Option<Box<dyn Stream>>>,
    /// Its slot among its worker's connections.
    slot: Cell<usize>,
    /// What the registry calls it; `None` until it is bound for the first time.
    names: RefCell<Option<Arc<Names>>>,
    agenda: Agenda,
    rooms: RefCell<Vec<Membership>>,
    waker: RefCell<Option<Waker>>,
    busy: Busy,
}

impl Connection {
    fn new(conn: Conn, session: Session, shared: Rc<Shared>) -> Self {
        Self {
            conn,
            dialect: session.dialect(),
            woken: Cell::new(false),
            waits: Cell::default(),
            asked: Cell::default(),
            shared,
            session: RefCell::new(session),
            outbox: RefCell::default(),
            stream: RefCell::default(),
            slot: Cell::default(),
            names: RefCell::default(),
            agenda: Agenda::default(),
            rooms: RefCell::default(),
            waker: RefCell::default(),
            busy: Busy::default(),
        }
    }

    pub(crate) fn conn(&self) -> Conn {
        self.conn
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether the device was told that it is connected.
    pub(crate) fn is_ready(&self) -> bool {
        self.names.borrow().is_some()
    }

    /// The namespace it belongs to; `None` also stands for the default one.
    pub(crate) fn is_in(&self, namespace: Option<&Id>) -> bool {
        let names = self.names.borrow();
        names.as_ref().is_some_and(|names| names.primary.0.namespace.as_ref() == namespace)
    }

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

    /// Has the task close it.
    pub(crate) fn close(&self, reason: CloseReason) {
        let close = self.session.borrow_mut().close(reason);
        self.agenda.close(close);
        self.wake();
    }

    /// Has the task close it, after a word when to come back, and where else.
    pub(crate) fn send_away(&self, hint: Hint) {
        let Hint { retry_after_ms, nodes } = hint;
        let close = self.session.borrow_mut().drain(retry_after_ms, nodes);
        self.agenda.close(close);
        self.wake();
    }

    /// How far its device is behind, where it is or was.
    pub(crate) fn lag(&self) -> Option<Lag> {
        self.outbox.borrow().lag()
    }

    /// The device with what was found of it.
    pub(crate) fn slow_device(&self, lag: Lag) -> SlowDevice {
        let names = self.names.borrow();
        let (primary, secondary) = match &*names {
            Some(names) => {
                let secondary = names.secondary.as_ref().map(|(address, _)| address.clone());
                (Some(names.primary.0.clone()), secondary)
            }
            None => (None, None),
        };
        SlowDevice { conn: self.conn, primary, secondary, dialect: self.dialect, lag }
    }

    /// Has it bind again under the comet's new incarnation. One that is being bound does so anyway.
    pub(crate) fn rebind(&self) {
        if self.is_ready() {
            self.agenda.add_change(Change::Rebind);
            self.wake();
        }
    }

    /// Looks at its deadline and gives back what an idle connection does not need.
    pub(crate) fn sweep(&self, now_ms: u64) {
        if let Some(close) = self.session.borrow_mut().handle_deadline(now_ms) {
            self.agenda.close(close);
            self.wake();
        }
        self.outbox.borrow_mut().sweep();
        self.agenda.tidy();
    }

    /// Tells the device that it is connected and lets go of what was held.
    fn greet(
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
    fn named(&self, names: Arc<Names>) {
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

    fn hold(&self, held: Held) -> Result<(), Held> {
        let promised = self.agenda.promised();
        let more = held.promised();
        let full = more > 0 && promised > 0 && promised + more > self.limits().bytes;
        if full || self.agenda.held() >= HELD_MAX {
            return Err(held);
        }
        self.agenda.hold(held);
        Ok(())
    }

    fn is_holding_all_it_may(&self) -> bool {
        self.agenda.held() >= HELD_MAX || self.agenda.promised() >= self.limits().bytes
    }

    fn limits(&self) -> OutboxLimits {
        self.shared.limits
    }

    fn knows_names_of(&self, incarnation: Incarnation) -> bool {
        self.names.borrow().as_ref().is_some_and(|names| names.incarnation >= incarnation)
    }

    fn is_called(&self, address: &Address, seq: Seq) -> bool {
        self.names.borrow().as_ref().is_some_and(|names| names.has(address, seq))
    }

    /// Answers the device.
    fn answer(&self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.outbox.borrow_mut().push_answer(bytes);
        }
    }

    /// Whether more changes may wait.
    fn may_change(&self) -> bool {
        self.agenda.changes() < CHANGES_WAITING_MAX
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow()
            && !self.woken.replace(true)
        {
            self.shared.turn.begin();
            waker.wake_by_ref();
        }
    }

    /// The task runs: says whom to wake next time, before it looks at what there is to do.
    fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.had_turn();
    }

    /// Its task looks at nothing any more: from now on there is nobody to wake, and what is held for it
    /// is not here.
    fn retire(&self) {
        self.agenda.take_held();
        self.waker.borrow_mut().take();
        self.had_turn();
    }

    fn had_turn(&self) {
        if self.woken.replace(false) {
            self.shared.turn.end();
        }
    }

    /// Whether somebody said that it is to be closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.agenda.is_closing()
    }

    /// How it is to be closed, once somebody said so.
    fn take_closing(&self) -> Option<Close> {
        self.agenda.take_closing()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.had_turn();
    }
}

#[cfg(test)]
mod tests {
    use orrery_comet_core::Encoded;
    use orrery_model::message::Message;
    use tokio::sync::{Semaphore, mpsc};

    use super::*;
    use crate::delivery::{ReplyTo, Target};

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
