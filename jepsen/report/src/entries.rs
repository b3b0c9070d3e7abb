//! Entries: what routers kept of their shards' logs, as it lies beside a history, a line of JSON for each.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What routers kept of their shards' logs around the places that a run's violations point to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entries {
    /// How far each replica's log goes.
    pub logs: Vec<Log>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// Entries by shard and index. Where replicas differ each of their entries stands there.
    pub entries: Vec<Entry>,
    /// Places that were asked for beyond what is read.
    pub left_out: u64,
}

/// How far a replica's log goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Whose log.
    pub shard: u32,
    /// Who kept it.
    pub node: u64,
    /// Entries up to here were purged; a snapshot stands for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged: Option<u64>,
    /// The last entry, if it holds one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// What the replica knew to be committed when it last wrote that down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<u64>,
}

/// An entry of a shard's log, and who kept it so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose log.
    pub shard: u32,
    /// Its place in it.
    pub index: u64,
    /// The Raft term in which it was proposed; none where it is unreadable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// Who kept it so.
    pub nodes: Vec<u64>,
    /// Others keep another one in its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub differs: bool,
    /// What it says: the name of its kind with its fields, commands by their names with theirs.
    pub says: Value,
}

/// What could not be read of a router.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Of which one.
    pub node: u64,
    /// Why.
    pub why: String,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Log(Log),
    Unread(Unread),
    Entry(Entry),
    LeftOut(u64),
}

impl Entries {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes them, a line each.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        let logs = self.logs.iter().cloned().map(Line::Log);
        let unread = self.unread.iter().cloned().map(Line::Unread);
        let entries = self.entries.iter().cloned().map(Line::Entry);
        let left_out = (self.left_out > 0).then_some(Line::LeftOut(self.left_out));
        for line in logs.chain(unread).chain(entries).chain(left_out) {
            serde_json::to_writer(&mut to, &line)?;
            to.write_all(b"\n")?;
        }
        to.flush()
    }

    /// Reads them.
    ///
    /// # Errors
    /// When a line cannot be read, or is none of these: it is told which.
    pub fn read(from: impl BufRead) -> io::Result<Self> {
        let mut entries = Self::default();
        for (at, line) in from.lines().enumerate() {
            let named = |error| {
                let text = format!("line {}: {error}", at + 1);
                io::Error::new(io::ErrorKind::InvalidData, text)
            };
            match serde_json::from_str(&line?).map_err(named)? {
                Line::Log(log) => entries.logs.push(log),
                Line::Unread(unread) => entries.unread.push(unread),
                Line::Entry(entry) => entries.entries.push(entry),
                Line::LeftOut(places) => entries.left_out += places,
            }
        }
        Ok(entries)
    }

    /// The logs of a shard.
    pub(crate) fn logs_of(&self, shard: u32) -> impl Iterator<Item = &Log> {
        self.logs.iter().filter(move |log| log.shard == shard)
    }

    /// The entries of a shard at these places.
    pub(crate) fn between(
        &self,
        shard: u32,
        from: u64,
        until: u64,
    ) -> impl Iterator<Item = &Entry> {
        let is_there =
            move |entry: &&Entry| entry.shard == shard && (from..=until).contains(&entry.index);
        self.entries.iter().filter(is_there)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries() -> Entries {
        let entry = |nodes: &[u64]| Entry {
            shard: 1,
            index: 7,
            term: Some(2),
            nodes: nodes.to_vec(),
            differs: true,
            says: json!({"batch": {"commands": [{"bind": {"conn": nodes[0]}}]}}),
        };
        Entries {
            logs: vec![Log { shard: 1, node: 3, purged: Some(6), last: Some(9), committed: None }],
            unread: vec![Unread { node: 2, why: "its disk is gone".into() }],
            entries: vec![entry(&[1, 3]), entry(&[2])],
            left_out: 4,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut bytes = Vec::new();
        entries().write(&mut bytes).unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 5);
        assert_eq!(Entries::read(bytes.as_slice()).unwrap(), entries());
    }

    #[test]
    fn a_line_that_is_none_is_told() {
        let error = Entries::read("{\"left-out\":1}\n{\"entry\":{}}\n".as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("line 2: "), "{error}");
    }
}
