//! A node's directory as a [`Disk`]: blank until it is adopted, then a member's for good.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use orrery_model::NodeId;
use parking_lot::Mutex;
use raft_engine::env::{DefaultFileSystem, FileSystem};

use super::DiskStore;
use super::directory::Directory;
use super::header::Header;
use super::log_sizes::LogSizes;
use crate::error::StoreError;
use crate::opened::{Blank, Disk, Opened};
use crate::store::{Identity, Store};

/// A node's data directory. `F` is the file system under the log, where faults can be injected.
pub struct NodeDirectory<F: FileSystem = DefaultFileSystem> {
    path: PathBuf,
    node: NodeId,
    fresh_instance: Box<dyn Fn() -> String + Send + Sync>,
    file_system: Arc<F>,
    log_sizes: LogSizes,
    held: Mutex<Held<F>>,
}

/// What of the directory is in use.
enum Held<F: FileSystem> {
    Nothing,
    Blank(Arc<Directory>, Blank),
    /// In use as long as the store is.
    Member(Weak<DiskStore<F>>),
}

impl NodeDirectory {
    /// Names a directory and the node that may use it. Nothing is made or opened yet; `fresh_instance`
    /// draws the instance of a directory that has to be made, never the same twice.
    pub fn new(
        path: impl Into<PathBuf>,
        node: NodeId,
        fresh_instance: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        Self::new_on(path, node, fresh_instance, Arc::new(DefaultFileSystem))
    }
}

impl<F: FileSystem> NodeDirectory<F> {
    /// As [`NodeDirectory::new`], with the log's files on `file_system`.
    pub fn new_on(
        path: impl Into<PathBuf>,
        node: NodeId,
        fresh_instance: impl Fn() -> String + Send + Sync + 'static,
        file_system: Arc<F>,
    ) -> Self {
        Self {
            path: path.into(),
            node,
            fresh_instance: Box::new(fresh_instance),
            file_system,
            log_sizes: LogSizes::default(),
            held: Held::Nothing.into(),
        }
    }

    /// Lets the log's files become as large as `sizes` say.
    pub fn with_log_sizes(self, log_sizes: LogSizes) -> Self {
        Self { log_sizes, ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_held(&self, held: &mut Held<F>) -> Result<Found<F>, StoreError> {
        if let Held::Blank(directory, blank) = held {
            return Ok(Found::Blank(directory.clone(), blank.clone()));
        }
        let directory = Arc::new(Directory::take(&self.path)?);
        let header = match directory.header()? {
            Some(header) => header,
            None => {
                let header = Header::Blank(self.fresh());
                directory.set_header(&directory.encode(&header)?)?;
                header
            }
        };
        match header {
            Header::Blank(blank) if blank.node == self.node => {
                *held = Held::Blank(directory.clone(), blank.clone());
                Ok(Found::Blank(directory, blank))
            }
            Header::Member(identity) if identity.node == self.node => {
                directory.verify()?;
                let store = Arc::new(self.open_store(directory, identity)?);
                *held = Held::Member(Arc::downgrade(&store));
                Ok(Found::Member(store))
            }
            Header::Blank(found) => Err(self.foreign(&found, &format!("node {}", self.node))),
            Header::Member(found) => Err(self.foreign(&found, &format!("node {}", self.node))),
        }
    }

    /// Makes a blank directory a member's. The header is changed last.
    fn make(
        &self,
        directory: &Arc<Directory>,
        identity: Identity,
    ) -> Result<DiskStore<F>, StoreError> {
        let header = directory.encode(&Header::Member(identity.clone()))?;
        directory.begin()?;
        let store = self.open_store(directory.clone(), identity)?;
        directory.set_header(&header)?;
        Ok(store)
    }

    fn open_store(
        &self,
        directory: Arc<Directory>,
        identity: Identity,
    ) -> Result<DiskStore<F>, StoreError> {
        DiskStore::open(directory, identity, self.log_sizes, self.file_system.clone())
    }

    fn fresh(&self) -> Blank {
        Blank { node: self.node, instance: (self.fresh_instance)() }
    }

    fn foreign(&self, found: &dyn fmt::Display, expected: &dyn fmt::Display) -> StoreError {
        let (found, expected) = (found.to_string(), expected.to_string());
        StoreError::Foreign { path: self.path.clone(), found, expected }
    }
}

enum Found<F: FileSystem> {
    Blank(Arc<Directory>, Blank),
    Member(Arc<DiskStore<F>>),
}

impl<F: FileSystem + 'static> Disk for NodeDirectory<F> {
    fn open(&self) -> Result<Opened, StoreError> {
        Ok(match self.open_held(&mut self.held.lock())? {
            Found::Blank(_, blank) => Opened::Blank(blank),
            Found::Member(store) => Opened::Member(store),
        })
    }

    fn adopt(&self, identity: Identity) -> Result<Arc<dyn Store>, StoreError> {
        let mut held = self.held.lock();
        let open = match &*held {
            Held::Member(store) => store.upgrade(),
            _ => None,
        };
        let found = match open {
            Some(store) => Found::Member(store),
            None => self.open_held(&mut held)?,
        };
        match found {
            Found::Member(store) if *store.identity() == identity => Ok(store),
            Found::Blank(directory, blank)
                if (blank.node, &blank.instance) == (identity.node, &identity.instance) =>
            {
                let store = Arc::new(self.make(&directory, identity)?);
                *held = Held::Member(Arc::downgrade(&store));
                Ok(store)
            }
            Found::Member(store) => Err(self.foreign(store.identity(), &identity)),
            Found::Blank(_, blank) => Err(self.foreign(&blank, &identity)),
        }
    }
}

impl<F: FileSystem> fmt::Debug for NodeDirectory<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, node, .. } = self;
        f.debug_struct("NodeDirectory").field("path", path).field("node", node).finish()
    }
}
