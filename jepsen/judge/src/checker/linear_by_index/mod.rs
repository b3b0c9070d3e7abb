//! The registry is linearizable by its own log indexes (after etcd's robustness tests: W2).

mod comet_reads;
mod order;
mod policies;
mod reads;
mod refusals;
mod stayers;

use self::comet_reads::CometReads;
use super::Property;
use crate::facts::{Facts, Lives};
use crate::history::{History, Operation};
use crate::settings::Settings;
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "linear-by-index",
    source: "etcd robustness: order by revision, replay, compare reads (W2)",
    needs: &["bind", "unbind", "locate"],
    check,
    covers: None,
};

/// One address with all that is known of it.
struct Address<'a, 'f> {
    key: &'a str,
    facts: &'f Facts<'f, 'a>,
    /// Its operations, in order of their beginnings.
    operations: Vec<&'f Operation<'a>>,
}

impl<'a> Address<'a, '_> {
    /// A connection in words.
    fn name(&self, life: &crate::facts::Life<'a>) -> String {
        let identity = life.identity;
        let comet = self.facts.comets.name(identity.comet);
        let (incarnation, conn) = (identity.incarnation, identity.conn);
        match life.seq {
            Some(seq) => format!("{} seq {seq} ({comet}#{incarnation} conn {conn})", self.key),
            None => format!("{} ({comet}#{incarnation} conn {conn})", self.key),
        }
    }
}

/// Real time agrees with the order of the log, and at each address every answer is the one that the log
/// up to its index gives, by the rules of bind, unbind, policy and fence. Ties within one entry need no
/// search: seqs order the binds of an entry, losers the evictions, and reads see whole entries. A read of a
/// comet's life shows all its connections in the shard or, once it has ended there, none ever more.
///
/// O(n log n) over operations; each violation names the answers that contradict each other.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let indexed = history.operations.iter().filter(|operation| operation.log_index().is_some());
    if indexed.count() == 0 {
        return Verdict::Unknown("no answer has a log index".into());
    }
    let facts = Facts::new(history, settings);
    let mut violations = Vec::new();
    order::check(history, &mut violations);
    let comet_reads = CometReads::new(history, &facts);
    comet_reads.strangers(&facts, &mut violations);
    for (key, places) in &facts.by_key {
        let operations = places.iter().map(|at| &history.operations[*at]).collect();
        let address = Address { key, facts: &facts, operations };
        let mut lives = Lives::new(address.operations.iter().map(|o| **o), &facts.comets);
        births(&address, &lives, &mut violations);
        policies::check(&address, &lives, &mut violations);
        stayers::check(&address, &lives, &mut violations);
        refusals::check(&address, &lives, &mut violations);
        comet_reads.check(&address, &mut lives, &mut violations);
        reads::check(&address, &mut lives, &mut violations);
    }
    Verdict::of(violations)
}

/// A bind that was sent once took effect where it was answered: nothing shows it before.
fn births(address: &Address<'_, '_>, lives: &Lives<'_>, violations: &mut Vec<Violation>) {
    for life in &lives.all {
        let Some(exact) = life.exact else { continue };
        if life.born.log_index < exact.log_index {
            let text = format!(
                "{} was there by index {}, although its only bind took effect at {}",
                address.name(life),
                life.born.log_index,
                exact.log_index
            );
            violations.push(Violation::new([life.born.event, exact.event], text));
        }
    }
}
