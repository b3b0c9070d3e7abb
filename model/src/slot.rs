//! Slots: the fixed parts of the address space, and the table that says which shard owns which.

use std::fmt;

use twox_hash::XxHash64;

use crate::address::Address;
use crate::id::ShardId;
use crate::limits::SLOTS;

/// Seed of the slot hash. Changing it moves every address: the committed vectors forbid it.
const SLOT_SEED: u64 = 0x6f72_7265_7279_0001;

/// One of [`SLOTS`] parts of the address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// Checks and takes a slot number.
    pub fn new(number: u32) -> Option<Self> {
        u16::try_from(number).ok().filter(|n| usize::from(*n) < SLOTS).map(Self)
    }

    /// The slot of an address: xxh64 with a fixed seed over explicit bytes (length-prefixed namespace,
    /// kind, id), so that every build on every machine agrees.
    pub fn of(address: &Address) -> Self {
        let namespace = address.namespace_text().as_bytes();
        let id = address.id.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(namespace.len() + id.len() + 7);
        bytes.extend_from_slice(b"addr\0");
        bytes.push(u8::try_from(namespace.len()).expect("an id has at most 128 bytes"));
        bytes.extend_from_slice(namespace);
        bytes.push(address.kind as u8);
        bytes.extend_from_slice(id);
        let hash = XxHash64::oneshot(SLOT_SEED, &bytes);
        Self((hash & (SLOTS as u64 - 1)) as u16)
    }

    /// The slot's number, below [`SLOTS`].
    pub fn number(self) -> u16 {
        self.0
    }

    /// All slots in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS as u16).map(Self)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which shard owns each slot. A hint for clients: the shard's own log decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotTable {
    /// Grows with every change of the table.
    pub epoch: u64,
    /// Owner of each slot, exactly [`SLOTS`] entries, indexed by slot number.
    owners: Vec<ShardId>,
}

impl SlotTable {
    /// Takes the owners of all slots; `None` unless there are exactly [`SLOTS`] of them.
    pub fn new(epoch: u64, owners: Vec<ShardId>) -> Option<Self> {
        (owners.len() == SLOTS).then_some(Self { epoch, owners })
    }

    /// The shard that owns a slot.
    pub fn owner(&self, slot: Slot) -> ShardId {
        self.owners[usize::from(slot.number())]
    }

    /// The owners of all slots, indexed by slot number.
    pub fn owners(&self) -> &[ShardId] {
        &self.owners
    }

    /// The slots that a shard owns, in order.
    pub fn slots_of(&self, shard: ShardId) -> impl Iterator<Item = Slot> + '_ {
        Slot::all().filter(move |slot| self.owner(*slot) == shard)
    }
}
