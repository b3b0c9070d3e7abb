//! Presence: unknown outcomes, goodbyes, and new lives of the comet.

use std::collections::HashSet;

use orrery_comet::Ended;
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::registry::command::Kind as Write;
use orrery_proto::registry::{Bind, Unbind, unbind};
use serde_json::json;

use crate::connect::{key, room, user};
use crate::support::Stage;
use crate::support::device::{BOTH, Transport, frame};
use crate::support::logic::{Fate, Logic};
use crate::support::session::{target, to_connections, to_room};
use crate::support::soon;

/// The writes that logic was asked for.
pub(crate) fn writes(logic: &Logic) -> Vec<Write> {
    let write = |request| match request {
        Request::Write(write) => write.kind,
        _ => None,
    };
    logic.log().into_iter().filter_map(write).collect()
}

pub(crate) fn binds(logic: &Logic) -> Vec<Bind> {
    let bind = |write| if let Write::Bind(bind) = write { Some(bind) } else { None };
    writes(logic).into_iter().filter_map(bind).collect()
}

pub(crate) fn unbinds(logic: &Logic) -> Vec<Unbind> {
    let unbind = |write| if let Write::Unbind(unbind) = write { Some(unbind) } else { None };
    writes(logic).into_iter().filter_map(unbind).collect()
}

/// A rule that breaks the session at the first request of a kind.
fn break_once(which: fn(&Write) -> bool) -> impl FnMut(&Request) -> Fate + Send {
    let mut broken = false;
    move |request| match request {
        Request::Write(write) if !broken && write.kind.as_ref().is_some_and(which) => {
            broken = true;
            Fate::Break
        }
        _ => Fate::Answer,
    }
}

#[tokio::test]
async fn a_bind_whose_answer_was_lost_is_repeated_and_binds_once() {
    let stage = Stage::new().await;
    stage.logic.rule(break_once(|write| matches!(write, Write::Bind(_))));
    let _device = stage.device(Transport::Tcp, r#"{"mid":1,"key":"k"}"#).await;
    assert_eq!(stage.logic.routes_of(&user("1")).len(), 1);
    let binds = binds(&stage.logic);
    assert_eq!(binds.len(), 3, "the first one twice, and the key's");
    assert_eq!((binds[0].conn, &binds[0].address), (binds[1].conn, &binds[1].address));
}

#[tokio::test]
async fn a_goodbye_is_repeated_until_it_is_acknowledged() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let device = stage.device(transport, r#"{"mid":1,"key":"k"}"#).await;
        let route = stage.logic.route(&user("1"));
        stage.logic.rule(break_once(|write| matches!(write, Write::Unbind(_))));
        drop(device);
        stage.logic.until("both unbinds and a repeat", |logic| unbinds(logic).len() >= 3).await;
        assert!(stage.logic.routes().is_empty());
        let named: HashSet<_> =
            unbinds(&stage.logic).into_iter().map(|unbind| unbind.route).collect();
        assert!(named.contains(&Some(unbind::Route::Seq(route.seq))), "by the seq it had");
        assert_eq!(named.len(), 2, "one for each address, however often repeated");
    }
}

