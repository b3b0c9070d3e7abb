//! Hostile bytes as a stored log record: never a panic, and what is taken for a record is one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orrery_model::ShardId;
use orrery_router_store::record::{decode, encode};

fuzz_target!(|input: (u32, Vec<u8>)| {
    let (shard, bytes) = input;
    let shard = ShardId(shard);
    if let Ok(record) = decode(shard, bytes.clone()) {
        assert_eq!(encode(shard, record.index, &record.bytes), bytes);
    }
    // A checksum is not met by chance: the bytes as an entry must come back, cut short they must not.
    let frame = encode(shard, 7, &bytes);
    assert_eq!(decode(shard, frame.clone()).expect("a sound record").bytes, bytes);
    assert!(decode(shard, frame[..frame.len() - 1].to_vec()).is_err());
});
