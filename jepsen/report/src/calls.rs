//! Calls: how many operations ended how, and how long they took.

use std::collections::BTreeMap;

use judge::history::Kind;

use crate::figures::percentile;
use crate::survey::{Survey, times};

/// Operations of one kind.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// How many ended ok, failed, and are of unknown outcome.
    pub(crate) ended: Ended,
    /// How long those that ended ok took, in all.
    pub(crate) whole: Took,
    /// The same by the bucket in which they began.
    pub(crate) buckets: Vec<Option<Took>>,
}

/// How operations ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// It happened.
    pub(crate) ok: usize,
    /// It did not.
    pub(crate) fail: usize,
    /// Nobody knows.
    pub(crate) info: usize,
}

/// How long operations took, in nanoseconds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

impl Ended {
    /// One more.
    pub(crate) fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Ok => self.ok += 1,
            Kind::Fail => self.fail += 1,
            Kind::Info | Kind::Invoke => self.info += 1,
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> usize {
        self.ok + self.fail + self.info
    }
}

impl Took {
    fn of(lengths: &mut [u64]) -> Self {
        lengths.sort_unstable();
        let max = lengths.last().copied().unwrap_or_default();
        Self { p50: percentile(lengths, 50), p99: percentile(lengths, 99), max }
    }
}

/// Operations by kind, the commonest first.
pub(crate) fn by_kind(survey: &Survey<'_>) -> Vec<(&'static str, Calls)> {
    #[derive(Default)]
    struct Raw {
        ended: Ended,
        lengths: Vec<Vec<u64>>,
    }
    let mut kinds: BTreeMap<&'static str, Raw> = BTreeMap::new();
    let buckets = survey.axis.buckets();
    for operation in &survey.operations {
        let raw = kinds.entry(operation.invoke.op.name()).or_default();
        raw.ended.add(operation.kind());
        if let (began, Some(ended)) = times(operation)
            && operation.is_ok()
        {
            raw.lengths.resize_with(buckets, Vec::new);
            raw.lengths[survey.axis.place(began)].push(ended.saturating_sub(began));
        }
    }
    let calls = |mut raw: Raw| {
        let mut whole: Vec<u64> = raw.lengths.iter().flatten().copied().collect();
        let buckets = raw.lengths.iter_mut();
        let buckets = buckets.map(|some| (!some.is_empty()).then(|| Took::of(some))).collect();
        Calls { ended: raw.ended, whole: Took::of(&mut whole), buckets }
    };
    let mut kinds: Vec<_> = kinds.into_iter().map(|(name, raw)| (name, calls(raw))).collect();
    kinds.sort_by_key(|(name, calls)| (std::cmp::Reverse(calls.ended.all()), *name));
    kinds
}

/// How operations ended, by the bucket in which they did; what never ended counts where the run ended.
pub(crate) fn by_bucket(survey: &Survey<'_>) -> Vec<Ended> {
    let mut buckets = vec![Ended::default(); survey.axis.buckets()];
    for operation in &survey.operations {
        let ended = times(operation).1.unwrap_or(survey.axis.end);
        buckets[survey.axis.place(ended)].add(operation.kind());
    }
    buckets
}
