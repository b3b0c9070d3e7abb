//! Survivors: users of a comet that lives. None of them may ever be missing.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use orrery_bench::limits::{CHECK_ATTEMPTS, CHECKS_UNDER_WAY};
use orrery_bench::registry::Registry;
use orrery_host::{Host, Task};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::sleep;

use crate::limits::SURVIVOR_EVERY;

/// What was seen of them.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Seen {
    /// Look-ups that were answered.
    pub(crate) looks: u64,
    /// Those that did not find the route.
    pub(crate) missing: u64,
    /// Look-ups that were not answered.
    pub(crate) unanswered: u64,
    /// The first that was missing, for people.
    pub(crate) first: Option<String>,
}

/// Looks at them all the time, from its start to its end.
pub(crate) struct Survivors {
    registry: Arc<Registry>,
    users: u64,
    seen: Arc<Mutex<Seen>>,
    _watch: Task,
}

impl Survivors {
    /// Begins to look at users that are bound.
    pub(crate) fn watch(host: &Host, registry: Arc<Registry>, users: u64) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let watch = watch(registry.clone(), users, seen.clone());
        let _watch = host.tasks.spawn("bench survivors", watch);
        Self { registry, users, seen, _watch }
    }

    /// Looks at each of them once more, and says what was seen in all.
    pub(crate) async fn check(self) -> Seen {
        let registry = &self.registry;
        let looks = (0..self.users).map(|user| async move {
            for _ in 1..CHECK_ATTEMPTS {
                if let Ok(found) = registry.locate(registry.user(user)).await {
                    return (user, Ok(found));
                }
            }
            (user, registry.locate(registry.user(user)).await)
        });
        let mut looks = stream::iter(looks).buffer_unordered(CHECKS_UNDER_WAY);
        while let Some((user, found)) = looks.next().await {
            self.seen.lock().take(user, found.ok());
        }
        self.seen.lock().clone()
    }
}

impl Seen {
    fn take(&mut self, user: u64, found: Option<Vec<(u64, u64)>>) {
        let Some(routes) = found else {
            self.unanswered += 1;
            return;
        };
        self.looks += 1;
        // Conns begin at 1.
        if !matches!(routes.as_slice(), [(conn, _)] if *conn == user + 1) {
            self.missing += 1;
            self.first.get_or_insert_with(|| format!("user {user} has the routes {routes:?}"));
        }
    }
}

async fn watch(registry: Arc<Registry>, users: u64, seen: Arc<Mutex<Seen>>) {
    for user in (0..users).cycle() {
        let found = registry.locate(registry.user(user)).await.ok();
        seen.lock().take(user, found);
        sleep(SURVIVOR_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_is_not_there_or_another_one_is_missing() {
        let mut seen = Seen::default();
        seen.take(1, Some(vec![(2, 9)]));
        seen.take(1, None);
        assert_eq!((seen.looks, seen.missing, seen.unanswered), (1, 0, 1));
        seen.take(2, Some(Vec::new()));
        seen.take(3, Some(vec![(5, 9)]));
        assert_eq!((seen.looks, seen.missing), (3, 2));
        assert_eq!(seen.first.as_deref(), Some("user 2 has the routes []"));
    }
}
