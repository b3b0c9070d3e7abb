//! Net: the client's sockets. They come from many addresses, and end with a reset, so that the machine does
//! not run out of ports.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orrery_host::{Listener, Net, Stream, SystemStream};
use tokio::net::TcpSocket;

use crate::edge::limits::SOURCES;

/// The client's sockets. Connections to this machine come from addresses in 127.0.0.0/8 in turn; others
/// from where the kernel has them come from.
#[derive(Debug, Default)]
pub struct ClientNet {
    opened: AtomicU32,
}

impl Net for ClientNet {
    fn listen(&self, _: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let refused = io::Error::new(io::ErrorKind::Unsupported, "a client does not listen");
        std::future::ready(Err(refused)).boxed()
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let address = address.to_owned();
        let nth = self.opened.fetch_add(1, Ordering::Relaxed);
        async move {
            let peer = match address.parse() {
                Ok(peer) => peer,
                Err(_) => tokio::net::lookup_host(&address)
                    .await?
                    .next()
                    .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such host"))?,
            };
            let socket = if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            if let IpAddr::V4(ip) = peer.ip()
                && ip.is_loopback()
            {
                socket.bind(SocketAddr::from((source(std::process::id(), nth), 0)))?;
            }
            // Nothing waits in a socket that is thrown away, and no port stays taken for a minute.
            socket.set_zero_linger()?;
            socket.set_nodelay(true)?;
            let stream = socket.connect(peer).await?;
            Ok(Box::new(SystemStream(stream)) as Box<dyn Stream>)
        }
        .boxed()
    }
}

/// The nth address that a process's connections come from. Two processes at once have different ones, and
/// servers that are started here listen below them.
fn source(process: u32, nth: u32) -> Ipv4Addr {
    let [_, _, middle, low] = process.to_be_bytes();
    let nth = u8::try_from(nth % SOURCES).expect("there are few sources");
    Ipv4Addr::new(127, 128 + nth, middle, low.clamp(1, 254))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn sources_are_on_this_machine_many_and_another_process_has_others() {
        let of = |process| -> BTreeSet<_> { (0..1000).map(|nth| source(process, nth)).collect() };
        let (mine, theirs) = (of(4711), of(4712));
        assert_eq!(mine.len(), SOURCES as usize);
        assert!(mine.iter().all(Ipv4Addr::is_loopback));
        assert!(mine.is_disjoint(&theirs));
    }

    #[tokio::test]
    async fn a_connection_that_is_thrown_away_is_reset() {
        use tokio::io::AsyncReadExt;

        let host = orrery_host::Host::system();
        let listener = host.net.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let net = ClientNet::default();
        for nth in 0..3 {
            let stream = net.connect(&address).await.unwrap();
            let (mut accepted, peer) = listener.accept().await.unwrap();
            assert_eq!(peer.ip(), source(std::process::id(), nth));
            drop(stream);
            let error = accepted.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }
}
