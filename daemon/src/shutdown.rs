//! The end of a process: asked for by Ctrl-C or SIGTERM, in order, within a deadline.

use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code of a process that was told to end and did not wait for it: 128 + SIGINT, as shells say it.
pub const IMPATIENT_EXIT: i32 = 130;

/// The signals that ask a process to end. Made before anything starts, so that none is missed.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to catch the signals.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal and tells its name. Cancel-safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// Runs an orderly end. A second signal hurries it, where it can be hurried; the next one ends the process at once.
    pub async fn or_exit<T>(
        &mut self,
        end: impl Future<Output = T>,
        hurry: Option<impl FnOnce()>,
    ) -> T {
        let mut end = pin!(end);
        if let Some(hurry) = hurry {
            tokio::select! {
                biased;
                // What is done is done: a signal that arrives with it changes nothing.
                ended = &mut end => return ended,
                name = self.next() => {
                    tracing::warn!(signal = name, "told twice to end: hurrying");
                    hurry();
                }
            }
        }
        tokio::select! {
            biased;
            // As above.
            ended = end => ended,
            name = self.next() => {
                tracing::warn!(signal = name, "told again to end: exiting at once");
                std::process::exit(IMPATIENT_EXIT);
            }
        }
    }
}

/// A part of the process and how it is stopped.
pub struct Step {
    name: &'static str,
    within: Duration,
    stop: BoxFuture<'static, ()>,
}

impl Step {
    /// A part that ends with the future, and how long it may take.
    pub fn new(
        name: &'static str,
        within: Duration,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self { name, within, stop: Box::pin(stop) }
    }
}

/// Stops parts one after the other, each within its own time, so that a late one takes none from those
/// after it. Returns the names of the late ones.
pub async fn in_order(steps: Vec<Step>) -> Vec<&'static str> {
    let mut late = Vec::new();
    for Step { name, within, stop } in steps {
        tracing::info!(part = name, "stopping");
        if tokio::time::timeout(within, stop).await.is_err() {
            tracing::warn!(part = name, "did not stop in time");
            late.push(name);
        }
    }
    late
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn parts_stop_in_order_and_a_late_one_takes_no_time_from_the_next() {
        let stopped = Arc::new(Mutex::new(Vec::new()));
        let step = |name: &'static str| {
            let stopped = stopped.clone();
            Step::new(name, Duration::from_secs(60), async move {
                tokio::task::yield_now().await;
                stopped.lock().unwrap().push(name);
            })
        };
        let never = Step::new("logic", Duration::from_millis(1), std::future::pending());
        let late = in_order(vec![step("comet"), never, step("router")]).await;
        assert_eq!(late, ["logic"]);
        assert_eq!(*stopped.lock().unwrap(), ["comet", "router"]);
    }
}
