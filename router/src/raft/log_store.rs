//! Log store: a shard's log, as openraft sees it, over the node's one store and one log writer.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};
use openraft::entry::RaftEntry as _;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::alias::LogIdOf;
use openraft::{LogState, OptionalSend, RaftLogReader};
use orrery_host::Tasks;
use orrery_model::ShardId;
use orrery_router_store::{Record, Store, Write};
use parking_lot::Mutex;
use seeded_bugs::Bug;
use tokio::sync::watch;

use super::entry::{
    decode_entry, decode_log_id, decode_vote, encode_entry, encode_log_id, encode_vote,
};
use super::log_tail::{LogTail, Place};
use super::types::{Entry, LogId, Types, Vote};
use crate::blocking::blocking;
use crate::limits::LOG_READ_BYTES_MAX;
use crate::log_writer::LogWriter;

/// A shard's log, to be written by its core.
pub(crate) struct LogStore {
    reader: LogReader,
    writer: LogWriter,
    committed: Option<LogId>,
}

/// A shard's log, to be read by anyone.
#[derive(Clone)]
pub(crate) struct LogReader(Arc<Log>);

struct Log {
    shard: ShardId,
    store: Arc<dyn Store>,
    tasks: Arc<dyn Tasks>,
    tail: Mutex<LogTail>,
    vote: Mutex<Option<Vote>>,
    /// Raised when a truncation begins and when it ends: odd while one is under way.
    truncations: watch::Sender<u64>,
}

/// A truncation under way: the store may be cut while memory is not yet.
struct Truncation<'a>(&'a Log);

impl Drop for Truncation<'_> {
    fn drop(&mut self) {
        self.0.truncations.send_modify(|count| *count += 1);
    }
}

impl LogStore {
    /// Opens a shard's log, keeping its newest entries in memory, up to about `tail_bytes` of it.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what this build does not understand.
    pub(crate) async fn open(
        shard: ShardId,
        store: Arc<dyn Store>,
        tasks: Arc<dyn Tasks>,
        writer: LogWriter,
        tail_bytes: usize,
    ) -> io::Result<Self> {
        let opened = store.clone();
        let (tail, vote, committed) = blocking(&tasks, "open-log", move || {
            let (purged, last) = ends(&*opened, shard)?;
            let vote = opened.vote(shard).map_err(io::Error::other)?;
            let committed = opened.committed(shard).map_err(io::Error::other)?;
            let committed = committed.map(|bytes| decode_log_id(&bytes)).transpose()?;
            // Of a log that was cleared: it says nothing of the one that begins here. Beyond the end of
            // any other log something is lost, which the core must find out.
            let committed = committed.filter(|_| last.is_some());
            Ok((
                LogTail::new(purged, last, tail_bytes),
                vote.map(|bytes| decode_vote(&bytes)).transpose()?,
                committed,
            ))
        })
        .await?;
        let (tail, vote) = (Mutex::new(tail), Mutex::new(vote));
        let log = Log { shard, store, tasks, tail, vote, truncations: watch::Sender::new(0) };
        Ok(Self { reader: LogReader(Arc::new(log)), writer, committed })
    }

    fn log(&self) -> &Arc<Log> {
        &self.reader.0
    }
}

/// The last log id of a shard's log; the last purged one where no entry is held. Blocks.
///
/// # Errors
/// When the store cannot be read, or holds what this build does not understand.
pub(super) fn last_log_id(store: &dyn Store, shard: ShardId) -> io::Result<Option<LogId>> {
    ends(store, shard).map(|(_, last)| last)
}

/// The last purged log id, and the last one.
fn ends(store: &dyn Store, shard: ShardId) -> io::Result<(Option<LogId>, Option<LogId>)> {
    let state = store.log_state(shard).map_err(io::Error::other)?;
    let purged = state.purged.map(|bytes| decode_log_id(&bytes)).transpose()?;
    let last = match state.empty {
        true => purged,
        false => Some(log_id_at(store, shard, state.last_index)?),
    };
    Ok((purged, last.max(purged)))
}

