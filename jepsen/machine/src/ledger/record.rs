//! Record: the lines of a ledger's file.
//!
//! ```text
//! makes 1 namespace oj2a1f-router-1
//! makes 2 mount /tmp/run/router-1 /tmp/run/router-1.image
//! gone 1
//! ```
//!
//! A line counts only with its end: one that was cut off was about something that had not been made yet.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::owner::Owner;

/// Something on the machine that outlives the process that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    /// A process.
    Process { owner: Owner, name: String },
    /// A network namespace by name.
    Namespace(String),
    /// A network device of the root namespace.
    Device(String),
    /// An nftables table of the bridge family.
    Table(String),
    /// A file system in an image, mounted in a folder.
    Mount { folder: PathBuf, image: PathBuf },
    /// A file.
    File(PathBuf),
    /// A folder; undone only if it is empty by then.
    Folder(PathBuf),
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// About to be made, or made.
    Makes { number: u64, thing: Thing },
    /// Not there any more.
    Gone { number: u64 },
}

/// Reads a ledger's file: what is still there, and the lines that mean nothing to this version.
pub(crate) fn parse(text: &str) -> (BTreeMap<u64, Thing>, Vec<String>) {
    let mut things = BTreeMap::new();
    let mut strange = Vec::new();
    for line in text.split_inclusive('\n') {
        let Some(line) = line.strip_suffix('\n') else { continue };
        match Record::parse(line) {
            Some(Record::Makes { number, thing }) => {
                things.insert(number, thing);
            }
            Some(Record::Gone { number }) => {
                things.remove(&number);
            }
            None => strange.push(line.to_owned()),
        }
    }
    (things, strange)
}

impl Record {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let verb = words.next()?;
        let number = words.next()?.parse().ok()?;
        let record = match verb {
            "makes" => Self::Makes { number, thing: Thing::parse(&mut words)? },
            "gone" => Self::Gone { number },
            _ => return None,
        };
        words.next().is_none().then_some(record)
    }
}

impl Thing {
    fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let kind = words.next()?;
        let mut word = || words.next().and_then(unescape);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
        let path = |bytes| PathBuf::from(OsString::from_vec(bytes));
        Some(match kind {
            "process" => {
                let pid = text(word()?)?.parse().ok()?;
                let started = text(word()?)?.parse().ok()?;
                Self::Process { owner: Owner { pid, started }, name: text(word()?)? }
            }
            "namespace" => Self::Namespace(text(word()?)?),
            "device" => Self::Device(text(word()?)?),
            "table" => Self::Table(text(word()?)?),
            "mount" => Self::Mount { folder: path(word()?), image: path(word()?) },
            "file" => Self::File(path(word()?)),
            "folder" => Self::Folder(path(word()?)),
            _ => return None,
        })
    }
}

impl Thing {
    /// Whether it is there after the machine was started anew.
    pub(crate) fn outlives_the_machine(&self) -> bool {
        matches!(self, Self::File(_) | Self::Folder(_))
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Makes { number, thing } => write!(f, "makes {number} {thing}"),
            Self::Gone { number } => write!(f, "gone {number}"),
        }
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &Path| escape(path.as_os_str().as_bytes());
        match self {
            Self::Process { owner: Owner { pid, started }, name } => {
                write!(f, "process {pid} {started} {}", escape(name.as_bytes()))
            }
            Self::Namespace(name) => write!(f, "namespace {}", escape(name.as_bytes())),
            Self::Device(name) => write!(f, "device {}", escape(name.as_bytes())),
            Self::Table(name) => write!(f, "table {}", escape(name.as_bytes())),
            Self::Mount { folder, image } => write!(f, "mount {} {}", path(folder), path(image)),
            Self::File(file) => write!(f, "file {}", path(file)),
            Self::Folder(folder) => write!(f, "folder {}", path(folder)),
        }
    }
}

/// One word without spaces and line ends: what is not plain is written as `%` and two digits.
fn escape(bytes: &[u8]) -> String {
    let mut word = String::new();
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'%' {
            word.push(char::from(byte));
        } else {
            word.push_str(&format!("%{byte:02x}"));
        }
    }
    word
}

fn unescape(word: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = behind;
            continue;
        }
        let (digits, behind) = behind.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn things() -> Vec<Thing> {
        vec![
            Thing::Process { owner: Owner { pid: 7, started: 99 }, name: "router 1".into() },
            Thing::Namespace("oj0001-router-1".into()),
            Thing::Device("oj0001b".into()),
            Thing::Table("oj0001".into()),
            Thing::Mount { folder: "/tmp/a b/100%".into(), image: "/tmp/a\nb".into() },
            Thing::File(OsString::from_vec(vec![b'/', 0xff, 0xfe]).into()),
            Thing::Folder("/tmp/ü".into()),
            Thing::Folder("".into()),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_whatever_it_is_called() {
        let mut text = String::new();
        for (number, thing) in (0..).zip(things()) {
            text.push_str(&format!("{}\n", Record::Makes { number, thing }));
        }
        assert_eq!(text.lines().count(), things().len());
        let (read, strange) = parse(&text);
        assert!(strange.is_empty(), "{strange:?}");
        assert_eq!(read.into_values().collect::<Vec<_>>(), things());
    }

    #[test]
    fn what_is_gone_is_not_there_any_more() {
        let (read, _) = parse("makes 1 namespace a\nmakes 2 namespace b\ngone 1\ngone 9\n");
        assert_eq!(read, BTreeMap::from([(2, Thing::Namespace("b".into()))]));
    }

    #[test]
    fn a_line_cut_off_does_not_count_and_a_strange_one_is_shown() {
        let (read, strange) = parse("makes 1 namespace a\nmakes 2 namespace rou");
        assert_eq!((read.len(), strange.len()), (1, 0));
        for bad in [
            "makes 1 wormhole a",
            "makes x namespace a",
            "makes 1 namespace",
            "makes 1 namespace a b",
            "makes 1 namespace %f",
            "makes 1 process 7 x y",
            "lost 1",
            "",
        ] {
            let (read, strange) = parse(&format!("{bad}\n"));
            assert_eq!((read.len(), strange), (0, vec![bad.to_owned()]));
        }
    }
}
