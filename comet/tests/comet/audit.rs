//! The slow audit: connections without their route are closed, routes without their connection unbound.

use orrery_model::Details;
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::registry::command::Kind as Write;
use orrery_proto::registry::unbind;
use serde_json::json;

use crate::connect::{key, user};
use crate::presence::unbinds;
use crate::support::device::{BOTH, Transport, frame};
use crate::support::logic::{Fate, Logic};
use crate::support::registry::Route;
use crate::support::{Stage, soon};

/// A comet that compares everything several times a second.
async fn stage() -> Stage {
    Stage::with(|config| config.audit_ms = 200).await
}

/// How often a walk over the registry's routes was begun.
fn walks(logic: &Logic) -> usize {
    let begins =
        |asked: &&Request| matches!(asked, Request::AuditRoutes(asked) if asked.shard == 0);
    logic.log().iter().filter(begins).count()
}

/// How many pages of connections were asked about.
fn pages(logic: &Logic) -> usize {
    logic.log().iter().filter(|asked| matches!(asked, Request::Audit(_))).count()
}

/// Waits until all routes that there are now were compared.
async fn walked(stage: &Stage) {
    let before = walks(&stage.logic);
    stage.logic.until("an audit of routes", |logic| walks(logic) >= before + 2).await;
}

/// Waits until everything that there is now was compared, in both directions.
async fn audited(stage: &Stage) {
    let (began, asked) = (walks(&stage.logic), pages(&stage.logic));
    // A page of each worker may be under way; one more of each begins from here.
    let enough = |logic: &Logic| walks(logic) >= began + 2 && pages(logic) >= asked + 4;
    stage.logic.until("an audit", enough).await;
}

/// A route of the comet's present life that no connection has.
fn stray(stage: &Stage, conn: u64, seq: u64) -> Route {
    let incarnation = stage.logic.incarnation();
    Route { address: user("ghost"), incarnation, conn, seq, details: Details::default() }
}

