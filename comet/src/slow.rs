//! Slow: the devices that take what is pushed to them worst, and how they are found without holding anybody up.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use orrery_comet_core::Dialect;
use orrery_model::limits::{SLOW_DEFAULT, SLOW_MAX};
use orrery_model::{Address, Conn};
use orrery_proto::comet as wire;

use crate::mailbox::Workers;
use crate::outbox::Lag;

/// A device, and how far it is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlowDevice {
    pub(crate) conn: Conn,
    /// `None` while it is being bound.
    pub(crate) primary: Option<Address>,
    pub(crate) secondary: Option<Address>,
    pub(crate) dialect: Dialect,
    pub(crate) lag: Lag,
}

/// The slowest devices in some slots of a worker.
#[derive(Debug, Default)]
pub(crate) struct SlowPage {
    pub(crate) devices: Vec<SlowDevice>,
    /// The slot to go on from, if there are more.
    pub(crate) next: Option<usize>,
}

/// The slowest of all devices that it was shown, at most so many.
#[derive(Debug)]
pub(crate) struct Slowest {
    most: usize,
    /// The worst one is the last.
    ranks: BTreeSet<(Lag, Reverse<Conn>)>,
    devices: Vec<SlowDevice>,
}

impl Slowest {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, ranks: BTreeSet::new(), devices: Vec::new() }
    }

    /// Whether a device so far behind is to be inserted.
    pub(crate) fn is_among(&self, lag: Lag) -> bool {
        self.ranks.len() < self.most || self.ranks.first().is_some_and(|best| best.0 < lag)
    }

    /// Takes a device in, and lets go of the best one where there are too many.
    pub(crate) fn insert(&mut self, device: SlowDevice) {
        self.ranks.insert((device.lag, Reverse(device.conn)));
        self.devices.push(device);
        if self.ranks.len() > self.most {
            self.ranks.pop_first();
        }
        // Sorted out now and then, so that inserting stays cheap.
        if self.devices.len() > 2 * self.most {
            self.sort_out();
        }
    }

    /// Those that are left, the worst first.
    pub(crate) fn into_devices(mut self) -> Vec<SlowDevice> {
        self.sort_out();
        self.devices.sort_unstable_by_key(|device| Reverse(rank(device)));
        self.devices
    }

    fn sort_out(&mut self) {
        self.devices.retain(|device| self.ranks.contains(&rank(device)));
    }
}

fn rank(device: &SlowDevice) -> (Lag, Reverse<Conn>) {
    (device.lag, Reverse(device.conn))
}

/// Asks all workers, one page after the other.
pub(crate) async fn find(workers: &Workers, limit: u32) -> Vec<SlowDevice> {
    let limit = match limit {
        0 => SLOW_DEFAULT,
        limit => limit.min(SLOW_MAX),
    } as usize;
    let mut slowest = Slowest::new(limit);
    for worker in 0..workers.count() {
        let mut from = Some(0);
        while let Some(slot) = from {
            let page = workers.find_slow(worker, slot, limit).await;
            for device in page.devices {
                if slowest.is_among(device.lag) {
                    slowest.insert(device);
                }
            }
            from = page.next;
        }
    }
    slowest.into_devices()
}

impl From<SlowDevice> for wire::SlowDevice {
    fn from(device: SlowDevice) -> Self {
        let SlowDevice { conn, primary, secondary, dialect, lag } = device;
        Self {
            primary: primary.as_ref().map(Into::into),
            secondary: secondary.as_ref().map(Into::into),
            conn: conn.0,
            protocol: dialect.word().to_owned(),
            frames: lag.frames as u64,
            bytes: lag.bytes as u64,
            dropped: lag.dropped,
            still_seconds: lag.still.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(conn: u64, still: u16, bytes: usize) -> SlowDevice {
        let lag = Lag { still, bytes, frames: 1, dropped: 0 };
        let dialect = Dialect::Tcp;
        SlowDevice { conn: Conn(conn), primary: None, secondary: None, dialect, lag }
    }

    #[test]
    fn the_worst_are_kept_in_whatever_order_they_come() {
        let all: Vec<SlowDevice> = (0..100)
            .map(|conn| device(conn, (conn % 10) as u16, (conn * 7 % 13) as usize))
            .collect();
        let mut expected = all.clone();
        expected.sort_by_key(|device| Reverse(rank(device)));
        expected.truncate(7);
        for shift in 0..100 {
            let mut slowest = Slowest::new(7);
            for number in 0..100 {
                let device = all[(number * 37 + shift) % 100].clone();
                if slowest.is_among(device.lag) {
                    slowest.insert(device);
                }
            }
            let lags = |devices: &[SlowDevice]| -> Vec<Lag> {
                devices.iter().map(|device| device.lag).collect()
            };
            assert_eq!(lags(&slowest.into_devices()), lags(&expected), "shift {shift}");
        }
    }
}
