//! Outages: one shard does not answer, and what is for the others goes on.

use std::collections::BTreeSet;

use orrery_model::limits::ROOMS_PER_CONNECTION_MAX;
use orrery_model::{Address, Slot};
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::registry::command::Kind as Write;
use serde_json::json;

use crate::connect::{key, room, user};
use crate::presence::{binds, unbinds};
use crate::support::device::{Transport, frame};
use crate::support::logic::Fate;
use crate::support::{Stage, soon};

/// Whether an address belongs to the shard that does not answer: one of sixteen.
fn is_dead(address: &Address) -> bool {
    address.slot().number() % 16 == 3
}

/// Leaves the goodbyes and listings that the dead shard is asked for unanswered.
fn dead_shard(request: &Request) -> Fate {
    let Request::Write(write) = request else { return Fate::Answer };
    let address = match &write.kind {
        Some(Write::Unbind(unbind)) => unbind.address.clone(),
        Some(Write::BindRoom(list) | Write::UnbindRoom(list)) => list.room.clone(),
        _ => None,
    };
    let dead = address.is_some_and(|address| is_dead(&address.try_into().unwrap()));
    if dead { Fate::Hold } else { Fate::Answer }
}

/// Ids whose addresses the shard owns that is dead, or is not.
fn ids(of: fn(&str) -> Address, dead: bool) -> impl Iterator<Item = String> {
    (0..).map(|n: u32| n.to_string()).filter(move |id| is_dead(&of(id)) == dead)
}

/// A stage on which what is not answered is not given up either.
async fn stage() -> Stage {
    let stage = Stage::with(|config| {
        (config.edge_request_ms, config.handshake_ms) = (600_000, 600_000);
    })
    .await;
    stage.logic.rule(dead_shard);
    stage
}

#[tokio::test]
async fn goodbyes_that_a_shard_does_not_answer_hold_up_no_others() {
    const GONE: usize = 1100;
    let stage = stage().await;
    let mut slots = BTreeSet::<Slot>::new();
    for (mid, id) in ids(user, true).zip(ids(key, true)).take(GONE) {
        slots.extend([user(&mid).slot(), key(&id).slot()]);
        drop(stage.device(Transport::Tcp, &format!(r#"{{"mid":{mid},"key":"{id}"}}"#)).await);
    }
    stage.logic.until("a goodbye for each slot", |logic| logic.held() == slots.len()).await;

    let (mid, id) = (ids(user, false).next().unwrap(), ids(key, false).next().unwrap());
    let device = stage.device(Transport::Tcp, &format!(r#"{{"mid":{mid},"key":"{id}"}}"#)).await;
    let bind = binds(&stage.logic).pop().unwrap();
    assert_eq!(bind.settled, bind.conn, "goodbyes of what was decided hold nothing back");
    drop(device);
    let said = |address: Address| {
        let wire = Some((&address).into());
        unbinds(&stage.logic).iter().any(|unbind| unbind.address == wire)
    };
    stage.logic.until("both its unbinds", |_| said(user(&mid)) && said(key(&id))).await;
    assert_eq!(stage.logic.held(), slots.len(), "one of each slot, and none was given up");

    stage.logic.release();
    stage.logic.until("all goodbyes", |logic| logic.routes().is_empty()).await;
    soon("the last answer", async {
        while stage.counted("goodbyes") < GONE as u64 + 1 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn listings_that_a_shard_does_not_answer_hold_up_no_others() {
    const ROOMS: usize = 300;
    let stage = stage().await;
    let rooms: Vec<String> = ids(room, true).take(ROOMS).collect();
    let slots: BTreeSet<Slot> = rooms.iter().map(|id| room(id).slot()).collect();
    let mut waiting = Vec::new();
    for rooms in rooms.chunks(ROOMS_PER_CONNECTION_MAX) {
        let mut device = stage.stranger(Transport::Tcp).await;
        device.send(frame(7, 42, json!({"rooms": rooms}).to_string().as_bytes())).await;
        waiting.push(device);
    }
    stage.logic.until("a listing for each slot", |logic| logic.held() == slots.len()).await;

    let id = ids(room, false).next().unwrap();
    let _device = stage.device(Transport::Tcp, &json!({"room_id": id}).to_string()).await;
    assert!(stage.logic.is_listed(&room(&id)));
    assert_eq!(stage.logic.held(), slots.len(), "one of each slot, and none was given up");

    stage.logic.release();
    for device in &mut waiting {
        assert_eq!(device.receive().await.op, 8);
    }
    assert!(rooms.iter().all(|id| stage.logic.is_listed(&room(id))));
}

#[tokio::test]
async fn what_is_refused_until_removals_are_settled_is_asked_for_again() {
    let stage = Stage::new().await;
    let mut refused = 0;
    stage.logic.rule(move |request| match request {
        Request::Write(write) => match write.kind {
            Some(Write::Bind(_) | Write::Unbind(_)) if refused % 3 < 2 => {
                refused += 1;
                Fate::Unsettled
            }
            _ => {
                refused += 1;
                Fate::Answer
            }
        },
        _ => Fate::Answer,
    });
    let device = stage.device(Transport::Tcp, r#"{"mid":1,"key":"k"}"#).await;
    assert_eq!(stage.logic.routes().len(), 2);
    assert_eq!(binds(&stage.logic).len(), 6, "each twice in vain");
    drop(device);
    stage.logic.until("its goodbye", |logic| logic.routes().is_empty()).await;
}
