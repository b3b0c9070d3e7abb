//! Step: what may happen next.

use crate::address::Address;
use crate::bounds::{CometId, ConnectionId, Life};

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A copy of a bind arrives at its shard.
    Bind(ConnectionId, Life, Address),
    /// A copy of an unbind arrives at its shard.
    Unbind(ConnectionId, Life, Address),
    /// The comet hears that what it waits for is bound.
    Granted(ConnectionId),
    /// The comet hears that what it waits for is refused, and says goodbye.
    Refused(ConnectionId),
    /// The comet hears that the connection lost its place to another, and says goodbye.
    Replaced(ConnectionId),
    /// The device goes.
    Leave(ConnectionId),
    /// A shard learns what a comet holds settled.
    Settle(CometId, Life, u8, Address),
    /// A comet's lease runs out.
    Expire(CometId),
    /// A comet learns that its life has ended, attaches again and has its connections bound again.
    Attach(CometId),
    /// A shard carries out the fence event after its cursor.
    Fence(Address),
    /// A shard has a new leader.
    Lead(Address),
}
