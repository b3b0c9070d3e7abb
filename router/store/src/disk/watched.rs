//! The file system under the log engine, watched: it knows how far each file is synced, refuses to have
//! synced bytes cut off, and after the first failed sync changes nothing any more.
//!
//! The engine panics where a sync fails, with its locks held and once more when it is dropped. So here a
//! failed sync is only remembered, every later change is refused, and whoever asked for the write looks
//! at [`Watch::failure`] before saying that it is durable.

use std::io::{self, Error, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use raft_engine::env::{FileSystem, Handle, Permission, WriteExt};

use super::ends::Ends;
use super::synced::{LogFile, Synced};

/// What the watched file system knows.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// What was durable when the directory was opened.
    floor: Synced,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    synced: Synced,
    /// How much of each file that is there is durable.
    lengths: Ends,
    /// What the engine needs no more and is still there.
    given_back: Vec<PathBuf>,
    failure: Option<io::ErrorKind>,
    damage: Option<String>,
}

impl Watch {
    pub(super) fn new(floor: Synced) -> Self {
        Self { floor, state: Mutex::new(State { synced: floor, ..State::default() }) }
    }

    /// How far the log is durable.
    pub(super) fn synced(&self) -> Synced {
        self.state.lock().synced
    }

    /// Says that the first bytes of a file are durable.
    pub(super) fn raise(&self, file: LogFile, bytes: u64) {
        let mut state = self.state.lock();
        state.synced.raise(file, bytes);
        let length = state.lengths.entry(file).or_default();
        *length = bytes.max(*length);
    }

    /// How long the files are that are no longer written.
    pub(super) fn ends(&self) -> Ends {
        let state = self.state.lock();
        let is_older = |file: &LogFile| file.number < state.synced.reach(file.queue).file;
        state.lengths.iter().filter(|(file, _)| is_older(file)).map(|(&f, &end)| (f, end)).collect()
    }

    /// The files to be removed, once nothing beside the log speaks of them any more: of those that the engine
    /// gives back it keeps the oldest for reuse, and a gap behind them would be taken for damage.
    pub(super) fn take_given_back(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.state.lock().given_back)
    }

    /// A name goes away, or is another file's from now on.
    pub(super) fn forget(&self, path: &Path) {
        if let Some(file) = LogFile::of(path) {
            self.state.lock().lengths.remove(&file);
        }
    }

    /// Why nothing is changed any more.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state.lock().failure.map(|kind| Error::new(kind, "a sync of the log failed"))
    }

    /// Which synced bytes are not there.
    pub(super) fn damage(&self) -> Option<String> {
        self.state.lock().damage.clone()
    }

    fn may_change(&self) -> Result<()> {
        self.failure().map_or(Ok(()), Err)
    }

    /// Checks that what was durable at the start is still inside a file's first `bytes`.
    fn keeps(&self, file: Option<LogFile>, bytes: u64) -> Result<()> {
        let Some(file) = file else { return Ok(()) };
        let floor = self.floor.reach(file.queue);
        if file.number != floor.file || bytes >= floor.bytes {
            return Ok(());
        }
        let LogFile { queue, number } = file;
        let synced = floor.bytes;
        Err(self.damaged(format!(
            "{queue:?} file {number} is readable up to byte {bytes}, but was synced up to {synced}"
        )))
    }

    fn damaged(&self, detail: String) -> Error {
        self.state.lock().damage.get_or_insert_with(|| detail.clone());
        Error::new(io::ErrorKind::InvalidData, detail)
    }
}

/// A file system with a [`Watch`] on it.
pub(super) struct Watched<F> {
    inner: Arc<F>,
    watch: Arc<Watch>,
}

impl<F: FileSystem> Watched<F> {
    pub(super) fn new(inner: Arc<F>, watch: Arc<Watch>) -> Self {
        Self { inner, watch }
    }

    fn handle(&self, inner: F::Handle, path: &Path, read_only: bool) -> WatchedHandle<F::Handle> {
        WatchedHandle {
            inner: Arc::new(inner),
            file: LogFile::of(path),
            read_only,
            written: AtomicU64::new(0),
            watch: self.watch.clone(),
        }
    }
}

