//! Routes and rooms, asked of one node that does nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use orrery_model::limits::{
    ID_BYTES_MAX, LABEL_BYTES_MAX, LABELS_MAX, ROOMS_PER_CONNECTION_MAX, ROUTES_PER_ADDRESS_MAX,
};
use orrery_model::{Address, Id, ShardId};
use orrery_proto::common;
use orrery_proto::registry as wire;
use orrery_proto::registry::failure::Reason;
use orrery_proto::registry::refusal::Reason as Refused;

use crate::node::{Node, bind_command, comet_ref, locate, model, user, write};

async fn node() -> Node {
    Node::start(Arc::new(model())).await
}

fn failed(answer: wire::response::Kind) -> wire::Failure {
    match answer {
        wire::response::Kind::Failure(failure) => failure,
        other => panic!("should have failed: {other:?}"),
    }
}

fn refused(answer: wire::response::Kind) -> wire::Refusal {
    match answer {
        wire::response::Kind::Reply(wire::Reply {
            reply: Some(wire::reply::Reply::Refusal(refusal)),
        }) => refusal,
        other => panic!("should have been refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_route_is_located_until_it_is_unbound() {
    let node = node().await;
    let alice = user("alice");
    assert!(node.locate(&alice).await.is_empty());
    let bound = node.bind(&alice, "comet-a", 7).await;
    assert_eq!(node.locate(&alice).await, [bound.seq]);

    let unbind = wire::Unbind {
        address: Some((&alice).into()),
        comet: Some(comet_ref("comet-a", 1)),
        settled: 0,
        route: Some(wire::unbind::Route::Seq(bound.seq)),
    };
    let answer = node.ask(&alice, write(wire::command::Kind::Unbind(unbind))).await;
    let removed = wire::reply::Reply::Unbound(wire::Unbound { removed: true });
    assert_eq!(answer, wire::response::Kind::Reply(wire::Reply { reply: Some(removed) }));
    assert!(node.locate(&alice).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_tell_the_log_index() {
    let node = node().await;
    let alice = user("alice");
    let first = node.bind(&alice, "comet-a", 1).await;
    let second = node.bind(&alice, "comet-a", 2).await;
    assert!(second.log_index > first.log_index && first.log_index > 0);
    let read = node.caller.send(node.shard_of(&alice), Some(locate(&alice))).await;
    assert!(read.log_index >= second.log_index);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binds_racing_for_one_address_get_distinct_seqs() {
    let node = node().await;
    let alice = user("alice");
    let binds = (0..64).map(|conn| node.bind(&alice, "comet-a", conn));
    let bound = join_all(binds).await;
    let seqs: BTreeSet<u64> = bound.iter().map(|bound| bound.seq).collect();
    assert_eq!(seqs.len(), 64);
    let later = node.bind(&alice, "comet-a", 64).await;
    assert!(seqs.iter().all(|seq| *seq < later.seq));
    assert_eq!(node.locate(&alice).await.len(), 65);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_may_be_stale_are_answered_too() {
    let node = node().await;
    let alice = user("alice");
    let bound = node.bind(&alice, "comet-a", 1).await;
    let stale = wire::Locate { address: Some((&alice).into()), stale_ok: true };
    let answer = node.ask(&alice, wire::request::Kind::Locate(stale)).await;
    let wire::response::Kind::Located(located) = answer else { panic!("{answer:?}") };
    assert_eq!(located.routes[0].seq, bound.seq);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_and_counts_of_a_room_add_up_over_the_shards() {
    let node = node().await;
    let room = Address::room(Id::new("live://1000").unwrap());
    for number in 0..20 {
        let member = user(format!("member-{number}"));
        let wire::request::Kind::Write(mut command) = bind_command(&member, "comet-a", 1, number)
        else {
            unreachable!()
        };
        let Some(wire::command::Kind::Bind(bind)) = &mut command.kind else { unreachable!() };
        let rooms = vec![room.id.to_string()];
        bind.details = Some(common::Details { rooms, rooms_version: 1, ..Default::default() });
        node.ask(&member, wire::request::Kind::Write(command)).await;
    }
    let (mut counted, mut listed) = (0, 0);
    for shard in 1..=4 {
        let count = wire::Count { room: Some((&room).into()) };
        let answer = node.caller.ask(ShardId(shard), Some(wire::request::Kind::Count(count))).await;
        let wire::response::Kind::Counted(count) = answer else { panic!("{answer:?}") };
        counted += count.count;
        let mut after = None;
        loop {
            let page = wire::Members { room: Some((&room).into()), after, limit: 3 };
            let page = Some(wire::request::Kind::Members(page));
            let answer = node.caller.ask(ShardId(shard), page).await;
            let wire::response::Kind::Members(page) = answer else { panic!("{answer:?}") };
            listed += page.members.len();
            if !page.more {
                break;
            }
            after = page.members.last().map(|last| wire::Member { route: None, ..last.clone() });
        }
    }
    assert_eq!((counted, listed), (20, 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_does_not_own_the_slot_says_so() {
    let node = node().await;
    let alice = user("alice");
    let other = ShardId(node.shard_of(&alice).0 % 4 + 1);
    let refusal = refused(node.caller.ask(other, Some(bind_command(&alice, "c", 1, 1))).await);
    assert_eq!((refusal.reason(), refusal.epoch), (Refused::WrongShard, node.table.epoch));
    let failure = failed(node.caller.ask(other, Some(locate(&alice))).await);
    assert_eq!((failure.reason(), failure.epoch), (Reason::WrongShard, node.table.epoch));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_not_here_says_so() {
    let node = node().await;
    let alice = user("alice");
    for shard in [0, 5, u32::MAX] {
        let failure = failed(node.caller.ask(ShardId(shard), Some(locate(&alice))).await);
        assert_eq!(failure.reason(), Reason::NoShard, "shard {shard}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_are_invalid_and_the_session_goes_on() {
    let node = node().await;
    let alice = user("alice");
    let shard = node.shard_of(&alice);
    let nameless = common::Address { id: String::new(), ..(&alice).into() };
    let open =
        wire::command::Kind::Open(wire::Open { slots: vec![1], epoch: 9, ..Default::default() });
    let expire = wire::ExpireComet { comet: "c".to_owned(), fence: 9, position: 1 };
    let malformed = [
        ("no kind", None),
        ("no command", Some(wire::request::Kind::Write(wire::Command { kind: None }))),
        ("no address", Some(wire::request::Kind::Locate(wire::Locate::default()))),
        (
            "an empty id",
            Some(wire::request::Kind::Locate(wire::Locate {
                address: Some(nameless),
                stale_ok: true,
            })),
        ),
        ("the cluster's own command", Some(write(open))),
        ("the cluster's own command", Some(write(wire::command::Kind::ExpireComet(expire)))),
        (
            "members of a user",
            Some(wire::request::Kind::Members(wire::Members {
                room: Some((&alice).into()),
                after: None,
                limit: 1,
            })),
        ),
        (
            "members of a user",
            Some(wire::request::Kind::Count(wire::Count { room: Some((&alice).into()) })),
        ),
    ];
    for (what, kind) in malformed {
        let failure = failed(node.caller.ask(shard, kind).await);
        assert_eq!(failure.reason(), Reason::Invalid, "{what}");
    }
    node.bind(&alice, "comet-a", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_larger_than_an_entry_is_invalid() {
    let node = node().await;
    let alice = user("alice");
    let wire::request::Kind::Write(mut command) = bind_command(&alice, "comet-a", 1, 1) else {
        unreachable!()
    };
    let Some(wire::command::Kind::Bind(bind)) = &mut command.kind else { unreachable!() };
    let platform = "x".repeat(2 << 20);
    bind.details = Some(common::Details { platform, ..Default::default() });
    let answer = node.ask(&alice, wire::request::Kind::Write(command)).await;
    assert_eq!(failed(answer).reason(), Reason::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_with_as_many_routes_as_large_as_they_may_be_is_located() {
    let node = node().await;
    let alice = user("a".repeat(ID_BYTES_MAX));
    let comet = "c".repeat(ID_BYTES_MAX);
    let id = |n: usize| format!("{n:0>ID_BYTES_MAX$}");
    let label = |n: usize| (format!("{n:0>28}"), "v".repeat(LABEL_BYTES_MAX - 28));
    let details = common::Details {
        platform: "p".repeat(256),
        device: "d".repeat(256),
        labels: (0..LABELS_MAX).map(label).collect(),
        rooms: (0..ROOMS_PER_CONNECTION_MAX).map(id).collect(),
        ..Default::default()
    };
    for conns in (0..ROUTES_PER_ADDRESS_MAX as u64).collect::<Vec<_>>().chunks(64) {
        let bind = |conn: &u64| {
            let bind = wire::Bind {
                address: Some((&alice).into()),
                comet: Some(comet_ref(&comet, 1)),
                conn: *conn,
                details: Some(details.clone()),
                ..Default::default()
            };
            node.ask(&alice, write(wire::command::Kind::Bind(bind)))
        };
        join_all(conns.iter().map(bind)).await;
    }
    assert_eq!(node.locate(&alice).await.len(), ROUTES_PER_ADDRESS_MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_what_the_shards_hold() {
    let node = node().await;
    node.bind(&user("alice"), "comet-a", 1).await;
    node.locate(&user("alice")).await;
    let mut registry = prometheus_client::registry::Registry::default();
    node.handle.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let shard = node.shard_of(&user("alice"));
    for line in [
        format!("orrery_router_routes{{shard=\"{shard}\"}} 1"),
        format!("orrery_router_leads{{shard=\"{shard}\"}} 1"),
        format!("orrery_router_reads_total{{shard=\"{shard}\",outcome=\"ok\"}}"),
        "orrery_router_log_sync_seconds_count".to_owned(),
        "orrery_router_sessions 1".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}
