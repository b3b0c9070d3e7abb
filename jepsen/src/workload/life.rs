//! Life: one comet's lease, kept alive by a process of its own, and begun anew when it ends. Now and then another
//! instance takes the comet's id.

use std::sync::Arc;
use std::time::Duration;

use orrery_model::CometRef;
use orrery_router_client::{Client, Config};
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::time::sleep;

use super::bed::{Bed, Stage};
use super::tenure::{Begun, NoLife, Tenure};

/// Of so many keep-alives one is the last for longer than a lease: the comet's other processes go on, and do
/// not know that it ends.
const LAPSE_ONE_IN: u32 = 20;

/// In one of so many lives another instance begins a life under the same id.
const RIVAL_ONE_IN: u32 = 15;

/// Keep-alives after which it does, at most: few lives are long.
const RIVAL_AFTER_MAX: u32 = 6;

/// For how long at most the comet's other processes do not hear of it, in milliseconds: far less than a lease.
const UNHEARD_MS_MAX: u64 = 1_000;

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
/// Another instance reaches the cluster in its own way.
pub async fn keep(bed: Bed, ways: Config, comet: String, lives: Lives) {
    let chance = bed.chance(&format!("life {comet}"));
    let tenure = Tenure::new(bed.clone(), &comet, 1);
    Keeper { bed, ways, chance, comet, lives, tenure, instances: 1 }.run().await;
}

/// Who keeps a comet alive.
struct Keeper {
    bed: Bed,
    ways: Config,
    chance: SmallRng,
    comet: String,
    lives: Lives,
    /// The instance that lives, as far as is known.
    tenure: Tenure,
    /// How many there have been.
    instances: u32,
}

impl Keeper {
    async fn run(mut self) {
        let Some(Begun { life, attached }) = self.live().await else { return };
        if self.bed.chance(&format!("goodbye {}", self.comet)).random_ratio(1, GOODBYE_ONE_IN) {
            return self.tenure.detach(&life).await;
        }
        let every = Begun { life: life.clone(), attached }.every();
        while !self.bed.is_over() && self.tenure.renew(&life).await {
            tokio::select! {
                biased;
                () = self.bed.until(Stage::Over) => {}
                () = sleep(every) => {}
            }
        }
    }

    /// Begins one life after the other until the work ends; the life that lasts then, if one does.
    async fn live(&mut self) -> Option<Begun> {
        let (mut last, mut next) = (None, None);
        while self.bed.works() {
            let begun = match next.take() {
                Some(begun) => Ok(begun),
                None => self.tenure.attach().await,
            };
            let begun: Begun = match begun {
                Ok(begun) => begun,
                Err(NoLife::Over) => return None,
                Err(NoLife::Superseded) => {
                    // It has ended itself; somebody starts it again.
                    self.tenure = self.instance();
                    continue;
                }
            };
            self.lives.0.send_replace(Some(begun.life.clone()));
            next = self.pulse(&begun).await;
            let lasts = self.lives.now().as_ref() == Some(&begun.life);
            if self.bed.works() || next.is_some() {
                self.lives.ended(&begun.life);
            }
            last = lasts.then_some(begun);
        }
        next.or(last)
    }

    /// Renews the lease until the life ends or the work does; the life that has taken its place, if another
    /// instance began one.
    async fn pulse(&mut self, begun: &Begun) -> Option<Begun> {
        let is_rivalled = self.chance.random_ratio(1, RIVAL_ONE_IN);
        let mut left = is_rivalled.then(|| self.chance.random_range(1..=RIVAL_AFTER_MAX));
        while self.bed.works() && self.lives.now().as_ref() == Some(&begun.life) {
            if left == Some(0) {
                return self.give_way(begun).await;
            }
            left = left.map(|left| left - 1);
            if !self.tenure.renew(&begun.life).await {
                self.lives.ended(&begun.life);
                return None;
            }
            let lapses = self.chance.random_ratio(1, LAPSE_ONE_IN);
            let pause = if lapses { begun.lease() * 3 / 2 } else { begun.every() };
            tokio::select! {
                biased;
                () = self.bed.until(Stage::Quiet) => {}
                () = self.lives.over(&begun.life) => {}
                () = sleep(pause) => {}
            }
        }
        None
    }

    /// Another instance begins a life under the same id. The first renews until it is told so, and must not get
    /// another life; for a moment its other processes go on in the one that has ended.
    async fn give_way(&mut self, begun: &Begun) -> Option<Begun> {
        let mut rival = self.instance();
        let (tenure, mut bed) = (&mut self.tenure, self.bed.clone());
        let told = async {
            while bed.works() && tenure.renew(&begun.life).await {
                tokio::select! {
                    biased;
                    () = bed.until(Stage::Quiet) => {}
                    () = sleep(begun.every()) => {}
                }
            }
        };
        let (taken, ()) = tokio::join!(rival.attach(), told);
        if self.bed.works() && taken.is_ok() {
            // What it is answered is for the checkers.
            let _ = self.tenure.attach().await;
            sleep(Duration::from_millis(self.chance.random_range(0..=UNHEARD_MS_MAX))).await;
        }
        self.tenure = rival;
        taken.ok()
    }

    /// Another instance of the comet, with a memory of its own of who leads.
    fn instance(&mut self) -> Tenure {
        self.instances += 1;
        let client = Client::new(self.ways.clone(), self.bed.host.clone());
        Tenure::new(self.bed.clone().with_client(client), &self.comet, self.instances)
    }
}
