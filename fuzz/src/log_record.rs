//! Hostile bytes as a stored log record: never a panic, and what is taken for a record is one.

use orrery_model::ShardId;
use orrery_router_store::record::{decode, encode};

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    // The first bytes name the shard.
    let Some((shard, bytes)) = data.split_first_chunk() else { return };
    let shard = ShardId(u32::from_be_bytes(*shard));
    if let Ok(record) = decode(shard, bytes.to_vec()) {
        assert_eq!(encode(shard, record.index, &record.bytes), bytes);
    }
    // A checksum is not met by chance: the bytes as an entry must come back, cut short they must not.
    let frame = encode(shard, 7, bytes);
    assert_eq!(decode(shard, frame.clone()).expect("a sound record").bytes, bytes);
    assert!(decode(shard, frame[..frame.len() - 1].to_vec()).is_err());
}
