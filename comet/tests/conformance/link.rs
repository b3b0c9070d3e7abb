//! Link: a wire between a comet and its logic that can be held up.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Forwards connections. While it is held up nothing passes in either direction, and nothing is lost.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
    _forwarding: JoinSet<()>,
}

impl Link {
    /// A link to an address.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(watch::Sender::new(true));
        let gate = open.subscribe();
        let mut forwarding = JoinSet::new();
        forwarding.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let gate = gate.clone();
                connections.spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    let ((near_in, near_out), (far_in, far_out)) =
                        (near.into_split(), far.into_split());
                    tokio::join!(
                        forward(near_in, far_out, gate.clone()),
                        forward(far_in, near_out, gate)
                    );
                });
            }
        });
        Self { address, open, _forwarding: forwarding }
    }

    /// Holds everything up, or lets it pass again.
    pub(crate) fn hold(&self, held: bool) {
        self.open.send_replace(!held);
    }
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut gate: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if gate.wait_for(|open| *open).await.is_err() || to.write_all(&bytes[..read]).await.is_err()
        {
            return;
        }
    }
}
