//! A file system under the log that counts and fails.
#![allow(dead_code, reason = "each test uses its own part")]

use std::io::{Error, Result, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use raft_engine::env::{DefaultFileSystem, FileSystem, Handle, Permission, WriteExt};

type DefaultHandle = <DefaultFileSystem as FileSystem>::Handle;
type DefaultWriter = <DefaultFileSystem as FileSystem>::Writer;

/// What is counted and what is to fail; shared by all files.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Successful syncs.
    pub(crate) syncs: AtomicU64,
    /// Bytes written since the last successful sync of any file.
    pub(crate) unsynced: AtomicU64,
    /// Every change after the first failed sync.
    pub(crate) changes_after_failure: AtomicU64,
    fail_sync: AtomicBool,
    /// Bytes that may still be written before the disk is full; `None` where it never is.
    space: Mutex<Option<usize>>,
    failed: AtomicBool,
}

impl Faults {
    /// Lets the next sync fail.
    pub(crate) fn fail_next_sync(&self) {
        self.fail_sync.store(true, Ordering::SeqCst);
    }

    /// Lets the disk be full after so many bytes more; the write that meets its end is cut short.
    pub(crate) fn fill_after(&self, bytes: usize) {
        *self.space.lock().unwrap() = Some(bytes);
    }

    /// How many of some bytes fit.
    fn take_space(&self, bytes: usize) -> Result<usize> {
        match &mut *self.space.lock().unwrap() {
            None => Ok(bytes),
            // As the engine's own file system words it.
            Some(0) if bytes > 0 => Err(Error::other("nospace")),
            Some(left) => {
                let taken = bytes.min(*left);
                *left -= taken;
                Ok(taken)
            }
        }
    }

    fn changes(&self) {
        if self.failed.load(Ordering::SeqCst) {
            self.changes_after_failure.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[derive(Debug, Default, Clone)]
pub(crate) struct FaultyFileSystem(pub(crate) Arc<Faults>);

impl FileSystem for FaultyFileSystem {
    type Handle = FaultyHandle;
    type Reader = <DefaultFileSystem as FileSystem>::Reader;
    type Writer = FaultyWriter;

    fn create<P: AsRef<Path>>(&self, path: P) -> Result<FaultyHandle> {
        self.0.changes();
        let inner = Arc::new(DefaultFileSystem.create(path)?);
        Ok(FaultyHandle { inner, faults: self.0.clone() })
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> Result<FaultyHandle> {
        let inner = Arc::new(DefaultFileSystem.open(path, permission)?);
        Ok(FaultyHandle { inner, faults: self.0.clone() })
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        self.0.changes();
        DefaultFileSystem.delete(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        self.0.changes();
        DefaultFileSystem.rename(from, to)
    }

    fn new_reader(&self, handle: Arc<FaultyHandle>) -> Result<Self::Reader> {
        DefaultFileSystem.new_reader(handle.inner.clone())
    }

    fn new_writer(&self, handle: Arc<FaultyHandle>) -> Result<FaultyWriter> {
        let inner = DefaultFileSystem.new_writer(handle.inner.clone())?;
        Ok(FaultyWriter { inner, faults: self.0.clone() })
    }
}

pub(crate) struct FaultyHandle {
    inner: Arc<DefaultHandle>,
    faults: Arc<Faults>,
}

impl Handle for FaultyHandle {
    fn truncate(&self, offset: usize) -> Result<()> {
        self.faults.changes();
        Handle::truncate(&*self.inner, offset)
    }

    fn file_size(&self) -> Result<usize> {
        self.inner.file_size()
    }

    fn sync(&self) -> Result<()> {
        if self.faults.fail_sync.swap(false, Ordering::SeqCst) {
            self.faults.failed.store(true, Ordering::SeqCst);
            return Err(Error::other("the disk is gone"));
        }
        self.inner.sync()?;
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        self.faults.unsynced.store(0, Ordering::SeqCst);
        Ok(())
    }
}

pub(crate) struct FaultyWriter {
    inner: DefaultWriter,
    faults: Arc<Faults>,
}

impl Write for FaultyWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.faults.changes();
        let fits = self.faults.take_space(bytes.len())?;
        let count = self.inner.write(&bytes[..fits])?;
        self.faults.unsynced.fetch_add(count as u64, Ordering::SeqCst);
        Ok(count)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

impl Seek for FaultyWriter {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.inner.seek(to)
    }
}

impl WriteExt for FaultyWriter {
    fn truncate(&mut self, offset: usize) -> Result<()> {
        self.faults.changes();
        self.inner.truncate(offset)
    }

    fn allocate(&mut self, offset: usize, size: usize) -> Result<()> {
        self.faults.changes();
        self.inner.allocate(offset, size)
    }
}
