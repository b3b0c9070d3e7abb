//! Which records make a control shard, and why others do not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support included")]

use orrery_model::cluster::{Counters, Node, NodeState, PROTOCOL, Placed, Placement};
use orrery_model::control::{ControlBatch, ControlCommand, Found};
use orrery_model::record::ControlRecord;
use orrery_model::{Incarnation, NodeId, Seq, ShardId, ring};
use orrery_router_core::control::{Control, ControlRestoreError};
use orrery_router_core::limits::{MEMBERS_MAX, NODES_EVER_MAX, NODES_MAX};

fn node(id: u64) -> Node {
    Node {
        id: NodeId(id),
        registry: String::new(),
        peers: String::new(),
        instance: format!("disk-{id}"),
        protocol: PROTOCOL,
    }
}

fn apply(control: &mut Control, command: ControlCommand) -> Result<(), String> {
    let batch = ControlBatch { commands: vec![command], ..ControlBatch::default() };
    control.apply(&batch).remove(0).map(drop).map_err(|refusal| refusal.to_string())
}

fn placed(shard: u32, voters: &[u64]) -> Placed {
    let voters = voters.iter().copied().map(NodeId).collect();
    Placed { shard: ShardId(shard), log_index: 5, voters, learners: Vec::new(), version: None }
}

/// Two nodes, a control shard and one data shard, whose leader has reported.
fn control() -> Control {
    let mut control = Control::new();
    let found = Found {
        cluster_id: "test".to_owned(),
        nodes: vec![node(1), node(2)],
        table: ring::propose(1, &[ShardId(1)]).unwrap(),
        placements: Vec::new(),
        counters: Counters::default(),
    };
    apply(&mut control, ControlCommand::Found(found)).unwrap();
    apply(&mut control, ControlCommand::Placed(placed(1, &[1, 2]))).unwrap();
    control
}

fn records() -> Vec<ControlRecord> {
    control().snapshot().records().collect()
}

fn error(records: impl IntoIterator<Item = ControlRecord>) -> ControlRestoreError {
    Control::restore(records).map(drop).unwrap_err()
}

/// The records without those that are `gone`, and with `more`.
fn changed(
    gone: impl Fn(&ControlRecord) -> bool,
    more: impl IntoIterator<Item = ControlRecord>,
) -> ControlRestoreError {
    error(records().into_iter().filter(|record| !gone(record)).chain(more))
}

#[test]
fn the_records_of_a_cluster_make_it_again() {
    let restored = Control::restore(records()).unwrap();
    assert_eq!(restored.digest(), control().digest());
    assert!(restored.snapshot().records().eq(records()));
}

#[test]
fn whatever_is_different_makes_another_digest() {
    let found = |change: fn(&mut Found)| {
        let mut found = control().found().unwrap().clone();
        change(&mut found);
        let mut control = Control::new();
        apply(&mut control, ControlCommand::Found(found)).unwrap();
        control.digest()
    };
    let placements = |found: &mut Found| {
        let everywhere =
            |shard| Placement { shard, version: 1, replicas: vec![NodeId(1), NodeId(2)] };
        found.placements = vec![everywhere(ShardId::CONTROL), everywhere(ShardId(1))];
    };
    let mut digests = vec![
        control().digest(),
        found(|_| {}),
        found(|found| found.nodes[0].instance.push('x')),
        found(placements),
        found(|found| found.counters.first_incarnation = Incarnation(1)),
        found(|found| found.counters.first_seqs = [(ShardId(1), Seq(7))].into()),
    ];
    let told = |log_index, voters: &[u64], learners: &[u64]| {
        let learners = learners.iter().copied().map(NodeId).collect();
        ControlCommand::Placed(Placed { log_index, learners, ..placed(1, voters) })
    };
    let answered =
        |version| ControlCommand::Placed(Placed { version: Some(version), ..placed(1, &[1, 2]) });
    let set = |state| ControlCommand::SetNodeState { node: NodeId(2), state };
    let place = |replicas: &[u64]| {
        let replicas = replicas.iter().copied().map(NodeId).collect();
        ControlCommand::Place(Placement { shard: ShardId(1), version: 2, replicas })
    };
    let changes = [
        ControlCommand::AddNode(node(3)),
        ControlCommand::AddNode(node(4)),
        ControlCommand::UpdateNode(Node { registry: "x".to_owned(), ..node(2) }),
        ControlCommand::UpdateNode(Node { peers: "x".to_owned(), ..node(2) }),
        ControlCommand::UpdateNode(Node { protocol: PROTOCOL + 1, ..node(2) }),
        set(NodeState::Draining),
        set(NodeState::Leaving),
        place(&[1, 2]),
        place(&[2, 1]),
        place(&[1]),
        told(6, &[1, 2], &[]),
        told(7, &[1, 2], &[]),
        told(6, &[1], &[2]),
        told(6, &[1], &[]),
        answered(0),
        answered(1),
    ];
    for change in changes {
        let mut control = control();
        apply(&mut control, change).unwrap();
        digests.push(control.digest());
    }
    let count = digests.len();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), count);
}

