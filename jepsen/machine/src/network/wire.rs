//! Wire: decides what becomes of each packet of one directed link. Pure: the time is an argument.

use std::time::Duration;

use super::chance::Chance;
use super::link::{Counters, Link};
use crate::limits::{LINK_WAITING_BYTES_MAX, RATE_BURST_BYTES, RATE_WAIT_MAX, REORDER_HOLD};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes no further.
    Dropped,
    /// It is given on now.
    Now {
        /// It is given on twice.
        twice: bool,
    },
    /// It is given on at this time. Whoever keeps it until then asks [`Wire::handle_due`] then.
    Later {
        /// When.
        at: Duration,
        /// It is given on twice.
        twice: bool,
        /// It keeps its place among the packets of the wire; one that others overtake does not.
        in_line: bool,
    },
}

/// One direction between two ports.
#[derive(Debug)]
pub(super) struct Wire {
    link: Link,
    chance: Chance,
    counters: Counters,
    /// When the last packet in line is due.
    line_until: Duration,
    /// When the bytes that were taken so far have passed at the link's rate.
    paid_until: Duration,
    waiting_bytes: usize,
    /// Packets in line that are not given on yet.
    in_line: usize,
}

impl Wire {
    /// A wire that carries everything at once.
    pub(super) fn new(chance: Chance) -> Self {
        Self {
            link: Link::default(),
            chance,
            counters: Counters::default(),
            line_until: Duration::ZERO,
            paid_until: Duration::ZERO,
            waiting_bytes: 0,
            in_line: 0,
        }
    }

    /// Behaves so from now on. What is waiting keeps its time; the next packets do not wait behind it.
    pub(super) fn set(&mut self, link: Link) {
        self.link = link;
        self.line_until = Duration::ZERO;
        self.paid_until = Duration::ZERO;
    }

    /// What was counted so far.
    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// A packet of so many bytes has come.
    pub(super) fn handle_packet(&mut self, bytes: usize, now: Duration) -> Fate {
        let link = self.link;
        if link.cut {
            self.counters.cut += 1;
            return Fate::Dropped;
        }
        if self.chance.happens(link.loss) {
            self.counters.lost += 1;
            return Fate::Dropped;
        }
        let Some(departs) = self.departure(bytes, now) else {
            self.counters.overflowed += 1;
            return Fate::Dropped;
        };
        let mut at = departs + link.delay;
        if !link.jitter.is_zero() {
            at += link.jitter.mul_f64(self.chance.fraction());
        }
        let held = self.chance.happens(link.reorder);
        at = if held { at + REORDER_HOLD } else { at.max(self.line_until) };
        let twice = self.chance.happens(link.duplicate);
        // What is due already but not given on yet must not be overtaken either.
        let later = at > now || (self.in_line > 0 && !held);
        if later && self.waiting_bytes + bytes > LINK_WAITING_BYTES_MAX {
            self.counters.overflowed += 1;
            return Fate::Dropped;
        }
        self.counters.duplicated += u64::from(twice);
        self.counters.reordered += u64::from(held);
        if !held {
            self.line_until = at;
        }
        if !later {
            self.counters.passed += 1;
            return Fate::Now { twice };
        }
        self.counters.delayed += 1;
        self.waiting_bytes += bytes;
        self.in_line += usize::from(!held);
        Fate::Later { at, twice, in_line: !held }
    }

    /// A packet that had to wait is due: whether it is given on. A cut takes what is under way.
    pub(super) fn handle_due(&mut self, bytes: usize, in_line: bool) -> bool {
        self.waiting_bytes -= bytes;
        self.in_line -= usize::from(in_line);
        if self.link.cut {
            self.counters.cut += 1;
        } else {
            self.counters.passed += 1;
        }
        !self.link.cut
    }

