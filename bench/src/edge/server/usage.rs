//! Usage: what the two sides, and the rest of the machine, took for a load.

use serde::Serialize;

use super::target::Target;
use crate::clock::Clock;
use crate::resources::{Resources, machine_busy_s};

/// What everybody had used at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    at_ns: u64,
    comet: Option<Resources>,
    server: Option<Resources>,
    client: Option<Resources>,
    busy_s: Option<f64>,
}

/// Processor time during a measurement, in seconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Cpu {
    /// The comets'; none where their processes are not known, or do other things too.
    pub comet_s: Option<f64>,
    /// The whole system's; none where its processes are not known.
    pub server_s: Option<f64>,
    /// The client's.
    pub client_s: Option<f64>,
    /// Cores that were busy with something else: the more, the less the figures mean. None where the
    /// system's processes are not known.
    pub others_cores: Option<f64>,
}

impl Usage {
    /// Looks now.
    pub fn look(clock: Clock, target: &Target) -> Self {
        Self {
            at_ns: clock.now_ns(),
            comet: target.comet_resources(),
            server: target.resources(),
            client: Resources::own(),
            busy_s: machine_busy_s(),
        }
    }

    /// What was used since an earlier look.
    pub fn since(&self, earlier: &Self) -> Cpu {
        let spent = |now: Option<Resources>, earlier: Option<Resources>| {
            Some(now?.since(&earlier?).cpu_s())
        };
        let server_s = spent(self.server, earlier.server);
        let client_s = spent(self.client, earlier.client);
        let took_s = (self.at_ns - earlier.at_ns) as f64 / 1e9;
        let others_s = || Some(self.busy_s? - earlier.busy_s? - server_s? - client_s?);
        Cpu {
            comet_s: spent(self.comet, earlier.comet),
            server_s,
            client_s,
            others_cores: others_s().map(|others_s| (others_s / took_s).max(0.0)),
        }
    }
}

/// How much was done for a second of processor time; none where that is not known, or too short for the
/// kernel to have counted it.
pub fn per_cpu_s(done: u64, cpu_s: Option<f64>) -> Option<f64> {
    cpu_s.filter(|cpu_s| *cpu_s > 0.0).map(|cpu_s| done as f64 / cpu_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(at_s: u64, comet_s: f64, server_s: f64, client_s: f64, busy_s: f64) -> Usage {
        let used = |user_s| Some(Resources { user_s, ..Resources::default() });
        Usage {
            at_ns: at_s * 1_000_000_000,
            comet: used(comet_s),
            server: used(server_s),
            client: used(client_s),
            busy_s: Some(busy_s),
        }
    }

    #[test]
    fn what_neither_side_took_was_the_others() {
        let cpu = used(14, 3.0, 5.0, 4.0, 107.0).since(&used(10, 1.0, 1.0, 2.0, 100.0));
        assert_eq!((cpu.comet_s, cpu.server_s, cpu.client_s), (Some(2.0), Some(4.0), Some(2.0)));
        assert_eq!(cpu.others_cores, Some(0.25));
        let unknown = Usage { server: None, ..used(14, 3.0, 5.0, 4.0, 107.0) };
        assert_eq!(unknown.since(&used(10, 1.0, 1.0, 2.0, 100.0)).others_cores, None);
    }

    #[test]
    fn nothing_is_said_of_a_time_that_was_not_counted() {
        assert_eq!(per_cpu_s(10, Some(2.0)), Some(5.0));
        assert_eq!((per_cpu_s(10, Some(0.0)), per_cpu_s(10, None)), (None, None));
    }
}
