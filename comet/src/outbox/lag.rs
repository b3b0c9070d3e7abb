//! Lag: how far a device is behind with what waits for it.

use std::collections::VecDeque;

use super::Outbox;

/// How far a device is behind. The worse one is the greater one: who stands still for longer, then who has more waiting,
/// then who lost more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lag {
    /// Looks, one a second, since the kernel last took something of what waits.
    pub(crate) still: u16,
    pub(crate) bytes: usize,
    pub(crate) frames: usize,
    /// Frames dropped since the device connected, at the largest number for ever.
    pub(crate) dropped: u32,
}

impl Outbox {
    /// To be called about once a second: looks whether the device takes what waits, and gives memory back that an idle
    /// connection does not need.
    pub(crate) fn sweep(&mut self) {
        if self.items.is_empty() && self.items.capacity() > 0 {
            self.items = VecDeque::new();
        }
        let moves = std::mem::take(&mut self.moved) || self.items.is_empty();
        self.still = if moves { 0 } else { self.still.saturating_add(1) };
    }

    /// Counts frames that had no room here.
    pub(crate) fn dropped(&mut self, frames: u32) {
        self.dropped = self.dropped.saturating_add(frames);
    }

    /// How far the device is behind; `None` where nothing waits for it or was dropped.
    pub(crate) fn lag(&self) -> Option<Lag> {
        let Self { bytes, frames, dropped, still, .. } = *self;
        let still = if self.moved { 0 } else { still };
        (frames > 0 || dropped > 0).then_some(Lag { still, bytes, frames, dropped })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_device_that_takes_nothing_is_behind_until_it_takes_something() {
        let mut outbox = Outbox::default();
        outbox.sweep();
        assert_eq!(outbox.lag(), None, "nothing waits");
        (0..2).for_each(|_| outbox.push_answer(Bytes::from_static(b"abc")));
        (0..3).for_each(|_| outbox.sweep());
        outbox.dropped(7);
        assert_eq!(outbox.lag(), Some(Lag { still: 3, bytes: 6, frames: 2, dropped: 7 }));
        outbox.advance(1);
        assert_eq!(outbox.lag(), Some(Lag { still: 0, bytes: 5, frames: 2, dropped: 7 }));
        (0..2).for_each(|_| outbox.sweep());
        assert_eq!(outbox.lag().map(|lag| lag.still), Some(1), "it moved before the first of them");
        outbox.advance(5);
        (0..2).for_each(|_| outbox.sweep());
        assert_eq!(outbox.lag(), Some(Lag { dropped: 7, ..Lag::default() }));
        outbox.dropped(u32::MAX);
        assert_eq!(outbox.lag().map(|lag| lag.dropped), Some(u32::MAX));
    }
}
