//! What must hold of the control shard after any log.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support included")]

use std::collections::BTreeMap;

use orrery_model::control::*;
use orrery_model::{CometRef, Id, Incarnation, ShardId, ring};
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

fn founded() -> ControlBatch {
    let table = ring::propose(1, &[ShardId(1), ShardId(2)]).unwrap();
    let found = Found { cluster_id: "test".to_owned(), nodes: Vec::new(), table };
    ControlBatch { commands: vec![ControlCommand::Found(found)], ..ControlBatch::default() }
}

fn batch(command: &ControlCommand) -> ControlBatch {
    ControlBatch { commands: vec![command.clone()], ..ControlBatch::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn replicas_agree_wherever_one_went_through_a_snapshot(
        log in vec(command(), 1..60),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(log.len());
        let (mut one, mut other) = (Control::new(), Control::new());
        one.apply(&founded());
        other.apply(&founded());
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
        let mut control = Control::new();
        control.apply(&founded());
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
}