#[tokio::test]
async fn a_connection_whose_route_is_lost_is_closed_with_a_reason() {
    for lost in [user("1"), key("k")] {
        let stage = stage().await;
        let mut device = stage.json().await;
        device.hello(json!({"type": "hello", "user": "1", "key": "k"})).await;
        let mut stays = stage.device(Transport::Tcp, r#"{"mid":2}"#).await;
        stage.logic.forget(&lost);
        assert_eq!(device.closed().await, 4007);
        stage.logic.until("its goodbye", |logic| unbinds(logic).len() == 2).await;
        audited(&stage).await;
        assert_eq!(stage.counted("audit_missing_routes"), 1);
        assert!(stage.counted("audited_connections") > 0);
        stays.send(frame(2, 1, b"")).await;
        assert_eq!(stays.receive().await.op, 3);
    }
}

#[tokio::test]
async fn on_goims_protocol_a_connection_whose_route_is_lost_just_ends() {
    for transport in BOTH {
        let stage = stage().await;
        let mut device = stage.device(transport, r#"{"mid":1}"#).await;
        stage.logic.forget(&user("1"));
        device.ended().await;
    }
}

#[tokio::test]
async fn connections_that_have_their_routes_stay_and_so_do_the_routes() {
    let stage = stage().await;
    let mut devices = Vec::new();
    for mid in 0..40 {
        let token = format!(r#"{{"mid":{mid},"key":"k{mid}","room_id":"live://1"}}"#);
        devices.push(stage.device(BOTH[mid % 2], &token).await);
    }
    audited(&stage).await;
    for device in &mut devices {
        device.send(frame(2, 1, b"")).await;
        assert_eq!(device.receive().await.op, 3);
    }
    assert_eq!(stage.logic.routes().len(), 80);
    assert_eq!(unbinds(&stage.logic).len(), 0);
    assert_eq!(
        (stage.counted("audit_missing_routes"), stage.counted("audit_stray_routes")),
        (0, 0)
    );
}

#[tokio::test]
async fn a_route_without_connection_is_unbound_by_its_seq() {
    let stage = stage().await;
    let _device = stage.device(Transport::Tcp, r#"{"mid":1}"#).await;
    // Two that were numbered once, and one whose number is still to be given.
    let strays = [stray(&stage, 1, 901), stray(&stage, 200, 902)];
    let unborn = stray(&stage, 1 << 40, 903);
    strays.iter().chain([&unborn]).for_each(|route| stage.logic.plant(route.clone()));
    let left = |logic: &Logic| logic.routes_of(&user("ghost")).len() == 1;
    stage.logic.until("the unbinds", left).await;
    audited(&stage).await;
    assert_eq!(stage.logic.route(&user("ghost")), unborn);
    assert_eq!(stage.logic.routes_of(&user("1")).len(), 1);
    let mut named: Vec<_> = unbinds(&stage.logic).into_iter().map(|it| it.route.unwrap()).collect();
    named.sort_by_key(|route| matches!(route, unbind::Route::Seq(902)));
    assert_eq!(named, [unbind::Route::Seq(901), unbind::Route::Seq(902)]);
    assert_eq!((stage.counted("audit_stray_routes"), stage.counted("goodbyes")), (2, 0));
}

#[tokio::test]
async fn a_connection_that_is_being_bound_is_no_stray_and_not_asked_about() {
    let stage = stage().await;
    stage.logic.rule_second_binds(Fate::Hold);
    let mut device = stage.stranger(Transport::Tcp).await;
    device.send(frame(7, 42, br#"{"mid":1,"key":"k"}"#)).await;
    stage.logic.until("the key's bind", |logic| logic.held() > 0).await;
    walked(&stage).await;
    assert_eq!(unbinds(&stage.logic).len(), 0);
    assert_eq!(pages(&stage.logic), 0, "nobody is bound yet");
    stage.logic.release();
    assert_eq!(device.receive().await, frame(8, 42, b""));
}

#[tokio::test]
async fn a_goodbye_that_waits_for_its_answer_is_no_stray() {
    let stage = stage().await;
    let device = stage.device(Transport::Tcp, r#"{"mid":1,"key":"k"}"#).await;
    stage.logic.rule(|request| match request {
        Request::Write(write) if matches!(write.kind, Some(Write::Unbind(_))) => Fate::Hold,
        _ => Fate::Answer,
    });
    drop(device);
    stage.logic.until("the goodbye", |logic| logic.held() >= 2).await;
    walked(&stage).await;
    stage.logic.release();
    stage.logic.until("the end", |logic| logic.routes().is_empty()).await;
    soon("the goodbye", async {
        while stage.counted("goodbyes") == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(stage.counted("audit_stray_routes"), 0);
}

#[tokio::test]
async fn an_audit_that_meets_the_end_of_the_comets_life_closes_nobody() {
    let stage = stage().await;
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello", "user": "1", "key": "k"})).await;
    let old = stage.logic.route(&user("1"));
    let logic = stage.logic.clone();
    let mut fenced = false;
    // The very look finds all routes gone, and the comet does not know yet why.
    stage.logic.rule(move |request| match request {
        Request::Audit(_) if !fenced => {
            fenced = true;
            Fate::Expire
        }
        _ => Fate::Answer,
    });
    let again = |logic: &Logic| {
        logic.routes_of(&user("1")).iter().any(|route| route.incarnation > old.incarnation)
    };
    logic.until("the bind in the next life", again).await;
    audited(&stage).await;
    device.send(json!({"type": "ping"})).await;
    assert_eq!(device.receive().await, json!({"type": "pong"}));
    assert_eq!(stage.counted("audit_missing_routes"), 0);
}

#[tokio::test]
async fn a_page_that_nobody_answered_is_asked_for_again() {
    let stage = stage().await;
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello", "user": "1"})).await;
    stage.logic.forget(&user("1"));
    let mut broken = 0;
    stage.logic.rule(move |request| match request {
        Request::Audit(_) | Request::AuditRoutes(_) if broken < 4 => {
            broken += 1;
            Fate::Break
        }
        _ => Fate::Answer,
    });
    assert_eq!(device.closed().await, 4007);
}