    /// When a packet leaves a link with a rate: a token bucket. Nothing if it would wait too long.
    fn departure(&mut self, bytes: usize, now: Duration) -> Option<Duration> {
        let Some(rate) = self.link.rate else { return Some(now) };
        let time = |bytes: u64| Duration::from_secs_f64(bytes as f64 / rate as f64);
        let unspent = now.saturating_sub(time(RATE_BURST_BYTES));
        let paid_until = self.paid_until.max(unspent) + time(bytes as u64);
        if paid_until > now + RATE_WAIT_MAX {
            return None;
        }
        self.paid_until = paid_until;
        Some(paid_until.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn wire(link: Link) -> Wire {
        let mut wire = Wire::new(Chance::new(7, &["a", "b"]));
        wire.set(link);
        wire
    }

    fn due(fate: Fate) -> Duration {
        match fate {
            Fate::Later { at, .. } => at,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_link_as_new_gives_everything_on_at_once() {
        let mut wire = wire(Link::default());
        for number in 0..1000 {
            assert_eq!(wire.handle_packet(1500, MS * number), Fate::Now { twice: false });
        }
        assert_eq!(wire.counters(), Counters { passed: 1000, ..Counters::default() });
    }

    #[test]
    fn a_cut_takes_everything_even_what_is_under_way() {
        let mut wire = wire(Link { delay: 5 * MS, ..Link::default() });
        assert_eq!(due(wire.handle_packet(100, MS)), 6 * MS);
        assert_eq!(due(wire.handle_packet(100, MS)), 6 * MS);
        assert!(wire.handle_due(100, true));
        wire.set(Link::CUT);
        assert_eq!(wire.handle_packet(100, 2 * MS), Fate::Dropped);
        assert!(!wire.handle_due(100, true));
        let counted = Counters { passed: 1, cut: 2, delayed: 2, ..Counters::default() };
        assert_eq!(wire.counters(), counted);
    }

    #[test]
    fn loss_and_duplicates_come_in_the_share_asked_for_and_the_same_for_a_seed() {
        let run = || {
            let mut wire = wire(Link { loss: 0.2, duplicate: 0.1, ..Link::default() });
            let fates: Vec<_> = (0..10_000).map(|_| wire.handle_packet(100, MS)).collect();
            (fates, wire.counters())
        };
        let (fates, counters) = run();
        assert_eq!(run().0, fates);
        assert!((1900..2100).contains(&counters.lost), "{counters:?}");
        assert!((700..900).contains(&counters.duplicated), "{counters:?}");
        assert_eq!(counters.passed + counters.lost, 10_000);
        let dropped = fates.iter().filter(|fate| **fate == Fate::Dropped).count();
        assert_eq!(dropped as u64, counters.lost);
    }

    #[test]
    fn jitter_alone_never_changes_the_order() {
        let mut wire = wire(Link { delay: 10 * MS, jitter: 20 * MS, ..Link::default() });
        let mut last = Duration::ZERO;
        let mut latest = Duration::ZERO;
        for number in 0..1000 {
            let now = MS * number / 10;
            let at = due(wire.handle_packet(100, now));
            assert!(at >= last && at >= now + 10 * MS, "{number}: {at:?} after {last:?}");
            last = at;
            latest = latest.max(at - now);
        }
        assert!(latest > 25 * MS && latest < 31 * MS, "{latest:?}");
    }

    #[test]
    fn a_reordered_packet_lets_others_overtake_it_without_a_delay_too() {
        let mut wire = wire(Link { reorder: 1.0, ..Link::default() });
        let held = wire.handle_packet(100, MS);
        assert_eq!(held, Fate::Later { at: MS + REORDER_HOLD, twice: false, in_line: false });
        wire.set(Link::default());
        assert_eq!(wire.handle_packet(100, MS), Fate::Now { twice: false });
        assert!(wire.handle_due(100, false));
        assert_eq!(wire.counters().reordered, 1);
    }

    #[test]
    fn what_is_due_but_not_given_on_yet_is_not_overtaken() {
        let mut wire = wire(Link { delay: MS, ..Link::default() });
        assert_eq!(due(wire.handle_packet(100, MS)), 2 * MS);
        wire.set(Link::default());
        // The first one is still with whoever keeps it.
        let second = wire.handle_packet(100, 3 * MS);
        assert_eq!(second, Fate::Later { at: 3 * MS, twice: false, in_line: true });
        assert!(wire.handle_due(100, true));
        assert!(wire.handle_due(100, true));
        assert_eq!(wire.handle_packet(100, 3 * MS), Fate::Now { twice: false });
    }

    #[test]
    fn after_a_long_delay_was_taken_back_nobody_waits_for_it() {
        let mut wire = wire(Link { delay: 1000 * MS, ..Link::default() });
        assert_eq!(due(wire.handle_packet(100, MS)), 1001 * MS);
        wire.set(Link { delay: MS, ..Link::default() });
        assert_eq!(due(wire.handle_packet(100, 2 * MS)), 3 * MS);
    }

    #[test]
    fn a_rate_lets_a_burst_pass_then_spaces_packets_and_drops_the_tail() {
        // A thousand bytes a millisecond.
        let mut wire = wire(Link { rate: Some(1_000_000), ..Link::default() });
        let now = 1000 * MS;
        for _ in 0..RATE_BURST_BYTES / 1000 {
            assert_eq!(wire.handle_packet(1000, now), Fate::Now { twice: false });
        }
        let close = |fate, wanted: Duration| {
            let at = due(fate);
            assert!(at.abs_diff(wanted) < MS / 100, "{at:?} instead of {wanted:?}");
        };
        close(wire.handle_packet(1000, now), now + MS);
        close(wire.handle_packet(1000, now), now + 2 * MS);
        let waiting = (0..2000).filter(|_| wire.handle_packet(1000, now) != Fate::Dropped).count();
        assert!((497..=498).contains(&waiting), "{waiting}");
        assert_eq!(wire.counters().overflowed, 2000 - waiting as u64);
        // Idle for two seconds: the burst is there again, and no more than that.
        for _ in 0..waiting + 2 {
            wire.handle_due(1000, true);
        }
        let now = now + 2000 * MS;
        for _ in 0..RATE_BURST_BYTES / 1000 {
            assert_eq!(wire.handle_packet(1000, now), Fate::Now { twice: false });
        }
        close(wire.handle_packet(1000, now), now + MS);
    }

    #[test]
    fn only_so_many_bytes_wait() {
        let mut wire = wire(Link { delay: 1000 * MS, ..Link::default() });
        let fit = LINK_WAITING_BYTES_MAX / 1500;
        for _ in 0..fit {
            assert_eq!(due(wire.handle_packet(1500, MS)), 1001 * MS);
        }
        assert_eq!(wire.handle_packet(1500, MS), Fate::Dropped);
        assert_eq!(wire.counters().overflowed, 1);
        assert!(wire.handle_due(1500, true));
        assert_eq!(due(wire.handle_packet(1500, MS)), 1001 * MS);
    }
}