fn log_id_at(store: &dyn Store, shard: ShardId, index: u64) -> io::Result<LogId> {
    let records = store.entries(shard, index, index + 1, 1).map_err(io::Error::other)?;
    let record = records.into_iter().next().ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(decode_entry(record.bytes)?.log_id())
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let tail = self.log().tail.lock();
        Ok(LogState { last_purged_log_id: tail.purged(), last_log_id: tail.last() })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        if !seeded_bugs::is(Bug::VoteNotPersisted) {
            self.writer.write(self.log().shard, Write::Vote(encode_vote(vote))).await?;
        }
        *self.log().vote.lock() = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<Types>>) -> io::Result<()> {
        let Some(committed) = committed else { return Ok(()) };
        self.committed = Some(committed);
        let write = Write::Committed(encode_log_id(committed));
        self.writer.submit_unwatched(self.log().shard, write).await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdOf<Types>>> {
        Ok(self.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let log = self.log().clone();
        let records = log.append(entries)?;
        let Some(end) = records.last().map(|record| record.index + 1) else {
            // Completed here it would pass those that wait for the disk.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no entries to append"));
        };
        let done = Box::new({
            let log = log.clone();
            move |result: io::Result<()>| {
                if result.is_ok() {
                    log.tail.lock().set_stored(end);
                }
                callback.io_completed(result);
            }
        });
        self.writer.submit(log.shard, Write::Append(records), done).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogIdOf<Types>>) -> io::Result<()> {
        let log = self.log().clone();
        let write = Write::TruncateAfter(last_log_id.map(|last| last.index));
        let _truncation = log.begin_truncation();
        // Waits although it need not be durable: behind it no completion of an older append is left.
        self.writer.write(log.shard, write).await?;
        log.tail.lock().truncate_after(last_log_id);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogIdOf<Types>) -> io::Result<()> {
        let log = self.log().clone();
        log.tail.lock().purge(log_id);
        let write = Write::Purge { index: log_id.index, position: encode_log_id(log_id) };
        self.writer.submit_unwatched(log.shard, write).await
    }
}

impl RaftLogReader<Types> for LogReader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (mut from, to) = bounds(&range);
        let mut entries = Vec::new();
        loop {
            let page = self.0.read(from, to).await?;
            let Some(last) = page.last() else { return Ok(entries) };
            from = last.index() + 1;
            entries.extend(page);
        }
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(*self.0.vote.lock())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.0.read(start, end).await
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        let log = self.0.clone();
        let pages = stream::unfold(Some(from), move |from| {
            let log = log.clone();
            async move {
                let page = log.read(from?, to).await;
                let next = match &page {
                    Ok(entries) => Some(entries.last()?.index() + 1),
                    Err(_) => None,
                };
                Some((page, next))
            }
        });
        pages.flat_map(|page| {
            let (entries, error) = match page {
                Ok(entries) => (entries, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            stream::iter(entries.into_iter().map(Ok).chain(error))
        })
    }
}

impl Log {
    /// Makes entries readable, and returns them as they are to be stored.
    fn append(&self, entries: impl IntoIterator<Item = Entry>) -> io::Result<Vec<Record>> {
        let mut tail = self.tail.lock();
        let mut records = Vec::new();
        for entry in entries {
            let record = Record { index: entry.index(), bytes: encode_entry(&entry) };
            if !tail.append(entry, record.bytes.len()) {
                let detail = format!("shard {}: entry {} leaves a hole", self.shard, record.index);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, detail));
            }
            records.push(record);
        }
        Ok(records)
    }

    /// The entries that begin `from..to`, bounded in bytes; none only where the log holds none.
    async fn read(&self, from: u64, to: u64) -> io::Result<Vec<Entry>> {
        loop {
            let truncations = *self.truncations.borrow();
            let place = self.tail.lock().find(from, to, LOG_READ_BYTES_MAX);
            let (begin, end) = match place {
                Place::Memory(entries) => return Ok(entries),
                Place::Store { from, to } => (from, to),
            };
            let (store, shard) = (self.store.clone(), self.shard);
            let read = blocking(&self.tasks, "read-log", move || {
                let records = store.entries(shard, begin, end, LOG_READ_BYTES_MAX);
                let records = records.map_err(io::Error::other)?;
                records.into_iter().map(|record| decode_entry(record.bytes)).collect()
            });
            match read.await {
                // Purged while it was being read: look again at what is left.
                Err(_) if self.purged_beyond(begin) => {}
                // Truncated while it was being read: the same, once memory knows it too.
                Err(_) if self.truncated_since(truncations) => self.wait_truncated().await,
                result => return result,
            }
        }
    }

    fn begin_truncation(&self) -> Truncation<'_> {
        self.truncations.send_modify(|count| *count += 1);
        Truncation(self)
    }

    /// Whether a truncation was under way when the count was so, or has begun since.
    fn truncated_since(&self, count: u64) -> bool {
        is_under_way(count) || *self.truncations.borrow() != count
    }

    async fn wait_truncated(&self) {
        // Fails only once this log is gone.
        let _ = self.truncations.subscribe().wait_for(|count| !is_under_way(*count)).await;
    }

    fn purged_beyond(&self, index: u64) -> bool {
        self.tail.lock().purged().is_some_and(|purged| purged.index >= index)
    }
}

/// Whether this count of truncations says that one is under way.
fn is_under_way(truncations: u64) -> bool {
    !truncations.is_multiple_of(2)
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}
