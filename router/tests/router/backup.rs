//! What a node gives of itself as a backup.

use std::sync::Arc;

use orrery_proto::cluster as wire;
use orrery_proto::cluster::cluster_client::ClusterClient;
use orrery_proto::registry as registry_wire;
use orrery_proto::registry::command::Kind as Command;
use orrery_proto::registry::request::Kind;
use orrery_router::Config;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::node::{Node, bind_command, channel, config, model, until, user};

/// Routes that together are more than connection and server hold of a stream nobody reads.
const ROUTES: u64 = 2500;

async fn begin(node: &Node) -> Result<Streaming<wire::BackupChunk>, Status> {
    let mut cluster: ClusterClient<Channel> = ClusterClient::new(channel(&node.handle));
    Ok(cluster.backup(wire::BackupRequest { shard: 1 }).await?.into_inner())
}

/// A bind of four kilobytes.
fn large_bind(number: u64) -> Kind {
    let kind = bind_command(&user(format!("user-{number}")), "comet-a", 1, number);
    let Kind::Write(registry_wire::Command { kind: Some(Command::Bind(mut bind)) }) = kind else {
        panic!("it is a bind");
    };
    let label = |n| (format!("label-{n}"), "x".repeat(240));
    let labels = (0..16).map(label).collect();
    bind.details = Some(orrery_proto::common::Details { labels, ..Default::default() });
    crate::node::write(Command::Bind(bind))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_backup_at_a_time_is_given_as_fast_as_it_is_fetched() {
    let config = Config { shards: Some(1), ..config() };
    let node = Node::start_with(config, Arc::new(model())).await;
    let shard = node.shard_of(&user("user-1"));
    // Fewer at once than a shard lets wait.
    for batch in (0..ROUTES).collect::<Vec<_>>().chunks(500) {
        let binds = batch.iter().map(|number| (shard, Some(large_bind(*number)))).collect();
        for answer in node.caller.send_all(binds) {
            let kind = answer.await.unwrap().kind;
            assert!(matches!(kind, Some(registry_wire::response::Kind::Reply(_))), "{kind:?}");
        }
    }

    let mut first = begin(&node).await.unwrap();
    let chunk = first.message().await.unwrap().unwrap();
    assert!(chunk.meta.is_some() && chunk.end.is_none());
    let refused = begin(&node).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    // Whoever goes away leaves his place to the next one.
    drop(first);
    let mut second = until("the next one may begin", || async { begin(&node).await.ok() }).await;
    let (mut routes, mut end) = (0, None);
    while let Some(chunk) = second.message().await.unwrap() {
        routes += chunk.records.iter().filter(|record| record.len() > 4000).count();
        end = chunk.end.or(end);
    }
    assert_eq!(routes as u64, ROUTES);
    assert!(end.unwrap().records > ROUTES);
    // So does one that was fetched to its end.
    until("the next one may begin", || async { begin(&node).await.ok() }).await;
}
