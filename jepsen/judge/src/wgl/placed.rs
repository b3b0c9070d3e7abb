//! Placed: the set of calls that have their place.

/// A set of calls, as bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Placed(Box<[u64]>);

impl Placed {
    pub(super) fn none_of(calls: usize) -> Self {
        Self(vec![0; calls.div_ceil(64).max(1)].into())
    }

    pub(super) fn flip(&mut self, call: usize) {
        self.0[call / 64] ^= 1 << (call % 64);
    }
}
