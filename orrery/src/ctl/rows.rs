//! Rows: nodes, shards and replicas as they are shown. The field names are what scripts rely on.

use orrery_model::ShardId;
use orrery_model::cluster::NodeState;
use serde::Serialize;

use super::fleet::{Fleet, FleetNode};
use super::print::{list, maybe, shard_name, table};

/// A router node.
#[derive(Debug, Serialize)]
pub(super) struct NodeRow {
    pub(super) node: u64,
    pub(super) state: &'static str,
    pub(super) reachable: bool,
    pub(super) ready: bool,
    /// Why it is not reached or not ready.
    pub(super) reason: Option<String>,
    pub(super) registry: String,
    pub(super) peers: String,
    pub(super) instance: String,
    pub(super) protocol: u32,
    pub(super) build: Option<String>,
    /// Replicas it holds that vote or are to vote.
    pub(super) replicas: u64,
    pub(super) leads: u64,
    pub(super) disk_free_bytes: Option<u64>,
    pub(super) disk_total_bytes: Option<u64>,
    pub(super) disk_full: bool,
}

/// A shard; 0 is the control shard.
#[derive(Debug, Serialize)]
pub(super) struct ShardRow {
    pub(super) shard: u32,
    pub(super) leader: Option<u64>,
    pub(super) term: Option<u64>,
    /// Where it should be, the preferred leader first.
    pub(super) placement: Vec<u64>,
    pub(super) placement_version: u64,
    pub(super) voters: Vec<u64>,
    pub(super) learners: Vec<u64>,
    /// It is where it should be.
    pub(super) settled: bool,
    pub(super) slots: u64,
    pub(super) routes: u64,
    pub(super) listings: u64,
    pub(super) next_seq: u64,
    pub(super) committed_index: Option<u64>,
}

/// A replica of a shard.
#[derive(Debug, Serialize)]
pub(super) struct MemberRow {
    pub(super) shard: u32,
    pub(super) node: u64,
    pub(super) role: &'static str,
    pub(super) term: u64,
    pub(super) last_index: u64,
    pub(super) committed_index: u64,
    pub(super) applied_index: u64,
    pub(super) snapshot_index: u64,
    pub(super) purged_index: u64,
    /// Entries that the shard's leader has committed and this replica has not applied.
    pub(super) lag: u64,
    pub(super) joint: bool,
    pub(super) recovered: bool,
}

pub(super) fn nodes(fleet: &Fleet) -> Vec<NodeRow> {
    fleet.nodes.iter().map(|node| node_row(fleet, node)).collect()
}

fn node_row(fleet: &Fleet, FleetNode { node, state, report }: &FleetNode) -> NodeRow {
    let placed = |shard: &ShardId| {
        let placement = fleet.placements.get(shard);
        placement.is_some_and(|(placement, _)| placement.replicas.contains(&node.id))
    };
    let told = report.as_ref().ok();
    let reason = match report {
        Err(why) => Some(why.clone()),
        Ok(report) => report.not_ready.clone(),
    };
    NodeRow {
        node: node.id.0,
        state: state.word(),
        reachable: told.is_some(),
        ready: told.is_some() && reason.is_none(),
        reason,
        registry: node.registry.clone(),
        peers: node.peers.clone(),
        instance: node.instance.clone(),
        protocol: node.protocol,
        build: told.map(|report| report.node.build.clone()),
        replicas: fleet.shards().filter(placed).count() as u64,
        leads: fleet
            .shards()
            .filter(|shard| fleet.leader(*shard).is_some_and(|(leader, _)| leader == node.id))
            .count() as u64,
        disk_free_bytes: told.map(|report| report.disk_free_bytes),
        disk_total_bytes: told.map(|report| report.disk_total_bytes),
        disk_full: told.is_some_and(|report| report.disk_full),
    }
}

pub(super) fn shards(fleet: &Fleet) -> Vec<ShardRow> {
    let numbers = |nodes: &[orrery_model::NodeId]| nodes.iter().map(|node| node.0).collect();
    let row = |shard: ShardId| {
        let leader = fleet.leader(shard);
        let (placement, placed) = match fleet.placements.get(&shard) {
            Some((placement, placed)) => (Some(placement), placed.as_ref()),
            None => (None, None),
        };
        let data = leader.map(|(_, replica)| replica.data).unwrap_or_default();
        ShardRow {
            shard: shard.0,
            leader: leader.map(|(node, _)| node.0),
            term: leader.map(|(_, replica)| replica.term),
            placement: placement.map(|placement| numbers(&placement.replicas)).unwrap_or_default(),
            placement_version: placement.map_or(0, |placement| placement.version),
            voters: placed.map(|placed| numbers(&placed.voters)).unwrap_or_default(),
            learners: placed.map(|placed| numbers(&placed.learners)).unwrap_or_default(),
            settled: fleet.is_settled(shard),
            slots: data.slots,
            routes: data.routes,
            listings: data.listings,
            next_seq: data.next_seq,
            committed_index: leader.map(|(_, replica)| replica.committed_index),
        }
    };
    fleet.shards().map(row).collect()
}

