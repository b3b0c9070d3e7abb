//! Replica: one node's copy of a shard's state, as far as it has applied the log.

use std::io;
use std::sync::Arc;

use openraft::EntryPayload;
use orrery_model::ShardId;
use orrery_router_core::control::Control;
use orrery_router_core::registry::Registry;
use parking_lot::RwLock;
use seeded_bugs::Bug;
use tokio::sync::watch;

use super::snapshot_duty::SnapshotDuty;
use super::types::{Entry, LogId, Payload, Replies, SnapshotMeta, StoredMembership};

/// The state machine of a shard.
pub(crate) enum State {
    /// Of a data shard.
    Data(Box<Registry>),
    /// Of the control shard.
    Control(Box<Control>),
}

impl State {
    /// The state of a shard whose log is empty.
    pub(crate) fn new(shard: ShardId) -> Self {
        match shard {
            ShardId::CONTROL => Self::Control(Box::new(Control::new())),
            shard => Self::Data(Box::new(Registry::new(shard))),
        }
    }

    fn apply(&mut self, payload: &Payload) -> io::Result<Replies> {
        match (self, payload) {
            (Self::Data(registry), Payload::Data(batch)) => {
                Ok(Replies::Data(registry.apply(batch)))
            }
            (Self::Control(control), Payload::Control(batch)) => {
                Ok(Replies::Control(control.apply(batch)))
            }
            // The log is another shard's: nothing that follows can be trusted.
            _ => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "an entry of another kind of shard"))
            }
        }
    }
}

impl State {
    /// A seeded bug.
    fn count_seqs_anew(&mut self) {
        if let Self::Data(registry) = self {
            registry.count_seqs_anew();
        }
    }
}

struct Held {
    state: State,
    applied: Option<LogId>,
    membership: StoredMembership,
}

/// A shard's state on this node. Only the shard's machine changes it; anyone may read, briefly.
pub(crate) struct Replica {
    shard: ShardId,
    held: RwLock<Held>,
    applied: watch::Sender<u64>,
    snapshots: Arc<SnapshotDuty>,
}

impl Replica {
    /// The state of an empty log.
    pub(crate) fn new(shard: ShardId) -> Self {
        let state = State::new(shard);
        let held = Held { state, applied: None, membership: StoredMembership::default() };
        let (held, applied) = (RwLock::new(held), watch::Sender::new(0));
        Self { shard, held, applied, snapshots: Arc::default() }
    }

    /// Which shard this is.
    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    /// The replica's duty to write snapshots.
    pub(crate) fn snapshots(&self) -> &Arc<SnapshotDuty> {
        &self.snapshots
    }

    /// Reads the registry of a data shard, with the log index it stands at.
    ///
    /// # Panics
    /// On the control shard.
    pub(crate) fn registry<T>(&self, read: impl FnOnce(&Registry, u64) -> T) -> T {
        let held = self.held.read();
        let State::Data(registry) = &held.state else {
            panic!("the control shard has no registry");
        };
        read(registry, held.applied.map_or(0, |applied| applied.index))
    }

    /// Reads the state of the control shard, with the log index it stands at.
    ///
    /// # Panics
    /// On a data shard.
    pub(crate) fn control<T>(&self, read: impl FnOnce(&Control, u64) -> T) -> T {
        let held = self.held.read();
        let State::Control(control) = &held.state else {
            panic!("a data shard does not hold the cluster");
        };
        read(control, held.applied.map_or(0, |applied| applied.index))
    }

    /// The largest log time applied, in milliseconds.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        match &self.held.read().state {
            State::Data(registry) => registry.elapsed_ms(),
            State::Control(control) => control.elapsed_ms(),
        }
    }

    /// Whether the leader should write an empty entry, so that the next slice is swept.
    pub(crate) fn sweep_due(&self) -> bool {
        match &self.held.read().state {
            State::Data(registry) => registry.sweep_due(),
            State::Control(_) => false,
        }
    }

    /// Tells the log index applied, each time that it has moved.
    pub(crate) fn watch_applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    pub(super) fn position(&self) -> (Option<LogId>, StoredMembership) {
        let held = self.held.read();
        (held.applied, held.membership.clone())
    }

    /// A view of state and position that later entries do not change.
    pub(super) fn capture<T>(&self, capture: impl FnOnce(&State) -> T) -> (T, SnapshotMeta) {
        let held = self.held.read();
        let meta =
            SnapshotMeta { last_log_id: held.applied, last_membership: held.membership.clone() };
        if seeded_bugs::is(Bug::SnapshotWithoutMembership) {
            let meta = SnapshotMeta { last_membership: StoredMembership::default(), ..meta };
            return (capture(&held.state), meta);
        }
        (capture(&held.state), meta)
    }

    pub(super) fn replace(&self, state: State, meta: &SnapshotMeta) {
        {
            let mut held = self.held.write();
            *held =
                Held { state, applied: meta.last_log_id, membership: meta.last_membership.clone() };
        }
        self.announce();
    }

    pub(super) fn apply(&self, entry: &Entry) -> io::Result<Replies> {
        let mut held = self.held.write();
        let replies = match &entry.payload {
            EntryPayload::Blank => {
                if seeded_bugs::is(Bug::SeqCountedAfterFailover) {
                    held.state.count_seqs_anew();
                }
                Replies::None
            }
            EntryPayload::Normal(payload) => held.state.apply(payload)?,
            EntryPayload::Membership(membership) => {
                held.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                Replies::None
            }
        };
        held.applied = Some(entry.log_id);
        Ok(replies)
    }

    /// Tells whoever watches where the state stands now.
    pub(super) fn announce(&self) {
        let applied = self.held.read().applied.map_or(0, |applied| applied.index);
        self.applied.send_replace(applied);
    }
}
