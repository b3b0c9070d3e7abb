//! Child: one simulation in a process of its own, for which it must be fresh.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::outcome::Outcome;

/// How long one run may take in real time.
const RUN_MAX: Duration = Duration::from_secs(600);

/// Tells a simulation which run of its seed it is.
pub(super) const RUN: &str = "JEPSEN_RUN";

/// Pause between two looks at what runs.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// A simulation that runs; it ends with this.
pub(super) struct Child {
    seed: u64,
    began: Instant,
    process: std::process::Child,
}

impl Child {
    /// Starts `sim --seed` with these arguments.
    ///
    /// # Errors
    /// When there is no process to be had.
    #[expect(clippy::disallowed_methods, reason = "it is waited for outside of any simulation")]
    pub(super) fn start(seed: u64, run: u32, arguments: &[String]) -> anyhow::Result<Self> {
        let me = std::env::current_exe().context("find the harness's own binary")?;
        let process = Command::new(me)
            .args(["sim", "--json", "--seed", &seed.to_string()])
            .args(arguments)
            .env(RUN, run.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a simulation")?;
        Ok(Self { seed, began: Instant::now(), process })
    }

    /// What it came to; nothing while it runs.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(super) fn ended(&mut self) -> anyhow::Result<Option<Outcome>> {
        let Some(status) = self.process.try_wait().context("wait for a simulation")? else {
            if self.began.elapsed() < RUN_MAX {
                return Ok(None);
            }
            self.process.kill().context("end a simulation")?;
            return Ok(Some(Outcome::failed(self.seed, format!("did not end within {RUN_MAX:?}"))));
        };
        // What it says is one short line, which the pipe holds.
        let mut told = String::new();
        if let Some(mut out) = self.process.stdout.take() {
            out.read_to_string(&mut told).context("read what a simulation says")?;
        }
        let outcome = told.lines().next_back().and_then(|line| serde_json::from_str(line).ok());
        let silent = || Outcome::failed(self.seed, format!("said nothing and ended: {status}"));
        Ok(Some(outcome.unwrap_or_else(silent)))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has ended, or nobody wants to know any more.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
