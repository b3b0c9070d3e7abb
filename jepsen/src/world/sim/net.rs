//! The simulated network, as the servers take it.

use std::io;
use std::net::SocketAddr;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use orrery_host::{Listener, LocalStream, Net, Stream};
use turmoil::net::{TcpListener, TcpStream};

/// The network of the host that uses it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimNet;

impl Net for SimNet {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(SimListener(listener)) as Box<dyn Listener>)
        }
        .boxed()
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let address = address.to_owned();
        async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(LocalStream(stream)) as Box<dyn Stream>)
        }
        .boxed()
    }
}

struct SimListener(TcpListener);

impl Listener for SimListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        async {
            let (stream, peer) = self.0.accept().await?;
            Ok((Box::new(LocalStream(stream)) as Box<dyn Stream>, peer))
        }
        .boxed()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
