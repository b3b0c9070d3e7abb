//! Coverage: how much of a history the search could judge.

use crate::checker::Share;

/// How many addresses were judged, and why others were not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Addresses that have an order.
    pub judged: usize,
    /// Addresses with more operations than are searched.
    pub too_many: usize,
    /// Addresses with more operations of unknown outcome than are searched.
    pub too_unknown: usize,
    /// Addresses whose search used up its steps.
    pub exhausted: usize,
}

impl Coverage {
    /// Addresses beyond the bounds of the search.
    pub fn beyond(&self) -> usize {
        self.too_many + self.too_unknown
    }

    /// Every address that has operations.
    pub fn all(&self) -> usize {
        self.judged + self.beyond() + self.exhausted
    }

    pub(super) fn share(&self) -> Share {
        let mut what = "addresses".to_owned();
        for (count, why) in [
            (self.too_many, "with too many operations"),
            (self.too_unknown, "with too many of unknown outcome"),
            (self.exhausted, "given up"),
        ] {
            if count > 0 {
                what.push_str(&format!("; {count} {why}"));
            }
        }
        Share { judged: self.judged, all: self.all(), what }
    }
}
