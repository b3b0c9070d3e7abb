//! Port: takes the connections of a listener, with a bound on how many there are at a time, and ends them in
//! order. What is spoken on them is its user's matter.

use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use orrery_host::{Host, Listener, Peer, Stream};
use tokio_util::sync::CancellationToken;

/// Pause after a failed accept (descriptors ran out), so that the listener does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A port before it is served.
pub(crate) struct Port {
    /// What logs call it.
    pub(crate) name: &'static str,
    /// Where connections come from.
    pub(crate) listener: Box<dyn Listener>,
    /// Most connections at a time; more wait in the listener's queue.
    pub(crate) connections_max: usize,
    /// Where they run.
    pub(crate) host: Host,
    /// Ends it.
    pub(crate) stopped: CancellationToken,
}

impl Port {
    /// Serves each connection in a task until stopped, then until the requests under way are answered.
    /// `open` speaks with whoever is at the other end; `close` has a connection take no more requests.
    pub(crate) async fn serve<C>(
        self,
        open: impl Fn(Box<dyn Stream>, Peer) -> C,
        close: fn(Pin<&mut C>),
    ) where
        C: Future<Output = hyper::Result<()>> + Send + 'static,
    {
        let Self { name, listener, connections_max, host, stopped } = self;
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
                            let serving = drive(open(stream, peer), close, stopped.clone(), name);
                            connections.push(host.tasks.spawn("connection", serving).join());
                        }
                        Err(error) => {
                            tracing::debug!(%error, name, "a connection could not be accepted");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
        drop(listener);
        while connections.next().await.is_some() {}
    }
}

async fn drive<C>(connection: C, close: fn(Pin<&mut C>), stopped: CancellationToken, name: &str)
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stopped.cancelled() => {
            close(connection.as_mut());
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, name, "a connection broke");
    }
}

#[cfg(test)]
impl Port {
    /// A port on a free number of this machine.
    pub(crate) async fn any(host: &Host) -> Self {
        Self {
            name: "port",
            listener: host.net.listen("127.0.0.1:0".parse().unwrap()).await.unwrap(),
            connections_max: 1,
            host: host.clone(),
            stopped: CancellationToken::new(),
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_connection_above_the_bound_waits_until_one_has_ended() {
        let host = Host::system();
        let port = Port::any(&host).await;
        let (address, stopped) = (port.address(), port.stopped.clone());
        let (opened, mut openings) = mpsc::unbounded_channel();
        let open = move |mut stream: Box<dyn Stream>, peer: Peer| {
            opened.send(peer.address).unwrap();
            async move {
                // Until the other end says something, or goes.
                let _ = stream.read_u8().await;
                Ok(())
            }
        };
        let serving = host.tasks.spawn(port.name, port.serve(open, |_| ()));
        let mut first = host.net.connect(&address).await.unwrap();
        openings.recv().await.unwrap();
        let second = host.net.connect(&address).await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(openings.try_recv().is_err(), "the bound is one");
        first.write_all(b"x").await.unwrap();
        openings.recv().await.unwrap();
        drop(second);
        stopped.cancel();
        assert!(serving.join().await);
    }
}
