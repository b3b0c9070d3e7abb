//! Door: a port where devices come in, and what is spoken there.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use orrery_host::{Host, Listener, Stream};
use orrery_tls::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::websocket;
use crate::admission::Refused;
use crate::comet::Comet;
use crate::error::StartError;
use crate::limits::{ACCEPT_PAUSE, REFUSAL_TIMEOUT, REFUSED_UNREAD_MAX};
use crate::mailbox::{Arrival, Transport};

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

    /// What is spoken there.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections for as long as it is owned.
    pub(crate) async fn accept(self, comet: Arc<Comet>) {
        loop {
            let (stream, remote) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let admitted = match (comet.drain.is_on(), self.transport) {
                (false, _) => comet.admission.admit(remote.ip()),
                // The requests of sessions that still live come in here too: whoever is none of theirs is refused once
                // it has said what it wants.
                (true, Transport::WebSocket) => comet.admission.hear_out(remote.ip()),
                (true, _) => Err(Refused::Draining),
            };
            match admitted {
                Ok(place) => {
                    let (transport, tls) = (self.transport, self.tls.clone());
                    let deadline = Instant::now() + comet.config.handshake();
                    let arrival = Arrival { stream, remote, transport, tls, place, deadline };
                    comet.workers.arrived(arrival).await;
                }
                Err(refused) => self.refuse(&comet, stream, refused).await,
            }
        }
    }

    /// Sends a device away at the least expense: nobody's answer is waited for. Who speaks HTTP is told when to come back.
    /// Within TLS a word would cost a handshake, and goim's protocol has none: there it is a reset.
    async fn refuse(&self, comet: &Comet, mut stream: Box<dyn Stream>, refused: Refused) {
        comet.metrics.refused(refused);
        if self.transport == Transport::WebSocket && self.tls.is_none() {
            let word = websocket::overloaded(comet.retry_after_s());
            // A new connection has room for a line, as soon as the runtime has noticed; else the hint is lost.
            let _ = timeout(REFUSAL_TIMEOUT, stream.write_all(word.as_bytes())).await;
            let unread = async {
                stream.shutdown().await?;
                // Closing with unread input would make some kernels throw the word away.
                stream.read(&mut [0; REFUSED_UNREAD_MAX]).await
            };
            let _ = unread.now_or_never();
        } else {
            stream.reset_on_drop();
        }
    }
}
