//! The data directory: its layout, its lock, and that it is made whole or not at all.
//!
//! ```text
//! lock         held by the process that uses the directory
//! header       whose directory this is; written last, so it says that all else was made
//! creating     there from before the first file is made until after the header is
//! synced       how much of the log was made durable
//! log/         raft-engine
//! snapshots/   a folder for each shard
//! catalogue/   sled
//! ```

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use orrery_model::NodeId;
use rustix::fs::{FlockOperation, flock};

use super::{durable, header};
use crate::error::StoreError;
use crate::limits::CLUSTER_ID_BYTES_MAX;
use crate::store::Identity;

/// What a directory must say of itself to be used; what is `None` is not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The node's number.
    pub node: Option<NodeId>,
    /// How many data shards the cluster was founded with.
    pub shards: Option<u32>,
}

/// A data directory that no other process uses.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    identity: Identity,
    /// The header was not there when the directory was taken.
    fresh: bool,
    /// The lock lasts as long as this file is open.
    _lock: File,
}

impl Directory {
    /// Takes a directory that was made before.
    pub(super) fn open(path: &Path, expected: &Expected) -> Result<Self, StoreError> {
        let header = path.join("header");
        fs::metadata(&header).map_err(StoreError::io("find", &header))?;
        Self::take(path, expected, None::<fn() -> Identity>)
    }

    /// Takes a directory, or begins to make one; `make` is called only in that case.
    pub(super) fn open_or_create(
        path: &Path,
        expected: &Expected,
        make: impl FnOnce() -> Identity,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(StoreError::io("make", path))?;
        durable::sync_folder(durable::parent(path))?;
        refuse_strangers(path)?;
        Self::take(path, expected, Some(make))
    }

    fn take(
        path: &Path,
        expected: &Expected,
        make: Option<impl FnOnce() -> Identity>,
    ) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let header_path = path.join("header");
        let (identity, fresh) = match (durable::read_if_there(&header_path)?, make) {
            (Some(bytes), _) => (header::decode(&header_path, &bytes)?, false),
            (None, Some(make)) => (make(), true),
            (None, None) => {
                return Err(StoreError::io("find", &header_path)(ErrorKind::NotFound.into()));
            }
        };
        check(path, &identity, expected)?;
        let directory = Self { path: path.into(), identity, fresh, _lock: lock };
        if fresh {
            directory.begin()?
        } else {
            directory.verify()?
        }
        Ok(directory)
    }

    /// Clears what an interrupted making left, and makes the folders.
    fn begin(&self) -> Result<(), StoreError> {
        if self.identity.cluster_id.len() > CLUSTER_ID_BYTES_MAX {
            let source = std::io::Error::new(ErrorKind::InvalidInput, "the cluster id is too long");
            return Err(StoreError::io("make", &self.path)(source));
        }
        durable::replace_file(&self.path.join("creating"), b"")?;
        for folder in [self.log(), self.snapshots(), self.catalogue()] {
            durable::remove_folder(&folder)?;
        }
        durable::remove_file(&self.synced())?;
        durable::make_folder(&self.log())?;
        durable::make_folder(&self.snapshots())
    }

    /// A header says that these were made, so without them data is lost.
    fn verify(&self) -> Result<(), StoreError> {
        for folder in [self.log(), self.snapshots()] {
            if !folder.is_dir() {
                return Err(StoreError::corrupt(&folder, "the folder is missing"));
            }
        }
        durable::remove_file(&self.path.join("creating"))
    }

    /// Says that everything is there, if that was not said before.
    pub(super) fn complete(&self) -> Result<(), StoreError> {
        if self.fresh {
            durable::replace_file(&self.path.join("header"), &header::encode(&self.identity))?;
            durable::remove_file(&self.path.join("creating"))?;
        }
        Ok(())
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
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
}

/// Refuses a folder that holds something but was never a data directory, before anything is put there.
fn refuse_strangers(path: &Path) -> Result<(), StoreError> {
    if path.join("header").exists() || path.join("creating").exists() {
        return Ok(());
    }
    for entry in durable::list(path)? {
        // The lock and the marker's unfinished form are what a making leaves that was cut at once.
        if entry != path.join("lock") && entry != path.join("creating.writing") {
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

fn check(path: &Path, found: &Identity, expected: &Expected) -> Result<(), StoreError> {
    let wanted = Identity {
        cluster_id: expected.cluster_id.clone().unwrap_or_else(|| found.cluster_id.clone()),
        node: expected.node.unwrap_or(found.node),
        shards: expected.shards.unwrap_or(found.shards),
    };
    if *found == wanted {
        return Ok(());
    }
    let words = |identity: &Identity| {
        let Identity { cluster_id, node, shards } = identity;
        format!("node {node} of cluster {cluster_id:?} with {shards} shards")
    };
    Err(StoreError::Foreign { path: path.into(), found: words(found), expected: words(&wanted) })
}
