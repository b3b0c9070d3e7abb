//! Returns: who is in, who is back, and what happened on the way, counted by all threads together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use orrery_sdk::ConnectError;
use parking_lot::Mutex;

use super::Storm;
use crate::clock::Clock;
use crate::edge::failure;
use crate::edge::server::usage::Cpu;

/// What devices do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Come in, a few at a time.
    Gather,
    /// Are cut, and come back.
    Storm,
    /// Nothing counts any more.
    Over,
}

/// What is counted.
#[derive(Debug)]
pub(super) struct Returns {
    clock: Clock,
    devices: usize,
    connected: AtomicUsize,
    cut_ns: AtomicU64,
    handshakes: AtomicU64,
    handshakes_peak: AtomicU64,
    attempts: AtomicU64,
    lost_again: AtomicU64,
    gave_up: AtomicUsize,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    /// From the cut, one for each device that was back once, in the order in which they came.
    back_ns: Vec<u64>,
    refused: BTreeMap<&'static str, u64>,
    first_refusal: Option<String>,
    longest_gap: Duration,
}

impl Returns {
    pub(super) fn new(clock: Clock, devices: usize) -> Self {
        Self {
            clock,
            devices,
            connected: AtomicUsize::new(0),
            cut_ns: AtomicU64::new(0),
            handshakes: AtomicU64::new(0),
            handshakes_peak: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
            lost_again: AtomicU64::new(0),
            gave_up: AtomicUsize::new(0),
            rest: Mutex::default(),
        }
    }

    /// Everybody is about to be cut: from now on it counts.
    pub(super) fn cut(&self) {
        self.cut_ns.store(self.clock.now_ns(), Ordering::Relaxed);
        self.handshakes_peak.store(0, Ordering::Relaxed);
        self.attempts.store(0, Ordering::Relaxed);
        *self.rest.lock() = Rest::default();
    }

    pub(super) fn connecting(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let now = self.handshakes.fetch_add(1, Ordering::Relaxed) + 1;
        self.handshakes_peak.fetch_max(now, Ordering::Relaxed);
    }

    /// A device got in, before the storm or after it.
    pub(super) fn entered(&self, stage: Stage, is_first: bool) {
        self.handshakes.fetch_sub(1, Ordering::Relaxed);
        match stage {
            Stage::Gather => _ = self.connected.fetch_add(1, Ordering::Relaxed),
            Stage::Storm if is_first => {
                let since_ns = self.clock.now_ns() - self.cut_ns.load(Ordering::Relaxed);
                self.rest.lock().back_ns.push(since_ns);
            }
            Stage::Storm | Stage::Over => {}
        }
    }

    pub(super) fn refused(&self, error: &ConnectError) {
        self.handshakes.fetch_sub(1, Ordering::Relaxed);
        let mut rest = self.rest.lock();
        *rest.refused.entry(failure::kind(error)).or_default() += 1;
        rest.first_refusal.get_or_insert_with(|| error.to_string());
    }

    pub(super) fn gap(&self, away: Duration) {
        let mut rest = self.rest.lock();
        rest.longest_gap = rest.longest_gap.max(away);
    }

    pub(super) fn lost(&self, stage: Stage) {
        match stage {
            Stage::Gather => _ = self.connected.fetch_sub(1, Ordering::Relaxed),
            Stage::Storm => _ = self.lost_again.fetch_add(1, Ordering::Relaxed),
            Stage::Over => {}
        }
    }

    pub(super) fn given_up(&self) {
        self.gave_up.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    pub(super) fn back(&self) -> usize {
        self.rest.lock().back_ns.len()
    }

    pub(super) fn gave_up(&self) -> usize {
        self.gave_up.load(Ordering::Relaxed)
    }

    pub(super) fn first_refusal(&self) -> Option<String> {
        self.rest.lock().first_refusal.clone()
    }

    pub(super) fn figures(&self, cpu: Cpu) -> Storm {
        let mut rest = std::mem::take(&mut *self.rest.lock());
        rest.back_ns.sort_unstable();
        let at = |percent| until_back_s(&rest.back_ns, self.devices, percent);
        Storm {
            devices: self.devices,
            back: rest.back_ns.len(),
            half_back_s: at(50),
            p99_back_s: at(99),
            all_back_s: at(100),
            handshakes_peak: self.handshakes_peak.load(Ordering::Relaxed),
            attempts: self.attempts.load(Ordering::Relaxed),
            refused: rest.refused,
            first_refusal: rest.first_refusal,
            lost_again: self.lost_again.load(Ordering::Relaxed),
            gave_up: self.gave_up() as u64,
            longest_gap_s: rest.longest_gap.as_secs_f64(),
            cpu,
        }
    }
}

/// When so many of 100 devices were back; none where they were not.
fn until_back_s(sorted_ns: &[u64], devices: usize, percent: usize) -> Option<f64> {
    let needed = (devices * percent).div_ceil(100).max(1);
    sorted_ns.get(needed - 1).map(|ns| *ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_devices_and_never_reached_by_those_that_stay_away() {
        let second = 1_000_000_000;
        let all: Vec<u64> = (1..=200).map(|nth| nth * second).collect();
        let at = |back: &[u64], percent| until_back_s(back, 200, percent);
        assert_eq!(
            (at(&all, 50), at(&all, 99), at(&all, 100)),
            (Some(100.0), Some(198.0), Some(200.0))
        );
        assert_eq!((at(&all[..199], 99), at(&all[..199], 100)), (Some(198.0), None));
        assert_eq!(until_back_s(&[second], 1, 50), Some(1.0));
    }

    #[test]
    fn handshakes_at_once_are_counted_from_the_cut_on() {
        let returns = Returns::new(Clock::start(), 2);
        (0..5).for_each(|_| returns.connecting());
        (0..5).for_each(|_| returns.entered(Stage::Gather, true));
        returns.cut();
        (0..2).for_each(|_| returns.connecting());
        returns.refused(&ConnectError::Timeout);
        returns.entered(Stage::Storm, true);
        let storm = returns.figures(Cpu::default());
        assert_eq!((storm.handshakes_peak, storm.attempts, storm.back), (2, 2, 1));
        assert_eq!((storm.refused["timeout"], storm.all_back_s), (1, None));
    }
}
