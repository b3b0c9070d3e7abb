//! Setting: which protocol is looked at, and within what bounds.

use crate::address::Address;
use crate::bounds::{COMETS, CONNECTIONS, CometId, ConnectionId};
use crate::mutation::Mutation;
use crate::policy::Policy;
use crate::shard::Rules;

/// The protocol under one policy, with all its rules or all but one.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// How many connections the user may have.
    pub policy: Policy,
    /// Which connections begin. That a device connects late is that its first bind arrives late.
    pub connections: [bool; CONNECTIONS],
    /// Which comets may be fenced, once each.
    pub fenced: [bool; COMETS],
    /// Whether devices go by themselves. Those that lost their place always do.
    pub leaves: bool,
    /// How shards learn what is settled.
    pub settling: Settling,
    /// Whether a bind that was outranked leaves a mark, so that no copy of it takes effect later.
    pub refusal_is_final: bool,
    /// Which rank a connection that is bound again has on the secondary address.
    pub secondary_rank: SecondaryRank,
    /// Whether worlds that behave alike count as one. Where they do not, every state is compared with what
    /// forgetting makes of it.
    pub forgets: bool,
    /// Which rule does not hold.
    pub mutation: Option<Mutation>,
}

/// How shards learn what is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// At any moment, any value that the comet ever held in that life. The product allows less.
    AtAnyMoment,
    /// Along with writes whose answer is awaited, the value of that moment. A late copy tells nothing.
    WithWrites,
}

/// Which rank a connection that is bound again has on the secondary address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondaryRank {
    /// The one it has on the primary address.
    AsOnPrimary,
    /// None where it won its place on the primary address over a connection with a higher seq. Not the rule:
    /// that one may have been bound again itself, so its seq says nothing of its age.
    UnlessOverLater,
    /// None where the policy keeps the oldest: there the primary address decides alone.
    WhereNewestWins,
}

impl Protocol {
    /// Everything as the rules tell it, within the widest bounds.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            connections: [true; CONNECTIONS],
            fenced: [true; COMETS],
            leaves: true,
            settling: Settling::AtAnyMoment,
            refusal_is_final: true,
            secondary_rank: SecondaryRank::WhereNewestWins,
            forgets: true,
            mutation: None,
        }
    }

    /// Whether a connection begins.
    pub fn begins(&self, connection: ConnectionId) -> bool {
        self.connections[usize::from(connection.0)]
    }

    /// Whether a comet may be fenced.
    pub fn may_fence(&self, comet: CometId) -> bool {
        self.fenced[usize::from(comet.0)]
    }

    pub(crate) fn rules(&self, address: Address) -> Rules {
        let Self { policy, refusal_is_final, mutation, .. } = *self;
        Rules { address, policy, refusal_is_final, mutation }
    }

    pub(crate) fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}
