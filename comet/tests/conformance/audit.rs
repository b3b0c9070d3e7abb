//! The audit: where a comet and the registry disagree about a connection, they do not for long.

use orrery_model::command::{Bind, Command, Outcome, RouteName, Unbind};
use orrery_model::{Address, CometRef, Conn, Details, Id, Policy, Route};
use orrery_router_client::Client;
use tokio::time::Instant;

use crate::device::Who;
use crate::stack::{Plan, Stack, id, mid};
use crate::wire::{EVERY, Transport};
use crate::{PATIENCE, until};

/// A stack whose comet compares everything several times a second.
async fn stack() -> Stack {
    Plan::new().with(|plan| plan.comet.audit_ms = 300).start().await
}

fn user(id: &str) -> Address {
    Address::user(Id::new(id).unwrap())
}

fn key(id: &str) -> Address {
    Address::key(Id::new(id).unwrap())
}

async fn routes(registry: &Client, address: &Address) -> Vec<Route> {
    let located = registry.locate(address.clone(), false, Instant::now() + PATIENCE).await;
    located.unwrap().routes
}

async fn write(registry: &Client, command: Command) -> Outcome {
    let written = registry.write(command, Instant::now() + PATIENCE).await.unwrap();
    written.reply.unwrap()
}

async fn comet(registry: &Client) -> CometRef {
    let comets = registry.comets(false, Instant::now() + PATIENCE).await.unwrap();
    comets.into_iter().next().expect("a comet is attached").comet
}

#[tokio::test]
async fn a_connection_whose_route_vanished_is_closed_and_leaves_nothing_behind() {
    let stack = stack().await;
    let registry = stack.registry();
    for transport in EVERY {
        for by_key in [false, true] {
            let (mid, id) = (mid(), id("key"));
            let (user, key) = (user(&mid.to_string()), key(&id));
            let mut device = stack.device(transport, &Who::user(mid, &id)).await;
            let lost = if by_key { &key } else { &user };
            let route = routes(&registry, lost).await.pop().expect("it is bound");
            let unbind = Unbind {
                address: lost.clone(),
                comet: route.comet,
                route: RouteName::Seq(route.seq),
                settled: Conn(0),
            };
            let outcome = write(&registry, Command::Unbind(unbind)).await;
            assert_eq!(outcome, Outcome::Unbound { removed: true });
            device.expect_closed(4007).await;
            until("its goodbye", async || {
                routes(&registry, &user).await.is_empty()
                    && routes(&registry, &key).await.is_empty()
            })
            .await;
        }
    }
    assert_eq!(stack.counted("audit_missing_routes"), 2 * EVERY.len() as u64);
    assert_eq!(stack.counted("audit_stray_routes"), 0);
}

#[tokio::test]
async fn a_route_without_connection_is_unbound_and_others_are_left_alone() {
    let stack = stack().await;
    let registry = stack.registry();
    let (mid, device_key) = (mid(), id("key"));
    let mut device = stack.device(Transport::Tcp, &Who::user(mid, &device_key)).await;
    let comet = comet(&registry).await;
    // The comet numbers its connections in steps of 256 and has few workers: it passed over this one.
    let conn = Conn(routes(&registry, &key(&device_key)).await[0].conn.0 | 200);
    let ghost = user(&id("ghost"));
    let bind = Bind {
        address: ghost.clone(),
        comet,
        conn,
        details: Details::default(),
        policy: Policy::default(),
        settled: Conn(0),
        rank: None,
    };
    assert!(matches!(write(&registry, Command::Bind(bind)).await, Outcome::Bound(_)));
    until("the unbind", async || routes(&registry, &ghost).await.is_empty()).await;
    until("its count", async || stack.counted("audit_stray_routes") == 1).await;
    let compared = stack.counted("audited_connections");
    until("another audit", async || stack.counted("audited_connections") >= compared + 2).await;
    let mut http = stack.http().await;
    for path in [
        format!("mids?operation=1000&mids={mid}"),
        format!("keys?operation=1000&keys={device_key}"),
    ] {
        http.push(&path, "still here").await;
        device.expect(1000, b"still here").await;
    }
    assert_eq!(stack.counted("audit_missing_routes"), 0);
}
