//! Life: one comet's lease, kept alive by a process of its own, and begun anew when it ends.

use std::sync::Arc;
use std::time::Duration;

use judge::history::{Attach, KeepAlive, Op};
use orrery_model::control::{self, Advertise};
use orrery_model::{CometRef, Id};
use orrery_router_client::{Attached, ClientError, Pulse};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::bed::Bed;
use super::{OPERATION_TIMEOUT, READ_TIMEOUT};
use crate::recorder::{Process, Said};

/// Pause before an attach is tried again.
const ATTACH_PAUSE: Duration = Duration::from_millis(200);

/// What a comet's other processes know of its life.
#[derive(Debug, Clone)]
pub struct Lives(Arc<watch::Sender<Option<CometRef>>>);

impl Lives {
    /// None yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// The life that lasts, as far as its comet knows.
    pub fn now(&self) -> Option<CometRef> {
        self.0.borrow().clone()
    }

    /// Waits for a life other than `ended`.
    pub async fn after(&self, ended: Option<&CometRef>) -> Option<CometRef> {
        let mut lives = self.0.subscribe();
        let fresh = lives.wait_for(|life| life.is_some() && life.as_ref() != ended).await;
        fresh.ok()?.clone()
    }

    /// Says that a write was refused because this life has ended.
    pub fn ended(&self, life: &CometRef) {
        self.0.send_if_modified(|held| {
            let is_held = held.as_ref() == Some(life);
            if is_held {
                *held = None;
            }
            is_held
        });
    }
}

impl Default for Lives {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps a comet alive until the work ends.
pub async fn keep(mut bed: Bed, comet: String, lives: Lives) {
    let mut process = bed.recorder.process();
    let mut attempt = 0;
    while bed.works() {
        attempt += 1;
        let Some((life, attached)) = attach(&mut bed, &mut process, &comet, attempt).await else {
            return;
        };
        lives.0.send_replace(Some(life.clone()));
        pulse(&mut bed, &mut process, &life, &attached, &lives).await;
        lives.ended(&life);
    }
}

async fn attach(
    bed: &mut Bed,
    process: &mut Process,
    comet: &str,
    attempt: u64,
) -> Option<(CometRef, Attached)> {
    let id = Id::new(comet).expect("the harness's names are short");
    let ask = control::Attach {
        comet: id.clone(),
        instance: format!("{comet}-{}", bed.seed),
        attempt,
        advertise: Advertise::default(),
    };
    let op = |incarnation| {
        let (comet, instance) = (comet.to_owned(), ask.instance.clone());
        Op::Attach(Attach { comet, instance, attempt, incarnation })
    };
    loop {
        process.invoke(None, op(None));
        match bed.client.attach(ask.clone(), Instant::now() + OPERATION_TIMEOUT).await {
            Ok(attached) => {
                process.ok(op(Some(attached.incarnation.0)), Said::default());
                return Some((CometRef { id, incarnation: attached.incarnation }, attached));
            }
            Err(error @ ClientError::Superseded { .. }) => {
                process.fail("superseded", Said::default());
                bed.recorder.harness_failure(format!("{comet}: {error}"));
                return None;
            }
            Err(error @ ClientError::Unknown { .. }) => process.info(error.to_string().as_str()),
            Err(error) => process.fail(error.to_string().as_str(), Said::default()),
        }
        if !bed.works() {
            return None;
        }
        sleep(ATTACH_PAUSE).await;
    }
}

/// Renews the lease until the life ends or the work does.
async fn pulse(
    bed: &mut Bed,
    process: &mut Process,
    life: &CometRef,
    attached: &Attached,
    lives: &Lives,
) {
    let every = Duration::from_millis(u64::from(attached.keep_alive_ms));
    while bed.works() && lives.now().as_ref() == Some(life) {
        let op = || {
            let (comet, incarnation) = (life.id.to_string(), life.incarnation.0);
            Op::KeepAlive(KeepAlive { comet, incarnation })
        };
        process.invoke(None, op());
        match bed.client.keep_alive(life.clone(), Instant::now() + READ_TIMEOUT).await {
            Ok(Pulse::Alive) => process.ok(op(), Said::default()),
            Ok(Pulse::Ended) => return process.fail("fenced", Said::default()),
            Ok(Pulse::Superseded) => return process.fail("superseded", Said::default()),
            Err(error) => process.fail(error.to_string().as_str(), Said::default()),
        }
        tokio::select! {
            biased;
            _ = bed.stage.wait_for(|stage| *stage == super::bed::Stage::End) => {}
            () = sleep(every) => {}
        }
    }
}
