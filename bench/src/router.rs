//! Router: one router node as a process of its own that can be killed at any moment.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use orrery_host::Host;
use orrery_model::NodeId;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::admin;
use crate::limits::STOP_TIMEOUT;

/// Ports that are tried: below those that the kernel takes for outgoing connections, because a node must
/// get the same ones again after its death.
const PORTS: std::ops::Range<u64> = 20_000..32_000;

/// What the kernel counts the blocks of a file in.
const BLOCK_BYTES: u64 = 512;

/// A router node. Dropping it kills it.
pub struct Router {
    binary: PathBuf,
    folder: PathBuf,
    number: usize,
    /// Where its registry service listens.
    pub registry: String,
    peers: String,
    admin: String,
    child: Option<Child>,
}

impl Router {
    /// Prepares a node whose data, configuration and log live in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be made or no port is free.
    pub fn prepare(
        host: &Host,
        binary: &Path,
        folder: PathBuf,
        number: usize,
    ) -> anyhow::Result<Self> {
        let [registry, peers, admin] = free_ports(host)?.map(|port| format!("127.0.0.1:{port}"));
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let router =
            Self { binary: binary.to_owned(), folder, number, registry, peers, admin, child: None };
        router.configure("")?;
        Ok(router)
    }

    /// Writes its configuration: defaults but for addresses, folders and these lines of the section
    /// `router`. It is read at the next start.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, settings: &str) -> anyhow::Result<()> {
        let Self { folder, number, registry, peers, admin, .. } = self;
        let data = folder.join("data");
        let config = format!(
            "[admin]\nlisten = \"{admin}\"\n\n[store]\npath = {data:?}\n\n[router]\n\
             node_id = {number}\nregistry_listen = \"{registry}\"\npeers_listen = \"{peers}\"\n\
             {settings}\n"
        );
        fs::write(folder.join("router.toml"), config).context("write a configuration")
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        let child = Command::new(&self.binary)
            .args(["router", "--config"])
            .arg(self.folder.join("router.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", self.binary.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When it had ended by itself before.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.check()?;
        let mut child = self.child.take().context("the router is not running")?;
        child.kill().await.context("kill a router")
    }

    /// Ends it the way an operator does and waits until it is gone.
    ///
    /// # Errors
    /// When it had ended by itself before, or does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.check()?;
        let mut child = self.child.take().context("the router is not running")?;
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        kill_process(pid.context("the router has ended")?, Signal::TERM)
            .context("stop a router")?;
        timeout(STOP_TIMEOUT, child.wait()).await.context("a router does not end")??;
        Ok(())
    }

    /// Its number in the cluster.
    pub fn node(&self) -> NodeId {
        NodeId(self.number as u64)
    }

    /// Its process, where it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// Whether it says of itself that it is ready.
    pub async fn is_ready(&self, host: &Host) -> bool {
        admin::get(host, &self.admin, "/readyz").await.is_ok_and(|answer| answer.status == 200)
    }

    /// Its metrics.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self, host: &Host) -> anyhow::Result<String> {
        Ok(admin::get(host, &self.admin, "/metrics").await?.body)
    }

    /// Bytes of its files that are on the disk.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn disk_bytes(&self) -> anyhow::Result<u64> {
        let mut folders = vec![self.folder.join("data")];
        let mut blocks = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                // One that was just removed takes no room.
                let Ok(metadata) = entry.metadata() else { continue };
                match metadata.is_dir() {
                    true => folders.push(entry.path()),
                    false => blocks += metadata.blocks(),
                }
            }
        }
        Ok(blocks * BLOCK_BYTES)
    }

    /// Says whether it still runs.
    ///
    /// # Errors
    /// When it ended by itself; with the end of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else { bail!("the router is not running") };
        match child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it said nothing");
                bail!("the router at {} ended by itself ({status}): {last}", self.registry)
            }
        }
    }
}

/// Ports that nobody listens on.
#[expect(clippy::disallowed_methods, reason = "a look at which ports are free, not a service")]
fn free_ports<const N: usize>(host: &Host) -> anyhow::Result<[u16; N]> {
    // All are held until the last is found, so that they differ.
    let mut held = Vec::new();
    for _ in 0..100 * N {
        let port = PORTS.start + host.random.below(PORTS.end - PORTS.start);
        let port = u16::try_from(port).expect("the range is below 65536");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push((port, listener));
        }
        if let Ok(held) = <&[_; N]>::try_from(held.as_slice()) {
            return Ok(held.each_ref().map(|(port, _)| *port));
        }
    }
    bail!("no ports are free")
}
