//! Disk: a log as openraft's contract allows it: entries can be read as soon as they are written, and are there
//! after a crash only once they were synced.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::Arc;

use openraft::entry::RaftEntry as _;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use parking_lot::Mutex;

use crate::types::{Entry, LogId, Types, Vote};

/// A node's disk, which outlives its core. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    vote: Option<Vote>,
    entries: BTreeMap<u64, Entry>,
    /// Entries below it are synced.
    synced: u64,
    stalled: bool,
    /// Told once what they wait for is synced.
    waiting: Vec<IOFlushed<Types>>,
}

impl Disk {
    /// Syncs no entry from now on.
    pub(crate) fn stall(&self) {
        self.0.lock().stalled = true;
    }

    /// The power goes and comes back: what was not synced is gone.
    pub(crate) fn crash(&self) {
        let mut contents = self.0.lock();
        let synced = contents.synced;
        drop(contents.entries.split_off(&synced));
        contents.waiting.clear();
        contents.stalled = false;
    }
}

impl RaftLogReader<Types> for Disk {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Ok(self.0.lock().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.0.lock().vote)
    }
}

impl RaftLogStorage<Types> for Disk {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let contents = self.0.lock();
        let last = contents.entries.last_key_value().map(|(_, entry)| entry.log_id());
        Ok(LogState { last_purged_log_id: None, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.0.lock().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut contents = self.0.lock();
        contents.entries.extend(entries.into_iter().map(|entry| (entry.index(), entry)));
        if contents.stalled {
            contents.waiting.push(callback);
            return Ok(());
        }
        contents.synced = contents.entries.last_key_value().map_or(0, |(last, _)| last + 1);
        drop(contents);
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let mut contents = self.0.lock();
        let end = last.map_or(0, |last| last.index + 1);
        drop(contents.entries.split_off(&end));
        contents.synced = contents.synced.min(end);
        Ok(())
    }

    async fn purge(&mut self, _log_id: LogId) -> io::Result<()> {
        Err(io::Error::other("these logs are never purged"))
    }
}
