//! The consistent-hash ring that proposes which shard owns which slot.
//!
//! The ring only *proposes* the table, which is then state of the control shard: adding a shard takes
//! about 1/n of the slots, and no build can change where an address is by hashing differently.

use std::hash::{BuildHasher, Hash, Hasher};

use consistent_hash_ring::{Ring, RingBuilder};
use twox_hash::XxHash64;

use crate::id::ShardId;
use crate::slot::{Slot, SlotTable};

/// Seed of the ring's hasher; part of the placement, see the committed vectors.
const RING_SEED: u64 = 0x6f72_7265_7279_0002;

/// Points of each shard on the ring: with 512, the shares of 16 shards are within a fifth of their mean.
const POINTS_PER_SHARD: usize = 512;

/// xxh64 fed with explicitly ordered bytes, so that it is the same on every architecture.
#[derive(Clone)]
struct StableHasher(XxHash64);

impl Hasher for StableHasher {
    fn finish(&self) -> u64 {
        self.0.finish()
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
    fn write_u64(&mut self, number: u64) {
        self.0.write(&number.to_le_bytes());
    }
    fn write_usize(&mut self, number: usize) {
        self.0.write(&(number as u64).to_le_bytes());
    }
}

#[derive(Clone, Default)]
struct StableHash;

impl BuildHasher for StableHash {
    type Hasher = StableHasher;

    fn build_hasher(&self) -> StableHasher {
        StableHasher(XxHash64::with_seed(RING_SEED))
    }
}

/// A shard's points. The tag keeps a shard from hashing onto a slot of the same number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ShardPoint(ShardId);

impl Hash for ShardPoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(b"shard\0");
        state.write(&self.0.0.to_le_bytes());
    }
}

struct SlotPoint(Slot);

impl Hash for SlotPoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(b"slot\0");
        state.write(&self.0.number().to_le_bytes());
    }
}

/// Proposes the owner of every slot among `shards`; `None` when there are no shards.
pub fn propose(epoch: u64, shards: &[ShardId]) -> Option<SlotTable> {
    if shards.is_empty() {
        return None;
    }
    let mut ring: Ring<ShardPoint, StableHash> =
        RingBuilder::new(StableHash).vnodes(POINTS_PER_SHARD).build();
    for shard in shards {
        ring.insert(ShardPoint(*shard));
    }
    let owners = Slot::all().map(|slot| ring.get(SlotPoint(slot)).0).collect();
    SlotTable::new(epoch, owners)
}
