//! What the ring promises of the tables it proposes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use orrery_model::limits::SLOTS;
use orrery_model::{ShardId, Slot, SlotTable, ring};
use proptest::prelude::*;

fn table(shards: &[u32]) -> SlotTable {
    let shards: Vec<_> = shards.iter().copied().map(ShardId).collect();
    ring::propose(1, &shards).unwrap()
}

/// Slots of each shard.
fn shares(table: &SlotTable) -> BTreeMap<ShardId, usize> {
    let mut shares = BTreeMap::new();
    for owner in table.owners() {
        *shares.entry(*owner).or_default() += 1;
    }
    shares
}

/// Different shard numbers, in any order.
fn shards(most: usize) -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::btree_set(1..10_000u32, 1..most).prop_map(Vec::from_iter).prop_shuffle()
}

#[test]
fn no_shards_own_nothing() {
    assert_eq!(ring::propose(1, &[]), None);
}

#[test]
fn shares_are_balanced() {
    // For the numbers of shards that clusters are founded with, which are always 1..=n.
    for n in [2usize, 3, 4, 5, 8, 12, 16, 24, 32] {
        let numbers: Vec<_> = (1..=n as u32).collect();
        let shares = shares(&table(&numbers));
        assert_eq!(shares.len(), n, "every shard owns slots");
        let mean = SLOTS as f64 / n as f64;
        for (shard, share) in shares {
            let of_mean = share as f64 / mean;
            assert!(
                (0.75..1.25).contains(&of_mean),
                "{n} shards: {shard} owns {of_mean:.2} of the mean"
            );
        }
    }
}

#[test]
fn slots_of_a_shard_are_those_the_table_says() {
    let table = table(&[1, 2, 3]);
    let slots: Vec<_> = table.slots_of(ShardId(2)).collect();
    assert_eq!(slots.len(), shares(&table)[&ShardId(2)]);
    assert!(slots.iter().all(|slot| table.owner(*slot) == ShardId(2)));
    assert!(slots.is_sorted());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_in_which_shards_are_named_is_irrelevant(mut shards in shards(12)) {
        let named = table(&shards);
        shards.sort_unstable();
        prop_assert_eq!(&named, &table(&shards));
        shards.reverse();
        prop_assert_eq!(&named, &table(&shards));
    }

    #[test]
    fn a_new_shard_takes_its_share_and_nothing_else_moves(shards in shards(16), new in 10_000..20_000u32) {
        let before = table(&shards);
        let grown: Vec<_> = shards.iter().copied().chain([new]).collect();
        let after = table(&grown);
        let moved: Vec<_> =
            Slot::all().filter(|slot| before.owner(*slot) != after.owner(*slot)).collect();
        for slot in &moved {
            prop_assert_eq!(after.owner(*slot), ShardId(new), "slot {} moved", slot);
        }
        // 1/n of the slots, within what 512 points a shard and 4096 slots can promise.
        let share = moved.len() as f64 * grown.len() as f64 / SLOTS as f64;
        prop_assert!((0.6..1.4).contains(&share), "the new shard took {share:.2} of its share");
    }

    #[test]
    fn only_shards_that_are_named_own_slots(shards in shards(16)) {
        let owners = shares(&table(&shards));
        prop_assert!(owners.keys().all(|owner| shards.contains(&owner.0)));
        prop_assert_eq!(owners.values().sum::<usize>(), SLOTS);
    }
}
