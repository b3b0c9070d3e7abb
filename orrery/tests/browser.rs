//! The demo page in a real browser: starts `orrery dev` and lets `browser/demo.test.mjs` drive it; and the page of
//! PROTOCOL.md in a browser that `browser/document.test.mjs` plays.
//!
//! Skipped, saying so, where there is no node, and the former where there is no browser, or `npm ci` was not run in
//! `orrery/browser`; `ORRERY_BROWSER_TEST=required` makes each of these a failure.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use support::Dev;

/// How long all of the browser's tests may take; its own waits are shorter.
const BROWSER_TIMEOUT: Duration = Duration::from_secs(180);

fn runs(program: &str) -> bool {
    let version = std::process::Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

fn missing(folder: &Path, browser: &str) -> Option<&'static str> {
    if !Path::new(browser).exists() {
        return Some("no browser (install chromium, or name one in ORRERY_BROWSER)");
    }
    if !runs("node") {
        return Some("no node");
    }
    (!folder.join("node_modules/playwright-core").exists())
        .then_some("no playwright-core (run npm ci in orrery/browser)")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Says that a test is skipped, where that is allowed.
fn skip(what: &str, missing: &str) {
    assert_ne!(variable("ORRERY_BROWSER_TEST").as_deref(), Some("required"), "{missing}");
    eprintln!("SKIPPED: {what} was not tested: {missing}");
}

/// The tests of a file, to be run by node.
fn tests(file: &str) -> Command {
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec", file]);
    node.current_dir(folder()).stdin(Stdio::null()).kill_on_drop(true);
    node
}

/// Runs them, so many.
async fn pass(mut node: Command, count: usize) {
    let tested = tokio::time::timeout(BROWSER_TIMEOUT, node.output()).await;
    let tested = tested.expect("the browser's tests end in time").unwrap();
    let said = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{said}\n{}", String::from_utf8_lossy(&tested.stderr));
    assert!(said.contains(&format!("pass {count}\n")), "a test did not run: {said}");
}

#[tokio::test]
async fn page_of_the_document_comes_back_only_where_that_can_help() {
    if !runs("node") {
        return skip("the page of PROTOCOL.md", "no node");
    }
    pass(tests("document.test.mjs"), 4).await;
}

#[tokio::test]
async fn demo_page_works_in_a_browser() {
    let browser = variable("ORRERY_BROWSER").unwrap_or_else(|| "/usr/bin/chromium".to_owned());
    if let Some(missing) = missing(&folder(), &browser) {
        return skip("the demo page", missing);
    }
    let data = tempfile::tempdir().unwrap();
    let dev = Dev::start(data.path(), &[]).await;
    let mut node = tests("demo.test.mjs");
    node.env("ORRERY_DEMO_URL", format!("http://{}/", dev.address("admin.listen")));
    node.env("ORRERY_BROWSER", browser);
    pass(node, 8).await;
    dev.interrupt().await;
}
