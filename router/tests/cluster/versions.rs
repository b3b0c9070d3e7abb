//! Nodes of different builds.

use orrery_model::cluster::PROTOCOL;
use orrery_model::command::{Bind, Command, Outcome, Refusal};
use orrery_model::{Policy, Seq};
use orrery_router::Config;
use tokio::time::timeout;

use crate::cluster::{PATIENCE, Plan, until};
use crate::users::{bind_all, bind_in, comet, located_all, write};

/// Binds a user that may have one connection, as if this one were its oldest: outranked where the build's
/// new ranks are understood, and the newest where they are not.
fn ranked(conn: u64) -> Command {
    let Command::Bind(bind) = bind_in(comet(1), 1_000, conn) else { unreachable!() };
    Command::Bind(Bind { rank: Some(Seq(1)), policy: Policy::ONE_NEWEST, ..bind })
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
    let reply = write(&client, ranked(1), PATIENCE).await.unwrap();
    assert!(matches!(reply, Ok(Outcome::Bound(_))), "{reply:?}");
    let reply = write(&client, ranked(2), PATIENCE).await.unwrap();
    assert!(matches!(reply, Ok(Outcome::Bound(_))), "it goes without its rank: {reply:?}");
    cluster.reconfigure(|plan| plan.config.protocol = PROTOCOL);
    for id in 1..=3 {
        cluster.stop(id).await;
        cluster.start(id).await;
        cluster.ready().await;
        located_all(&client, 0..20).await;
    }
    until("every node knows that all are upgraded", || async {
        for id in 1..=3 {
            let status = cluster.status(id).await.map_err(|status| status.to_string())?;
            let nodes = status.nodes.iter();
            let versions: Vec<u32> =
                nodes.map(|held| held.node.as_ref().unwrap().protocol).collect();
            if versions != [PROTOCOL; 3] {
                return Err(format!("node {id}: {versions:?}"));
            }
        }
        Ok(())
    })
    .await;
    let reply = write(&client, ranked(3), PATIENCE).await.unwrap();
    assert_eq!(reply, Err(Refusal::Outranked), "its rank is known now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_back_to_what_the_logs_have_left_behind_is_refused_by_name() {
    let mut cluster = Plan::new(3, 2).found().await;
    let client = cluster.client();
    bind_all(&client, 0..10).await;
    cluster.stop(3).await;
    cluster.reconfigure(|plan| plan.protocols = [(3, PROTOCOL - 1)].into());
    cluster.start(3).await;
    let failed = timeout(PATIENCE, cluster.handle(3).failed()).await.expect("it stops itself");
    assert!(failed.contains("the node speaks an older protocol than the cluster"), "{failed}");
    bind_all(&client, 10..20).await;
    let reply = write(&client, bind_in(comet(1), 1_000, 1), PATIENCE).await.unwrap();
    assert!(matches!(reply, Ok(Outcome::Bound(_))), "{reply:?}");
    let reply = write(&client, ranked(2), PATIENCE).await.unwrap();
    assert_eq!(reply, Err(Refusal::Outranked), "what only the newer build knows is still used");
    // As it was, it is welcome.
    cluster.stop(3).await;
    cluster.reconfigure(|plan| plan.protocols.clear());
    cluster.start(3).await;
    cluster.ready().await;
    located_all(&client, 0..20).await;
}

#[test]
fn a_build_acts_as_no_other_than_the_one_before_it() {
    for protocol in [PROTOCOL - 2, PROTOCOL + 1] {
        let config = Config { protocol, ..Config::default() };
        assert!(config.check().unwrap_err().contains("protocol"));
    }
}
