//! Budget: how many frames a device may still send.

/// A token bucket in frames: refilled at a rate, up to a burst.
#[derive(Debug)]
pub(super) struct Budget {
    /// In thousandths of a frame.
    left: u64,
    refilled_ms: u64,
}

/// The bucket's shape, the same for all connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    pub(super) per_second: u32,
    pub(super) burst: u32,
}

impl Budget {
    pub(super) fn full(allowance: Allowance, now_ms: u64) -> Self {
        Self { left: u64::from(allowance.burst) * 1000, refilled_ms: now_ms }
    }

    /// Takes one frame; false when the device sent too many.
    pub(super) fn take(&mut self, allowance: Allowance, now_ms: u64) -> bool {
        let elapsed_ms = now_ms.saturating_sub(self.refilled_ms);
        let refill = elapsed_ms.saturating_mul(allowance.per_second.into());
        self.left = self.left.saturating_add(refill).min(u64::from(allowance.burst) * 1000);
        self.refilled_ms = now_ms;
        let affordable = self.left >= 1000;
        self.left = self.left.saturating_sub(1000);
        affordable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_flood_does_not() {
        let allowance = Allowance { per_second: 10, burst: 3 };
        let mut budget = Budget::full(allowance, 0);
        assert!((0..3).all(|_| budget.take(allowance, 0)));
        assert!(!budget.take(allowance, 0));
        assert!(budget.take(allowance, 100), "a tenth of a second gives one frame");
        assert!(!budget.take(allowance, 150));
    }
}
