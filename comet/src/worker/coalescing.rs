//! Coalescing: when a worker writes to who was written to a moment ago.
//!
//! Who was idle is written to at once. Who is busy, a section of a room or a single connection, gets what comes within a
//! short time together, in one write: a write costs the kernel much the same whatever is in it. Nothing waits for longer
//! than that time, the window. While more comes all the time, not all that waits is written at one moment: each section,
//! and each lot of connections, has a beat of its own, and each worker's are at other times for as long as their windows
//! are alike. So writing and, where devices are on the same machine, reading go on all the time, and nobody stands behind
//! a long queue.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use orrery_model::Conn;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::section::Section;
use crate::limits::{COALESCE_MAX, SECTION_MEMBERS};

/// What waits on one worker, and until when.
pub(crate) struct Coalescing {
    /// The same for all workers.
    began: Instant,
    /// Which worker this is, and of how many.
    place: (usize, usize),
    /// What is configured, in microseconds; 0 where nothing ever waits.
    least: u64,
    /// How long waits what comes now at most, in microseconds.
    window: Cell<u64>,
    /// The worker's time, looked at once for all that it does in a row, in microseconds.
    now: Cell<u64>,
    /// By when it is due, on the worker's time.
    waiting: RefCell<BTreeMap<u64, Due>>,
    effort: Cell<Effort>,
    /// Says that something is due earlier than all before: a broadcast under way does not run within the worker's own
    /// loop.
    begun: Notify,
    /// Pushes to rooms that waited so far.
    waited: Cell<u64>,
}

/// What is due at one moment.
#[derive(Default)]
pub(super) struct Due {
    pub(super) sections: Vec<Rc<Section>>,
    pub(super) connections: Vec<Conn>,
}

/// How long what had waited was being written, and since when that is counted, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Effort {
    since: u64,
    spent: u64,
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
            waiting: RefCell::default(),
            effort: Cell::default(),
            begun: Notify::new(),
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

    /// How long waits what comes now at most.
    pub(super) fn window(&self) -> Duration {
        Duration::from_micros(self.window.get())
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

    /// A section has begun to wait.
    pub(super) fn add_section(&self, section: Rc<Section>) {
        let due = self.next(&section.busy, section.number());
        self.wait(due).sections.push(section);
    }

    /// The connection in a slot has begun to wait. Where very many do, they have moments of their own like sections.
    pub(crate) fn add_connection(&self, conn: Conn, slot: usize, busy: &Busy) {
        let due = self.next(busy, slot / SECTION_MEMBERS);
        self.wait(due).connections.push(conn);
    }

    fn wait(&self, due: u64) -> RefMut<'_, Due> {
        let waiting = self.waiting.borrow_mut();
        if waiting.first_key_value().is_none_or(|(first, _)| due < *first) {
            self.begun.notify_one();
        }
        RefMut::map(waiting, |waiting| waiting.entry(due).or_default())
    }

    /// When what begins to wait now is due. No later than in a window; while more comes all the time, on a beat.
    fn next(&self, busy: &Busy, section: usize) -> u64 {
        let (now, window) = (self.now.get(), self.window.get());
        // Not before half a window is over since it was written to.
        let least = now.max(busy.0.get().saturating_sub(window / 2));
        (now + window).min(self.next_beat(least, window, section))
    }

    /// The first beat of a section on this worker after a moment.
    fn next_beat(&self, after: u64, window: u64, section: usize) -> u64 {
        let (index, count) = self.place;
        let offset = window * index as u64 / count as u64 + window * beat(section) / BEATS;
        let passed = (after + 2 * window - offset).checked_rem(window);
        after + window - passed.unwrap_or_default()
    }

    /// Waits until some of what waits is to be written, which may be never.
    pub(super) async fn due(&self) {
        loop {
            let first = self.waiting.borrow().first_key_value().map(|(due, _)| *due);
            match first {
                Some(due) => {
                    let due = self.began + Duration::from_micros(due);
                    tokio::select! {
                        () = sleep_until(due) => return,
                        () = self.begun.notified() => {}
                    }
                }
                None => self.begun.notified().await,
            }
        }
    }

    /// Takes out all that is due.
    pub(super) fn take(&self) -> Due {
        let mut waiting = self.waiting.borrow_mut();
        let mut taken = Due::default();
        while let Some(first) = waiting.first_entry().filter(|first| *first.key() <= self.now.get())
        {
            let Due { mut sections, mut connections } = first.remove();
            taken.sections.append(&mut sections);
            taken.connections.append(&mut connections);
        }
        taken
    }

    /// The connections that are due when so much time has passed.
    #[cfg(test)]
    pub(crate) fn take_connections(&self, passed: Duration) -> Vec<Conn> {
        self.look(self.began + passed);
        self.take().connections
    }

    /// Some that had waited were written to, which took so much processor time. A window is several times as long as it
    /// takes to write to all of them: where it is shorter nothing else has its turn, and all wait for it.
    pub(super) fn swept(&self, took: Duration) {
        let effort = self.effort.get();
        let (now, window) = (self.now.get(), self.window.get());
        let spent = effort.spent + u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let passed = now.saturating_sub(effort.since);
        if self.least == 0 || passed < window {
            return self.effort.set(Effort { spent, ..effort });
        }
        self.effort.set(Effort { since: now, spent: 0 });
        // Where there was no time for all of it, it takes more than that: what is longer is looked at again.
        let of_a_window = (window * spent / passed).min(window);
        let most = u64::try_from(COALESCE_MAX.as_micros()).unwrap_or(u64::MAX);
        self.window.set((of_a_window * WINDOW_PER_EFFORT).min(most).max(self.least));
    }
}

