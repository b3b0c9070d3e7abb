//! The real machine: kernel sockets, the system clock, the kernel's randomness, tokio's runtimes.
//!
//! The one production place that names what clippy's lists forbid elsewhere.
#![allow(clippy::disallowed_methods)]

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::LocalSet;

use crate::clock::Clock;
use crate::net::{Listener, Net, Stream};
use crate::random::Random;
use crate::tasks::{Task, TaskFuture, Tasks, WorkerStart};

/// Length of a listener's accept queue: a storm of reconnects should wait here, not be refused.
const ACCEPT_QUEUE: i32 = 4096;

/// Wall time of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The kernel's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the kernel gives randomness once it has booted");
    }
}

/// The kernel's TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNet;

impl Net for SystemNet {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let listen = move || -> io::Result<Box<dyn Listener>> {
            let domain = socket2::Domain::for_address(address);
            let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(ACCEPT_QUEUE)?;
            Ok(Box::new(SystemListener(TcpListener::from_std(socket.into())?)))
        };
        std::future::ready(listen()).boxed()
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let address = address.to_owned();
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(SystemStream(stream)) as Box<dyn Stream>)
        }
        .boxed()
    }
}

struct SystemListener(TcpListener);

impl Listener for SystemListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        async {
            let (stream, peer) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(SystemStream(stream)) as Box<dyn Stream>, peer))
        }
        .boxed()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection of the system's.
#[derive(Debug)]
pub struct SystemStream(pub TcpStream);

impl Stream for SystemStream {
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Self(TcpStream::from_std(self.0.into_std()?)?)))
    }

    fn reset_on_drop(&self) {
        // Best effort: a connection that lingers is only a slower end.
        let _ = socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }
}

impl AsyncRead for SystemStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for SystemStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Tokio's runtimes and the machine's threads.
#[derive(Debug, Clone)]
pub struct SystemTasks(Handle);

impl SystemTasks {
    /// Spawns on the runtime that calls this.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn current() -> Self {
        Self(Handle::current())
    }

    /// Spawns on the given runtime.
    pub fn on(runtime: Handle) -> Self {
        Self(runtime)
    }
}

impl Tasks for SystemTasks {
    fn spawn_boxed(&self, _name: &'static str, task: TaskFuture) -> Task {
        Task::new(self.0.spawn(task))
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) -> TaskFuture {
        let done = self.0.spawn_blocking(work);
        async move {
            if let Err(error) = done.await
                && error.is_panic()
            {
                panic!("blocking work {name} panicked");
            }
        }
        .boxed()
    }

    fn worker(&self, name: String, start: WorkerStart) -> Task {
        let (ended_tx, ended) = tokio::sync::oneshot::channel::<()>();
        let (cancel, cancelled) = tokio::sync::oneshot::channel::<()>();
        std::thread::Builder::new()
            .name(name)
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a process that may start a thread may start its runtime");
                let local = LocalSet::new();
                local.block_on(&runtime, async move {
                    tokio::select! {
                        biased;
                        // Its owner dropped it.
                        _ = cancelled => {}
                        () = start() => {}
                    }
                });
                drop(local);
                drop(runtime);
                drop(ended_tx);
            })
            .expect("the machine can start a thread");
        Task::new(self.0.spawn(async move {
            // The sender lives as long as this task, so that cancelling the task cancels the worker.
            let _cancel = cancel;
            let _ = ended.await;
        }))
    }

    fn thread_time(&self) -> Duration {
        clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
    }
}
