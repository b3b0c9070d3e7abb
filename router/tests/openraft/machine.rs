//! Machine: remembers the words that were committed, by their place in the log.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use openraft::entry::RaftEntry as _;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;

use crate::types::{LogId, StoredMembership, Types};

/// The state of one core. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Machine(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    words: BTreeMap<u64, String>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl Machine {
    /// Each word by its index.
    pub(crate) fn words(&self) -> BTreeMap<u64, String> {
        self.0.lock().words.clone()
    }

    pub(crate) fn holds(&self, word: &str) -> bool {
        self.0.lock().words.values().any(|held| held == word)
    }
}

/// No test writes as much as a snapshot takes.
fn no_snapshots() -> io::Error {
    io::Error::other("these machines have no snapshots")
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, ()>> {
        Err(no_snapshots())
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let state = self.0.lock();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let mut state = self.0.lock();
            let id = entry.log_id();
            state.applied = Some(id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(word) => drop(state.words.insert(id.index, word)),
                EntryPayload::Membership(membership) => {
                    state.membership = StoredMembership::new(Some(id), membership);
                }
            }
            drop(state);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, _: &SnapshotMetaOf<Types>, (): ()) -> io::Result<()> {
        Err(no_snapshots())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, ()>>> {
        Ok(None)
    }
}
