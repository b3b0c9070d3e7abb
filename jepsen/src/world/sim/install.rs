//! Install: the simulation does what a fault says.

use std::time::Duration;

use orrery_model::ShardId;
use orrery_router_store::Space;
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use tokio::time::sleep;

use super::cluster::{DISK_LOST, POWER_GONE, SYNC_FAILED};
use super::links::Effect;
use super::load;
use super::world::SimWorld;
use crate::plan::{Fault, FaultKind};
use crate::world::Installed;

/// How long a node that is stopped in a rolling restart stays away.
const RESTART: Duration = Duration::from_millis(300);

/// Pause between two nodes of a rolling restart.
const ROLL: Duration = Duration::from_secs(3);

/// For how long at most disks stand still before the power is gone, in milliseconds.
const STALL_MS_MAX: u64 = 60;

/// How long a disk is waited for that writes nothing, in milliseconds.
const WRITES_MS_MAX: u64 = 100;

impl SimWorld {
    /// Does what a fault says.
    pub(super) async fn do_it(&self, fault: &Fault) -> Installed {
        let yes = |targets: Vec<String>| Installed::Yes { targets };
        let name = match fault.kind.aim() {
            None => String::new(),
            Some(aim) => match self.target(aim).await {
                Some(name) => name,
                None => return Installed::Skipped("nobody leads it".to_owned()),
            },
        };
        let machine = self.cluster.machine(&name);
        match &fault.kind {
            FaultKind::Isolate { .. } => {
                self.links.want(fault.id, &name, &self.reach(fault, &name), Effect::Cut);
                yes(vec![name])
            }
            FaultKind::Mute { .. } => {
                self.links.want(fault.id, &name, &self.reach(fault, &name), Effect::Mute);
                yes(vec![name])
            }
            FaultKind::Deafen { .. } => {
                for other in self.reach(fault, &name) {
                    self.links.want(fault.id, &other, std::slice::from_ref(&name), Effect::Mute);
                }
                yes(vec![name])
            }
            FaultKind::Bridge { b, .. } => {
                let Some(other) = self.target(*b).await.filter(|other| *other != name) else {
                    return Installed::Skipped("it is the same node".to_owned());
                };
                self.links.want(fault.id, &name, std::slice::from_ref(&other), Effect::Cut);
                yes(vec![name, other])
            }
            FaultKind::Hold { .. } => {
                self.links.want(fault.id, &name, &self.reach(fault, &name), Effect::Hold);
                yes(vec![name])
            }
            FaultKind::Pause { .. } => {
                machine.expect("it has a machine").process.close();
                self.links.want(fault.id, &name, &self.reach(fault, &name), Effect::Hold);
                yes(vec![name])
            }
            FaultKind::Slow { latency_ms, .. } => {
                let slow = Effect::Slow(Duration::from_millis(*latency_ms));
                self.links.want(fault.id, &name, &self.reach(fault, &name), slow);
                yes(vec![name])
            }
            FaultKind::Loss { per_100k } => {
                self.links.lose(fault.id, f64::from(*per_100k) / 100_000.0);
                yes(vec!["everybody".to_owned()])
            }
            FaultKind::Kill { .. } => {
                self.crash(&name);
                yes(vec![name])
            }
            FaultKind::Outage { .. } => {
                let mut others = self.cluster.names();
                others.retain(|other| *other != name);
                others.extend(load::names());
                self.links.want(fault.id, &name, &others, Effect::Cut);
                self.crash(&name);
                yes(vec![name])
            }
            FaultKind::PowerCut { routers } => yes(self.cut_power(*routers).await),
            FaultKind::Stall { .. } => {
                machine.expect("it has a machine").disk.close();
                yes(vec![name])
            }
            FaultKind::FailedSync { .. } => {
                self.cluster.excuse(&name, SYNC_FAILED);
                self.router(&name).expect("it is a router").disk.fail_next_write();
                yes(vec![name])
            }
            FaultKind::FullDisk { .. } => {
                let disk = &self.router(&name).expect("it is a router").disk;
                disk.set_space(Space { free_bytes: 0, total_bytes: 1 << 40 });
                yes(vec![name])
            }
            FaultKind::ClockJump { by_ms, .. } => {
                machine.expect("it has a machine").clock.jump_ms(*by_ms);
                yes(vec![name])
            }
            FaultKind::Snapshot { .. } => self.admin.snapshot(&name).await,
            FaultKind::MoveLeader { shard } => self.admin.move_leader(ShardId(*shard)).await,
            FaultKind::Resize { shard, more } => {
                self.admin.resize(ShardId(*shard), *more, || self.admin.take_spare()).await
            }
            FaultKind::Drain { .. } => self.admin.drain(&name).await,
            FaultKind::RollingRestart => {
                let mut hit = Vec::new();
                for name in self.admin.members() {
                    self.crash(&name);
                    sleep(RESTART).await;
                    self.start(&name);
                    sleep(ROLL).await;
                    hit.push(name);
                }
                yes(hit)
            }
            FaultKind::ReplaceNode { .. } => self.replace(&name, false).await,
            FaultKind::Wipe { .. } => self.replace(&name, true).await,
            FaultKind::Rough { .. } | FaultKind::Narrow { .. } | FaultKind::Damage { .. } => {
                Installed::Skipped("the simulation does not know it".to_owned())
            }
        }
    }

