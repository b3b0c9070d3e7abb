//! Snapshots on their way to replicas that the log no longer reaches.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use orrery_host::Host;
use orrery_model::ShardId;
use orrery_model::command::Command;
use orrery_proto::peers as wire;
use orrery_proto::peers::peers_client::PeersClient;
use orrery_proto::peers::snapshot_part::Part;
use orrery_proto::storage;
use orrery_router_store::Store as _;
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::world::{SHARD, World, bind_with, config, identity, until};
use crate::config::Config;
use crate::limits::SNAPSHOT_PART_BYTES;
use crate::peers::Groups as _;

const USERS: u64 = 20_000;

/// Purges everything that a snapshot holds.
fn forgetful() -> Config {
    Config { log_keep_entries: 0, purge_batch_entries: 1, ..config() }
}

/// Several MiB of routes.
async fn fill(world: &World, users: std::ops::Range<u64>) {
    let device = "d".repeat(250);
    let users: Vec<u64> = users.collect();
    for conns in users.chunks(500) {
        let binds: Vec<Command> = conns.iter().map(|conn| bind_with(*conn, &device)).collect();
        let replies = world.write_all(SHARD, binds).await;
        assert!(replies.iter().all(Result::is_ok));
    }
}

/// Lets every node that runs forget its log up to now.
async fn purge(world: &World) {
    world.agree(SHARD, &world.ids()).await;
    for id in world.ids() {
        let group = world.group(id, SHARD);
        let applied = group.progress().applied_index;
        group.snapshot_now().await.unwrap();
        until("the log is purged", || group.progress().purged_index >= applied).await;
    }
}

#[tokio::test]
async fn a_replica_far_behind_catches_up_by_snapshot_while_the_shard_serves() {
    let mut world = World::founded(forgetful(), 3, 1).await;
    world.bind(SHARD, 0).await;
    let away = world.leader(SHARD).await % 3 + 1;
    world.kill(away);
    fill(&world, 0..USERS).await;
    purge(&world).await;
    world.start(away).await;
    // The shard goes on meanwhile.
    fill(&world, USERS..USERS + 1_000).await;
    world.agree(SHARD, &[1, 2, 3]).await;
    let group = world.group(away, SHARD);
    assert_eq!(group.replica().registry(|registry, _| registry.stats().routes), USERS + 1_000);
    assert!(group.progress().snapshot_index > 1, "it came by snapshot");

    let mut reader = world.node(away).store.snapshot(SHARD).unwrap().expect("it is in the store");
    let mut bytes = 0;
    while let Some(record) = reader.next_record().unwrap() {
        bytes += record.len();
    }
    assert!(bytes > 4 * SNAPSHOT_PART_BYTES, "{bytes} bytes are not several parts");

    // What was installed is what it starts from.
    world.kill(away);
    world.start(away).await;
    world.agree(SHARD, &[1, 2, 3]).await;
}

#[tokio::test]
async fn a_snapshot_that_is_cut_off_on_its_way_is_sent_again() {
    let mut world = World::founded(forgetful(), 3, 1).await;
    let leader = world.leader(SHARD).await;
    let away = leader % 3 + 1;
    world.kill(away);
    fill(&world, 0..USERS).await;
    purge(&world).await;
    world.start(away).await;
    for _ in 0..10 {
        let from = world.leader_among(SHARD, &world.ids()).await;
        sleep(Duration::from_millis(7)).await;
        world.faults.cut(from, away);
        world.faults.heal();
    }
    world.agree(SHARD, &[1, 2, 3]).await;
}

#[tokio::test]
async fn snapshots_that_wait_for_their_turn_hold_up_neither_the_shards_nor_their_end() {
    const SHARDS: u32 = 4;
    let world = World::founded(forgetful(), 1, SHARDS).await;
    let node = world.node(1);
    let turn = node.snapshot_permits.acquire().await.unwrap();
    let mut replicas = Vec::new();
    for shard in (1..=SHARDS).map(ShardId) {
        let group = node.group(shard);
        let holders = Arc::strong_count(group.replica());
        group.snapshot_now().await.unwrap();
        until("it waits", || Arc::strong_count(group.replica()) > holders).await;
        world.bind(shard, 1).await;
        replicas.push(group.replica().clone());
    }
    for group in node.shelf.groups() {
        group.shutdown().await;
    }
    // Their group holds them, and this test.
    until("none waits", || replicas.iter().all(|held| Arc::strong_count(held) <= 2)).await;
    drop(turn);
    assert_eq!(node.snapshot_permits.available_permits(), 1);
    for shard in (1..=SHARDS).map(ShardId) {
        assert!(node.store.snapshot(shard).unwrap().is_none(), "shard {shard} wrote one");
    }
}

fn part(part: Part) -> wire::SnapshotPart {
    wire::SnapshotPart { part: Some(part) }
}

