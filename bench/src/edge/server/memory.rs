//! Memory: how much processes have, and when it has settled.

use std::collections::VecDeque;
use std::fs;

use anyhow::Context;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::edge::limits::{SETTLING_KIB, SETTLING_LOOKS, SETTLING_MAX, SETTLING_PAUSE};

/// Memory of some processes together at a moment, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Resident; pages that processes share count for each.
    pub rss_kib: f64,
    /// Their share of it: a page that several have counts for a part. None where the kernel does not tell.
    pub pss_kib: Option<f64>,
}

/// Memory after a while.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Settled {
    /// How much.
    #[serde(flatten)]
    pub memory: Memory,
    /// How long it took until it did not change any more.
    pub after_s: f64,
    /// Whether it did settle, within the limit.
    pub settled: bool,
}

impl Memory {
    /// Looks now.
    ///
    /// # Errors
    /// When a process has ended or there is none.
    pub fn of_all(pids: &[u32]) -> anyhow::Result<Self> {
        anyhow::ensure!(!pids.is_empty(), "whose memory is to be measured is not known");
        let mut all = Self { rss_kib: 0.0, pss_kib: Some(0.0) };
        for pid in pids {
            let status = fs::read_to_string(format!("/proc/{pid}/status"));
            let status = status.with_context(|| format!("process {pid} has ended"))?;
            all.rss_kib += kib(&status, "VmRSS:").context("the kernel tells no memory")?;
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
            let pss_kib = rollup.ok().and_then(|rollup| kib(&rollup, "Pss:"));
            all.pss_kib = all.pss_kib.zip(pss_kib).map(|(sum, more)| sum + more);
        }
        Ok(all)
    }

    /// Waits until it does not change any more.
    ///
    /// # Errors
    /// When a process has ended.
    pub async fn settled(pids: &[u32]) -> anyhow::Result<Settled> {
        let begun = Instant::now();
        let mut looks = Looks::default();
        loop {
            let memory = Self::of_all(pids)?;
            let settled = looks.agree(memory.rss_kib);
            if settled || begun.elapsed() > SETTLING_MAX {
                return Ok(Settled { memory, after_s: begun.elapsed().as_secs_f64(), settled });
            }
            sleep(SETTLING_PAUSE).await;
        }
    }

    /// By how much it grew since, for each of so many.
    pub fn growth_each(&self, earlier: &Self, count: usize) -> Self {
        let each = |now: f64, earlier: f64| (now - earlier) / count.max(1) as f64;
        Self {
            rss_kib: each(self.rss_kib, earlier.rss_kib),
            pss_kib: self.pss_kib.zip(earlier.pss_kib).map(|(now, then)| each(now, then)),
        }
    }
}

/// The last looks at an amount.
#[derive(Debug, Default)]
struct Looks(VecDeque<f64>);

impl Looks {
    /// Takes one more; says whether the last ones agree.
    fn agree(&mut self, kib: f64) -> bool {
        self.0.push_back(kib);
        if self.0.len() > SETTLING_LOOKS {
            self.0.pop_front();
        }
        let most = self.0.iter().copied().fold(f64::MIN, f64::max);
        let least = self.0.iter().copied().fold(f64::MAX, f64::min);
        self.0.len() == SETTLING_LOOKS && most - least <= SETTLING_KIB
    }
}

fn kib(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_settled_once_enough_looks_agree() {
        let mut looks = Looks::default();
        for kib in [0.0, 5000.0, 9000.0] {
            assert!(!looks.agree(kib));
        }
        for look in 1..=SETTLING_LOOKS {
            let settled = looks.agree(9500.0 + look as f64);
            assert_eq!(settled, look == SETTLING_LOOKS, "look {look}");
        }
        assert!(!looks.agree(20_000.0), "it grows again");
    }

    #[test]
    fn memory_is_read_and_summed_and_grows_for_each() {
        assert_eq!(kib("VmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n", "VmRSS:"), Some(1024.0));
        assert_eq!(kib("55d0-7ffd [rollup]\nRss: 9 kB\nPss:    7 kB\n", "Pss:"), Some(7.0));
        assert_eq!(kib("", "VmRSS:"), None);
        let own = std::process::id();
        let memory = Memory::of_all(&[own, own]).unwrap();
        assert!(memory.rss_kib > 0.0 && memory.pss_kib.is_none_or(|kib| kib <= memory.rss_kib));
        assert!(Memory::of_all(&[]).is_err());

        let before = Memory { rss_kib: 100.0, pss_kib: Some(50.0) };
        let after = Memory { rss_kib: 300.0, pss_kib: Some(60.0) };
        let each = Memory { rss_kib: 5.0, pss_kib: Some(0.25) };
        assert_eq!(after.growth_each(&before, 40), each);
        let untold = Memory { pss_kib: None, ..before };
        assert_eq!(after.growth_each(&untold, 40).pss_kib, None);
    }
}
