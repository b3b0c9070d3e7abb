//! One snapshot file: its format, written and read as a stream.
//!
//! ```text
//! "ORRYSNAP" | format: u32 | shard: u32 | meta's length: u32 | meta | crc32 of all before: u32
//! a record:   its length: u32 | crc32 of its bytes: u32 | its bytes
//! the end:    u32::MAX | number of records: u64 | crc32 of all before: u32
//! ```
//!
//! All numbers are big-endian. Nothing follows the end.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use crc32fast::Hasher;
use orrery_model::ShardId;

use crate::error::StoreError;
use crate::limits::{
    SNAPSHOT_BUFFER_BYTES, SNAPSHOT_META_BYTES_MAX, SNAPSHOT_RECORD_BYTES_MAX, SNAPSHOT_SYNC_BYTES,
};
use crate::store::SnapshotReader;

const MAGIC: &[u8; 8] = b"ORRYSNAP";

/// The newest format of a snapshot file that this version reads, and the one it writes.
pub const FORMAT: u32 = 1;

/// Marks the end in place of a record's length.
const END: u32 = u32::MAX;

/// How long a finished file is, and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) bytes: u64,
    pub(super) checksum: u32,
}

impl Seal {
    /// What a file's end says of it, unverified.
    pub(super) fn claimed(path: &Path) -> Result<Self, StoreError> {
        let read = || {
            let mut file = File::open(path)?;
            let mut checksum = [0; 4];
            let bytes = file.seek(io::SeekFrom::End(0))?;
            if bytes >= 4 {
                file.seek(io::SeekFrom::End(-4))?;
                file.read_exact(&mut checksum)?;
            }
            Ok(Self { bytes, checksum: u32::from_be_bytes(checksum) })
        };
        read().map_err(StoreError::io("read", path))
    }
}

/// Writes a snapshot file.
#[derive(Debug)]
pub(super) struct FileWriter {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Hasher,
    records: u64,
    bytes: u64,
    synced: u64,
}

impl FileWriter {
    pub(super) fn create(path: &Path, shard: ShardId, meta: &[u8]) -> Result<Self, StoreError> {
        let file = File::create_new(path).map_err(StoreError::io("make", path))?;
        let mut writer = Self {
            path: path.into(),
            file: BufWriter::with_capacity(SNAPSHOT_BUFFER_BYTES, file),
            hasher: Hasher::new(),
            records: 0,
            bytes: 0,
            synced: 0,
        };
        let meta_length = writer.length(meta, SNAPSHOT_META_BYTES_MAX)?;
        let head = [FORMAT.to_be_bytes(), shard.0.to_be_bytes(), meta_length];
        writer.put(&[MAGIC, head.as_flattened(), meta])?;
        let checksum = writer.hasher.clone().finalize();
        writer.put(&[&checksum.to_be_bytes()])?;
        Ok(writer)
    }

    pub(super) fn record(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let length = self.length(bytes, SNAPSHOT_RECORD_BYTES_MAX)?;
        self.put(&[&length, &crc32fast::hash(bytes).to_be_bytes(), bytes])?;
        self.records += 1;
        if self.bytes - self.synced >= SNAPSHOT_SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    /// Ends the file and makes what it holds durable.
    pub(super) fn finish(mut self) -> Result<Seal, StoreError> {
        self.put(&[&END.to_be_bytes(), &self.records.to_be_bytes()])?;
        let checksum = self.hasher.clone().finalize();
        self.put(&[&checksum.to_be_bytes()])?;
        self.sync()?;
        Ok(Seal { bytes: self.bytes, checksum })
    }

    fn put(&mut self, parts: &[&[u8]]) -> Result<(), StoreError> {
        for part in parts {
            self.hasher.update(part);
            self.bytes += part.len() as u64;
            self.file.write_all(part).map_err(StoreError::io("write", &self.path))?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_data())
            .map_err(StoreError::io("sync", &self.path))?;
        self.synced = self.bytes;
        Ok(())
    }

    fn length(&self, bytes: &[u8], max: usize) -> Result<[u8; 4], StoreError> {
        if bytes.len() > max {
            let words = format!("{} bytes where {max} are the most", bytes.len());
            let source = io::Error::new(ErrorKind::InvalidInput, words);
            return Err(StoreError::io("write", &self.path)(source));
        }
        Ok((bytes.len() as u32).to_be_bytes())
    }
}

/// Reads a snapshot file that was verified when it was opened.
#[derive(Debug)]
pub(super) struct FileReader {
    path: PathBuf,
    file: BufReader<File>,
    meta: Bytes,
    /// What is left of the records and their frames.
    left: u64,
    records: u64,
}

impl FileReader {
    /// Takes a file of `shard`, reading all of it once to verify its checksum.
    pub(super) fn open(
        path: &Path,
        file: File,
        shard: ShardId,
        seal: Seal,
    ) -> Result<Self, StoreError> {
        let mut file = BufReader::with_capacity(SNAPSHOT_BUFFER_BYTES, file);
        if verify(path, &mut file)? != seal {
            return Err(StoreError::corrupt(path, "it is not the file that was catalogued"));
        }
        let mut reader = Self {
            path: path.into(),
            file,
            meta: Bytes::new(),
            left: seal.bytes.saturating_sub(4),
            records: 0,
        };
        reader.head(shard)?;
        Ok(reader)
    }

