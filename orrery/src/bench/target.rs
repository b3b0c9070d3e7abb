//! Target: the system that is measured. One of its own for the time, or one that runs already.

use std::fs::{self, File};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, bail};
use orrery_bench::clock::Clock;
use orrery_bench::latency::Latency;
use orrery_bench::machine;
use orrery_bench::resources::Resources;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::limits::{START_TIMEOUT, STOP_TIMEOUT};
use crate::cli::QuickOptions;

/// What its log is called in its folder.
const LOG: &str = "log";

/// Where to connect and to push.
pub(super) struct Target {
    /// The comet's TCP `host:port`.
    pub(super) comet: String,
    /// The logic's push gRPC `host:port`.
    pub(super) push: String,
    own: Option<Own>,
}

/// A stack of its own, `orrery dev` in a process of its own.
struct Own {
    child: Child,
    /// Kept open: what nobody could read any more would end the process.
    stdout: BufReader<ChildStdout>,
    folder: TempDir,
    sync: Latency,
}

/// The line that `orrery dev --json` prints when it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    addresses: Addresses,
}

#[derive(Debug, Deserialize)]
struct Addresses {
    #[serde(rename = "comet.tcp_listen")]
    comet: String,
    #[serde(rename = "logic.grpc_listen")]
    push: String,
}

impl Target {
    /// Takes the one that the options name, or starts one.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn open(options: &QuickOptions, clock: Clock) -> anyhow::Result<Self> {
        match (&options.target_comet, &options.target_push) {
            (Some(comet), Some(push)) => {
                Ok(Self { comet: comet.clone(), push: push.clone(), own: None })
            }
            _ => start(clock).await,
        }
    }

    /// What its process has used so far; none where it is another's.
    pub(super) fn resources(&self) -> Option<Resources> {
        Resources::of(self.own.as_ref()?.child.id()?)
    }

    /// How long a sync takes where its data is.
    pub(super) fn sync(&self) -> Option<Latency> {
        self.own.as_ref().map(|own| own.sync)
    }

    /// Ends it in order, if it is its own.
    ///
    /// # Errors
    /// When it does not end, or says that something went wrong.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let Some(mut own) = self.own else { return Ok(()) };
        let pid = own.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // It may have ended by itself just now, which the wait below tells.
            let _ = kill_process(pid, Signal::TERM);
        }
        match timeout(STOP_TIMEOUT, own.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(ExitStatus::success) => Ok(()),
            Ok(status) => bail!("the stack ended with {}: {}", status?, own.last_words()),
            Err(_) => {
                own.child.kill().await?;
                bail!("the stack did not end within {STOP_TIMEOUT:?} and was killed")
            }
        }
    }
}

impl Own {
    /// The end of its log.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
        log.lines().last().unwrap_or("it said nothing").to_owned()
    }
}

/// Starts a stack with its data below the current folder: the system's folder for temporary files is
/// often in memory, where a sync costs nothing.
async fn start(clock: Clock) -> anyhow::Result<Target> {
    let unusable = "cannot write to the current folder, where the data would be";
    let current = std::env::current_dir().context(unusable)?;
    let folder = tempfile::Builder::new().prefix("orrery-bench-").tempdir_in(current);
    let folder = folder.context(unusable)?;
    let sync = machine::time_syncs(folder.path(), clock).context(unusable)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["dev", "--any-ports", "--json", "--data"])
        .arg(folder.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(folder.path().join(LOG))?)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a stack")?;
    let output = child.stdout.take().context("the stack has no output")?;
    let mut own = Own { child, stdout: BufReader::new(output), folder, sync };
    let mut line = String::new();
    let read = timeout(START_TIMEOUT, own.stdout.read_line(&mut line)).await;
    read.with_context(|| format!("the stack was not ready within {START_TIMEOUT:?}"))??;
    match read_ready(&line) {
        Ok(Addresses { comet, push }) => Ok(Target { comet, push, own: Some(own) }),
        Err(_) if line.is_empty() => bail!("the stack did not start: {}", own.last_words()),
        Err(error) => bail!("the stack said {line:?} instead of its addresses: {error}"),
    }
}

fn read_ready(line: &str) -> serde_json::Result<Addresses> {
    serde_json::from_str(line).map(|ready: Ready| ready.addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_among_the_others() {
        let line = r#"{"addresses":{"admin.listen":"127.0.0.1:1","comet.tcp_listen":"127.0.0.1:2",
            "logic.grpc_listen":"127.0.0.1:3"},"ready_ms":421}"#;
        let Addresses { comet, push } = read_ready(line).unwrap();
        assert_eq!((comet.as_str(), push.as_str()), ("127.0.0.1:2", "127.0.0.1:3"));
        assert!(read_ready(r#"{"addresses":{"comet.tcp_listen":"127.0.0.1:2"}}"#).is_err());
    }
}
