//! Metronome: says when what is scheduled is due, as evenly as the machine's clock allows.

use std::time::Duration;

use futures_util::FutureExt;
use orrery_host::{Host, Task};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::edge::limits::DUE_MAX;

/// A beat: number and due time of a push or connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Which one, from 0.
    pub number: u64,
    /// When it is due.
    pub due_ns: u64,
}

/// A schedule that is fixed before its first beat: nothing that happens changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Beats a second, at least 1.
    pub per_second: u64,
    /// Beats altogether.
    pub count: u64,
}

/// Beats in real time. Ends with its drop.
pub struct Metronome {
    beats: mpsc::Receiver<Beat>,
    _task: Task,
}

impl Schedule {
    /// A rate for a time; at least one beat.
    pub fn lasting(per_second: u64, time: Duration) -> Self {
        let count = u128::from(per_second) * time.as_millis() / 1000;
        Self { per_second, count: u64::try_from(count).unwrap_or(u64::MAX).max(1) }
    }

    /// When a beat is due after the first one.
    pub fn offset_ns(&self, number: u64) -> u64 {
        let ns = u128::from(number) * 1_000_000_000 / u128::from(self.per_second);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

impl Metronome {
    /// Beats every `of`-th beat of a schedule, from the `nth` on, the schedule having begun at `begun_ns`.
    /// Ends by itself after the last.
    pub fn start(
        host: &Host,
        clock: Clock,
        schedule: Schedule,
        begun_ns: u64,
        (nth, of): (u64, u64),
    ) -> Self {
        let (beats_tx, beats) = mpsc::channel(DUE_MAX);
        let numbers = (nth..schedule.count).step_by(usize::try_from(of).unwrap_or(usize::MAX));
        let run = async move {
            for number in numbers {
                let due_ns = begun_ns.saturating_add(schedule.offset_ns(number));
                let pause = clock.until(due_ns);
                if pause > Duration::ZERO {
                    rest(pause);
                }
                if beats_tx.send(Beat { number, due_ns }).await.is_err() {
                    return;
                }
            }
        };
        let task = host.tasks.worker("bench-pace".to_owned(), Box::new(|| run.boxed_local()));
        Self { beats, _task: task }
    }

    /// The next beat, when it is due or was; none after the last.
    pub async fn next(&mut self) -> Option<Beat> {
        self.beats.recv().await
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tokio's timers tick once a millisecond, as long as half of what is measured takes; this \
              thread does nothing else"
)]
fn rest(pause: Duration) {
    std::thread::sleep(pause);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_are_even_and_do_not_drift() {
        let at = |per_second, number| Schedule { per_second, count: 0 }.offset_ns(number);
        assert_eq!(at(2000, 0), 0);
        assert_eq!(at(2000, 1), 500_000);
        assert_eq!(at(3, 3), 1_000_000_000);
        assert_eq!(at(2000, 7_200_000), 3600 * 1_000_000_000);
    }

    #[test]
    fn a_rate_for_a_time_has_so_many_beats_and_never_none() {
        let count = |per_second, ms| Schedule::lasting(per_second, Duration::from_millis(ms)).count;
        assert_eq!(count(2000, 1500), 3000);
        assert_eq!(count(1, 999), 1);
    }

    #[tokio::test]
    async fn each_beat_comes_once_in_order_and_not_before_it_is_due() {
        let clock = Clock::start();
        let schedule = Schedule { per_second: 10_000, count: 50 };
        let mut metronome =
            Metronome::start(&Host::system(), clock, schedule, clock.now_ns(), (0, 1));
        for number in 0..50 {
            let beat = metronome.next().await.unwrap();
            assert_eq!(beat.number, number);
            assert!(clock.now_ns() >= beat.due_ns);
        }
        assert_eq!(metronome.next().await, None);
    }

    #[tokio::test]
    async fn whoever_is_late_is_charged_from_when_it_was_due() {
        let clock = Clock::start();
        let schedule = Schedule { per_second: 1000, count: 3 };
        // The schedule began long ago: its beats come at once, with the times at which they were due.
        let mut metronome = Metronome::start(&Host::system(), clock, schedule, 0, (0, 1));
        for number in 0..3 {
            let beat = metronome.next().await.unwrap();
            assert_eq!(beat, Beat { number, due_ns: number * 1_000_000 });
        }
    }

    #[tokio::test]
    async fn several_metronomes_share_a_schedule() {
        let clock = Clock::start();
        let schedule = Schedule { per_second: 100_000, count: 7 };
        let mut numbers = Vec::new();
        for nth in 0..3 {
            let mut metronome =
                Metronome::start(&Host::system(), clock, schedule, clock.now_ns(), (nth, 3));
            while let Some(beat) = metronome.next().await {
                numbers.push(beat.number);
            }
        }
        assert_eq!(numbers, [0, 3, 6, 1, 4, 2, 5]);
    }
}
