//! Line: the calls of one connection enter the queues in the order in which they began, though they are
//! decoded side by side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::limits::LINE_WAIT_MAX;

/// The line of one connection. As long as its calls are many, which the connection bounds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    last_number: u64,
    standing: BTreeMap<u64, Standing>,
}

#[derive(Debug)]
struct Standing {
    since: Instant,
    /// Whether it only waits for its turn; before that it is still being received.
    ready: bool,
    /// Told once it is the first of the line.
    first: Arc<Notify>,
}

/// A call's place in the line. Its drop, for whatever reason, lets the next one go.
#[derive(Debug)]
pub(crate) struct Entry {
    line: Line,
    number: u64,
    since: Instant,
    first: Arc<Notify>,
}

impl Line {
    /// Takes the next place. Requests hand out clones of what they carry, hence the `Arc`.
    pub(crate) fn join(&self) -> Arc<Entry> {
        let first = Arc::new(Notify::new());
        let mut inner = self.0.lock();
        let since = Instant::now();
        inner.last_number += 1;
        let number = inner.last_number;
        if inner.standing.is_empty() {
            first.notify_one();
        }
        inner.standing.insert(number, Standing { since, ready: false, first: first.clone() });
        Arc::new(Entry { line: self.clone(), number, since, first })
    }
}

impl Inner {
    /// Lets some leave the line, and tells whoever is the first of it then.
    fn leave(&mut self, leave: impl FnOnce(&mut BTreeMap<u64, Standing>)) {
        let first = self.standing.keys().next().copied();
        leave(&mut self.standing);
        if let Some((number, standing)) = self.standing.first_key_value()
            && Some(*number) != first
        {
            standing.first.notify_one();
        }
    }
}

impl Entry {
    /// Waits until all before this one have entered or ended. Those that have not even been received
    /// [`LINE_WAIT_MAX`] after they began lose their places, so that they hold up nobody else; and a
    /// call with little time goes ahead after half of it.
    pub(crate) async fn turn(&self, time: Duration) {
        match self.line.0.lock().standing.get_mut(&self.number) {
            Some(standing) => standing.ready = true,
            None => return,
        }
        let latest = Instant::now() + time / 2;
        // By then all that began before this one have had their time.
        let patience = latest.min(self.since + LINE_WAIT_MAX);
        if timeout_at(patience, self.first.notified()).await.is_err() {
            let stays =
                |standing: &Standing| standing.ready || standing.since.elapsed() < LINE_WAIT_MAX;
            self.line.0.lock().leave(|line| line.retain(|_, standing| stays(standing)));
            // Whoever is still before this one only needs to be told.
            let _ = timeout_at(latest, self.first.notified()).await;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.line.0.lock().leave(|line| drop(line.remove(&self.number)));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn has_turn(entry: &Entry) -> bool {
        entry.turn(HOUR).now_or_never().is_some()
    }

    #[tokio::test]
    async fn the_next_goes_when_all_before_it_have_entered() {
        let line = Line::default();
        let [a, b, c] = [line.join(), line.join(), line.join()];
        assert!(!has_turn(&b) && !has_turn(&c));
        drop(b);
        assert!(!has_turn(&c), "who leaves the line lets nobody overtake those before it");
        assert!(has_turn(&a));
        drop(a);
        assert!(has_turn(&c));
        drop(c);
        assert!(line.0.lock().standing.is_empty());
        assert!(has_turn(&line.join()));
    }

    #[tokio::test]
    async fn who_is_not_received_in_time_loses_its_place_and_who_waits_keeps_it() {
        let line = Line::default();
        let [slow, a, b] = [line.join(), line.join(), line.join()];
        let begun = Instant::now();
        let first = async {
            tokio::time::sleep(LINE_WAIT_MAX / 2).await;
            a.turn(HOUR).await;
            drop(a);
            begun.elapsed()
        };
        let second = async {
            b.turn(HOUR).await;
            begun.elapsed()
        };
        let (first, second) = tokio::join!(first, second);
        assert!(first <= second, "{first:?}, {second:?}");
        assert!(second < LINE_WAIT_MAX * 5, "{second:?}");
        drop(b);
        assert!(has_turn(&line.join()), "nobody waits for it any more");
        assert!(has_turn(&slow));
    }

    #[tokio::test]
    async fn who_has_little_time_waits_for_half_of_it() {
        let line = Line::default();
        let [slow, hasty, other] = [line.join(), line.join(), line.join()];
        let begun = Instant::now();
        hasty.turn(Duration::from_millis(100)).await;
        assert!(begun.elapsed() < LINE_WAIT_MAX, "{:?}", begun.elapsed());
        drop(hasty);
        assert!(!has_turn(&other), "the others may still wait");
        drop(slow);
        assert!(has_turn(&other));
    }
}
