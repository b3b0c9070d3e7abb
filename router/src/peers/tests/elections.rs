//! Elections that nobody needs, and one that a leader of the past must not keep from happening.

use std::time::Duration;

use tokio::time::sleep;

use super::world::{SHARD, World, bind, config, until};

#[tokio::test]
async fn a_voter_that_is_cut_off_deposes_nobody_when_it_comes_back() {
    let world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 1).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    let leader = world.leader(SHARD).await;
    let term = world.group(leader, SHARD).progress().term;
    let cut_off = leader % 3 + 1;
    world.faults.isolate(cut_off, [1, 2, 3]);
    // It campaigns several times.
    sleep(5 * Duration::from_millis(world.config.election_ms_max)).await;
    assert_eq!(world.group(cut_off, SHARD).progress().term, term, "each time only in words");
    world.faults.heal();
    world.bind(SHARD, 2).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    let after = world.group(leader, SHARD).progress();
    assert!(after.leads && after.term == term, "{after:?}");
}

/// Of four voters a leader reaches one. Two others reach that one as well, and nobody has three without it: as
/// long as it hears of the leader it helps nobody else.
#[tokio::test]
async fn a_leader_without_a_quorum_gives_way_although_it_reaches_somebody() {
    let world = World::founded(config(), 4, 1).await;
    world.bind(SHARD, 1).await;
    let old = world.leader(SHARD).await;
    let others: Vec<u64> = (1..=4).filter(|id| *id != old).collect();
    for away in &others[1..] {
        world.faults.cut(old, *away);
    }
    let replies = world.write_among(SHARD, &others, vec![bind(2)]).await;
    assert!(replies[0].is_ok());
    assert!(world.group(old, SHARD).confirm(Duration::from_millis(700)).await.is_err());
    world.faults.heal();
    world.agree(SHARD, &[1, 2, 3, 4]).await;
    until("the old one follows", || !world.group(old, SHARD).progress().leads).await;
}
