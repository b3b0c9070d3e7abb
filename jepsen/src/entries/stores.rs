//! Stores: the disks of a run's routers, once nothing runs on them any more.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use orrery_model::NodeId;
use orrery_router_store::disk::NodeDirectory;
use orrery_router_store::model::ModelDisk;
use orrery_router_store::{Disk, Opened, Store};

/// The disks of a run's routers, in which its logs can be looked up.
#[derive(Debug, Default)]
pub struct Stores(Vec<Kept>);

/// A node by its number, with what it kept, or why that cannot be read.
type Found = (u64, Result<Arc<dyn Store>, String>);

#[derive(Debug)]
enum Kept {
    /// Of a simulated machine.
    Model(ModelDisk),
    /// A copy of a node's data directory: whoever opens one mends what a crash has left, and the node's own
    /// stays what it is.
    Copy { node: u64, folder: PathBuf },
    /// It could not be copied.
    Lost { node: u64, why: String },
}

impl Stores {
    /// Of simulated machines.
    pub fn of(disks: impl IntoIterator<Item = ModelDisk>) -> Self {
        Self(disks.into_iter().map(Kept::Model).collect())
    }

    /// Copies a node's data directory to a folder that is not there yet. The node must have ended.
    pub fn copy(&mut self, node: u64, data: &Path, folder: PathBuf) {
        // A machine on which nothing ever ran has none.
        if !data.exists() {
            return;
        }
        self.0.push(match copy(data, &folder) {
            Ok(()) => Kept::Copy { node, folder },
            Err(error) => Kept::Lost { node, why: format!("{error:#}") },
        });
    }

    /// Opens what belongs to members of a cluster.
    pub(super) fn open(&self) -> impl Iterator<Item = Found> {
        self.0.iter().filter_map(|kept| match kept {
            Kept::Model(disk) => {
                // Whatever had it open has ended, and left what it wrote to the system.
                disk.crash(|unsynced| unsynced);
                opened(0, disk)
            }
            Kept::Copy { node, folder } => {
                let disk = NodeDirectory::new(folder, NodeId(*node), || "a copy".to_owned());
                opened(*node, &disk)
            }
            Kept::Lost { node, why } => Some((*node, Err(why.clone()))),
        })
    }
}

fn opened(node: u64, disk: &dyn Disk) -> Option<Found> {
    match disk.open() {
        Ok(Opened::Member(store)) => Some((store.identity().node.0, Ok(store))),
        Ok(Opened::Blank(_)) => None,
        Err(error) => Some((node, Err(error.to_string()))),
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    let listed = fs::read_dir(from).with_context(|| format!("list {}", from.display()))?;
    for entry in listed {
        let (path, to) = {
            let entry = entry.with_context(|| format!("list {}", from.display()))?;
            (entry.path(), to.join(entry.file_name()))
        };
        match path.is_dir() {
            true => copy(&path, &to)?,
            false => {
                fs::copy(&path, &to).with_context(|| format!("copy {}", path.display()))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use orrery_model::ShardId;
    use orrery_router_store::{Identity, Record, Write, WriteBatch};

    use super::*;

    #[test]
    fn a_copy_of_a_directory_is_read_and_the_directory_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let disk = NodeDirectory::new(&data, NodeId(7), || "instance".to_owned());
        assert!(matches!(disk.open(), Ok(Opened::Blank(_))));
        let identity = Identity {
            cluster_id: "test".into(),
            node: NodeId(7),
            instance: "instance".into(),
            shards: 1,
            founding: Bytes::new(),
        };
        let store = disk.adopt(identity).unwrap();
        let record = Record { index: 0, bytes: Bytes::from_static(b"entry") };
        let append = (ShardId(1), Write::Append(vec![record.clone()]));
        store.write(WriteBatch { writes: vec![append] }).unwrap();
        drop((store, disk));
        let before = all(&data);
        let mut stores = Stores::default();
        stores.copy(7, &data, folder.path().join("copy"));
        stores.copy(8, &folder.path().join("never made"), folder.path().join("none"));
        let open: Vec<_> = stores.open().collect();
        let [(7, Ok(store))] = &open[..] else { panic!("{open:?}") };
        assert_eq!(store.entries(ShardId(1), 0, 1, 1).unwrap(), [record]);
        assert_eq!(all(&data), before);
    }

    #[test]
    fn a_directory_that_cannot_be_opened_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("stranger"), "not a store").unwrap();
        let mut stores = Stores::default();
        stores.copy(3, &data, folder.path().join("copy"));
        let open: Vec<_> = stores.open().collect();
        let [(3, Err(why))] = &open[..] else { panic!("{open:?}") };
        assert!(why.contains("stranger"), "{why}");
    }

    /// Every file of a folder with what it holds.
    fn all(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => files.extend(all(&path)),
                false => files.push((path.clone(), fs::read(&path).unwrap())),
            }
        }
        files.sort();
        files
    }
}
