//! Whoever is not who it should be is refused by name, and nothing of it is done.

use openraft::entry::RaftEntry as _;
use openraft::vote::leader_id_std::CommittedLeaderId;
use orrery_host::Host;
use orrery_model::NodeId;
use orrery_proto::peers as wire;
use orrery_proto::peers::peers_client::PeersClient;
use orrery_proto::storage;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::world::{PATIENCE, SHARD, World, config, identity};
use crate::raft::types::{Entry, LogId};

async fn client(world: &World, id: u64) -> PeersClient<Channel> {
    let channel = orrery_host::grpc::channel(Host::system().net, &world.address(id)).unwrap();
    PeersClient::new(channel)
}

/// What node 2 sends to node 1.
fn envelope() -> wire::Envelope {
    wire::Envelope {
        cluster_id: "test".to_owned(),
        shard: SHARD.0,
        from: 2,
        from_instance: identity(2).instance,
        to: 1,
        protocol: 2,
        to_instance: identity(1).instance,
    }
}

fn vote(term: u64) -> Option<storage::Vote> {
    Some(storage::Vote { version: 1, term, node: Some(2), committed: false })
}

async fn ask_vote(world: &World, envelope: wire::Envelope) -> Result<wire::VoteResponse, Status> {
    let request =
        wire::VoteRequest { envelope: Some(envelope), vote: vote(1), ..Default::default() };
    client(world, 1).await.vote(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn every_call_refuses_a_wrong_envelope_by_name() {
    let world = World::blank(config(), 1, 1).await;
    let changed = |change: fn(&mut wire::Envelope)| {
        let mut envelope = envelope();
        change(&mut envelope);
        envelope
    };
    let wrong = [
        (changed(|envelope| envelope.cluster_id = "other".to_owned()), "WRONG_CLUSTER"),
        (changed(|envelope| envelope.to = 3), "WRONG_NODE"),
        (changed(|envelope| envelope.from_instance = "wiped".to_owned()), "WRONG_NODE"),
        (changed(|envelope| envelope.to_instance = "lost".to_owned()), "WRONG_NODE"),
        (changed(|envelope| envelope.protocol = 4), "PROTOCOL"),
        (changed(|envelope| envelope.protocol = 0), "PROTOCOL"),
    ];
    for (envelope, word) in wrong {
        let mut peer = client(&world, 1).await;
        let append =
            wire::AppendRequests { envelope: Some(envelope.clone()), ..Default::default() };
        let begin = wire::SnapshotBegin {
            envelope: Some(envelope.clone()),
            vote: vote(9),
            ..Default::default()
        };
        let begin = wire::SnapshotPart { part: Some(wire::snapshot_part::Part::Begin(begin)) };
        let transfer = wire::TransferLeaderRequest {
            envelope: Some(envelope.clone()),
            from_vote: vote(9),
            ..Default::default()
        };
        let refused = [
            ask_vote(&world, envelope).await.unwrap_err(),
            peer.append(futures_util::stream::iter([append])).await.unwrap_err(),
            peer.snapshot(futures_util::stream::iter([begin])).await.unwrap_err(),
            peer.transfer_leader(transfer).await.unwrap_err(),
        ];
        for status in refused {
            assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
            assert!(status.message().starts_with(word), "{status} should begin with {word}");
        }
    }
    assert!(world.group(1, SHARD).is_pristine().await.unwrap(), "nothing was done");
}

#[tokio::test]
async fn one_version_apart_is_answered_and_two_are_refused_with_both_named() {
    let world = World::blank(config(), 1, 1).await;
    for protocol in [1, 2, 3] {
        ask_vote(&world, wire::Envelope { protocol, ..envelope() }).await.unwrap();
    }
    let refused = ask_vote(&world, wire::Envelope { protocol: 4, ..envelope() }).await;
    let detail = refused.unwrap_err().message().to_owned();
    assert!(detail.contains("protocol 2") && detail.contains("the sender 4"), "{detail}");
}

#[tokio::test]
async fn nodes_one_version_apart_are_a_cluster() {
    let mut world = World::blank(config(), 2, 1).await;
    world.protocols.insert(3, 3);
    world.start(3).await;
    world.found(SHARD, 1, 1..=3).await;
    for conn in 0..10 {
        world.bind(SHARD, conn).await;
    }
    world.agree(SHARD, &[1, 2, 3]).await;
}

fn blank(index: u64) -> Entry {
    Entry::new_blank(LogId::new(CommittedLeaderId::new(1), index))
}

#[tokio::test]
async fn a_shard_that_is_not_here_is_said_so() {
    let world = World::blank(config(), 1, 1).await;
    let status = ask_vote(&world, wire::Envelope { shard: 99, ..envelope() }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().starts_with("NO_SHARD"), "{status}");

    // On the stream it is the matter of that shard alone.
    let leader = vote(1).map(|vote| storage::Vote { committed: true, ..vote });
    let append =
        |shard, id| wire::AppendRequest { shard, id, lane: id, vote: leader, ..Default::default() };
    let usurper = wire::AppendRequest { vote: vote(9), ..append(SHARD.0, 4) };
    let hole = wire::AppendRequest {
        entries: vec![crate::raft::entry::encode_entry(&blank(7))],
        ..append(SHARD.0, 5)
    };
    let heartbeat = wire::AppendRequest { heartbeat: true, lane: 0, ..append(98, 3) };
    let message = wire::AppendRequests {
        envelope: Some(envelope()),
        requests: vec![append(99, 1), append(SHARD.0, 2), heartbeat, usurper, hole],
        closed: Vec::new(),
    };
    let messages = futures_util::StreamExt::chain(
        futures_util::stream::iter([message]),
        futures_util::stream::pending(),
    );
    let mut answers = client(&world, 1).await.append(messages).await.unwrap().into_inner();
    let mut answered = Vec::new();
    while answered.len() < 5 {
        let message = timeout(PATIENCE, answers.message()).await.expect("an answer in time");
        answered.extend(message.unwrap().unwrap().responses);
    }
    answered.sort_by_key(|answer| answer.id);
    let failure = |answer: &wire::AppendResponse| match &answer.result {
        Some(wire::append_response::Result::Failure(detail)) => detail.clone(),
        _ => String::new(),
    };
    assert!(failure(&answered[0]).starts_with("NO_SHARD"), "{answered:?}");
    assert_eq!(failure(&answered[1]), "", "the group answers for itself");
    assert!(failure(&answered[2]).starts_with("NO_SHARD"), "{answered:?}");
    // What the core takes for granted is checked before.
    assert!(failure(&answered[3]).starts_with("MALFORMED"), "{answered:?}");
    assert!(failure(&answered[4]).starts_with("MALFORMED"), "{answered:?}");
}

#[tokio::test]
async fn who_is_removed_while_it_talks_is_cut_off() {
    let world = World::founded(config(), 3, 1).await;
    world.bind(SHARD, 1).await;
    let leader = world.leader(SHARD).await;
    world.removed.lock().insert(NodeId(leader));
    let rest: Vec<u64> = world.ids().into_iter().filter(|id| *id != leader).collect();
    world.leader_among(SHARD, &rest).await;
    let confirmed = world.group(leader, SHARD).confirm(std::time::Duration::from_millis(700)).await;
    assert!(confirmed.is_err(), "nobody listens to a removed node");
}