pub(super) fn members(fleet: &Fleet) -> Vec<MemberRow> {
    let of_shard = |shard: ShardId| {
        let committed = fleet.replicas(shard).map(|(_, replica)| replica.committed_index).max();
        fleet.replicas(shard).map(move |(node, replica)| MemberRow {
            shard: shard.0,
            node: node.0,
            role: replica.role.word(),
            term: replica.term,
            last_index: replica.last_index,
            committed_index: replica.committed_index,
            applied_index: replica.applied_index,
            snapshot_index: replica.snapshot_index,
            purged_index: replica.purged_index,
            lag: committed.unwrap_or(0).saturating_sub(replica.applied_index),
            joint: replica.joint,
            recovered: replica.recovered,
        })
    };
    fleet.shards().flat_map(of_shard).collect()
}

pub(super) fn node_table(rows: &[NodeRow]) -> String {
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let told = |number: u64| maybe(row.reachable.then_some(number));
            [
                row.node.to_string(),
                row.state.to_owned(),
                match (row.reachable, row.ready) {
                    (false, _) => "UNREACHABLE".to_owned(),
                    (true, false) => "no".to_owned(),
                    (true, true) => "yes".to_owned(),
                },
                row.replicas.to_string(),
                told(row.leads),
                row.registry.clone(),
                row.peers.clone(),
                row.build.clone().unwrap_or_else(|| "-".to_owned()),
                row.disk_free_bytes.map_or_else(|| "-".to_owned(), size),
            ]
        })
        .collect();
    let head =
        ["NODE", "STATE", "READY", "REPLICAS", "LEADS", "REGISTRY", "PEERS", "BUILD", "DISK FREE"];
    table(head, &cells)
}

pub(super) fn shard_table(rows: &[ShardRow]) -> String {
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let control = row.shard == ShardId::CONTROL.0;
            let data = |number: u64| maybe((!control).then_some(number));
            [
                shard_name(ShardId(row.shard)),
                row.leader.map_or_else(|| "NONE".to_owned(), |leader| leader.to_string()),
                maybe(row.term),
                list(&row.placement),
                list(&row.voters),
                list(&row.learners),
                if row.settled { "yes" } else { "no" }.to_owned(),
                data(row.slots),
                data(row.routes),
                data(row.next_seq),
                maybe(row.committed_index),
            ]
        })
        .collect();
    let head = [
        "SHARD",
        "LEADER",
        "TERM",
        "SHOULD BE ON",
        "VOTERS",
        "LEARNERS",
        "SETTLED",
        "SLOTS",
        "ROUTES",
        "NEXT SEQ",
        "COMMITTED",
    ];
    table(head, &cells)
}

pub(super) fn member_table(rows: &[MemberRow]) -> String {
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                shard_name(ShardId(row.shard)),
                row.node.to_string(),
                row.role.to_owned(),
                row.term.to_string(),
                row.last_index.to_string(),
                row.applied_index.to_string(),
                row.lag.to_string(),
                row.snapshot_index.to_string(),
                row.purged_index.to_string(),
                match (row.recovered, row.joint) {
                    (false, _) => "catching up".to_owned(),
                    (true, true) => "joint".to_owned(),
                    (true, false) => "-".to_owned(),
                },
            ]
        })
        .collect();
    let head =
        ["SHARD", "NODE", "ROLE", "TERM", "LAST", "APPLIED", "LAG", "SNAPSHOT", "PURGED", "NOTE"];
    table(head, &cells)
}

/// How many nodes are in each state, in words.
pub(super) fn states(fleet: &Fleet) -> String {
    let count = |state: NodeState| match state {
        NodeState::Removed => fleet.removed.len(),
        state => fleet.nodes.iter().filter(|node| node.state == state).count(),
    };
    let words = NodeState::ALL.into_iter().map(|state| (count(state), state));
    let words: Vec<_> = words
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    words.join(", ")
}

fn size(bytes: u64) -> String {
    const GIB: f64 = (1_u64 << 30) as f64;
    format!("{:.1} GiB", bytes as f64 / GIB)
}
