//! Survey: asks all routers what their replicas hold and who belongs where, and writes it down: now and then
//! while the system is being broken, and at the end until it has come to rest.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use judge::checker::membership;
use judge::history::{
    Digest, Event, Held, History, Kind, NEMESIS, Op, Phase, PhaseName, Replica, Standing,
};
use judge::settings::Settings;
use judge::verdict::Verdict;
use orrery_model::ShardId;
use orrery_model::cluster::NodeState;
use orrery_router_client::cluster::{ReplicaRole, Report, ShardDigest};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::operator::Operator;
use crate::recorder::Recorder;

/// Pause between two looks while the system is being broken.
const WATCH: Duration = Duration::from_secs(2);

/// Pause between two looks at a system that comes to rest.
const LOOK: Duration = Duration::from_millis(500);

/// How long one router may take to answer.
const ASK: Duration = Duration::from_secs(1);

/// How long a system in which nothing is broken or written may take until it is at rest.
const REST_MAX: Duration = Duration::from_secs(60);

/// Asks all routers.
pub struct Survey<'a> {
    operator: &'a Operator,
    recorder: &'a Recorder,
    /// The registry of each node that was ever heard of.
    addresses: Mutex<BTreeSet<String>>,
    /// How many looks were written down.
    looks: Cell<u64>,
}

/// What one node said.
struct Told {
    report: Report,
    digests: Vec<ShardDigest>,
}

/// What all nodes that answered said, by their numbers.
type Look = BTreeMap<u64, Told>;

impl<'a> Survey<'a> {
    /// A survey that writes down what it is told.
    pub fn new(operator: &'a Operator, recorder: &'a Recorder) -> Self {
        let addresses: BTreeSet<String> = operator.routers.iter().cloned().collect();
        Self { operator, recorder, addresses: addresses.into(), looks: Cell::default() }
    }

    /// Writes down every now and then how all nodes stand and what their replicas hold, without end.
    pub async fn watch(&self) {
        loop {
            sleep(WATCH).await;
            let look = self.look().await;
            self.mark_standings(&look);
            self.mark_digests(&look);
        }
    }

    /// Waits until all nodes agree on who belongs where, it is so, and the replicas of each shard have come to
    /// the same index and stay there. Writes down what it sees on the way, and at the end in any case. The index of
    /// each shard, if they stay there.
    pub async fn rest(&self) -> Option<BTreeMap<u32, u64>> {
        let until = Instant::now() + REST_MAX;
        let mut before = None;
        loop {
            let look = self.look().await;
            self.mark_standings(&look);
            self.mark_digests(&look);
            let now = at_rest(&look);
            if (now.is_some() && now == before) || Instant::now() > until {
                return if now == before { now } else { None };
            }
            before = now;
            sleep(LOOK).await;
        }
    }

    /// Asks every node at once; those who do not answer are left out.
    async fn look(&self) -> Look {
        let addresses: Vec<String> = self.addresses.lock().iter().cloned().collect();
        let cluster = &self.operator.cluster;
        let asks = addresses.iter().map(|address| async move {
            let report = cluster.report(address, Instant::now() + ASK).await.ok()?;
            let digests = cluster.digests(address, &[], Instant::now() + ASK).await;
            Some(Told { report, digests: digests.unwrap_or_default() })
        });
        let told: Vec<Told> = join_all(asks).await.into_iter().flatten().collect();
        let mut addresses = self.addresses.lock();
        for (node, state) in told.iter().flat_map(|told| &told.report.nodes) {
            if *state != NodeState::Removed {
                addresses.insert(node.registry.clone());
            }
        }
        told.into_iter().map(|told| (told.report.node.node.id.0, told)).collect()
    }

    fn mark_digests(&self, look: &Look) {
        for (node, told) in look {
            for one in &told.digests {
                let digest = format!("{:016x}", one.digest);
                let op = Digest { shard: one.shard.0, applied: one.index, digest };
                self.recorder.mark_of(*node, Op::Digest(op));
            }
        }
    }

    fn mark_standings(&self, look: &Look) {
        let number = self.looks.replace(self.looks.get() + 1);
        for (node, told) in look {
            let standing = Standing { look: Some(number), ..standing(&told.report) };
            self.recorder.mark_of(*node, Op::Standing(standing));
        }
    }
}

fn standing(report: &Report) -> Standing {
    let numbers = |nodes: &[orrery_model::NodeId]| nodes.iter().map(|node| node.0).collect();
    let nodes = report.nodes.iter().map(|(node, state)| (node.id.0, state.word().to_owned()));
    let placements = report.placements.iter();
    let placements = placements.map(|(placed, _)| (placed.shard.0, numbers(&placed.replicas)));
    let replicas = report.replicas.iter().map(|held| Replica {
        shard: held.shard.0,
        voters: numbers(&held.voters),
        learners: numbers(&held.learners),
        joint: held.joint,
        leads: (held.role == ReplicaRole::Leader).then_some(held.term),
        applied: held.applied_index,
        committed: Some(held.committed_index),
        last: Some(held.last_index),
        held: (held.shard != ShardId::CONTROL)
            .then_some(Held { routes: held.data.routes, next_seq: held.data.next_seq }),
    });
    Standing {
        nodes: nodes.collect(),
        placements: placements.collect(),
        replicas: replicas.collect(),
        look: None,
    }
}

/// The index of each shard, if all is as it should be and each shard's replicas are at one.
fn at_rest(look: &Look) -> Option<BTreeMap<u32, u64>> {
    let phase = Op::Phase(Phase { name: PhaseName::Final });
    let mut events = vec![Event::new(0, 0, NEMESIS, Kind::Info, phase)];
    for (node, told) in look {
        let standing = Op::Standing(standing(&told.report));
        let mut event = Event::new(events.len() as u64, 0, NEMESIS, Kind::Info, standing);
        event.node = Some(*node);
        events.push(event);
    }
    let history = History::new(&events).ok()?;
    if membership::check(&history, &Settings::default()) != Verdict::Holds {
        return None;
    }
    let mut indexes = BTreeMap::new();
    for told in look.values() {
        let digest = |shard| told.digests.iter().find(|digest| digest.shard == shard);
        // One without members is none: its node came back without its disk.
        for held in told.report.replicas.iter().filter(|held| !held.voters.is_empty()) {
            let index = digest(held.shard)?.index;
            if *indexes.entry(held.shard.0).or_insert(index) != index {
                return None;
            }
        }
    }
    Some(indexes)
}