    /// The power of so many routers goes while their disks are at work. For a moment nothing gets on to the
    /// disks, although memory has it and others may be told of it; then each is cut off in the middle of a write.
    async fn cut_power(&self, routers: usize) -> Vec<String> {
        let (hit, stall) = {
            let mut chance = self.chance.lock();
            let mut hit = self.admin.members();
            hit.shuffle(&mut *chance);
            hit.truncate(routers);
            (hit, Duration::from_millis(chance.random_range(0..=STALL_MS_MAX)))
        };
        let machines: Vec<_> = hit.iter().filter_map(|name| self.router(name)).collect();
        for router in &machines {
            self.cluster.held.lock().insert(router.name.clone());
            self.cluster.excuse(&router.name, POWER_GONE);
            router.machine.disk.close();
            router.disk.cut_in_next_write(self.chance.lock().random());
        }
        sleep(stall).await;
        machines.iter().for_each(|router| router.machine.disk.open());
        for _ in 0..WRITES_MS_MAX {
            if machines.iter().all(|router| !router.disk.is_to_be_cut()) {
                break;
            }
            sleep(Duration::from_millis(1)).await;
        }
        for router in &machines {
            self.cluster.orders.crash(&router.name);
            router.disk.crash(|_| 0);
        }
        hit
    }

    /// Starts a router again that has lost its disk, under the id that it had. Whether the others take it for
    /// what it was, which they must not: it is stopped for good then.
    async fn bring_back(&self, name: &str) -> bool {
        let router = self.router(name).expect("it is a router");
        router.disk.wipe(router.id, format!("{name}-without-its-disk"));
        self.cluster.excuse(name, DISK_LOST);
        self.start(name);
        self.admin.bring_back(name).await;
        sleep(ROLL).await;
        let report = self.admin.report(name).await;
        let is_in =
            report.is_some_and(|report| report.replicas.iter().any(|one| one.leader.is_some()));
        if !is_in {
            self.crash(name);
        }
        is_in
    }

    /// Puts a spare in a router's place. A router that is wiped has lost its disk before.
    async fn replace(&self, old: &str, wipe: bool) -> Installed {
        if wipe && let Err(skipped) = self.admin.may_lose_one().await {
            return skipped;
        }
        if let Err(skipped) = self.admin.none_drained() {
            return skipped;
        }
        let Some(spare) = self.admin.take_spare() else {
            return Installed::Skipped("no spare is left".to_owned());
        };
        if wipe {
            self.crash(old);
            if self.bring_back(old).await {
                return Installed::Yes { targets: vec![old.to_owned()] };
            }
        }
        let replaced = self.admin.replace(old, &spare).await;
        // What lost its disk cannot come back, and what may have been replaced must be so for good.
        if matches!(replaced, Installed::Indeterminate(_))
            || wipe && matches!(replaced, Installed::Skipped(_))
        {
            self.admin.leave_unfinished(old, &spare);
        }
        replaced
    }
}
