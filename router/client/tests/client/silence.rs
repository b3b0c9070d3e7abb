//! Connections that die without a word: nothing arrives any more, in either direction, and nobody is told.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use orrery_host::grpc::{PING_AFTER, PING_TIMEOUT};
use orrery_host::{Host, Listener, Net, Stream};
use orrery_model::command::Command;
use orrery_proto::registry as wire;
use orrery_router_client::{Client, ClientError, Config};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::scripted::{Act, Scripted, bind, comet, fitting, soon, table, within};

/// When a silent connection has been given up for certain.
const GIVEN_UP: Duration = PING_AFTER.saturating_add(PING_TIMEOUT);

/// What making a new connection and asking again may take on a busy machine.
const MARGIN: Duration = Duration::from_secs(2);

/// The machine's network, on which the connections made so far can be cut without a word.
struct Severable {
    net: Arc<dyn Net>,
    made: AtomicUsize,
    severed: Mutex<Arc<AtomicBool>>,
}

impl Severable {
    fn new() -> Arc<Self> {
        let (made, severed) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { net: Host::system().net, made, severed })
    }

    /// How many connections were made.
    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    /// Cuts all connections made so far. New ones live.
    fn sever(&self) {
        std::mem::take(&mut *self.severed.lock()).store(true, Ordering::SeqCst);
    }
}

struct Shared(Arc<Severable>);

impl Net for Shared {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        self.0.net.listen(address)
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let (connected, net) = (self.0.net.connect(address), self.0.clone());
        Box::pin(async move {
            let stream = connected.await?;
            net.made.fetch_add(1, Ordering::SeqCst);
            let severed = net.severed.lock().clone();
            Ok(Box::new(Cable { stream, severed }) as Box<dyn Stream>)
        })
    }
}

/// A stream that takes what is written and tells nothing, once it is severed.
struct Cable {
    stream: Box<dyn Stream>,
    severed: Arc<AtomicBool>,
}

impl Cable {
    fn is_severed(&self) -> bool {
        self.severed.load(Ordering::SeqCst)
    }
}

impl Stream for Cable {
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>> {
        let Self { stream, severed } = *self;
        Ok(Box::new(Self { stream: stream.adopt()?, severed }))
    }
}

impl AsyncRead for Cable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.is_severed() {
            buf.set_filled(filled);
            return Poll::Pending;
        }
        read
    }
}

impl AsyncWrite for Cable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_severed() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A word of farewell would be one.
        Poll::Ready(Ok(()))
    }
}

/// A node that serves a table of one shard, and a client that reaches it over a network that can be cut.
async fn node() -> (Scripted, Client, Arc<Severable>) {
    let node = Scripted::start().await;
    node.serve_table("c", &table(1, &[1]), &[&node]);
    let net = Severable::new();
    let host = Host { net: Arc::new(Shared(net.clone())), ..Host::system() };
    let config = Config { nodes: vec![node.address.clone()], ..Config::default() };
    (node, Client::new(config, host), net)
}

#[tokio::test]
async fn a_connection_that_dies_without_a_word_is_replaced_before_a_lease_ends() {
    let (node, client, net) = node().await;
    node.on(fitting);
    client.write(bind("u", 1), soon()).await.unwrap();
    assert_eq!(net.made(), 1);

    net.sever();
    let cut = Instant::now();
    let until = cut + GIVEN_UP + MARGIN;
    assert!(until < cut + Duration::from_secs(10), "no lease would last so long");
    // Waits, and is asked again over the same connection as often as there is time.
    let (patient, hasty) =
        tokio::join!(client.write(bind("u", 2), until), client.write(bind("u", 3), within(500)));
    patient.unwrap().reply.unwrap();
    println!("an answer after {:?}", cut.elapsed());
    assert!(matches!(hasty.unwrap_err(), ClientError::Unknown { .. }), "it may have arrived");
    assert_eq!(net.made(), 2, "one connection took its place");

    // Everything that was asked of the shard is known by its identity; only what arrived is seen here.
    let written = node.seen().into_iter().filter_map(|request| match request.kind {
        Some(wire::request::Kind::Write(command)) => Command::try_from(command).ok(),
        _ => None,
    });
    assert_eq!(written.collect::<Vec<_>>(), [bind("u", 1), bind("u", 2)]);
}

#[tokio::test]
async fn what_has_no_session_to_watch_over_it_is_replaced_as_well() {
    let (node, client, net) = node().await;
    let alive = || Ok(wire::KeepAliveCometResponse { alive: true, superseded: false });
    node.will_keep_alive(alive());
    client.keep_alive(comet(), soon()).await.unwrap();
    net.sever();
    node.will_keep_alive(alive());
    let cut = Instant::now();
    client.keep_alive(comet(), cut + GIVEN_UP + MARGIN).await.unwrap();
    println!("an answer after {:?}", cut.elapsed());
    assert_eq!(net.made(), 2);
}

#[tokio::test]
async fn a_node_that_lives_and_answers_no_request_keeps_its_connection() {
    let (node, client, net) = node().await;
    node.on(|_| Act::Silence);
    let begun = Instant::now();
    let error = client.write(bind("u", 1), begun + GIVEN_UP + MARGIN).await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
    assert!(begun.elapsed() >= GIVEN_UP + MARGIN);
    assert_eq!(net.made(), 1, "it was only slow");
    node.on(fitting);
    client.write(bind("u", 1), soon()).await.unwrap().reply.unwrap();
    assert_eq!(net.made(), 1);
}
