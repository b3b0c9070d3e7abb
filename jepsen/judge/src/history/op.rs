//! Op: what an operation does and what it gave, serialised as `f` and `value`.

use serde::{Deserialize, Serialize};

use super::edge::{Connect, Deliver, Joined, Living, Named, Online, Push};
use super::registry::{
    Attach, Bind, CometRoutes, Count, KeepAlive, Listing, Locate, ReadRoom, SetRooms, Unbind,
};
use super::run::{
    Digest, Drained, Ended, Fault, HarnessFailure, Heal, Panicked, Phase, Serving, Standing,
};

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "f", content = "value", rename_all = "kebab-case")]
pub enum Op {
    /// A comet begins a life; the answer is its incarnation.
    Attach(Attach),
    /// A comet renews its lease.
    KeepAlive(KeepAlive),
    /// A comet ends its own life.
    Detach(KeepAlive),
    /// Gives a connection a route at `key`.
    Bind(Bind),
    /// Removes that route.
    Unbind(Unbind),
    /// Says which rooms a bound connection of `key` is in.
    SetRooms(SetRooms),
    /// Lists a comet for the room `key`.
    ListRoom(Listing),
    /// Takes a comet off the room `key`.
    UnlistRoom(Listing),
    /// Reads all routes of `key`.
    Locate(Locate),
    /// Reads the comets of the room `key`, or its members in one shard.
    ReadRoom(ReadRoom),
    /// Reads all routes of a comet's life in one shard.
    CometRoutes(CometRoutes),
    /// Reads how many members the room `key` has in one shard.
    Count(Count),
    /// A device connects; ok when the comet told it so.
    Connect(Connect),
    /// A device disconnects: `invoke` when it begins to (or loses the connection), `ok` when it is over.
    Disconnect(Named),
    /// A device gives a sign of life; ok when the comet answered it.
    Heartbeat(Named),
    /// A device joins a room; ok when the comet told it so.
    Join(Joined),
    /// A device leaves a room.
    Leave(Joined),
    /// A backend pushes a message.
    Push(Push),
    /// A backend asks which connections the user `key` has.
    Online(Online),
    /// Reads which comets live, from the control shard.
    Comets(Living),
    /// A mark of a device's process: it received a message.
    Deliver(Deliver),
    /// A mark of the nemesis: a fault, with what became of it.
    Fault(Fault),
    /// A mark of the nemesis: faults end.
    Heal(Heal),
    /// A mark: a phase of the run begins.
    Phase(Phase),
    /// A mark: the digest of a replica, of `node`, at an index of its log.
    Digest(Digest),
    /// A mark: what `node` says of the cluster and of its own replicas.
    Standing(Standing),
    /// A mark: the cluster was not told, or may not have been, that `node` is to lead again.
    Drained(Drained),
    /// A mark: the first write that a shard acknowledged after a heal.
    Serving(Serving),
    /// A mark: a process ended by itself, which nobody had asked it to.
    Ended(Ended),
    /// A mark: a task of some process panicked, whether or not that ended the process.
    Panicked(Panicked),
    /// A mark: the harness could not do its work.
    HarnessFailure(HarnessFailure),
}

impl Op {
    /// The operation's `f`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Attach(_) => "attach",
            Self::KeepAlive(_) => "keep-alive",
            Self::Detach(_) => "detach",
            Self::Bind(_) => "bind",
            Self::Unbind(_) => "unbind",
            Self::SetRooms(_) => "set-rooms",
            Self::ListRoom(_) => "list-room",
            Self::UnlistRoom(_) => "unlist-room",
            Self::Locate(_) => "locate",
            Self::ReadRoom(_) => "read-room",
            Self::CometRoutes(_) => "comet-routes",
            Self::Count(_) => "count",
            Self::Connect(_) => "connect",
            Self::Disconnect(_) => "disconnect",
            Self::Heartbeat(_) => "heartbeat",
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::Push(_) => "push",
            Self::Online(_) => "online",
            Self::Comets(_) => "comets",
            Self::Deliver(_) => "deliver",
            Self::Fault(_) => "fault",
            Self::Heal(_) => "heal",
            Self::Phase(_) => "phase",
            Self::Digest(_) => "digest",
            Self::Standing(_) => "standing",
            Self::Drained(_) => "drained",
            Self::Serving(_) => "serving",
            Self::Ended(_) => "ended",
            Self::Panicked(_) => "panicked",
            Self::HarnessFailure(_) => "harness-failure",
        }
    }

    /// Whether its events stand alone, without an invocation that they answer.
    pub fn is_mark(&self) -> bool {
        matches!(
            self,
            Self::Deliver(_)
                | Self::Fault(_)
                | Self::Heal(_)
                | Self::Phase(_)
                | Self::Digest(_)
                | Self::Standing(_)
                | Self::Drained(_)
                | Self::Serving(_)
                | Self::Ended(_)
                | Self::Panicked(_)
                | Self::HarnessFailure(_)
        )
    }

    /// The comet and incarnation of a write to a data shard.
    pub fn writer(&self) -> Option<(&str, u64)> {
        match self {
            Self::Bind(bind) => Some((&bind.comet, bind.incarnation)),
            Self::Unbind(unbind) => Some((&unbind.comet, unbind.incarnation)),
            Self::SetRooms(set) => Some((&set.comet, set.incarnation)),
            Self::ListRoom(listing) | Self::UnlistRoom(listing) => {
                Some((&listing.comet, listing.incarnation))
            }
            _ => None,
        }
    }
}
