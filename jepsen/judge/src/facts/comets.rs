//! Comets: their names as numbers, so that facts about them are cheap to look up.

use crate::history::{History, Op};
use crate::quick::QuickMap;

/// A comet of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Comet(u32);

/// All comets of a history.
#[derive(Debug, Default)]
pub(crate) struct Comets<'a> {
    numbers: QuickMap<&'a str, Comet>,
    names: Vec<&'a str>,
}

impl<'a> Comets<'a> {
    /// Numbers every comet that the history speaks of.
    pub(crate) fn new(history: &History<'a>) -> Self {
        let mut comets = Self::default();
        for operation in &history.operations {
            comets.take(&operation.invoke.op);
            comets.take(operation.op());
        }
        comets
    }

    /// The number of a comet that an operation of the history names.
    pub(crate) fn number(&self, name: &str) -> Comet {
        self.find(name).expect("every comet of the history was numbered")
    }

    /// The comet's number, if an operation of the history names it.
    pub(crate) fn find(&self, name: &str) -> Option<Comet> {
        self.numbers.get(name).copied()
    }

    /// The number itself.
    pub(crate) fn place(&self, comet: Comet) -> u32 {
        comet.0
    }

    /// The comet's name.
    pub(crate) fn name(&self, comet: Comet) -> &'a str {
        self.names[comet.0 as usize]
    }

    fn take(&mut self, op: &'a Op) {
        if let Some((comet, _)) = op.writer() {
            self.add(comet);
        }
        match op {
            Op::Attach(attach) => self.add(&attach.comet),
            Op::KeepAlive(life) | Op::Detach(life) => self.add(&life.comet),
            Op::CometRoutes(read) => self.add(&read.comet),
            Op::Bind(bind) => {
                bind.losers.iter().flatten().for_each(|loser| self.add(&loser.comet));
            }
            Op::Locate(locate) => {
                locate.routes.iter().flatten().for_each(|route| self.add(&route.comet));
            }
            Op::ReadRoom(read) => {
                read.comets.iter().flatten().for_each(|(comet, _)| self.add(comet));
            }
            _ => {}
        }
    }

    fn add(&mut self, name: &'a str) {
        if self.numbers.contains_key(name) {
            return;
        }
        let next = u32::try_from(self.names.len()).expect("a run has under 2^32 comets");
        self.numbers.insert(name, Comet(next));
        self.names.push(name);
    }
}