/// A snapshot of shard 1 at an index and term, as node 2 would begin to send it to node 1.
fn begin(term: u64, index: u64, vote_term: u64) -> wire::SnapshotPart {
    let last = Some(storage::LogId { term, index });
    let membership = storage::Membership {
        sets: vec![storage::VoterSet { nodes: vec![1, 2, 3] }],
        members: (1..=3).map(|node| storage::Member { node, peers: String::new() }).collect(),
    };
    let membership = storage::StoredMembership { at: last, membership: Some(membership) };
    let meta = storage::SnapshotMeta {
        version: 1,
        shard: SHARD.0,
        last,
        membership: Some(membership),
        id: "test".to_owned(),
    };
    let envelope = wire::Envelope {
        cluster_id: "test".to_owned(),
        shard: SHARD.0,
        from: 2,
        from_instance: identity(2).instance,
        to: 1,
        protocol: 2,
        to_instance: identity(1).instance,
    };
    part(Part::Begin(wire::SnapshotBegin {
        envelope: Some(envelope),
        vote: Some(storage::Vote { version: 1, term: vote_term, node: Some(2), committed: true }),
        meta: prost::Message::encode_to_vec(&meta).into(),
    }))
}

async fn client(world: &World) -> PeersClient<tonic::transport::Channel> {
    let channel = orrery_host::grpc::channel(Host::system().net, &world.address(1)).unwrap();
    PeersClient::new(channel)
}

#[tokio::test]
async fn a_snapshot_that_did_not_arrive_as_it_was_sent_is_refused() {
    let world = World::blank(config(), 1, 1).await;
    let end = |checksum| part(Part::End(wire::SnapshotEnd { records: 0, bytes: 0, checksum }));
    let garbage = part(Part::Data(bytes::Bytes::from_static(&[3, 0xff, 0xff, 0xff])));
    let endless = part(Part::Data(bytes::Bytes::from_static(&[0xff; 10])));
    let broken = [
        vec![begin(1, 5, 9), end(1)],
        vec![begin(1, 5, 9), garbage, end(0)],
        vec![begin(1, 5, 9), endless, end(0)],
        vec![begin(1, 5, 9)],
        vec![begin(1, 5, 9), begin(1, 5, 9)],
        // Newer than the term of who sends it.
        vec![begin(10, 5, 9), end(0)],
    ];
    for parts in broken {
        let status = client(&world).await.snapshot(stream::iter(parts)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().starts_with("MALFORMED"), "{status}");
    }
    assert!(world.group(1, SHARD).is_pristine().await.unwrap());
    assert!(world.node(1).store.snapshot(SHARD).unwrap().is_none());
}

#[tokio::test]
async fn nothing_is_taken_of_a_snapshot_whose_sender_no_longer_leads() {
    let world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 1).await;
    // A majority was enough for that, without the node that is asked.
    world.agree(SHARD, &[1, 2, 3]).await;
    let parts = stream::iter([begin(0, 5, 0)]).chain(stream::pending());
    let answer = client(&world).await.snapshot(parts).await.unwrap().into_inner();
    assert!(answer.vote.unwrap().term >= 1, "it learns of the newer vote at once");
}

#[tokio::test]
async fn a_snapshot_whose_sender_vanished_does_not_keep_the_next_one_out() {
    let world = World::blank(config(), 1, 1).await;
    let first = stream::iter([begin(1, 5, 9)]).chain(stream::pending());
    let mut peer = client(&world).await;
    let first = tokio::spawn(async move { peer.snapshot(first).await });
    // The second one may come before the first; whichever came last stays.
    let second = stream::iter([begin(1, 5, 9)]).chain(stream::pending());
    let mut peer = client(&world).await;
    let second = tokio::spawn(async move { peer.snapshot(second).await });
    let ended = tokio::select! {
        ended = first => ended,
        ended = second => ended,
    };
    let status = ended.unwrap().unwrap_err();
    assert!(status.message().contains("a newer snapshot"), "{status}");
}

#[tokio::test]
async fn a_snapshot_that_is_being_received_ends_when_the_node_stops() {
    let mut world = World::blank(config(), 1, 1).await;
    let parts = stream::iter([begin(1, 5, 9)]).chain(stream::pending());
    let mut peer = client(&world).await;
    let sent = tokio::spawn(async move { peer.snapshot(parts).await });
    let store = world.node(1).store.clone();
    until("it has begun", || store.snapshots.load(Ordering::SeqCst) == 1).await;
    let begun = Instant::now();
    world.stop_service(1).await;
    let status = sent.await.unwrap().unwrap_err();
    assert!(status.message().contains("the node is stopping"), "{status}");
    println!("ended after {:?}", begun.elapsed());
    // Nothing of it is left in the way of the next start.
    world.stop(1).await;
    world.start(1).await;
    assert!(world.node(1).store.snapshot(SHARD).unwrap().is_none());
}
