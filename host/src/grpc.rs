//! Tonic over whatever network the host hands in.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};

use crate::net::{Listener, Net, Peer, Stream};

/// How long a connection attempt between our own processes may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long nothing may have been heard on a connection that we made before the other side is asked whether it
/// lives. Far below a lease: what hangs on such a connection must not end with it.
pub const PING_AFTER: Duration = Duration::from_secs(2);

/// How long it may take to answer. A transport answers however busy its process is with requests; shorter
/// would cut off machines that only stall. A ping waits behind what was sent before it and a slow line has not
/// passed yet: who sends much must have little on the way.
pub const PING_TIMEOUT: Duration = Duration::from_secs(4);

/// How often a server checks an idle connection that others made to it, and how long the answer may take:
/// all that waits for it is what the server holds for a client that vanished.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Pause after a failed accept (descriptors ran out), so that the listener does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A channel to `host:port` that connects when first used and again after each loss. A connection that dies
/// without a word (a machine that lost its power, a firewall that forgot it) is given up [`PING_AFTER`] and
/// [`PING_TIMEOUT`] after the last thing heard on it; what was asked on it fails then.
///
/// # Errors
/// When the address is not `host:port`.
pub fn channel(net: Arc<dyn Net>, address: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(
        move |uri: tonic::codegen::http::Uri| {
            let net = net.clone();
            async move {
                let authority = uri.authority().ok_or(io::ErrorKind::InvalidInput)?;
                Ok::<_, io::Error>(TokioIo::new(net.connect(authority.as_str()).await?))
            }
        },
    )))
}

/// The connections of a listener, for tonic's `serve_with_incoming`.
pub fn incoming(
    listener: Box<dyn Listener>,
) -> impl futures_util::Stream<Item = io::Result<Incoming>> + Send {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let peer = Peer { address: Some(peer), ..Peer::default() };
                    return Some((Ok(Incoming { stream, peer }), listener));
                }
                // A failed accept is the matter of one connection, or passes; the port stays open.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    })
}

/// An accepted connection that tells each of its requests who the [`Peer`] is.
pub struct Incoming {
    stream: Box<dyn Stream>,
    peer: Peer,
}

impl Incoming {
    /// The peer's address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.peer.address
    }
}

impl Connected for Incoming {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Incoming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
