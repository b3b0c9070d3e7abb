//! How one direction between two nodes behaves, and what was counted on it.

use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use crate::MachineError;

/// One direction from one node to another. The default carries everything at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// Nothing passes, not even what was under way.
    pub cut: bool,
    /// Each packet comes this much later.
    pub delay: Duration,
    /// Each packet comes up to this much later still; alone it changes no order.
    pub jitter: Duration,
    /// Share of the packets that are lost, 0 to 1.
    pub loss: f64,
    /// Share of the packets that come twice, 0 to 1.
    pub duplicate: f64,
    /// Share of the packets that others overtake, 0 to 1.
    pub reorder: f64,
    /// Bytes per second that pass; without it as many as the machine can.
    pub rate: Option<u64>,
}

impl Link {
    /// A direction that nothing passes.
    pub const CUT: Self = Self {
        cut: true,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        rate: None,
    };

    /// Refuses what means nothing.
    pub(crate) fn check(&self) -> Result<(), MachineError> {
        for (name, share) in
            [("loss", self.loss), ("duplicate", self.duplicate), ("reorder", self.reorder)]
        {
            if !(0.0..=1.0).contains(&share) {
                let text = format!("{name} of a link is a share from 0 to 1, not {share}");
                return Err(MachineError::Refused(text));
            }
        }
        if self.rate == Some(0) {
            let text = "a link of 0 bytes per second: cut it instead";
            return Err(MachineError::Refused(text.to_owned()));
        }
        Ok(())
    }
}

/// Packets, by what became of them. The bridge knows of `passed`, `cut` and `lost` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Given on, sooner or later; a second copy is not counted.
    pub passed: u64,
    /// Dropped because the link was cut.
    pub cut: u64,
    /// Dropped by chance.
    pub lost: u64,
    /// Dropped because too much was waiting on the link.
    pub overflowed: u64,
    /// Given on twice.
    pub duplicated: u64,
    /// Held back so that others overtook them.
    pub reordered: u64,
    /// Not given on at once.
    pub delayed: u64,
    /// For an address that nobody has, or not IPv4, or not taken by the receiver's device.
    pub stray: u64,
}

impl Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            cut: self.cut + other.cut,
            lost: self.lost + other.lost,
            overflowed: self.overflowed + other.overflowed,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            delayed: self.delayed + other.delayed,
            stray: self.stray + other.stray,
        }
    }
}

impl Sum for Counters {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_outside_0_to_1_and_a_rate_of_nothing_are_refused() {
        assert!(Link::default().check().is_ok());
        assert!(Link { loss: 1.0, ..Link::default() }.check().is_ok());
        for bad in [
            Link { loss: 1.1, ..Link::default() },
            Link { duplicate: -0.1, ..Link::default() },
            Link { reorder: f64::NAN, ..Link::default() },
            Link { rate: Some(0), ..Link::default() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
