//! A node that left a shard and came back has forgotten what it acknowledged, and helps nobody who lacks it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use orrery_model::NodeId;
use orrery_model::command::Command;
use orrery_proto::peers::append_response::Result as Answer;
use orrery_proto::{peers as wire, storage};
use orrery_router_store::Store as _;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::world::{PATIENCE, SHARD, World, bind, config, until};
use crate::config::Config;
use crate::raft::backlog::Admitted;

/// Many elections could be held in this time.
const QUIET: Duration = Duration::from_secs(4);

/// What is written while one node is down; nobody must lose it.
const LATE: std::ops::Range<u64> = 100..110;

/// Node 4 took the place of `left`, which acknowledged what `down` never saw, and came back.
struct Moved {
    world: World,
    leader: u64,
    down: u64,
    left: u64,
    /// Where the log of `down` ends.
    short: storage::LogId,
    /// Where the log of `left` ended.
    long: storage::LogId,
}

fn set(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

fn end(world: &World, id: u64) -> storage::LogId {
    let progress = world.group(id, SHARD).progress();
    storage::LogId { term: progress.term, index: progress.last_index }
}

async fn moved() -> Moved {
    let mut world = World::blank(config(), 4, 1).await;
    world.found(SHARD, 1, 1..=3).await;
    world.write_among(SHARD, &[1, 2, 3], vec![bind(1)]).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    let leader = world.leader(SHARD).await;
    let down = leader % 3 + 1;
    let left = down % 3 + 1;
    let short = end(&world, down);
    world.kill(down);
    let voters = [leader, left];
    for conn in LATE {
        world.write_among(SHARD, &voters, vec![bind(conn)]).await;
    }
    world.agree(SHARD, &voters).await;

    let leader = world.leader_among(SHARD, &voters).await;
    let left = if leader == left { voters[0] } else { left };
    let group = world.group(leader, SHARD);
    group.add_learner(&group.members(), NodeId(4), &world.address(4)).await.unwrap();
    until("node 4 has caught up", || {
        group.replication().get(&NodeId(4)).is_some_and(|member| member.lag == 0)
    })
    .await;
    let long = end(&world, left);
    group.change_voters(&group.members(), set([leader, down, 4]), false).await.unwrap();
    world.leave(left, SHARD).await;
    world.come_back(left, SHARD).await;
    assert_eq!(world.group(left, SHARD).progress().last_index, 0);
    Moved { world, leader, down, left, short, long }
}

impl Moved {
    /// The leader dies. Who was down comes back as it was, and reaches nobody but who left.
    async fn leave_two_alone(&mut self) {
        self.world.kill(self.leader);
        self.world.faults.isolate(4, 1..=3);
        self.world.start(self.down).await;
    }

    async fn assert_nobody_leads(&self) {
        let begun = Instant::now();
        while begun.elapsed() < QUIET {
            for id in [self.down, self.left] {
                let term = self.world.group(id, SHARD).leading_term();
                assert_eq!(term, None, "node {id} leads and lacks what was acknowledged");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The leader is back, and all is as it was; then who left becomes a voter again, and leads.
    async fn assert_nothing_is_lost(&mut self) {
        let Self { world, leader, down, left, .. } = self;
        world.start(*leader).await;
        world.faults.heal();
        let voters = [*leader, *down, 4];
        world.write_among(SHARD, &voters, vec![bind(2)]).await;
        world.agree(SHARD, &voters).await;
        let expected: Vec<u64> = [1, 2].into_iter().chain(LATE).collect();
        for id in voters {
            assert_eq!(world.bound(id, SHARD, &expected), expected, "node {id}");
        }
        let leads = world.leader_among(SHARD, &voters).await;
        let group = world.group(leads, SHARD);
        group.add_learner(&group.members(), NodeId(*left), &world.address(*left)).await.unwrap();
        world.agree(SHARD, &[leads, *left]).await;
        group.change_voters(&group.members(), set([leads, *left]), false).await.unwrap();
        world.agree(SHARD, &[leads, *left]).await;
        assert_eq!(world.bound(*left, SHARD, &expected), expected);
        // Its word is as good as any other's.
        group.transfer_leader(NodeId(*left)).await.unwrap();
        let now = world.group(*left, SHARD);
        let led = now.wait_leader(PATIENCE, |leader| leader == NodeId(*left)).await;
        assert_eq!(led, Some(NodeId(*left)));
        drop((group, now));
        self.assert_it_campaigns().await;
    }

    /// Who left is the only one that can be elected, and nobody tells it to be.
    async fn assert_it_campaigns(&mut self) {
        let Self { world, leader, down, left, .. } = self;
        let [one, other] = [*leader, *down];
        world.write_among(SHARD, &[*left], vec![bind(3)]).await;
        let group = world.group(*left, SHARD);
        for id in [one, other] {
            group.add_learner(&group.members(), NodeId(id), &world.address(id)).await.unwrap();
        }
        world.agree(SHARD, &[one, other, *left]).await;
        group.change_voters(&group.members(), set([one, other, *left]), false).await.unwrap();
        world.agree(SHARD, &[one, other, *left]).await;
        group.transfer_leader(NodeId(one)).await.unwrap();
        let led = group.wait_leader(PATIENCE, |leader| leader == NodeId(one)).await;
        assert_eq!(led, Some(NodeId(one)));
        drop(group);
        world.faults.isolate(other, [one, *left]);
        world.write_among(SHARD, &[one, *left], vec![bind(4)]).await;
        world.agree(SHARD, &[one, *left]).await;
        assert_eq!(world.leader_among(SHARD, &[one, *left]).await, one);
        world.kill(one);
        world.faults.heal();
        let led = world.leader_among(SHARD, &[other, *left]).await;
        assert_eq!(led, *left, "the other one lacks what was acknowledged");
    }
}

#[tokio::test]
async fn who_comes_back_blank_elects_nobody_who_lacks_what_it_acknowledged() {
    let mut moved = moved().await;
    moved.leave_two_alone().await;
    moved.assert_nobody_leads().await;
    moved.assert_nothing_is_lost().await;
}

#[tokio::test]
async fn who_comes_back_is_not_elected_before_it_has_caught_up() {
    let mut moved = moved().await;
    let Moved { world, leader, left, short, .. } = &moved;
    // It hears of its old membership, and of more than who was down ever saw.
    let group = world.group(*left, SHARD);
    let store = &world.node(*leader).store;
    let records = store.entries(SHARD, 0, short.index + 3, usize::MAX).unwrap();
    let vote = store.vote(SHARD).unwrap().unwrap();
    let request = wire::AppendRequest {
        shard: SHARD.0,
        lane: 1,
        id: 1,
        heartbeat: false,
        vote: Some(storage::Vote::decode(vote).unwrap()),
        previous: None,
        committed: None,
        entries: records.into_iter().map(|record| record.bytes).collect(),
    };
    let (requests, lane) = mpsc::channel(1);
    let room = group.backlog().room(&request).expect("there is room");
    assert!(requests.send(Admitted { request, room }).await.is_ok(), "the lane is open");
    drop(requests);
    let answer = group.handle_lane(1, lane).next().await.unwrap().result;
    assert!(matches!(answer, Some(Answer::Matched(_))), "{answer:?}");
    until("it takes itself for a voter", || group.members().votes(NodeId(*left))).await;
    drop(group);

    moved.leave_two_alone().await;
    moved.assert_nobody_leads().await;
    moved.assert_nothing_is_lost().await;
}

#[tokio::test]
async fn a_vote_is_withheld_from_shorter_logs_only_and_no_term_is_taken_over() {
    let moved = moved().await;
    let group = moved.world.group(moved.left, SHARD);
    let before = group.handle_vote(asking(&moved, None, true)).await.unwrap().vote;
    for last in [None, Some(moved.short)] {
        for pre_vote in [true, false] {
            let answer = group.handle_vote(asking(&moved, last, pre_vote)).await.unwrap();
            assert!(!answer.granted, "{last:?}");
            assert_eq!(answer.vote, before);
        }
    }
    let enough = storage::LogId { index: moved.long.index + 100, ..moved.long };
    for pre_vote in [true, false] {
        let answer = group.handle_vote(asking(&moved, Some(enough), pre_vote)).await.unwrap();
        assert!(answer.granted, "{answer:?}");
    }
}

#[tokio::test]
async fn who_came_back_does_not_take_over_from_who_lacks_what_it_acknowledged() {
    let moved = moved().await;
    let group = moved.world.group(moved.left, SHARD);
    let vote = asking(&moved, None, false).vote;
    for last in [None, Some(moved.short)] {
        let successor = moved.left;
        let request =
            wire::TransferLeaderRequest { envelope: None, from_vote: vote, last, successor };
        let answer = group.handle_transfer(request).await.unwrap();
        assert!(answer.refused.contains("may lack"), "{last:?}: {answer:?}");
    }
}

fn asking(moved: &Moved, last: Option<storage::LogId>, pre_vote: bool) -> wire::VoteRequest {
    let vote = storage::Vote {
        version: 1,
        term: moved.long.term + 50,
        node: Some(moved.down),
        committed: false,
    };
    wire::VoteRequest {
        envelope: None,
        vote: Some(vote),
        last,
        pre_vote,
        // The lease of the leader that it hears of is not what is asked about.
        leadership_transfer: true,
    }
}

fn forgetful() -> Config {
    Config { log_keep_entries: 0, purge_batch_entries: 1, ..config() }
}

#[tokio::test]
async fn a_snapshot_that_was_left_over_is_never_restored() {
    let mut world = World::founded(forgetful(), 3, 1).await;
    world.write_all(SHARD, (1..50).map(bind).collect::<Vec<Command>>()).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    let leader = world.leader(SHARD).await;
    let left = leader % 3 + 1;
    let group = world.group(left, SHARD);
    group.snapshot_now().await.unwrap();
    until("its log is purged", || group.progress().purged_index > 0).await;
    drop(group);
    let leads = world.group(leader, SHARD);
    let stay = set((1..=3).filter(|id| *id != left));
    leads.change_voters(&leads.members(), stay, false).await.unwrap();

    // The power goes between the log and the snapshot.
    world.begin_to_leave(left, SHARD).await;
    assert!(world.node(left).store.snapshot(SHARD).unwrap().is_some());
    world.kill(left);
    world.start(left).await;
    assert!(world.node(left).store.snapshot(SHARD).unwrap().is_none());
    let members = world.group(left, SHARD).members();
    assert!(!members.contains(NodeId(left)), "{members:?}");
    assert_eq!(world.bound(left, SHARD, &[1]), [] as [u64; 0]);

    // What it is sent from now on it keeps.
    leads.snapshot_now().await.unwrap();
    until("the leader's log is purged", || leads.progress().purged_index > 0).await;
    leads.add_learner(&leads.members(), NodeId(left), &world.address(left)).await.unwrap();
    let group = world.group(left, SHARD);
    until("it has a snapshot", || group.progress().snapshot_index > 0).await;
    drop(group);
    world.kill(left);
    world.start(left).await;
    assert!(world.node(left).store.snapshot(SHARD).unwrap().is_some());
    world.agree(SHARD, &[leader, left]).await;
    assert_eq!(world.bound(left, SHARD, &[1, 49]), [1, 49]);
}

#[tokio::test]
async fn a_snapshot_that_is_still_being_written_when_its_node_leaves_is_never_there() {
    let world = World::founded(config(), 1, 1).await;
    world.bind(SHARD, 1).await;
    let node = world.node(1);
    node.store.snapshot_writes.shut();
    node.group(SHARD).snapshot_now().await.unwrap();
    until("it has begun", || node.store.snapshots.load(Ordering::SeqCst) == 1).await;
    world.leave(1, SHARD).await;
    node.store.snapshot_writes.open();
    until("its writer has ended", || node.snapshot_permits.available_permits() == 1).await;
    assert!(node.store.snapshot(SHARD).unwrap().is_none());
}
