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
    /// All addresses that can be listened on.
    pub(crate) fn listens_mut(&mut self) -> [Listen<&mut SocketAddr>; 11] {
        use Role::{Comet, Logic, Router};
        let listen = |part, key, address| Listen { part, key, address };
        let role = |role, key, address| listen(Part::Role(role), key, address);
        [
            role(Router, "router.registry_listen", &mut self.router.registry_listen),
            role(Router, "router.peers_listen", &mut self.router.peers_listen),
            role(Logic, "logic.http_listen", &mut self.logic.http_listen),
            role(Logic, "logic.grpc_listen", &mut self.logic.grpc_listen),
            role(Logic, "logic.edge_listen", &mut self.logic.edge_listen),
            role(Comet, "comet.tcp_listen", &mut self.comet.tcp_listen),
            role(Comet, "comet.websocket_listen", &mut self.comet.websocket_listen),
            role(Comet, "comet.tls.tcp_listen", &mut self.comet.tls.tcp_listen),
            role(Comet, "comet.tls.websocket_listen", &mut self.comet.tls.websocket_listen),
            role(Comet, "comet.delivery_listen", &mut self.comet.delivery_listen),
            listen(Part::Admin, "admin.listen", &mut self.admin.listen),
        ]
    }

    /// All addresses that are listened on: those for TLS only where there are certificates.
    pub(crate) fn listens(&self) -> Vec<Listen> {
        let mut copy = self.clone();
        let has_tls = copy.comet.has_tls();
        copy.listens_mut()
            .into_iter()
            .filter(|listen| has_tls || !listen.key.starts_with("comet.tls."))
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

#[cfg(test)]
mod tests {
    use orrery_daemon::config::{Layers, keys_of};

    use super::*;

    #[test]
    fn every_listener_is_named_alike_and_nothing_is_missing() {
        let mut listed: Vec<_> =
            Config::default().listens_mut().iter().map(|listen| listen.key).collect();
        listed.sort();
        let keys = keys_of(&Config::default()).unwrap().into_iter();
        let keys: Vec<_> = keys.filter(|key| key.ends_with("listen")).collect();
        assert_eq!(listed, keys);
        listed.retain(|key| !key.ends_with("_listen"));
        assert_eq!(listed, ["admin.listen"]);
    }

    #[test]
    fn ports_for_tls_are_listened_on_where_there_are_certificates() {
        let mut config = Config::default();
        let keys = |config: &Config| config.listens().iter().map(|listen| listen.key).collect();
        let without: Vec<_> = keys(&config);
        config.comet.tls.certificates = vec!["comet.pem".into()];
        let mut with: Vec<_> = keys(&config);
        with.retain(|key| !without.contains(key));
        assert_eq!(with, ["comet.tls.tcp_listen", "comet.tls.websocket_listen"]);
    }

    #[test]
    fn listener_under_another_name_is_refused_with_the_right_one() {
        let mut names = vec![
            ("logic.http_address", "logic.http_listen"),
            ("logic.grpc_address", "logic.grpc_listen"),
            ("logic.edge_address", "logic.edge_listen"),
        ];
        let mut config = Config::default();
        let listens = config.listens_mut();
        let bare = listens.iter().map(|listen| listen.key.strip_suffix("_listen"));
        names.extend(bare.zip(&listens).filter_map(|(bare, listen)| Some((bare?, listen.key))));
        assert_eq!(names.len(), 3 + 10);
        for (wrong, right) in names {
            let layers = Layers::new().flag("--set", wrong, "127.0.0.1:1");
            let error = layers.load::<Config>().unwrap_err().to_string();
            assert_eq!(error, format!("flag --set: unknown key {wrong}, did you mean {right}?"));
        }
    }
}
