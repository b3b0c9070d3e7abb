//! Entries reach all replicas, and nothing acknowledged is lost when nodes die.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::world::{SHARD, World, bind, config, until, write};

#[tokio::test]
async fn every_shard_elects_its_leader_and_replicates() {
    let world = World::founded(config(), 3, 3).await;
    for shard in world.shards.clone() {
        for conn in 0..20 {
            world.bind(shard, conn).await;
        }
        world.agree(shard, &[1, 2, 3]).await;
    }
    let last = |id| world.group(id, SHARD).progress().last_index;
    assert!(last(1) >= 20 && last(1) == last(3));
}

#[tokio::test]
async fn ten_thousand_entries_go_through_the_pipeline_in_order() {
    const ENTRIES: u64 = 10_000;
    const UNDER_WAY: usize = 256;
    let world = World::founded(config(), 3, 1).await;
    let leader = world.leader(SHARD).await;
    let group = world.group(leader, SHARD);
    let begun = tokio::time::Instant::now();
    let mut under_way = FuturesUnordered::new();
    let mut last = 0;
    for conn in 0..ENTRIES {
        under_way.push(write(&group, vec![bind(conn)]));
        if under_way.len() == UNDER_WAY {
            let (index, _) = under_way.next().await.unwrap().unwrap();
            last = last.max(index);
        }
    }
    while let Some(written) = under_way.next().await {
        last = last.max(written.unwrap().0);
    }
    println!("{ENTRIES} entries in {:?}", begun.elapsed());
    world.agree(SHARD, &[1, 2, 3]).await;
    for id in [1, 2, 3] {
        let group = world.group(id, SHARD);
        assert_eq!(group.replica().registry(|registry, _| registry.stats().routes), ENTRIES);
        assert!(group.progress().last_index >= last);
    }
}

#[tokio::test]
async fn a_killed_leader_is_replaced_and_catches_up_by_its_log() {
    let mut world = World::founded(config(), 3, 2).await;
    let before: Vec<u64> = (0..50).collect();
    for conn in &before {
        world.bind(SHARD, *conn).await;
    }
    let killed = world.leader(SHARD).await;
    world.kill(killed);
    let after: Vec<u64> = (50..100).collect();
    for conn in &after {
        world.bind(SHARD, *conn).await;
    }
    let all = [before, after].concat();
    let leader = world.leader(SHARD).await;
    assert_eq!(world.bound(leader, SHARD, &all), all, "an acknowledged bind is lost");

    // It comes back at another address; the others find it there.
    world.start(killed).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    world.agree(world.shards[1], &[1, 2, 3]).await;
    assert_eq!(world.group(killed, SHARD).progress().snapshot_index, 0, "the log was enough");
}

#[tokio::test]
async fn all_nodes_start_again_with_everything_acknowledged() {
    let mut world = World::founded(config(), 3, 2).await;
    let conns: Vec<u64> = (0..30).collect();
    for conn in &conns {
        world.bind(SHARD, *conn).await;
    }
    for id in [1, 2, 3] {
        world.kill(id);
    }
    for id in [1, 2, 3] {
        world.start(id).await;
    }
    world.bind(SHARD, 99).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    assert_eq!(world.bound(2, SHARD, &conns), conns);
    let term = world.group(1, SHARD).progress().term;
    assert!(term >= 2, "nobody leads on in its old term");
}

#[tokio::test]
async fn a_leader_that_stops_in_order_leaves_the_others_a_leader() {
    let mut world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 1).await;
    let leader = world.leader(SHARD).await;
    world.stop(leader).await;
    world.bind(SHARD, 2).await;
    world.start(leader).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    until("the node that came back hears its leader", || {
        world.group(leader, SHARD).leader().is_some()
    })
    .await;
}
