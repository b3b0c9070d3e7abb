//! Secured: a comet that serves its devices within TLS too.

use std::net::SocketAddr;
use std::time::Duration;

use orrery_comet::Config;
use orrery_host::Stream;

use super::device::{Device, Transport};
use super::tls::{Files, Pair, stream};
use super::{Stage, soon};

/// A comet that serves TLS, with its certificate and where that is.
pub(crate) struct Secured {
    pub(crate) stage: Stage,
    pub(crate) files: Files,
    pub(crate) pair: Pair,
}

impl Secured {
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let pair = Pair::until(2060);
        let files = Files::of(&pair);
        let stage = Stage::with(|config| {
            config.tls = files.config();
            change(config);
        })
        .await;
        Self { stage, files, pair }
    }

    pub(crate) fn address(&self, transport: Transport) -> SocketAddr {
        let comet = &self.stage.comet;
        let address = match transport {
            Transport::Tcp => comet.tls_tcp_address(),
            Transport::WebSocket => comet.tls_websocket_address(),
        };
        address.expect("it is listened on")
    }

    /// A connection without TLS to a port for it.
    pub(crate) async fn plain(&self, transport: Transport) -> Box<dyn Stream> {
        self.stage.host.net.connect(&self.address(transport).to_string()).await.unwrap()
    }

    pub(crate) async fn stream(&self, transport: Transport) -> Box<dyn Stream> {
        stream(&self.stage.host, self.address(transport), &self.pair).await
    }

    pub(crate) async fn device(&self, transport: Transport, token: &str) -> Device {
        let mut device = Device::over(self.stream(transport).await, transport).await;
        device.authenticate(token).await;
        device
    }

    pub(crate) fn refused(&self, reason: &str) -> u64 {
        self.stage.counted_for("tls_handshakes_refused", "reason", reason)
    }

    /// Waits until so many handshakes were refused for a reason.
    pub(crate) async fn refusals(&self, reason: &str, count: u64) {
        soon("the refusal is counted", async {
            while self.refused(reason) < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        assert_eq!(self.refused(reason), count, "{reason}");
    }
}
