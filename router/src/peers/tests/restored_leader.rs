//! A leader's disk stalls, its followers commit without it, and it starts again without what it had not
//! synced. In its old term it would give the same place of the log away a second time.

use super::world::{SHARD, World, bind, config, until, write};

#[tokio::test]
async fn a_leader_that_lost_its_unsynced_tail_never_gives_a_place_in_the_log_twice() {
    for round in 0..3 {
        let mut world = World::founded(config(), 3, 1).await;
        world.bind(SHARD, 1).await;
        world.agree(SHARD, &[1, 2, 3]).await;
        let leader = world.leader(SHARD).await;
        let before = world.group(leader, SHARD).progress();

        world.node(leader).store.shut();
        let (index, replies) = write(&world.group(leader, SHARD), vec![bind(2)]).await.unwrap();
        assert!(replies[0].is_ok(), "acknowledged by the two others");
        world.kill(leader);
        // Within the lease that the followers grant the leader they knew.
        world.start(leader).await;

        world.bind(SHARD, 3).await;
        world.agree(SHARD, &[1, 2, 3]).await;
        for id in [1, 2, 3] {
            let bound = world.bound(id, SHARD, &[1, 2, 3]);
            assert_eq!(bound, [1, 2, 3], "round {round}: node {id}, entry {index}");
            let term = world.group(id, SHARD).progress().term;
            assert!(term > before.term, "round {round}: somebody leads on in term {term}");
        }
    }
}

#[tokio::test]
async fn a_follower_whose_disk_stalls_is_not_taken_for_a_dead_one() {
    let world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 0).await;
    let leader = world.leader(SHARD).await;
    let slow = leader % 3 + 1;
    world.node(slow).store.shut();
    for conn in 1..50 {
        world.bind(SHARD, conn).await;
    }
    tokio::time::sleep(2 * crate::limits::LINK_SILENCE_MAX).await;
    world.node(slow).store.open();
    world.agree(SHARD, &[1, 2, 3]).await;
    until("it is heard of again", || {
        let replication = world.group(leader, SHARD).replication();
        replication.is_empty() || replication.values().all(|member| member.lag == 0)
    })
    .await;
}
