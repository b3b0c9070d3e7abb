//! Run: a worker's loop: what it does first, and for how long before others have their turn.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet, yield_now};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Worker;
use super::connections::Go;
use super::section::Section;
use crate::comet::Comet;
use crate::connection;
use crate::limits::{
    DELIVERIES_PER_TURN, GIVEN_IN_A_ROW, GIVEN_PER_TURN, MAIL_BATCH, MEMBERS_PER_TURN,
    SWEEP_PERIOD, WRITE_BYTES_MAX, WRITES_MAX,
};
use crate::mailbox::ToWorker;

/// Runs a worker until it was told to close all connections and has done so, or nobody can reach it.
pub(crate) async fn run(comet: Arc<Comet>, index: usize, mut mailbox: mpsc::Receiver<ToWorker>) {
    let worker = Rc::new(Worker::new(comet, index));
    let mut tasks = Tasks { connections: JoinSet::new(), broadcasts: JoinSet::new() };
    let mut sweep = interval(SWEEP_PERIOD);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut backlog = VecDeque::new();
    let mut mail = Vec::with_capacity(MAIL_BATCH);
    let mut underway = Underway::default();
    // Since the tasks had their turn.
    let mut left = WRITES;
    while !worker.closing.is_cancelled() || !tasks.connections.is_empty() {
        worker.coalescing.look(Instant::now());
        if worker.turn.is_over() {
            worker.write_due(&mut underway);
            let (mut given, mut since) = (0, 0);
            for _ in 0..DELIVERIES_PER_TURN {
                let Some(delivery) = backlog.pop_front() else { break };
                let connections = worker.deliver(delivery, &mut tasks.broadcasts);
                given += connections;
                since += connections;
                // Others wait for it as for all that is written.
                left.bytes -= worker.turn.take_early().min(left.bytes);
                if left.bytes == 0 || given >= GIVEN_PER_TURN {
                    break;
                }
                if since >= GIVEN_IN_A_ROW {
                    // Where nobody is to be written to, what is due comes before the rest.
                    if worker.turn.is_over() {
                        break;
                    }
                    // Else the rest leaves in the same writes; but those who have something to say need not wait for it.
                    since = 0;
                    yield_now().await;
                    worker.coalescing.look(Instant::now());
                }
            }
        }
        let is_more = !(backlog.is_empty() && underway.sections.is_empty());
        if worker.turn.is_over() && !is_more {
            worker.end_sweep(&mut underway);
        }
        tokio::select! {
            biased;
            // Rare, short, and what notices the silent ones.
            _ = sweep.tick() => worker.sweep(),
            // Those who were given something come first; see there.
            () = worker.turn.over(), if !worker.turn.is_over() => {}
            () = worker.coalescing.due(),
                if worker.turn.is_over() && underway.sections.is_empty() =>
            {
                worker.end_sweep(&mut underway);
                underway = worker.take_due(Instant::now());
            }
            // Not all that is due is written in one turn: mail that comes meanwhile is carried out with the next.
            n = mailbox.recv_many(&mut mail, MAIL_BATCH),
                if backlog.is_empty() && worker.turn.may_hear(is_more) =>
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
                let is_blocked = worker.write(&mut left, &mut underway);
                let is_more = worker.turn.is_asked() || !backlog.is_empty() || !underway.sections.is_empty();
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
            // Nobody was to be written to, and there is more to give.
            () = yield_now(), if worker.turn.is_over() && is_more => left = WRITES,
        }
    }
}

/// What has waited for others to be written with it, and is being written.
#[derive(Default)]
struct Underway {
    sections: VecDeque<Rc<Section>>,
    /// The processor time that writing it has taken so far; the turns of others in between are not part of it.
    took: Option<Duration>,
}

/// What a worker writes before others have their turn.
const WRITES: Go = Go { connections: WRITES_MAX, bytes: WRITE_BYTES_MAX };

/// What a worker runs beside itself; it ends with the worker.
struct Tasks {
    connections: JoinSet<()>,
    broadcasts: JoinSet<()>,
}

impl Worker {
    /// Takes what has waited for long enough: single connections write at once, sections as the turns allow.
    fn take_due(&self, now: Instant) -> Underway {
        self.coalescing.look(now);
        let due = self.coalescing.take();
        let connections = self.connections.borrow();
        for connection in due.connections.into_iter().filter_map(|conn| connections.get(conn)) {
            connection.had_to_wait();
        }
        due.sections.iter().for_each(|section| section.forget());
        Underway { sections: due.sections.into(), took: Some(Duration::ZERO) }
    }

    /// Writes to some of those who are to be written to, of what is left to write in this go; whether the kernel took
    /// not all of it.
    fn write(&self, left: &mut Go, underway: &mut Underway) -> bool {
        let wrote = self.timed(underway, |_| self.connections.borrow().write(&self.turn, *left));
        left.connections -= wrote.connections.min(left.connections);
        left.bytes -= wrote.bytes.min(left.bytes);
        wrote.is_blocked
    }

    /// Counts the time of a step of writing what waited, if that is under way.
    fn timed<T>(&self, underway: &mut Underway, step: impl FnOnce(&mut Underway) -> T) -> T {
        let Some(took) = underway.took else { return step(underway) };
        let began = self.comet.tasks.thread_time();
        let done = step(underway);
        let passed = self.comet.tasks.thread_time().saturating_sub(began);
        underway.took = Some(took + passed);
        done
    }

    fn task_ended(&self, ended: Result<(), JoinError>) {
        if ended.is_err_and(|error| error.is_panic()) {
            self.comet.metrics.panics.inc();
            tracing::error!(worker = self.index, "a connection's task panicked");
        }
    }

    /// Writes sections until enough members have something to write.
    fn write_due(&self, underway: &mut Underway) {
        // Not so late that what is delivered next counts as well.
        if underway.sections.is_empty() {
            self.end_sweep(underway);
        }
        self.timed(underway, |underway| {
            let mut members = 0;
            while members < MEMBERS_PER_TURN
                && let Some(section) = underway.sections.pop_front()
            {
                members += section.members();
                self.write_section(&section);
            }
        });
    }

    /// All that was due is written.
    fn end_sweep(&self, underway: &mut Underway) {
        if let Some(took) = underway.took.take() {
            self.coalescing.look(Instant::now());
            self.coalescing.swept(took);
            self.tell_window();
        }
    }
}