/// How many times as long a window is as what is written in it takes. The kernel, and who reads on the same machine,
/// need about as much time again for it: with 2 there is hardly any left where all processors write, and all is late.
const WINDOW_PER_EFFORT: u64 = 3;

/// Beats of a window.
const BEATS: u64 = 16;

/// The beat of a section. However many sections there are, they are spread over the window: each next one comes a golden
/// section of it later.
fn beat(section: usize) -> u64 {
    let turned = (section as u32).wrapping_mul(GOLDEN_RATIO);
    (u64::from(turned) * BEATS) >> u32::BITS
}

/// The fraction of the golden ratio, in parts of 2^32.
const GOLDEN_RATIO: u32 = 0x9E37_79B9;

#[cfg(test)]
mod tests {
    use tokio::join;
    use tokio::task::yield_now;

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

    /// Something at a millisecond, and when what began to wait then is due, in microseconds.
    fn due_us(coalescing: &Coalescing, ms: u64, busy: &Busy, section: usize) -> u64 {
        coalescing.look(coalescing.began + Duration::from_millis(ms));
        coalescing.next(busy, section)
    }

    #[test]
    fn what_waits_is_due_on_a_beat_of_its_own_worker_and_section_and_within_a_window() {
        let due = |place, section, ms| {
            let coalescing = Coalescing::new(WINDOW, Instant::now(), place);
            due_us(&coalescing, ms, &Busy::default(), section)
        };
        assert_eq!([3, 10, 11].map(|ms| due((0, 2), 0, ms)), [10_000, 20_000, 20_000]);
        assert_eq!([3, 5, 11].map(|ms| due((1, 2), 0, ms)), [5_000, 15_000, 15_000]);
        assert_eq!([0, 1, 2, 3].map(|n| due((0, 1), n, 20)), [30_000, 25_625, 21_875, 28_125]);
    }

    #[test]
    fn who_was_written_to_late_is_not_written_to_again_at_once() {
        let coalescing = Coalescing::new(WINDOW, Instant::now(), ONLY);
        let written = |ms| {
            let busy = Busy::default();
            due_us(&coalescing, ms, &busy, 0);
            coalescing.written(&busy);
            busy
        };
        assert_eq!(due_us(&coalescing, 14, &written(14), 0), 20_000, "half a window is over");
        assert_eq!(due_us(&coalescing, 16, &written(16), 0), 26_000, "else a window");
        assert_eq!(due_us(&coalescing, 23, &written(16), 0), 30_000, "on its beat again");
    }

