//! PROTOCOL.md names the test behind each promise: none of them may go missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

const FILES: &[(&str, &str)] = &[
    // Before the shorter names that some of these end with.
    ("conformance upgrade", "comet/tests/conformance/upgrade.rs"),
    ("conformance hostile", "comet/tests/conformance/hostile.rs"),
    ("conformance deadlines", "comet/tests/conformance/deadlines.rs"),
    ("conformance json", "comet/tests/conformance/json.rs"),
    ("conformance slow", "comet/tests/conformance/slow.rs"),
    ("conformance takeover", "comet/tests/conformance/takeover.rs"),
    ("conformance http_requests", "comet/tests/conformance/http_requests.rs"),
    ("conformance http_sessions", "comet/tests/conformance/http_sessions.rs"),
    ("conformance long_poll", "comet/tests/conformance/long_poll.rs"),
    ("conformance sse", "comet/tests/conformance/sse.rs"),
    ("unit session", "comet/src/http/session/mod.rs"),
    ("comet http_limits", "comet/tests/comet/http_limits.rs"),
    ("unit sessions", "comet/src/http/sessions.rs"),
    ("comet http_refusals", "comet/tests/comet/http_refusals.rs"),
    ("comet tls", "comet/tests/comet/tls.rs"),
    ("comet drain", "comet/tests/comet/drain.rs"),
    ("comet drain_http", "comet/tests/comet/drain_http.rs"),
    ("abuse floods", "comet/tests/abuse/floods.rs"),
    ("abuse requests", "comet/tests/abuse/requests.rs"),
    ("abuse sessions", "comet/tests/abuse/sessions.rs"),
    ("abuse shares", "comet/tests/abuse/shares.rs"),
    ("abuse storms", "comet/tests/abuse/storms.rs"),
    ("vectors", "comet/core/tests/suite/vectors.rs"),
    ("frame", "comet/core/tests/suite/frame.rs"),
    ("websocket", "comet/core/tests/suite/websocket.rs"),
    ("session", "comet/core/tests/suite/session.rs"),
    ("json", "comet/core/tests/suite/json.rs"),
    ("hostile", "comet/core/tests/suite/hostile.rs"),
    ("unit ring", "comet/core/src/http/ring.rs"),
    ("unit refusal", "comet/core/src/http/refusal.rs"),
    ("unit accepts", "comet/core/src/accepts.rs"),
    ("unit ops", "comet/core/src/ops.rs"),
    ("unit token", "comet/core/src/token.rs"),
    ("sdk device", "sdk/tests/suite/device.rs"),
    ("sdk client", "sdk/tests/suite/client.rs"),
    ("sdk client_http", "sdk/tests/suite/client_http.rs"),
    ("sdk http", "sdk/tests/suite/http.rs"),
    ("sdk http_posts", "sdk/tests/suite/http_posts.rs"),
    ("sdk tls", "sdk/tests/suite/tls.rs"),
    ("sdk backoff", "sdk/src/backoff.rs"),
    ("sdk node_list", "sdk/src/node_list.rs"),
    ("browser", "orrery/tests/browser.rs"),
];

#[test]
fn every_test_that_the_document_names_exists() {
    let words = read("PROTOCOL.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut named = BTreeSet::new();
    for (position, _) in words.match_indices("::") {
        let (before, after) = (&words[..position], &words[position + 2..]);
        // The Rust example has paths of its own, all of them of types.
        let module = before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        if module.starts_with(|c: char| c.is_ascii_uppercase()) {
            continue;
        }
        let test = after.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
        let (name, path) =
            FILES.iter().find(|(name, _)| before.ends_with(name)).expect("a module that is listed");
        assert!(
            has_test(&read(path), test),
            "{name}::{test} is named in PROTOCOL.md and is not in {path}"
        );
        named.insert(test);
    }
    assert!(named.len() >= 50, "only {} tests are named", named.len());
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The text of a file of the repository.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// Whether the source of a file has a test of this name.
pub(crate) fn has_test(source: &str, name: &str) -> bool {
    source.contains(&format!("fn {name}("))
}
