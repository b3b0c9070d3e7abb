//! Worker: a thread that owns connections and everything that reaches them. Nobody else touches them;
//! the worker is told by mail what to do.

mod audience;
mod clock;
mod coalescing;
mod connections;
mod fanout;
mod obey;
mod rooms;
mod run;
mod section;
mod sweep;
mod turn;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::clock::Clock;
pub(crate) use self::coalescing::{Busy, Coalescing, Verdict};
pub(crate) use self::connections::Connections;
#[cfg(test)]
pub(crate) use self::connections::Go;
use self::rooms::Rooms;
pub(crate) use self::run::run;
pub(crate) use self::section::Section;
#[cfg(test)]
pub(crate) use self::section::Waiting;
use self::sweep::Sweep;
pub(crate) use self::turn::Turn;
use crate::comet::Comet;
use crate::connection::Shared;
use crate::limits::READ_BYTES;
use crate::metrics::Seconds;
use crate::outbox::OutboxLimits;

/// One worker's own things.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) comet: Arc<Comet>,
    pub(crate) connections: RefCell<Connections>,
    pub(crate) rooms: RefCell<Rooms>,
    /// What is being read, by whichever connection is reading.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    pub(crate) turn: Rc<Turn>,
    pub(crate) coalescing: Rc<Coalescing>,
    /// The same for its connections.
    pub(crate) shared: Rc<Shared>,
    /// How much may wait in a section of a room.
    room_limits: OutboxLimits,
    /// All connections were told to close: none begins any more.
    pub(crate) closing: CancellationToken,
    /// What is told of how long a window is.
    window: Seconds,
    clock: Clock,
    sweep: Sweep,
    /// The slot at which the next connection is looked for that is sent elsewhere.
    sent_away: Cell<usize>,
}

impl Worker {
    fn new(comet: Arc<Comet>, index: usize) -> Self {
        let (window, began) = (comet.config.coalesce(), comet.began);
        let place = (index, comet.presence.workers());
        let room_limits = comet.room_limits();
        let (turn, coalescing) = (Rc::default(), Rc::new(Coalescing::new(window, began, place)));
        let limits = comet.outbox_limits();
        let shared = Shared {
            turn: Rc::clone(&turn),
            coalescing: Rc::clone(&coalescing),
            limits,
            displaced: comet.metrics.outbox_displaced.clone(),
            waited: comet.metrics.connection_writes_waited.clone(),
            panics: comet.metrics.panics.clone(),
        };
        let worker = Self {
            index,
            window: comet.metrics.coalesce_window(index),
            comet,
            connections: RefCell::default(),
            rooms: RefCell::default(),
            scratch: RefCell::new(vec![0; READ_BYTES].into()),
            turn,
            coalescing,
            shared: Rc::new(shared),
            room_limits,
            closing: CancellationToken::new(),
            clock: Clock::new(Instant::now()),
            sweep: Sweep::default(),
            sent_away: Cell::default(),
        };
        worker.tell_window();
        worker
    }

    /// Shows how long a window is.
    fn tell_window(&self) {
        self.window.set(self.coalescing.window().as_secs_f64());
    }

    /// Milliseconds of the worker's own monotonic clock.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.read(Instant::now()).as_millis()).unwrap_or(u64::MAX)
    }

    /// A moment to come on that clock.
    pub(crate) fn ms_of(&self, moment: Instant) -> u64 {
        let now = Instant::now();
        let then = self.clock.read(now) + moment.saturating_duration_since(now);
        u64::try_from(then.as_millis()).unwrap_or(u64::MAX)
    }

    /// Looks at the connections whose turn it is.
    fn sweep(&self) {
        let connections = self.connections.borrow();
        let due = self.sweep.due(connections.slots(), self.clock.look(Instant::now()));
        let now_ms = self.now_ms();
        for slot in due.into_iter().flatten() {
            if let Some(connection) = connections.at(slot) {
                connection.sweep(now_ms);
            }
        }
    }
}
