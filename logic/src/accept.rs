//! Accept: takes the connections of a port, with a bound on how many there are at a time, and says who is
//! at the other end of each.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use orrery_host::{Host, Listener, Peer, Stream};
use tokio_util::sync::CancellationToken;

/// Pause after a failed accept (descriptors ran out), so that the listener does not spin.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Serves each connection in a task until stopped, then until those that are left have ended.
pub(crate) async fn accept<F>(
    listener: Box<dyn Listener>,
    connections_max: usize,
    host: Host,
    stopped: CancellationToken,
    serve: impl Fn(Box<dyn Stream>, Peer) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = stopped.cancelled() => break,
            Some(_) = connections.next() => {}
            accepted = listener.accept(), if connections.len() < connections_max => {
                match accepted {
                    Ok((stream, address)) => {
                        let peer = Peer { address: Some(address), ..Peer::default() };
                        let serving = serve(stream, peer);
                        connections.push(host.tasks.spawn("connection", serving).join());
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }
    drop(listener);
    while connections.next().await.is_some() {}
}
