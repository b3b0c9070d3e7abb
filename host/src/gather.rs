//! Gather: lets what comes right after a message of a stream leave with the next one, not in one of its own. The
//! first message after a pause leaves at once, and so does one that is in a hurry. A message costs both ends much the
//! same whatever is in it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Whoever has less time than this waits for nobody: a push meets two gatherings, each of which may take two milliseconds
/// where its window is one.
pub const HURRY_BELOW: Duration = Duration::from_millis(10);

/// When the next message of a stream may leave.
#[derive(Debug)]
pub struct Gather {
    window: Duration,
    next: Instant,
    hurry: Hurry,
}

/// Says that something for the next message has no time to wait. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hurry(Arc<Notify>);

impl Hurry {
    /// The next message may leave at once. Call it when what is in a hurry is in the queue.
    pub fn hurry(&self) {
        self.0.notify_one();
    }
}

impl Gather {
    /// Messages leave no sooner one after the other than this. Timers know milliseconds only, so that it may be up
    /// to one longer.
    pub fn new(window: Duration) -> Self {
        Self::hurried(window, Hurry::default())
    }

    /// The same where somebody may say that there is no time.
    pub fn hurried(window: Duration, hurry: Hurry) -> Self {
        Self { window, next: Instant::now(), hurry }
    }

    /// A message left just now.
    pub fn sent(&mut self) {
        self.next = Instant::now() + self.window;
    }

    /// Waits until a message may leave. Cancel-safe.
    pub async fn ready(&self) {
        // No timer where it may: that is most of the time.
        if Instant::now() < self.next {
            tokio::select! {
                biased;
                () = self.hurry.0.notified() => {}
                () = sleep_until(self.next) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn after_a_message_the_next_one_waits_and_after_a_pause_it_does_not() {
        let mut gather = Gather::new(WINDOW);
        assert!(gather.ready().now_or_never().is_some());
        let before = Instant::now();
        gather.sent();
        assert!(gather.ready().now_or_never().is_none());
        gather.ready().await;
        assert!(before.elapsed() >= WINDOW);
        assert!(gather.ready().now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_is_in_a_hurry_waits_for_nothing() {
        let hurry = Hurry::default();
        let mut gather = Gather::hurried(WINDOW, hurry.clone());
        gather.sent();
        assert!(gather.ready().now_or_never().is_none());
        hurry.hurry();
        assert!(gather.ready().now_or_never().is_some());
        gather.sent();
        assert!(gather.ready().now_or_never().is_none(), "it was only that one");
    }
}
