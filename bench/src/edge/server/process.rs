//! Process: one process of the system under load.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::edge::limits::STOP_TIMEOUT;

/// A process that was started here. Its drop kills it.
pub struct Process {
    /// What it is called.
    pub name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts this program again with other arguments. What it logs goes into a file of the folder, and
    /// nothing of this process's configuration reaches it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, arguments: &[&str], folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let mut command = Command::new(std::env::current_exe()?);
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("ORRERY_") && text != "ORRERY_LOG" {
                command.env_remove(&variable);
            }
        }
        let child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its process id; none once it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it prints. What nobody could read any more would end it: to be kept.
    ///
    /// # Panics
    /// When it was taken already.
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("what a process prints is taken once")
    }

    /// Says whether it still runs.
    ///
    /// # Errors
    /// When it ended by itself; with the end of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                bail!("{} ended by itself ({status}): {}", self.name, self.last_words())
            }
        }
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// When it does not end, or says that something went wrong.
    pub async fn stop(self) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // It may have ended by itself just now, which the wait below tells.
            let _ = kill_process(pid, Signal::TERM);
        }
        self.ended().await
    }

    /// Waits until it has ended by itself, but not for ever.
    ///
    /// # Errors
    /// As [`Process::stop`].
    pub async fn ended(mut self) -> anyhow::Result<()> {
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(ExitStatus::success) => Ok(()),
            Ok(status) => bail!("{} ended with {}: {}", self.name, status?, self.last_words()),
            Err(_) => {
                self.child.kill().await?;
                bail!("{} did not end within {STOP_TIMEOUT:?} and was killed", self.name)
            }
        }
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().last().unwrap_or("it said nothing").to_owned()
    }
}
