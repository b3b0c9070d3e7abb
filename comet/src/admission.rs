//! Admission: how many connections may be open, how many of one address, and how many may be shaking hands.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::limits::NETWORK_BITS;
use crate::metrics::{Counted, Metrics};

/// Why a connection is refused at the door. It may come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many connections as allowed.
    Connections,
    /// As many unauthenticated connections as allowed.
    Handshakes,
    /// As many connections of its address, or network, as allowed.
    Address,
    /// The comet sends its devices elsewhere.
    Draining,
}

/// The door of a comet.
pub(crate) struct Admission {
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    remotes: Arc<Remotes>,
    metrics: Arc<Metrics>,
}

/// The place of an admitted connection; each part is given back by its drop.
#[derive(Debug)]
pub(crate) struct Place {
    /// Among the connections.
    pub(crate) connection: OwnedSemaphorePermit,
    /// Among those that are not authenticated yet.
    pub(crate) handshake: Handshake,
    /// Among the connections of its remote address.
    pub(crate) remote: RemoteGuard,
}

/// A place among the connections that are not authenticated yet.
#[derive(Debug)]
pub(crate) struct Handshake {
    _permit: OwnedSemaphorePermit,
    _counted: Option<Counted>,
}

impl Admission {
    pub(crate) fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        let places = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            connections: places(config.connections_max),
            handshakes: places(config.handshakes_max),
            remotes: Arc::new(Remotes::new(config.connections_per_address_max)),
            metrics,
        }
    }

    /// Admits a connection, or refuses it at once.
    pub(crate) fn admit(&self, remote: IpAddr) -> Result<Place, Refused> {
        self.enter(remote, || Some(self.metrics.shakes_hands()))
    }

    /// Admits a connection of which no device comes, since the comet is drained. It is not counted: a drain waits for
    /// those that shake hands.
    pub(crate) fn hear_out(&self, remote: IpAddr) -> Result<Place, Refused> {
        self.enter(remote, || None)
    }

    fn enter(
        &self,
        remote: IpAddr,
        counted: impl FnOnce() -> Option<Counted>,
    ) -> Result<Place, Refused> {
        let connection =
            self.connections.clone().try_acquire_owned().map_err(|_| Refused::Connections)?;
        let permit =
            self.handshakes.clone().try_acquire_owned().map_err(|_| Refused::Handshakes)?;
        let remote = Remotes::enter(&self.remotes, remote).ok_or(Refused::Address)?;
        let handshake = Handshake { _permit: permit, _counted: counted() };
        Ok(Place { connection, handshake, remote })
    }

    /// Distinct remote addresses of open connections.
    pub(crate) fn remotes(&self) -> usize {
        self.remotes.counts.lock().addresses.len()
    }
}

/// How many connections each remote address has, and each network of those of IPv6.
#[derive(Debug)]
struct Remotes {
    /// Most of one address or network.
    max: u32,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    addresses: HashMap<IpAddr, u32>,
    networks: HashMap<u128, u32>,
}

impl Remotes {
    /// 0: as many as there are places.
    fn new(max: usize) -> Self {
        let max = match max {
            0 => u32::MAX,
            max => u32::try_from(max).unwrap_or(u32::MAX),
        };
        Self { max, counts: Mutex::default() }
    }

    fn enter(remotes: &Arc<Self>, remote: IpAddr) -> Option<RemoteGuard> {
        // A device of IPv4 is the same one at a port for both.
        let remote = remote.to_canonical();
        let mut counts = remotes.counts.lock();
        let open = match remote {
            IpAddr::V4(_) => counts.addresses.get(&remote),
            IpAddr::V6(address) => counts.networks.get(&network(address)),
        };
        if open.is_some_and(|open| *open >= remotes.max) {
            return None;
        }
        *counts.addresses.entry(remote).or_default() += 1;
        if let IpAddr::V6(address) = remote {
            *counts.networks.entry(network(address)).or_default() += 1;
        }
        Some(RemoteGuard { remotes: remotes.clone(), remote })
    }
}

/// The part of an address of IPv6 that its host does not choose.
fn network(address: Ipv6Addr) -> u128 {
    address.to_bits() >> (u128::BITS - NETWORK_BITS)
}

