//! Nodes join, vote, hand over and leave.

use std::collections::BTreeSet;

use orrery_model::NodeId;
use orrery_router_store::Store as _;
use tokio::time::Instant;

use super::world::{PATIENCE, SHARD, World, bind, config, until, write};
use crate::raft::members::{MembersError, TransferError};

fn set(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

/// Three voters, and a fourth node that knows nothing.
async fn three_and_one() -> World {
    let world = World::blank(config(), 4, 1).await;
    assert!(world.group(1, SHARD).is_pristine().await.unwrap());
    world.found(SHARD, 1, 1..=3).await;
    world
}

#[tokio::test]
async fn a_node_joins_as_learner_votes_and_replaces_another() {
    let world = three_and_one().await;
    for conn in 0..30 {
        world.bind(SHARD, conn).await;
    }
    let leader = world.leader(SHARD).await;
    let group = world.group(leader, SHARD);
    let members = group.members();
    assert_eq!((members.voters.clone(), members.joint), (vec![set(1..=3)], false));
    assert!(world.group(4, SHARD).is_pristine().await.unwrap());

    group.add_learner(&members, NodeId(4), &world.address(4)).await.unwrap();
    let members = group.members();
    assert_eq!(members.learners, set([4]));
    until("the learner has caught up", || {
        group.replication().get(&NodeId(4)).is_some_and(|member| member.lag == 0)
    })
    .await;
    assert!(!world.group(4, SHARD).is_pristine().await.unwrap());

    let gone = (1..=3).find(|id| *id != leader).unwrap();
    let voters = set((1..=4).filter(|id| *id != gone));
    group.change_voters(&members, voters.clone(), false).await.unwrap();
    let members = group.members();
    assert_eq!((members.voters, members.joint), (vec![voters], false));
    assert!(members.learners.is_empty());
    let stay: Vec<u64> = (1..=4).filter(|id| *id != gone).collect();
    world.write_among(SHARD, &stay, vec![bind(99)]).await;
    world.agree(SHARD, &stay).await;
    assert_eq!(world.bound(gone, SHARD, &[99]), [] as [u64; 0]);

    // Retained, a former voter goes on following.
    let members = group.members();
    group.change_voters(&members, set([leader]), true).await.unwrap();
    let members = group.members();
    assert_eq!(members.voters, [set([leader])]);
    assert_eq!(members.learners.len(), 2);
    let learner = *members.learners.first().unwrap();
    group.remove_learner(&members, learner).await.unwrap();
    assert!(!group.members().contains(learner));
}

#[tokio::test]
async fn of_two_who_change_what_both_saw_only_one_does() {
    let world = three_and_one().await;
    let group = world.group(world.leader(SHARD).await, SHARD);
    let seen = group.members();
    group.add_learner(&seen, NodeId(4), &world.address(4)).await.unwrap();
    let late = group.change_voters(&seen, set([1, 2]), true).await;
    assert!(matches!(late, Err(MembersError::Outdated(_))), "{late:?}");
    assert_eq!(group.members().voters, [set(1..=3)]);
    let stranger = group.change_voters(&group.members(), set([1, 2, 9]), true).await;
    assert!(matches!(stranger, Err(MembersError::Refused(_))), "{stranger:?}");
}

#[tokio::test]
async fn only_the_leader_changes_members() {
    let world = three_and_one().await;
    let leader = world.leader(SHARD).await;
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    let group = world.group(follower, SHARD);
    let seen = group.members();
    let refused = group.add_learner(&seen, NodeId(4), &world.address(4)).await;
    let expected = MembersError::NotLeader { leader: Some(NodeId(leader)) };
    assert_eq!(refused, Err(expected));
    let refused = group.transfer_leader(NodeId(follower)).await;
    assert!(matches!(refused, Err(TransferError::NotLeader { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_leadership_is_handed_over_in_a_moment_and_loses_nothing() {
    let world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 0).await;
    let mut conn = 1;
    let mut gaps = Vec::new();
    for _ in 0..5 {
        world.agree(SHARD, &[1, 2, 3]).await;
        let from = world.leader(SHARD).await;
        let to = from % 3 + 1;
        world.group(from, SHARD).transfer_leader(NodeId(to)).await.unwrap();
        let begun = Instant::now();
        // The first write that the new leader acknowledges.
        let target = world.group(to, SHARD);
        let led = target.wait_leader(PATIENCE, |leader| leader == NodeId(to)).await;
        assert_eq!(led, Some(NodeId(to)));
        while write(&target, vec![bind(conn)]).await.is_err() {
            assert!(begun.elapsed() < PATIENCE);
            tokio::task::yield_now().await;
        }
        gaps.push(begun.elapsed());
        conn += 1;
    }
    println!("gaps of {gaps:?}");
    world.agree(SHARD, &[1, 2, 3]).await;
    let conns: Vec<u64> = (0..conn).collect();
    assert_eq!(world.bound(1, SHARD, &conns), conns);
}

#[tokio::test]
async fn nobody_is_asked_to_lead_who_cannot_at_once() {
    let mut world = three_and_one().await;
    let leader = world.leader(SHARD).await;
    let group = world.group(leader, SHARD);
    let stranger = group.transfer_leader(NodeId(4)).await;
    assert_eq!(stranger, Err(TransferError::NoVoter(NodeId(4))));
    let dead = (1..=3).find(|id| *id != leader).unwrap();
    let heard_ms = || group.replication()[&NodeId(dead)].heard_ms;
    until("it is heard", || heard_ms().is_some()).await;
    world.kill(dead);
    until("its silence is seen", || heard_ms().is_some_and(|ms| ms > 300)).await;
    let refused = group.transfer_leader(NodeId(dead)).await;
    assert!(matches!(refused, Err(TransferError::NotReady { .. })), "{refused:?}");
    assert_eq!(world.leader_among(SHARD, &[leader]).await, leader);
}

#[tokio::test]
async fn who_is_a_voter_only_by_what_is_committed_still_takes_the_lead() {
    let mut world = three_and_one().await;
    let hand_to = async |from: u64, to: u64| {
        if from != to {
            world.agree(SHARD, &[1, 2, 3]).await;
            world.group(from, SHARD).transfer_leader(NodeId(to)).await.unwrap();
        }
        assert_eq!(world.leader_among(SHARD, &[to]).await, to);
    };
    hand_to(world.leader(SHARD).await, 1).await;
    let group = world.group(1, SHARD);
    group.add_learner(&group.members(), NodeId(4), &world.address(4)).await.unwrap();
    world.agree(SHARD, &[1, 2, 3, 4]).await;

    // Of a change of voters only the first step is taken, everywhere.
    for id in 2..=4 {
        world.node(id).store.shut();
    }
    let seen = group.members();
    let joint = until("the first step is taken", || group.members().joint);
    tokio::select! {
        changed = group.change_voters(&seen, set([1, 2, 4]), false) => panic!("{changed:?}"),
        () = joint => {}
    }
    for id in 2..=4 {
        world.node(id).store.open();
    }
    until("all know that it is committed", || {
        let members = |id| world.group(id, SHARD).members();
        (1..=4).map(members).all(|members| members.joint && members.committed)
    })
    .await;

    // Its leader dies, and the next one takes the second step, on its own disk alone.
    hand_to(1, 3).await;
    drop(group);
    world.kill(1);
    world.faults.isolate(3, [2, 4]);
    let group = world.group(3, SHARD);
    let seen = group.members();
    let synced = until("the second step is synced", || {
        let at = group.members().log_index;
        at > seen.log_index && world.node(3).store.log_state(SHARD).unwrap().last_index >= at
    });
    tokio::select! {
        changed = group.finish_change(&seen, false) => panic!("{changed:?}"),
        () = synced => {}
    }
    assert!(!world.node(3).group(SHARD).members().votes(NodeId(3)));
    drop(group);
    world.kill(3);
    world.faults.heal();
    world.start(3).await;

    // The other two need its vote by the first step, and lack what it has: only it can lead.
    let begun = Instant::now();
    assert_eq!(world.group(3, SHARD).members().voters, [set([1, 2, 4])]);
    let leader = world.leader_among(SHARD, &[2, 3, 4]).await;
    println!("node {leader} leads after {:?}", begun.elapsed());
    world.write_among(SHARD, &[2, 3, 4], vec![bind(1)]).await;
    until("the second step is committed", || {
        let members = world.group(2, SHARD).members();
        members.committed && members.voters == [set([1, 2, 4])]
    })
    .await;
}
