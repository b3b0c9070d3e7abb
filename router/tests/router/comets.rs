//! Comets' lives: attach, keep-alive, expiry, and what becomes of their routes.

use std::sync::Arc;
use std::time::Duration;

use orrery_proto::registry as wire;
use orrery_router::Config;
use tokio::time::sleep;
use tonic::Code;

use crate::gated_disk::GatedDisk;
use crate::node::{Node, comet_ref, config, model, until, user};

async fn node_with(config: Config) -> Node {
    Node::start_with(config, Arc::new(model())).await
}

fn attach(instance: &str, attempt: u64) -> wire::AttachCometRequest {
    let attach = wire::Attach {
        comet: "comet-a".to_owned(),
        instance: instance.to_owned(),
        attempt,
        advertise: Some(wire::Advertise {
            delivery: "127.0.0.1:3109".to_owned(),
            ..Default::default()
        }),
    };
    wire::AttachCometRequest { attach: Some(attach) }
}

fn keep_alive(comet: &str, incarnation: u64) -> wire::KeepAliveCometRequest {
    wire::KeepAliveCometRequest { comet: Some(comet_ref(comet, incarnation)) }
}

impl Node {
    async fn attach(&self, instance: &str, attempt: u64) -> u64 {
        let answer = self.client.clone().attach_comet(attach(instance, attempt)).await;
        answer.unwrap().into_inner().incarnation
    }

    async fn pulse(&self, incarnation: u64) -> (bool, bool) {
        let request = keep_alive("comet-a", incarnation);
        let answer = self.client.clone().keep_alive_comet(request).await.unwrap().into_inner();
        (answer.alive, answer.superseded)
    }

    async fn living(&self) -> Vec<u64> {
        let request = wire::ListCometsRequest { stale_ok: false };
        let comets = self.client.clone().list_comets(request).await.unwrap().into_inner().comets;
        comets.iter().map(|comet| comet.comet.as_ref().unwrap().incarnation).collect()
    }

