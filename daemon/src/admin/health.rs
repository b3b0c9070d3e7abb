//! Health: the named checks that make a process ready, the details behind them, and its word once it drains.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;

type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;
type Details = Arc<dyn Fn() -> Vec<Outcome> + Send + Sync>;

/// A check by its name, and how it went.
pub type Outcome = (String, Result<(), String>);

/// The checks of a process. Cheap to clone; clones share the drain flag.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<(String, Check, Option<Details>)>,
    draining: Arc<AtomicBool>,
}

impl Health {
    /// Adds a check. It is called for each request and must answer at once, from what is known.
    #[must_use]
    pub fn check(
        mut self,
        name: impl Into<String>,
        ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push((name.into(), Arc::new(ready), None));
        self
    }

    /// Says of which parts the last check that was added consists. They are shown to whoever asks for all of
    /// it, and decide nothing: a part may fail while the whole can still work.
    #[must_use]
    pub fn details(mut self, parts: impl Fn() -> Vec<Outcome> + Send + Sync + 'static) -> Self {
        if let Some((.., details)) = self.checks.last_mut() {
            *details = Some(Arc::new(parts));
        }
        self
    }

    /// Refuses from now on.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Every check with its outcome; draining is one of them.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let checked = |(name, ready, _): &(String, Check, _)| (name.clone(), ready());
        let mut outcomes: Vec<_> = self.checks.iter().map(checked).collect();
        if self.draining.load(Ordering::Relaxed) {
            outcomes.push(("drain".to_owned(), Err("the process is ending".to_owned())));
        }
        outcomes
    }

    /// The parts of a check.
    fn parts(&self, check: &str) -> Vec<Outcome> {
        let found = self.checks.iter().find(|(name, ..)| name == check);
        found.and_then(|(.., details)| details.as_ref()).map_or_else(Vec::new, |parts| parts())
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.checks.iter().map(|(name, ..)| name);
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
        write_outcome(&mut text, name, outcome, verbose);
        let parts = if verbose { health.parts(name) } else { Vec::new() };
        for (part, outcome) in parts {
            write_outcome(&mut text, &format!("{name}: {part}"), &outcome, verbose);
        }
    }
    text.push_str(if ready { "ready\n" } else { "not ready\n" });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

fn write_outcome(text: &mut String, name: &str, outcome: &Result<(), String>, verbose: bool) {
    match outcome {
        Ok(()) if verbose => writeln!(text, "[+] {name} ok"),
        Ok(()) => Ok(()),
        Err(reason) => writeln!(text, "[-] {name} failed: {reason}"),
    }
    .expect("writing to a string cannot fail");
}
