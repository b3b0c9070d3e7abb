//! Handshake: what comes before a device's first word, TLS and WebSocket, as its door wants it.

use orrery_comet_core::Dialect;
use orrery_host::Stream;
use orrery_tls::Acceptor;
use tokio::time::{Instant, timeout_at};

use super::websocket;
use crate::comet::Comet;
use crate::mailbox::Transport;

/// Shakes hands with a device that has until the deadline. `None` where nothing came of it; the device was told as
/// far as it can be, and its stream is gone. The caller boxes it, so that an idle connection does not keep its memory.
pub(crate) async fn shake_hands(
    comet: &Comet,
    stream: Box<dyn Stream>,
    transport: Transport,
    tls: Option<Acceptor>,
    deadline: Instant,
) -> Option<(Box<dyn Stream>, Dialect)> {
    let stream = match tls {
        Some(tls) => secure(comet, &tls, stream, deadline).await?,
        None => stream,
    };
    match transport {
        Transport::Tcp => Some((stream, Dialect::Tcp)),
        Transport::WebSocket => timeout_at(deadline, websocket::upgrade(stream)).await.ok()?.ok(),
    }
}

async fn secure(
    comet: &Comet,
    tls: &Acceptor,
    stream: Box<dyn Stream>,
    deadline: Instant,
) -> Option<Box<dyn Stream>> {
    let reason = match timeout_at(deadline, tls.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(refusal)) => {
            tracing::debug!(%refusal, "a device did not get through the handshake of TLS");
            refusal.name()
        }
        Err(_) => "timeout",
    };
    comet.metrics.tls_handshake_refused(reason);
    None
}
