//! Fuzzing: the formats of the small files, for fuzz targets only.

use std::fs::File;
use std::path::Path;

use orrery_model::ShardId;

use super::snapshot_file::{FileReader, Seal};
use super::{catalogue, ends, header, recover};
use crate::error::StoreError;
use crate::store::SnapshotReader as _;

/// Takes bytes for each of the small files, with the checksum that they would need.
///
/// # Panics
/// Where what was read is not what is written for it.
pub fn small_files(bytes: &[u8]) {
    let _ = recover::decode_span(bytes);
    if let Some(entry) = catalogue::Entry::decode(bytes) {
        assert_eq!(entry.encode(), bytes);
    }
    let sealed = [bytes, &crc32fast::hash(bytes).to_be_bytes()[..]].concat();
    if let Some(ends) = ends::decode(&sealed) {
        assert_eq!(ends::decode(&ends::encode(&ends)), Some(ends));
    }
    if let Ok(header) = header::Header::decode(Path::new("header"), &sealed) {
        // What was read in an older format is written in the newest.
        let written = header.encode().expect("what was read is not too long");
        let again = header::Header::decode(Path::new("header"), &written);
        assert_eq!(again.expect("what was written can be read"), header);
    }
}

/// Takes a file for a snapshot of a shard; how many records are in it.
///
/// # Errors
/// [`StoreError`] where it is none.
pub fn snapshot(path: &Path, shard: ShardId) -> Result<u64, StoreError> {
    let file = File::open(path).map_err(StoreError::io("open", path))?;
    let mut reader = FileReader::open(path, file, shard, Seal::claimed(path)?)?;
    let mut records = 0;
    while reader.next_record()?.is_some() {
        records += 1;
    }
    Ok(records)
}
