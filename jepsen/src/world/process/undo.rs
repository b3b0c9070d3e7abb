//! Undo: takes back what a fault did to real processes.

use anyhow::Context as _;

use super::install::DISK_FULL;
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
            FaultKind::Kill { .. } | FaultKind::Outage { .. } => station.start()?,
            FaultKind::PowerCut { .. } => {
                station.disk.as_ref().context("it has no disk")?.restore()?;
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
