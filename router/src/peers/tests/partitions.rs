//! Cuts between nodes: nobody answers from old state, and all are one again when they heal.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::world::{PATIENCE, SHARD, World, bind, config, until};
use crate::config::Config;
use crate::limits::LINK_SILENCE_MAX;

fn others(leader: u64) -> Vec<u64> {
    [1, 2, 3].into_iter().filter(|id| *id != leader).collect()
}

#[tokio::test]
async fn a_leader_that_is_cut_off_is_replaced_and_never_confirms() {
    let world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 1).await;
    let old = world.leader(SHARD).await;
    world.faults.isolate(old, [1, 2, 3]);
    let rest = others(old);
    let replies = world.write_among(SHARD, &rest, vec![bind(2)]).await;
    assert!(replies[0].is_ok());
    assert!(world.group(old, SHARD).confirm(Duration::from_millis(700)).await.is_err());
    assert_eq!(world.bound(old, SHARD, &[1, 2]), [1]);
    world.faults.heal();
    world.agree(SHARD, &[1, 2, 3]).await;
    assert_eq!(world.bound(old, SHARD, &[1, 2]), [1, 2]);
}

#[tokio::test]
async fn a_leader_that_only_hears_is_replaced() {
    let world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 1).await;
    let old = world.leader(SHARD).await;
    for other in others(old) {
        world.faults.hold(old, other);
    }
    let replies = world.write_among(SHARD, &others(old), vec![bind(2)]).await;
    assert!(replies[0].is_ok());
    assert!(world.group(old, SHARD).confirm(Duration::from_millis(700)).await.is_err());
    world.faults.heal();
    world.agree(SHARD, &[1, 2, 3]).await;
}

#[tokio::test]
async fn a_follower_that_takes_everything_and_answers_nothing_holds_up_nobody() {
    let world = World::founded(config(), 3, 2).await;
    world.bind(SHARD, 1).await;
    let leader = world.leader(SHARD).await;
    let silent = others(leader)[0];
    let rest: Vec<u64> = [1, 2, 3].into_iter().filter(|id| *id != silent).collect();
    world.faults.hold(silent, leader);
    // Longer than the link goes on waiting, so that the writes see it break and be opened again.
    let begun = Instant::now();
    let mut conn = 10;
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < 3 * LINK_SILENCE_MAX {
        let written = Instant::now();
        world.write_among(SHARD, &rest, vec![bind(conn)]).await;
        slowest = slowest.max(written.elapsed());
        conn += 1;
    }
    println!("{conn} binds beside a silent follower, the slowest in {slowest:?}");
    world.faults.heal();
    world.agree(SHARD, &[1, 2, 3]).await;
    world.agree(world.shards[1], &[1, 2, 3]).await;
}

#[tokio::test]
async fn a_connection_that_broke_while_idle_is_made_again() {
    let world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 1).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    let (leader, term) = (world.leader(SHARD).await, world.group(1, SHARD).progress().term);
    for other in others(leader) {
        world.faults.cut(leader, other);
    }
    world.faults.heal();
    world.bind(SHARD, 2).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    assert!(world.group(1, SHARD).progress().term <= term + 1);
}

#[tokio::test]
async fn a_cluster_whose_links_all_break_again_and_again_ends_up_equal() {
    let world = World::founded(config(), 3, 2).await;
    let mut conn = 0;
    for round in 0..8 {
        let one = round % 3 + 1;
        world.faults.cut(one, one % 3 + 1);
        for _ in 0..5 {
            world.bind(SHARD, conn).await;
            conn += 1;
        }
        world.faults.heal();
    }
    world.agree(SHARD, &[1, 2, 3]).await;
    let conns: Vec<u64> = (0..conn).collect();
    for id in [1, 2, 3] {
        assert_eq!(world.bound(id, SHARD, &conns), conns);
    }
}

#[tokio::test]
async fn an_idle_cluster_keeps_its_leaders() {
    // Longer than the pauses of a busy machine.
    let patient = Config { election_ms_min: 1_000, election_ms_max: 1_500, ..config() };
    let world = World::founded(patient, 3, 4).await;
    for shard in world.shards.clone() {
        world.leader(shard).await;
    }
    let terms = || -> Vec<u64> {
        let terms = world.shards.iter().map(|shard| world.group(1, *shard).progress().term);
        terms.collect()
    };
    until("all know their leaders", || {
        let knows =
            |shard: &_| [1, 2, 3].iter().all(|id| world.group(*id, *shard).leader().is_some());
        world.shards.iter().all(knows)
    })
    .await;
    let before = terms();
    // Ticks are off: several election timeouts pass by heartbeats alone.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(terms(), before);
    // And they are on again once a leader is gone.
    let leader = world.leader(SHARD).await;
    world.faults.isolate(leader, [1, 2, 3]);
    let begun = Instant::now();
    world.leader_among(SHARD, &others(leader)).await;
    assert!(begun.elapsed() < PATIENCE);
    println!("a new leader after {:?}", begun.elapsed());
}
