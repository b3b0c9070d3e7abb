//! Settled: which conns a comet had said to be decided, and when it first did.

use super::{Comet, Comets};
use crate::history::{History, Op};
use crate::quick::QuickMap;

/// Which conns each comet's lives had said to be decided.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// (event, settled) in order of events; each is the highest up to there.
    said: QuickMap<(Comet, u64), Vec<(u64, u64)>>,
}

impl Settled {
    pub(crate) fn new(history: &History<'_>, comets: &Comets<'_>) -> Self {
        let mut all = Self::default();
        for operation in &history.operations {
            let (comet, incarnation, settled) = match &operation.invoke.op {
                Op::Bind(bind) => (&bind.comet, bind.incarnation, bind.settled),
                Op::Unbind(unbind) => (&unbind.comet, unbind.incarnation, unbind.settled),
                _ => continue,
            };
            let Some(settled) = settled else { continue };
            let said = all.said.entry((comets.number(comet), incarnation)).or_default();
            if said.last().is_none_or(|(_, highest)| *highest < settled) {
                said.push((operation.began(), settled));
            }
        }
        all
    }

    /// Whether the comet had said before an event that a conn is decided.
    pub(crate) fn covers(&self, comet: Comet, incarnation: u64, conn: u64, before: u64) -> bool {
        let Some(said) = self.said.get(&(comet, incarnation)) else { return false };
        let after = said.partition_point(|(event, _)| *event < before);
        after.checked_sub(1).is_some_and(|last| said[last].1 > conn)
    }
}
