//! Links: this node's ways to all others.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use orrery_host::Host;
use orrery_model::NodeId;
use parking_lot::Mutex;

use super::envelope::Me;
use super::link::Link;
use crate::metrics::PeerMetrics;

/// Where a node is now, as far as known: newer than what a shard's membership says.
type Addresses = Box<dyn Fn(NodeId) -> Option<String> + Send + Sync>;

/// The links of a node, each made when it is first asked for.
pub(crate) struct Links {
    host: Host,
    me: Arc<Me>,
    metrics: PeerMetrics,
    addresses: Addresses,
    links: Mutex<BTreeMap<NodeId, Arc<Link>>>,
}

impl Links {
    /// No links yet. `addresses` says where a node is now; where it does not know, the shard's
    /// membership decides.
    pub(crate) fn new(
        host: Host,
        me: Me,
        metrics: PeerMetrics,
        addresses: impl Fn(NodeId) -> Option<String> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (me, links) = (Arc::new(me), Mutex::default());
        Arc::new(Self { host, me, metrics, addresses: Box::new(addresses), links })
    }

    /// The way to a node, `address` being where the shard's membership says that it is. Never waits.
    pub(crate) fn link(&self, node: NodeId, address: &str) -> Arc<Link> {
        let newest = (self.addresses)(node);
        let mut links = self.links.lock();
        // Memberships of different shards may name different addresses: of those the first one stays,
        // or the link would be made anew with each message.
        let stays = |link: &&Arc<Link>| newest.as_deref().is_none_or(|new| link.address() == new);
        if let Some(link) = links.get(&node).filter(stays) {
            return link.clone();
        }
        let address = newest.as_deref().unwrap_or(address);
        let (host, me, metrics) = (self.host.clone(), self.me.clone(), self.metrics.link(node));
        let link = Arc::new(Link::new(host, me, metrics, node, address.to_owned()));
        if let Some(moved) = links.insert(node, link.clone()) {
            tracing::info!(%node, from = moved.address(), to = address, "a peer has moved");
            moved.end("the node has moved");
        }
        link
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("me", &self.me).finish_non_exhaustive()
    }
}
