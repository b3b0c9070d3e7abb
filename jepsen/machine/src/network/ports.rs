//! Ports: who has which address of a network.

use std::collections::BTreeMap;

use super::node::check_name;
use crate::MachineError;
use crate::ledger::Made;
use crate::limits::PORTS_MAX;

/// Who has which address, and what was made for them, last first.
#[derive(Debug, Default)]
pub(super) struct Ports {
    pub(super) hosts: BTreeMap<String, u8>,
    /// Addresses given away, also in vain.
    given: usize,
    pub(super) made: Vec<Made>,
}

impl Ports {
    /// An address for this name. It is used up even if the port is not made after all.
    pub(super) fn draw(&mut self, name: &str) -> Result<u8, MachineError> {
        check_name(name)?;
        if self.hosts.contains_key(name) {
            return Err(MachineError::Refused(format!("{name} is on the network already")));
        }
        if self.given == PORTS_MAX {
            return Err(MachineError::Refused(format!("the network has only {PORTS_MAX} ports")));
        }
        self.given += 1;
        Ok(self.given as u8)
    }

    pub(super) fn host(&self, name: &str) -> Result<u8, MachineError> {
        let host = self.hosts.get(name).copied();
        host.ok_or_else(|| MachineError::Refused(format!("{name} is not on the network")))
    }
}
