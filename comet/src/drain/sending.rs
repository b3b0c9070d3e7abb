//! Sending: the task that sends devices elsewhere for as long as that is wished.

use std::future::Future;
use std::sync::Arc;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::schedule::Schedule;
use super::{Progress, Wish};
use crate::comet::Comet;
use crate::limits::{DRAINED_STEP, PACE_STEP};

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

    use super::*;

    #[tokio::test]
    async fn whoever_comes_in_after_nobody_was_left_is_sent_away_too() {
        let (left, looks) = (Cell::new(0), Cell::new(0));
        let wish = Wish { per_second: 1000, until: None, elsewhere: Arc::default(), last: false };
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
}
