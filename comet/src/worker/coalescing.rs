//! Coalescing: when a worker writes to who was written to a moment ago.
//!
//! Who was idle is written to at once. Who is busy, a room or a single connection, gets what comes within a
//! short time together, in one write: a write costs the kernel much the same whatever is in it. All that waits
//! on a worker is written at one moment; nothing waits for longer than the window. While more comes all the time,
//! the workers of a comet write one after the other, not all at once: each of them is done sooner.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use orrery_model::Conn;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::room::Room;
use crate::limits::COALESCE_MAX;

/// What waits on one worker, and until when.
pub(crate) struct Coalescing {
    /// The same for all workers.
    began: Instant,
    /// Which worker this is, and of how many.
    place: (usize, usize),
    /// What is configured, in microseconds; 0 where nothing ever waits.
    least: u64,
    /// How long waits what comes now: longer than the last sweep took, in microseconds.
    window: Cell<u64>,
    /// The worker's time, looked at once for all that it does in a row, in microseconds.
    now: Cell<u64>,
    due: Cell<Option<Instant>>,
    /// When what had waited was taken the last time.
    taken: Cell<Option<u64>>,
    /// Says that something is due at all: a broadcast under way does not run within the worker's own loop.
    begun: Notify,
    rooms: RefCell<Vec<Rc<Room>>>,
    connections: RefCell<Vec<Conn>>,
    /// Pushes to rooms that waited so far.
    waited: Cell<u64>,
}

/// Whether something may be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was idle.
    Now,
    /// It is busy: with all else that waits.
    Later,
}

/// Until when something counts as busy, in a worker's microseconds.
#[derive(Debug, Default)]
pub(crate) struct Busy(Cell<u64>);

impl Coalescing {
    pub(crate) fn new(window: Duration, began: Instant, place: (usize, usize)) -> Self {
        let least = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        Self {
            began,
            place,
            least,
            window: Cell::new(least),
            now: Cell::new(0),
            due: Cell::default(),
            taken: Cell::default(),
            begun: Notify::new(),
            rooms: RefCell::default(),
            connections: RefCell::default(),
            waited: Cell::default(),
        }
    }

    /// The next number of a push to a room that waits.
    pub(super) fn number(&self) -> u64 {
        self.waited.replace(self.waited.get() + 1)
    }

