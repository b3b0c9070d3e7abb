//! Binding again after the comet's life ended: how old the connections are said to be, and how fast it goes.

use std::time::Duration;

use orrery_model::Address;
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::registry::command::Kind as Write;
use orrery_proto::registry::{Bind, unbind};
use serde_json::json;
use tokio::time::Instant;

use crate::connect::{key, room, user};
use crate::presence::{binds, unbinds, writes};
use crate::support::Stage;
use crate::support::device::{Transport, frame};
use crate::support::logic::{Fate, Logic};
use crate::support::registry::Route;
use crate::support::session::{target, to_connections};

/// The binds of an address in one of the comet's lives.
fn binds_of(logic: &Logic, address: &Address, incarnation: u64) -> Vec<Bind> {
    let of = |bind: &Bind| {
        bind.address.as_ref() == Some(&address.into())
            && bind.comet.as_ref().unwrap().incarnation == incarnation
    };
    binds(logic).into_iter().filter(of).collect()
}

/// Ends the comet's life and waits until so many routes are there in the next one.
async fn next_life(stage: &Stage, routes: usize) -> u64 {
    let before = stage.logic.incarnation();
    stage.logic.fence();
    stage.logic.alive(false);
    let bound = |logic: &Logic| logic.incarnation() > before && logic.routes().len() == routes;
    stage.logic.until("the binds in the next life", bound).await;
    stage.logic.incarnation()
}

