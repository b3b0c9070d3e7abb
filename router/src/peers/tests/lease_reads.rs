//! A follower that starts again has forgotten the lease that it granted. A leader that cannot know must not read
//! by it.

use std::time::Duration;

use tokio::time::sleep;

use super::world::{SHARD, World, bind, config};

#[tokio::test]
async fn a_leader_whose_follower_was_restarted_never_confirms_once_another_one_writes() {
    let mut world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 1).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    let old = world.leader(SHARD).await;
    let (next, forgetful) = (old % 3 + 1, (old + 1) % 3 + 1);
    let lease = Duration::from_millis(world.config.election_ms_max);
    world.faults.cut(old, next);
    // Until the one that is to lead owes the leader nothing any more.
    sleep(2 * lease).await;
    let group = world.group(old, SHARD);
    group.confirm(lease).await.expect("two of three still agree");

    world.faults.cut(old, forgetful);
    world.kill(forgetful);
    world.start(forgetful).await;
    let replies = world.write_among(SHARD, &[next, forgetful], vec![bind(2)]).await;
    assert!(replies[0].is_ok());
    // From here on whatever it confirmed would be old, however long its lease may last.
    let confirmed = group.confirm(3 * lease).await;
    assert!(confirmed.is_err(), "it would not show the second user");
    assert_eq!(world.bound(old, SHARD, &[1, 2]), [1]);
    world.faults.heal();
    world.agree(SHARD, &[1, 2, 3]).await;
}
