//! Undo: takes back what a fault did to real processes.

use anyhow::Context as _;

use super::install::{DISK_FULL, SYNCS_FAIL};
use super::world::ProcessWorld;
use crate::plan::{Fault, FaultKind};

impl ProcessWorld {
    /// Takes back what a fault did to its targets.
    pub(super) fn undo(&self, fault: &Fault, targets: &[String]) {
        if let FaultKind::Drain { .. } = &fault.kind {
            // Even where nobody knows whether it was done.
            self.admin.lead_again();
        }
        for name in targets {
            let done = self.undo_one(fault, name);
            self.must(&format!("take {:?} back from {name}", fault.kind), done);
        }
    }

    fn undo_one(&self, fault: &Fault, name: &str) -> anyhow::Result<()> {
        let released = self.links.lock().release(fault.id);
        released?;
        // Targets may name more than machines.
        let Some(mut station) = self.stations.get(name) else { return Ok(()) };
        match &fault.kind {
            FaultKind::Pause { .. } => {
                if let Some(process) = station.process() {
                    process.go_on()?;
                }
            }
            FaultKind::Stall { .. } => station.let_go(),
            FaultKind::Kill { .. }
            | FaultKind::Outage { .. }
            // These two are over when they are done: they failed half-way.
            | FaultKind::Damage { .. }
            | FaultKind::RollingRestart => station.start()?,
            FaultKind::FailedSync { .. } => {
                station.let_go();
                station.start()?;
                drop(station);
                self.no_excuse(name, SYNCS_FAIL);
            }
            FaultKind::PowerCut { .. } => {
                // It may be there yet, if the power of another one could not be cut.
                station.kill()?;
                if let Some(disk) = &station.disk {
                    disk.restore()?;
                }
                station.start()?;
            }
            FaultKind::FullDisk { .. } => {
                station.disk.as_ref().context("it has no disk")?.free()?;
                drop(station);
                self.no_excuse(name, DISK_FULL);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes everything back: links carry, processes run, disks take writes.
    pub(super) fn undo_all(&self) {
        let cleared = self.links.lock().clear();
        self.must("clear the network", cleared.map_err(Into::into));
        self.admin.lead_again();
        let names: Vec<String> =
            self.stations.places().iter().map(|place| place.name.clone()).collect();
        for name in names {
            let should_run = self.should_run(&name);
            let Some(mut station) = self.stations.get(&name) else { continue };
            station.let_go();
            let mut done = Ok(());
            if let Some(process) = station.process() {
                done = process.go_on().map_err(Into::into);
            }
            // One that was replaced stays away.
            if should_run && done.is_ok() {
                done = station.start();
            }
            drop(station);
            self.must(&format!("heal {name}"), done);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Write as _, stderr};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::sync::Arc;

    use machine::{Fabric, Ledger, Network};
    use orrery_host::Host;
    use orrery_model::NodeId;
    use orrery_router_client::Config;
    use orrery_router_client::cluster::ClusterClient;

    use super::*;
    use crate::plan::{Plan, Swarm};
    use crate::world::admin::{Admin, Seat};
    use crate::world::process::links::Links;
    use crate::world::process::progress::Progress;
    use crate::world::process::run::LEDGERS;
    use crate::world::process::stations::Stations;
    use crate::world::process::topology::Role;
    use crate::world::{Installed, World as _};

    /// A program in the place of the one under test.
    const IDLE: &str = "#!/bin/sh\nexec sleep 600\n";

    /// Whether the machine can do it; if not, that is said past the test framework.
    fn can() -> bool {
        let probes = machine::doctor::examine();
        let lacks = |name| probes.iter().any(|probe| probe.name == name && probe.found.is_err());
        let Some(name) =
            ["root", "switch", "disk", "process"].into_iter().find(|name| lacks(*name))
        else {
            return true;
        };
        let text = format!("SKIPPED, nothing was tested: {name}\n");
        let required = std::env::var("ORRERY_MACHINE_TEST").is_ok_and(|value| value == "required");
        assert!(!required, "{text}");
        let _ = stderr().write_all(text.as_bytes());
        false
    }

    /// Routers that do nothing, on disks of their own.
    fn world(folder: &Path) -> ProcessWorld {
        let binary = folder.join("idle");
        fs::write(&binary, IDLE).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        let mut plan = Plan::of(1);
        plan.swarm = Swarm { routers: 3, logics: 0, comets: 0, ..plan.swarm };
        // Where the next harness would look, should this test be killed.
        let ledger = Ledger::begin(Path::new(LEDGERS)).unwrap();
        let network = Network::new(&ledger, Fabric::Switch, 1).unwrap();
        let stations = Arc::new(Stations::make(&plan, &ledger, &network, &binary, folder).unwrap());
        stations.start_routers().unwrap();
        let client = ClusterClient::new(&Config::default(), Host::system());
        let seats = stations.of(Role::Router).into_iter().enumerate().map(|(at, place)| Seat {
            name: place.name.clone(),
            registry: place.registry().to_string(),
            id: NodeId(at as u64 + 1),
        });
        let seats = seats.collect();
        let admin = Admin::new(client, "c".to_owned(), std::time::Duration::ZERO, seats, 3);
        ProcessWorld::new(&plan, stations, admin, Links::new(network), Progress::begin(1))
    }

    #[tokio::test]
    async fn of_a_power_cut_that_fails_half_way_nothing_stays() {
        if !can() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let stations = world.stations.clone();
        // What cannot be cut: the second one of two.
        stations.get("router-2").unwrap().disk = None;
        let kind = FaultKind::PowerCut { routers: 2 };
        let fault = Fault { id: 1, at_ms: 0, lasts_ms: 60_000, kind };
        let installed = world.install(&fault).await;
        assert!(matches!(&installed, Installed::Indeterminate(_)), "{installed:?}");
        for name in ["router-1", "router-2", "router-3"] {
            let station = stations.get(name).unwrap();
            assert!(station.runs() && !station.held, "{name}");
        }
        let data = stations.get("router-1").unwrap().data().unwrap();
        fs::create_dir(data).unwrap();
        world.take_back(&fault).await;
        assert_eq!(stations.failures(), [""; 0]);
        stations.end();
    }
}