    async fn until_nobody_is_at(&self, address: &orrery_model::Address) {
        until("the routes are gone", || async {
            self.locate(address).await.is_empty().then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attaching_gives_a_life_and_a_repeat_the_same_one() {
    let node = node_with(config()).await;
    let first = node.attach("one", 1).await;
    assert_eq!(node.attach("one", 1).await, first);
    assert_eq!(node.living().await, [first]);
    let second = node.attach("one", 2).await;
    assert!(second > first);
    assert_eq!(node.living().await, [second]);
    assert_eq!(node.pulse(second).await, (true, false));
    assert_eq!(node.pulse(first).await, (false, false), "ended, but by its own instance");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attaching_again_makes_the_old_routes_invisible() {
    let node = node_with(config()).await;
    let users: Vec<_> = (0..16).map(|number| user(format!("user-{number}"))).collect();
    let first = node.attach("one", 1).await;
    for (conn, user) in (0..).zip(&users) {
        node.bind_in(user, "comet-a", first, conn).await.unwrap();
    }
    let second = node.attach("one", 2).await;
    for user in &users {
        node.until_nobody_is_at(user).await;
    }
    let refused = node.bind_in(&users[0], "comet-a", first, 99).await.unwrap_err();
    assert!(
        matches!(&refused, wire::response::Kind::Reply(wire::Reply {
            reply: Some(wire::reply::Reply::Refusal(refusal)),
        }) if refusal.reason() == wire::refusal::Reason::Fenced && refusal.fence == second),
        "{refused:?}"
    );
    node.bind_in(&users[0], "comet-a", second, 0).await.unwrap();
    assert_eq!(node.locate(&users[0]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_instance_supersedes_and_the_old_one_is_told() {
    let node = node_with(config()).await;
    let old = node.attach("old", 1).await;
    let new = node.attach("new", 1).await;
    assert_eq!(node.pulse(old).await, (false, true));
    assert_eq!(node.pulse(new).await, (true, false));
    let refused = node.client.clone().attach_comet(attach("old", 2)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_comet_expires_and_one_that_pulses_does_not() {
    let node = node_with(Config { lease_ms: 600, keep_alive_ms: 100, ..config() }).await;
    let pulsing = wire::Attach { comet: "comet-b".to_owned(), ..attach("two", 1).attach.unwrap() };
    let request = wire::AttachCometRequest { attach: Some(pulsing) };
    let pulsing = node.client.clone().attach_comet(request).await.unwrap().into_inner();
    let silent = node.attach("one", 1).await;
    let alice = user("alice");
    node.bind_in(&alice, "comet-a", silent, 1).await.unwrap();
    until("the silent comet has expired", || async {
        let request = keep_alive("comet-b", pulsing.incarnation);
        let pulse = node.client.clone().keep_alive_comet(request).await.unwrap().into_inner();
        assert!(pulse.alive, "the comet that pulses lives");
        (node.living().await == [pulsing.incarnation]).then_some(())
    })
    .await;
    node.until_nobody_is_at(&alice).await;
    assert_eq!(node.pulse(silent).await, (false, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keep_alives_wait_while_the_comets_expiry_is_under_way() {
    let disk = Arc::new(GatedDisk::new(Arc::new(model())));
    let config = Config { lease_ms: 600, keep_alive_ms: 100, request_timeout_ms: 300, ..config() };
    let node = Node::start_with(config, disk.clone()).await;
    let life = node.attach("one", 1).await;
    disk.shut();
    let pulse = || async {
        // Two leases of silence, after which the expiry is proposed, but cannot become durable.
        sleep(Duration::from_millis(1200)).await;
        node.client.clone().keep_alive_comet(keep_alive("comet-a", life)).await.err()
    };
    let status = until("the keep-alive is held up", pulse).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("expiry"), "{status}");
    disk.release();
    until("the comet is told that it ended", || async {
        let answer = node.client.clone().keep_alive_comet(keep_alive("comet-a", life)).await;
        answer.ok().filter(|answer| !answer.get_ref().alive).map(|_| ())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comet_that_detaches_is_gone_at_once() {
    let node = node_with(config()).await;
    let life = node.attach("one", 1).await;
    let alice = user("alice");
    node.bind_in(&alice, "comet-a", life, 1).await.unwrap();
    let request = wire::DetachCometRequest { comet: Some(comet_ref("comet-a", life)) };
    node.client.clone().detach_comet(request.clone()).await.unwrap();
    node.client.clone().detach_comet(request).await.expect("a repeat changes nothing");
    assert_eq!(node.living().await, [] as [u64; 0]);
    node.until_nobody_is_at(&alice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_begins_all_leases_anew() {
    let disk = Arc::new(model());
    let config = Config { lease_ms: 2_000, keep_alive_ms: 100, ..config() };
    let node = Node::start_with(config.clone(), disk.clone()).await;
    let life = node.attach("one", 1).await;
    node.stop().await;
    let node = Node::start_with(config, disk).await;
    assert_eq!(node.living().await, [life]);
    assert_eq!(node.pulse(life).await, (true, false));
    until("the lease runs out all the same", || async {
        node.living().await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_calls_are_invalid_arguments() {
    let node = node_with(config()).await;
    let mut client = node.client.clone();
    let nothing = wire::AttachCometRequest { attach: None };
    assert_eq!(client.attach_comet(nothing).await.unwrap_err().code(), Code::InvalidArgument);
    let nameless = keep_alive("", 1);
    assert_eq!(client.keep_alive_comet(nameless).await.unwrap_err().code(), Code::InvalidArgument);
    let nothing = wire::DetachCometRequest { comet: None };
    assert_eq!(client.detach_comet(nothing).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_says_how_far_its_node_had_followed_the_cluster() {
    let node = node_with(config()).await;
    let index = || async {
        let answer = node.client.clone().get_table(wire::GetTableRequest {}).await;
        answer.unwrap().into_inner().log_index
    };
    let before = index().await;
    assert!(before > 0, "there is a table since the cluster was founded");
    node.attach("i", 1).await;
    assert!(index().await > before, "a comet came to life since");
}
