//! Policy: who gives way when a connection is bound where others are.

use crate::address::Address;
use crate::bounds::Seq;
use crate::copies::Bind;
use crate::mutation::Mutation;
use crate::shard::Route;

/// How many connections the user may have, and which. On the key it is always one, the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// As many as there are.
    All,
    /// One; a new one takes the place of the old one.
    Newest,
    /// One; a new one is refused.
    Oldest,
}

impl Policy {
    /// Whether at most one connection may stay at an address.
    pub fn is_one(self, address: Address) -> bool {
        address == Address::Key || self != Self::All
    }

    /// Whether the newcomer, which would get `seq`, takes the place of one that is there; otherwise it is
    /// outranked. Only where there is one place.
    pub(crate) fn yields(
        self,
        present: &Route,
        newcomer: &Bind,
        seq: Seq,
        address: Address,
        mutation: Option<Mutation>,
    ) -> bool {
        let rank = newcomer.rank.filter(|_| mutation != Some(Mutation::RankIgnored));
        match address {
            Address::User => {
                let older = present.rank.unwrap_or(present.seq) <= rank.unwrap_or(seq);
                older == (self != Self::Oldest)
            }
            Address::Key if mutation == Some(Mutation::SecondaryByArrival) => true,
            Address::Key => {
                let login = |rank: Option<Seq>, primary: Option<Seq>| rank.or(primary);
                login(present.rank, present.primary) <= login(rank, newcomer.primary)
            }
        }
    }
}
