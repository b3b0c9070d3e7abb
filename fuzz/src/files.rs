//! Hostile bytes as the files of a router: no panic, and what is taken for one is written alike.

use std::fs;

use orrery_model::ShardId;
use orrery_router_store::disk::fuzzing::{small_files, snapshot};

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    small_files(data);
    small_files(&[b"ORRYHEAD", data].concat());
    // As a snapshot: behind a sound head, and with the checksum that the file would need.
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("snapshot");
    let mut file = b"ORRYSNAP\x00\x00\x00\x01\x00\x00\x00\x07".to_vec();
    file.extend_from_slice(data);
    file.extend_from_slice(&crc32fast::hash(&file).to_be_bytes());
    fs::write(&path, file).expect("a file");
    let _ = snapshot(&path, ShardId(7));
}
