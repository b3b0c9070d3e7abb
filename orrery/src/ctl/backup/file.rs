//! File: one shard's records on the disk, each after its length, with one checksum over everything.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// How every file begins: what it is, and the version of its format.
const MAGIC: [u8; 8] = *b"ORRBAK\x00\x01";

/// Largest record, in bytes; a longer length is damage.
const RECORD_BYTES_MAX: u32 = 64 << 20;

/// Writes a file that was not there.
pub(super) struct FileWriter {
    out: BufWriter<File>,
    sum: crc32fast::Hasher,
    bytes: u64,
}

impl FileWriter {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let out = BufWriter::new(File::create_new(path)?);
        let mut writer = Self { out, sum: crc32fast::Hasher::new(), bytes: 0 };
        writer.put(&MAGIC)?;
        Ok(writer)
    }

    pub(super) fn record(&mut self, record: &[u8]) -> io::Result<()> {
        let length = u32::try_from(record.len()).map_err(io::Error::other)?;
        self.put(&length.to_le_bytes())?;
        self.put(record)
    }

    /// Makes it durable; returns its length in bytes and its checksum.
    pub(super) fn finish(self) -> io::Result<(u64, u32)> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok((self.bytes, self.sum.finalize()))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// Reads a file's records.
pub(super) struct FileReader {
    from: BufReader<File>,
    left: u64,
    sum: crc32fast::Hasher,
}

impl FileReader {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let left = file.metadata()?.len();
        let mut reader = Self { from: BufReader::new(file), left, sum: crc32fast::Hasher::new() };
        let mut magic = [0; MAGIC.len()];
        reader.take(&mut magic)?;
        if magic != MAGIC {
            return Err(damaged("it is not a shard of a backup, or of another format"));
        }
        Ok(reader)
    }

    /// The next record; `None` at the end.
    pub(super) fn record(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.take(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > RECORD_BYTES_MAX || u64::from(length) > self.left {
            return Err(damaged("a record is longer than what is left of the file"));
        }
        let mut record = vec![0; length as usize];
        self.take(&mut record)?;
        Ok(Some(record))
    }

    /// The checksum of all that was read.
    pub(super) fn crc32(self) -> u32 {
        self.sum.finalize()
    }

    fn take(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.from.read_exact(bytes)?;
        self.sum.update(bytes);
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Ok(())
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
