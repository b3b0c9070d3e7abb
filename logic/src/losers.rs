//! Losers: closes the connections that gave way to another one, so that their devices are told. Best
//! effort: a comet finds out by itself, later, that a connection of its own has no route any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use orrery_host::{Host, Task};
use orrery_model::CometRef;
use orrery_model::command::Loser;
use orrery_proto::delivery::{Close, CloseReason, Deliver, Outcome, Target, deliver};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use crate::comets::{Comets, Found};
use crate::limits::{LOSER_PAUSE, LOSER_TIMEOUT, LOSERS_WAITING_MAX};
use crate::metrics::Metrics;

/// Takes losers and closes them.
pub(crate) struct Losers {
    queue: mpsc::Sender<Vec<Loser>>,
    metrics: Metrics,
    _task: Task,
}

impl Losers {
    pub(crate) fn start(comets: Arc<Comets>, metrics: Metrics, host: &Host) -> Arc<Self> {
        let (queue, waiting) = mpsc::channel(LOSERS_WAITING_MAX);
        let task = host.tasks.spawn("losers", run(waiting, comets, metrics.clone()));
        Arc::new(Self { queue, metrics, _task: task })
    }

    /// Has the losers of a bind closed. Never waits; where too many wait already they are left to their
    /// comets.
    pub(crate) fn close(&self, losers: Vec<Loser>) {
        let count = losers.len();
        if !losers.is_empty() && self.queue.try_send(losers).is_err() {
            tracing::debug!(count, "too many losers wait to be closed");
            (0..count).for_each(|_| self.metrics.loser(false));
        }
    }
}

async fn run(mut waiting: mpsc::Receiver<Vec<Loser>>, comets: Arc<Comets>, metrics: Metrics) {
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = under_way.next() => {}
            losers = waiting.recv(), if under_way.len() < LOSERS_WAITING_MAX => {
                let Some(losers) = losers else { return };
                let mut by_comet: BTreeMap<CometRef, Vec<Loser>> = BTreeMap::new();
                for loser in losers {
                    by_comet.entry(loser.comet.clone()).or_default().push(loser);
                }
                for (comet, losers) in by_comet {
                    under_way.push(close(&comets, &metrics, comet, losers));
                }
            }
        }
    }
}

/// Closes the losers at one comet, as often as it takes until that is known or given up: the same close
/// twice is one.
async fn close(comets: &Comets, metrics: &Metrics, comet: CometRef, losers: Vec<Loser>) {
    let deadline = Instant::now() + LOSER_TIMEOUT;
    let told = async {
        while tell(comets, &comet, &losers, deadline).await.is_none() {
            sleep(LOSER_PAUSE).await;
        }
    };
    let closed = timeout_at(deadline, told).await.is_ok();
    if !closed {
        tracing::debug!(%comet, count = losers.len(), "losers could not be closed");
    }
    losers.iter().for_each(|_| metrics.loser(closed));
}

/// Tells a comet to close its losers; `None` where it is not known whether all of them are.
async fn tell(
    comets: &Comets,
    comet: &CometRef,
    losers: &[Loser],
    deadline: Instant,
) -> Option<()> {
    let session = match comets.find(comet, deadline).await {
        Found::Session(session) => session,
        // Its connections ended with that life of the comet.
        Found::Ended => return Some(()),
        Found::Unknown => return None,
    };
    let target = |loser: &Loser| Target {
        address: Some((&loser.address).into()),
        conn: loser.conn.0,
        seq: loser.seq.0,
    };
    let targets = losers.iter().map(target).collect();
    let close = Close { targets, reason: CloseReason::Replaced.into() };
    let deliver = Deliver {
        id: 0,
        incarnation: comet.incarnation.0,
        kind: Some(deliver::Kind::Close(close)),
        timeout_ms: u32::try_from(LOSER_TIMEOUT.as_millis()).unwrap_or(u32::MAX),
        ..Deliver::default()
    };
    let receipt = session.send(vec![deliver]).ok()?.pop()?.await.ok()?;
    let in_doubt = [Outcome::Unknown, Outcome::DroppedBindingFull].map(i32::from);
    let unknown = receipt.outcomes.iter().any(|outcome| in_doubt.contains(outcome));
    (!unknown).then_some(())
}
