//! Connection: the state of one device's connection as its worker sees it. The worker pushes, holds, closes and
//! [writes](writing); the connection's own [task] reads, goes on where the kernel took no more, and ends it.

mod agenda;
mod budget;
mod changes;
mod greet;
mod life;
mod member;
mod naming;
mod pushing;
mod task;
mod waking;
mod writing;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use orrery_comet_core::{Close, Dialect, Session};
use orrery_host::Stream;
use orrery_model::message::CloseReason;
use orrery_model::{Conn, Id};
use prometheus_client::metrics::counter::Counter;

use self::agenda::{Agenda, Change};
use crate::drain::Hint;
use crate::limits::CHANGES_WAITING_MAX;
use crate::outbox::{Lag, Outbox, OutboxLimits};
use crate::presence::Names;
use crate::slow::SlowDevice;
use crate::worker::{Busy, Coalescing, Section, Turn};

pub(crate) use self::budget::Flood;
pub(crate) use self::life::run;
pub(crate) use self::pushing::Pushed;
pub(crate) use self::writing::Wrote;

/// A room that a connection is in.
struct Membership {
    id: Id,
    section: Rc<Section>,
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
    /// Writes of what had to wait for more.
    pub(crate) waited: Counter,
    /// Connections that are given up, since something is wrong with our own code.
    pub(crate) panics: Counter,
}

#[cfg(test)]
impl Shared {
    /// What is shared with a worker that a test plays, for which nothing waits.
    pub(crate) fn of(turn: Rc<Turn>, limits: OutboxLimits) -> Rc<Self> {
        Self::within(std::time::Duration::ZERO, turn, limits)
    }

    /// The same where who is busy waits for so long.
    pub(crate) fn within(
        window: std::time::Duration,
        turn: Rc<Turn>,
        limits: OutboxLimits,
    ) -> Rc<Self> {
        let coalescing = Coalescing::new(window, tokio::time::Instant::now(), (0, 1));
        Rc::new(Self {
            turn,
            coalescing: Rc::new(coalescing),
            limits,
            displaced: Counter::default(),
            waited: Counter::default(),
            panics: Counter::default(),
        })
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
    pub(crate) fn new(conn: Conn, session: Session, shared: Rc<Shared>) -> Self {
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

    fn limits(&self) -> OutboxLimits {
        self.shared.limits
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

    /// Whether somebody said that it is to be closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.agenda.is_closing()
    }

    /// How it is to be closed, once somebody said so.
    fn take_closing(&self) -> Option<Close> {
        self.agenda.take_closing()
    }
}
