//! How one log entry is framed in the log: its index, a format byte, a checksum, and its bytes. Pure; any
//! bytes may be decoded.
//!
//! ```text
//! index: u64 BE | format: u8 = 1 | crc32 of shard, index, format and bytes: u32 BE | bytes
//! ```
//!
//! The engine has checksums of its own, for whole batches. This one is the entry's: it also tells an entry
//! of this shard and index from a sound one of another place.

use bytes::Bytes;
use orrery_model::ShardId;

use crate::store::Record;

/// The only format so far.
const FORMAT: u8 = 1;

/// Bytes in front of the entry's own.
pub const FRAME_BYTES: usize = 8 + 1 + 4;

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Shorter than the frame around an empty entry.
    #[error("a record of {bytes} bytes is shorter than its frame")]
    Short {
        /// How many there are.
        bytes: usize,
    },
    /// Written by a version that knows more formats.
    #[error("record format {format} is unknown")]
    Format {
        /// Which format.
        format: u8,
    },
    /// Not what was written, or written for another shard or index.
    #[error("the checksum of record {index} is wrong")]
    Checksum {
        /// The index it claims.
        index: u64,
    },
}

/// Frames an entry.
pub fn encode(shard: ShardId, index: u64, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_BYTES + bytes.len());
    frame.extend_from_slice(&index.to_be_bytes());
    frame.push(FORMAT);
    frame.extend_from_slice(&checksum(shard, index, FORMAT, bytes).to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

/// Takes the frame off an entry of `shard`.
///
/// # Errors
/// [`RecordError`] when the bytes are not a record of this shard; trying again cannot help.
pub fn decode(shard: ShardId, frame: impl Into<Bytes>) -> Result<Record, RecordError> {
    let mut bytes = frame.into();
    let short = RecordError::Short { bytes: bytes.len() };
    let index = claimed_index(&bytes).ok_or(short)?;
    let (&[format, a, b, c, d], _) = bytes[8..].split_first_chunk::<5>().ok_or(short)?;
    if format != FORMAT {
        return Err(RecordError::Format { format });
    }
    let bytes = bytes.split_off(FRAME_BYTES);
    if checksum(shard, index, format, &bytes) != u32::from_be_bytes([a, b, c, d]) {
        return Err(RecordError::Checksum { index });
    }
    Ok(Record { index, bytes })
}

/// The index a frame claims, before anything was verified.
pub(crate) fn claimed_index(frame: &[u8]) -> Option<u64> {
    frame.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

fn checksum(shard: ShardId, index: u64, format: u8, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&shard.0.to_be_bytes());
    hasher.update(&index.to_be_bytes());
    hasher.update(&[format]);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHARD: ShardId = ShardId(7);

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(index: u64, bytes: Vec<u8>) {
            let record = decode(SHARD, encode(SHARD, index, &bytes)).unwrap();
            prop_assert_eq!(record, Record { index, bytes: bytes.into() });
        }

        #[test]
        fn hostile_bytes_never_panic_and_are_never_a_record_by_chance(bytes: Vec<u8>) {
            if let Ok(record) = decode(SHARD, bytes.clone()) {
                prop_assert_eq!(encode(SHARD, record.index, &record.bytes), bytes);
            }
        }

        #[test]
        fn one_changed_bit_is_noticed(index: u64, bytes: Vec<u8>, bit in any::<prop::sample::Index>()) {
            let mut frame = encode(SHARD, index, &bytes);
            let bit = bit.index(frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(SHARD, frame).is_err());
        }
    }

    #[test]
    fn a_record_of_another_shard_is_refused() {
        let frame = encode(SHARD, 3, b"three");
        assert_eq!(decode(ShardId(8), frame), Err(RecordError::Checksum { index: 3 }));
    }

    #[test]
    fn the_layout_on_disk_stays() {
        let frame = encode(ShardId(1), 2, b"ab");
        assert_eq!(frame, [0, 0, 0, 0, 0, 0, 0, 2, 1, 0x38, 0xe7, 0xb7, 0xa6, b'a', b'b']);
    }
}
