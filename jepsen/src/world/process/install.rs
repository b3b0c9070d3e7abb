//! Install: does to real processes what a fault says.

use std::time::Duration;

use anyhow::Context as _;
use machine::{Injection, Link};
use tokio::time::{Instant, sleep};

use super::measure::leader_of;
use super::world::ProcessWorld;
use crate::plan::{Fault, FaultKind};
use crate::world::Installed;

/// Why a node may end on a disk without space.
pub(super) const DISK_FULL: &str = "its disk is full";

/// Why a node may end that cannot make anything durable.
pub(super) const SYNCS_FAIL: &str = "its syncs fail";

/// How long a node may go on after its syncs began to fail.
const FAILED_SYNC: Duration = Duration::from_secs(8);

/// How long a node is waited for that is to end at a sync.
const END_AT_SYNC: Duration = Duration::from_millis(1_500);

/// Of so many kills one happens at a sync.
const AT_SYNC_ONE_IN: u32 = 3;

/// Syncs of which one is drawn for that.
const SYNCS: u32 = 5;

impl ProcessWorld {
    /// Does what a fault says.
    pub(super) async fn do_it(&self, fault: &Fault) -> anyhow::Result<Installed> {
        let name = match fault.kind.aim() {
            None => String::new(),
            Some(aim) => match self.target(aim).await {
                Some(name) => name,
                None => return Ok(Installed::Skipped("nobody leads it".to_owned())),
            },
        };
        match &fault.kind {
            FaultKind::Isolate { .. }
            | FaultKind::Mute { .. }
            | FaultKind::Deafen { .. }
            | FaultKind::Hold { .. }
            | FaultKind::Slow { .. }
            | FaultKind::Narrow { .. }
            | FaultKind::Bridge { .. }
            | FaultKind::Loss { .. }
            | FaultKind::Rough { .. } => self.disturb(fault, name).await,
            FaultKind::Kill { .. } => self.kill(fault, name).await,
            FaultKind::Outage { .. } => self.go_dark(fault, name),
            FaultKind::Pause { .. } => {
                self.hits(fault, &name);
                let station = self.stations.get(&name).context("no such node")?;
                match station.process() {
                    Some(process) => process.stop()?,
                    None => return Ok(Installed::Skipped("it is down".to_owned())),
                }
                drop(station);
                Ok(yes([name]))
            }
            FaultKind::PowerCut { routers } => self.cut_power(fault, *routers),
            FaultKind::Stall { .. } => {
                let lasts = Duration::from_millis(fault.lasts_ms.max(100));
                let mut station = self.stations.get(&name).context("no such node")?;
                station.inject(Injection::SyncSlow(lasts))?;
                drop(station);
                Ok(yes([name]))
            }
            FaultKind::FailedSync { .. } => self.fail_sync(fault, name).await,
            FaultKind::FullDisk { .. } => {
                self.excuse(&name, DISK_FULL);
                let filled = {
                    let station = self.stations.get(&name).context("no such node")?;
                    let disk = station.disk.as_ref().context("it has no disk")?;
                    // Nobody takes back what is not known to be installed.
                    disk.fill().inspect_err(|_| drop(disk.free()))
                };
                if let Err(error) = filled {
                    self.no_excuse(&name, DISK_FULL);
                    return Err(error.into());
                }
                Ok(yes([name]))
            }
            FaultKind::ClockJump { by_ms, .. } => {
                self.stations.get(&name).context("no such node")?.jump(*by_ms)?;
                Ok(yes([name]))
            }
            FaultKind::Damage { file, how, .. } => self.damage(fault, name, *file, *how).await,
            FaultKind::Snapshot { .. }
            | FaultKind::MoveLeader { .. }
            | FaultKind::Resize { .. }
            | FaultKind::Drain { .. }
            | FaultKind::ReplaceNode { .. }
            | FaultKind::Wipe { .. }
            | FaultKind::RollingRestart => self.operate(fault, name).await,
        }
    }

