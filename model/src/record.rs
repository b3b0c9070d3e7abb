//! Records: the parts a snapshot of a state machine is made of, in the order in which they are listed.

use crate::address::Address;
use crate::cluster::{Node, NodeState, Placed, Placement};
use crate::command::Loser;
use crate::control::{Comet, FenceEvent, Found};
use crate::id::{CometId, CometRef, Conn, Incarnation, Seq, ShardId, Version};
use crate::route::Route;
use crate::slot::Slot;

/// One record of a data shard's snapshot. The head comes first and once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardRecord {
    /// Numbers of the shard as a whole.
    Head(ShardHead),
    /// A slot that is open here.
    Slot(Slot),
    /// A route of an address, with what a repeat of its bind must name again.
    Route {
        /// The address.
        address: Address,
        /// The route.
        route: Route,
        /// Connections that gave way to it.
        losers: Vec<Loser>,
        /// See [`crate::command::Bind::rank`].
        rank: Option<Seq>,
    },
    /// A room's listing of a comet.
    Listing {
        /// The room.
        room: Address,
        /// The comet, in which life.
        comet: CometRef,
        /// The comet's version of it.
        version: Version,
        /// False: taken off, kept so that an older version changes nothing.
        listed: bool,
    },
    /// The lowest incarnation of a comet still allowed.
    Fence {
        /// The comet.
        comet: CometId,
        /// Its fence.
        fence: Incarnation,
    },
    /// A connection that was removed, or that the policy refused, and whose bind may still be under way.
    Mark {
        /// The address it was removed from, or not let in at.
        address: Address,
        /// The comet, in which life.
        comet: CometRef,
        /// The comet's own number for it.
        conn: Conn,
        /// What a repeat of the unbind is answered: whether an unbind removed a route here.
        removed: bool,
        /// The seq of that route, so that a repeat that names it is recognised; `None` where no unbind
        /// removed one.
        seq: Option<Seq>,
        /// Whether the policy refused its bind, so that a repeat of the bind is answered alike.
        outranked: bool,
    },
    /// Every conn of a comet below this one is decided.
    Settled {
        /// The comet, in which life.
        comet: CometRef,
        /// The first conn that is not decided.
        settled: Conn,
    },
}

/// Numbers of a data shard as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardHead {
    /// Which shard.
    pub shard: ShardId,
    /// The seq that the next bind takes.
    pub next_seq: Seq,
    /// The largest log time applied, in milliseconds.
    pub elapsed_ms: u64,
    /// Position of the last fence event applied.
    pub cursor: u64,
    /// The newest table epoch heard of.
    pub epoch: u64,
    /// Every incarnation below this one has ended, of whatever comet.
    pub floor: Incarnation,
}

/// One record of the control shard's snapshot. The head comes first and once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlRecord {
    /// Numbers of the control shard as a whole.
    Head {
        /// The incarnation that the next attach takes.
        next_incarnation: Incarnation,
        /// The position that the next fence event takes.
        next_position: u64,
        /// The largest log time applied, in milliseconds.
        elapsed_ms: u64,
    },
    /// How the cluster was founded.
    Found(Found),
    /// A living comet.
    Comet(Comet),
    /// An attach that was answered: kept so that its repeat is answered alike and a superseded instance
    /// is known as one.
    Answered {
        /// The comet, in the life it was given.
        comet: CometRef,
        /// See [`crate::control::Attach::instance`].
        instance: String,
        /// See [`crate::control::Attach::attempt`].
        attempt: u64,
        /// The position it was answered with.
        position: u64,
    },
    /// A fence event that not every shard has applied yet.
    Event(FenceEvent),
    /// The lowest incarnation of a comet still allowed.
    Fence {
        /// The comet.
        comet: CometId,
        /// Its fence.
        fence: Incarnation,
    },
    /// A router node.
    Node {
        /// The node.
        node: Node,
        /// What is wanted of it.
        state: NodeState,
    },
    /// Where a shard's replicas should be.
    Placement(Placement),
    /// Where a shard's replicas are, as its leader last said.
    Placed(Placed),
}
