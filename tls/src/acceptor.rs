//! Acceptor: shakes hands with whoever connects, or sends him away at little expense.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use orrery_host::{Clock, Stream};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::UnixTime;
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::certificates::Certificates;
use crate::limits::{HANDSHAKE_BYTES_MAX, REFUSED_UNREAD_MAX, TICKETS_PER_HANDSHAKE};
use crate::opening::Opening;
use crate::refusal::Refusal;
use crate::scratch::Scratch;
use crate::session::Session;
use crate::stream::TlsStream;
use crate::turn::Turn;

/// What is spoken within TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1, and WebSocket after it. A device that names its protocols has to name this one.
    Http,
    /// A protocol that has no name in TLS. What a device offers is ignored.
    Unnamed,
}

/// TLS cannot be set up: the machine has no randomness for the key of the tickets. Another try can help.
#[derive(Debug, thiserror::Error)]
#[error("tls cannot be set up: {0}")]
pub struct SetupError(#[from] rustls::Error);

/// Makes TLS connections of streams. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// Accepts TLS 1.2 and 1.3 with these certificates.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(certificates: Arc<Certificates>, speaks: Speaks) -> Result<Self, SetupError> {
        let time = Arc::new(Time(certificates.clock()));
        let mut config = ServerConfig::builder_with_details(certificates.provider(), time)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        if speaks == Speaks::Http {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        // The device keeps what is needed to come back; nothing is kept here, for however many.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new()?;
        config.send_tls13_tickets = TICKETS_PER_HANDSHAKE;
        Ok(Self { config: Arc::new(config) })
    }

    /// Shakes hands. The caller bounds the time, and boxes the future if it is to be part of a small one. Nothing of
    /// TLS is made before the first bytes have shown that it is TLS.
    ///
    /// # Errors
    /// [`Refusal`]; the device was told what can be told, and the stream is gone.
    pub async fn accept(&self, mut stream: Box<dyn Stream>) -> Result<Box<TlsStream>, Refusal> {
        let first = match first_bytes(&mut stream).await {
            Ok(first) => first,
            Err(refusal) => return Err(refuse(stream, refusal).await),
        };
        let session = match Session::new(self.config.clone()) {
            Ok(session) => session,
            Err(error) => return Err(refuse(stream, error.into()).await),
        };
        let mut tls = Box::new(TlsStream::new(stream, session));
        match shake_hands(&mut tls, first).await {
            Ok(()) => Ok(tls),
            Err(refusal) => {
                // The alert, if there is one, goes at once or not at all.
                let _ = poll_fn(|cx| Poll::Ready(tls.poll_send(cx))).await;
                Err(refuse(tls.into_inner(), refusal).await)
            }
        }
    }
}

/// Reads until it is clear that this is TLS.
async fn first_bytes(stream: &mut Box<dyn Stream>) -> Result<Vec<u8>, Refusal> {
    let mut first = Vec::new();
    loop {
        let len = poll_fn(|cx| {
            let mut scratch = Scratch::borrow();
            let room = scratch.received.len() - first.len();
            let mut bytes = ReadBuf::new(&mut scratch.received[..room]);
            Pin::new(&mut *stream).poll_read(cx, &mut bytes).map_ok(|()| {
                first.extend_from_slice(bytes.filled());
                bytes.filled().len()
            })
        });
        if len.await.map_err(Refusal::Io)? == 0 {
            return Err(Refusal::Truncated);
        }
        match Opening::of(&first) {
            None => {}
            Some(Opening::Tls) => return Ok(first),
            Some(Opening::Http) => return Err(Refusal::PlainHttp),
            Some(Opening::SslV2) => return Err(Refusal::SslV2),
            Some(Opening::NotTls) => return Err(Refusal::NotTls),
        }
    }
}

async fn shake_hands(tls: &mut TlsStream, mut bytes: Vec<u8>) -> Result<(), Refusal> {
    let mut turn = Turn::none();
    let mut received = 0;
    loop {
        received += bytes.len();
        turn.take().await;
        // There is no reader yet; what a device says together with its last word of the handshake waits for one.
        tls.session.receive(&mut bytes, &mut ReadBuf::new(&mut []))?;
        turn.wait(|cx| tls.poll_send(cx)).await.map_err(Refusal::Io)?;
        if !tls.session.is_handshaking() {
            return Ok(());
        }
        if received >= HANDSHAKE_BYTES_MAX {
            return Err(Refusal::HandshakeTooLong);
        }
        bytes = turn.wait(|cx| tls.poll_read_sealed(cx)).await.map_err(Refusal::Io)?;
        if bytes.is_empty() {
            return Err(Refusal::Truncated);
        }
    }
}

/// Ends a stream: says a last word, takes what is unread so that the kernel does not throw that away, and waits for
/// nothing.
async fn refuse(mut stream: Box<dyn Stream>, refusal: Refusal) -> Refusal {
    poll_fn(|cx| {
        let last_word = refusal.last_word();
        if !last_word.is_empty() {
            // A new connection has room for a line; where it does not, the word is lost.
            let _ = Pin::new(&mut stream).poll_write(cx, last_word);
        }
        let _ = Pin::new(&mut stream).poll_shutdown(cx);
        take_unread(&mut stream, cx);
        Poll::Ready(())
    })
    .await;
    refusal
}

fn take_unread(stream: &mut Box<dyn Stream>, cx: &mut Context<'_>) {
    let mut scratch = Scratch::borrow();
    let mut taken = 0;
    while taken < REFUSED_UNREAD_MAX {
        let mut bytes = ReadBuf::new(&mut scratch.received);
        match Pin::new(&mut *stream).poll_read(cx, &mut bytes) {
            Poll::Ready(Ok(())) if !bytes.filled().is_empty() => taken += bytes.filled().len(),
            _ => return,
        }
    }
}

/// The host's wall time, as rustls wants it.
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.wall_ms())))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}
