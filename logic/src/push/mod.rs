//! Push: the one use case behind every API. A push is taken apart into tickets, one for each address;
//! tickets wait in the queue of their address ([`queues`]), are looked up together with everything else
//! that waits there ([`look_up`]), travel in one delivery a comet ([`flight`]), and come back as answers
//! of which the receipt is made ([`receipt`]).

pub(crate) mod check;
mod engine;
mod flight;
mod legs;
mod look_up;
mod parcels;
mod pushes;
mod queues;
pub(crate) mod receipt;
mod ticket;

use orrery_model::message::{Message, WaitFor, WhenFull};
use orrery_model::{Address, Id, Kind, Seq};

pub(crate) use engine::Engine;
pub(crate) use pushes::Pushes;
pub(crate) use receipt::{Disconnected, PushReceipt, Summary};

/// A message, and whom it is for.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    /// Whom it is for.
    pub(crate) target: Target,
    /// What they receive.
    pub(crate) message: Message,
    /// How far to wait before the receipt is written.
    pub(crate) wait_for: WaitFor,
    /// What becomes of it at a full outbox; `None`: what the comet is configured to do.
    pub(crate) when_full: Option<WhenFull>,
    /// Whether remembered routes will do.
    pub(crate) stale_ok: bool,
}

/// Whom a push is for.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Users or keys. One named twice receives the message twice.
    Addresses(Vec<Address>),
    /// Connections by their names.
    Connections(Vec<(Address, Seq)>),
    /// The members of a room.
    Room(Address),
    /// Everybody in a namespace.
    Everybody {
        /// Which one.
        namespace: Option<Id>,
        /// Connections per second over the whole cluster; 0 is no limit.
        rate: u32,
    },
}

impl Target {
    /// The target's word in metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Addresses(addresses) => match addresses.first().map(|a| a.kind) {
                Some(Kind::Key) => "keys",
                _ => "users",
            },
            Self::Connections(_) => "connections",
            Self::Room(_) => "room",
            Self::Everybody { .. } => "broadcast",
        }
    }

    /// How many addresses it names; a room and everybody count as one.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Addresses(addresses) => addresses.len(),
            Self::Connections(connections) => connections.len(),
            Self::Room(_) | Self::Everybody { .. } => 1,
        }
    }
}
