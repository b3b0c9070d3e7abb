//! Topology: which nodes there are, and where each of them listens.

use std::net::{Ipv4Addr, SocketAddr};

use crate::plan::Swarm;

/// Machines for routers beyond the first ones, for those that take another's place.
pub(crate) const SPARES: usize = 3;

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Keeps the registry.
    Router,
    /// Serves backends.
    Logic,
    /// Holds devices.
    Comet,
}

impl Role {
    /// The binary's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Logic => "logic",
            Self::Comet => "comet",
        }
    }
}

/// A machine on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) name: String,
    /// What runs on it.
    pub(crate) role: Role,
    /// Its address.
    pub(crate) address: Ipv4Addr,
}

impl Place {
    fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }

    /// Health and metrics, of every role.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.at(3131)
    }

    /// Where a router talks to routers.
    pub(crate) fn peers(&self) -> SocketAddr {
        self.at(3120)
    }

    /// Where a router talks to everybody else.
    pub(crate) fn registry(&self) -> SocketAddr {
        self.at(3121)
    }

    /// Where a logic speaks HTTP.
    pub(crate) fn http(&self) -> SocketAddr {
        self.at(3111)
    }

    /// Where a logic talks to comets.
    pub(crate) fn edge(&self) -> SocketAddr {
        self.at(3118)
    }

    /// Where a logic talks to backends.
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.at(3119)
    }

    /// Where a comet speaks goim's TCP protocol.
    pub(crate) fn tcp(&self) -> SocketAddr {
        self.at(3101)
    }

    /// Where a comet speaks WebSocket.
    pub(crate) fn websocket(&self) -> SocketAddr {
        self.at(3102)
    }

    /// Where logic delivers to a comet.
    pub(crate) fn delivery(&self) -> SocketAddr {
        self.at(3109)
    }
}

/// The machines of a swarm, by name: the routers that found the cluster first, then those that wait.
pub(crate) fn machines(swarm: &Swarm) -> Vec<(Role, String)> {
    let of = |role: Role, many: usize| {
        (1..=many).map(move |number| (role, format!("{}-{number}", role.word())))
    };
    let routers = of(Role::Router, swarm.routers + SPARES);
    routers.chain(of(Role::Logic, swarm.logics)).chain(of(Role::Comet, swarm.comets)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_come_first_and_every_name_is_there_once() {
        let swarm = Swarm { routers: 3, logics: 2, comets: 2, ..Swarm::of(1) };
        let machines = machines(&swarm);
        let names: Vec<&str> = machines.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "router-1", "router-2", "router-3", "router-4", "router-5", "router-6", "logic-1",
                "logic-2", "comet-1", "comet-2",
            ]
        );
    }
}
