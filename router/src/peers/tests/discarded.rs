//! Entries that a leader appended and another one replaced: nobody knows what became of them until they are
//! asked for again under their name.

use std::time::Duration;

use orrery_model::command::Outcome;
use tokio::time::timeout;

use super::world::{PATIENCE, SHARD, World, bind, config, write};
use crate::error::WriteError;

#[tokio::test]
async fn a_write_that_another_leader_replaced_is_unknown_and_takes_effect_once_when_repeated() {
    let world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 1).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    let old = world.leader(SHARD).await;
    let rest: Vec<u64> = [1, 2, 3].into_iter().filter(|id| *id != old).collect();
    world.faults.isolate(old, [1, 2, 3]);
    let group = world.group(old, SHARD);
    let last = group.progress().last_index;
    let pending = super::world::propose(&group, vec![bind(2)]).await;
    assert!(world.write_among(SHARD, &rest, vec![bind(3)]).await[0].is_ok());
    assert!(group.progress().last_index > last, "it was appended");
    world.faults.heal();
    let outcome = timeout(PATIENCE, pending.outcome()).await.expect("it is told in time");
    // Neither carried out nor refused, and no other leader's name that would say so.
    assert!(matches!(outcome, Err(WriteError::Unknown(_))), "{outcome:?}");

    world.agree(SHARD, &[1, 2, 3]).await;
    assert_eq!(world.bound(old, SHARD, &[1, 2, 3]), [1, 3]);
    let mut seqs = Vec::new();
    for _ in 0..2 {
        match &world.write_all(SHARD, vec![bind(2)]).await[0] {
            Ok(Outcome::Bound(bound)) => seqs.push(bound.seq),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seqs[0], seqs[1], "it took effect once");
    world.agree(SHARD, &[1, 2, 3]).await;
    for id in [1, 2, 3] {
        assert_eq!(world.bound(id, SHARD, &[1, 2, 3]), [1, 2, 3]);
    }
}

/// While nobody answers it neither: it waits until the outcome is known or its caller gives up.
#[tokio::test]
async fn a_write_without_a_majority_is_never_called_refused() {
    let world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 1).await;
    let old = world.leader(SHARD).await;
    world.faults.isolate(old, [1, 2, 3]);
    let group = world.group(old, SHARD);
    let written = timeout(Duration::from_secs(2), write(&group, vec![bind(2)]));
    let outcome = written.await;
    assert!(matches!(outcome, Err(_) | Ok(Err(WriteError::Unknown(_)))), "{outcome:?}");
}
