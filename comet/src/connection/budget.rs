//! Budget: how many frames and bytes a device may still send.

use crate::config::Config;
use crate::limits::{UNREAD_BURSTS_MAX, UNREAD_BYTES_MAX};

/// What a device sent too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flood {
    /// Frames, a part of a message being one, and control frames too.
    Frames,
    /// Bytes, those of TLS included.
    Bytes,
}

/// A bucket of frames and one of bytes: each is refilled at a rate, up to a burst.
///
/// While we do not read it is refilled beyond that: a device that went on at its rate meanwhile has sent nothing that it
/// may not, and it is we who find it all at once. What it did not send is lost to it once nothing more waits to be read.
/// So over any time it may send its rate and a burst, whether we read or not. What goes beyond a burst is bounded too: the
/// kernel keeps no more for us than a receive buffer, however long we do not read.
#[derive(Debug)]
pub(super) struct Budget {
    /// In thousandths of a frame.
    frames: u64,
    /// In thousandths of a byte.
    bytes: u64,
    refilled_ms: u64,
    /// Whether there may be more to read than came lately.
    behind: bool,
}

/// The shape of a bucket, the same for all connections.
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: u32,
    burst: u32,
    /// On top of a burst, for a time in which nothing was read.
    unread: u32,
}

impl Budget {
    pub(super) fn full(config: &Config, now_ms: u64) -> Self {
        let [frames, bytes] = rates(config).map(Rate::full);
        Self { frames, bytes, refilled_ms: now_ms, behind: false }
    }

    /// Takes frames; an error when the device sent too many.
    pub(super) fn take_frames(
        &mut self,
        count: u32,
        config: &Config,
        now_ms: u64,
    ) -> Result<(), Flood> {
        self.refill(config, now_ms);
        take(&mut self.frames, count.into()).ok_or(Flood::Frames)
    }

    /// Takes bytes; an error when the device sent too many.
    pub(super) fn take_bytes(
        &mut self,
        count: usize,
        config: &Config,
        now_ms: u64,
    ) -> Result<(), Flood> {
        self.refill(config, now_ms);
        take(&mut self.bytes, count as u64).ok_or(Flood::Bytes)
    }

    /// From here on the device is not read.
    pub(super) fn stop(&mut self, config: &Config, now_ms: u64) {
        self.refill(config, now_ms);
        self.behind = true;
    }

    /// All that the device has sent is read.
    pub(super) fn catch_up(&mut self, config: &Config, now_ms: u64) {
        if self.behind {
            self.behind = false;
            self.refill(config, now_ms);
        }
    }

    fn refill(&mut self, config: &Config, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.refilled_ms);
        let [frames, bytes] = rates(config);
        self.frames = frames.refilled(self.frames, elapsed_ms, self.behind);
        self.bytes = bytes.refilled(self.bytes, elapsed_ms, self.behind);
        self.refilled_ms = now_ms;
    }
}

impl Rate {
    fn full(self) -> u64 {
        u64::from(self.burst) * 1000
    }

    fn refilled(self, left: u64, elapsed_ms: u64, beyond: bool) -> u64 {
        let refill = elapsed_ms.saturating_mul(self.per_second.into());
        let most = if beyond { self.full() + u64::from(self.unread) * 1000 } else { self.full() };
        left.saturating_add(refill).min(most)
    }
}

/// Of frames, and of bytes.
fn rates(config: &Config) -> [Rate; 2] {
    [
        Rate {
            per_second: config.frames_per_second,
            burst: config.frames_burst,
            unread: config.frames_burst.saturating_mul(UNREAD_BURSTS_MAX),
        },
        Rate {
            per_second: config.bytes_per_second,
            burst: config.bytes_burst,
            unread: UNREAD_BYTES_MAX,
        },
    ]
}

fn take(left: &mut u64, count: u64) -> Option<()> {
    *left = left.checked_sub(count.saturating_mul(1000))?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_flood_does_not() {
        let config = Config { frames_per_second: 10, frames_burst: 3, ..Config::default() };
        let mut budget = Budget::full(&config, 0);
        assert_eq!(budget.take_frames(3, &config, 0), Ok(()));
        assert_eq!(budget.take_frames(1, &config, 0), Err(Flood::Frames));
        assert_eq!(budget.take_frames(1, &config, 100), Ok(()), "a tenth of a second gives one");
        assert_eq!(budget.take_frames(1, &config, 150), Err(Flood::Frames));
        assert_eq!(budget.take_frames(0, &config, 150), Ok(()));
    }

    #[test]
    fn a_time_in_which_nothing_is_read_counts_until_all_of_it_is() {
        let config = Config { frames_per_second: 10, frames_burst: 3, ..Config::default() };
        let mut budget = Budget::full(&config, 0);
        budget.stop(&config, 0);
        budget.stop(&config, 900);
        // A second at its rate, and the burst.
        assert_eq!(budget.take_frames(12, &config, 1000), Ok(()));
        assert_eq!(budget.take_frames(2, &config, 1000), Err(Flood::Frames));
        assert_eq!(budget.take_frames(1, &config, 1000), Ok(()));
        budget.stop(&config, 1000);
        budget.catch_up(&config, 2000);
        assert_eq!(
            budget.take_frames(4, &config, 2000),
            Err(Flood::Frames),
            "no more than a burst"
        );
        assert_eq!(budget.take_frames(3, &config, 2000), Ok(()));
    }

    #[test]
    fn however_long_nothing_is_read_no_more_counts_than_the_kernel_may_have_kept() {
        const HOUR_MS: u64 = 3_600_000;
        let config = Config { frames_burst: 100, ..Config::default() };
        let frames = config.frames_burst * (1 + UNREAD_BURSTS_MAX);
        let bytes = (config.bytes_burst + UNREAD_BYTES_MAX) as usize;
        let mut budget = Budget::full(&config, 0);
        budget.stop(&config, 0);
        budget.stop(&config, HOUR_MS);
        assert_eq!(budget.take_frames(frames, &config, HOUR_MS), Ok(()));
        assert_eq!(budget.take_frames(1, &config, HOUR_MS), Err(Flood::Frames));
        assert_eq!(budget.take_bytes(bytes, &config, HOUR_MS), Ok(()));
        assert_eq!(budget.take_bytes(1, &config, HOUR_MS), Err(Flood::Bytes));
    }

    #[test]
    fn bytes_have_a_bucket_of_their_own() {
        let config = Config { bytes_per_second: 1000, bytes_burst: 20_000, ..Config::default() };
        let mut budget = Budget::full(&config, 0);
        assert_eq!(budget.take_frames(1, &config, 0), Ok(()));
        assert_eq!(budget.take_bytes(20_000, &config, 0), Ok(()));
        assert_eq!(budget.take_bytes(1, &config, 0), Err(Flood::Bytes));
        assert_eq!(budget.take_bytes(500, &config, 500), Ok(()));
        assert_eq!(budget.take_frames(1, &config, 500), Ok(()), "none of them is a frame");
        // However long it was quiet.
        assert_eq!(budget.take_bytes(20_001, &config, 1_000_000), Err(Flood::Bytes));
    }
}
