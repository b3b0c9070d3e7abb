//! Everything a process listens on, with the keys that say where.

use std::net::SocketAddr;

use super::{Config, Role};

/// What a listener belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A role.
    Role(Role),
    /// What is around the roles.
    Admin,
}

impl Part {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Role(role) => role.word(),
            Self::Admin => "admin",
        }
    }
}

/// An address that is listened on.
#[derive(Debug)]
pub(crate) struct Listen<A = SocketAddr> {
    /// By what.
    pub(crate) part: Part,
    /// The whole key that says so.
    pub(crate) key: &'static str,
    /// The address.
    pub(crate) address: A,
}

impl Config {
    /// All addresses that are listened on.
    pub(crate) fn listens_mut(&mut self) -> [Listen<&mut SocketAddr>; 9] {
        use Role::{Comet, Logic, Router};
        let listen = |part, key, address| Listen { part, key, address };
        let role = |role, key, address| listen(Part::Role(role), key, address);
        [
            role(Router, "router.registry_listen", &mut self.router.registry_listen),
            role(Router, "router.peers_listen", &mut self.router.peers_listen),
            role(Logic, "logic.http_address", &mut self.logic.http_address),
            role(Logic, "logic.grpc_address", &mut self.logic.grpc_address),
            role(Logic, "logic.edge_address", &mut self.logic.edge_address),
            role(Comet, "comet.tcp", &mut self.comet.tcp),
            role(Comet, "comet.websocket", &mut self.comet.websocket),
            role(Comet, "comet.delivery", &mut self.comet.delivery),
            listen(Part::Admin, "admin.listen", &mut self.admin.listen),
        ]
    }

    /// The same, to be read.
    pub(crate) fn listens(&self) -> Vec<Listen> {
        let mut copy = self.clone();
        copy.listens_mut()
            .into_iter()
            .map(|Listen { part, key, address }| Listen { part, key, address: *address })
            .collect()
    }

    /// The key of the address that a part could not listen on.
    pub(crate) fn key_of(&self, part: Part, address: SocketAddr) -> &'static str {
        let listens = self.listens().into_iter();
        let mut own = listens.filter(|listen| listen.part == part && listen.address == address);
        own.next().map_or("its address", |listen| listen.key)
    }
}
