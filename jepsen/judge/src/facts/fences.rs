//! Fences: what answers prove of each comet's fence in each shard, by log index.
//!
//! A fence only rises. A write that the shard admitted at an index raised the fence to its incarnation if
//! it was lower, and proves that it was not higher; a refusal as fenced proves that it was. A read that
//! shows a route or listing proves that the fence did not lie above it.

use super::{Comet, Comets};
use crate::history::{History, Kind, Op, Operation, Refusal};
use crate::quick::QuickMap;

/// An answer that proves a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Proof {
    pub(crate) log_index: u64,
    /// The fence is at least, or at most, this.
    pub(crate) fence: u64,
    pub(crate) event: u64,
    /// Whether it is a read, which sees all of the entry at its index.
    pub(crate) is_read: bool,
}

/// One comet's fence in one shard.
#[derive(Debug, Default)]
pub(crate) struct Track {
    /// In order of index; each is the highest up to there.
    lowest: Vec<Proof>,
    /// In order of index; each is the lowest from there on.
    highest: Vec<Proof>,
    /// As proved, in order of index.
    upper: Vec<Proof>,
}

impl Track {
    /// The fence is at least this at an index, its entry included.
    pub(crate) fn at_least(&self, log_index: u64) -> Option<Proof> {
        let after = self.lowest.partition_point(|proof| proof.log_index <= log_index);
        after.checked_sub(1).map(|last| self.lowest[last])
    }

    /// The fence is at most this after the entry at an index.
    pub(crate) fn at_most_after(&self, log_index: u64) -> Option<Proof> {
        let first = self.highest.partition_point(|proof| proof.log_index <= log_index);
        self.highest.get(first).copied()
    }

    /// Everything that the fence did not lie above.
    pub(crate) fn allowed(&self) -> &[Proof] {
        &self.upper
    }

    fn close(&mut self) {
        self.lowest.sort_unstable();
        for at in 1..self.lowest.len() {
            let before = self.lowest[at - 1];
            if before.fence > self.lowest[at].fence {
                self.lowest[at] = Proof { log_index: self.lowest[at].log_index, ..before };
            }
        }
        self.highest.sort_unstable();
        self.upper = self.highest.clone();
        for at in (1..self.highest.len()).rev() {
            let after = self.highest[at];
            if after.fence < self.highest[at - 1].fence {
                self.highest[at - 1] = Proof { log_index: self.highest[at - 1].log_index, ..after };
            }
        }
    }
}

/// Every comet's fence in every shard.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    tracks: QuickMap<(u32, Comet), Track>,
}

impl Fences {
    pub(crate) fn new(history: &History<'_>, comets: &Comets<'_>) -> Self {
        let mut fences = Self::default();
        for operation in &history.operations {
            if let (Some(shard), Some(log_index)) = (operation.shard(), operation.log_index()) {
                fences.take(operation, shard, log_index, comets);
            }
        }
        fences.tracks.values_mut().for_each(Track::close);
        fences
    }

    /// One comet's fence in one shard, if anything is known of it.
    pub(crate) fn track(&self, shard: Option<u32>, comet: Comet) -> Option<&Track> {
        self.tracks.get(&(shard?, comet))
    }

    pub(crate) fn tracks(&self) -> impl Iterator<Item = (u32, Comet, &Track)> {
        self.tracks.iter().map(|((shard, comet), track)| (*shard, *comet, track))
    }

    fn take(&mut self, operation: &Operation<'_>, shard: u32, log_index: u64, comets: &Comets<'_>) {
        let event = operation.told_by();
        let proof = |fence, is_read| Proof { log_index, fence, event, is_read };
        let op = operation.op();
        if let Some((comet, incarnation)) = op.writer() {
            let track = self.tracks.entry((shard, comets.number(comet))).or_default();
            match (operation.kind(), operation.refusal()) {
                (Kind::Fail, Some(Refusal::Fenced { below })) => {
                    track.lowest.push(proof(below.unwrap_or(incarnation + 1), false));
                }
                (Kind::Fail, Some(refusal)) if !refusal.is_judgement() => {}
                (Kind::Fail, None) | (Kind::Info | Kind::Invoke, _) => {}
                _ => {
                    track.lowest.push(proof(incarnation, false));
                    track.highest.push(proof(incarnation, false));
                }
            }
            return;
        }
        if !operation.is_ok() {
            return;
        }
        let mut shown = |comet: &str, incarnation| {
            let track = self.tracks.entry((shard, comets.number(comet))).or_default();
            track.highest.push(proof(incarnation, true));
        };
        match op {
            Op::Locate(locate) => {
                for route in locate.routes.iter().flatten() {
                    shown(&route.comet, route.incarnation);
                }
            }
            Op::ReadRoom(read) => {
                read.comets.iter().flatten().for_each(|(comet, life)| shown(comet, *life));
            }
            Op::CometRoutes(read) if read.routes.as_ref().is_some_and(|r| !r.is_empty()) => {
                shown(&read.comet, read.incarnation);
            }
            _ => {}
        }
    }
}
