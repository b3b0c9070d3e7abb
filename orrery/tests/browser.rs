//! The demo page in a real browser: starts `orrery dev` and lets `browser/demo.test.mjs` drive it.
//!
//! Skipped, saying so, where there is no browser, no node, or `npm ci` was not run in `orrery/browser`;
//! `ORRERY_BROWSER_TEST=required` makes each of these a failure.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use support::Dev;

/// How long all of the browser's tests may take; its own waits are shorter.
const BROWSER_TIMEOUT: Duration = Duration::from_secs(180);

fn missing(folder: &Path, browser: &str) -> Option<&'static str> {
    let runs = |program: &str| {
        let version = std::process::Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        version.is_ok_and(|status| status.success())
    };
    if !Path::new(browser).exists() {
        return Some("no browser (install chromium, or name one in ORRERY_BROWSER)");
    }
    if !runs("node") {
        return Some("no node");
    }
    (!folder.join("node_modules/playwright-core").exists())
        .then_some("no playwright-core (run npm ci in orrery/browser)")
}

#[tokio::test]
async fn demo_page_works_in_a_browser() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let variable = |name| std::env::var(name).ok();
    let browser = variable("ORRERY_BROWSER").unwrap_or_else(|| "/usr/bin/chromium".to_owned());
    if let Some(missing) = missing(&folder, &browser) {
        assert_ne!(variable("ORRERY_BROWSER_TEST").as_deref(), Some("required"), "{missing}");
        eprintln!("SKIPPED: the demo page was not tested: {missing}");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let dev = Dev::start(data.path(), &[]).await;
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec", "demo.test.mjs"])
        .current_dir(&folder)
        .env("ORRERY_DEMO_URL", format!("http://{}/", dev.address("admin.listen")))
        .env("ORRERY_BROWSER", browser)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let tested = tokio::time::timeout(BROWSER_TIMEOUT, node.output()).await;
    let tested = tested.expect("the browser's tests end in time").unwrap();
    let said = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{said}\n{}", String::from_utf8_lossy(&tested.stderr));
    assert!(said.contains("pass 8"), "a test of the page did not run: {said}");
    dev.interrupt().await;
}
