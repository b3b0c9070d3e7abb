//! Snapshot of the control shard: its records in a fixed order, and their digest.

use orrery_model::cluster::{Node, Placed, Placement};
use orrery_model::control::{Comet, Found};
use orrery_model::record::ControlRecord;
use orrery_model::{CometRef, NodeId};

use super::Control;
use super::answered::Answer;
use crate::digest::Digest;

/// The control shard's state at one moment.
#[derive(Debug, Clone)]
pub struct ControlSnapshot(Control);

impl ControlSnapshot {
    pub(super) fn of(control: Control) -> Self {
        Self(control)
    }

    /// The state's records: the head, how the cluster was founded, comets, answered attaches, events,
    /// fences, nodes, placements, reports of where replicas are. Equal states give equal records.
    pub fn records(&self) -> impl Iterator<Item = ControlRecord> + '_ {
        let control = &self.0;
        let head = ControlRecord::Head {
            next_incarnation: control.next_incarnation,
            next_position: control.next_position,
            elapsed_ms: control.elapsed_ms,
        };
        let found = control.found().cloned().map(ControlRecord::Found);
        let comets = control.comets().cloned().map(ControlRecord::Comet);
        let answered = control.answered.iter().map(|(incarnation, answer)| {
            let comet = CometRef { id: answer.comet.clone(), incarnation };
            let Answer { instance, attempt, position, .. } = answer.clone();
            ControlRecord::Answered { comet, instance, attempt, position }
        });
        let events = control.events.iter().cloned().map(ControlRecord::Event);
        let fences = control
            .fences
            .iter()
            .map(|(comet, fence)| ControlRecord::Fence { comet: comet.clone(), fence: *fence });
        let nodes =
            control.nodes().map(|(node, state)| ControlRecord::Node { node: node.clone(), state });
        let placements = control.placements().cloned().map(ControlRecord::Placement);
        let placed = control.placements.iter_placed().cloned().map(ControlRecord::Placed);
        let lives = comets.chain(answered).chain(events).chain(fences);
        let cluster = nodes.chain(placements).chain(placed);
        std::iter::once(head).chain(found).chain(lives).chain(cluster)
    }

    /// See [`Control::digest`].
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        self.records().for_each(|record| feed(&mut digest, &record));
        digest.finish()
    }
}

fn feed(digest: &mut Digest, record: &ControlRecord) {
    match record {
        ControlRecord::Head { next_incarnation, next_position, elapsed_ms } => {
            digest.number(1).number(next_incarnation.0).number(*next_position).number(*elapsed_ms);
        }
        ControlRecord::Found(found) => feed_found(digest.number(2), found),
        ControlRecord::Comet(comet) => feed_comet(digest.number(3), comet),
        ControlRecord::Answered { comet, instance, attempt, position } => {
            digest.number(4).comet(comet).text(instance).number(*attempt).number(*position);
        }
        ControlRecord::Event(event) => {
            digest.number(5).number(event.position).id(&event.comet).number(event.fence.0);
        }
        ControlRecord::Fence { comet, fence } => {
            digest.number(6).id(comet).number(fence.0);
        }
        ControlRecord::Node { node, state } => {
            feed_node(digest.number(7), node);
            digest.text(state.word());
        }
        ControlRecord::Placement(placement) => feed_placement(digest.number(8), placement),
        ControlRecord::Placed(placed) => {
            let Placed { shard, log_index, voters, learners, version } = placed;
            match version {
                None => digest.number(9),
                Some(version) => digest.number(10).number(*version),
            };
            digest.number(shard.0.into()).number(*log_index);
            feed_numbers(digest, voters);
            feed_numbers(digest, learners);
        }
    }
}

fn feed_found(digest: &mut Digest, found: &Found) {
    let Found { cluster_id, nodes, table, placements, counters } = found;
    digest.text(cluster_id).number(nodes.len() as u64);
    for node in nodes {
        feed_node(digest, node);
    }
    digest.number(table.epoch);
    for owner in table.owners() {
        digest.number(owner.0.into());
    }
    digest.number(placements.len() as u64);
    for placement in placements {
        feed_placement(digest, placement);
    }
    digest.number(counters.first_incarnation.0).number(counters.first_seqs.len() as u64);
    for (shard, seq) in &counters.first_seqs {
        digest.number(shard.0.into()).number(seq.0);
    }
}

fn feed_node(digest: &mut Digest, node: &Node) {
    let Node { id, registry, peers, instance, protocol } = node;
    digest.number(id.0).text(registry).text(peers).text(instance).number((*protocol).into());
}

fn feed_placement(digest: &mut Digest, placement: &Placement) {
    digest.number(placement.shard.0.into()).number(placement.version);
    feed_numbers(digest, &placement.replicas);
}

fn feed_numbers(digest: &mut Digest, nodes: &[NodeId]) {
    digest.number(nodes.len() as u64);
    for node in nodes {
        digest.number(node.0);
    }
}

fn feed_comet(digest: &mut Digest, comet: &Comet) {
    let Comet { comet, instance, attempt, advertise, attached_at_ms } = comet;
    digest.comet(comet).text(instance).number(*attempt).number(*attached_at_ms);
    digest.text(&advertise.delivery).text(&advertise.hostname);
    digest.number(advertise.addresses.len() as u64);
    for address in &advertise.addresses {
        digest.text(address);
    }
    digest.text(&advertise.region).text(&advertise.zone).text(&advertise.env);
    digest.number(advertise.weight.into());
}
