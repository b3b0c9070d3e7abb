//! Commands that no entry of the log could hold: an entry larger than a message between nodes would hold up its
//! shard for ever.

use std::sync::Arc;

use orrery_proto::common::Details;
use orrery_proto::registry as wire;
use orrery_proto::registry::failure::Reason;

use crate::node::{Node, comet_ref, model, user, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_no_entry_could_hold_is_refused_and_holds_up_nobody() {
    let node = Node::start(Arc::new(model())).await;
    let alice = user("alice");
    let bound = node.bind(&alice, "comet-a", 1).await;
    let rooms: Vec<String> =
        (0..100_000).map(|number| format!("a room of many, {number}")).collect();
    let crowded = wire::SetRooms {
        address: Some((&alice).into()),
        comet: Some(comet_ref("comet-a", 1)),
        seq: bound.seq,
        rooms,
        version: 1,
    };
    let long = wire::Bind {
        address: Some((&alice).into()),
        comet: Some(comet_ref("comet-a", 1)),
        conn: 2,
        details: Some(Details { device: "long ".repeat(500_000), ..Default::default() }),
        policy: None,
        settled: 0,
        rank: None,
    };
    for command in [wire::command::Kind::SetRooms(crowded), wire::command::Kind::Bind(long)] {
        let answer = node.ask(&alice, write(command)).await;
        let wire::response::Kind::Failure(failure) = answer else { panic!("{answer:?}") };
        assert_eq!(failure.reason(), Reason::Invalid, "asking again would be in vain");
    }
    assert_eq!(node.locate(&alice).await, [bound.seq]);
    assert!(node.bind(&alice, "comet-a", 3).await.seq > bound.seq);
}
