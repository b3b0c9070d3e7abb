//! Station: one machine with the node that runs on it, over all its starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

use anyhow::Context as _;
use machine::{Disk, Injected, Injection, Ledger, Node, Process, WallClock};
use tokio::time::Instant;

use super::config_text::{self, Known, Tuning};
use super::topology::{Place, Role};

/// Lines of a node's log that are told when it ends.
const LAST_LINES: usize = 6;

/// Most bytes at a log's end in which they are looked for.
const TAIL_BYTES: usize = 8 << 10;

/// Why a node may end by itself, and until when.
#[derive(Debug)]
struct Excuse {
    /// The fault that explains it.
    why: String,
    /// It explains nothing from then on; none: it always does.
    until: Option<Instant>,
}

/// All that may explain it. Faults overlap: what one leaves behind goes on explaining when another is over.
#[derive(Debug, Default)]
pub(crate) struct Excuses(Vec<Excuse>);

impl Excuses {
    /// Lets a fault explain it until it is said to be over.
    pub(crate) fn add(&mut self, why: &str) {
        self.0.retain(|excuse| excuse.why != why);
        self.0.push(Excuse { why: why.to_owned(), until: None });
    }

    /// Lets a fault explain nothing from then on.
    pub(crate) fn end(&mut self, why: &str, until: Instant) {
        for excuse in self.0.iter_mut().filter(|excuse| excuse.why == why) {
            excuse.until = Some(until);
        }
    }

    /// What explains it now.
    fn holding(&self, now: Instant) -> Option<&str> {
        let holds = |excuse: &&Excuse| excuse.until.is_none_or(|until| now < until);
        self.0.iter().find(holds).map(|excuse| excuse.why.as_str())
    }
}

/// One machine and its node.
pub(crate) struct Station {
    // What is injected is let go first, then the process ends, and nobody holds the disk any more when it goes.
    injected: Option<Injected>,
    process: Option<Process>,
    pub(crate) place: Place,
    /// The router's number in the cluster. On an empty disk it must be one that was never used.
    pub(crate) id: u64,
    pub(crate) tuning: Tuning,
    pub(crate) disk: Option<Disk>,
    /// Down on purpose: nothing starts it but who put it down.
    pub(crate) held: bool,
    pub(crate) excuses: Excuses,
    /// Its node was replaced: once it ends it stays down.
    pub(crate) retires: bool,
    /// How often it was started.
    pub(crate) starts: u32,
    ledger: Arc<Ledger>,
    node: Node,
    clock: Option<WallClock>,
    clock_off_ms: i64,
    binary: PathBuf,
    folder: PathBuf,
    known: Known,
}

/// What a station is made of.
pub(crate) struct Parts {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) node: Node,
    pub(crate) place: Place,
    pub(crate) disk: Option<Disk>,
    pub(crate) clock: Option<WallClock>,
    pub(crate) binary: PathBuf,
    /// Where its configuration and its log go.
    pub(crate) folder: PathBuf,
    pub(crate) tuning: Tuning,
    pub(crate) id: u64,
}

impl Station {
    /// A machine on which nothing runs yet.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { ledger, node, place, disk, clock, binary, folder, tuning, id } = parts;
        Self {
            injected: None,
            process: None,
            place,
            id,
            tuning,
            disk,
            held: true,
            excuses: Excuses::default(),
            retires: false,
            starts: 0,
            ledger,
            node,
            clock,
            clock_off_ms: 0,
            binary,
            folder,
            known: Known::default(),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.place.name
    }

    /// Says whom it must know. Holds from its next start.
    pub(crate) fn know(&mut self, known: Known) {
        self.known = known;
    }

