//! Manifest: what a backup holds, with the checksums that prove it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use orrery_model::limits::SLOTS;
use orrery_model::{ShardId, SlotTable};
use serde::{Deserialize, Serialize};

use crate::ctl::error::CtlError;

/// The manifest's file; a folder that has none is no backup.
const FILE: &str = "manifest.json";

/// The format that this build writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// Largest manifest that is read, in bytes: far above one with as many shards as there can be.
const BYTES_MAX: u64 = 8 << 20;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) cluster_id: String,
    /// Milliseconds since the Unix epoch, for people.
    pub(super) created_at_ms: u64,
    /// Of the program that wrote it.
    pub(super) build: String,
    pub(super) nodes: Vec<ManifestNode>,
    pub(super) table_epoch: u64,
    /// The owner of each slot, in order and separated by commas.
    pub(super) table_owners: String,
    /// The incarnation that the next comet would have been given.
    pub(super) next_incarnation: u64,
    /// The control shard first.
    pub(super) shards: Vec<ManifestShard>,
}

/// A node of the cluster that was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestNode {
    pub(super) node: u64,
    pub(super) state: String,
    pub(super) registry: String,
    pub(super) peers: String,
    pub(super) instance: String,
    pub(super) protocol: u32,
}

/// A shard's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestShard {
    pub(super) shard: u32,
    pub(super) file: String,
    pub(super) bytes: u64,
    /// Of the whole file.
    pub(super) crc32: u32,
    pub(super) log_index: u64,
    pub(super) log_term: u64,
    pub(super) records: u64,
    /// 0 for the control shard.
    pub(super) next_seq: u64,
    pub(super) routes: u64,
    pub(super) listings: u64,
    pub(super) comets: u64,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    manifest: Manifest,
    /// Of the manifest as compact JSON.
    crc32: u32,
}

impl Manifest {
    pub(super) fn new(cluster_id: String, created_at_ms: u64, table: &SlotTable) -> Self {
        let owners: Vec<_> = table.owners().iter().map(ToString::to_string).collect();
        Self {
            format: FORMAT,
            cluster_id,
            created_at_ms,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            nodes: Vec::new(),
            table_epoch: table.epoch,
            table_owners: owners.join(","),
            next_incarnation: 0,
            shards: Vec::new(),
        }
    }

    /// The slot table.
    ///
    /// # Errors
    /// When it is not one.
    pub(super) fn table(&self) -> Result<SlotTable, CtlError> {
        let owners: Result<Vec<_>, _> =
            self.table_owners.split(',').map(|owner| owner.parse().map(ShardId)).collect();
        let table = owners.ok().and_then(|owners| SlotTable::new(self.table_epoch, owners));
        table.ok_or_else(|| {
            CtlError::failed(format!("the manifest's slot table does not name {SLOTS} owners"))
        })
    }

    /// Writes it, durably, as the last file of its folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write(self, dir: &Path) -> Result<(), CtlError> {
        let crc32 = self.crc32();
        let text = serde_json::to_string_pretty(&Envelope { manifest: self, crc32 })
            .expect("a manifest becomes JSON");
        let (path, draft) = (dir.join(FILE), dir.join(".manifest.json.new"));
        let write = || {
            let mut file = File::create_new(&draft)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|error| CtlError::failed(format!("writing {}: {error}", path.display())))
    }

    /// Reads the manifest of a folder.
    ///
    /// # Errors
    /// When there is none, it is damaged, or newer than this build.
    pub(super) fn read(dir: &Path) -> Result<Self, CtlError> {
        let path = dir.join(FILE);
        let wrong = |what: String| CtlError::failed(format!("{}: {what}", path.display()));
        let size = fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.len();
        if size > BYTES_MAX {
            return Err(wrong(format!("{size} bytes are no manifest")));
        }
        let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let format = value.pointer("/manifest/format").and_then(serde_json::Value::as_u64);
        if format.is_some_and(|format| format > u64::from(FORMAT)) {
            return Err(wrong(format!("a newer format than {FORMAT}, which this build reads")));
        }
        let Envelope { manifest, crc32 } =
            serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
        if manifest.crc32() != crc32 {
            return Err(wrong("its checksum does not match".to_owned()));
        }
        manifest.check().map_err(|error| wrong(error.to_string()))?;
        Ok(manifest)
    }

    fn crc32(&self) -> u32 {
        let text = serde_json::to_string(self).expect("a manifest becomes JSON");
        crc32fast::hash(text.as_bytes())
    }

    /// Checks that it names the control shard and every shard of the table, once each.
    fn check(&self) -> Result<(), CtlError> {
        let table = self.table()?;
        let named: BTreeSet<u32> = self.shards.iter().map(|shard| shard.shard).collect();
        let mut wanted: BTreeSet<u32> = table.owners().iter().map(|shard| shard.0).collect();
        wanted.insert(ShardId::CONTROL.0);
        match named == wanted && named.len() == self.shards.len() {
            true => Ok(()),
            false => Err(CtlError::failed("it does not name each shard once")),
        }
    }
}
