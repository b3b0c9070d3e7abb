//! Availability: when each shard acknowledged writes, and when it did not.

use std::collections::BTreeMap;

use judge::history::Operation;

use crate::limits::GAP;
use crate::survey::Survey;

/// The acknowledged writes of one shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) number: u32,
    /// (when it began, the first moment at which this or a later one was acknowledged), by beginning.
    first: Vec<(u64, u64)>,
    /// How many were acknowledged in each bucket.
    pub(crate) buckets: Vec<usize>,
    /// Pauses between two of them, by time.
    pub(crate) gaps: Vec<Gap>,
}

/// A pause between two acknowledged writes of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from: u64,
    pub(crate) until: u64,
    /// Writes to the shard that began in it.
    pub(crate) asked: usize,
}

impl Gap {
    /// How long it was.
    pub(crate) fn length(&self) -> u64 {
        self.until - self.from
    }
}

impl Shard {
    /// How long after a moment the first write that began then or later was acknowledged.
    pub(crate) fn first_after(&self, moment: u64) -> Option<u64> {
        let at = self.first.partition_point(|(began, _)| *began < moment);
        self.first.get(at).map(|(_, ended)| ended - moment)
    }

    /// The longest gap.
    pub(crate) fn longest(&self) -> u64 {
        self.gaps.iter().map(Gap::length).max().unwrap_or_default()
    }
}

/// Every shard that acknowledged a write, by number.
pub(crate) fn shards(survey: &Survey<'_>) -> Vec<Shard> {
    let keys = survey.shards_of_keys();
    let mut shards: BTreeMap<u32, Writes> = BTreeMap::new();
    for operation in survey.operations.iter().filter(|operation| is_write(operation)) {
        let known = operation.key().and_then(|key| keys.get(key)).copied();
        let Some(shard) = operation.shard().or(known) else { continue };
        let writes = shards.entry(shard).or_default();
        writes.asked.push(operation.invoke.time);
        if let Some(end) = operation.end.filter(|_| operation.is_ok()) {
            writes.acknowledged.push((operation.invoke.time, end.time));
        }
    }
    shards.into_iter().map(|(number, writes)| one(number, writes, survey)).collect()
}

/// The writes to one shard.
#[derive(Default)]
struct Writes {
    /// When those that were acknowledged began and ended.
    acknowledged: Vec<(u64, u64)>,
    /// When all of them began.
    asked: Vec<u64>,
}

fn is_write(operation: &Operation<'_>) -> bool {
    operation.op().writer().is_some()
}

fn one(number: u32, writes: Writes, survey: &Survey<'_>) -> Shard {
    let Writes { mut acknowledged, mut asked } = writes;
    asked.sort_unstable();
    let mut ends: Vec<u64> = acknowledged.iter().map(|(_, ended)| *ended).collect();
    ends.sort_unstable();
    let mut buckets = vec![0; survey.axis.buckets()];
    ends.iter().for_each(|end| buckets[survey.axis.place(*end)] += 1);
    let asked_in = |from: u64, until: u64| {
        asked.partition_point(|at| *at < until) - asked.partition_point(|at| *at <= from)
    };
    let gaps = ends.windows(2).filter(|pair| pair[1] - pair[0] >= GAP);
    let gaps =
        gaps.map(|pair| Gap { from: pair[0], until: pair[1], asked: asked_in(pair[0], pair[1]) });
    let gaps = gaps.collect();
    acknowledged.sort_unstable();
    let mut soonest = u64::MAX;
    for (_, ended) in acknowledged.iter_mut().rev() {
        soonest = soonest.min(*ended);
        *ended = soonest;
    }
    Shard { number, first: acknowledged, buckets, gaps }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_with_what_was_asked_in_it() {
        let survey = Survey::of(&[]);
        let second = 1_000_000_000;
        let acknowledged = vec![(0, 1), (2 * second, 5 * second), (4 * second, 4 * second + 1)];
        let asked = vec![0, 2 * second, 3 * second, 4 * second];
        let shard = one(3, Writes { acknowledged, asked }, &survey);
        assert_eq!(shard.gaps, [Gap { from: 1, until: 4 * second + 1, asked: 3 }]);
        // The write that began at 2 s was overtaken by a later one.
        assert_eq!(shard.first_after(second), Some(3 * second + 1));
        assert_eq!(shard.first_after(5 * second), None);
    }
}
