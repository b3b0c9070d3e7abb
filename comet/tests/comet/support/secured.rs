//! Secured: a comet that serves its devices within TLS too.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use orrery_comet::Config;
use orrery_host::{Host, LocalStream, Stream};

use super::device::{Device, Transport};
use super::json::JsonDevice;
use super::tls::{Files, Pair, connect, stream};
use super::web::Web;
use super::{Stage, soon};

/// A comet that serves TLS, with its certificate and where that is.
pub(crate) struct Secured {
    pub(crate) stage: Stage,
    pub(crate) files: Files,
    pub(crate) pair: Pair,
}

impl Secured {
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Host::system(), change).await
    }

    /// The same on another host.
    pub(crate) async fn on(host: Host, change: impl FnOnce(&mut Config)) -> Self {
        let pair = Pair::until(2060);
        let files = Files::of(&pair);
        let stage = Stage::on(host, |config| {
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

    /// The doors of a transport, without TLS and within.
    pub(crate) fn doors(&self, transport: Transport) -> [Door; 2] {
        let plain = match transport {
            Transport::Tcp => self.stage.comet.tcp_address(),
            Transport::WebSocket => self.stage.comet.websocket_address(),
        };
        [(plain, None), (self.address(transport), Some(self.pair.clone()))]
            .map(|(address, trusted)| Door { host: self.stage.host.clone(), address, trusted })
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

/// It is one with more doors.
impl Deref for Secured {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

/// Where a comet lets devices in, and what is trusted there where it is within TLS.
pub(crate) struct Door {
    host: Host,
    address: SocketAddr,
    trusted: Option<Pair>,
}

impl Door {
    /// Whether anybody listens there.
    pub(crate) async fn is_open(&self) -> bool {
        self.host.net.connect(&self.address.to_string()).await.is_ok()
    }

    /// # Errors
    /// When nobody listens there, or does not want to shake hands.
    pub(crate) async fn try_stream(&self) -> io::Result<Box<dyn Stream>> {
        match &self.trusted {
            None => self.host.net.connect(&self.address.to_string()).await,
            Some(trusted) => {
                let stream = connect(&self.host, self.address, trusted, &[]).await?;
                Ok(Box::new(LocalStream(stream)))
            }
        }
    }

    pub(crate) async fn stream(&self) -> Box<dyn Stream> {
        self.try_stream().await.expect("the comet lets it in")
    }

    pub(crate) async fn web(&self) -> Web {
        Web::over(self.stream().await)
    }

    pub(crate) async fn json(&self) -> JsonDevice {
        JsonDevice::over(self.stream().await).await
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.trusted.is_some() { "within TLS" } else { "without TLS" };
        write!(f, "the door at {} {how}", self.address)
    }
}
