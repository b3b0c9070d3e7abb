//! Writer: a comet as the registry sees one. It binds connections on one address or two, moves them through
//! rooms, unbinds them, and binds the living ones again when it was fenced. What it does not know it asks again
//! under the same name, and what is gone it asks for again too, as a late copy would.

mod binds;
mod connection;
mod drawn;
mod goodbyes;
mod numbers;
mod own_reads;
mod rooms;
mod write;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use orrery_model::command::Bind;
use orrery_model::{CometRef, Seq};
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::time::{sleep, timeout};

use self::connection::Connection;
use self::goodbyes::Leaving;
use self::numbers::Numbers;
use super::bed::{Bed, Stage};
use super::life::Lives;
use crate::recorder::Process;

/// Most connections that a writer keeps.
const LIVING_MAX: usize = 12;

/// Pause before a goodbye is sent again.
const GOODBYE_PAUSE: Duration = Duration::from_millis(100);

/// How long goodbyes are tried at the end.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(30);

/// One process that writes as a comet does.
pub struct Writer {
    bed: Bed,
    process: Process,
    chance: SmallRng,
    lives: Lives,
    life: Option<CometRef>,
    numbers: Numbers,
    /// Connections that are bound, as far as the comet knows.
    living: Vec<Connection>,
    /// Those with a bind that has no answer, or none that says how it ended.
    doubtful: VecDeque<Connection>,
    /// Those that still have goodbyes to say.
    leaving: VecDeque<Leaving>,
    /// Binds of those that have left, in this life or one before.
    old: VecDeque<Bind>,
    /// The key and seq of a route of another comet.
    foreign: Option<(String, Seq)>,
    /// Rooms for which the comet is listed in this life, as far as it knows.
    listed: BTreeSet<String>,
    /// The comet's version of its next listing, of any room.
    listings: u64,
}

impl Writer {
    /// A writer for a comet whose life somebody else keeps.
    pub fn new(bed: Bed, name: &str, lives: Lives) -> Self {
        let (process, chance) = (bed.recorder.process(), bed.chance(name));
        Self {
            bed,
            process,
            chance,
            lives,
            life: None,
            numbers: Numbers::new(),
            living: Vec::new(),
            doubtful: VecDeque::new(),
            leaving: VecDeque::new(),
            old: VecDeque::new(),
            foreign: None,
            listed: BTreeSet::new(),
            listings: 0,
        }
    }

    /// Works until it is told to end, and then says goodbye to what is undecided.
    pub async fn run(mut self) {
        while self.bed.works() {
            if !self.is_alive().await {
                continue;
            }
            self.act().await;
            self.ask_again().await;
            self.goodbye().await;
            self.bed.pause(&mut self.chance).await;
        }
        let goodbyes = async {
            while self.life.is_some() && !(self.doubtful.is_empty() && self.leaving.is_empty()) {
                self.ask_again().await;
                self.goodbye().await;
                if self.life != self.lives.now() {
                    return;
                }
                sleep(GOODBYE_PAUSE).await;
            }
        };
        // What is still undecided then is unknown, as the history says.
        let _ = timeout(GOODBYE_TIMEOUT, goodbyes).await;
    }

    /// Does one of the things that comets do, and now and then one that the network does.
    async fn act(&mut self) {
        match self.chance.random_range(0..100) {
            0..50 if self.living.len() < LIVING_MAX => self.connect().await,
            50..68 => self.set_rooms().await,
            68..73 => self.let_go().await,
            73..75 => self.bind_again().await,
            75..77 => self.bind_late().await,
            77..79 => self.leave_unbound(),
            _ => self.close_one(),
        }
    }

    /// The place of any of the living connections.
    fn any_living(&mut self) -> Option<usize> {
        let count = self.living.len();
        (count > 0).then(|| self.chance.random_range(0..count))
    }

    /// Takes up the comet's life. In a new one the connections are bound again first.
    async fn is_alive(&mut self) -> bool {
        if self.life.is_some() && self.lives.now() == self.life {
            return true;
        }
        let mut stage = self.bed.stage.clone();
        let fresh = tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage != Stage::Work) => return false,
            fresh = self.lives.after(self.life.as_ref()) => fresh,
        };
        self.life = fresh;
        // All routes of the life before are gone with it.
        self.leaving.clear();
        self.listed.clear();
        let living = std::mem::take(&mut self.living);
        let again = living.into_iter().chain(std::mem::take(&mut self.doubtful));
        let again: Vec<Connection> = again.map(Connection::again).collect();
        self.numbers.restart(again.iter().map(|one| one.conn));
        for one in again {
            match self.bed.works() && self.lives.now() == self.life {
                true => self.advance(one).await,
                false => self.doubtful.push_back(one),
            }
        }
        self.life.is_some()
    }
}
