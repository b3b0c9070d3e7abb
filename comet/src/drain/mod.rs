//! Drain: sends the comet's devices elsewhere, at a pace, and takes no others meanwhile.
//!
//! Whoever wants it says so by a [`Wish`]; one task carries out the newest. The wish outlives the devices: a comet that
//! is drained stays up, empty, until it is stopped or the wish is taken back.

mod schedule;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use orrery_host::Random;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use self::schedule::Schedule;
use crate::comet::Comet;
use crate::limits::{DRAINED_STEP, FLUSH_TIMEOUT, PACE_STEP};

/// What devices that are sent away are told.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    /// Over what time they are to come back elsewhere.
    pub(crate) spread: Duration,
    /// Other comets.
    pub(crate) nodes: Vec<String>,
}

/// The word for one device.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) retry_after_ms: u32,
    pub(crate) nodes: Vec<String>,
}

impl Elsewhere {
    /// Draws a word for one device: not all come at once, nor to the same.
    pub(crate) fn hint(&self, random: &dyn Random) -> Hint {
        let spread_ms = u64::try_from(self.spread.as_millis()).unwrap_or(u64::MAX - 1);
        let retry_after_ms = u32::try_from(random.below(spread_ms + 1)).unwrap_or(u32::MAX);
        let mut nodes = self.nodes.clone();
        // Each order is as likely as any other (Fisher and Yates): where all of them began at another place and went on
        // alike, whoever comes behind a comet that is full would get all of its share.
        for last in (1..nodes.len()).rev() {
            nodes.swap(last, random.below(last as u64 + 1) as usize);
        }
        Hint { retry_after_ms, nodes }
    }
}

/// How the devices are to go.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// Devices per second.
    pub(crate) per_second: u32,
    /// By when all must have been sent away: then those who are left go at once.
    pub(crate) until: Option<Instant>,
    pub(crate) elsewhere: Arc<Elsewhere>,
    /// The comet is stopping: this cannot be taken back.
    pub(crate) last: bool,
}

/// What is wished of a comet's devices, and how far it is.
#[derive(Debug)]
pub(crate) struct Drain {
    wish: watch::Sender<Option<Wish>>,
}

/// How far a drain is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) per_second: Option<u32>,
    pub(crate) connections: u64,
    pub(crate) handshakes: u64,
    pub(crate) unbinding: u64,
}

/// The comet is stopping: its drain cannot be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the comet is stopping")]
pub(crate) struct Stopping;

impl Drain {
    pub(crate) fn new() -> Self {
        Self { wish: watch::Sender::new(None) }
    }

    /// Whether no devices are taken.
    pub(crate) fn is_on(&self) -> bool {
        self.wish.borrow().is_some()
    }

    /// Begins to send devices elsewhere, or changes how. What was said of other comets before holds on where nothing
    /// is said now.
    ///
    /// # Errors
    /// [`Stopping`], where it was begun for good; the last one is never refused.
    pub(crate) fn begin(&self, mut wish: Wish) -> Result<(), Stopping> {
        let mut begun = Err(Stopping);
        self.wish.send_if_modified(|now| {
            if let Some(before) = now.as_ref() {
                if before.last {
                    return false;
                }
                if wish.elsewhere.nodes.is_empty() && !before.elsewhere.nodes.is_empty() {
                    wish.elsewhere = before.elsewhere.clone();
                }
            }
            *now = Some(wish);
            begun = Ok(());
            true
        });
        begun
    }

    /// Takes devices again.
    ///
    /// # Errors
    /// [`Stopping`].
    pub(crate) fn end(&self) -> Result<(), Stopping> {
        let mut ended = Ok(());
        self.wish.send_if_modified(|now| {
            if now.as_ref().is_some_and(|wish| wish.last) {
                ended = Err(Stopping);
                return false;
            }
            now.take().is_some()
        });
        ended
    }

    /// Tells of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Wish>> {
        self.wish.subscribe()
    }

    /// Has those who are left go at once, where the comet stops.
    pub(crate) fn hurry(&self) {
        self.wish.send_if_modified(|now| match now {
            Some(wish) if wish.last => {
                wish.until = Some(Instant::now());
                true
            }
            Some(_) | None => false,
        });
    }
}

impl Comet {
    /// How far the drain is.
    pub(crate) fn drain_progress(&self) -> Progress {
        let connections = self.metrics.connections();
        let handshakes = self.metrics.handshakes();
        let living = self.presence.living() as u64;
        Progress {
            per_second: self.drain.wish.borrow().as_ref().map(|wish| wish.per_second),
            connections,
            handshakes,
            // Some of those that shake hands live already, and some do not yet.
            unbinding: living.saturating_sub(connections + handshakes),
        }
    }

    /// Waits until no device is connected any more.
    pub(crate) async fn emptied(&self) {
        while self.metrics.connections() > 0 {
            sleep(PACE_STEP).await;
        }
    }

