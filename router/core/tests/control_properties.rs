//! What must hold of the control shard after any log.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support included")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use orrery_model::cluster::{Counters, NodeState, PROTOCOL, Placed, Placement};
use orrery_model::control::*;
use orrery_model::{CometRef, Id, Incarnation, NodeId, ShardId, ring};
use orrery_router_core::control::{Control, Standing};
use proptest::collection::vec;
use proptest::prelude::*;

fn command() -> impl Strategy<Value = ControlCommand> {
    let comet = (0..3_usize).prop_map(|n| Id::new(["c0", "c1", "c2"][n]).unwrap());
    let attach = (comet.clone(), 0..3_usize, 1..5_u64).prop_map(|(comet, instance, attempt)| {
        let instance = ["x", "y", "z"][instance].to_owned();
        ControlCommand::Attach(Attach { comet, instance, attempt, advertise: Advertise::default() })
    });
    let expire = (comet, 1..12_u64)
        .prop_map(|(id, n)| ControlCommand::Expire(CometRef { id, incarnation: Incarnation(n) }));
    let trim = (0..20_u64).prop_map(|position| ControlCommand::Trim { position });
    prop_oneof![6 => attach, 3 => expire, 1 => trim]
}

fn node(id: u64, instance: usize) -> Node {
    Node {
        id: NodeId(id),
        registry: format!("n{id}:3121"),
        peers: format!("n{id}:3120"),
        instance: ["one", "other"][instance].to_owned(),
        protocol: PROTOCOL,
    }
}

