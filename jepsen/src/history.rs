//! History: what every client saw, as JSON lines with Jepsen's field names.

use std::io::{BufRead, Write};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// What an event says of its operation; SEMANTICS.md has the exact meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The operation begins.
    Invoke,
    /// It certainly happened.
    Ok,
    /// It certainly did not and never will.
    Fail,
    /// Nobody knows.
    Info,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "lowercase")]
pub enum Op {
    /// Binds a connection of the process's comet to a user; `seq` is known when it ended ok.
    Bind {
        /// The user.
        key: String,
        /// The comet's own number for the connection.
        conn: u64,
        /// What the registry answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    /// Removes that connection.
    Unbind {
        /// The user.
        key: String,
        /// The connection.
        conn: u64,
    },
    /// Reads all connections of a user, linearizable.
    Locate {
        /// The user.
        key: String,
        /// (comet, conn, seq) of each; known when it ended ok.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        routes: Option<Vec<(String, u64, u64)>>,
    },
    /// A fault; `process` is the nemesis.
    Fault {
        /// What was done.
        value: String,
    },
}

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the history.
    pub index: u64,
    /// Nanoseconds since the run began, monotonic.
    pub time: u64,
    /// Which logical process; one has at most one operation at a time. The nemesis is -1.
    pub process: i64,
    /// What it says of the operation.
    #[serde(rename = "type")]
    pub phase: Phase,
    /// The operation.
    #[serde(flatten)]
    pub op: Op,
    /// Why it failed or is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The nemesis's process number.
pub const NEMESIS: i64 = -1;

/// Records events of concurrent processes in one order.
pub struct Recorder {
    start: tokio::time::Instant,
    events: parking_lot::Mutex<Vec<Event>>,
}

impl Recorder {
    /// An empty history that begins now.
    pub fn new() -> Self {
        Self { start: tokio::time::Instant::now(), events: parking_lot::Mutex::default() }
    }

    /// Adds an event. Time and place are given here, so that they agree.
    pub fn record(&self, process: i64, phase: Phase, op: Op, error: Option<String>) {
        let mut events = self.events.lock();
        let time = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let index = events.len() as u64;
        events.push(Event { index, time, process, phase, op, error });
    }

    /// The history so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a history as JSON lines.
///
/// # Errors
/// When the writer refuses.
pub fn write(events: &[Event], mut out: impl Write) -> anyhow::Result<()> {
    for event in events {
        serde_json::to_writer(&mut out, event)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Reads a history of JSON lines.
///
/// # Errors
/// When a line is not an event (naming it), or the file was cut in the middle of one.
pub fn read(input: impl BufRead) -> anyhow::Result<Vec<Event>> {
    let mut events: Vec<Event> = Vec::new();
    for (number, line) in input.lines().enumerate() {
        let line = line.with_context(|| format!("line {}", number + 1))?;
        let event: Event = serde_json::from_str(&line)
            .with_context(|| format!("line {} is not a whole event", number + 1))?;
        if event.index != number as u64 {
            bail!("line {} has index {}: the history has a gap", number + 1, event.index);
        }
        events.push(event);
    }
    Ok(events)
}
