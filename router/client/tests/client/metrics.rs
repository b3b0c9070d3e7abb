//! What a client counts.

use orrery_proto::registry::failure::Reason;
use prometheus_client::registry::Registry;

use crate::scripted::{
    Act, bind, cluster_with, failed, fitting, led_by, soon, table, user, within,
};

#[tokio::test]
async fn calls_attempts_redirects_hedges_and_refreshes_are_counted() {
    let (nodes, client) = cluster_with(2, &table(1, &[2]), 2_000).await;
    let mut registry = Registry::default();
    client.register(&mut registry);
    // Calls on shard 2 of two nodes begin at the first node.
    nodes[0].on(|_| led_by(2));
    nodes[1].on(fitting);
    client.write(bind("u", 1), soon()).await.unwrap();
    nodes[1].on(|_| Act::Silence);
    client.locate(user("u"), false, within(400)).await.unwrap_err();
    nodes[1].on(|_| failed(Reason::Overloaded));
    nodes[0].on(|_| failed(Reason::Overloaded));
    client.write(bind("u", 2), soon()).await.unwrap_err();

    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let counted = |line: &str| {
        let found = text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse::<u64>().ok());
        found.unwrap_or_else(|| panic!("{line} is not in\n{text}"))
    };
    let prefix = "orrery_registry_client";
    assert_eq!(counted(&format!("{prefix}_calls_total{{kind=\"write\",outcome=\"ok\"}}")), 1);
    assert_eq!(
        counted(&format!("{prefix}_calls_total{{kind=\"read\",outcome=\"unavailable\"}}")),
        1
    );
    assert_eq!(
        counted(&format!("{prefix}_calls_total{{kind=\"write\",outcome=\"overloaded\"}}")),
        1
    );
    assert_eq!(counted(&format!("{prefix}_attempts_total{{outcome=\"answered\"}}")), 1);
    assert!(counted(&format!("{prefix}_attempts_total{{outcome=\"not_leader\"}}")) >= 2);
    assert!(counted(&format!("{prefix}_redirects_total")) >= 1);
    assert!(counted(&format!("{prefix}_hedges_total{{kind=\"read\"}}")) >= 1);
    assert!(counted(&format!("{prefix}_table_refreshes_total{{outcome=\"ok\"}}")) >= 1);
}