fn node_ids(ids: Vec<u64>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

/// Commands about nodes and placements, most of which may be carried out.
fn cluster_command() -> impl Strategy<Value = ControlCommand> {
    let some_node = || (1..7_u64, prop_oneof![5 => Just(0_usize), 1 => Just(1)]);
    let replicas = || vec(1..7_u64, 1..4).prop_map(node_ids);
    let shard = || (0..3_u32).prop_map(ShardId);
    let set = (1..7_u64, proptest::sample::select(&NodeState::ALL))
        .prop_map(|(node, state)| ControlCommand::SetNodeState { node: NodeId(node), state });
    let place = (shard(), 1..8_u64, replicas()).prop_map(|(shard, version, replicas)| {
        ControlCommand::Place(Placement { shard, version, replicas })
    });
    let learners = vec(1..7_u64, 0..2).prop_map(node_ids);
    let version = proptest::option::of(1..8_u64);
    let placed = (shard(), 1..20_u64, replicas(), learners, version).prop_map(
        |(shard, log_index, voters, learners, version)| {
            ControlCommand::Placed(Placed { shard, log_index, voters, learners, version })
        },
    );
    prop_oneof![
        3 => some_node().prop_map(|(id, instance)| ControlCommand::AddNode(node(id, instance))),
        1 => some_node().prop_map(|(id, instance)| ControlCommand::UpdateNode(node(id, instance))),
        4 => set,
        6 => place,
        4 => placed,
    ]
}

static FOUNDED: LazyLock<ControlBatch> = LazyLock::new(|| {
    let found = Found {
        cluster_id: "test".to_owned(),
        nodes: vec![node(1, 0), node(2, 0), node(3, 0)],
        table: ring::propose(1, &[ShardId(1), ShardId(2)]).unwrap(),
        placements: Vec::new(),
        counters: Counters::default(),
    };
    ControlBatch { commands: vec![ControlCommand::Found(found)], ..ControlBatch::default() }
});

fn founded() -> Control {
    let mut control = Control::new();
    assert_eq!(control.apply(&FOUNDED), [Ok(ControlOutcome::Done)]);
    control
}

/// All that the state tells of nodes and placements; its digest would look at the whole table each time.
fn told(control: &Control) -> impl PartialEq + std::fmt::Debug + use<> {
    let nodes: Vec<_> = control.nodes().map(|(node, state)| (node.clone(), state)).collect();
    let placements: Vec<_> = control.placements().cloned().collect();
    let placed: Vec<_> = control.shards().map(|shard| control.placed(shard).cloned()).collect();
    (nodes, placements, placed)
}

fn batch(command: &ControlCommand) -> ControlBatch {
    ControlBatch { commands: vec![command.clone()], ..ControlBatch::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn replicas_agree_wherever_one_went_through_a_snapshot(
        log in vec(prop_oneof![command(), cluster_command()], 1..60),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(log.len());
        let (mut one, mut other) = (founded(), founded());
        for (index, command) in log.iter().enumerate() {
            prop_assert_eq!(one.apply(&batch(command)), other.apply(&batch(command)));
            if index == at {
                other = Control::restore(other.snapshot().records()).unwrap();
            }
        }
        prop_assert_eq!(one.digest(), other.digest());
    }

    #[test]
    fn each_life_is_given_once_and_ended_by_an_event(log in vec(command(), 1..60)) {
        let mut control = founded();
        let mut given: BTreeMap<Incarnation, Attach> = BTreeMap::new();
        let mut fences: BTreeMap<Id, Incarnation> = BTreeMap::new();
        for command in &log {
            let before = control.last_position();
            let reply = control.apply(&batch(command)).remove(0);
            for event in control.events_after(before, usize::MAX) {
                let earlier = fences.insert(event.comet.clone(), event.fence);
                prop_assert!(earlier.is_none_or(|earlier| earlier <= event.fence));
            }
            if let (ControlCommand::Attach(attach), Ok(ControlOutcome::Attached { incarnation, position })) =
                (command, reply)
            {
                let is_new = control.last_position() > before;
                if let Some(earlier) = given.insert(incarnation, attach.clone()) {
                    prop_assert!(!is_new);
                    prop_assert_eq!(&earlier, attach);
                } else {
                    prop_assert!(is_new && position == before + 1);
                    prop_assert_eq!(fences[&attach.comet], incarnation);
                }
            }
            // Of every comet at most one life is living, and it stands at its fence.
            for (incarnation, attach) in &given {
                let comet = CometRef { id: attach.comet.clone(), incarnation: *incarnation };
                let living = control.standing(&comet) == Standing::Living;
                prop_assert_eq!(living, control.comet(&comet.id).is_some_and(|c| c.comet == comet));
                if living {
                    prop_assert_eq!(fences[&comet.id], *incarnation);
                } else {
                    prop_assert!(fences[&comet.id] > *incarnation);
                }
            }
        }
    }

    #[test]
    fn nodes_and_placements_only_move_forward(log in vec(cluster_command(), 1..60)) {
        let mut control = founded();
        for command in &log {
            let before = control.clone();
            let reply = control.apply(&batch(command)).remove(0);
            if reply.is_err() {
                prop_assert_eq!(told(&control), told(&before));
            } else {
                let done = told(&control);
                prop_assert_eq!(control.apply(&batch(command)).remove(0), reply, "said again");
                prop_assert_eq!(told(&control), done);
            }
            for (earlier, state) in before.nodes() {
                let (node, now) = control.node(earlier.id).unwrap();
                prop_assert_eq!(&node.instance, &earlier.instance);
                prop_assert!(state != NodeState::Removed || now == NodeState::Removed);
            }
            for earlier in before.placements() {
                let now = control.placement(earlier.shard).unwrap();
                let is_next = now.version == earlier.version + 1;
                prop_assert!(now == earlier || is_next, "{:?} to {:?}", earlier, now);
                let once: BTreeSet<_> = now.replicas.iter().collect();
                prop_assert!(!now.replicas.is_empty() && once.len() == now.replicas.len());
                let placed = (before.placed(earlier.shard), control.placed(earlier.shard));
                if let (Some(earlier), Some(now)) = placed {
                    prop_assert!(now == earlier || now.age() > earlier.age());
                }
            }
            let is_removed = |id: &&NodeId| control.node(**id).unwrap().1 == NodeState::Removed;
            let placed_on = |p: &Placement| p.replicas.iter().find(is_removed).copied();
            prop_assert_eq!(control.placements().find_map(placed_on), None);
            let stays = |(_, state)| matches!(state, NodeState::Active | NodeState::Draining);
            prop_assert!(control.nodes().any(stays), "nobody stays: {:?}", command);
        }
    }

    #[test]
    fn what_holds_a_replica_is_not_removed(log in vec(cluster_command(), 1..60)) {
        let mut control = founded();
        for command in &log {
            let before = control.clone();
            let reply = control.apply(&batch(command)).remove(0);
            let ControlCommand::SetNodeState { node, state: NodeState::Removed } = command else {
                continue;
            };
            if before.node(*node).is_none_or(|(_, state)| state == NodeState::Removed) {
                continue;
            }
            // Written out from the records, not with what the state itself judges by.
            let mut holds = false;
            for placement in before.placements() {
                let shard = placement.shard;
                holds |= placement.replicas.contains(node);
                holds |= match before.placed(shard) {
                    Some(placed) => {
                        placed.version.is_some_and(|version| version != placement.version)
                            || placed.voters.contains(node)
                            || (shard != ShardId::CONTROL && placed.learners.contains(node))
                    }
                    None => [NodeId(1), NodeId(2), NodeId(3)].contains(node),
                };
            }
            prop_assert!(!(holds && reply.is_ok()), "{} was removed", node);
        }
    }
}