    /// Waits until the devices over HTTP have come for their last words, or had the time for it.
    pub(crate) async fn last_words_taken(&self) {
        let taken = async {
            while self.sessions.have_more_to_say() {
                sleep(PACE_STEP).await;
            }
        };
        let _ = timeout(FLUSH_TIMEOUT, taken).await;
    }
}

/// Carries out what is wished, for as long as the comet lives.
pub(crate) async fn run(comet: Arc<Comet>) {
    let mut wishes = comet.drain.watch();
    loop {
        let wish = wishes.borrow_and_update().clone();
        let left = || {
            let Progress { connections, handshakes, .. } = comet.drain_progress();
            connections + handshakes
        };
        let sending = async {
            match wish {
                Some(wish) => {
                    send_away(&wish, left, |due| comet.workers.send_away(due, &wish.elsewhere))
                        .await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // The newest one counts.
            changed = wishes.changed() => if changed.is_err() { return },
            () = sending => {}
        }
    }
}

/// Sends devices elsewhere for as long as it is polled. That none is left is no end of it: whoever was shaking hands
/// may be connected a moment later, and is counted at neither place in between.
async fn send_away<F: Future<Output = usize>>(
    wish: &Wish,
    left: impl Fn() -> u64,
    mut send: impl FnMut(usize) -> F,
) {
    let begun = Instant::now();
    let until = wish.until.map(|until| until.saturating_duration_since(begun));
    let mut schedule = Schedule::new(wish.per_second, until);
    let mut steps = interval(PACE_STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_told = false;
    tracing::info!(devices = left(), per_second = wish.per_second, "sending devices elsewhere");
    loop {
        steps.tick().await;
        let left = left();
        let due = schedule.due(begun.elapsed(), usize::try_from(left).unwrap_or(usize::MAX));
        if due > 0 {
            schedule.sent(send(due).await);
        }
        if left == 0 {
            if !std::mem::replace(&mut is_told, true) {
                let seconds = begun.elapsed().as_secs_f64();
                tracing::info!(seconds, "no device is connected any more");
            }
            sleep(DRAINED_STEP).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use orrery_host::system::SystemRandom;

    use super::*;

    fn wish(per_second: u32, nodes: &[&str], last: bool) -> Wish {
        let nodes = nodes.iter().map(|&node| node.to_owned()).collect();
        let elsewhere = Arc::new(Elsewhere { spread: Duration::from_millis(100), nodes });
        Wish { per_second, until: None, elsewhere, last }
    }

    #[test]
    fn each_device_has_a_pause_and_an_order_of_the_others_of_its_own() {
        let elsewhere = wish(1, &["a", "b", "c"], false).elsewhere;
        let hints: Vec<Hint> = (0..1000).map(|_| elsewhere.hint(&SystemRandom)).collect();
        let pauses: BTreeSet<u32> = hints.iter().map(|hint| hint.retry_after_ms).collect();
        assert!(pauses.iter().all(|pause| *pause <= 100) && pauses.len() > 50, "{pauses:?}");
        let orders: BTreeSet<String> = hints.iter().map(|hint| hint.nodes.concat()).collect();
        assert_eq!(orders, ["abc", "acb", "bac", "bca", "cab", "cba"].map(String::from).into());
    }

    #[tokio::test]
    async fn whoever_comes_in_after_nobody_was_left_is_sent_away_too() {
        let (left, looks) = (Cell::new(0), Cell::new(0));
        let wish = wish(1000, &[], false);
        let looked = || {
            looks.set(looks.get() + 1);
            // One for the log, one that finds nobody.
            if looks.get() == 3 {
                left.set(1);
            }
            left.get()
        };
        let (sent, was_sent) = tokio::sync::oneshot::channel();
        let mut sent = Some(sent);
        let sending = send_away(&wish, looked, |due| {
            left.set(0);
            let _ = sent.take().expect("there is one").send(due);
            std::future::ready(due)
        });
        tokio::select! {
            () = sending => panic!("it ended while the wish stands"),
            due = was_sent => assert_eq!(due, Ok(1)),
        }
    }

    #[test]
    fn the_last_wish_is_changed_by_nobody_and_only_that_one_is_hurried() {
        let drain = Drain::new();
        drain.begin(wish(1, &["a"], false)).unwrap();
        drain.hurry();
        assert_eq!(drain.wish.borrow().as_ref().unwrap().until, None);
        drain.end().unwrap();
        assert!(!drain.is_on());

        drain.begin(wish(1, &["a"], false)).unwrap();
        drain.begin(wish(2, &[], true)).unwrap();
        assert_eq!(drain.begin(wish(3, &[], false)), Err(Stopping));
        assert_eq!(drain.end(), Err(Stopping));
        drain.hurry();
        let now = drain.wish.borrow().clone().unwrap();
        assert_eq!((now.per_second, now.elsewhere.nodes[0].as_str()), (2, "a"));
        assert!(now.until.is_some());
    }
}
