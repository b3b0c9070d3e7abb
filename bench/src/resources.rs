//! Resources: what a process has used, as the kernel tells it.

use std::fs;
use std::process;

use serde::{Deserialize, Serialize};

/// Ticks a second in which the kernel gives processor time; part of its interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has used since it began.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Processor time in user mode, in seconds.
    pub user_s: f64,
    /// Processor time in the kernel, in seconds.
    pub kernel_s: f64,
    /// Memory it has now, in MiB.
    pub rss_mib: f64,
    /// Most memory it ever had, in MiB.
    pub rss_max_mib: f64,
}

impl Resources {
    /// What a process has used; none where the system does not tell.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let (user, kernel) = ticks(&stat)?;
        Some(Self {
            user_s: user / TICKS_PER_SECOND,
            kernel_s: kernel / TICKS_PER_SECOND,
            rss_mib: mib(&status, "VmRSS:")?,
            rss_max_mib: mib(&status, "VmHWM:")?,
        })
    }

    /// What this process has used.
    pub fn own() -> Option<Self> {
        Self::of(process::id())
    }

    /// Processor time in seconds.
    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.kernel_s
    }

    /// The same with only the processor time since an earlier look.
    pub fn since(self, earlier: &Self) -> Self {
        Self {
            user_s: self.user_s - earlier.user_s,
            kernel_s: self.kernel_s - earlier.kernel_s,
            ..self
        }
    }

    /// What several processes have used; none where one of them has ended.
    pub fn of_all(pids: &[u32]) -> Option<Self> {
        pids.iter().try_fold(Self::default(), |sum, pid| {
            let one = Self::of(*pid)?;
            Some(Self {
                user_s: sum.user_s + one.user_s,
                kernel_s: sum.kernel_s + one.kernel_s,
                rss_mib: sum.rss_mib + one.rss_mib,
                rss_max_mib: sum.rss_max_mib + one.rss_max_mib,
            })
        })
    }
}

/// Processor time that everything on this machine has used since it started, in seconds, what its host
/// took from it included; none where the system does not tell.
pub fn machine_busy_s() -> Option<f64> {
    busy_ticks(&fs::read_to_string("/proc/stat").ok()?).map(|ticks| ticks / TICKS_PER_SECOND)
}

/// The first line of `/proc/stat` but for idle and waiting time (the 4th and 5th number), and for the
/// guests' (behind the 8th), which is part of the first two.
fn busy_ticks(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let numbers = line.split_whitespace().take(8).map(|number| number.parse::<f64>().ok());
    let numbers: Vec<f64> = numbers.collect::<Option<_>>()?;
    Some(numbers.iter().sum::<f64>() - numbers.get(3)? - numbers.get(4)?)
}

/// The 14th and 15th field of `/proc/PID/stat`. The 2nd, the name, may hold anything but ends with the
/// last parenthesis.
fn ticks(stat: &str) -> Option<(f64, f64)> {
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let mut fields = behind_name.split(' ').skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn mib(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(ticks(stat), Some((250.0, 50.0)));
        assert_eq!(ticks("7"), None);
    }

    #[test]
    fn idle_time_is_not_busy() {
        let stat = "cpu  10 20 30 4000 500 1 2 3 7 8\ncpu0 1 2 3\n";
        assert_eq!(busy_ticks(stat), Some(66.0));
        assert_eq!(busy_ticks("intr 1"), None);
    }

    #[test]
    fn memory_is_read_in_mib() {
        assert_eq!(mib("VmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n", "VmRSS:"), Some(1.0));
        assert_eq!(mib("", "VmRSS:"), None);
    }
}
