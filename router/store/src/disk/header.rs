//! The file that says whose directory this is and in which format.
//!
//! ```text
//! "ORRYHEAD" | format: u32 BE | node: u64 BE | shards: u32 BE | cluster id | crc32 of all before: u32 BE
//! ```
//!
//! Magic, format and the checksum at the end stay where they are in every later format, so that an older
//! version can tell a newer directory from a damaged one.

use std::path::Path;

use orrery_model::NodeId;

use crate::error::StoreError;
use crate::limits::CLUSTER_ID_BYTES_MAX;
use crate::store::Identity;

const MAGIC: &[u8; 8] = b"ORRYHEAD";

/// The newest format of a data directory that this version reads, and the one it writes.
pub const FORMAT: u32 = 1;

/// The bytes of a header.
pub(super) fn encode(identity: &Identity) -> Vec<u8> {
    let mut bytes = Vec::from(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_be_bytes());
    bytes.extend_from_slice(&identity.node.0.to_be_bytes());
    bytes.extend_from_slice(&identity.shards.to_be_bytes());
    bytes.extend_from_slice(identity.cluster_id.as_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// Reads a header; `path` is only named in errors.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Identity, StoreError> {
    let corrupt = |detail: &str| StoreError::corrupt(path, detail);
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or_else(|| corrupt("too short"))?;
    let body_magic = body.strip_prefix(MAGIC).ok_or_else(|| corrupt("not a header"))?;
    if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
        return Err(corrupt("its checksum is wrong"));
    }
    let (format, body) = body_magic.split_first_chunk().ok_or_else(|| corrupt("too short"))?;
    let format = u32::from_be_bytes(*format);
    if format > FORMAT {
        return Err(StoreError::TooNew { path: path.into(), found: format, newest: FORMAT });
    }
    if format != FORMAT {
        return Err(corrupt("its format was never written"));
    }
    let (node, body) = body.split_first_chunk().ok_or_else(|| corrupt("too short"))?;
    let (shards, cluster_id) = body.split_first_chunk().ok_or_else(|| corrupt("too short"))?;
    if cluster_id.len() > CLUSTER_ID_BYTES_MAX {
        return Err(corrupt("its cluster id is too long"));
    }
    Ok(Identity {
        cluster_id: String::from_utf8(cluster_id.into())
            .map_err(|_| corrupt("its cluster id is not UTF-8"))?,
        node: NodeId(u64::from_be_bytes(*node)),
        shards: u32::from_be_bytes(*shards),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { cluster_id: "orrery-test".into(), node: NodeId(3), shards: 4 }
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        assert_eq!(decode(Path::new("header"), &encode(&identity())).unwrap(), identity());
    }

    #[test]
    fn every_changed_bit_and_every_shorter_header_is_refused() {
        let good = encode(&identity());
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = decode(Path::new("header"), &bytes).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "bit {bit}: {error}");
        }
        for len in 0..good.len() {
            let error = decode(Path::new("header"), &good[..len]).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{len} bytes: {error}");
        }
    }

    #[test]
    fn a_newer_format_is_named_whatever_follows_it() {
        let mut bytes = Vec::from(MAGIC);
        bytes.extend_from_slice(&9_u32.to_be_bytes());
        bytes.extend_from_slice(b"what only later versions understand");
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        let error = decode(Path::new("header"), &bytes).unwrap_err();
        assert!(matches!(error, StoreError::TooNew { found: 9, newest: 1, .. }), "{error}");
    }
}
