//! Versions: the states that one thing may have had, as its owner numbered them.

use crate::history::{Operation, Refusal};

/// One version as its owner sent it.
#[derive(Debug, Clone, Copy)]
struct Sent {
    version: u64,
    /// What it makes of the thing: there, or not.
    there: bool,
    began: u64,
    /// Its exact index, if it is known.
    exact: Option<u64>,
}

/// All versions of one thing.
#[derive(Debug, Default)]
pub(in crate::checker) struct Versions {
    sent: Vec<Sent>,
    /// (index, version, event): from the index on, what is held is at least the version.
    held: Vec<(u64, u64, u64)>,
    /// The version that the reads so far have come to.
    floor: u64,
}

/// Why a read cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It was never there.
    Phantom,
    /// It should be there.
    Lost {
        /// The event that says so.
        since: u64,
    },
    /// It should not be there any more.
    CameBack {
        /// The event that says so.
        since: u64,
    },
}

impl Versions {
    /// Takes a version that its owner sent.
    pub(in crate::checker) fn take(
        &mut self,
        operation: &Operation<'_>,
        version: u64,
        there: bool,
    ) {
        let stale = operation.refusal() == Some(&Refusal::Stale);
        if operation.may_have_happened() {
            let exact = operation.is_ok() && operation.is_exact();
            let exact = operation.log_index().filter(|_| exact);
            self.sent.push(Sent { version, there, began: operation.began(), exact });
        }
        if let (true, Some(index)) = (operation.is_ok() || stale, operation.log_index()) {
            self.held.push((index, version, operation.told_by()));
        }
    }

    /// Prepares for reads: at each index, the highest version held by then.
    pub(in crate::checker) fn close(&mut self) {
        self.sent.sort_by_key(|sent| sent.version);
        self.held.sort_unstable();
        for at in 1..self.held.len() {
            if self.held[at - 1].1 > self.held[at].1 {
                let (_, version, event) = self.held[at - 1];
                self.held[at] = (self.held[at].0, version, event);
            }
        }
    }

    /// The event that says that it is there at an index, if that is certain: by then a version was held, and it and all
    /// that may have been held instead have it there. `before` is the event of the answer that is judged by that.
    pub(in crate::checker) fn certain(&self, index: u64, before: u64) -> Option<u64> {
        let by_then = self.held.partition_point(|(held, ..)| *held <= index);
        let (_, least, since) = self.held[by_then.checked_sub(1)?];
        let may_be_held = |sent: &&Sent| {
            sent.version >= least
                && sent.began < before
                && sent.exact.is_none_or(|exact| exact <= index)
        };
        let mut may_be = self.sent.iter().filter(may_be_held).peekable();
        may_be.peek()?;
        may_be.all(|sent| sent.there).then_some(since)
    }

    /// Judges one read; reads come in order of their indexes. `before` is the event of its answer.
    ///
    /// The smallest version that explains it is the best: it leaves the most to later reads.
    pub(super) fn read(&mut self, index: u64, before: u64, shown: bool) -> Result<(), Wrong> {
        let by_then = self.held.partition_point(|(held, ..)| *held <= index);
        let (certain, since) =
            by_then.checked_sub(1).map_or((0, u64::MAX), |at| (self.held[at].1, self.held[at].2));
        let least = certain.max(self.floor);
        if least == 0 && !shown {
            return Ok(());
        }
        let explains = |sent: &&Sent| {
            sent.version >= least
                && sent.there == shown
                && sent.began < before
                && sent.exact.is_none_or(|exact| exact <= index)
        };
        match self.sent.iter().find(explains) {
            Some(sent) => {
                self.floor = sent.version;
                Ok(())
            }
            None if self.sent.iter().all(|sent| !sent.there || sent.began >= before) => {
                Err(Wrong::Phantom)
            }
            None if shown => Err(Wrong::CameBack { since }),
            None => Err(Wrong::Lost { since }),
        }
    }
}