    fn head(&mut self, shard: ShardId) -> Result<(), StoreError> {
        let [magic @ .., f0, f1, f2, f3] = self.array::<12>()?;
        if magic != *MAGIC {
            return Err(self.corrupt("not a snapshot"));
        }
        match u32::from_be_bytes([f0, f1, f2, f3]) {
            FORMAT => {}
            0 => return Err(self.corrupt("its format was never written")),
            found => {
                return Err(StoreError::TooNew { path: self.path.clone(), found, newest: FORMAT });
            }
        }
        let found = u32::from_be_bytes(self.array()?);
        if found != shard.0 {
            return Err(self.corrupt(&format!("it is of shard {found}, not of {shard}")));
        }
        let length = u32::from_be_bytes(self.array()?);
        self.meta = self.bytes(length, SNAPSHOT_META_BYTES_MAX)?;
        // Covered by the whole file's checksum; it serves who reads only the head.
        self.array::<4>()?;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: u32, max: usize) -> Result<Bytes, StoreError> {
        if length as usize > max || u64::from(length) > self.left {
            return Err(self.corrupt(&format!("a length of {length} bytes cannot be")));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(bytes.into())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| self.corrupt("it ends in the middle"))?;
        self.file.read_exact(bytes).map_err(StoreError::io("read", &self.path))
    }

    fn corrupt(&self, detail: &str) -> StoreError {
        StoreError::corrupt(&self.path, detail)
    }
}

impl SnapshotReader for FileReader {
    fn meta(&self) -> &Bytes {
        &self.meta
    }

    fn next_record(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.left == 0 {
            return Ok(None);
        }
        let length = u32::from_be_bytes(self.array()?);
        if length == END {
            let count = u64::from_be_bytes(self.array()?);
            if count != self.records || self.left != 0 {
                return Err(self.corrupt("its end does not fit its records"));
            }
            return Ok(None);
        }
        let checksum = u32::from_be_bytes(self.array()?);
        let bytes = self.bytes(length, SNAPSHOT_RECORD_BYTES_MAX)?;
        if crc32fast::hash(&bytes) != checksum {
            return Err(self.corrupt(&format!("the checksum of record {} is wrong", self.records)));
        }
        self.records += 1;
        Ok(Some(bytes))
    }
}

/// Reads a whole file, compares it with the checksum at its end, and goes back to its beginning.
fn verify(path: &Path, file: &mut BufReader<File>) -> Result<Seal, StoreError> {
    let bytes = file.get_ref().metadata().map_err(StoreError::io("look at", path))?.len();
    let mut left = bytes
        .checked_sub(4)
        .ok_or_else(|| StoreError::corrupt(path, format!("it has only {bytes} bytes")))?;
    let mut hasher = Hasher::new();
    let mut read = || {
        let mut buffer = vec![0; SNAPSHOT_BUFFER_BYTES];
        while left > 0 {
            let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.read_exact(&mut buffer[..count])?;
            hasher.update(&buffer[..count]);
            left -= count as u64;
        }
        let mut checksum = [0; 4];
        file.read_exact(&mut checksum)?;
        file.rewind()?;
        Ok(u32::from_be_bytes(checksum))
    };
    let checksum = read().map_err(StoreError::io("read", path))?;
    if hasher.finalize() != checksum {
        return Err(StoreError::corrupt(path, "its checksum is wrong"));
    }
    Ok(Seal { bytes, checksum })
}