#[tokio::test]
async fn a_connection_that_goes_before_its_bind_is_answered_is_unbound_by_its_conn() {
    let stage = Stage::with(|config| config.handshake_ms = 300).await;
    stage.logic.rule(|request| match request {
        Request::Write(write) if matches!(write.kind, Some(Write::Bind(_))) => Fate::Hold,
        _ => Fate::Answer,
    });
    let mut device = stage.stranger(Transport::Tcp).await;
    device.send(frame(7, 42, br#"{"mid":1}"#)).await;
    device.ended().await;
    stage.logic.until("the goodbye", |logic| !unbinds(logic).is_empty()).await;
    let conn = binds(&stage.logic)[0].conn;
    assert_eq!(unbinds(&stage.logic)[0].route, Some(unbind::Route::Conn(conn)));
    assert!(unbinds(&stage.logic)[0].settled <= conn, "it is not decided before the answer");
}

#[tokio::test]
async fn settled_stays_below_a_bind_under_way_and_passes_it_when_it_is_decided() {
    let stage = Stage::new().await;
    stage.logic.rule(|request| match request {
        Request::Write(write) => match &write.kind {
            Some(Write::Bind(bind)) if bind.address.as_ref().unwrap().id == "slow" => Fate::Hold,
            _ => Fate::Answer,
        },
        _ => Fate::Answer,
    });
    let mut slow = stage.stranger(Transport::Tcp).await;
    slow.send(frame(7, 42, br#"{"key":"slow"}"#)).await;
    stage.logic.until("the slow bind", |logic| logic.held() > 0).await;
    let _quick = stage.device(Transport::Tcp, r#"{"key":"quick"}"#).await;
    let log = binds(&stage.logic);
    let of = |id: &str| {
        let named = |bind: &&Bind| bind.address.as_ref().unwrap().id == id;
        log.iter().find(named).unwrap().clone()
    };
    assert!(of("slow").conn < of("quick").conn);
    assert_eq!(of("quick").settled, of("slow").conn);
    stage.logic.release();
    assert_eq!(slow.receive().await.op, 8);
    let _third = stage.device(Transport::Tcp, r#"{"key":"third"}"#).await;
    let third = binds(&stage.logic).pop().unwrap();
    assert_eq!(third.settled, third.conn, "all before it are decided");
}

#[tokio::test]
async fn a_refused_second_bind_undoes_the_first_and_closes() {
    let stage = Stage::new().await;
    stage.logic.rule_second_binds(Fate::Outrank);
    let mut device = stage.json().await;
    device.send(json!({"type": "hello", "user": "1"})).await;
    assert_eq!(device.closed().await, 4001);
    stage.logic.until("the goodbye", |logic| unbinds(logic).len() == 2).await;
    assert!(stage.logic.routes().is_empty());
}

#[tokio::test]
async fn a_device_whose_place_was_taken_before_its_bind_was_answered_is_told_so() {
    let stage = Stage::new().await;
    let mut asked = 0;
    stage.logic.rule(move |request| match request {
        Request::Write(write) if matches!(write.kind, Some(Write::Bind(_))) => {
            asked += 1;
            // It took effect; by the time it is repeated another connection has taken the place.
            if asked == 1 { Fate::Break } else { Fate::Gone }
        }
        _ => Fate::Answer,
    });
    let mut device = stage.json().await;
    device.send(json!({"type": "hello", "user": "1"})).await;
    assert_eq!(device.closed().await, 4001);
    stage.logic.until("the goodbye", |logic| logic.routes().is_empty()).await;
}

#[tokio::test]
async fn a_comet_fenced_between_two_binds_of_a_device_starts_them_again() {
    let stage = Stage::new().await;
    let logic = stage.logic.clone();
    let mut seen = false;
    stage.logic.rule(move |request| match request {
        Request::Write(write) => match &write.kind {
            Some(Write::Bind(bind))
                if !seen && bind.details.as_ref().unwrap().primary.is_some() =>
            {
                seen = true;
                Fate::Fence
            }
            _ => Fate::Answer,
        },
        _ => Fate::Answer,
    });
    let token = r#"{"mid":1,"key":"k","room_id":"live://1"}"#;
    let _device = stage.device(Transport::Tcp, token).await;
    let route = logic.route(&user("1"));
    assert_eq!((route.incarnation, logic.routes().len()), (2, 2));
    assert!(logic.is_listed(&room("live://1")));
}

#[tokio::test]
async fn a_fenced_comet_binds_its_devices_again_without_closing_them() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let token = r#"{"mid":1,"key":"k","room_id":"live://1","accepts":[1]}"#;
        let mut device = stage.device(transport, token).await;
        let mut idle = stage.device(transport, r#"{"mid":2,"accepts":[1]}"#).await;
        let old = stage.logic.route(&user("1"));
        stage.logic.fence();
        // The next write tells the comet.
        device.send(frame(12, 5, b"live://2")).await;
        assert_eq!(device.receive().await, frame(13, 5, b"live://2"));
        stage.logic.until("all binds", |logic| logic.routes().len() == 4).await;
        let new = stage.logic.route(&user("1"));
        assert!(new.incarnation > old.incarnation && new.seq > old.seq);
        assert_eq!(new.details.rooms, ["live://2".try_into().unwrap()].into());
        assert_eq!(stage.logic.route(&key("k")).incarnation, new.incarnation);
        assert!(stage.logic.is_listed(&room("live://2")));

        let mut session = stage.session().await;
        session.incarnation = old.incarnation;
        let receipt = session.deliver(to_connections(1, b"old", vec![target(&old)])).await;
        assert!(receipt.wrong_incarnation);
        session.incarnation = new.incarnation;
        let late = stage.logic.route(&user("2"));
        session.push(1, b"new", &[&new, &late]).await;
        session.deliver(to_room(1, b"room", &room("live://2"))).await;
        assert_eq!(device.receive().await, frame(1, 0, b"new"));
        assert_eq!(device.receive().await, frame(1, 0, b"room"));
        assert_eq!(idle.receive().await, frame(1, 0, b"new"));
    }
}

#[tokio::test]
async fn a_comet_whose_lease_ran_out_attaches_again_and_keeps_its_devices() {
    let stage = Stage::new().await;
    let mut device = stage.device(Transport::Tcp, r#"{"mid":1,"room_id":"live://1"}"#).await;
    stage.logic.fence();
    stage.logic.alive(false);
    let moved = |logic: &Logic| {
        logic.routes_of(&user("1")).iter().any(|route| route.incarnation == logic.incarnation())
            && logic.incarnation() > 1
    };
    stage.logic.until("the new bind", moved).await;
    assert!(stage.logic.is_listed(&room("live://1")), "its rooms are listed again");
    let attempts: Vec<_> = stage
        .logic
        .log()
        .into_iter()
        .filter_map(|request| match request {
            Request::Attach(attach) => Some((attach.instance, attach.attempt)),
            _ => None,
        })
        .collect();
    assert_eq!(attempts[0].0, attempts[1].0, "the same instance");
    assert_eq!((attempts[0].1, attempts[1].1), (1, 2));
    device.send(frame(2, 1, b"")).await;
    assert_eq!(device.receive().await.op, 3);
}

#[tokio::test]
async fn a_goodbye_of_an_ended_life_is_not_said() {
    let stage = Stage::new().await;
    let device = stage.device(Transport::Tcp, r#"{"mid":1}"#).await;
    stage.logic.rule(|request| match request {
        Request::Write(write) if matches!(write.kind, Some(Write::Unbind(_))) => Fate::Hold,
        _ => Fate::Answer,
    });
    drop(device);
    stage.logic.until("the goodbye", |logic| logic.held() > 0).await;
    stage.logic.fence();
    stage.logic.alive(false);
    stage.logic.until("the next life", |logic| logic.incarnation() > 1).await;
    let _other = stage.device(Transport::Tcp, r#"{"mid":2}"#).await;
    let bind = binds(&stage.logic).pop().unwrap();
    assert_eq!(bind.settled, bind.conn, "the one that went holds nothing back");
}

#[tokio::test]
async fn devices_connect_while_logic_is_away_for_a_moment() {
    let stage = Stage::new().await;
    stage.logic.hang_up();
    let _device = stage.device(Transport::Tcp, r#"{"mid":1}"#).await;
    assert_eq!(stage.logic.routes_of(&user("1")).len(), 1);
}

#[tokio::test]
async fn a_superseded_comet_closes_its_devices_and_ends() {
    let stage = Stage::new().await;
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello", "user": "1"})).await;
    stage.logic.supersede();
    assert_eq!(soon("the end", stage.comet.ended()).await, Ended::Superseded);
    assert_eq!(device.closed().await, 1012);
    assert!(stage.comet.ready().unwrap_err().contains("another instance"));
}

#[tokio::test]
async fn a_comet_that_no_logic_answers_for_two_leases_sends_its_devices_elsewhere() {
    let stage = Stage::new().await;
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello", "user": "1"})).await;
    stage.logic.rule(|_| Fate::Hold);
    assert_eq!(device.closed().await, 1012);
}

#[tokio::test]
async fn stopping_unbinds_everybody_and_detaches() {
    let stage = Stage::new().await;
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello", "user": "1"})).await;
    let mut other = stage.device(Transport::Tcp, r#"{"mid":2}"#).await;
    let logic = stage.logic.clone();
    let stop = stage.comet.stop();
    let (hint, (), ()) = tokio::join!(device.sent_away(), other.ended(), soon("the stop", stop));
    assert_eq!(hint["type"], "drain");
    assert!(logic.routes().is_empty());
    assert_eq!(unbinds(&logic).len(), 4);
    assert!(matches!(logic.log().last(), Some(Request::Detach(_))), "the detach comes last");
}

#[tokio::test]
async fn a_stop_whose_goodbyes_nobody_acknowledges_has_time_to_detach() {
    let stage = Stage::with(|config| config.stop_ms = 3000).await;
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello", "user": "1"})).await;
    stage.logic.rule(|request| match request {
        Request::Write(_) => Fate::Hold,
        _ => Fate::Answer,
    });
    let logic = stage.logic.clone();
    tokio::join!(device.sent_away(), soon("the stop", stage.comet.stop()));
    assert!(logic.held() > 0, "a goodbye was said");
    assert!(matches!(logic.log().last(), Some(Request::Detach(_))), "{:?}", logic.log().last());
}

#[tokio::test]
async fn logic_is_told_to_deliver_where_the_comet_listens_unless_another_address_is_given() {
    let told = |stage: &Stage| {
        let attach = stage.logic.log().into_iter().find_map(|request| match request {
            Request::Attach(attach) => attach.advertise,
            _ => None,
        });
        attach.expect("an attach came").delivery
    };
    let stage = Stage::new().await;
    assert_eq!(told(&stage), stage.comet.delivery_address().to_string());
    let public = "comet-1.internal:3109";
    let stage = Stage::with(|config| config.delivery_advertise = Some(public.to_owned())).await;
    assert_eq!(told(&stage), public);
}

#[tokio::test]
async fn a_comet_that_detaches_does_not_attach_again() {
    let stage = Stage::new().await;
    stage.logic.rule(|request| match request {
        Request::Detach(_) => Fate::Hold,
        _ => Fate::Answer,
    });
    let logic = stage.logic.clone();
    let detaching = async {
        logic.until("the detach", |logic| logic.held() > 0).await;
        // Its lease is over; whoever asks now is told so.
        logic.alive(false);
        logic.until("the detach repeated", |logic| logic.held() > 1).await;
        logic.release();
    };
    tokio::join!(soon("the stop", stage.comet.stop()), detaching);
    let attaches =
        logic.log().iter().filter(|request| matches!(request, Request::Attach(_))).count();
    assert_eq!(attaches, 1);
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_device_that_never_asks_for_its_web_socket() {
    let stage = Stage::with(|config| {
        (config.handshake_ms, config.stop_ms) = (60_000, 60_000);
    })
    .await;
    let address = stage.comet.websocket_address().to_string();
    let _silent = stage.host.net.connect(&address).await.unwrap();
    // One that came after it is served, so it has been accepted.
    let _device = stage.device(Transport::WebSocket, r#"{"mid":1}"#).await;
    soon("the stop", stage.comet.stop()).await;
    assert!(stage.logic.routes().is_empty());
}
