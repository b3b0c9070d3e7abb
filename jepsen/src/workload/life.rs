//! Life: one comet's lease, kept alive by a process of its own, and begun anew when it ends.

use std::sync::Arc;
use std::time::Duration;

use judge::history::{Attach, KeepAlive, Op};
use orrery_model::control::{self, Advertise};
use orrery_model::{CometRef, Id};
use orrery_router_client::{Attached, ClientError, Pulse};
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::bed::{Bed, Stage};
use super::{OPERATION_TIMEOUT, READ_TIMEOUT};
use crate::recorder::{Process, Said};

/// Pause before an attach is tried again.
const ATTACH_PAUSE: Duration = Duration::from_millis(200);

/// Of so many keep-alives one is the last for longer than a lease: the comet's other processes go on, and do
/// not know that it ends.
const LAPSE_ONE_IN: u32 = 20;

/// Of so many comets that live when the work ends, one says goodbye.
const GOODBYE_ONE_IN: u32 = 3;

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

    /// Waits until a write was refused because this life has ended.
    async fn over(&self, life: &CometRef) {
        let mut lives = self.0.subscribe();
        // Fails only once nobody is left to say so.
        let _ = lives.wait_for(|held| held.as_ref() != Some(life)).await;
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

/// Keeps a comet alive until all has been read for the last time, or has it say goodbye when the work ends.
pub async fn keep(mut bed: Bed, comet: String, lives: Lives) {
    let mut process = bed.recorder.process();
    let Some((life, attached)) = live(&mut bed, &mut process, &comet, &lives).await else { return };
    if bed.chance(&format!("goodbye {comet}")).random_ratio(1, GOODBYE_ONE_IN) {
        return detach(&mut bed, &mut process, &life).await;
    }
    let every = Duration::from_millis(u64::from(attached.keep_alive_ms));
    while !bed.is_over() && renew(&bed, &mut process, &life).await {
        tokio::select! {
            biased;
            () = bed.until(Stage::Over) => {}
            () = sleep(every) => {}
        }
    }
}

/// Attaches a comet again and again until the work ends; the life that lasts then, if one does.
async fn live(
    bed: &mut Bed,
    process: &mut Process,
    comet: &str,
    lives: &Lives,
) -> Option<(CometRef, Attached)> {
    let mut chance = bed.chance(&format!("life {comet}"));
    let (mut attempt, mut last) = (0, None);
    while bed.works() {
        attempt += 1;
        let (life, attached) = attach(bed, process, comet, attempt).await?;
        lives.0.send_replace(Some(life.clone()));
        pulse(bed, process, &mut chance, &life, &attached, lives).await;
        last = (lives.now().as_ref() == Some(&life)).then_some((life.clone(), attached));
        if bed.works() {
            lives.ended(&life);
        }
    }
    last
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
    chance: &mut SmallRng,
    life: &CometRef,
    attached: &Attached,
    lives: &Lives,
) {
    let every = Duration::from_millis(u64::from(attached.keep_alive_ms));
    let lapse = Duration::from_millis(u64::from(attached.lease_ms)) * 3 / 2;
    while bed.works() && lives.now().as_ref() == Some(life) {
        if !renew(bed, process, life).await {
            return lives.ended(life);
        }
        let pause = if chance.random_ratio(1, LAPSE_ONE_IN) { lapse } else { every };
        tokio::select! {
            biased;
            () = bed.until(Stage::End) => {}
            () = lives.over(life) => {}
            () = sleep(pause) => {}
        }
    }
}

/// Renews the lease once; whether the life goes on, as far as is known.
async fn renew(bed: &Bed, process: &mut Process, life: &CometRef) -> bool {
    let op = Op::KeepAlive(named(life));
    process.invoke(None, op.clone());
    match bed.client.keep_alive(life.clone(), Instant::now() + READ_TIMEOUT).await {
        Ok(Pulse::Alive) => process.ok(op, Said::default()),
        Ok(Pulse::Ended) => {
            process.fail("fenced", Said::default());
            return false;
        }
        Ok(Pulse::Superseded) => {
            process.fail("superseded", Said::default());
            return false;
        }
        Err(error) => process.fail(error.to_string().as_str(), Said::default()),
    }
    true
}

/// Ends the life, and asks until that is known.
async fn detach(bed: &mut Bed, process: &mut Process, life: &CometRef) {
    while !bed.is_over() {
        let op = Op::Detach(named(life));
        process.invoke(None, op.clone());
        match bed.client.detach(life.clone(), Instant::now() + OPERATION_TIMEOUT).await {
            Ok(()) => return process.ok(op, Said::default()),
            Err(error @ ClientError::Unknown { .. }) => process.info(error.to_string().as_str()),
            Err(error) => process.fail(error.to_string().as_str(), Said::default()),
        }
        sleep(ATTACH_PAUSE).await;
    }
}

fn named(life: &CometRef) -> KeepAlive {
    KeepAlive { comet: life.id.to_string(), incarnation: life.incarnation.0 }
}
