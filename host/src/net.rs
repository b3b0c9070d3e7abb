//! Net: listeners and connections, as trait objects, so that simulation can hand in its own.

use std::io;
use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream to a peer.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Moves the stream to the runtime that calls this. A stream accepted on one runtime is driven by
    /// another (a connection belongs to one worker); call it there, before the first read or write.
    ///
    /// # Errors
    /// When the operating system refuses; the stream is lost then.
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>>;

    /// Bytes that came since the last call beside those that were read: what TLS puts around them. Whoever limits what a
    /// peer may send charges them too.
    fn take_overhead(&mut self) -> usize {
        0
    }

    /// Asks the kernel to reset the connection when it is dropped instead of letting it linger.
    fn reset_on_drop(&self) {}
}

/// A port that is being listened on.
pub trait Listener: Send + Sync {
    /// Waits for the next connection. Cancel-safe.
    fn accept(&self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>>;

    /// The address it is bound to (the real port where port 0 was asked for).
    ///
    /// # Errors
    /// When the operating system does not say.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Opens listeners and connections.
pub trait Net: Send + Sync {
    /// Listens on an address; port 0 takes any free one.
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;

    /// Connects to `host:port`. Has no timeout of its own.
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>>;
}

/// A role a process can have in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Holds replicas of shards.
    Router,
    /// The push API.
    Logic,
    /// Holds device connections.
    Comet,
    /// A backend that pushes.
    Backend,
    /// A person or script that operates the cluster.
    Operator,
}

/// Who is at the other end of a connection to one of our services, as its listener established it.
/// A request finds it in its extensions. Nothing establishes identities in dev, so there it is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// The peer's role, where its identity was established.
    pub role: Option<Role>,
    /// The peer's node id, where its identity was established.
    pub node: Option<u64>,
    /// The peer's address, where there is one.
    pub address: Option<SocketAddr>,
}
