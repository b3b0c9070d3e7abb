//! World: faults on real processes, done from outside of every node's machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use orrery_model::ShardId;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep};

use super::config_text::Tuning;
use super::links::Links;
use super::progress::Progress;
use super::stations::Stations;
use super::topology::Role;
use crate::plan::stream::stream;
use crate::plan::{Aim, Fault, Plan};
use crate::world::admin::Admin;
use crate::world::{Installed, World};

/// For how long a fault that is over may still be why a node ends.
const AFTERMATH: Duration = Duration::from_secs(5);

/// How long a leader is waited for.
const ELECTED: Duration = Duration::from_secs(3);

/// Pause between two looks at a node.
const LOOK: Duration = Duration::from_millis(20);

/// A cluster of real processes as a world.
pub(crate) struct ProcessWorld {
    pub(super) stations: Arc<Stations>,
    pub(super) admin: Admin,
    pub(super) links: Mutex<Links>,
    pub(super) progress: Progress,
    /// Which bit of a damaged file is another.
    pub(super) chance: Mutex<SmallRng>,
    /// What each fault hit, so that it is taken back where it was done.
    hit: Mutex<BTreeMap<u32, Vec<String>>>,
    /// Machines whose node was replaced, until the cluster has removed it.
    pub(super) retired: Mutex<Vec<String>>,
    /// The router whose files are damaged.
    pub(super) damaged: Mutex<Option<String>>,
    /// The last number that a router was given.
    pub(super) last_id: Mutex<u64>,
    /// What every router was configured with at first.
    pub(super) tuning: Tuning,
}

impl ProcessWorld {
    pub(crate) fn new(
        plan: &Plan,
        stations: Arc<Stations>,
        admin: Admin,
        links: Links,
        progress: Progress,
    ) -> Self {
        let routers = stations.of(Role::Router).len() as u64;
        Self {
            stations,
            admin,
            links: links.into(),
            progress,
            chance: stream(plan.seed, "damage").into(),
            hit: Mutex::default(),
            retired: Mutex::default(),
            damaged: Mutex::default(),
            last_id: routers.into(),
            tuning: Tuning::of(&plan.swarm),
        }
    }

    /// The machine that an aim means now.
    pub(super) async fn target(&self, aim: Aim) -> Option<String> {
        let of = |role, number: usize| {
            self.stations.of(role).get(number).map(|place| place.name.clone())
        };
        match aim {
            Aim::Router(number) => self.admin.member(number),
            Aim::LeaderOf(shard) => self.leader(ShardId(shard)).await,
            Aim::Logic(number) => of(Role::Logic, number),
            Aim::Comet(number) => of(Role::Comet, number),
        }
    }

    /// Who leads a shard, once somebody does.
    async fn leader(&self, shard: ShardId) -> Option<String> {
        let deadline = Instant::now() + ELECTED;
        loop {
            let leader = self.admin.leader(shard).await;
            if leader.is_some() || Instant::now() > deadline {
                return leader;
            }
            sleep(LOOK).await;
        }
    }

    /// Lets a fault explain from now on that a node ends by itself.
    pub(super) fn excuse(&self, name: &str, why: &str) {
        if let Some(mut station) = self.stations.get(name) {
            station.excuses.add(why);
        }
    }

    /// Lets a fault not explain it any more, soon.
    pub(super) fn no_excuse(&self, name: &str, why: &str) {
        if let Some(mut station) = self.stations.get(name) {
            station.excuses.end(why, Instant::now() + AFTERMATH);
        }
    }

    /// Whether every router but this one runs that is a member.
    pub(super) fn all_others_run(&self, name: &str) -> bool {
        let runs = |other: &String| self.stations.get(other).is_some_and(|station| station.runs());
        self.admin.members().iter().all(|other| other == name || runs(other))
    }

    /// Waits until a node's process is gone; whether it went in time.
    pub(super) async fn is_gone(&self, name: &str, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.stations.get(name).is_some_and(|station| station.runs()) {
            if Instant::now() > deadline {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Says before it is done whom a fault hits: if it fails half-way, what was done is taken back.
    pub(super) fn hits(&self, fault: &Fault, name: &str) {
        self.hit.lock().entry(fault.id).or_default().push(name.to_owned());
    }

    /// Writes down that the harness could not take something back.
    pub(super) fn must(&self, what: &str, done: anyhow::Result<()>) {
        if let Err(error) = done {
            let text = format!("{what}: {error:#}");
            self.progress.say(&text);
            self.stations.fail(text);
        }
    }
}

impl World for ProcessWorld {
    fn install<'a>(&'a self, fault: &'a Fault) -> LocalBoxFuture<'a, Installed> {
        async move {
            let installed = match self.do_it(fault).await {
                Ok(installed) => installed,
                Err(error) => {
                    let begun = self.hit.lock().remove(&fault.id).unwrap_or_default();
                    self.undo(fault, &begun);
                    Installed::Indeterminate(format!("{error:#}"))
                }
            };
            let what = serde_json::to_string(fault).unwrap_or_default();
            match &installed {
                Installed::Yes { targets } => {
                    self.hit.lock().insert(fault.id, targets.clone());
                    self.progress.say(&format!("{what} on {targets:?}"));
                }
                Installed::Skipped(why) => {
                    self.hit.lock().remove(&fault.id);
                    self.progress.say(&format!("{what} skipped: {why}"));
                }
                Installed::Indeterminate(why) => {
                    self.progress.say(&format!("{what} indeterminate: {why}"));
                }
            }
            installed
        }
        .boxed_local()
    }

    fn take_back<'a>(&'a self, fault: &'a Fault) -> LocalBoxFuture<'a, ()> {
        async move {
            let targets = self.hit.lock().remove(&fault.id).unwrap_or_default();
            self.undo(fault, &targets);
        }
        .boxed_local()
    }

    fn mend(&self) -> LocalBoxFuture<'_, ()> {
        self.finish().boxed_local()
    }

    fn drained(&self) -> Vec<(u64, String)> {
        self.admin.drained()
    }

    fn heal(&self) -> LocalBoxFuture<'_, ()> {
        async move {
            self.progress.say("healed");
            self.undo_all();
        }
        .boxed_local()
    }
}
