//! Nodes: the router nodes the client has met, by address.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_host::Host;
use parking_lot::Mutex;
use tracing::warn;

use crate::node::Node;
use crate::table::Table;

/// The known nodes. Bounded: those configured, and those of the newest table.
pub(crate) struct Nodes {
    seeds: Vec<String>,
    met: Mutex<BTreeMap<String, Arc<Node>>>,
    host: Host,
}

impl Nodes {
    pub(crate) fn new(seeds: Vec<String>, host: Host) -> Self {
        Self { seeds, met: Mutex::default(), host }
    }

    /// The node at an address; `None` when the address is not one.
    pub(crate) fn at(&self, address: &str) -> Option<Arc<Node>> {
        let mut met = self.met.lock();
        if let Some(node) = met.get(address) {
            return Some(node.clone());
        }
        match Node::new(address, &self.host) {
            Ok(node) => {
                let node = Arc::new(node);
                met.insert(address.to_owned(), node.clone());
                Some(node)
            }
            Err(error) => {
                warn!(address, %error, "not an address of a router node");
                None
            }
        }
    }

    /// Whom to ask for what any node can answer: the table's nodes, then the configured ones.
    pub(crate) fn addresses(&self, table: Option<&Table>) -> Vec<String> {
        let named = table.into_iter().flat_map(|table| &table.nodes).map(|node| &node.registry);
        let mut addresses: Vec<String> = Vec::new();
        for address in named.chain(&self.seeds) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses
    }

    /// Whether it is one of those that are configured.
    pub(crate) fn is_seed(&self, address: &str) -> bool {
        self.seeds.iter().any(|seed| seed == address)
    }

    /// Forgets the nodes that neither the table nor the configuration names; their sessions end.
    pub(crate) fn retain(&self, table: &Table) {
        let known = self.addresses(Some(table));
        self.met.lock().retain(|address, _| known.contains(address));
    }
}
