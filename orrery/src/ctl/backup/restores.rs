//! Restores: what a backup's folder remembers of the clusters made from it, so that no two of them begin with
//! the same numbers. Each has a file named by its generation, which counts them from 1.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ctl::error::CtlError;

/// Most restores of one backup: together they are 2^52 numbers ahead of it, which even clients hold that keep
/// every number as a floating one.
pub(in crate::ctl) const GENERATIONS_MAX: u32 = 1 << 12;

/// Largest file of a restore that is read, in bytes: far above one with as many nodes as there can be.
const BYTES_MAX: u64 = 1 << 20;

/// One restore. What is said beside the cluster is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Restore {
    pub(super) generation: u32,
    pub(super) cluster_id: String,
    /// Milliseconds since the Unix epoch.
    pub(super) begun_at_ms: u64,
    /// Registry addresses of the nodes.
    pub(super) nodes: Vec<String>,
}

/// The restores of one backup that its folder knows of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Restores(BTreeMap<u32, Option<Restore>>);

impl Restores {
    /// Reads what the folder says. A file that cannot be read stands for a restore all the same: its name
    /// was there before anything was made.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn read(dir: &Path) -> Result<Self, CtlError> {
        let wrong = |error: io::Error| CtlError::failed(format!("{}: {error}", dir.display()));
        let mut restores = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            if let Some(generation) = generation_of(&entry.file_name().to_string_lossy()) {
                restores.insert(generation, read_one(&entry.path(), generation));
            }
        }
        Ok(Self(restores))
    }

    /// The highest generation; 0 where there was no restore.
    pub(super) fn last(&self) -> u32 {
        self.0.keys().next_back().copied().unwrap_or(0)
    }

    /// A generation: whose it is, as far as that can be read; `None` where it was not given away.
    pub(super) fn get(&self, generation: u32) -> Option<Option<&Restore>> {
        self.0.get(&generation).map(Option::as_ref)
    }

    /// All that can be read, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Restore> {
        self.0.values().flatten()
    }
}

/// Writes a restore down, durably, before anything of it is made. False where its generation was given away
/// already.
///
/// # Errors
/// When the folder cannot be written; the generation is still free then.
pub(super) fn claim(dir: &Path, restore: &Restore) -> io::Result<bool> {
    let path = path_of(dir, restore.generation);
    // Not a draft that is renamed: of two that run at once only one can make the name, and from then on that
    // is what counts.
    let mut file = match File::create_new(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        made => made?,
    };
    let mut text = serde_json::to_string_pretty(restore).expect("a restore becomes JSON");
    text.push('\n');
    let mut write = || {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        File::open(dir)?.sync_all()
    };
    match write() {
        Ok(()) => Ok(true),
        Err(error) => {
            // Should even this fail, a generation is left out.
            let _ = fs::remove_file(&path);
            Err(error)
        }
    }
}

fn path_of(dir: &Path, generation: u32) -> PathBuf {
    dir.join(format!("restore-{generation:04}.json"))
}

fn generation_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("restore-")?.strip_suffix(".json")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn read_one(path: &Path, generation: u32) -> Option<Restore> {
    if fs::metadata(path).ok()?.len() > BYTES_MAX {
        return None;
    }
    let restore: Restore = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (restore.generation == generation).then_some(restore)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restore(generation: u32) -> Restore {
        let cluster_id = format!("cluster-{generation}");
        Restore { generation, cluster_id, begun_at_ms: 1, nodes: vec!["127.0.0.1:1".to_owned()] }
    }

    #[test]
    fn a_generation_is_given_away_once() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Restores::read(dir.path()).unwrap().last(), 0);
        assert!(claim(dir.path(), &restore(1)).unwrap());
        let another = Restore { cluster_id: "another".to_owned(), ..restore(1) };
        assert!(!claim(dir.path(), &another).unwrap());
        assert!(claim(dir.path(), &restore(GENERATIONS_MAX)).unwrap());
        let read = Restores::read(dir.path()).unwrap();
        assert_eq!(read.last(), GENERATIONS_MAX);
        assert_eq!(read.get(1), Some(Some(&restore(1))));
        assert_eq!(read.get(2), None);
        assert_eq!(read.iter().count(), 2);
    }

    #[test]
    fn a_file_that_was_cut_still_counts() {
        let dir = tempfile::tempdir().unwrap();
        assert!(claim(dir.path(), &restore(1)).unwrap());
        for cut in ["", "{", "null"] {
            fs::write(path_of(dir.path(), 2), cut).unwrap();
            let read = Restores::read(dir.path()).unwrap();
            assert_eq!((read.last(), read.get(2)), (2, Some(None)), "{cut:?}");
            assert!(!claim(dir.path(), &restore(2)).unwrap());
        }
        // Neither is one that says it is another's.
        fs::write(path_of(dir.path(), 2), serde_json::to_vec(&restore(1)).unwrap()).unwrap();
        assert_eq!(Restores::read(dir.path()).unwrap().get(2), Some(None));
    }

    #[test]
    fn other_files_are_no_restores() {
        for name in
            ["restore-.json", "restore-+1.json", "restore-1", "manifest.json", "restore-x.json"]
        {
            assert_eq!(generation_of(name), None, "{name}");
        }
        assert_eq!(generation_of("restore-0007.json"), Some(7));
    }

    #[test]
    fn a_folder_that_cannot_be_written_gives_nothing_away() {
        let dir = tempfile::tempdir().unwrap();
        claim(&dir.path().join("missing"), &restore(1)).unwrap_err();
        assert_eq!(Restores::read(dir.path()).unwrap().last(), 0);
    }
}
