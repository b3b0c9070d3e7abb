//! Worker: a thread that owns connections and everything that reaches them. Nobody else touches them;
//! the worker is told by mail what to do.

mod connections;
mod fanout;
mod rooms;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use orrery_model::message::CloseReason;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::connections::Connections;
use self::rooms::Rooms;
pub(crate) use self::turn::Turn;
use crate::comet::Comet;
use crate::connection;
use crate::limits::{DELIVERIES_PER_TURN, MAIL_BATCH, READ_BYTES, SWEEP_PERIOD, SWEEP_SLICES};
use crate::mailbox::ToWorker;

/// One worker's own things.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) comet: Arc<Comet>,
    pub(crate) connections: RefCell<Connections>,
    pub(crate) rooms: RefCell<Rooms>,
    /// What is being read, by whichever connection is reading.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    pub(crate) turn: Rc<Turn>,
    /// All connections were told to close: none begins any more.
    pub(crate) closing: CancellationToken,
    /// When the worker's milliseconds began.
    began: Instant,
    /// The slice of slots that is looked at next.
    slice: Cell<usize>,
}

/// Runs a worker until it was told to close all connections and has done so, or nobody can reach it.
pub(crate) async fn run(comet: Arc<Comet>, index: usize, mut mailbox: mpsc::Receiver<ToWorker>) {
    let worker = Rc::new(Worker {
        index,
        comet,
        connections: RefCell::default(),
        rooms: RefCell::default(),
        scratch: RefCell::new(vec![0; READ_BYTES].into()),
        turn: Rc::default(),
        closing: CancellationToken::new(),
        began: Instant::now(),
        slice: Cell::new(0),
    });
    let mut tasks = Tasks { connections: JoinSet::new(), broadcasts: JoinSet::new() };
    let mut sweep = interval(SWEEP_PERIOD);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut backlog = VecDeque::new();
    let mut mail = Vec::with_capacity(MAIL_BATCH);
    while !worker.closing.is_cancelled() || !tasks.connections.is_empty() {
        while worker.turn.is_over() && !backlog.is_empty() {
            let most = backlog.len().min(DELIVERIES_PER_TURN);
            for delivery in backlog.drain(..most) {
                worker.deliver(delivery, &mut tasks.broadcasts);
            }
        }
        tokio::select! {
            biased;
            // Rare, short, and what notices the silent ones.
            _ = sweep.tick() => worker.sweep(),
            // Those who were given something come first; see there.
            () = worker.turn.over(), if !worker.turn.is_over() => {}
            n = mailbox.recv_many(&mut mail, MAIL_BATCH), if worker.turn.is_over() => {
                if n == 0 {
                    return;
                }
                for mail in mail.drain(..) {
                    match mail {
                        ToWorker::Deliver(deliveries) => backlog.extend(deliveries),
                        // It was on its way when the closing began.
                        ToWorker::Arrived(_) if worker.closing.is_cancelled() => {}
                        ToWorker::Arrived(arrival) => {
                            tasks.connections.spawn_local(connection::run(worker.clone(), arrival));
                        }
                        mail => worker.obey(mail),
                    }
                }
            }
            Some(ended) = tasks.connections.join_next(), if !tasks.connections.is_empty() => {
                if ended.is_err_and(|error| error.is_panic()) {
                    worker.comet.metrics.panics.inc();
                    tracing::error!(worker = index, "a connection's task panicked");
                }
            }
            Some(_) = tasks.broadcasts.join_next(), if !tasks.broadcasts.is_empty() => {}
        }
    }
}

/// What a worker runs beside itself; it ends with the worker.
struct Tasks {
    connections: JoinSet<()>,
    broadcasts: JoinSet<()>,
}

impl Worker {
    /// Milliseconds of the worker's own monotonic clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.ms_of(Instant::now())
    }

    /// A moment on that clock.
    pub(crate) fn ms_of(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Does to single connections what somebody wants.
    fn obey(&self, mail: ToWorker) {
        match mail {
            ToWorker::Arrived(_) | ToWorker::Deliver(_) => {}
            ToWorker::Close { conn, address, seq, reason } => {
                if let Some(connection) = self.connections.borrow().get(conn) {
                    connection.close_named(address, seq, reason);
                }
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
            ToWorker::CloseAll(reason) => self.close_all(reason),
            ToWorker::Rebind(conn) => {
                if let Some(connection) = self.connections.borrow().get(conn) {
                    connection.rebind();
                }
            }
        }
    }

    fn close_all(&self, reason: CloseReason) {
        self.closing.cancel();
        for connection in self.connections.borrow().iter() {
            connection.close(reason);
        }
    }

    /// Looks at the next slice of connections; all of them have their turn within a second.
    fn sweep(&self) {
        let connections = self.connections.borrow();
        let (slots, slice) = (connections.slots(), self.slice.get());
        let now_ms = self.now_ms();
        for slot in slots * slice / SWEEP_SLICES..slots * (slice + 1) / SWEEP_SLICES {
            if let Some(connection) = connections.at(slot) {
                connection.sweep(now_ms);
            }
        }
        self.slice.set((slice + 1) % SWEEP_SLICES);
    }
}
