//! Door: a port where devices come in, and what is spoken there.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use orrery_host::{Host, Listener, Stream};
use orrery_tls::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use super::websocket;
use crate::admission::Refused;
use crate::comet::Comet;
use crate::error::StartError;
use crate::limits::ACCEPT_PAUSE;
use crate::mailbox::{Arrival, Transport, Workers};

/// A port where devices come in.
pub(crate) struct Door {
    listener: Box<dyn Listener>,
    address: SocketAddr,
    transport: Transport,
    tls: Option<Acceptor>,
}

impl Door {
    /// Listens. With an acceptor the transport is spoken within TLS.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub(crate) async fn open(
        host: &Host,
        address: SocketAddr,
        transport: Transport,
        tls: Option<Acceptor>,
    ) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen { address, source };
        let listener = host.net.listen(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, transport, tls })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections for as long as it is owned.
    pub(crate) async fn accept(self, comet: Arc<Comet>, workers: Workers) {
        loop {
            let (stream, remote) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match comet.admission.admit(remote.ip()) {
                Ok(place) => {
                    let (transport, tls) = (self.transport, self.tls.clone());
                    let deadline = Instant::now() + comet.config.handshake();
                    let arrival = Arrival { stream, remote, transport, tls, place, deadline };
                    workers.arrived(arrival).await;
                }
                Err(refused) => self.refuse(&comet, stream, refused),
            }
        }
    }

    /// Sends a device away at the least expense: nothing is read, nothing is waited for. Within TLS a word would cost
    /// a handshake, and outside of it nobody there would understand it.
    fn refuse(&self, comet: &Comet, mut stream: Box<dyn Stream>, refused: Refused) {
        comet.metrics.refused(refused);
        if self.transport == Transport::WebSocket && self.tls.is_none() {
            // A new connection has room for a line; where it does not, the hint is lost.
            let _ = stream.write_all(websocket::OVERLOADED).now_or_never();
        } else {
            stream.reset_on_drop();
        }
    }
}
