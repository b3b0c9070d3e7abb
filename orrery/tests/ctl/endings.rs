//! Exit codes and what is said with them.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::cluster::try_ctl;
use crate::support::{free, orrery, output};

#[tokio::test]
async fn endings_have_codes_that_scripts_can_tell_apart() {
    let nobody = free().to_string();
    for wrong in [
        &["ctl"][..],
        &["ctl", "cluster"],
        &["ctl", "cluster", "bootstrap"],
        &["ctl", "cluster", "status", "--router", "nonsense"],
        &["ctl", "node", "remove", "first"],
        &["ctl", "leader", "move", "1"],
        &["ctl", "locate", "u", "--key", "--room"],
        &["ctl", "cluster", "status", "--timeout", "0"],
    ] {
        let output = output(orrery(wrong)).await;
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
    let begun = Instant::now();
    let told = try_ctl(&nobody, &["--timeout", "1", "cluster", "status"]).await;
    assert_eq!((told.code, &told.json["exit_code"]), (3, &3.into()), "{told:?}");
    assert!(told.stderr.starts_with("orrery: "), "{told:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let told = try_ctl(&nobody, &["backup", "verify", "/nowhere/backup"]).await;
    assert!(told.code == 1 && told.stderr.contains("/nowhere/backup"), "{told:?}");
    // The environment says where the cluster is.
    let mut command = orrery(&["ctl", "--timeout", "1", "cluster", "nodes"]);
    command.env("ORRERY_ROUTERS", &nobody);
    assert_eq!(output(command).await.status.code(), Some(3));
}
