//! Writing: when a connection's outbox is written, and by whom. The worker writes to all whom it pushed to, one
//! after the other: to wake as many tasks would cost about as much again. Where the kernel takes no more, the
//! connection's own task goes on once it does.

use std::future::{Future as _, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::task::unconstrained;

use super::Connection;
use crate::limits::ANSWERS_WAITING_MAX;
use crate::worker::Verdict;

/// How much of an outbox the worker wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// All of it, or the task does.
    All,
    /// As much as the kernel took.
    Blocked,
}

impl Connection {
    /// Has the outbox written with what else comes, if it was written a moment ago.
    pub(super) fn write_soon(&self) {
        if self.woken.get() || self.asked.get() || self.waits.get() {
            return;
        }
        match self.shared.coalescing.verdict(&self.busy) {
            Verdict::Now => self.ask(),
            Verdict::Later => {
                self.waits.set(true);
                self.shared.coalescing.add_connection(self.conn, self.slot.get(), &self.busy);
            }
        }
    }

    /// Has the outbox written in this turn.
    pub(super) fn write_now(&self) {
        self.shared.coalescing.written(&self.busy);
        self.ask();
    }

    /// It has waited long enough.
    pub(crate) fn had_to_wait(&self) {
        self.waits.set(false);
        // With an answer, or with its room, it has left already.
        if !self.outbox.borrow().is_empty() {
            self.shared.waited.inc();
            self.write_now();
        }
    }

    fn ask(&self) {
        // A task that is about to run writes by itself.
        if !self.woken.get() && self.waker.borrow().is_some() && !self.asked.replace(true) {
            self.shared.turn.ask(self.slot.get());
        }
    }

    /// Writes what the worker was asked to write; gives also how many bytes that were.
    pub(crate) fn write(&self) -> (Wrote, usize) {
        if !self.asked.replace(false) || self.woken.get() {
            return (Wrote::All, 0);
        }
        self.write_safely()
    }

    /// Writes before its turn, where what waits was not tried yet: it is the device that is slow only where the kernel
    /// takes no more. Costs nothing where it was tried.
    pub(super) fn write_early(&self) {
        if !self.outbox.borrow().was_tried() {
            self.shared.coalescing.written(&self.busy);
            let (_, bytes) = self.write_safely();
            self.shared.turn.wrote_early(bytes);
        }
    }

    /// What is wrong with one connection is not to end all of the worker's.
    fn write_safely(&self) -> (Wrote, usize) {
        catch_unwind(AssertUnwindSafe(|| self.write_out())).unwrap_or_else(|_| {
            tracing::error!(conn = %self.conn, "writing to a connection panicked");
            self.shared.panics.inc();
            self.give_up();
            (Wrote::All, 0)
        })
    }

    fn write_out(&self) -> (Wrote, usize) {
        let waker = self.waker.borrow();
        let Some(waker) = &*waker else { return (Wrote::All, 0) };
        let before = self.outbox.borrow().bytes();
        let is_stuffed = self.is_stuffed();
        // The worker writes for many in one go. What tokio grants a task in one go is not meant for that.
        let written = pin!(unconstrained(poll_fn(|cx| self.poll_write(cx))));
        let written = written.poll(&mut Context::from_waker(waker));
        if matches!(written, Poll::Ready(Err(_))) || is_stuffed != self.is_stuffed() {
            self.wake();
        }
        let bytes = before - self.outbox.borrow().bytes();
        (if written.is_pending() { Wrote::Blocked } else { Wrote::All }, bytes)
    }

    /// Has the task end it: nobody knows how much of its outbox was written.
    fn give_up(&self) {
        self.outbox.borrow_mut().break_off();
        self.wake();
    }

