//! What the log of a data shard says: commands, and the replies that applying them gives.

use std::collections::BTreeSet;

use crate::address::Address;
use crate::id::{CometId, CometRef, Conn, Id, Incarnation, Seq, Version};
use crate::policy::Policy;
use crate::route::Details;
use crate::slot::Slot;

/// One log entry: commands that are applied together, in order. An empty batch is a tick: it carries
/// the log time and sweeps a slice of what is no longer visible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Log time in milliseconds when the leader proposed it: elapsed time since the shard began, never
    /// wall time. Apply takes the larger of this and the largest it has seen.
    pub elapsed_ms: u64,
    /// Wall time in milliseconds since the Unix epoch, recorded for people only.
    pub wall_ms: u64,
    /// The commands; each has one reply.
    pub commands: Vec<Command>,
}

/// A command of a data shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Gives a connection a route and a seq.
    Bind(Bind),
    /// Removes exactly one route.
    Unbind(Unbind),
    /// Says which rooms a bound connection is in.
    SetRooms(SetRooms),
    /// Lists a comet for a room, in the room's own shard.
    BindRoom(ListRoom),
    /// Takes a comet off a room's listing.
    UnbindRoom(ListRoom),
    /// Ends all incarnations of a comet below a fence.
    ExpireComet(ExpireComet),
    /// Opens slots in this shard, which owns them from here on.
    Open(Open),
}

/// Gives a connection a route. (address, comet, incarnation, conn) is its identity: sending it again
/// while the route lives gives the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Which address; a user or a key.
    pub address: Address,
    /// The comet that holds the connection, in which life.
    pub comet: CometRef,
    /// The comet's own number for the connection.
    pub conn: Conn,
    /// What the comet knows of it.
    pub details: Details,
    /// Who may stay at this address.
    pub policy: Policy,
    /// Every conn of this comet below this one is decided: no bind for it may still take effect.
    pub settled: Conn,
    /// Of a connection that was bound in an earlier life of its comet: the seq that its *primary*
    /// address gave it first, on secondary addresses too, and the same however often its comet is
    /// fenced. A policy takes it for as old as that: a device that has moved on meanwhile keeps its
    /// place. None on a secondary address where the primary's policy keeps the oldest: the primary has
    /// decided by then, maybe for this connection over a later one. Needs protocol 2.
    pub rank: Option<Seq>,
}

/// Names the route that an unbind removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteName {
    /// By the registry's number.
    Seq(Seq),
    /// By the comet's own number, for a comet that does not know the seq yet.
    Conn(Conn),
}

/// Removes only the route that it names, of that comet and incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbind {
    /// The address of the route.
    pub address: Address,
    /// The comet that held it, in which life.
    pub comet: CometRef,
    /// Which of the address's routes.
    pub route: RouteName,
    /// See [`Bind::settled`].
    pub settled: Conn,
}

/// Replaces the set of rooms of a bound connection (primary address).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetRooms {
    /// The primary address.
    pub address: Address,
    /// The comet that holds the connection, in which life.
    pub comet: CometRef,
    /// The connection's seq on the address.
    pub seq: Seq,
    /// All rooms it is in from now on.
    pub rooms: BTreeSet<Id>,
    /// The comet's version of this set; one not newer than what is held changes nothing.
    pub version: Version,
}

/// Lists a comet for a room, or takes it off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRoom {
    /// The room's address.
    pub room: Address,
    /// The comet, in which life.
    pub comet: CometRef,
    /// The comet's version of this listing; one not newer than what is held changes nothing.
    pub version: Version,
}

/// Ends all incarnations of a comet below `fence`, as decided by the control shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpireComet {
    /// Which comet.
    pub comet: CometId,
    /// The lowest incarnation still allowed.
    pub fence: Incarnation,
    /// Position in the control shard's sequence of such events; the shard's cursor moves here.
    pub position: u64,
}

/// Opens slots in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The slots.
    pub slots: Vec<Slot>,
    /// The slot table's epoch that says so.
    pub epoch: u64,
    /// No seq below this one is given from here on; at most 1 unless the cluster was restored.
    pub next_seq: Seq,
    /// Every incarnation below this one has ended; 0 unless the cluster was restored.
    pub floor: Incarnation,
}

impl Open {
    /// Opens slots in a cluster that begins anew.
    pub fn new(slots: Vec<Slot>, epoch: u64) -> Self {
        Self { slots, epoch, next_seq: Seq(0), floor: Incarnation(0) }
    }
}

impl Command {
    /// The version of the protocol that every replica must understand before this is proposed.
    pub fn protocol(&self) -> u32 {
        match self {
            Self::Bind(bind) if bind.rank.is_some() => 2,
            Self::Open(open) if open.next_seq > Seq(1) || open.floor > Incarnation(0) => 2,
            Self::Bind(_)
            | Self::Unbind(_)
            | Self::SetRooms(_)
            | Self::BindRoom(_)
            | Self::UnbindRoom(_)
            | Self::ExpireComet(_)
            | Self::Open(_) => 1,
        }
    }
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The bind's route lives.
    Bound(Bound),
    /// The unbind's route is gone; `removed` is false where there was none.
    Unbound {
        /// Whether this very command removed it. A repeat of the one that did is told so too, until the
        /// connection is settled ([`Bind::settled`]): nothing is remembered of it from then on.
        removed: bool,
    },
    /// The command took effect, or what it says was already so.
    Done,
    /// Its version was not newer than what is held; nothing changed, and the comet already said more.
    Stale,
}

/// The answer to a bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The connection's number on this address.
    pub seq: Seq,
    /// Connections that gave way and must be closed; a repeat of the bind names them again.
    pub losers: Vec<Loser>,
}

/// A connection that lost its place to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loser {
    /// The address it lost.
    pub address: Address,
    /// Where it is.
    pub comet: CometRef,
    /// The comet's own number for it.
    pub conn: Conn,
    /// Its number on the address.
    pub seq: Seq,
}

/// Why a command changed nothing. Every replica refuses alike; repeating the same command cannot help
/// unless the variant says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The connection named by the bind was already removed, or its conn lies below `settled`.
    #[error("the connection is already gone")]
    Gone,
    /// The comet's incarnation is below the fence: attach again.
    #[error("comet is fenced below incarnation {fence}")]
    Fenced {
        /// The lowest incarnation still allowed.
        fence: Incarnation,
    },
    /// The policy keeps the connections that are already there. This is final: a repeat of the bind is refused
    /// alike, whatever has become of them, and as [`Refusal::Gone`] once the connection is settled.
    #[error("the session policy keeps the older connection")]
    Outranked,
    /// The shard does not own the address's slot: refresh the table and ask its owner.
    #[error("slot is not owned here at table epoch {epoch}")]
    WrongShard {
        /// The newest table epoch this shard has heard of.
        epoch: u64,
    },
    /// There is no such route to change.
    #[error("no such route")]
    NotBound,
    /// Too many removed connections of the comet are not settled. The same may be asked again once `settled`
    /// has moved.
    #[error("the comet has too many removed connections that are not settled")]
    Unsettled,
    /// The command breaks a rule that a correct comet keeps (a limit, a bind of a room, and the like).
    #[error("invalid command: {0}")]
    Invalid(&'static str),
}

/// What applying one command gives.
pub type Reply = Result<Outcome, Refusal>;