    #[test]
    fn sections_have_their_beats_all_over_the_window() {
        for sections in [2, 4, 16, 100] {
            let mut beats: Vec<_> = (0..sections).map(beat).collect();
            beats.sort_unstable();
            let gaps = beats.windows(2).map(|pair| pair[1] - pair[0]);
            let last = BEATS - beats.last().unwrap();
            assert!(gaps.chain([last]).max().unwrap() <= 2 * BEATS.div_ceil(sections as u64));
        }
    }

    #[test]
    fn of_very_many_connections_not_all_are_due_at_once() {
        let coalescing = Coalescing::new(WINDOW, Instant::now(), ONLY);
        for slot in 0..4 * SECTION_MEMBERS {
            coalescing.add_connection(Conn(slot as u64), slot, &Busy::default());
        }
        let waiting = coalescing.waiting.borrow();
        let due: Vec<_> = waiting.values().map(|due| due.connections.len()).collect();
        assert_eq!(due, [SECTION_MEMBERS; 4]);
    }

    #[test]
    fn what_is_due_is_taken_and_the_rest_waits_on() {
        let began = Instant::now();
        let coalescing = Coalescing::new(WINDOW, began, ONLY);
        let take = |us: u64| coalescing.take_connections(Duration::from_micros(us));
        for ms in [3, 7, 12] {
            coalescing.look(began + Duration::from_millis(ms));
            coalescing.add_connection(Conn(ms), 0, &Busy::default());
        }
        assert_eq!(take(9_999), []);
        assert_eq!(take(10_000), [Conn(3), Conn(7)]);
        assert_eq!(take(25_000), [Conn(12)]);
        assert_eq!(take(99_000), []);
    }

    #[tokio::test]
    async fn what_is_due_earlier_than_all_before_is_noticed() {
        let coalescing = Coalescing::new(WINDOW * 1000, Instant::now(), ONLY);
        let late = async {
            yield_now().await;
            coalescing.add_connection(Conn(1), 0, &Busy::default());
            yield_now().await;
            coalescing.wait(7_000).connections.push(Conn(2));
        };
        let due = async {
            coalescing.due().await;
            coalescing.look(Instant::now());
            coalescing.take().connections
        };
        assert_eq!(join!(due, late).0, [Conn(2)]);
    }

    #[test]
    fn the_window_is_three_times_as_long_as_its_writing_takes_and_bounded() {
        let window = |least: Duration, took_of_100: u64, windows: u64| {
            let began = Instant::now();
            let coalescing = Coalescing::new(least, began, ONLY);
            let mut now = Duration::ZERO;
            for _ in 0..windows {
                now += Duration::from_micros(coalescing.window.get().max(1));
                coalescing.look(began + now);
                coalescing
                    .swept(Duration::from_micros(coalescing.window.get() * took_of_100 / 100));
            }
            Duration::from_micros(coalescing.window.get())
        };
        assert_eq!(window(WINDOW, 33, 9), WINDOW);
        assert_eq!(window(WINDOW, 80, 1), WINDOW * 24 / 10);
        assert_eq!(window(WINDOW, 100, 2), WINDOW * 9);
        assert_eq!(window(WINDOW, 100, 20), COALESCE_MAX);
        assert_eq!(window(Duration::ZERO, 100, 20), Duration::ZERO, "turned off");
    }

    #[test]
    fn the_window_is_short_again_when_there_is_less_to_write() {
        let began = Instant::now();
        let coalescing = Coalescing::new(WINDOW, began, ONLY);
        for (ms, took_ms, window_ms) in [(10, 6, 18), (28, 6, 18), (1000, 5, 10)] {
            coalescing.look(began + Duration::from_millis(ms));
            coalescing.swept(Duration::from_millis(took_ms));
            assert_eq!(coalescing.window.get(), window_ms * 1000, "at {ms}");
        }
    }
}
