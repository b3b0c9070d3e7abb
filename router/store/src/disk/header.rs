//! The file that says whose directory this is and in which format.
//!
//! ```text
//! "ORRYHEAD" | format: u32 | node: u64 | what follows, by format | crc32 of all before: u32
//! format 1:  shards: u32 | cluster id
//! format 2:  state: u8 | instance's length: u32 | instance | what follows, by state
//!     blank (0):   nothing
//!     member (1):  shards: u32 | cluster id's length: u32 | cluster id | founding
//! ```
//!
//! All numbers are big-endian. Magic, format and the checksum at the end stay where they are in every later
//! format, so that an older version can tell a newer directory from a damaged one.

use std::path::Path;

use bytes::Bytes;
use orrery_model::NodeId;

use crate::error::StoreError;
use crate::limits::{CLUSTER_ID_BYTES_MAX, FOUNDING_BYTES_MAX, INSTANCE_BYTES_MAX};
use crate::opened::Blank;
use crate::store::Identity;

const MAGIC: &[u8; 8] = b"ORRYHEAD";

/// The newest format of a data directory that this version reads, and the one it writes.
pub const FORMAT: u32 = 2;

/// The format of directories made before nodes could be blank: always a member's, without an instance.
const FORMAT_1: u32 = 1;

/// The instance of each directory of format 1.
const INSTANCE_1: &str = "first";

const BLANK: u8 = 0;
const MEMBER: u8 = 1;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Header {
    Blank(Blank),
    Member(Identity),
}

impl Header {
    pub(super) fn node(&self) -> NodeId {
        match self {
            Self::Blank(blank) => blank.node,
            Self::Member(identity) => identity.node,
        }
    }

    /// The bytes of a header; what is too long in it, where something is.
    pub(super) fn encode(&self) -> Result<Vec<u8>, &'static str> {
        let mut bytes = Vec::from(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_be_bytes());
        bytes.extend_from_slice(&self.node().0.to_be_bytes());
        match self {
            Self::Blank(Blank { node: _, instance }) => {
                bytes.push(BLANK);
                put(&mut bytes, instance, INSTANCE_BYTES_MAX).ok_or("the instance is too long")?;
            }
            Self::Member(Identity { cluster_id, node: _, instance, shards, founding }) => {
                bytes.push(MEMBER);
                put(&mut bytes, instance, INSTANCE_BYTES_MAX).ok_or("the instance is too long")?;
                bytes.extend_from_slice(&shards.to_be_bytes());
                put(&mut bytes, cluster_id, CLUSTER_ID_BYTES_MAX)
                    .ok_or("the cluster id is too long")?;
                if founding.len() > FOUNDING_BYTES_MAX {
                    return Err("the founding plan is too long");
                }
                bytes.extend_from_slice(founding);
            }
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        Ok(bytes)
    }

    /// Reads a header; `path` is only named in errors.
    pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        let corrupt = |detail: &str| StoreError::corrupt(path, detail);
        let (body, checksum) = bytes.split_last_chunk::<4>().ok_or_else(|| corrupt("too short"))?;
        let mut rest = body.strip_prefix(MAGIC).ok_or_else(|| corrupt("not a header"))?;
        if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
            return Err(corrupt("its checksum is wrong"));
        }
        let format = take(&mut rest).map(u32::from_be_bytes).ok_or_else(|| corrupt("too short"))?;
        let header = match format {
            FORMAT_1 => decode_1(rest),
            FORMAT => decode_2(rest),
            newer if newer > FORMAT => {
                let path = path.into();
                return Err(StoreError::TooNew { path, found: newer, newest: FORMAT });
            }
            _ => return Err(corrupt("its format was never written")),
        };
        header.ok_or_else(|| corrupt("it is sound, but not what its format asks for"))
    }
}

fn decode_1(mut bytes: &[u8]) -> Option<Header> {
    let node = NodeId(u64::from_be_bytes(take(&mut bytes)?));
    let shards = u32::from_be_bytes(take(&mut bytes)?);
    let cluster_id = text(bytes, CLUSTER_ID_BYTES_MAX)?;
    let (instance, founding) = (INSTANCE_1.to_owned(), Bytes::new());
    Some(Header::Member(Identity { cluster_id, node, instance, shards, founding }))
}

