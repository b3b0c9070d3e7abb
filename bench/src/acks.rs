//! Acks: when a shard's writes were acknowledged, and how long none was.

use std::time::Duration;

use crate::latency::Latencies;

/// A write that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The number of the user that was bound.
    pub user: u64,
    /// The seq it got.
    pub seq: u64,
    /// When the write was made, in nanoseconds.
    pub begun_ns: u64,
    /// When its acknowledgement was there.
    pub acked_ns: u64,
}

/// A shard's acknowledgements, in the order in which they came.
#[derive(Debug, Default)]
pub struct Acks(Vec<Ack>);

impl Acks {
    /// Adds one, the last that came.
    pub fn push(&mut self, ack: Ack) {
        self.0.push(ack);
    }

    /// All there are.
    pub fn all(&self) -> &[Ack] {
        &self.0
    }

    /// From write to acknowledgement, of those that were under way in a window.
    pub fn latencies(&self, begin_ns: u64, end_ns: u64) -> Latencies {
        let mut latencies = Latencies::default();
        let first = self.0.partition_point(|ack| ack.acked_ns < begin_ns);
        let under_way = self.0[first..].iter().filter(|ack| ack.begun_ns < end_ns);
        under_way.for_each(|ack| latencies.record(ack.acked_ns - ack.begun_ns));
        latencies
    }

    /// From a moment to the first acknowledgement of a write that was made after it. (One that was made
    /// before may have been carried out before, and only its answer came late.)
    pub fn first_after(&self, ns: u64) -> Option<Duration> {
        let later = self.0.iter().rev().take_while(|ack| ack.acked_ns >= ns);
        let made_later = later.filter(|ack| ack.begun_ns >= ns);
        made_later.map(|ack| Duration::from_nanos(ack.acked_ns - ns)).min()
    }

    /// The longest time between one acknowledgement and the next, of those that reach into a window. The
    /// time since the last one counts, too.
    pub fn longest_gap(&self, begin_ns: u64, end_ns: u64) -> Duration {
        let at = |index: usize| self.0.get(index).map(|ack| ack.acked_ns);
        let first = self.0.partition_point(|ack| ack.acked_ns < begin_ns);
        let mut before_ns = first.checked_sub(1).and_then(at).unwrap_or(begin_ns);
        let mut longest_ns = 0;
        for ack_ns in (first..).map_while(at).take_while(|ack_ns| *ack_ns < end_ns).chain([end_ns])
        {
            longest_ns = longest_ns.max(ack_ns - before_ns);
            before_ns = ack_ns;
        }
        Duration::from_nanos(longest_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acks(times: &[(u64, u64)]) -> Acks {
        let ack = |&(begun_ns, acked_ns)| Ack { user: 0, seq: 0, begun_ns, acked_ns };
        Acks(times.iter().map(ack).collect())
    }

    #[test]
    fn an_answer_that_came_late_does_not_end_an_outage() {
        let acks = acks(&[(10, 20), (30, 105), (90, 900), (120, 950), (110, 960)]);
        assert_eq!(acks.first_after(100), Some(Duration::from_nanos(850)));
        assert_eq!(acks.first_after(130), None);
    }

    #[test]
    fn latencies_are_those_of_writes_under_way_in_the_window() {
        let ms = |ms: u64| ms * 1_000_000;
        let times = [(0, 9), (5, 11), (12, 13), (15, 40), (20, 41)];
        let acks = acks(&times.map(|(begun, acked)| (ms(begun), ms(acked))));
        let latency = acks.latencies(ms(10), ms(20)).summary();
        assert_eq!(latency.count, 3);
        assert!((latency.max_ms - 25.0).abs() < 0.1, "{latency:?}");
    }

    #[test]
    fn a_gap_counts_from_before_its_window_and_to_its_end() {
        let acks = acks(&[(0, 10), (0, 20), (0, 50), (0, 60), (0, 200)]);
        let gap = |begin, end| acks.longest_gap(begin, end).as_nanos();
        assert_eq!(gap(15, 65), 30);
        assert_eq!(gap(45, 61), 30, "20 to 50 reaches into it");
        assert_eq!(gap(55, 150), 90, "nothing since 60");
        assert_eq!(gap(210, 215), 15, "nothing since 200");
        assert_eq!(Acks::default().longest_gap(5, 9).as_nanos(), 4);
    }
}