impl<F: FileSystem> FileSystem for Watched<F> {
    type Handle = WatchedHandle<F::Handle>;
    type Reader = F::Reader;
    type Writer = WatchedWriter<F>;

    fn create<P: AsRef<Path>>(&self, path: P) -> Result<Self::Handle> {
        self.watch.may_change()?;
        Ok(self.handle(self.inner.create(&path)?, path.as_ref(), false))
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> Result<Self::Handle> {
        let inner = self.inner.open(&path, permission)?;
        self.watch.keeps(LogFile::of(path.as_ref()), inner.file_size()? as u64)?;
        Ok(self.handle(inner, path.as_ref(), permission == Permission::ReadOnly))
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        self.watch.may_change()?;
        self.watch.forget(path.as_ref());
        self.watch.state.lock().given_back.push(path.as_ref().into());
        Ok(())
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        self.watch.may_change()?;
        self.watch.forget(from.as_ref());
        self.watch.forget(to.as_ref());
        self.inner.rename(from, to)
    }

    fn reuse<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        self.watch.may_change()?;
        self.watch.forget(from.as_ref());
        self.watch.forget(to.as_ref());
        self.inner.reuse(from, to)
    }

    fn delete_metadata<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        self.watch.may_change()?;
        self.inner.delete_metadata(path)
    }

    fn exists_metadata<P: AsRef<Path>>(&self, path: P) -> bool {
        self.inner.exists_metadata(path)
    }

    fn new_reader(&self, handle: Arc<Self::Handle>) -> Result<Self::Reader> {
        self.inner.new_reader(handle.inner.clone())
    }

    fn new_writer(&self, handle: Arc<Self::Handle>) -> Result<Self::Writer> {
        Ok(WatchedWriter { inner: self.inner.new_writer(handle.inner.clone())?, handle, at: 0 })
    }
}

/// A log file.
pub(super) struct WatchedHandle<H> {
    inner: Arc<H>,
    file: Option<LogFile>,
    read_only: bool,
    /// Where what was written since the file was opened ends; 0 before the first write.
    written: AtomicU64,
    watch: Arc<Watch>,
}

impl<H: Handle> Handle for WatchedHandle<H> {
    fn truncate(&self, offset: usize) -> Result<()> {
        self.watch.may_change()?;
        self.watch.keeps(self.file, offset as u64)?;
        if let (true, Some(LogFile { queue, number })) = (self.read_only, self.file) {
            // Files before the newest were synced whole before it was begun.
            let detail = format!("{queue:?} file {number} is unreadable from byte {offset}");
            return Err(self.watch.damaged(detail));
        }
        self.inner.truncate(offset)
    }

    fn file_size(&self) -> Result<usize> {
        self.inner.file_size()
    }

    fn sync(&self) -> Result<()> {
        let written = self.written.load(Ordering::Acquire);
        if self.watch.failure().is_some() {
            return Ok(());
        }
        match (self.inner.sync(), self.file) {
            (Ok(()), Some(file)) => self.watch.raise(file, written),
            (Ok(()), None) => {}
            (Err(error), _) => self.watch.state.lock().failure = Some(error.kind()),
        }
        Ok(())
    }
}

/// Writes a log file.
pub(super) struct WatchedWriter<F: FileSystem> {
    inner: F::Writer,
    handle: Arc<WatchedHandle<F::Handle>>,
    at: u64,
}

impl<F: FileSystem> Write for WatchedWriter<F> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.handle.watch.may_change()?;
        let count = self.inner.write(bytes)?;
        self.at += count as u64;
        self.handle.written.store(self.at, Ordering::Release);
        Ok(count)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

impl<F: FileSystem> Seek for WatchedWriter<F> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.at = self.inner.seek(to)?;
        Ok(self.at)
    }
}

impl<F: FileSystem> WriteExt for WatchedWriter<F> {
    fn truncate(&mut self, offset: usize) -> Result<()> {
        self.handle.watch.may_change()?;
        self.inner.truncate(offset)?;
        self.at = offset as u64;
        self.handle.written.fetch_min(self.at, Ordering::AcqRel);
        Ok(())
    }

    fn allocate(&mut self, offset: usize, size: usize) -> Result<()> {
        self.handle.watch.may_change()?;
        self.inner.allocate(offset, size)
    }
}