fn decode_2(mut bytes: &[u8]) -> Option<Header> {
    let node = NodeId(u64::from_be_bytes(take(&mut bytes)?));
    let [state] = take(&mut bytes)?;
    let instance = text(part(&mut bytes)?, INSTANCE_BYTES_MAX)?;
    match state {
        BLANK if bytes.is_empty() => Some(Header::Blank(Blank { node, instance })),
        MEMBER => {
            let shards = u32::from_be_bytes(take(&mut bytes)?);
            let cluster_id = text(part(&mut bytes)?, CLUSTER_ID_BYTES_MAX)?;
            let founding = Bytes::copy_from_slice(bytes);
            (founding.len() <= FOUNDING_BYTES_MAX).then_some(())?;
            Some(Header::Member(Identity { cluster_id, node, instance, shards, founding }))
        }
        _ => None,
    }
}

/// Adds a length and what is that long.
fn put(bytes: &mut Vec<u8>, text: &str, bytes_max: usize) -> Option<()> {
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= bytes_max)?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Some(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// Takes a length and what is that long.
fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u32::from_be_bytes(take(bytes)?)).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn text(bytes: &[u8], bytes_max: usize) -> Option<String> {
    (bytes.len() <= bytes_max).then_some(())?;
    String::from_utf8(bytes.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> [Header; 3] {
        let (node, instance) = (NodeId(3), "c0ffee".to_owned());
        let joined = Identity {
            cluster_id: "orrery-test".into(),
            node,
            instance: instance.clone(),
            shards: 4,
            founding: Bytes::new(),
        };
        let founder = Identity { founding: "the plan".into(), ..joined.clone() };
        [Header::Blank(Blank { node, instance }), Header::Member(joined), Header::Member(founder)]
    }

    fn decode(bytes: &[u8]) -> Result<Header, StoreError> {
        Header::decode(Path::new("header"), bytes)
    }

    fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        for header in headers() {
            assert_eq!(decode(&header.encode().unwrap()).unwrap(), header);
        }
    }

    #[test]
    fn every_changed_bit_and_every_shorter_header_is_refused() {
        for good in headers().map(|header| header.encode().unwrap()) {
            for bit in 0..good.len() * 8 {
                let mut bytes = good.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let error = decode(&bytes).unwrap_err();
                assert!(matches!(error, StoreError::Corrupt { .. }), "bit {bit}: {error}");
            }
            for len in 0..good.len() {
                let error = decode(&good[..len]).unwrap_err();
                assert!(matches!(error, StoreError::Corrupt { .. }), "{len} bytes: {error}");
            }
        }
    }

    #[test]
    fn a_sound_checksum_around_nonsense_is_refused() {
        for good in headers().map(|header| header.encode().unwrap()) {
            for len in MAGIC.len()..good.len() - 4 {
                match decode(&seal(good[..len].into())) {
                    // The founding plan is whatever is left.
                    Ok(Header::Member(_)) => {}
                    other => assert!(matches!(other, Err(StoreError::Corrupt { .. })), "{other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_is_too_long_is_neither_written_nor_read() {
        let [Header::Blank(blank), Header::Member(member), _] = headers() else { unreachable!() };
        let long = |bytes: usize| "x".repeat(bytes + 1);
        let oversized = [
            Header::Blank(Blank { instance: long(INSTANCE_BYTES_MAX), ..blank }),
            Header::Member(Identity { instance: long(INSTANCE_BYTES_MAX), ..member.clone() }),
            Header::Member(Identity { cluster_id: long(CLUSTER_ID_BYTES_MAX), ..member.clone() }),
            Header::Member(Identity { founding: long(FOUNDING_BYTES_MAX).into(), ..member }),
        ];
        for header in oversized {
            assert!(header.encode().is_err());
        }
        let mut bytes = Vec::from(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_be_bytes());
        bytes.extend_from_slice(&[0; 8 + 1]);
        bytes.extend_from_slice(&1_000_u32.to_be_bytes());
        bytes.extend_from_slice(&[b'x'; 1_000]);
        assert!(decode(&seal(bytes)).is_err());
    }

    #[test]
    fn a_newer_format_is_named_whatever_follows_it() {
        let mut bytes = Vec::from(MAGIC);
        bytes.extend_from_slice(&9_u32.to_be_bytes());
        bytes.extend_from_slice(b"what only later versions understand");
        let error = decode(&seal(bytes)).unwrap_err();
        assert!(matches!(error, StoreError::TooNew { found: 9, newest: 2, .. }), "{error}");
    }
}
