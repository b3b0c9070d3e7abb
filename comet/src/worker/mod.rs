//! Worker: a thread that owns connections and everything that reaches them. Nobody else touches them;
//! the worker is told by mail what to do.

mod clock;
mod coalescing;
mod connections;
mod fanout;
mod room;
mod rooms;
mod sweep;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use orrery_model::Incarnation;
use orrery_model::message::CloseReason;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet, yield_now};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::clock::Clock;
pub(crate) use self::coalescing::{Busy, Coalescing, Verdict};
pub(crate) use self::connections::{Connections, Go};
pub(crate) use self::room::Room;
#[cfg(test)]
pub(crate) use self::room::Waiting;
use self::rooms::Rooms;
use self::sweep::Sweep;
pub(crate) use self::turn::Turn;
use crate::comet::Comet;
use crate::connection::{self, Shared};
use crate::drain::Elsewhere;
use crate::limits::{
    AUDIT_PAGE, DELIVERIES_PER_TURN, MAIL_BATCH, MEMBERS_PER_TURN, READ_BYTES, SLOW_PAGE,
    SWEEP_PERIOD, WRITE_BYTES_MAX, WRITES_MAX,
};
use crate::mailbox::{Roll, ToWorker};
use crate::outbox::OutboxLimits;
use crate::slow::{SlowPage, Slowest};

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
    /// How much may wait in a room.
    room_limits: OutboxLimits,
    /// All connections were told to close: none begins any more.
    pub(crate) closing: CancellationToken,
    clock: Clock,
    sweep: Sweep,
    /// The slot at which the next connection is looked for that is sent elsewhere.
    sent_away: Cell<usize>,
}

/// Runs a worker until it was told to close all connections and has done so, or nobody can reach it.
pub(crate) async fn run(comet: Arc<Comet>, index: usize, mut mailbox: mpsc::Receiver<ToWorker>) {
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
        panics: comet.metrics.panics.clone(),
    };
    let worker = Rc::new(Worker {
        index,
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
    });
    let mut tasks = Tasks { connections: JoinSet::new(), broadcasts: JoinSet::new() };
    let mut sweep = interval(SWEEP_PERIOD);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut backlog = VecDeque::new();
    let mut mail = Vec::with_capacity(MAIL_BATCH);
    let mut due = Due::default();
    // Since the tasks had their turn.
    let mut left = WRITES;
    while !worker.closing.is_cancelled() || !tasks.connections.is_empty() {
        worker.coalescing.look(Instant::now());
        while worker.turn.is_over() && !(due.rooms.is_empty() && backlog.is_empty()) {
            worker.write_due(&mut due);
            for _ in 0..DELIVERIES_PER_TURN {
                let Some(delivery) = backlog.pop_front() else { break };
                worker.deliver(delivery, &mut tasks.broadcasts);
                // Others wait for it as for all that is written.
                left.bytes -= worker.turn.take_early().min(left.bytes);
                if left.bytes == 0 {
                    break;
                }
            }
        }
        if worker.turn.is_over() {
            worker.end_sweep(&mut due);
        }
        tokio::select! {
            biased;
            // Rare, short, and what notices the silent ones.
            _ = sweep.tick() => worker.sweep(),
            // Those who were given something come first; see there.
            () = worker.turn.over(), if !worker.turn.is_over() => {}
            () = worker.coalescing.due(), if worker.turn.is_over() => {
                due = worker.take_due(Instant::now());
            }
            // Not all that is due is written in one turn: mail that comes meanwhile is carried out with the next.
            n = mailbox.recv_many(&mut mail, MAIL_BATCH),
                if worker.turn.may_hear(backlog.is_empty() && !due.rooms.is_empty()) =>
            {
                if n == 0 {
                    return;
                }
                worker.turn.hear();
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
            () = worker.turn.asked() => {
                let is_blocked = worker.write(&mut left, &mut due);
                let is_more = worker.turn.is_asked() || !backlog.is_empty() || !due.rooms.is_empty();
                if is_blocked || is_more || left.connections == 0 || left.bytes == 0 {
                    left = WRITES;
                    // Those who have something to say need not wait for all of it, nor those whose kernel has room again.
                    yield_now().await;
                    // Nor is there an end of writing to wait for before the memory of those who went is free.
                    while let Some(ended) = tasks.connections.try_join_next() {
                        worker.task_ended(ended);
                    }
                }
            }
            Some(ended) = tasks.connections.join_next(), if !tasks.connections.is_empty() => {
                worker.task_ended(ended);
            }
            Some(_) = tasks.broadcasts.join_next(), if !tasks.broadcasts.is_empty() => {}
        }
    }
}

/// What has waited for others to be written with it, and its time has come.
#[derive(Default)]
struct Due {
    rooms: VecDeque<Rc<Room>>,
    /// How long writing it has taken so far; the turns of others in between are not part of it.
    took: Option<Duration>,
}

impl Due {
    /// Counts the time of a step of writing it, if there is anything to write.
    fn time<T>(&mut self, step: impl FnOnce(&mut Self) -> T) -> T {
        let began = Instant::now();
        let done = step(self);
        if let Some(took) = &mut self.took {
            *took += began.elapsed();
        }
        done
    }
}

/// What a worker writes before others have their turn.
const WRITES: Go = Go { connections: WRITES_MAX, bytes: WRITE_BYTES_MAX };

/// What a worker runs beside itself; it ends with the worker.
struct Tasks {
    connections: JoinSet<()>,
    broadcasts: JoinSet<()>,
}

impl Worker {
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

    /// Takes what has waited: single connections write at once, rooms as the turns allow.
    fn take_due(&self, now: Instant) -> Due {
        self.coalescing.look(now);
        let (rooms, waiting) = self.coalescing.take();
        let connections = self.connections.borrow();
        for connection in waiting.into_iter().filter_map(|conn| connections.get(conn)) {
            connection.had_to_wait();
        }
        rooms.iter().for_each(|room| room.forget());
        Due { rooms: rooms.into(), took: Some(Duration::ZERO) }
    }

    /// Writes to some of those who are to be written to, of what is left to write in this go; whether the kernel took
    /// not all of it.
    fn write(&self, left: &mut Go, due: &mut Due) -> bool {
        let wrote = due.time(|_| self.connections.borrow().write(&self.turn, *left));
        left.connections -= wrote.connections.min(left.connections);
        left.bytes -= wrote.bytes.min(left.bytes);
        wrote.is_blocked
    }

    fn task_ended(&self, ended: Result<(), JoinError>) {
        if ended.is_err_and(|error| error.is_panic()) {
            self.comet.metrics.panics.inc();
            tracing::error!(worker = self.index, "a connection's task panicked");
        }
    }

    /// Writes rooms until enough members have something to write.
    fn write_due(&self, due: &mut Due) {
        // Not so late that what is delivered next counts as well.
        if due.rooms.is_empty() {
            self.end_sweep(due);
        }
        due.time(|due| {
            let mut members = 0;
            while members < MEMBERS_PER_TURN
                && let Some(room) = due.rooms.pop_front()
            {
                members += room.members();
                self.write_room(&room);
            }
        });
    }

    /// All that was due is written.
    fn end_sweep(&self, due: &mut Due) {
        if let Some(took) = due.took.take() {
            self.coalescing.swept(took);
        }
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
