//! How long each log file was when the next one was begun, kept beside them.
//!
//! The engine takes an older file that ends after one of its writes for whole, however much of it went away.
//! Like [`super::synced`] this guards the log and is no part of it: it is written after a file was begun, and
//! a file it does not speak of yet is taken as it is.
//!
//! ```text
//! "ORRYENDS" | for each file its queue: u8 (0 append, 1 rewrite), number: u64, bytes: u64 | crc32: u32
//! ```
//!
//! All numbers are big-endian.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::durable;
use super::synced::{LogFile, Queue};
use crate::error::StoreError;

const MAGIC: &[u8; 8] = b"ORRYENDS";

/// How many bytes each file that is no longer written has.
pub(super) type Ends = BTreeMap<LogFile, u64>;

/// The file that holds [`Ends`].
#[derive(Debug)]
pub(super) struct EndsFile {
    path: PathBuf,
    said: Ends,
}

impl EndsFile {
    /// What the file says. One that is missing or damaged says nothing.
    pub(super) fn read(path: &Path) -> Result<Ends, StoreError> {
        let bytes = durable::read_if_there(path)?;
        let ends = bytes.as_deref().and_then(decode);
        if bytes.is_some() && ends.is_none() {
            tracing::warn!(?path, "unreadable, so the log's older files are taken as they are");
        }
        Ok(ends.unwrap_or_default())
    }

    /// Puts a file in place that says `ends`.
    pub(super) fn create(path: &Path, ends: Ends) -> Result<Self, StoreError> {
        durable::replace_file(path, &encode(&ends))?;
        Ok(Self { path: path.into(), said: ends })
    }

    /// Says it anew where it changed, durably.
    pub(super) fn say(&mut self, ends: Ends) -> Result<(), StoreError> {
        if self.said != ends {
            *self = Self::create(&self.path, ends)?;
        }
        Ok(())
    }
}

/// Compares the files in a folder with what is known of their ends. Files older than all that are there were
/// given back.
pub(super) fn check(path: &Path, files: &[(LogFile, u64)], ends: &Ends) -> Result<(), StoreError> {
    for (&LogFile { queue, number }, &end) in ends {
        let corrupt = |words| {
            let detail = format!("{queue:?} file {number} {words}; it ended at byte {end}");
            Err(StoreError::corrupt(path, detail))
        };
        let mut of_queue = files.iter().filter(|(file, _)| file.queue == queue);
        match of_queue.clone().find(|(file, _)| file.number == number) {
            Some((_, bytes)) if *bytes < end => return corrupt(format!("has {bytes} bytes")),
            None if of_queue.any(|(file, _)| file.number < number) => {
                return corrupt("is missing".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn encode(ends: &Ends) -> Vec<u8> {
    let mut bytes = Vec::from(MAGIC);
    for (file, end) in ends {
        bytes.push(match file.queue {
            Queue::Append => 0,
            Queue::Rewrite => 1,
        });
        bytes.extend_from_slice(&file.number.to_be_bytes());
        bytes.extend_from_slice(&end.to_be_bytes());
    }
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Option<Ends> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let (entries, []) = body.strip_prefix(MAGIC)?.as_chunks::<17>() else { return None };
    let entry = |entry: &[u8; 17]| {
        let (&queue, numbers) = entry.split_first()?;
        let queue = match queue {
            0 => Queue::Append,
            1 => Queue::Rewrite,
            _ => return None,
        };
        let (number, end) = numbers.split_first_chunk()?;
        let file = LogFile { queue, number: u64::from_be_bytes(*number) };
        Some((file, u64::from_be_bytes(end.try_into().ok()?)))
    };
    entries.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPEND: [LogFile; 3] = [append(2), append(3), append(4)];
    const REWRITE: LogFile = LogFile { queue: Queue::Rewrite, number: 1 };

    const fn append(number: u64) -> LogFile {
        LogFile { queue: Queue::Append, number }
    }

    fn ends() -> Ends {
        Ends::from([(APPEND[0], 300), (APPEND[1], 0x0102), (REWRITE, 7)])
    }

    #[test]
    fn what_was_said_comes_back_and_a_damaged_file_says_nothing() {
        let good = encode(&ends());
        assert_eq!(decode(&good), Some(ends()));
        assert_eq!(decode(&encode(&Ends::new())), Some(Ends::new()));
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            assert_eq!(decode(&bytes), None, "byte {at}");
            assert_eq!(decode(&good[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn the_layout_on_disk_stays() {
        let bytes = encode(&Ends::from([(REWRITE, 0x0203)]));
        let mut expected = b"ORRYENDS\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x02\x03".to_vec();
        expected.extend_from_slice(&[0xa0, 0x21, 0x09, 0x70]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_file_that_is_shorter_or_missing_between_others_is_noticed() {
        let sound = |files: &[(LogFile, u64)]| check(Path::new("log"), files, &ends()).is_ok();
        assert!(sound(&[(APPEND[0], 300), (APPEND[1], 0x0102), (APPEND[2], 5), (REWRITE, 7)]));
        assert!(sound(&[(APPEND[1], 0x0102), (APPEND[2], 5), (REWRITE, 7)]), "given back");
        assert!(sound(&[(APPEND[2], 5)]), "given back");
        assert!(!sound(&[(APPEND[0], 299), (APPEND[1], 0x0102), (APPEND[2], 5)]));
        assert!(!sound(&[(APPEND[0], 300), (APPEND[2], 5)]));
        assert!(!sound(&[(APPEND[2], 5), (REWRITE, 6)]));
    }
}