    /// Looks at the clock.
    pub(super) fn look(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.began).as_micros();
        self.now.set(u64::try_from(passed).unwrap_or(u64::MAX));
    }

    /// Whether to write now to who is so busy. Who is written to is busy for a window.
    pub(crate) fn verdict(&self, busy: &Busy) -> Verdict {
        if self.now.get() < busy.0.get() {
            return Verdict::Later;
        }
        self.written(busy);
        Verdict::Now
    }

    /// Somebody was written to just now.
    pub(crate) fn written(&self, busy: &Busy) {
        busy.0.set(self.now.get() + self.window.get());
    }

    /// A room has begun to wait.
    pub(super) fn add_room(&self, room: Rc<Room>) {
        self.rooms.borrow_mut().push(room);
        self.wait();
    }

    /// A connection has begun to wait.
    pub(crate) fn add_connection(&self, conn: Conn) {
        self.connections.borrow_mut().push(conn);
        self.wait();
    }

    fn wait(&self) {
        if self.due.get().is_none() {
            self.due.set(Some(self.began + Duration::from_micros(self.next())));
            self.begun.notify_one();
        }
    }

    /// When what begins to wait now is due.
    fn next(&self) -> u64 {
        let (now, window) = (self.now.get(), self.window.get());
        match self.taken.get() {
            // Workers have a beat together for as long as they have the same window.
            Some(taken) if now <= taken + window && window == self.least => {
                self.next_beat(now, window)
            }
            // It may have come while the sweep went on.
            Some(taken) if now <= taken + window => taken + window,
            _ => now + window,
        }
    }

    /// When this worker is the next to write, within a window.
    fn next_beat(&self, now: u64, window: u64) -> u64 {
        let (index, count) = self.place;
        let offset = window * index as u64 / count as u64;
        let passed = (now + window - offset).checked_rem(window);
        now + window - passed.unwrap_or_default()
    }

    /// Waits until what waits is to be written, which may be never.
    pub(super) async fn due(&self) {
        loop {
            match self.due.get() {
                Some(due) => return sleep_until(due).await,
                None => self.begun.notified().await,
            }
        }
    }

    /// Takes out all that waits.
    pub(super) fn take(&self) -> (Vec<Rc<Room>>, Vec<Conn>) {
        self.due.set(None);
        self.taken.set(Some(self.now.get()));
        (self.rooms.take(), self.connections.take())
    }

    /// It took so long to write to all that had waited. Where a window is not longer than that, the next sweep is due
    /// when one is done: nothing else has its turn, and all wait for it. So it is half as long again, and more goes in
    /// one write.
    pub(super) fn swept(&self, took: Duration) {
        if self.least > 0 {
            let longer = (took * 3 / 2).min(COALESCE_MAX).as_micros();
            self.window.set(u64::try_from(longer).unwrap_or(u64::MAX).max(self.least));
            // What came meanwhile counted on a sweep as long as the last one.
            if self.due.get().is_some() && self.window.get() > self.least {
                self.due.set(Some(self.began + Duration::from_micros(self.next())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::join;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(10);
    const ONLY: (usize, usize) = (0, 1);

    fn verdicts<const N: usize>(window: Duration, at_ms: [u64; N]) -> [Verdict; N] {
        let began = Instant::now();
        let coalescing = Coalescing::new(window, began, ONLY);
        let busy = Busy::default();
        at_ms.map(|ms| {
            coalescing.look(began + Duration::from_millis(ms));
            coalescing.verdict(&busy)
        })
    }

    #[test]
    fn who_is_idle_is_written_to_at_once_and_who_is_busy_later() {
        use Verdict::{Later, Now};
        assert_eq!(verdicts(WINDOW, [5, 6, 14, 15, 16, 100]), [Now, Later, Later, Now, Later, Now]);
        assert_eq!(verdicts(Duration::ZERO, [5, 5, 5]), [Now; 3], "turned off");
    }

    #[test]
    fn what_waits_is_due_a_window_after_the_first_of_it_came() {
        let began = Instant::now();
        let coalescing = Coalescing::new(WINDOW, began, ONLY);
        for (ms, due_ms) in [(3, 13), (7, 13), (12, 13)] {
            coalescing.look(began + Duration::from_millis(ms));
            coalescing.add_connection(Conn(ms));
            assert_eq!(coalescing.due.get(), Some(began + Duration::from_millis(due_ms)));
        }
        assert_eq!(coalescing.take().1, [Conn(3), Conn(7), Conn(12)]);
        assert_eq!((coalescing.due.get(), coalescing.take().1.len()), (None, 0));
    }

    #[test]
    fn while_more_comes_all_the_time_workers_write_one_after_the_other() {
        let due = |place, at_ms: [u64; 4]| {
            let began = Instant::now();
            let coalescing = Coalescing::new(WINDOW, began, place);
            at_ms.map(|ms| {
                coalescing.look(began + Duration::from_millis(ms));
                coalescing.add_connection(Conn(ms));
                let due = coalescing.due.get().unwrap();
                coalescing.look(due);
                coalescing.take();
                (due - began).as_millis()
            })
        };
        // The first after a quiet time waits for as long as the next may come.
        assert_eq!(due((0, 2), [3, 14, 21, 57]), [13, 20, 30, 67]);
        assert_eq!(due((1, 2), [3, 14, 21, 57]), [13, 15, 25, 67]);
        assert_eq!(due((1, 4), [3, 14, 23, 60]), [13, 22, 32, 70]);
    }

    #[test]
    fn a_sweep_that_takes_longer_than_the_window_is_followed_by_a_pause() {
        let began = Instant::now();
        let coalescing = Coalescing::new(WINDOW, began, (1, 2));
        let wait = |ms: u64| {
            coalescing.look(began + Duration::from_millis(ms));
            coalescing.add_connection(Conn(ms));
        };
        let due_us = || (coalescing.due.get().unwrap() - began).as_micros();
        let take = || {
            coalescing.look(coalescing.due.get().unwrap());
            coalescing.take();
        };
        wait(0);
        take();
        coalescing.swept(WINDOW * 4);
        wait(51);
        assert_eq!(due_us(), 70_000, "of the sixty milliseconds forty are over");
        take();
        wait(90);
        assert_eq!(due_us(), 130_000);
        coalescing.swept(Duration::from_micros(40_200));
        assert_eq!(
            due_us(),
            130_300,
            "what comes during a sweep does not make the next one come at its end"
        );
        take();
        coalescing.swept(WINDOW / 2);
        wait(136);
        assert_eq!(due_us(), 145_000, "on its beat again");
    }

    #[tokio::test]
    async fn what_begins_to_wait_while_nothing_is_due_is_noticed() {
        let coalescing = Coalescing::new(WINDOW, Instant::now(), ONLY);
        let late = async {
            yield_now().await;
            coalescing.add_connection(Conn(1));
        };
        let due = async { timeout(WINDOW * 1000, coalescing.due()).await };
        assert_eq!(join!(due, late).0, Ok(()));
    }

    #[test]
    fn the_window_is_longer_than_the_last_sweep_took_and_bounded() {
        let window = |least, took| {
            let coalescing = Coalescing::new(least, Instant::now(), ONLY);
            coalescing.swept(took);
            Duration::from_micros(coalescing.window.get())
        };
        assert_eq!(window(WINDOW, WINDOW / 2), WINDOW);
        assert_eq!(window(WINDOW, WINDOW * 3), WINDOW * 9 / 2);
        assert_eq!(window(WINDOW, COALESCE_MAX * 2), COALESCE_MAX);
        assert_eq!(window(Duration::ZERO, WINDOW), Duration::ZERO, "turned off");
    }
}