    /// Does to the links what a fault says.
    async fn disturb(&self, fault: &Fault, name: String) -> anyhow::Result<Installed> {
        let per_100k = |many: u32| f64::from(many) / 100_000.0;
        let normal = Link::default();
        let others = self.stations.others(&name);
        let out = || others.iter().map(|other| (name.clone(), other.clone()));
        let back = || others.iter().map(|other| (other.clone(), name.clone()));
        let both = || out().chain(back()).collect::<Vec<_>>();
        let cut = Link { cut: true, ..normal };
        let mut targets = vec![name.clone()];
        let (directions, link) = match &fault.kind {
            FaultKind::Isolate { .. } => (both(), cut),
            FaultKind::Mute { .. } => (out().collect(), cut),
            FaultKind::Deafen { .. } => (back().collect(), cut),
            FaultKind::Bridge { b, .. } => {
                let Some(other) = self.target(*b).await.filter(|other| *other != name) else {
                    return Ok(Installed::Skipped("it is the same node".to_owned()));
                };
                targets.push(other.clone());
                (vec![(name.clone(), other.clone()), (other, name.clone())], cut)
            }
            // A packet waits as long as the fault lasts: the first ones arrive when it ends, and what the
            // senders repeated meanwhile arrives with them.
            FaultKind::Hold { .. } => {
                (both(), Link { delay: Duration::from_millis(fault.lasts_ms), ..normal })
            }
            FaultKind::Slow { latency_ms, .. } => {
                let delay = Duration::from_millis(*latency_ms);
                (both(), Link { delay, jitter: delay / 4, ..normal })
            }
            FaultKind::Narrow { bytes_per_second, .. } => {
                (both(), Link { rate: Some(*bytes_per_second), ..normal })
            }
            FaultKind::Loss { per_100k: many } => {
                targets = vec!["everybody".to_owned()];
                (self.everywhere(), Link { loss: per_100k(*many), ..normal })
            }
            FaultKind::Rough { duplicate_per_100k, reorder_per_100k } => {
                targets = vec!["everybody".to_owned()];
                let (duplicate, reorder) =
                    (per_100k(*duplicate_per_100k), per_100k(*reorder_per_100k));
                let jitter = Duration::from_millis(5);
                (self.everywhere(), Link { duplicate, reorder, jitter, ..normal })
            }
            _ => anyhow::bail!("this is done to no link"),
        };
        match self.links.lock().ask(fault.id, directions, link) {
            Ok(()) => Ok(Installed::Yes { targets }),
            Err(error) => Ok(Installed::Skipped(error.to_string())),
        }
    }

    /// Every direction there is, the harness's own too.
    fn everywhere(&self) -> Vec<(String, String)> {
        let places = self.stations.places().iter().map(|place| place.name.clone());
        let names: Vec<String> = places.chain([HARNESS.to_owned()]).collect();
        let from = |a: &String| {
            let a = a.clone();
            names.iter().filter(move |b| **b != a).cloned().collect::<Vec<_>>()
        };
        names.iter().flat_map(|a| from(a).into_iter().map(|b| (a.clone(), b))).collect()
    }

    async fn kill(&self, fault: &Fault, name: String) -> anyhow::Result<Installed> {
        let mut targets = vec![name.clone()];
        // While another one is away too, or its place is just being taken, what the shards wait for is no election.
        if self.all_others_run(&name)
            && self.admin.may_lose_one().await.is_ok()
            && let Some(report) = self.admin.report(&name).await
        {
            targets.extend(report.leads().map(|shard| leader_of(shard.0)));
        }
        let mut station = self.stations.get(&name).context("no such node")?;
        if !station.runs() {
            return Ok(Installed::Skipped("it is down".to_owned()));
        }
        self.hits(fault, &name);
        station.held = true;
        let at_sync = station.disk.is_some() && fault.id % AT_SYNC_ONE_IN == 1;
        let nth = fault.id / AT_SYNC_ONE_IN % SYNCS + 1;
        let traced = at_sync && station.inject(Injection::KillAtSync { nth }).is_ok();
        drop(station);
        if traced {
            self.is_gone(&name, END_AT_SYNC).await;
        }
        self.stations.get(&name).context("no such node")?.kill()?;
        Ok(Installed::Yes { targets })
    }

