//! A line on which little passes in a second: what is sent waits in the sender's own machine, and pings wait
//! behind it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, stream};
use orrery_host::grpc::{PING_AFTER, PING_TIMEOUT};
use orrery_host::{Host, Listener, LocalStream, Net, Stream};
use orrery_model::NodeId;
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_proto::peers as wire;
use orrery_proto::peers::peers_server::PeersServer;
use orrery_proto::peers::snapshot_part::Part;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::limits::{Prompt, me};
use crate::limits::{
    PEER_CONNECTION_WINDOW_BYTES, PEER_STREAM_WINDOW_BYTES, SNAPSHOT_PART_BYTES,
    SNAPSHOT_PART_TIMEOUT,
};
use crate::metrics::PeerMetrics;
use crate::peers::Links;

/// What a machine takes of a connection before its network does: as much as Linux lets one have.
const KEPT_BYTES: usize = 4 << 20;

/// What passes at a time.
const PIECE_BYTES: usize = 16 << 10;

/// A network of narrow lines to one peer, in memory.
struct Narrow {
    piece_takes: Duration,
    connected: mpsc::UnboundedSender<DuplexStream>,
}

impl Net for Narrow {
    fn listen(&self, _: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        unreachable!("it only connects")
    }

    fn connect(&self, _: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let (near, kept) = tokio::io::duplex(KEPT_BYTES);
        let (line, far) = tokio::io::duplex(PIECE_BYTES);
        let (mut sent, mut told) = tokio::io::split(kept);
        let (mut answers, mut passed) = tokio::io::split(line);
        let piece_takes = self.piece_takes;
        tokio::spawn(async move {
            let mut piece = vec![0; PIECE_BYTES];
            while let Ok(length @ 1..) = sent.read(&mut piece).await {
                sleep(piece_takes.mul_f64(length as f64 / PIECE_BYTES as f64)).await;
                passed.write_all(&piece[..length]).await?;
            }
            passed.shutdown().await
        });
        tokio::spawn(async move { tokio::io::copy(&mut answers, &mut told).await });
        self.connected.send(far).unwrap();
        async move { Ok(Box::new(LocalStream(near)) as Box<dyn Stream>) }.boxed()
    }
}

#[tokio::test]
async fn a_snapshot_gets_through_a_line_on_which_a_ping_waits_behind_it_for_long() {
    // Much faster than a part must be, and still a ping waits for longer than others may.
    let bytes_per_second = 700 << 10;
    assert!(bytes_per_second > 3 * SNAPSHOT_PART_BYTES / SNAPSHOT_PART_TIMEOUT.as_secs() as usize);
    assert!(KEPT_BYTES > bytes_per_second * PING_TIMEOUT.as_secs() as usize);
    let piece_takes = Duration::from_secs(1).mul_f64(PIECE_BYTES as f64 / bytes_per_second as f64);
    let (connected, lines) = mpsc::unbounded_channel();
    let host = Host { net: Arc::new(Narrow { piece_takes, connected }), ..Host::system() };
    let service =
        PeersServer::new(Prompt::default()).max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX);
    let router = tonic::transport::Server::builder()
        .initial_stream_window_size(PEER_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(PEER_CONNECTION_WINDOW_BYTES)
        .add_service(service);
    let lines = stream::unfold(lines, |mut lines| async move {
        Some((io::Result::Ok(lines.recv().await?), lines))
    });
    let server = tokio::spawn(router.serve_with_incoming(lines));

    let links = Links::new(host, me(), PeerMetrics::default(), |_| None);
    let link = links.link(NodeId(2), "peer:1");
    let part = wire::SnapshotPart { part: Some(Part::Data(vec![7; SNAPSHOT_PART_BYTES].into())) };
    let begun = Instant::now();
    let error = link.snapshot(stream::iter(vec![part; 6])).await.unwrap_err();
    assert!(error.to_string().contains("the snapshot is refused"), "it did not arrive: {error}");
    assert!(begun.elapsed() > PING_AFTER + PING_TIMEOUT);
    server.abort();
}
