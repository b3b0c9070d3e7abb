//! Metronome: says when pushes are due, as evenly as the machine's clock allows.

use std::time::Duration;

use futures_util::FutureExt;
use orrery_bench::clock::Clock;
use orrery_host::{Host, Task};
use tokio::sync::mpsc;

use super::limits::DUE_MAX;

/// A beat: number and due time of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beat {
    pub(super) number: u64,
    pub(super) due_ns: u64,
}

/// Beats in real time. Ends with its drop.
pub(super) struct Metronome {
    beats: mpsc::Receiver<Beat>,
    _task: Task,
}

impl Metronome {
    /// Begins at once and ends by itself after `count` beats.
    pub(super) fn start(host: &Host, clock: Clock, per_second: u64, count: u64) -> Self {
        let (beats_tx, beats) = mpsc::channel(DUE_MAX);
        let run = run(clock, per_second, count, beats_tx);
        let task = host.tasks.worker("bench-pace".to_owned(), Box::new(|| run.boxed_local()));
        Self { beats, _task: task }
    }

    /// The next beat, when it is due or was; none after the last.
    pub(super) async fn next(&mut self) -> Option<Beat> {
        self.beats.recv().await
    }
}

async fn run(clock: Clock, per_second: u64, count: u64, beats: mpsc::Sender<Beat>) {
    let begun_ns = clock.now_ns();
    for number in 0..count {
        let due_ns = begun_ns + offset_ns(number, per_second);
        let pause = clock.until(due_ns);
        if pause > Duration::ZERO {
            rest(pause);
        }
        if beats.send(Beat { number, due_ns }).await.is_err() {
            return;
        }
    }
}

/// When a beat is due after the first one.
fn offset_ns(number: u64, per_second: u64) -> u64 {
    let ns = u128::from(number) * 1_000_000_000 / u128::from(per_second);
    u64::try_from(ns).unwrap_or(u64::MAX)
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
        assert_eq!(offset_ns(0, 2000), 0);
        assert_eq!(offset_ns(1, 2000), 500_000);
        assert_eq!(offset_ns(3, 3), 1_000_000_000);
        assert_eq!(offset_ns(7_200_000, 2000), 3600 * 1_000_000_000);
    }

    #[tokio::test]
    async fn each_beat_comes_once_in_order_and_not_before_it_is_due() {
        let clock = Clock::start();
        let mut metronome = Metronome::start(&Host::system(), clock, 10_000, 50);
        for number in 0..50 {
            let beat = metronome.next().await.unwrap();
            assert_eq!(beat.number, number);
            assert!(clock.now_ns() >= beat.due_ns);
        }
        assert_eq!(metronome.next().await, None);
    }
}