    /// Writes until nothing waits or the kernel takes no more; the task of the context is woken when it does.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.stream.borrow_mut() {
            Some(stream) => self.outbox.borrow_mut().poll_write(stream, cx),
            None => Poll::Pending,
        }
    }

    /// Whether so many answers wait that the device is not listened to.
    pub(super) fn is_stuffed(&self) -> bool {
        self.outbox.borrow().answers() >= ANSWERS_WAITING_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use std::time::Duration;

    use bytes::Bytes;
    use orrery_comet_core::{Dialect, Session};
    use orrery_host::LocalStream;
    use orrery_model::message::WhenFull;
    use orrery_model::{Address, Conn, Id, Incarnation, Seq};
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    use super::*;
    use crate::connection::{Pushed, Shared};
    use crate::outbox::OutboxLimits;
    use crate::presence::Names;
    use crate::worker::{Connections, Go, Turn};

    /// How many bytes the other end leaves unread.
    const KERNEL_BYTES: usize = 64;

    const GO: Go = Go { connections: 10, bytes: usize::MAX };

    const LIMITS: OutboxLimits = OutboxLimits { frames: 1000, bytes: 10_000 };

    /// For how long who is busy waits, where somebody does.
    const WINDOW: Duration = Duration::from_millis(10);

    const MICROSECOND: Duration = Duration::from_micros(1);

    /// Counts how often a task was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Fixture {
        connection: Rc<Connection>,
        turn: Rc<Turn>,
        woken: Arc<Woken>,
        device: DuplexStream,
    }

    impl Fixture {
        /// A connection whose task waits.
        fn new() -> Self {
            Self::of(Rc::default())
        }

        /// One of a worker's.
        fn of(turn: Rc<Turn>) -> Self {
            Self::with(Shared::of(turn, LIMITS))
        }

        /// One whose device was told that it is connected, and that waits while it is busy.
        fn coalescing(limits: OutboxLimits) -> Self {
            let it = Self::with(Shared::within(WINDOW, Rc::default(), limits));
            let primary = (Address::user(Id::new("1").unwrap()), Seq(7));
            let names = Names { incarnation: Incarnation(1), primary, secondary: None };
            it.connection.named(Arc::new(names));
            it
        }

        fn with(shared: Rc<Shared>) -> Self {
            let turn = shared.turn.clone();
            let session = Session::new(Dialect::Tcp, 0);
            let connection = Rc::new(Connection::new(Conn(256), session, shared));
            let (ours, device) = duplex(KERNEL_BYTES);
            connection.stream.replace(Some(Box::new(LocalStream(ours))));
            let woken = Arc::<Woken>::default();
            let waker = Waker::from(woken.clone());
            connection.register(&Context::from_waker(&waker));
            Self { connection, turn, woken, device }
        }

        fn push(&self, bytes: usize) {
            self.connection.outbox.borrow_mut().push_promised(vec![7; bytes].into(), 1, None);
            self.connection.write_now();
        }

        /// A push as it comes, of so many bytes.
        fn comes(&self, bytes: usize) {
            let pushed = self.connection.push_to_room(vec![7; bytes].into(), None, WhenFull::Close);
            assert_eq!(pushed, Pushed::Queued);
        }

        /// How many connections are due when so much time has passed; the worker lets them write.
        fn due(&self, passed: Duration) -> usize {
            let due = self.connection.shared.coalescing.take_connections(passed);
            assert!(due.iter().all(|conn| *conn == self.connection.conn));
            due.iter().for_each(|_| self.connection.had_to_wait());
            due.len()
        }

        /// What the worker does in its turn.
        fn write(&self) {
            while self.turn.next().is_some() {
                self.connection.write();
            }
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }

        fn is_empty(&self) -> bool {
            self.connection.outbox.borrow().is_empty()
        }
    }

    #[test]
    fn the_worker_writes_once_to_whom_it_pushed_twice_and_wakes_nobody() {
        let it = Fixture::new();
        it.push(10);
        it.push(10);
        assert_eq!((it.turn.next(), it.turn.next()), (Some(0), None));
        it.connection.write();
        assert!(it.is_empty());
        assert_eq!(it.woken(), 0);
    }

    #[test]
    fn who_was_just_written_to_waits_for_more_and_gets_it_in_one_write() {
        let it = Fixture::coalescing(LIMITS);
        it.comes(10);
        assert!(it.turn.is_asked(), "it was idle");
        it.write();
        it.comes(11);
        it.comes(12);
        assert!(!it.turn.is_asked() && !it.is_empty(), "it is busy");
        assert_eq!((it.due(WINDOW - MICROSECOND), it.turn.is_asked()), (0, false));
        assert_eq!(it.due(WINDOW), 1, "it waits once");
        assert_eq!((it.turn.next(), it.turn.next()), (Some(0), None));
        assert_eq!((it.connection.write(), it.is_empty()), ((Wrote::All, 23), true));
        it.comes(13);
        assert!(!it.turn.is_asked(), "what had waited keeps it busy as well");
        assert_eq!(it.due(WINDOW * 2), 1);
        it.write();
        assert_eq!(it.due(WINDOW * 3), 0);
        it.comes(14);
        assert!(it.turn.is_asked(), "it is idle again");
        assert_eq!(it.connection.shared.waited.get(), 2);
    }

    #[test]
    fn who_has_half_of_what_may_wait_waits_no_longer() {
        let frames = OutboxLimits { frames: 6, ..LIMITS };
        let bytes = OutboxLimits { bytes: 60, ..LIMITS };
        for limits in [frames, bytes] {
            let it = Fixture::coalescing(limits);
            it.comes(1);
            it.write();
            it.comes(10);
            it.comes(19);
            assert!(!it.turn.is_asked(), "{limits:?}");
            it.comes(1);
            assert!(it.turn.is_asked(), "{limits:?}");
            it.write();
            assert!(it.is_empty(), "{limits:?}");
            assert_eq!((it.due(WINDOW), it.turn.is_asked()), (1, false), "nothing waits any more");
            assert_eq!(it.connection.shared.waited.get(), 0);
        }
    }

    #[test]
    fn whoever_is_given_up_is_written_to_no_more() {
        let it = Fixture::new();
        it.push(10);
        it.connection.give_up();
        assert_eq!(it.woken(), 1);
        let written = it.connection.poll_write(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(written, Poll::Ready(Err(_))));
    }

    #[tokio::test]
    async fn where_the_kernel_takes_no_more_the_task_is_woken_when_it_does() {
        let mut it = Fixture::new();
        it.push(KERNEL_BYTES + 1);
        let blocked = (Wrote::Blocked, KERNEL_BYTES);
        assert_eq!((it.turn.next(), it.connection.write()), (Some(0), blocked));
        assert_eq!((it.is_empty(), it.woken()), (false, 0));
        it.device.read_exact(&mut [0; 2]).await.unwrap();
        assert_eq!(it.woken(), 1);
    }

    #[test]
    fn a_task_that_runs_anyway_writes_by_itself() {
        let it = Fixture::new();
        it.push(10);
        it.connection.wake();
        it.write();
        assert!(!it.is_empty());
        it.push(10);
        assert!(!it.turn.is_asked());
    }

    #[tokio::test]
    async fn who_has_no_room_is_written_to_before_its_turn_unless_the_kernel_was_tried() {
        let mut it = Fixture::new();
        it.push(KERNEL_BYTES - 4);
        // Else its task would write, once it runs.
        it.connection.wake();
        assert!(it.connection.make_room(10_000, WhenFull::DropOldest));
        assert_eq!((it.is_empty(), it.turn.take_early()), (true, KERNEL_BYTES - 4));
        it.push(10_000);
        assert!(!it.connection.make_room(10_000, WhenFull::DropNewest));
        assert_eq!(it.turn.take_early(), 4);
        it.device.read_exact(&mut [0; 4]).await.unwrap();
        assert!(!it.connection.make_room(10_000, WhenFull::DropNewest));
        assert_eq!(it.turn.take_early(), 0, "its task is told by the kernel");
    }

    #[test]
    fn the_task_of_a_broken_stream_is_woken_and_sees_that() {
        let Fixture { connection, turn, woken, device } = Fixture::new();
        drop(device);
        connection.answer(Bytes::from_static(b"answer"));
        connection.write_now();
        assert!(turn.is_asked());
        connection.write();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        let written = connection.poll_write(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(written, Poll::Ready(Err(_))));
    }

    #[test]
    fn whoever_was_not_listened_to_is_once_its_answers_are_written() {
        let it = Fixture::new();
        (0..ANSWERS_WAITING_MAX).for_each(|_| it.connection.answer(Bytes::from_static(b"a")));
        assert!(it.connection.is_stuffed());
        it.connection.write_now();
        it.write();
        assert_eq!((it.connection.is_stuffed(), it.woken()), (false, 1));
    }

    #[test]
    fn whoever_has_the_slot_of_one_that_asked_is_written_to_if_it_asked_too() {
        let (turn, mut connections) = (Rc::<Turn>::default(), Connections::default());
        let gone = Fixture::of(turn.clone());
        let slot = connections.insert(gone.connection.clone());
        gone.push(10);
        connections.remove(slot, Conn(256));
        let new = Fixture::of(turn.clone());
        assert_eq!(connections.insert(new.connection.clone()), slot);
        new.connection.answer(Bytes::from_static(b"answer"));
        connections.write(&turn, GO);
        assert!(!turn.is_asked() && !new.is_empty() && !gone.is_empty());
        turn.ask(slot);
        new.push(10);
        assert_eq!(connections.write(&turn, GO).connections, 2);
        assert!(new.is_empty());
    }

    #[test]
    fn a_worker_that_has_written_much_writes_on_in_the_next_go() {
        let (turn, mut connections) = (Rc::<Turn>::default(), Connections::default());
        let all = [(); 3].map(|()| Fixture::of(turn.clone()));
        for (it, conn) in all.iter().zip(1..) {
            it.connection.slot.set(connections.insert_as(Conn(conn), it.connection.clone()));
            it.push(KERNEL_BYTES);
        }
        let go = Go { connections: 10, bytes: KERNEL_BYTES + 1 };
        assert_eq!(connections.write(&turn, go).connections, 2);
        assert_eq!(all.each_ref().map(Fixture::is_empty), [true, true, false]);
        let rest = connections.write(&turn, go);
        assert_eq!((rest.connections, rest.bytes), (1, KERNEL_BYTES));
    }
}
