//! Facts: what a history proves or allows of comets, fences and connections, for all checkers.

mod calm;
mod comets;
mod devices;
mod ends;
mod fences;
mod lives;
pub(crate) mod looks;
mod settled;
mod sightings;
pub(crate) mod standings;

pub(crate) use self::calm::Calm;
pub(crate) use self::comets::{Comet, Comets};
pub(crate) use self::devices::{Device, Devices};
pub(crate) use self::ends::Ends;
pub(crate) use self::fences::Fences;
pub(crate) use self::lives::{Identity, Life, Lives, Point};
pub(crate) use self::settled::Settled;
pub(crate) use self::sightings::Sightings;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use crate::history::{History, Operation};
use crate::settings::Settings;

/// What a history proves or allows.
pub(crate) struct Facts<'h, 'a> {
    history: &'h History<'a>,
    pub(crate) comets: Comets<'a>,
    pub(crate) ends: Ends,
    /// Made when first asked for: some checkers do without.
    fences: OnceCell<Fences>,
    pub(crate) settled: Settled,
    /// Places of the operations at each address.
    pub(crate) by_key: BTreeMap<&'a str, Vec<usize>>,
}

impl<'h, 'a> Facts<'h, 'a> {
    pub(crate) fn new(history: &'h History<'a>, settings: &Settings) -> Self {
        let comets = Comets::new(history);
        let ends = Ends::new(history, settings, &comets);
        let settled = Settled::new(history, &comets);
        let mut by_key: BTreeMap<&'a str, Vec<usize>> = BTreeMap::new();
        for (at, operation) in history.operations.iter().enumerate() {
            if let Some(key) = operation.key() {
                by_key.entry(key).or_default().push(at);
            }
        }
        Self { history, comets, ends, fences: OnceCell::new(), settled, by_key }
    }

    /// The shard that has an address, as far as any answer shows it.
    pub(crate) fn shard(&self, operations: &[&Operation<'_>]) -> Option<u32> {
        operations.iter().find_map(|operation| operation.shard())
    }

    /// What answers prove of fences.
    pub(crate) fn fences(&self) -> &Fences {
        self.fences.get_or_init(|| Fences::new(self.history, &self.comets))
    }
}
