//! Runtimes: Raft has one to itself, so that a busy edge never delays a heartbeat between replicas.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::limits::{RAFT_THREADS_MAX, RUNTIME_STOP_TIMEOUT};

/// The runtimes of a process. Comet's workers are threads of their own besides.
#[derive(Debug)]
pub struct Runtimes {
    services: Runtime,
    raft: Runtime,
}

impl Runtimes {
    /// Starts the threads: as many in each runtime as the machine has cores.
    ///
    /// # Errors
    /// When the machine gives no threads or descriptors.
    pub fn start() -> io::Result<Self> {
        Self::with_threads(cores()?)
    }

    /// Starts at most this many threads in each runtime, at least one.
    ///
    /// # Errors
    /// As [`Runtimes::start`].
    pub fn with_threads(threads: usize) -> io::Result<Self> {
        Ok(Self {
            services: runtime("services", threads.max(1))?,
            raft: runtime("raft", threads.clamp(1, RAFT_THREADS_MAX))?,
        })
    }

    /// Where the router runs.
    pub fn raft(&self) -> &Handle {
        self.raft.handle()
    }

    /// Where everything else runs.
    pub fn services(&self) -> &Handle {
        self.services.handle()
    }

    /// Drives a future to its end on this thread, with the services' runtime around it.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.services.block_on(future)
    }

    /// Ends all threads, waiting a bounded time for work that blocks.
    pub fn stop(self) {
        self.services.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
        self.raft.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    }
}

/// How many cores this process may use.
///
/// # Errors
/// When the machine does not say.
pub fn cores() -> io::Result<usize> {
    Ok(std::thread::available_parallelism()?.get())
}

fn runtime(name: &str, threads: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().thread_name(name).worker_threads(threads).enable_all().build()
}
