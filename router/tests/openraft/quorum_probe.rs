//! A leader that has lost its quorum and still reaches somebody, who therefore elects nobody else.

use openraft::Config;
use tokio::time::sleep;

use crate::cluster::{Cluster, LEASE, config};

/// Of four voters the leader reaches the second one; the third and fourth reach that one and each other.
async fn half_cut(config: Config) -> Cluster {
    let cluster = Cluster::of(4, config).await;
    cluster.write("old").await;
    cluster.net.cut(1, 3);
    cluster.net.cut(1, 4);
    sleep(10 * LEASE).await;
    cluster
}

fn other_leads(cluster: &Cluster) -> bool {
    (2..=4).any(|id| cluster.leads(id))
}

/// Should this fail, openraft lets go of such leaders by itself.
#[tokio::test]
async fn without_a_probe_three_of_four_voters_elect_nobody() {
    let cluster = half_cut(config(Some(false))).await;
    assert!(!other_leads(&cluster));
    // And the leader takes nothing either.
    assert!(cluster.core(1).client_write("new".to_owned()).await.is_err());
}

#[tokio::test]
async fn with_a_probe_they_do() {
    let probe = Some(3 * LEASE.as_millis() as u64);
    let probing = Config { quorum_loss_probe_interval: probe, ..config(Some(false)) };
    let cluster = half_cut(probing).await;
    cluster.until("another one leads", other_leads).await;
    cluster.write("new").await;
}