    /// Starts its node, with what its configuration says now.
    ///
    /// # Errors
    /// When a file cannot be written or the process not be begun.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            self.held = false;
            return Ok(());
        }
        let data = self.data().unwrap_or_default();
        let text = config_text::text(&self.place, self.id, &data, &self.known, &self.tuning);
        let config = self.folder.join(format!("{}.toml", self.name()));
        fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        let mut command = self.node.command(&self.binary);
        command.arg(self.place.role.word()).arg("--config").arg(&config);
        if let Some(clock) = &self.clock {
            clock.apply(&mut command);
        }
        let process = Process::spawn(&self.ledger, self.name(), command, &self.log())
            .with_context(|| format!("start {}", self.name()))?;
        self.process = Some(process);
        self.starts += 1;
        self.held = false;
        Ok(())
    }

    /// Where its node keeps what it has on its disk, if it has one.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        self.disk.as_ref().map(|disk| disk.path().join("data"))
    }

    /// Where what it says goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name()))
    }

    /// Whether its process is there.
    pub(crate) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Its process, where it has one.
    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Ends its node with SIGKILL. It stays down until it is started.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.held = true;
        self.injected = None;
        if let Some(mut process) = self.process.take() {
            process.kill().with_context(|| format!("kill {}", self.name()))?;
        }
        Ok(())
    }

    /// Ends its node with SIGKILL, and has its system forget all connections. It stays down until it is started.
    ///
    /// # Errors
    /// When the process cannot be killed, or the system does not forget.
    pub(crate) fn lose_power(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        Ok(self.node.forget_connections()?)
    }

    /// Makes its system calls fail, or be slow, until it is let go or ends.
    ///
    /// # Errors
    /// When it does not run, or cannot be traced.
    pub(crate) fn inject(&mut self, injection: Injection) -> anyhow::Result<()> {
        let process = self.process.as_ref().with_context(|| format!("{} is down", self.name()))?;
        self.injected = Some(process.inject(injection).context("trace it")?);
        Ok(())
    }

    /// Lets its system calls be what they are.
    pub(crate) fn let_go(&mut self) {
        self.injected = None;
    }

    /// Lets its wall clock jump.
    ///
    /// # Errors
    /// When its clock cannot be set.
    pub(crate) fn jump(&mut self, by_ms: i64) -> anyhow::Result<()> {
        let clock = self.clock.as_ref().context("its clock cannot be set: no libfaketime")?;
        self.clock_off_ms = self.clock_off_ms.saturating_add(by_ms);
        Ok(clock.set(self.clock_off_ms)?)
    }

    /// How it ended, if it has since the last look.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(process) = &mut self.process else { return Ok(None) };
        let ended = process.ended()?;
        if ended.is_some() {
            self.injected = None;
            self.process = None;
        }
        Ok(ended)
    }

    /// Why it may have ended by itself now.
    pub(crate) fn excused(&self) -> Option<&str> {
        self.excuses.holding(Instant::now())
    }

    /// What it said last.
    pub(crate) fn last_lines(&self) -> String {
        last_lines(&self.log())
    }
}

/// The last lines of a file; empty where there is none.
fn last_lines(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let tail = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
    let text = String::from_utf8_lossy(tail);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// Whether a role keeps anything on a disk.
pub(crate) fn has_disk(role: Role) -> bool {
    role == Role::Router
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_fault_that_is_over_ends_no_other_excuse() {
        let now = Instant::now();
        let mut excuses = Excuses::default();
        assert_eq!(excuses.holding(now), None);
        excuses.add("its files are damaged");
        excuses.add("its disk is full");
        excuses.end("its disk is full", now);
        assert_eq!(excuses.holding(now), Some("its files are damaged"));
        let soon = now + Duration::from_secs(1);
        excuses.end("its files are damaged", soon);
        assert!(excuses.holding(now).is_some() && excuses.holding(soon).is_none());
        excuses.add("its disk is full");
        assert_eq!(excuses.holding(soon), Some("its disk is full"));
    }

    #[test]
    fn of_a_long_log_the_end_is_told() {
        let path = std::env::temp_dir().join(format!("jepsen-lines-{}", std::process::id()));
        let text: Vec<String> = (0..2_000).map(|line| format!("line {line}")).collect();
        fs::write(&path, text.join("\n")).unwrap();
        let told = last_lines(&path);
        fs::remove_file(&path).unwrap();
        assert_eq!(told.lines().count(), LAST_LINES);
        assert!(told.ends_with("line 1999"), "{told}");
        assert_eq!(last_lines(&path), "", "a file that is not there");
    }
}
