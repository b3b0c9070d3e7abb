//! Sweep: which of a worker's slots are looked at when, so that each is within a round's time.

use std::cell::Cell;
use std::ops::Range;
use std::time::Duration;

use crate::limits::SWEEP_ROUND;

/// Goes round over slots, whose number may change meanwhile: none is passed over.
#[derive(Default)]
pub(super) struct Sweep {
    next: Cell<usize>,
}

impl Sweep {
    /// The slots to look at now that so much time has passed since the last ones, in up to two parts.
    pub(super) fn due(&self, slots: usize, passed: Duration) -> [Range<usize>; 2] {
        let share = passed.as_secs_f64() / SWEEP_ROUND.as_secs_f64();
        let count = ((slots as f64 * share).ceil() as usize).min(slots);
        // The worker may have fewer slots than it had.
        let from = self.next.get().min(slots);
        let end = (from + count).min(slots);
        let rest = count - (end - from);
        self.next.set(if rest > 0 { rest } else { end });
        [from..end, 0..rest]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SWEEP_PERIOD;

    #[test]
    fn each_slot_is_looked_at_within_a_round_whatever_is_added_meanwhile() {
        let sweep = Sweep::default();
        let mut slots = 7;
        let mut unseen: Vec<u32> = vec![0; slots];
        for look in 0..400 {
            if look % 13 == 0 {
                slots += slots / 3;
                slots = slots.min(100_000);
                unseen.resize(slots, 0);
            }
            unseen.iter_mut().for_each(|looks| *looks += 1);
            sweep.due(slots, SWEEP_PERIOD).into_iter().flatten().for_each(|slot| unseen[slot] = 0);
            // A round is ten looks; while slots are added it may take some more.
            let longest = unseen.iter().max().unwrap();
            assert!(*longest <= 14, "look {look}: {longest}");
        }
    }

    #[test]
    fn a_late_look_sees_more_but_none_twice() {
        let sweep = Sweep::default();
        let seen = |parts: [Range<usize>; 2]| parts.into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(seen(sweep.due(10, SWEEP_ROUND / 5)), [0, 1]);
        assert_eq!(seen(sweep.due(10, SWEEP_ROUND / 2)), [2, 3, 4, 5, 6]);
        assert_eq!(seen(sweep.due(10, SWEEP_ROUND * 3)), [7, 8, 9, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(seen(sweep.due(3, SWEEP_ROUND / 3)), [0]);
        assert_eq!(seen(sweep.due(0, SWEEP_ROUND)), [0; 0]);
    }
}
