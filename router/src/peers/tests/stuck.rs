//! A node whose disk hangs: how much of what its peers send it keeps.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use orrery_host::Host;
use orrery_model::command::{Batch, Command};
use orrery_proto::peers as wire;
use orrery_proto::peers::append_response::Result as Answer;
use orrery_proto::peers::peers_client::PeersClient;
use orrery_proto::storage;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Streaming;

use super::world::{PATIENCE, SHARD, World, bind_with, config, identity, until};
use crate::limits::BACKLOG_BYTES_MAX;
use crate::raft::entry::encode_entry;
use crate::raft::types::{Entry, LogId, Payload};

/// Node 2, as it leads the shard and sends to node 1.
struct Leader {
    send: mpsc::Sender<wire::AppendRequests>,
    answers: Streaming<wire::AppendResponses>,
    lane: u64,
}

impl Leader {
    async fn connect(world: &World) -> Self {
        let channel = orrery_host::grpc::channel(Host::system().net, &world.address(1)).unwrap();
        let (send, mut messages) = mpsc::channel(1);
        let envelope = wire::Envelope {
            cluster_id: "test".to_owned(),
            shard: SHARD.0,
            from: 2,
            from_instance: identity(2).instance,
            to: 1,
            protocol: 2,
            to_instance: identity(1).instance,
        };
        let hello = wire::AppendRequests { envelope: Some(envelope), ..Default::default() };
        send.send(hello).await.unwrap();
        let messages = stream::poll_fn(move |cx| messages.poll_recv(cx));
        let answers = PeersClient::new(channel).append(messages).await.unwrap().into_inner();
        Self { send, answers, lane: 0 }
    }

    /// Sends these entries on a new lane, one a request, and closes it without waiting.
    async fn send(&mut self, entries: &[bytes::Bytes]) {
        self.lane += 1;
        for (index, entry) in (0..).zip(entries) {
            let vote = storage::Vote { version: 1, term: 1, node: Some(2), committed: true };
            let request = wire::AppendRequest {
                shard: SHARD.0,
                lane: self.lane,
                id: index + 1,
                vote: Some(vote),
                previous: index.checked_sub(1).map(|index| storage::LogId { term: 1, index }),
                entries: vec![entry.clone()],
                ..Default::default()
            };
            self.message(vec![request], Vec::new()).await;
        }
    }

    async fn close(&self) {
        self.message(Vec::new(), vec![self.lane]).await;
    }

    async fn message(&self, requests: Vec<wire::AppendRequest>, closed: Vec<u64>) {
        let message = wire::AppendRequests { envelope: None, requests, closed };
        self.send.send(message).await.unwrap();
    }

    /// The next answer on the newest lane.
    async fn answer(&mut self) -> Answer {
        let answer = async {
            loop {
                let message = self.answers.next().await.unwrap().unwrap();
                let mut answers = message.responses.into_iter();
                if let Some(answer) = answers.find(|answer| answer.lane == self.lane) {
                    return answer.result.unwrap();
                }
            }
        };
        timeout(PATIENCE, answer).await.expect("an answer in time")
    }
}

/// About as many bytes as a lane may have under way, in four entries.
fn entries() -> Vec<bytes::Bytes> {
    let device = "d".repeat(250);
    let mut conn = 0;
    let entry = |index| {
        let mut commands: Vec<Command> = Vec::new();
        for _ in 0..3_300 {
            conn += 1;
            commands.push(bind_with(conn, &device));
        }
        let batch = Batch { elapsed_ms: index + 1, wall_ms: 0, commands };
        let log_id = LogId::new(openraft::vote::leader_id_std::CommittedLeaderId::new(1), index);
        let payload = openraft::EntryPayload::Normal(Payload::Data(Arc::new(batch)));
        encode_entry(&Entry { log_id, payload })
    };
    (0..4).map(entry).collect()
}

fn overloaded(answer: &Answer) -> bool {
    matches!(answer, Answer::Failure(detail) if detail.starts_with("OVERLOADED"))
}

#[tokio::test]
async fn what_lanes_leave_with_a_core_that_hangs_is_bounded() {
    let world = World::blank(config(), 1, 1).await;
    let entries = entries();
    let lane: usize = entries.iter().map(bytes::Bytes::len).sum();
    assert!(2 * lane <= BACKLOG_BYTES_MAX && 2 * lane + entries[0].len() > BACKLOG_BYTES_MAX);
    let (store, group) = (world.node(1).store.clone(), world.group(1, SHARD));
    store.shut();
    // It gives each lane up after a while and begins another one.
    let mut leader = Leader::connect(&world).await;
    for lanes in 1..=2 {
        leader.send(&entries).await;
        let left = BACKLOG_BYTES_MAX - lanes * lane;
        until("all is taken", || group.backlog().room_left() <= left).await;
        leader.close().await;
    }
    leader.send(&entries).await;
    let refused = leader.answer().await;
    assert!(overloaded(&refused), "{refused:?}");

    // Another connection is no way around it.
    drop(leader);
    let backlog = group.backlog();
    until("the first one is gone", || Arc::strong_count(&backlog) == 2).await;
    let mut leader = Leader::connect(&world).await;
    leader.send(&entries).await;
    let refused = leader.answer().await;
    assert!(overloaded(&refused), "{refused:?}");
    leader.close().await;

    // Once the disk is back so is the room.
    store.open();
    until("all is answered", || group.backlog().room_left() == BACKLOG_BYTES_MAX).await;
    leader.send(&entries).await;
    let taken = leader.answer().await;
    assert!(matches!(taken, Answer::Matched(_)), "{taken:?}");
    until("all of it is there", || group.progress().last_index == 3).await;
}
