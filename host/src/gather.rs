//! Gather: lets what comes right after a message of a stream leave with the next one, not in one of its own. The
//! first message after a pause leaves at once. A message costs both ends much the same whatever is in it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// When the next message of a stream may leave.
#[derive(Debug)]
pub struct Gather {
    window: Duration,
    next: Instant,
}

impl Gather {
    /// Messages leave no sooner one after the other than this. Timers know milliseconds only, so that it may be up
    /// to one longer.
    pub fn new(window: Duration) -> Self {
        Self { window, next: Instant::now() }
    }

    /// A message left just now.
    pub fn sent(&mut self) {
        self.next = Instant::now() + self.window;
    }

    /// Waits until a message may leave. Cancel-safe.
    pub async fn ready(&self) {
        // No timer where it may: that is most of the time.
        if Instant::now() < self.next {
            sleep_until(self.next).await;
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
}
