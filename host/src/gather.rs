//! Gather: lets what comes right after a message of a stream leave with the next one, not in one of its own. The
//! first message after a pause leaves at once, and so does one that is in a hurry. A message costs both ends much the
//! same whatever is in it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Whoever has less time than this waits for nobody: a push meets two gatherings, each of which may take two milliseconds
/// where its window is one.
const HURRY_BELOW: Duration = Duration::from_millis(10);

/// Whether what is to be answered within so many milliseconds has no time to wait for others. 0: it may take as long as it
/// takes.
pub fn cannot_wait(timeout_ms: u32) -> bool {
    timeout_ms > 0 && Duration::from_millis(timeout_ms.into()) < HURRY_BELOW
}

/// When the next message of a stream may leave.
#[derive(Debug)]
pub struct Gather {
    window: Duration,
    next: Instant,
    nudge: Nudge,
}

/// Says that something for the next message has no time to wait. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// The next message may leave at once. Call it when what is in a hurry is in the queue.
    pub fn nudge(&self) {
        self.0.notify_one();
    }
}

impl Gather {
    /// Messages leave no sooner one after the other than this. Timers know milliseconds only, so that it may be up
    /// to one longer.
    pub fn new(window: Duration) -> Self {
        Self::nudged(window, Nudge::default())
    }

    /// The same where somebody may say that there is no time.
    pub fn nudged(window: Duration, nudge: Nudge) -> Self {
        Self { window, next: Instant::now(), nudge }
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
                () = self.nudge.0.notified() => {}
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

    #[test]
    fn only_who_has_a_little_time_cannot_wait() {
        assert_eq!([0, 1, 9, 10, u32::MAX].map(cannot_wait), [false, true, true, false, false]);
    }

    #[tokio::test]
    async fn what_is_in_a_hurry_waits_for_nothing() {
        let nudge = Nudge::default();
        let mut gather = Gather::nudged(WINDOW, nudge.clone());
        gather.sent();
        assert!(gather.ready().now_or_never().is_none());
        nudge.nudge();
        assert!(gather.ready().now_or_never().is_some());
        gather.sent();
        assert!(gather.ready().now_or_never().is_none(), "it was only that one");
    }
}
