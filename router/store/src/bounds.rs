//! Where one shard's log begins and ends, and how each change moves that. Pure arithmetic, shared by the
//! implementations.

use crate::store::Record;

/// Where one shard's log begins and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The index of the last purge.
    pub(crate) purged: Option<u64>,
    /// The first and the last entry held.
    pub(crate) span: Option<(u64, u64)>,
}

impl Bounds {
    /// Adds records after the last entry; says what is wrong where that would leave a hole.
    pub(crate) fn append(&mut self, records: &[Record]) -> Result<(), String> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        match (self.span, self.purged) {
            (Some((_, end)), _) if end.checked_add(1) != Some(first.index) => {
                return Err(format!("entry {} after entry {end}", first.index));
            }
            (None, Some(purged)) if first.index <= purged => {
                return Err(format!("entry {} below the purge at {purged}", first.index));
            }
            _ => {}
        }
        for (before, after) in records.iter().zip(&records[1..]) {
            if before.index.checked_add(1) != Some(after.index) {
                return Err(format!("entry {} after entry {}", after.index, before.index));
            }
        }
        let begin = self.span.map_or(first.index, |(begin, _)| begin);
        self.span = Some((begin, last.index));
        Ok(())
    }

    /// Removes every entry with a larger index; `None` removes all.
    pub(crate) fn truncate_after(&mut self, keep: Option<u64>) {
        self.span = match (self.span, keep) {
            (Some((begin, end)), Some(keep)) if keep >= begin => Some((begin, end.min(keep))),
            _ => None,
        };
    }

    /// Removes every entry up to and including `index`; false, and no change, where an earlier purge went
    /// further.
    pub(crate) fn purge(&mut self, index: u64) -> bool {
        if self.purged.is_some_and(|purged| purged > index) {
            return false;
        }
        self.purged = Some(index);
        self.span = self.span.filter(|&(_, end)| end > index);
        if let Some((begin, _)) = &mut self.span {
            *begin = (*begin).max(index + 1);
        }
        true
    }

    /// The first index of `from..to` that is not held.
    pub(crate) fn first_missing(&self, from: u64, to: u64) -> Option<u64> {
        match self.span {
            _ if from >= to => None,
            Some((begin, end)) if from >= begin && from <= end => {
                (to - 1 > end).then(|| end.saturating_add(1))
            }
            _ => Some(from),
        }
    }
}
