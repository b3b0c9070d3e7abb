//! A network with faults: real loopback sockets, wrapped so that a test can cut or hold what goes from
//! one node to another.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use orrery_host::system::SystemNet;
use orrery_host::{Listener, Net, Stream};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is wrong with the network. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Which node listens where.
    listening: BTreeMap<String, u64>,
    /// Pairs between which connections break and are refused, in either direction.
    cut: BTreeSet<(u64, u64)>,
    /// What is sent from the one to the other is kept.
    held: BTreeSet<(u64, u64)>,
    /// On connections older than this, made by the one to the other, everything is lost.
    lost: BTreeMap<(u64, u64), u64>,
    /// Connections made so far.
    made: u64,
    /// Counts the cuts, so that a connection knows those that happened while nobody looked at it.
    cuts: BTreeMap<(u64, u64), u64>,
    waiting: Vec<Waker>,
}

impl Faults {
    /// The network as one node sees it.
    pub(crate) fn net(&self, node: u64) -> Arc<dyn Net> {
        Arc::new(NodeNet { node, faults: self.clone() })
    }

    /// Breaks all connections between two nodes, and refuses new ones.
    pub(crate) fn cut(&self, one: u64, other: u64) {
        self.change(|state| {
            for pair in [(one, other), (other, one)] {
                state.cut.insert(pair);
                *state.cuts.entry(pair).or_default() += 1;
            }
        });
    }

    /// Keeps whatever `from` sends to `to`: a cut in one direction that no side is told of.
    pub(crate) fn hold(&self, from: u64, to: u64) {
        self.change(|state| {
            state.held.insert((from, to));
        });
    }

    /// Loses everything on the connections that `from` has made to `to` so far, without a word to either.
    /// New ones work. For good: those connections are not healed.
    #[allow(dead_code, reason = "not everybody who shares this loses connections")]
    pub(crate) fn lose_connections(&self, from: u64, to: u64) {
        self.change(|state| {
            state.lost.insert((from, to), state.made);
        });
    }

    /// Cuts a node off from these others.
    pub(crate) fn isolate(&self, node: u64, others: impl IntoIterator<Item = u64>) {
        for other in others.into_iter().filter(|other| *other != node) {
            self.cut(node, other);
        }
    }

    /// Everything works again; what was kept arrives.
    pub(crate) fn heal(&self) {
        self.change(|state| {
            state.cut.clear();
            state.held.clear();
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.0.lock();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        for waiter in waiting {
            waiter.wake();
        }
    }

    /// Whether bytes may pass; if not, the caller is woken when something changes.
    fn poll(&self, from: u64, to: u64, cuts: u64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        let happened = state.cuts.get(&(from, to)).copied().unwrap_or(0);
        if happened != cuts {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        // Also while all is well: an idle connection has to learn of a cut.
        state.waiting.retain(|waiting| !waiting.will_wake(cx.waker()));
        state.waiting.push(cx.waker().clone());
        match state.held.contains(&(from, to)) {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }
}

struct NodeNet {
    node: u64,
    faults: Faults,
}

impl Net for NodeNet {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let (node, faults) = (self.node, self.faults.clone());
        async move {
            let listener = SystemNet.listen(address).await?;
            let bound = listener.local_addr()?.to_string();
            faults.0.lock().listening.insert(bound, node);
            Ok(listener)
        }
        .boxed()
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let (from, faults, address) = (self.node, self.faults.clone(), address.to_owned());
        async move {
            let to = faults.0.lock().listening.get(&address).copied();
            let Some(to) = to else { return SystemNet.connect(&address).await };
            let cuts = {
                let state = faults.0.lock();
                if state.cut.contains(&(from, to)) {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                state.cuts.get(&(from, to)).copied().unwrap_or(0)
            };
            // A handshake needs both directions.
            for (from, to) in [(from, to), (to, from)] {
                std::future::poll_fn(|cx| faults.poll(from, to, cuts, cx)).await?;
            }
            let stream = SystemNet.connect(&address).await?;
            let number = {
                let mut state = faults.0.lock();
                state.made += 1;
                state.made
            };
            Ok(Box::new(FaultyStream { stream, from, to, cuts, number, faults }) as Box<dyn Stream>)
        }
        .boxed()
    }
}

/// The connecting side of a connection; whatever passes in either direction passes here.
struct FaultyStream {
    stream: Box<dyn Stream>,
    from: u64,
    to: u64,
    cuts: u64,
    number: u64,
    faults: Faults,
}

impl FaultyStream {
    fn poll(&self, from: u64, to: u64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.faults.poll(from, to, self.cuts, cx))?;
        let lost = self.faults.0.lock().lost.get(&(self.from, self.to)).copied();
        match lost.is_some_and(|lost| self.number <= lost) {
            // Never to be woken for anything but a cut.
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }
}

impl Stream for FaultyStream {
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>> {
        let Self { stream, from, to, cuts, number, faults } = *self;
        Ok(Box::new(Self { stream: stream.adopt()?, from, to, cuts, number, faults }))
    }
}

impl AsyncRead for FaultyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll(self.to, self.from, cx))?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for FaultyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll(self.from, self.to, cx))?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
