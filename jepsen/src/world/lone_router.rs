//! A real router process that can be killed at any moment.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use machine::{Ledger, Process};

/// The number of its node: the product's own first one.
pub const NODE: u64 = 1;

/// Where its data lies in its folder.
pub const DATA: &str = "data";

/// How long a process may take from its start until it accepts connections.
const START: Duration = Duration::from_secs(10);

/// Pause between looks at a starting process.
const LOOK: Duration = Duration::from_millis(10);

/// A router node as a process of its own. Dropping it kills it.
pub struct RouterProcess {
    binary: PathBuf,
    folder: PathBuf,
    registry: SocketAddr,
    /// What is made is written down there, for whoever comes after a harness that was killed.
    ledger: Arc<Ledger>,
    process: Option<Process>,
}

impl RouterProcess {
    /// Prepares a node whose data, configuration and log live in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be written or no port is free.
    pub fn prepare(binary: &Path, folder: &Path, ledger: Arc<Ledger>) -> anyhow::Result<Self> {
        let registry = free_address()?;
        let admin = free_address()?;
        let this = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            registry,
            ledger,
            process: None,
        };
        let (config, data) = (this.config(), folder.join(DATA));
        let text = config_text(&data, registry, admin);
        std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        Ok(this)
    }

    /// Where its registry listens.
    pub fn registry(&self) -> SocketAddr {
        self.registry
    }

    fn config(&self) -> PathBuf {
        self.folder.join("router.toml")
    }

    /// Starts it and waits until it accepts connections. How it ended and what it said last, if it ended by
    /// itself before.
    ///
    /// # Errors
    /// When it does not begin or does not accept in time.
    pub async fn start(&mut self) -> anyhow::Result<Option<String>> {
        let mut command = Command::new(&self.binary);
        command.args(["router", "--config"]).arg(self.config());
        let log = self.folder.join("router.log");
        let mut process = Process::spawn(&self.ledger, "router-1", command, &log)?;
        let deadline = tokio::time::Instant::now() + START;
        loop {
            if let Some(status) = process.ended()? {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                let last = log.lines().next_back().unwrap_or_default();
                return Ok(Some(format!("{status}: {last}")));
            }
            if tokio::net::TcpSocket::new_v4()?.connect(self.registry).await.is_ok() {
                break;
            }
            if tokio::time::Instant::now() > deadline {
                bail!("the router did not listen within {START:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
        self.process = Some(process);
        Ok(None)
    }

    /// Kills it with SIGKILL and waits until it is gone. How it ended, if it had by itself before.
    ///
    /// # Errors
    /// When it does not end.
    pub fn kill(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let mut process = self.process.take().context("the router is not running")?;
        let by_itself = process.ended()?;
        process.kill().context("kill the router")?;
        Ok(by_itself)
    }
}

/// Snapshots and purges come often, so that restarts meet them.
fn config_text(data: &Path, registry: SocketAddr, admin: SocketAddr) -> String {
    format!(
        "[admin]\nlisten = \"{admin}\"\n\n\
         [store]\npath = {data:?}\n\n\
         [router]\nnode_id = {NODE}\nfound_alone = true\npeers_listen = \"127.0.0.1:0\"\n\
         registry_listen = \"{registry}\"\nsnapshot_log_entries = 300\n\
         log_keep_entries = 50\npurge_batch_entries = 20\n"
    )
}

/// An address nobody listens on, and that nobody else's outgoing connection takes while the node is down:
/// those come from 127.0.0.1, and each run has its own address in 127.0.0.0/8. Another listener that takes
/// it makes the node's start fail with a clear message, and the run with it.
#[expect(clippy::disallowed_methods, reason = "the harness is not the system under test")]
fn free_address() -> anyhow::Result<SocketAddr> {
    // A process id has 22 bits.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, high + 1, middle, low);
    Ok(TcpListener::bind((own, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Starts once and never again.
    const ONCE: &str = "#!/bin/sh
cd \"$(dirname \"$3\")\"
if [ -e started ]; then echo 'its log is corrupt'; exit 7; fi
touch started
exec sleep 600
";

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the harness is not the system under test")]
    async fn a_router_that_does_not_come_back_after_a_kill_is_no_failure_of_the_harness() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("once");
        std::fs::write(&binary, ONCE).unwrap();
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
        let ledger = Ledger::begin(&folder.path().join("ledgers")).unwrap();
        let mut router = RouterProcess::prepare(&binary, folder.path(), ledger).unwrap();
        // In its place, because it listens to no one.
        let listener = TcpListener::bind(router.registry()).unwrap();
        assert_eq!(router.start().await.unwrap(), None);
        while !folder.path().join("started").exists() {
            tokio::time::sleep(LOOK).await;
        }
        assert_eq!(router.kill().unwrap(), None);
        drop(listener);
        let said = router.start().await.unwrap().unwrap();
        assert!(said.contains("exit status: 7") && said.contains("its log is corrupt"), "{said}");
    }
}
