//! How much of the log files was made durable, kept beside them.
//!
//! After a crash the engine takes everything from the first unreadable byte of its newest file for a write
//! that never finished, and cuts it off. That is right for the one write in flight, and silent loss for
//! anything before it. These lengths tell the two apart: they are written after each sync (not synced
//! themselves: after a power cut they may say less, never too much), and a cut below them is damage.
//!
//! ```text
//! "ORRYSYNC" | append file, its bytes, rewrite file, its bytes: u64 BE each | crc32: u32 BE
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::durable;
use crate::error::StoreError;

const MAGIC: &[u8; 8] = b"ORRYSYNC";

/// The engine's two kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Queue {
    /// What was written.
    Append,
    /// What was still needed of files that were given back.
    Rewrite,
}

/// A log file: its kind and its number, which only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LogFile {
    pub(super) queue: Queue,
    pub(super) number: u64,
}

impl LogFile {
    /// Reads a file's name; `None` for what is no log file in use.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let (number, kind) = path.file_name()?.to_str()?.split_once('.')?;
        let queue = match kind {
            "raftlog" => Queue::Append,
            "rewrite" => Queue::Rewrite,
            _ => return None,
        };
        Some(Self { queue, number: number.parse().ok()? })
    }
}

/// The newest synced file of a queue, and how many of its bytes are durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) file: u64,
    pub(super) bytes: u64,
}

impl Reach {
    fn raise(&mut self, file: u64, bytes: u64) {
        if (file, bytes) > (self.file, self.bytes) {
            *self = Self { file, bytes };
        }
    }
}

/// How far each queue is durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Synced {
    append: Reach,
    rewrite: Reach,
}

impl Synced {
    pub(super) fn reach(&self, queue: Queue) -> Reach {
        match queue {
            Queue::Append => self.append,
            Queue::Rewrite => self.rewrite,
        }
    }

    pub(super) fn raise(&mut self, file: LogFile, bytes: u64) {
        match file.queue {
            Queue::Append => self.append.raise(file.number, bytes),
            Queue::Rewrite => self.rewrite.raise(file.number, bytes),
        }
    }

    fn encode(&self) -> [u8; 44] {
        let mut bytes = [0; 44];
        bytes[..8].copy_from_slice(MAGIC);
        let numbers = [self.append.file, self.append.bytes, self.rewrite.file, self.rewrite.bytes];
        for (slot, number) in bytes[8..40].chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_be_bytes());
        }
        let checksum = crc32fast::hash(&bytes[..40]);
        bytes[40..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = bytes.get(at..)?.first_chunk::<8>()?;
            Some(u64::from_be_bytes(*bytes))
        };
        let synced = Self {
            append: Reach { file: number(8)?, bytes: number(16)? },
            rewrite: Reach { file: number(24)?, bytes: number(32)? },
        };
        (bytes == synced.encode()).then_some(synced)
    }
}

/// The file that holds a [`Synced`].
#[derive(Debug)]
pub(super) struct SyncedFile {
    path: PathBuf,
    file: File,
}

impl SyncedFile {
    /// What the file says. One that is missing or damaged says nothing: it guards the log and is no part
    /// of it.
    pub(super) fn read(path: &Path) -> Result<Synced, StoreError> {
        let bytes = durable::read_if_there(path)?;
        let synced = bytes.as_deref().and_then(Synced::decode);
        if bytes.is_some() && synced.is_none() {
            tracing::warn!(?path, "unreadable, so the log's end is not compared with it");
        }
        Ok(synced.unwrap_or_default())
    }

    /// Puts a file in place that says `synced`, durably, and keeps it open.
    pub(super) fn create(path: &Path, synced: Synced) -> Result<Self, StoreError> {
        durable::replace_file(path, &synced.encode())?;
        let file = File::options().write(true).open(path).map_err(StoreError::io("open", path))?;
        Ok(Self { path: path.into(), file })
    }

    /// Says it anew, without waiting for the disk.
    pub(super) fn note(&self, synced: Synced) -> Result<(), StoreError> {
        self.file.write_all_at(&synced.encode(), 0).map_err(StoreError::io("write", &self.path))
    }

    /// Makes the last note durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(StoreError::io("sync", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_comes_back_and_a_damaged_note_says_nothing() {
        let mut synced = Synced::default();
        synced.raise(LogFile { queue: Queue::Append, number: 7 }, 4_096);
        synced.raise(LogFile { queue: Queue::Append, number: 6 }, 9_999);
        synced.raise(LogFile { queue: Queue::Rewrite, number: 2 }, 77);
        assert_eq!(synced.reach(Queue::Append), Reach { file: 7, bytes: 4_096 });
        let good = synced.encode();
        assert_eq!(Synced::decode(&good), Some(synced));
        for at in 0..good.len() {
            let mut bytes = good;
            bytes[at] ^= 0x10;
            assert_eq!(Synced::decode(&bytes), None, "byte {at}");
            assert_eq!(Synced::decode(&good[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn only_log_files_in_use_have_a_number() {
        let of = |name: &str| LogFile::of(Path::new(name));
        assert_eq!(
            of("log/0000000000000012.raftlog"),
            Some(LogFile { queue: Queue::Append, number: 12 })
        );
        assert_eq!(
            of("0000000000000003.rewrite"),
            Some(LogFile { queue: Queue::Rewrite, number: 3 })
        );
        assert_eq!(of("0000000000000003.raftlog.reserved"), None);
        assert_eq!(of("LOCK"), None);
    }
}
