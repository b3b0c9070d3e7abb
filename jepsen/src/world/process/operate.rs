//! Operate: what those do to a cluster who run it: restarts with another configuration, other leaders, other
//! nodes, snapshots.

use std::time::Duration;

use anyhow::Context as _;
use orrery_model::cluster::NodeState;
use orrery_model::{NodeId, ShardId};
use tokio::time::{Instant, sleep, timeout};

use super::install::yes;
use super::station::Excuses;
use super::topology::Role;
use super::world::ProcessWorld;
use crate::plan::{Fault, FaultKind};
use crate::world::Installed;

/// How long a node may take to end when it is asked to.
const STOP: Duration = Duration::from_secs(20);

/// How long one that was restarted may take until it says that it is ready.
const READY: Duration = Duration::from_secs(20);

/// How long a new node may take until it answers, is taken in and has its replicas asked for.
const REPLACE: Duration = Duration::from_secs(15);

/// Pause between two looks at a node.
const LOOK: Duration = Duration::from_millis(100);

impl ProcessWorld {
    /// Does what an operator does.
    pub(super) async fn operate(&self, fault: &Fault, name: String) -> anyhow::Result<Installed> {
        match &fault.kind {
            FaultKind::Snapshot { .. } => Ok(self.admin.snapshot(&name).await),
            FaultKind::MoveLeader { shard } => Ok(self.admin.move_leader(ShardId(*shard)).await),
            FaultKind::Resize { shard, more } => self.resize(ShardId(*shard), *more).await,
            FaultKind::Drain { .. } => Ok(self.admin.drain(&name).await),
            FaultKind::ReplaceNode { .. } => self.replace(&name, false).await,
            FaultKind::Wipe { .. } => self.replace(&name, true).await,
            FaultKind::RollingRestart => self.roll(fault).await,
            _ => anyhow::bail!("this is nothing that an operator does"),
        }
    }

    /// Gives a shard one replica more, or one fewer. Where no node has room for one more, a new one is taken in,
    /// which stays.
    async fn resize(&self, shard: ShardId, more: bool) -> anyhow::Result<Installed> {
        self.recycle().await?;
        let spare = || {
            let spare = self.admin.take_spare()?;
            // It is asked who it is until it answers.
            self.stations.get(&spare)?.start().ok()?;
            Some(spare)
        };
        let late = || Installed::Indeterminate(format!("not done within {REPLACE:?}"));
        let resized = timeout(REPLACE, self.admin.resize(shard, more, spare)).await;
        Ok(resized.unwrap_or_else(|_| late()))
    }

    /// Restarts one router after the other, each with a configuration a little different from before.
    async fn roll(&self, fault: &Fault) -> anyhow::Result<Installed> {
        let step = u64::from(fault.id);
        let mut hit = Vec::new();
        for name in self.admin.members() {
            self.hits(fault, &name);
            {
                let mut station = self.stations.get(&name).context("no such node")?;
                station.held = true;
                if let Some(process) = station.process() {
                    process.terminate()?;
                }
            }
            if !self.is_gone(&name, STOP).await {
                self.stations.find(format!("{name} did not end within {STOP:?} of SIGTERM"));
            }
            {
                let mut station = self.stations.get(&name).context("no such node")?;
                station.kill()?;
                station.tuning = self.tuning.changed(step + hit.len() as u64);
                station.start()?;
            }
            let ready = Instant::now() + READY;
            while Instant::now() < ready {
                let report = self.admin.report(&name).await;
                if report.is_some_and(|report| report.not_ready.is_none()) {
                    break;
                }
                sleep(LOOK).await;
            }
            hit.push(name);
        }
        Ok(Installed::Yes { targets: hit })
    }

