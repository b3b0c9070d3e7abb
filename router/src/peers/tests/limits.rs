//! A peer that accepts and never answers, and how much it can make this node keep; and a connection that
//! is dead without a word.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use orrery_host::Host;
use orrery_host::grpc::{PING_AFTER, PING_TIMEOUT, incoming};
use orrery_model::NodeId;
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_proto::peers as wire;
use orrery_proto::peers::peers_server::{Peers, PeersServer};
use orrery_proto::peers::snapshot_part::Part;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status, Streaming};

use super::net::Faults;
use super::world::{PATIENCE, until};
use crate::limits::{LINK_SILENCE_MAX, PEER_MESSAGE_BYTES, PEER_QUEUE_BYTES_MAX};
use crate::metrics::PeerMetrics;
use crate::peers::{Link, Links, Me};

/// Takes whatever comes, notes its size, and says nothing.
#[derive(Clone, Default)]
struct Silent {
    sizes: Arc<Mutex<Vec<usize>>>,
    heartbeats: Arc<Mutex<usize>>,
    /// Takes only the first message.
    stuck: bool,
}

#[tonic::async_trait]
impl Peers for Silent {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<wire::AppendResponses, Status>> + Send>>;

    async fn vote(
        &self,
        _request: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteResponse>, Status> {
        std::future::pending().await
    }

    async fn append(
        &self,
        request: Request<Streaming<wire::AppendRequests>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let (this, mut requests) = (self.clone(), request.into_inner());
        requests.message().await?;
        let silence = stream::once(async move {
            if this.stuck {
                std::future::pending::<()>().await;
            }
            while let Ok(Some(message)) = requests.message().await {
                this.sizes.lock().push(message.encoded_len());
                let beats = message.requests.iter().filter(|request| request.heartbeat).count();
                *this.heartbeats.lock() += beats;
            }
            Err(Status::aborted("the stream has ended"))
        });
        Ok(Response::new(Box::pin(silence)))
    }

    async fn snapshot(
        &self,
        _request: Request<Streaming<wire::SnapshotPart>>,
    ) -> Result<Response<wire::SnapshotResponse>, Status> {
        std::future::pending().await
    }

    async fn transfer_leader(
        &self,
        _request: Request<wire::TransferLeaderRequest>,
    ) -> Result<Response<wire::TransferLeaderResponse>, Status> {
        std::future::pending().await
    }
}

/// Answers heartbeats, and votes if it should. Takes snapshots in and refuses them then.
#[derive(Clone, Default)]
pub(super) struct Prompt {
    votes: bool,
    streams: Arc<Mutex<usize>>,
}

#[tonic::async_trait]
impl Peers for Prompt {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<wire::AppendResponses, Status>> + Send>>;

