//! Admission: how many connections may be open and how many may be shaking hands.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;

/// Why a connection is refused at the door. It may come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many connections as allowed.
    Connections,
    /// As many unauthenticated connections as allowed.
    Handshakes,
}

/// The door of a comet.
pub(crate) struct Admission {
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    remotes: Arc<Remotes>,
}

/// The place of an admitted connection; each part is given back by its drop.
#[derive(Debug)]
pub(crate) struct Place {
    /// Among the connections.
    pub(crate) connection: OwnedSemaphorePermit,
    /// Among those that are not authenticated yet.
    pub(crate) handshake: OwnedSemaphorePermit,
    /// Among the connections of its remote address.
    pub(crate) remote: RemoteGuard,
}

impl Admission {
    pub(crate) fn new(config: &Config) -> Self {
        let places = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            connections: places(config.connections_max),
            handshakes: places(config.handshakes_max),
            remotes: Arc::default(),
        }
    }

    /// Admits a connection, or refuses it at once.
    pub(crate) fn admit(&self, remote: IpAddr) -> Result<Place, Refused> {
        let connection =
            self.connections.clone().try_acquire_owned().map_err(|_| Refused::Connections)?;
        let handshake =
            self.handshakes.clone().try_acquire_owned().map_err(|_| Refused::Handshakes)?;
        Ok(Place { connection, handshake, remote: Remotes::enter(&self.remotes, remote) })
    }

    /// Distinct remote addresses of open connections.
    pub(crate) fn remotes(&self) -> usize {
        self.remotes.0.lock().len()
    }
}

/// How many connections each remote address has.
#[derive(Debug, Default)]
struct Remotes(Mutex<HashMap<IpAddr, u32>>);

impl Remotes {
    fn enter(remotes: &Arc<Self>, remote: IpAddr) -> RemoteGuard {
        *remotes.0.lock().entry(remote).or_default() += 1;
        RemoteGuard { remotes: remotes.clone(), remote }
    }
}

/// Counts one connection of a remote address while it lives.
#[derive(Debug)]
pub(crate) struct RemoteGuard {
    remotes: Arc<Remotes>,
    remote: IpAddr,
}

impl Drop for RemoteGuard {
    fn drop(&mut self) {
        let mut counts = self.remotes.0.lock();
        if let Some(count) = counts.get_mut(&self.remote) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.remote);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_with_its_parts() {
        let config = Config { connections_max: 2, handshakes_max: 1, ..Config::default() };
        let admission = Admission::new(&config);
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
}
