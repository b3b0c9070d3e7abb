//! More work than the disk can take.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use orrery_host::Host;
use orrery_model::ShardId;
use orrery_proto::registry as wire;
use orrery_proto::registry::failure::Reason;
use tokio::time::timeout;

use crate::caller::Caller;
use crate::gated_disk::GatedDisk;
use crate::node::{Node, PATIENCE, bind_command, config, locate, model, until, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_at_once_and_loses_nothing_it_took() {
    let disk = Arc::new(GatedDisk::new(Arc::new(model())));
    let config = orrery_router::Config { request_timeout_ms: 20_000, ..config() };
    let node = Node::start_with(config, disk.clone()).await;
    let alice = user("alice");
    let shard = node.shard_of(&alice);
    node.bind(&alice, "comet-a", 1).await;

    disk.shut();
    let bind = |number: u64| Some(bind_command(&user(format!("u{number}")), "comet-a", 1, number));
    let requests = (0..8000).map(|number| (shard, bind(number))).collect();
    let mut answers: FuturesUnordered<_> = node.caller.send_all(requests).into_iter().collect();

    // All but 7168 (queue, batcher, entries under way) are refused while nothing can be written.
    for _ in 0..800 {
        let answer = timeout(PATIENCE, answers.next()).await.expect("refused at once").unwrap();
        let Some(wire::response::Kind::Failure(failure)) = answer.unwrap().kind else {
            panic!("nothing can be acknowledged");
        };
        assert_eq!(failure.reason(), Reason::Overloaded);
    }
    // What needs no disk goes on.
    let read = node.caller.ask(shard, Some(locate(&alice))).await;
    assert!(matches!(read, wire::response::Kind::Located(_)), "{read:?}");

    let before = disk.writes();
    disk.release();
    let (mut done, mut refused) = (0, 800);
    while let Some(answer) = timeout(PATIENCE, answers.next()).await.unwrap() {
        match answer.unwrap().kind.unwrap() {
            wire::response::Kind::Reply(_) => done += 1,
            wire::response::Kind::Failure(failure) => {
                assert_eq!(failure.reason(), Reason::Overloaded);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(done > 1000, "{done} done, {refused} refused");
    let writes = disk.writes() - before;
    assert!(writes < 200, "{done} commands took {writes} writes");
    node.bind(&alice, "comet-a", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_not_durable_in_time_is_unknown_never_acknowledged() {
    let disk = Arc::new(GatedDisk::new(Arc::new(model())));
    let config = orrery_router::Config { request_timeout_ms: 300, ..config() };
    let node = Node::start_with(config, disk.clone()).await;
    let alice = user("alice");
    node.bind(&alice, "comet-a", 1).await;
    disk.shut();
    let answer = node.ask(&alice, bind_command(&alice, "comet-a", 1, 2)).await;
    let wire::response::Kind::Failure(failure) = answer else { panic!("{answer:?}") };
    assert_eq!(failure.reason(), Reason::Unknown);
    assert_eq!(node.locate(&alice).await.len(), 1, "what is not durable is not seen");
    disk.release();
    until("the write took effect after all", || async {
        (node.locate(&alice).await.len() == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_asks_too_much_at_once_ends_and_others_go_on() {
    let node = Node::start(Arc::new(model())).await;
    let greedy = Caller::open(&mut node.client.clone(), &Host::system()).await;
    let requests = vec![(ShardId(1), None); 200_000];
    let mut answers = greedy.send_all(requests);
    let answer = timeout(PATIENCE, answers.pop().unwrap()).await.expect("the session ends");
    assert!(answer.is_err(), "answered: {answer:?}");
    let alice = user("alice");
    node.bind(&alice, "comet-a", 1).await;
}
