//! Nodes of different builds.

use orrery_model::Seq;
use orrery_model::cluster::PROTOCOL;
use orrery_model::command::Command;
use orrery_router::Config;

use crate::cluster::{PATIENCE, Plan, bind, bind_all, located_all, until, write};

/// A bind that needs this build's protocol, or goes without what is new in it.
fn ranked(number: u64) -> Command {
    match bind(number) {
        Command::Bind(bind) => {
            Command::Bind(orrery_model::command::Bind { rank: Some(Seq(1)), ..bind })
        }
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builds_one_version_apart_work_together_and_are_upgraded_one_by_one() {
    let plan = Plan::new(3, 2).with(|plan| {
        plan.config.protocol = PROTOCOL - 1;
        plan.protocols = [(3, PROTOCOL)].into();
    });
    let mut cluster = plan.found().await;
    let client = cluster.client();
    bind_all(&client, 0..20).await;
    let reply = write(&client, ranked(20), PATIENCE).await.unwrap();
    assert!(reply.is_ok(), "it goes without its rank: {reply:?}");
    cluster.reconfigure(|plan| plan.config.protocol = PROTOCOL);
    for id in 1..=3 {
        cluster.stop(id).await;
        cluster.start(id).await;
        cluster.ready().await;
        located_all(&client, 0..21).await;
    }
    until("the cluster knows that all are upgraded", || async {
        let status = cluster.status(1).await.map_err(|status| status.to_string())?;
        let versions: Vec<u32> =
            status.nodes.iter().map(|held| held.node.as_ref().unwrap().protocol).collect();
        match versions.iter().all(|version| *version == PROTOCOL) {
            true => Ok(()),
            false => Err(format!("{versions:?}")),
        }
    })
    .await;
    let reply = write(&client, ranked(21), PATIENCE).await.unwrap();
    assert!(reply.is_ok(), "{reply:?}");
}

#[test]
fn a_build_acts_as_no_other_than_the_one_before_it() {
    for protocol in [PROTOCOL - 2, PROTOCOL + 1] {
        let config = Config { protocol, ..Config::default() };
        assert!(config.check().unwrap_err().contains("protocol"));
    }
}
