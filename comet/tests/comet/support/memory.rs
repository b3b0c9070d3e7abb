//! Memory: a network on which devices cost no descriptors. Our own processes use the machine's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use orrery_host::system::SystemNet;
use orrery_host::{Listener, LocalStream, Net, Stream};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

use super::device::frame;

/// Where devices come in: no machine listens there.
pub(crate) const DOOR: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 3101);

/// How many bytes fit between the comet and a device that connects to [`DOOR`].
const DOOR_BYTES: usize = 4096;

type Accepted = (Box<dyn Stream>, SocketAddr);

/// The machine's network, but for [`DOOR`].
#[derive(Clone)]
pub(crate) struct MemoryNet {
    coming: mpsc::UnboundedSender<Accepted>,
    door: Arc<Mutex<Option<mpsc::UnboundedReceiver<Accepted>>>>,
}

impl MemoryNet {
    pub(crate) fn new() -> Self {
        let (coming, door) = mpsc::unbounded_channel();
        Self { coming, door: Arc::new(Mutex::new(Some(door))) }
    }

    /// Connects a device, between which and the comet so many bytes fit.
    fn device(&self, bytes: usize) -> DuplexStream {
        let (ours, theirs) = duplex(bytes);
        let came = self.coming.send((Box::new(LocalStream(theirs)), DOOR));
        assert!(came.is_ok(), "somebody listens");
        ours
    }

    /// A device over TCP that was authenticated with a token.
    pub(crate) async fn authenticated(&self, token: &str, bytes: usize) -> DuplexStream {
        let mut device = self.device(bytes);
        device.write_all(&frame(7, 1, token.as_bytes()).encode()).await.unwrap();
        device.read_exact(&mut [0; 16]).await.unwrap();
        device
    }
}

impl Net for MemoryNet {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        if address != DOOR {
            return SystemNet.listen(address);
        }
        let door = self.door.lock().take().expect("one listens there");
        Box::pin(async { Ok(Box::new(Door(tokio::sync::Mutex::new(door))) as Box<dyn Listener>) })
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        if address != DOOR.to_string() {
            return SystemNet.connect(address);
        }
        let device = self.device(DOOR_BYTES);
        Box::pin(async { Ok(Box::new(LocalStream(device)) as Box<dyn Stream>) })
    }
}

struct Door(tokio::sync::Mutex<mpsc::UnboundedReceiver<Accepted>>);

impl Listener for Door {
    fn accept(&self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async {
            match self.0.lock().await.recv().await {
                Some(accepted) => Ok(accepted),
                None => std::future::pending().await,
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(DOOR)
    }
}