#[tokio::test]
async fn a_connection_that_is_bound_again_is_as_old_as_its_first_life() {
    let stage = Stage::new().await;
    let _device = stage.device(Transport::Tcp, r#"{"mid":1,"key":"k"}"#).await;
    let first = stage.logic.route(&user("1"));
    assert_eq!(binds(&stage.logic).iter().filter(|bind| bind.rank.is_some()).count(), 0);
    for _ in 0..2 {
        let incarnation = next_life(&stage, 2).await;
        let ranks = |address: &Address| {
            let binds = binds_of(&stage.logic, address, incarnation);
            binds.into_iter().map(|bind| bind.rank).collect::<Vec<_>>()
        };
        assert_eq!(ranks(&user("1")), [Some(first.seq)]);
        assert_eq!(ranks(&key("k")), [Some(first.seq)], "the primary's, not the key's own");
        assert!(stage.logic.route(&user("1")).seq > first.seq);
    }
    // Somebody new is new.
    let _new = stage.device(Transport::Tcp, r#"{"mid":2,"key":"k2"}"#).await;
    assert_eq!(binds(&stage.logic).pop().unwrap().rank, None);
}

#[tokio::test]
async fn a_device_that_moved_on_meanwhile_keeps_its_place_and_the_old_connection_is_closed() {
    let stage = Stage::new().await;
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello", "user": "1", "key": "k"})).await;
    let conn = stage.logic.route(&user("1")).conn;
    // The user may have many connections, so its bind is taken; the key has moved.
    let key_wire = (&key("k")).into();
    stage.logic.rule(move |request| match request {
        Request::Write(write) => match &write.kind {
            Some(Write::Bind(bind)) if bind.address.as_ref() == Some(&key_wire) => Fate::Outrank,
            _ => Fate::Answer,
        },
        _ => Fate::Answer,
    });
    stage.logic.fence();
    stage.logic.alive(false);
    assert_eq!(device.closed().await, 4001);
    stage.logic.until("its goodbye", |logic| unbinds(logic).len() == 2).await;
    assert!(stage.logic.routes().is_empty());
    let named: Vec<_> = unbinds(&stage.logic).into_iter().map(|it| it.route).collect();
    assert!(named.contains(&Some(unbind::Route::Conn(conn))), "the key, refused: {named:?}");
}

/// Has a connection bound again and win its user's place over one that got a higher seq meanwhile. Returns its
/// first seq, and the ranks that it names at its user and its key.
async fn ranks_over_a_later_one(policy: &str) -> (u64, [Option<u64>; 2]) {
    let stage = Stage::new().await;
    let token = json!({"mid": 1, "key": "k", "policy": policy}).to_string();
    let _device = stage.device(Transport::Tcp, &token).await;
    let first = stage.logic.route(&user("1"));
    stage.logic.one_per_user();
    let later = Route { incarnation: 99, conn: 99, seq: first.seq + 1000, ..first.clone() };
    stage.logic.fence();
    stage.logic.plant(later);
    stage.logic.alive(false);
    let bound = |logic: &Logic| {
        logic.incarnation() > first.incarnation && !logic.routes_of(&key("k")).is_empty()
    };
    stage.logic.until("the binds in the next life", bound).await;
    let incarnation = stage.logic.incarnation();
    let rank = |address: Address| binds_of(&stage.logic, &address, incarnation)[0].rank;
    (first.seq, [rank(user("1")), rank(key("k"))])
}

#[tokio::test]
async fn where_the_oldest_wins_a_connection_bound_again_takes_its_key_as_a_new_one() {
    let (first, ranks) = ranks_over_a_later_one("oldest").await;
    // The later one may still hold the key, where the newest wins.
    assert_eq!(ranks, [Some(first), None]);
}

#[tokio::test]
async fn where_the_newest_wins_no_rank_is_dropped_whomever_a_connection_wins_over() {
    let (first, ranks) = ranks_over_a_later_one("newest").await;
    // That one was bound again itself: it is the older one in spite of its seq.
    assert_eq!(ranks, [Some(first); 2]);
}

#[tokio::test]
async fn living_connections_are_bound_again_at_the_pace_of_the_attach_reply() {
    const DEVICES: usize = 30;
    const PER_SECOND: u32 = 50;
    let stage = Stage::new().await;
    let mut devices = Vec::new();
    for mid in 0..DEVICES {
        let token = format!(r#"{{"mid":{mid},"key":"k{mid}","room_id":"live://1","accepts":[1]}}"#);
        devices.push(stage.device(Transport::Tcp, &token).await);
    }
    let old: Vec<_> = (0..DEVICES).map(|mid| stage.logic.route(&user(&mid.to_string()))).collect();
    stage.logic.rebind_per_second(PER_SECOND);
    let began = Instant::now();
    let mut session = stage.session().await;
    session.incarnation = old[0].incarnation;
    stage.logic.fence();
    stage.logic.alive(false);
    stage.logic.until("the first bind", |logic| !logic.routes().is_empty()).await;
    // Its rooms are listed first, and what names the old life is refused.
    let again = stage.logic.incarnation();
    let of_life = |write: &Write| match write {
        Write::Bind(bind) => (bind.comet.as_ref().unwrap().incarnation == again).then_some(false),
        Write::BindRoom(list) => {
            (list.comet.as_ref().unwrap().incarnation == again).then_some(true)
        }
        _ => None,
    };
    let listing_first = writes(&stage.logic).iter().find_map(of_life);
    assert_eq!(listing_first, Some(true));
    assert!(stage.logic.is_listed(&room("live://1")));
    let receipt = session.deliver(to_connections(1, b"old", vec![target(&old[0])])).await;
    assert!(receipt.wrong_incarnation);

    stage.logic.until("all binds", |logic| logic.routes().len() == 2 * DEVICES).await;
    // Two steps' worth may go at once.
    let least = Duration::from_millis((DEVICES as u64 - 3) * 1000 / u64::from(PER_SECOND));
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    session.incarnation = again;
    for (mid, device) in devices.iter_mut().enumerate() {
        let route = stage.logic.route(&user(&mid.to_string()));
        session.push(1, b"again", &[&route]).await;
        assert_eq!(device.receive().await, frame(1, 0, b"again"), "never closed, nothing lost");
    }
}

#[tokio::test]
async fn goodbyes_wait_through_an_outage_and_those_of_a_life_that_ended_are_dropped() {
    let stage = Stage::new().await;
    let devices = [
        stage.device(Transport::Tcp, r#"{"mid":1}"#).await,
        stage.device(Transport::Tcp, r#"{"mid":2}"#).await,
    ];
    stage.logic.rule(|request| match request {
        Request::Write(write) if matches!(write.kind, Some(Write::Unbind(_))) => Fate::Hold,
        _ => Fate::Answer,
    });
    let [first, second] = devices;
    drop(first);
    stage.logic.until("a goodbye", |logic| logic.held() >= 2).await;
    // Their answers never come: the same is asked for in the next session.
    stage.logic.hang_up();
    stage.logic.until("the goodbye repeated", |logic| logic.held() >= 4).await;
    stage.logic.release();
    let gone = |logic: &Logic| logic.routes_of(&user("1")).is_empty();
    stage.logic.until("the acknowledgement", gone).await;

    stage.logic.rule(|request| match request {
        Request::Write(write) if matches!(write.kind, Some(Write::Unbind(_))) => Fate::Hold,
        _ => Fate::Answer,
    });
    drop(second);
    let held = stage.logic.held();
    stage.logic.until("a goodbye", |logic| logic.held() >= held + 2).await;
    stage.logic.fence();
    stage.logic.alive(false);
    stage.logic.until("the next life", |logic| logic.incarnation() > 1).await;
    let said = unbinds(&stage.logic).len();
    // Whoever connects now has been through everything that waited.
    let third = stage.device(Transport::Tcp, r#"{"mid":3}"#).await;
    stage.logic.release();
    drop(third);
    stage.logic.until("the last goodbye", |logic| logic.routes().is_empty()).await;
    let late: Vec<_> = unbinds(&stage.logic).split_off(said);
    let lives: Vec<u64> = late.iter().map(|it| it.comet.as_ref().unwrap().incarnation).collect();
    assert_eq!(lives, [2, 2], "nothing of the life that ended");
}

#[tokio::test]
async fn a_connection_keeps_its_place_until_its_goodbye_is_acknowledged() {
    let stage = Stage::with(|config| config.connections_max = 2).await;
    stage.logic.rule(|request| match request {
        Request::Write(write) if matches!(write.kind, Some(Write::Unbind(_))) => Fate::Hold,
        _ => Fate::Answer,
    });
    for mid in 1..=2 {
        drop(stage.device(Transport::Tcp, &format!(r#"{{"mid":{mid}}}"#)).await);
    }
    stage.logic.until("both goodbyes", |logic| logic.held() >= 4).await;
    assert!(!stage.stranger(Transport::Tcp).await.try_authenticate("{}").await, "no place is left");
    stage.logic.release();
    crate::support::soon("a place", async {
        while !stage.stranger(Transport::Tcp).await.try_authenticate("{}").await {}
    })
    .await;
}