#[test]
fn nothing_is_told_twice() {
    let node = ControlRecord::Node { node: node(2), state: NodeState::Active };
    let twice = ControlRestoreError::NodeTwice { node: NodeId(2) };
    assert_eq!(changed(|_| false, [node]), twice);
    for (record, what) in records().into_iter().filter_map(|record| match &record {
        ControlRecord::Placement(p) if p.shard == ShardId(1) => Some((record, "the placement")),
        ControlRecord::Placed(_) => Some((record, "the members")),
        _ => None,
    }) {
        let shard = ShardId(1);
        assert_eq!(changed(|_| false, [record]), ControlRestoreError::ShardTwice { what, shard });
    }
}

#[test]
fn nothing_is_missing() {
    let is_node = |record: &ControlRecord| matches!(record, ControlRecord::Node { node, .. } if node.id.0 == 2);
    assert_eq!(changed(is_node, []), ControlRestoreError::NodeMissing { node: NodeId(2) });
    for lost in [ShardId::CONTROL, ShardId(1)] {
        let is_lost = |record: &ControlRecord| matches!(record, ControlRecord::Placement(p) if p.shard == lost);
        let error = changed(is_lost, []);
        assert_eq!(error, ControlRestoreError::PlacementMissing { shard: lost });
    }
    let is_founding = |record: &ControlRecord| matches!(record, ControlRecord::Found(_));
    assert_eq!(changed(is_founding, []), ControlRestoreError::NotFounded);
}

#[test]
fn nothing_is_placed_as_no_command_can() {
    let wrong = |shard| ControlRestoreError::WrongPlacement { shard: ShardId(shard) };
    let is_of_1 = |record: &ControlRecord| matches!(record, ControlRecord::Placement(p) if p.shard == ShardId(1));
    let place = |version, replicas: &[u64]| {
        let replicas = replicas.iter().copied().map(NodeId).collect();
        ControlRecord::Placement(Placement { shard: ShardId(1), version, replicas })
    };
    for record in [place(0, &[1]), place(1, &[]), place(1, &[1, 1]), place(1, &[1, 9])] {
        assert_eq!(changed(is_of_1, [record.clone()]), wrong(1), "{record:?}");
    }
    let removed = ControlRecord::Node { node: node(3), state: NodeState::Removed };
    assert_eq!(changed(is_of_1, [removed, place(1, &[1, 3])]), wrong(1));
    let elsewhere = Placement { shard: ShardId(9), version: 1, replicas: vec![NodeId(1)] };
    assert_eq!(changed(|_| false, [ControlRecord::Placement(elsewhere)]), wrong(9));

    let is_report = |record: &ControlRecord| matches!(record, ControlRecord::Placed(_));
    for report in [placed(1, &[]), placed(1, &[1, 1]), placed(1, &[9])] {
        assert_eq!(changed(is_report, [ControlRecord::Placed(report.clone())]), wrong(1));
    }
    assert_eq!(changed(|_| false, [ControlRecord::Placed(placed(9, &[1]))]), wrong(9));
}

#[test]
fn a_cluster_has_a_bounded_number_of_nodes_and_remembers_a_bounded_number() {
    let mut control = control();
    let add = |control: &mut Control, id| apply(control, ControlCommand::AddNode(node(id)));
    for id in 3..=NODES_MAX as u64 {
        add(&mut control, id).unwrap();
    }
    let next = NODES_MAX as u64 + 1;
    let full = "invalid command: the cluster has as many nodes as it can have";
    assert_eq!(add(&mut control, next), Err(full.to_owned()));
    add(&mut control, 64).expect("a repeat is no new node");
    let removed = |id| ControlRecord::Node { node: node(id), state: NodeState::Removed };
    let past = (3..=NODES_EVER_MAX as u64).map(removed);
    let mut control = Control::restore(records().into_iter().chain(past)).unwrap();
    let too_many = "invalid command: the cluster has had too many nodes";
    assert_eq!(add(&mut control, NODES_EVER_MAX as u64 + 1), Err(too_many.to_owned()));
}

#[test]
fn a_report_has_a_bounded_number_of_members() {
    let mut control = control();
    let members: Vec<u64> = (1..=MEMBERS_MAX as u64 + 1).collect();
    let reply = apply(&mut control, ControlCommand::Placed(placed(1, &members)));
    assert_eq!(reply, Err("invalid command: a shard has too many members".to_owned()));
}
