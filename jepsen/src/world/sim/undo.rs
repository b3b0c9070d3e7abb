//! Undo: the simulation takes back what a fault did.

use orrery_router_store::Space;

use super::world::SimWorld;
use crate::plan::{Fault, FaultKind};

impl SimWorld {
    /// Takes back what a fault did to its targets.
    pub(super) fn undo(&self, fault: &Fault, targets: &[String]) {
        if let FaultKind::Drain { .. } = &fault.kind {
            // Even where nobody knows whether it was done.
            self.admin.lead_again();
        }
        let Some(name) = targets.first() else { return };
        let machine = self.cluster.machine(name);
        match &fault.kind {
            FaultKind::Isolate { .. }
            | FaultKind::Mute { .. }
            | FaultKind::Deafen { .. }
            | FaultKind::Bridge { .. }
            | FaultKind::Hold { .. }
            | FaultKind::Slow { .. }
            | FaultKind::Loss { .. } => self.links.forget(fault.id),
            FaultKind::Pause { .. } => {
                machine.expect("it has a machine").process.open();
                self.links.forget(fault.id);
            }
            FaultKind::Outage { .. } => {
                self.links.forget(fault.id);
                self.start(name);
            }
            FaultKind::Kill { .. } | FaultKind::PowerCut { .. } => {
                targets.iter().for_each(|name| self.start(name));
            }
            FaultKind::Stall { .. } => machine.expect("it has a machine").disk.open(),
            FaultKind::FullDisk { .. } => {
                let disk = &self.router(name).expect("it is a router").disk;
                disk.set_space(Space { free_bytes: 1 << 40, total_bytes: 1 << 40 });
            }
            FaultKind::FailedSync { .. }
            | FaultKind::ClockJump { .. }
            | FaultKind::MoveLeader { .. }
            | FaultKind::Resize { .. }
            | FaultKind::Drain { .. }
            | FaultKind::Snapshot { .. }
            | FaultKind::ReplaceNode { .. }
            | FaultKind::Wipe { .. }
            | FaultKind::Rough { .. }
            | FaultKind::Narrow { .. }
            | FaultKind::Damage { .. }
            | FaultKind::RollingRestart => {}
        }
    }
}
