//! Measure: one load, and what client, servers and the rest of the machine took for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_host::Host;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::closed_loop::{self, Load, Users};
use crate::latency::Latency;
use crate::resources::{Resources, machine_busy_s};
use crate::target::{Op, Target};

/// Figures of one load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// What callers did.
    pub op: Op,
    /// How many there were.
    pub callers: usize,
    /// How long it was measured, in seconds.
    pub seconds: f64,
    /// Calls that succeeded, a second.
    pub per_second: f64,
    /// From a call to its answer.
    pub latency: Latency,
    /// Calls that failed, by kind.
    pub failures: BTreeMap<String, u64>,
    /// The first of them, for people.
    pub first_failure: Option<String>,
    /// What the load took, warm-up included.
    pub cores: Cores,
    /// Memory of the servers together at the end, in MiB; none where their processes are not known.
    pub server_rss_mib: Option<f64>,
    /// How the target was spoken to, where there is a choice.
    pub way: Option<String>,
}

/// Cores that were busy on average.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Cores {
    /// With the servers; none where their processes are not known.
    pub servers: Option<f64>,
    /// With the callers.
    pub client: Option<f64>,
    /// With anything else: the more, the less the figures mean.
    pub others: Option<f64>,
}

/// Keeps a load up and measures it. `servers` are the processes under load, if they are on this machine.
///
/// # Errors
/// When callers ended by themselves.
pub async fn measure<T: Target>(
    host: &Host,
    clock: Clock,
    target: &Arc<T>,
    users: &Arc<Users>,
    load: Load,
    servers: &[u32],
) -> anyhow::Result<Figures> {
    let before = Used::look(clock, servers);
    let (tally, window) = closed_loop::run(host, clock, target, users, load).await?;
    let after = Used::look(clock, servers);
    Ok(Figures {
        op: load.op,
        callers: load.callers,
        seconds: window.seconds(),
        per_second: tally.completed as f64 / window.seconds(),
        latency: tally.latencies.summary(),
        failures: tally.failures,
        first_failure: tally.first_failure,
        cores: after.cores_since(&before),
        server_rss_mib: after.servers.map(|used| used.rss_mib),
        way: None,
    })
}

/// Processor time at a moment.
#[derive(Debug, Clone, Copy)]
struct Used {
    at_s: f64,
    servers: Option<Resources>,
    client: Option<Resources>,
    machine_s: Option<f64>,
}

impl Used {
    fn look(clock: Clock, servers: &[u32]) -> Self {
        Self {
            at_s: clock.now_ns() as f64 / 1e9,
            servers: if servers.is_empty() { None } else { Resources::of_all(servers) },
            client: Resources::own(),
            machine_s: machine_busy_s(),
        }
    }

    fn cores_since(&self, earlier: &Self) -> Cores {
        let took_s = self.at_s - earlier.at_s;
        let spent = |now: Option<Resources>, earlier: Option<Resources>| {
            Some(now?.since(&earlier?).cpu_s() / took_s)
        };
        let (servers, client) =
            (spent(self.servers, earlier.servers), spent(self.client, earlier.client));
        let others = || {
            let all = (self.machine_s? - earlier.machine_s?) / took_s;
            Some((all - servers? - client?).max(0.0))
        };
        Cores { servers, client, others: others() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(at_s: f64, servers_s: Option<f64>, client_s: f64, machine_s: f64) -> Used {
        let used = |user_s| Resources { user_s, ..Resources::default() };
        let (servers, client) = (servers_s.map(used), Some(used(client_s)));
        Used { at_s, servers, client, machine_s: Some(machine_s) }
    }

    #[test]
    fn what_neither_client_nor_servers_took_was_the_others() {
        let before = used(10.0, Some(1.0), 2.0, 100.0);
        let cores = used(14.0, Some(5.0), 4.0, 107.0).cores_since(&before);
        assert_eq!((cores.servers, cores.client, cores.others), (Some(1.0), Some(0.5), Some(0.25)));
    }

    #[test]
    fn others_are_unknown_where_the_servers_are() {
        let before = used(10.0, None, 2.0, 100.0);
        let cores = used(14.0, None, 4.0, 107.0).cores_since(&before);
        assert_eq!((cores.servers, cores.client, cores.others), (None, Some(0.5), None));
    }
}
