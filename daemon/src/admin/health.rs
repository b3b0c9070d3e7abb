//! Health: the named checks that make a process ready, and its word once it drains.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;

type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The checks of a process. Cheap to clone; clones share the drain flag.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<(&'static str, Check)>,
    draining: Arc<AtomicBool>,
}

impl Health {
    /// Adds a check. It is called for each request and must answer at once, from what is known.
    #[must_use]
    pub fn check(
        mut self,
        name: &'static str,
        ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push((name, Arc::new(ready)));
        self
    }

    /// Refuses from now on.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Every check with its outcome; draining is one of them.
    pub fn outcomes(&self) -> Vec<(&'static str, Result<(), String>)> {
        let mut outcomes: Vec<_> =
            self.checks.iter().map(|(name, ready)| (*name, ready())).collect();
        if self.draining.load(Ordering::Relaxed) {
            outcomes.push(("drain", Err("the process is ending".to_owned())));
        }
        outcomes
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.checks.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

pub(super) async fn readyz(
    State(health): State<Health>,
    RawQuery(query): RawQuery,
) -> (StatusCode, String) {
    let verbose = query.is_some_and(|query| {
        query.split('&').any(|part| part.split('=').next() == Some("verbose"))
    });
    let outcomes = health.outcomes();
    let ready = outcomes.iter().all(|(_, outcome)| outcome.is_ok());
    let mut text = String::new();
    for (name, outcome) in &outcomes {
        match outcome {
            Ok(()) if verbose => writeln!(text, "[+] {name} ok"),
            Ok(()) => Ok(()),
            Err(reason) => writeln!(text, "[-] {name} failed: {reason}"),
        }
        .expect("writing to a string cannot fail");
    }
    text.push_str(if ready { "ready\n" } else { "not ready\n" });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}