    /// Puts a new node in a router's place. One that is wiped is gone first.
    pub(super) async fn replace(&self, old: &str, wipe: bool) -> anyhow::Result<Installed> {
        if wipe && let Err(skipped) = self.admin.may_lose_one().await {
            return Ok(skipped);
        }
        if wipe && self.admin.lost().iter().any(|lost| lost != old) {
            return Ok(Installed::Skipped("another one is still to be replaced".to_owned()));
        }
        if let Err(skipped) = self.admin.none_drained() {
            return Ok(skipped);
        }
        self.recycle().await?;
        let Some(spare) = self.admin.take_spare() else {
            return Ok(Installed::Skipped("no spare is left".to_owned()));
        };
        if let Err(error) = self.begin_to_replace(old, &spare, wipe) {
            self.admin.give_back(&spare);
            return Err(error);
        }
        let mut replaced = Installed::Indeterminate(format!("{spare} does not answer"));
        let deadline = Instant::now() + REPLACE;
        while Instant::now() < deadline && !matches!(replaced, Installed::Yes { .. }) {
            let replace = self.admin.replace(old, &spare);
            replaced = timeout(REPLACE, replace).await.unwrap_or(replaced);
            sleep(LOOK).await;
        }
        match &replaced {
            Installed::Yes { .. } => self.retire(old),
            // Whether the new one was taken in is not known: it runs on, the old one too, and it is tried again.
            Installed::Indeterminate(_) => {
                self.admin.leave_unfinished(old, &spare);
                if wipe {
                    self.stations.get(old).context("no such node")?.start()?;
                }
            }
            Installed::Skipped(_) => {
                self.admin.give_back(&spare);
                if wipe {
                    self.stations.get(old).context("no such node")?.start()?;
                }
            }
        }
        Ok(replaced)
    }

    /// Starts a spare. One that is wiped ends before; if that is all that can be done it is started again.
    fn begin_to_replace(&self, old: &str, spare: &str, wipe: bool) -> anyhow::Result<()> {
        if wipe {
            self.stations.get(old).context("no such node")?.kill()?;
        }
        let started = self.stations.get(spare).context("no such node")?.start();
        if wipe && started.is_err() {
            self.stations.get(old).context("no such node")?.start()?;
        }
        started
    }

    /// A router's place was taken: it ends once the cluster has removed it.
    fn retire(&self, old: &str) {
        self.excuse(old, "it was replaced");
        if let Some(mut station) = self.stations.get(old) {
            station.retires = true;
        }
        self.retired.lock().push(old.to_owned());
    }

    /// Tries once more to have the places taken of routers that are to go.
    pub(super) async fn finish(&self) {
        self.admin.finish().await.iter().for_each(|old| self.retire(old));
        for name in self.admin.lost() {
            let replaced = self.replace(&name, true).await;
            // What may have been done is unfinished from now on; of what failed nothing was.
            if matches!(replaced, Ok(Installed::Yes { .. } | Installed::Indeterminate(_))) {
                self.admin.make_up_for(&name);
            }
            self.progress.say(&format!("{name}, whose files are damaged: {replaced:?}"));
        }
    }

    /// Lets machines be used again whose nodes the cluster has removed: on an empty disk, under a new number.
    async fn recycle(&self) -> anyhow::Result<()> {
        let mut removed = Vec::new();
        for name in self.admin.members() {
            if let Some(report) = self.admin.report(&name).await {
                let gone = report.nodes.iter().filter(|(_, state)| *state == NodeState::Removed);
                removed.extend(gone.map(|(node, _)| node.id));
            }
        }
        let retired = self.retired.lock().clone();
        for name in retired {
            let mut station = self.stations.get(&name).context("no such node")?;
            if !removed.contains(&NodeId(station.id)) {
                continue;
            }
            station.kill()?;
            station.disk.as_ref().context("it has no disk")?.wipe()?;
            let id = {
                let mut last = self.last_id.lock();
                *last += 1;
                *last
            };
            (station.id, station.excuses, station.retires) = (id, Excuses::default(), false);
            drop(station);
            self.retired.lock().retain(|one| *one != name);
            self.admin.offer(&name, NodeId(id));
        }
        Ok(())
    }

    /// Whether a machine has a node that should run: every one but routers that are no members.
    pub(super) fn should_run(&self, name: &str) -> bool {
        let is_router = self.stations.of(Role::Router).iter().any(|place| place.name == name);
        !is_router || self.admin.members().iter().any(|member| member == name)
    }
}

/// A machine and what was done to it, in the words of a fault's targets.
pub(super) fn done_to(name: String, what: &str) -> Installed {
    yes([name, what.to_owned()])
}
