//! The data directory: its layout, its lock, and that it is blank or a member's, never half of it.
//!
//! ```text
//! lock         held by the process that uses the directory
//! header       whose directory this is: all that a blank one has. A member's is put in its place when all
//!              else was made, so it says that all else is there
//! synced       how much of the log was made durable
//! ends         how long the older files of the log are
//! log/         raft-engine
//! snapshots/   a folder for each shard
//! catalogue/   sled
//! creating     format 1 only: there from before the first file was made until after the header was
//! ```

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::durable;
use super::header::Header;
use crate::error::StoreError;
use crate::store::Space;

/// A data directory that no other process uses.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// The lock lasts as long as this file is open.
    _lock: File,
}

impl Directory {
    /// Takes a directory, or an empty folder to make one in.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(StoreError::io("make", path))?;
        durable::sync_folder(durable::parent(path))?;
        refuse_strangers(path)?;
        Ok(Self { path: path.into(), _lock: lock(path)? })
    }

    /// Whose directory this is; `None` where it was not made yet.
    pub(super) fn header(&self) -> Result<Option<Header>, StoreError> {
        let path = self.path.join("header");
        let Some(bytes) = durable::read_if_there(&path)? else { return Ok(None) };
        let header = Header::decode(&path, &bytes)?;
        durable::remove_file(&self.path.join("creating"))?;
        Ok(Some(header))
    }

    /// The bytes of a header for this directory.
    pub(super) fn encode(&self, header: &Header) -> Result<Vec<u8>, StoreError> {
        header.encode().map_err(|words| {
            let source = std::io::Error::new(ErrorKind::InvalidInput, words);
            StoreError::io("make", &self.path)(source)
        })
    }

    /// Says whose directory this is.
    pub(super) fn set_header(&self, bytes: &[u8]) -> Result<(), StoreError> {
        durable::replace_file(&self.path.join("header"), bytes)?;
        durable::remove_file(&self.path.join("creating"))
    }

    /// Clears what an interrupted making left, and makes the folders.
    pub(super) fn begin(&self) -> Result<(), StoreError> {
        for folder in [self.log(), self.snapshots(), self.catalogue()] {
            durable::remove_folder(&folder)?;
        }
        durable::remove_file(&self.synced())?;
        durable::remove_file(&self.ends())?;
        durable::make_folder(&self.log())?;
        durable::make_folder(&self.snapshots())
    }

    /// A member's header says that these were made, so without them data is lost.
    pub(super) fn verify(&self) -> Result<(), StoreError> {
        for folder in [self.log(), self.snapshots()] {
            if !folder.is_dir() {
                return Err(StoreError::corrupt(&folder, "the folder is missing"));
            }
        }
        Ok(())
    }

    /// How much room its disk has for an ordinary process.
    pub(super) fn space(&self) -> Result<Space, StoreError> {
        let found = rustix::fs::statvfs(&self.path)
            .map_err(|error| StoreError::io("look at the disk of", &self.path)(error.into()))?;
        Ok(Space {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    pub(super) fn catalogue(&self) -> PathBuf {
        self.path.join("catalogue")
    }

    pub(super) fn synced(&self) -> PathBuf {
        self.path.join("synced")
    }

    pub(super) fn ends(&self) -> PathBuf {
        self.path.join("ends")
    }
}

/// Refuses a folder that holds something but was never a data directory, before anything is put there.
fn refuse_strangers(path: &Path) -> Result<(), StoreError> {
    if path.join("header").exists() || path.join("creating").exists() {
        return Ok(());
    }
    // What a making leaves that was cut before there was a header.
    let ours = ["lock", "header.writing", "creating.writing"].map(|name| path.join(name));
    for entry in durable::list(path)? {
        if !ours.contains(&entry) {
            let name = entry.file_name().unwrap_or_default();
            let detail = format!("it has no header but holds {name:?}, so it is not used");
            return Err(StoreError::corrupt(path, detail));
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let path = path.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(StoreError::io("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked { path }),
        Err(error) => Err(StoreError::io("lock", &path)(error.into())),
    }
}
