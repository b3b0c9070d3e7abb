//! Damage: a router's files are not what it wrote when it starts again. It must refuse them or do without
//! them, and never serve what they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use super::operate::done_to;
use super::world::ProcessWorld;
use crate::plan::{Fault, Harm, StoredFile};
use crate::world::Installed;

/// How long a damaged node may take to notice when it starts.
const NOTICE: Duration = Duration::from_secs(4);

/// How long the next fault waits until the place of a node that refused its files is taken.
const REPLACED: Duration = Duration::from_secs(20);

/// Pause between two tries.
const LOOK: Duration = Duration::from_millis(500);

/// Half of all damage is done so near to the end of what was written: what is older is mostly needed no more.
const END_BYTES: usize = 16 << 10;

impl ProcessWorld {
    /// Kills a router, damages one of its files, and starts it again. One that refuses is replaced. One that
    /// does not is the one that is damaged again: a minority is damaged at a time.
    pub(super) async fn damage(
        &self,
        fault: &Fault,
        name: String,
        file: StoredFile,
        how: Harm,
    ) -> anyhow::Result<Installed> {
        if !self.admin.lost().is_empty() {
            return Ok(Installed::Skipped("another one is still to be replaced".to_owned()));
        }
        let damaged = self.damaged.lock().clone();
        let name = damaged.filter(|damaged| self.should_run(damaged)).unwrap_or(name);
        let damaged = {
            let mut station = self.stations.get(&name).context("no such node")?;
            let disk = station.disk.as_ref().context("it has no disk")?.path().to_owned();
            let Some(path) = newest(&disk.join("data"), file)? else {
                return Ok(Installed::Skipped("it has no such file yet".to_owned()));
            };
            self.hits(fault, &name);
            station.kill()?;
            let Some(what) = harm(&path, how, &mut *self.chance.lock())? else {
                station.start()?;
                return Ok(Installed::Skipped("the file is empty".to_owned()));
            };
            what
        };
        self.progress.say(&format!("{name}: {damaged}"));
        self.excuse(&name, "its files are damaged");
        *self.damaged.lock() = Some(name.clone());
        let starts = {
            let mut station = self.stations.get(&name).context("no such node")?;
            station.start()?;
            station.starts
        };
        let refused = self.is_gone(&name, NOTICE).await
            || self.stations.get(&name).is_some_and(|station| station.starts != starts);
        if !refused {
            return Ok(done_to(name, "recovered"));
        }
        self.stations.get(&name).context("no such node")?.kill()?;
        let until = Instant::now() + REPLACED;
        let replaced = loop {
            let replaced = self.replace(&name, true).await;
            let replaced = replaced.inspect_err(|_| self.admin.lose(&name))?;
            if !matches!(replaced, Installed::Skipped(_)) || Instant::now() > until {
                break replaced;
            }
            // It cannot come back, and until its place is taken the others need each other.
            self.stations.get(&name).context("no such node")?.kill()?;
            sleep(LOOK).await;
        };
        if matches!(replaced, Installed::Yes { .. }) {
            return Ok(done_to(name, "refused"));
        }
        self.stations.get(&name).context("no such node")?.kill()?;
        self.progress.say(&format!("{name} is not replaced yet: {replaced:?}"));
        if matches!(replaced, Installed::Skipped(_)) {
            self.admin.lose(&name);
        }
        Ok(done_to(name, "refused, not replaced"))
    }
}

/// The newest file of a kind below a data directory.
fn newest(data: &Path, file: StoredFile) -> anyhow::Result<Option<PathBuf>> {
    let folder = match file {
        StoredFile::Identity => return Ok(Some(data.join("header"))),
        StoredFile::Log => data.join("log"),
        StoredFile::Snapshot => data.join("snapshots"),
    };
    let mut files = Vec::new();
    collect(&folder, &mut files)?;
    if file == StoredFile::Log {
        files.retain(|path| path.extension().is_some_and(|is| is == "raftlog"));
        // Named by number.
        files.sort();
        return Ok(files.pop());
    }
    let written = |path: &PathBuf| fs::metadata(path).and_then(|about| about.modified()).ok();
    Ok(files.into_iter().max_by_key(written))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

/// Damages a file where something was written; what was done, or nothing where there is nothing.
fn harm(path: &Path, how: Harm, chance: &mut impl rand::Rng) -> anyhow::Result<Option<String>> {
    let mut bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    // Files of a log are made longer than what is in them.
    let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else { return Ok(None) };
    let first = match chance.random_bool(0.5) {
        true => last.saturating_sub(END_BYTES),
        false => 0,
    };
    let at = chance.random_range(first..=last);
    let what = match how {
        Harm::Bit => {
            bytes[at] ^= 1 << chance.random_range(0..8);
            format!("one bit of {} is another, at {at} of {last}", path.display())
        }
        Harm::Truncate => {
            bytes.truncate(at);
            format!("{} ends at {at} instead of {last}", path.display())
        }
    };
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))?;
    Ok(Some(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::stream::stream;

    #[test]
    fn damage_changes_what_was_written_and_not_what_was_not() {
        let path = std::env::temp_dir().join(format!("jepsen-damage-{}", std::process::id()));
        let mut written = vec![7; 100];
        written.extend([0; 4_000]);
        let mut chance = stream(1, "damage");
        for _ in 0..50 {
            fs::write(&path, &written).unwrap();
            assert!(harm(&path, Harm::Bit, &mut chance).unwrap().is_some());
            let damaged = fs::read(&path).unwrap();
            let differ = damaged.iter().zip(&written).filter(|(a, b)| a != b).count();
            assert_eq!((damaged.len(), differ), (written.len(), 1));
            assert_eq!(damaged[100..], written[100..]);
            assert!(harm(&path, Harm::Truncate, &mut chance).unwrap().is_some());
            assert!(fs::read(&path).unwrap().len() < 100);
        }
        fs::write(&path, [0; 10]).unwrap();
        assert_eq!(harm(&path, Harm::Bit, &mut chance).unwrap(), None);
        fs::remove_file(&path).unwrap();
    }
}
