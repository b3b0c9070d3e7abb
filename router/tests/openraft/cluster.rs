//! Cluster: cores, their disks and the net between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::impls::EmptyNode;
use openraft::{Config, SnapshotPolicy};
use tokio::time::{Instant, sleep};

use crate::disk::Disk;
use crate::machine::Machine;
use crate::net::Net;
use crate::types::Raft;

/// The nodes of a cluster of three.
pub(crate) const ALL: [u64; 3] = [1, 2, 3];

/// No condition of a test takes longer than this unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

const LOOK: Duration = Duration::from_millis(5);

/// How long a leader's lease is: the longest that an election waits.
pub(crate) const LEASE: Duration = Duration::from_millis(600);

/// Times as in production.
pub(crate) fn config(enable_leader_restore: Option<bool>) -> Config {
    Config {
        heartbeat_interval: 100,
        election_timeout_min: 400,
        election_timeout_max: LEASE.as_millis() as u64,
        enable_pre_vote: Some(true),
        snapshot_policy: SnapshotPolicy::Never,
        enable_leader_restore,
        ..Config::default()
    }
}

/// A core that runs.
pub(crate) struct Node {
    pub(crate) core: Raft,
    pub(crate) machine: Machine,
}

/// Some nodes.
pub(crate) struct Cluster {
    config: Arc<Config>,
    pub(crate) net: Net,
    disks: BTreeMap<u64, Disk>,
    nodes: BTreeMap<u64, Node>,
}

impl Cluster {
    /// Three nodes of which the first one leads.
    pub(crate) async fn founded(config: Config) -> Self {
        Self::of(3, config).await
    }

    /// So many nodes of which the first one leads.
    pub(crate) async fn of(nodes: u64, config: Config) -> Self {
        let config = Arc::new(config.validate().unwrap());
        let disks = (1..=nodes).map(|id| (id, Disk::default())).collect();
        let mut cluster = Self { config, net: Net::default(), disks, nodes: BTreeMap::new() };
        for id in 1..=nodes {
            cluster.start(id).await;
        }
        let members: BTreeMap<_, _> = (1..=nodes).map(|id| (id, EmptyNode {})).collect();
        cluster.core(1).initialize(members).await.unwrap();
        cluster.until("the first node leads", |cluster| cluster.leads(1)).await;
        cluster
    }

    pub(crate) async fn start(&mut self, id: u64) {
        let (machine, disk) = (Machine::default(), self.disk(id).clone());
        let net = self.net.of(id);
        let core = Raft::new(id, self.config.clone(), net, disk, machine.clone()).await.unwrap();
        self.net.plug(id, core.clone());
        self.nodes.insert(id, Node { core, machine });
    }

    /// Ends a node as a power cut does.
    pub(crate) async fn crash(&mut self, id: u64) {
        self.net.unplug(id);
        let node = self.nodes.remove(&id).expect("the node runs");
        node.core.shutdown().await.unwrap();
        self.disk(id).crash();
    }

    pub(crate) fn disk(&self, id: u64) -> &Disk {
        &self.disks[&id]
    }

    pub(crate) fn core(&self, id: u64) -> &Raft {
        &self.nodes[&id].core
    }

    pub(crate) fn machine(&self, id: u64) -> &Machine {
        &self.nodes[&id].machine
    }

    pub(crate) fn leads(&self, id: u64) -> bool {
        self.core(id).metrics().borrow_watched().current_leader == Some(id)
    }

    /// Has whoever leads write a word: who it was, and the word's index.
    pub(crate) async fn write(&self, word: &str) -> (u64, u64) {
        let begun = Instant::now();
        loop {
            for id in self.nodes.keys().copied().filter(|id| self.leads(*id)) {
                let written = self.core(id).client_write(word.to_owned());
                if let Ok(Ok(written)) = tokio::time::timeout(LEASE, written).await {
                    return (id, written.log_id.index);
                }
            }
            assert!(begun.elapsed() < PATIENCE, "nobody writes {word}");
            sleep(LOOK).await;
        }
    }

    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "in vain waited until {what}");
            sleep(LOOK).await;
        }
    }
}
