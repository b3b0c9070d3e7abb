//! The catalogue in sled: a copy of the node's identity, and of each shard's newest snapshot which
//! generation it is, how long, and with which checksum.
//!
//! It is never the only copy of anything: the header and the snapshot files are. What it adds is that a
//! snapshot file that went away is noticed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use orrery_model::ShardId;

use super::durable;
use super::header::Header;
use super::snapshot_file::Seal;
use crate::error::StoreError;
use crate::limits::{CATALOGUE_CACHE_BYTES, CATALOGUE_FLUSH_MS};
use crate::store::Identity;

const ENGINE: &str = "sled";
const IDENTITY: &[u8] = b"identity";
const SNAPSHOTS: &[u8] = b"snapshot/";

/// The format of what it says of a snapshot.
const FORMAT: u8 = 1;

/// What is known of a shard's newest snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Rises by one with each snapshot of the shard; names the file.
    pub(super) generation: u64,
    pub(super) seal: Seal,
}

impl Entry {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.seal.bytes.to_be_bytes());
        bytes.extend_from_slice(&self.seal.checksum.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (generation, bytes) = bytes.strip_prefix(&[FORMAT])?.split_first_chunk()?;
        let (length, checksum) = bytes.split_first_chunk()?;
        Some(Self {
            generation: u64::from_be_bytes(*generation),
            seal: Seal {
                bytes: u64::from_be_bytes(*length),
                checksum: u32::from_be_bytes(checksum.try_into().ok()?),
            },
        })
    }
}

/// The catalogue.
#[derive(Debug)]
pub(super) struct Catalogue {
    path: PathBuf,
    db: sled::Db,
}

impl Catalogue {
    /// Opens the catalogue of `identity`. One that cannot be read, or is another node's, is put away and
    /// begun anew, empty.
    pub(super) fn open(path: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let opened = super::apart::apart(path, || Self::open_as_it_is(path, identity));
        opened.or_else(|error| {
            tracing::warn!(%error, "the catalogue is made anew from the files");
            durable::remove_folder(path)?;
            super::apart::apart(path, || Self::open_as_it_is(path, identity))
        })
    }

    fn open_as_it_is(path: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(CATALOGUE_CACHE_BYTES)
            .flush_every_ms(Some(CATALOGUE_FLUSH_MS))
            .open()
            .map_err(failed)?;
        let catalogue = Self { path: path.into(), db };
        // The plan may be long, and the instance says enough.
        let owner = Header::Member(Identity { founding: Bytes::new(), ..identity.clone() });
        match catalogue.db.get(IDENTITY).map_err(failed)? {
            Some(found) if Header::decode(path, &found)? == owner => {
                catalogue.entries().map(drop)?
            }
            Some(_) => return Err(StoreError::corrupt(path, "it is another node's")),
            None => {
                let owner = owner.encode().map_err(|words| StoreError::corrupt(path, words))?;
                catalogue.put(IDENTITY, owner)?;
            }
        }
        Ok(catalogue)
    }

    /// What it says of each shard.
    pub(super) fn entries(&self) -> Result<BTreeMap<ShardId, Entry>, StoreError> {
        let mut entries = BTreeMap::new();
        for pair in self.db.scan_prefix(SNAPSHOTS) {
            let (key, value) = pair.map_err(failed)?;
            let shard =
                key[SNAPSHOTS.len()..].first_chunk().map(|shard| u32::from_be_bytes(*shard));
            let (Some(shard), Some(entry)) = (shard, Entry::decode(&value)) else {
                return Err(StoreError::corrupt(&self.path, "an entry is unreadable"));
            };
            entries.insert(ShardId(shard), entry);
        }
        Ok(entries)
    }

    /// Says it of a shard, durably.
    pub(super) fn set(&self, shard: ShardId, entry: Entry) -> Result<(), StoreError> {
        self.put(&key(shard), entry.encode())
    }

    /// Forgets a shard's, durably.
    pub(super) fn forget(&self, shard: ShardId) -> Result<(), StoreError> {
        self.db.remove(key(shard)).map_err(failed)?;
        self.sync()
    }

    fn put(&self, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
        self.db.insert(key, value).map_err(failed)?;
        self.sync()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(failed)?;
        // sled's flush leaves the file's size and the drive's cache to chance.
        durable::sync_file(&self.path.join("db"))?;
        durable::sync_folder(&self.path)
    }
}

fn key(shard: ShardId) -> Vec<u8> {
    [SNAPSHOTS, &shard.0.to_be_bytes()].concat()
}

fn failed(error: sled::Error) -> StoreError {
    StoreError::Engine { engine: ENGINE, detail: error.to_string() }
}