/// Counts one connection of a remote address while it lives.
#[derive(Debug)]
pub(crate) struct RemoteGuard {
    remotes: Arc<Remotes>,
    remote: IpAddr,
}

impl Drop for RemoteGuard {
    fn drop(&mut self) {
        let mut counts = self.remotes.counts.lock();
        leave(&mut counts.addresses, self.remote);
        if let IpAddr::V6(address) = self.remote {
            leave(&mut counts.networks, network(address));
        }
    }
}

/// Counts one less. What has none is not kept: the maps are no larger than the connections are many.
fn leave<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_with_its_parts() {
        let config = Config { connections_max: 2, handshakes_max: 1, ..Config::default() };
        let admission = Admission::new(&config, Arc::default());
        let ip = IpAddr::from([127, 0, 0, 1]);
        let place = admission.admit(ip).unwrap();
        assert_eq!(admission.admit(ip).unwrap_err(), Refused::Handshakes);
        drop(place.handshake);
        let second = admission.admit(ip).unwrap();
        drop(second.handshake);
        assert_eq!(admission.admit(ip).unwrap_err(), Refused::Connections);
        assert_eq!(admission.remotes(), 1);
        drop((place.connection, place.remote, second.connection, second.remote));
        assert_eq!(admission.remotes(), 0);
        assert!(admission.admit(ip).is_ok());
    }

    #[test]
    fn who_is_only_heard_out_has_a_place_but_no_drain_waits_for_it() {
        let config = Config { handshakes_max: 2, ..Config::default() };
        let metrics = Arc::<Metrics>::default();
        let admission = Admission::new(&config, metrics.clone());
        let ip = IpAddr::from([127, 0, 0, 1]);
        let _heard_out = admission.hear_out(ip).unwrap();
        assert_eq!(metrics.handshakes(), 0);
        let _admitted = admission.admit(ip).unwrap();
        assert_eq!(metrics.handshakes(), 1);
        assert_eq!(admission.hear_out(ip).unwrap_err(), Refused::Handshakes);
    }

    #[test]
    fn an_address_has_no_more_than_its_share_and_gives_it_back() {
        let config = Config { connections_per_address_max: 2, ..Config::default() };
        let admission = Admission::new(&config, Arc::default());
        let admit = |address: &str| admission.admit(address.parse().unwrap());
        let (first, second) = (admit("192.0.2.1").unwrap(), admit("192.0.2.1").unwrap());
        assert_eq!(admit("192.0.2.1").unwrap_err(), Refused::Address);
        assert_eq!(admit("::ffff:192.0.2.1").unwrap_err(), Refused::Address, "it is the same");
        assert!(admit("192.0.2.2").is_ok(), "the next address is somebody else's");
        assert_eq!(admission.connections.available_permits(), config.connections_max - 2);
        assert_eq!(admission.handshakes.available_permits(), config.handshakes_max - 2);
        drop(first);
        assert!(admit("192.0.2.1").is_ok());
        drop(second);
        assert_eq!(admission.remotes(), 0);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let config = Config { connections_per_address_max: 2, ..Config::default() };
        let admission = Admission::new(&config, Arc::default());
        let admit = |address: &str| admission.admit(address.parse().unwrap());
        let places = [admit("2001:db8::1").unwrap(), admit("2001:db8::2").unwrap()];
        assert_eq!(admit("2001:db8::ffff:3").unwrap_err(), Refused::Address);
        assert!(admit("2001:db8:0:1::1").is_ok(), "the next network is somebody else's");
        assert_eq!(admission.remotes(), 2, "they are counted one by one all the same");
        drop(places);
        assert_eq!(admission.remotes(), 0);
        assert!(admission.remotes.counts.lock().networks.is_empty());
    }

    #[test]
    fn without_a_share_an_address_may_have_all_places() {
        let config = Config { connections_max: 100, ..Config::default() };
        let admission = Admission::new(&config, Arc::default());
        let ip = IpAddr::from([192, 0, 2, 1]);
        let places: Vec<_> = (0..100).map(|_| admission.admit(ip).unwrap()).collect();
        assert_eq!(admission.admit(ip).unwrap_err(), Refused::Connections);
        drop(places);
    }
}
