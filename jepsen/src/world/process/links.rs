//! Links: what each fault asks of the network, put together link by link.

use std::collections::BTreeMap;

use machine::{Link, MachineError, Network};

/// A direction between two machines.
type Direction = (String, String);

/// The network and what is wrong with it now. Faults may overlap: what each asks for stays until it is
/// taken back, whatever the others do.
pub(crate) struct Links {
    network: Network,
    asked: BTreeMap<u32, BTreeMap<Direction, Link>>,
}

impl Links {
    /// A network as it should be.
    pub(crate) fn new(network: Network) -> Self {
        Self { network, asked: BTreeMap::new() }
    }

    /// The network.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Does to some directions what a fault asks for.
    ///
    /// # Errors
    /// When the network cannot do that. Then nothing of the fault stays.
    pub(crate) fn ask(
        &mut self,
        fault: u32,
        directions: Vec<Direction>,
        link: Link,
    ) -> Result<(), MachineError> {
        let asked = directions.iter().cloned().map(|direction| (direction, link)).collect();
        self.asked.insert(fault, asked);
        let set = self.set(&directions);
        if set.is_err() {
            self.release(fault)?;
        }
        set
    }

    /// Takes back what a fault asked for.
    ///
    /// # Errors
    /// When the network does not take it.
    pub(crate) fn release(&mut self, fault: u32) -> Result<(), MachineError> {
        let asked = self.asked.remove(&fault).unwrap_or_default();
        self.set(&asked.into_keys().collect::<Vec<_>>())
    }

    /// Takes everything back.
    ///
    /// # Errors
    /// When the network does not take it.
    pub(crate) fn clear(&mut self) -> Result<(), MachineError> {
        self.asked.clear();
        self.network.clear()
    }

    fn set(&self, directions: &[Direction]) -> Result<(), MachineError> {
        for (from, to) in directions {
            let of =
                |asked: &BTreeMap<Direction, Link>| asked.get(&(from.clone(), to.clone())).copied();
            let link = self.asked.values().filter_map(of).fold(Link::default(), worse);
            self.network.set(from, to, link)?;
        }
        Ok(())
    }
}

/// What a link is under two faults.
fn worse(a: Link, b: Link) -> Link {
    let rate = match (a.rate, b.rate) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    Link {
        cut: a.cut || b.cut,
        delay: a.delay.max(b.delay),
        jitter: a.jitter.max(b.jitter),
        loss: a.loss.max(b.loss),
        duplicate: a.duplicate.max(b.duplicate),
        reorder: a.reorder.max(b.reorder),
        rate,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn of_two_faults_a_link_has_the_worse_of_each() {
        let slow = Link { delay: Duration::from_millis(80), rate: Some(9), ..Link::default() };
        let lossy = Link { loss: 0.1, rate: Some(4), ..Link::default() };
        let both = worse(slow, lossy);
        assert_eq!((both.delay, both.loss, both.rate), (slow.delay, 0.1, Some(4)));
        assert!(worse(both, Link { cut: true, ..Link::default() }).cut);
    }
}
