//! A node whose disk fails.

use std::sync::Arc;

use orrery_proto::registry as wire;
use orrery_proto::registry::failure::Reason;
use tokio::time::timeout;

use crate::node::{Node, PATIENCE, bind_command, model, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_stops_the_node_and_acknowledges_nothing() {
    let disk = Arc::new(model());
    let node = Node::start(disk.clone()).await;
    let alice = user("alice");
    node.bind(&alice, "comet-a", 1).await;

    disk.fail_next_write();
    let kind = Some(bind_command(&alice, "comet-a", 1, 2));
    let answer = node.caller.send_all(vec![(node.shard_of(&alice), kind)]).remove(0);
    if let Ok(answer) = timeout(PATIENCE, answer).await.unwrap() {
        let Some(wire::response::Kind::Failure(failure)) = answer.kind else {
            panic!("acknowledged: {answer:?}");
        };
        assert_eq!(failure.reason(), Reason::Unknown);
    }
    let reason = timeout(PATIENCE, node.handle.failed()).await.unwrap();
    assert!(reason.contains("log"), "{reason}");
    assert_eq!(node.handle.ready().unwrap_err(), reason);

    // Its sessions end, so that clients go elsewhere. Its port may be that of another test's node by now.
    timeout(PATIENCE, node.caller.ended()).await.unwrap();
    node.stop().await;

    let node = Node::start(disk).await;
    assert!(!node.locate(&alice).await.is_empty(), "what was acknowledged before is there");
}
