//! Listen: takes connections at the door and hands each to a worker.

pub(crate) mod websocket;

use std::sync::Arc;

use futures_util::FutureExt;
use orrery_host::{Listener, Stream};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::admission::Refused;
use crate::comet::Comet;
use crate::limits::ACCEPT_PAUSE;
use crate::mailbox::{Arrival, Transport, Workers};

/// Accepts connections for as long as it is owned.
pub(crate) async fn accept(
    comet: Arc<Comet>,
    workers: Workers,
    listener: Box<dyn Listener>,
    transport: Transport,
) {
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match comet.admission.admit(remote.ip()) {
            Ok(place) => {
                let deadline = Instant::now() + comet.config.handshake();
                let arrival = Arrival { stream, remote, transport, place, deadline };
                workers.arrived(arrival).await;
            }
            Err(refused) => refuse(&comet, stream, transport, refused),
        }
    }
}

/// Sends a device away at the least expense: nothing is read, nothing is waited for.
fn refuse(comet: &Comet, mut stream: Box<dyn Stream>, transport: Transport, refused: Refused) {
    comet.metrics.refused(refused);
    if transport == Transport::WebSocket {
        // A new connection has room for a line; where it does not, the hint is lost.
        let _ = stream.write_all(websocket::OVERLOADED).now_or_never();
    } else {
        stream.reset_on_drop();
    }
}