    /// A machine is gone without a word: first nothing passes any more, then its process ends. What its system says
    /// of that reaches nobody, devices neither, and later it knows of no connection any more.
    fn go_dark(&self, fault: &Fault, name: String) -> anyhow::Result<Installed> {
        let mut station = self.stations.get(&name).context("no such node")?;
        if !station.runs() {
            return Ok(Installed::Skipped("it is down".to_owned()));
        }
        self.hits(fault, &name);
        let others = self.stations.others(&name).into_iter().chain([HARNESS.to_owned()]);
        let both = |other: String| [(name.clone(), other.clone()), (other, name.clone())];
        let cut = Link { cut: true, ..Link::default() };
        if let Err(error) = self.links.lock().ask(fault.id, others.flat_map(both).collect(), cut) {
            return Ok(Installed::Skipped(error.to_string()));
        }
        station.lose_power()?;
        drop(station);
        Ok(yes([name]))
    }

    /// The power of so many routers goes, of all at the same moment.
    fn cut_power(&self, fault: &Fault, routers: usize) -> anyhow::Result<Installed> {
        let mut hit = self.admin.members();
        // All that founded the cluster are all: one that was taken in since is one of them.
        if routers < self.stations.registries().len() {
            hit.truncate(routers);
        }
        for name in &hit {
            let mut station = self.stations.get(name).context("no such node")?;
            self.hits(fault, name);
            // What fails because the disk is gone already ends before it is killed.
            station.held = true;
            station.disk.as_ref().context("it has no disk")?.cut()?;
        }
        for name in &hit {
            self.stations.get(name).context("no such node")?.kill()?;
        }
        Ok(Installed::Yes { targets: hit })
    }

    /// Every sync fails. The node must not go on as if it had not.
    async fn fail_sync(&self, fault: &Fault, name: String) -> anyhow::Result<Installed> {
        let written = || async {
            let report = self.admin.report(&name).await?;
            Some(report.replicas.iter().map(|replica| replica.last_index).sum::<u64>())
        };
        let starts = {
            let mut station = self.stations.get(&name).context("no such node")?;
            if !station.runs() {
                return Ok(Installed::Skipped("it is down".to_owned()));
            }
            self.hits(fault, &name);
            // Before it is in effect: whoever looks for those that ended must not come in between.
            station.excuses.add(SYNCS_FAIL);
            let injected = station.inject(Injection::SyncFails);
            if let Err(error) = injected {
                station.excuses.end(SYNCS_FAIL, Instant::now());
                return Err(error);
            }
            station.starts
        };
        let began = Instant::now();
        let before = written().await;
        let mut after = None;
        while began.elapsed() < FAILED_SYNC {
            sleep(Duration::from_millis(50)).await;
            let is_over = self
                .stations
                .get(&name)
                .is_none_or(|station| !station.runs() || station.starts != starts);
            if is_over {
                self.no_excuse(&name, SYNCS_FAIL);
                return Ok(yes([name]));
            }
            after = written().await.or(after);
        }
        let mut station = self.stations.get(&name).context("no such node")?;
        station.let_go();
        station.kill()?;
        station.start()?;
        drop(station);
        self.no_excuse(&name, SYNCS_FAIL);
        // An append that is under way may count already; more cannot.
        if let (Some(before), Some(after)) = (before, after)
            && after > before + GOES_ON
        {
            let what =
                format!("{name} went on after its syncs failed: from {before} to {after} entries");
            self.stations.find(what);
        }
        Ok(Installed::Indeterminate(format!("{name} did not end: no sync of its own failed")))
    }
}

/// Entries that a node may still take in while its syncs begin to fail.
const GOES_ON: u64 = 200;

/// The harness's own name on the network.
pub(super) const HARNESS: &str = "harness";

pub(super) fn yes<const N: usize>(targets: [String; N]) -> Installed {
    Installed::Yes { targets: targets.to_vec() }
}
