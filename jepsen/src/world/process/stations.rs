//! Stations: all machines of a run, and what became of their nodes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use machine::{Disk, Ledger, Network, WallClock};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use super::config_text::{Known, Tuning};
use super::station::{Parts, Station, has_disk};
use super::topology::{self, Place, Role};
use crate::entries::Stores;
use crate::plan::{Family, Plan};

/// Bytes of a router's disk.
const DISK_BYTES: u64 = 256 << 20;

/// All machines of a run.
pub(crate) struct Stations {
    all: Mutex<Vec<Station>>,
    places: Vec<Place>,
    founders: usize,
    /// Ends that no fault explains, in words.
    findings: Mutex<Vec<String>>,
    /// What the harness could not do, in words.
    failures: Mutex<Vec<String>>,
}

impl Stations {
    /// Makes every machine. Nothing runs on them yet.
    ///
    /// # Errors
    /// When one cannot be made.
    pub(crate) fn make(
        plan: &Plan,
        ledger: &Arc<Ledger>,
        network: &Network,
        binary: &Path,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let disks = folder.join("disks");
        fs::create_dir_all(&disks).with_context(|| format!("make {}", disks.display()))?;
        // A clock that can be set costs each look at it a file: only where it is.
        let clocks = plan.swarm.families.contains(&Family::Clock);
        let tuning = Tuning::of(&plan.swarm);
        let mut all = Vec::new();
        let mut routers = 0;
        for (role, name) in topology::machines(&plan.swarm) {
            let node = network.node(&name)?;
            let place = Place { name: name.clone(), role, address: node.address };
            let disk = match has_disk(role) {
                true => Some(Disk::new(ledger, &disks, &name, DISK_BYTES)?),
                false => None,
            };
            routers += u64::from(role == Role::Router);
            all.push(Station::new(Parts {
                ledger: ledger.clone(),
                node,
                place,
                disk,
                clock: clocks.then(|| WallClock::new(folder, &name)).transpose()?,
                binary: binary.to_owned(),
                folder: folder.to_owned(),
                tuning: tuning.clone(),
                id: routers,
            }));
        }
        let places: Vec<Place> = all.iter().map(|station| station.place.clone()).collect();
        let founders = plan.swarm.routers;
        let of = |role| places.iter().filter(move |place| place.role == role);
        let known = Known {
            routers: of(Role::Router).take(founders).map(|at| at.registry().to_string()).collect(),
            logics: of(Role::Logic).map(|at| at.edge().to_string()).collect(),
        };
        all.iter_mut().for_each(|station| station.know(known.clone()));
        Ok(Self {
            all: all.into(),
            places,
            founders,
            findings: Mutex::default(),
            failures: Mutex::default(),
        })
    }

    /// Where every machine is.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Machines of a role, in order.
    pub(crate) fn of(&self, role: Role) -> Vec<&Place> {
        self.places.iter().filter(|place| place.role == role).collect()
    }

    /// Where the registries of the routers are that found the cluster.
    pub(crate) fn registries(&self) -> Vec<String> {
        let routers = self.of(Role::Router).into_iter().take(self.founders);
        routers.map(|place| place.registry().to_string()).collect()
    }

    /// The names of all but one.
    pub(crate) fn others(&self, name: &str) -> Vec<String> {
        let names = self.places.iter().map(|place| place.name.clone());
        names.filter(|other| other != name).collect()
    }

    /// A machine by its name.
    pub(crate) fn get(&self, name: &str) -> Option<MappedMutexGuard<'_, Station>> {
        let all = self.all.lock();
        MutexGuard::try_map(all, |all| all.iter_mut().find(|station| station.name() == name)).ok()
    }

    /// Does something with each machine.
    pub(crate) fn each(&self, does: impl FnMut(&mut Station)) {
        self.all.lock().iter_mut().for_each(does);
    }

    /// Starts those that found the cluster, and everybody but the routers.
    ///
    /// # Errors
    /// When a process cannot be begun.
    pub(crate) fn start_routers(&self) -> anyhow::Result<()> {
        let mut all = self.all.lock();
        all[..self.founders].iter_mut().try_for_each(Station::start)
    }

    /// Starts everybody who is no router.
    ///
    /// # Errors
    /// When a process cannot be begun.
    pub(crate) fn start_others(&self) -> anyhow::Result<()> {
        let mut all = self.all.lock();
        let mut others = all.iter_mut().filter(|station| station.place.role != Role::Router);
        others.try_for_each(Station::start)
    }

    /// Refuses to go on when a node has ended while the cluster was being made.
    ///
    /// # Errors
    /// Which one did, and what it said last.
    pub(crate) fn all_run(&self) -> anyhow::Result<()> {
        for station in self.all.lock().iter_mut().filter(|station| !station.held) {
            if let Some(status) = station.ended()? {
                let said = station.last_lines();
                bail!("{} ended while starting ({status}); it said:\n{said}", station.name());
            }
        }
        Ok(())
    }

    /// Ends every router and copies what it has on its disk, each into a folder of its own in this one.
    pub(crate) fn keep(&self, folder: &Path) -> Stores {
        let mut stores = Stores::default();
        let mut all = self.all.lock();
        for station in all.iter_mut() {
            let Some(data) = station.data() else { continue };
            // What does not end stays in the ledger.
            let _ = station.kill();
            stores.copy(station.id, &data, folder.join(station.name()));
        }
        stores
    }

    /// Ends every node and unmakes every machine, whoever still knows of them.
    pub(crate) fn end(&self) {
        let mut all = self.all.lock();
        for station in all.iter_mut() {
            // What does not end stays in the ledger.
            let _ = station.kill();
        }
        all.clear();
    }

    /// Writes down what no fault explains.
    pub(crate) fn find(&self, what: String) {
        self.findings.lock().push(what);
    }

    /// What no fault explains, so far.
    pub(crate) fn findings(&self) -> Vec<String> {
        self.findings.lock().clone()
    }

    /// Writes down what the harness could not do.
    pub(crate) fn fail(&self, what: String) {
        self.failures.lock().push(what);
    }

    /// What the harness could not do, so far.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().clone()
    }

    /// Every node's log.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        self.all.lock().iter().map(Station::log).collect()
    }
}