    async fn vote(
        &self,
        _request: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteResponse>, Status> {
        if !self.votes {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(wire::VoteResponse::default()))
    }

    async fn append(
        &self,
        request: Request<Streaming<wire::AppendRequests>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        *self.streams.lock() += 1;
        let answers = request.into_inner().map(|message| {
            let answer = |request: wire::AppendRequest| wire::AppendResponse {
                lane: request.lane,
                id: request.id,
                result: Some(wire::append_response::Result::Matched(wire::Matched::default())),
            };
            let responses = message?.requests.into_iter().map(answer).collect();
            Ok(wire::AppendResponses { responses })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<wire::SnapshotPart>>,
    ) -> Result<Response<wire::SnapshotResponse>, Status> {
        let mut parts = request.into_inner();
        while parts.message().await?.is_some() {}
        Err(Status::aborted("the snapshot is refused"))
    }

    async fn transfer_leader(
        &self,
        _request: Request<wire::TransferLeaderRequest>,
    ) -> Result<Response<wire::TransferLeaderResponse>, Status> {
        std::future::pending().await
    }
}

async fn link_to(peer: impl Peers) -> (Arc<Link>, Arc<Links>, orrery_host::Task) {
    link_over(&Faults::default(), &PeerMetrics::default(), peer).await
}

async fn link_over(
    faults: &Faults,
    metrics: &PeerMetrics,
    peer: impl Peers,
) -> (Arc<Link>, Arc<Links>, orrery_host::Task) {
    let listener = faults.net(2).listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let host = Host { net: faults.net(1), ..Host::system() };
    let address = listener.local_addr().unwrap().to_string();
    let service = PeersServer::new(peer).max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX);
    let router = tonic::transport::Server::builder().add_service(service);
    let served = router.serve_with_incoming(incoming(listener));
    let server = host.tasks.spawn("test-peer", async move {
        let _ = served.await;
    });
    let links = Links::new(host, me(), metrics.clone(), |_| None);
    let link = links.link(NodeId(2), &address);
    (link, links, server)
}

pub(super) fn me() -> Me {
    Me {
        cluster_id: "test".to_owned(),
        node: NodeId(1),
        instance: "one".to_owned(),
        protocol: 2,
        instance_of: Default::default(),
    }
}

fn append(bytes: usize) -> wire::AppendRequest {
    wire::AppendRequest {
        shard: 1,
        entries: vec![Bytes::from(vec![7; bytes])],
        ..Default::default()
    }
}

#[tokio::test]
async fn a_peer_that_never_answers_ends_its_lanes_and_not_more_than_that() {
    let (faults, metrics) = (Faults::default(), PeerMetrics::default());
    let (link, _links, _server) = link_over(&faults, &metrics, Silent::default()).await;
    let mut lanes: Vec<_> = (0..5).map(|_| link.open_lane().unwrap()).collect();
    for lane in &lanes {
        lane.sender().room(10).await.unwrap().put(append(10));
    }
    let begun = Instant::now();
    for lane in &mut lanes {
        let error = timeout(PATIENCE, lane.answer()).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("does not answer"), "{error}");
    }
    assert!(begun.elapsed() >= LINK_SILENCE_MAX);
    drop(lanes);
    // Then it is tried anew.
    until("another stream is opened", || link.open_lane().is_ok()).await;
    let beat = link.heartbeat(wire::AppendRequest::default(), Duration::from_millis(50)).await;
    assert!(beat.is_err());
    assert_eq!(metrics.link(NodeId(2)).silent_heartbeats.get(), 1);
    let vote = link.vote(wire::VoteRequest::default(), Duration::from_millis(50)).await;
    assert!(vote.is_err());
}

#[tokio::test]
async fn a_message_holds_as_much_as_it_may_and_heartbeats_are_in_the_first() {
    let silent = Silent::default();
    let (link, _links, _server) = link_to(silent.clone()).await;
    let lane = link.open_lane().unwrap();
    let sender = lane.sender();
    // They gather while the connection is made.
    let requests = 12;
    for _ in 0..requests {
        sender.room(300 << 10).await.unwrap().put(append(300 << 10));
    }
    let beat = link.heartbeat(wire::AppendRequest::default(), Duration::from_millis(500));
    assert!(beat.await.is_err());
    until("all has arrived", || {
        silent.sizes.lock().iter().sum::<usize>() >= requests * (300 << 10)
    })
    .await;
    let sizes = silent.sizes.lock().clone();
    assert!(sizes.iter().all(|size| *size <= PEER_MESSAGE_BYTES + 1024), "{sizes:?}");
    assert!(sizes.len() < requests, "nothing was gathered: {sizes:?}");
    assert_eq!(*silent.heartbeats.lock(), 1);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_fills_the_queue_and_no_more() {
    let (faults, metrics) = (Faults::default(), PeerMetrics::default());
    let stuck = Silent { stuck: true, ..Silent::default() };
    let (link, _links, _server) = link_over(&faults, &metrics, stuck).await;
    let lane = link.open_lane().unwrap();
    let sender = lane.sender();
    let mut sent = 0;
    while let Ok(Ok(room)) = timeout(Duration::from_millis(300), sender.room(500 << 10)).await {
        room.put(append(500 << 10));
        sent += 500 << 10;
        assert!(sent < 64 << 20, "nothing stops it");
    }
    println!("{} KiB were taken off the sender's hands", sent >> 10);
    assert!(sent < 16 << 20);
    let queued = metrics.link(NodeId(2)).queued_bytes.get();
    assert!(usize::try_from(queued).unwrap() >= PEER_QUEUE_BYTES_MAX / 2, "{queued} bytes wait");
}

#[tokio::test]
async fn an_idle_stream_keeps_no_dead_connection_in_use_for_votes() {
    let (faults, metrics) = (Faults::default(), PeerMetrics::default());
    let peer = Prompt { votes: true, ..Prompt::default() };
    let (link, _links, _server) = link_over(&faults, &metrics, peer).await;
    link.heartbeat(wire::AppendRequest::default(), PATIENCE).await.unwrap();
    link.vote(wire::VoteRequest::default(), PATIENCE).await.unwrap();
    faults.lose_connections(1, 2);
    let lost = Instant::now();
    let vote = || link.vote(wire::VoteRequest::default(), Duration::from_millis(200));
    while vote().await.is_err() {
        // Its keep-alive would not even have asked.
        assert!(lost.elapsed() < PING_AFTER, "the dead connection is still in use");
    }
    println!("an answer after {:?}", lost.elapsed());
    link.heartbeat(wire::AppendRequest::default(), PATIENCE).await.unwrap();
    let counted = metrics.link(NodeId(2));
    // This peer answers the envelope too.
    assert_eq!((counted.sent_messages.get(), counted.received_messages.get()), (2, 4));
    assert!(counted.sent_bytes.get() > 0 && counted.received_bytes.get() > 0);
    assert_eq!(counted.broken.get(), 1);
}

#[tokio::test]
async fn a_vote_that_is_not_answered_breaks_no_connection_that_lives() {
    let peer = Prompt::default();
    let (link, _links, _server) = link_to(peer.clone()).await;
    for _ in 0..5 {
        let vote = link.vote(wire::VoteRequest::default(), Duration::from_millis(100));
        let heartbeat = link.heartbeat(wire::AppendRequest::default(), PATIENCE);
        let (vote, heartbeat) = tokio::join!(vote, heartbeat);
        assert!(vote.is_err() && heartbeat.is_ok(), "{vote:?} {heartbeat:?}");
    }
    assert_eq!(*peer.streams.lock(), 1);
}

#[tokio::test]
async fn what_is_sent_of_a_snapshot_and_that_it_is_refused_is_counted() {
    let (faults, metrics) = (Faults::default(), PeerMetrics::default());
    let (link, _links, _server) = link_over(&faults, &metrics, Prompt::default()).await;
    let part = |data| wire::SnapshotPart { part: Some(Part::Data(Bytes::from_static(data))) };
    let error = link.snapshot(stream::iter([part(b"one"), part(b"other")])).await.unwrap_err();
    assert!(error.to_string().contains("the snapshot is refused"), "{error}");
    let counted = metrics.link(NodeId(2));
    assert_eq!((counted.snapshot_bytes.get(), counted.refused.get()), (8, 1));
}

#[tokio::test]
async fn a_snapshot_under_way_on_a_connection_that_dies_is_given_up_soon() {
    let (faults, metrics) = (Faults::default(), PeerMetrics::default());
    let (link, _links, _server) = link_over(&faults, &metrics, Prompt::default()).await;
    let part = wire::SnapshotPart { part: Some(Part::Data(Bytes::from_static(b"some"))) };
    let (begun, begins) = oneshot::channel();
    let first = stream::once(async move {
        begun.send(()).unwrap();
        part
    });
    let sending = link.snapshot(first.chain(stream::pending()));
    let dies = async {
        begins.await.unwrap();
        faults.lose_connections(1, 2);
        Instant::now()
    };
    let (sent, died) = tokio::join!(sending, dies);
    sent.unwrap_err();
    let took = died.elapsed();
    assert!(took < PING_AFTER + PING_TIMEOUT + Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_snapshot_is_not_sent_on_a_connection_that_died_with_the_other_one() {
    let (faults, metrics) = (Faults::default(), PeerMetrics::default());
    let (link, _links, _server) = link_over(&faults, &metrics, Prompt::default()).await;
    let part = || wire::SnapshotPart { part: Some(Part::Data(Bytes::from_static(b"all"))) };
    let refused = "the snapshot is refused";
    let error = link.snapshot(stream::iter([part()])).await.unwrap_err();
    assert!(error.to_string().contains(refused), "{error}");
    let beat = || link.heartbeat(wire::AppendRequest::default(), LINK_SILENCE_MAX + PING_AFTER);
    beat().await.unwrap();
    faults.lose_connections(1, 2);
    beat().await.unwrap_err();
    let heard = async { while beat().await.is_err() {} };
    timeout(PATIENCE, heard).await.unwrap();
    // What is left of the old connection would take it, and say nothing until it is given up.
    let begun = Instant::now();
    let error = link.snapshot(stream::iter([part()])).await.unwrap_err();
    assert!(error.to_string().contains(refused), "{error}");
    assert!(begun.elapsed() < PING_AFTER, "{:?}", begun.elapsed());
}
