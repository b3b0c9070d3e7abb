//! A disk whose store is a gated one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use orrery_router_store::{Disk, Identity, Opened, Store, StoreError};
use parking_lot::Mutex;

use crate::gated_store::GatedStore;

pub(crate) struct GatedDisk {
    inner: Arc<dyn Disk>,
    /// The store that is open; not kept open.
    store: Mutex<Weak<GatedStore>>,
}

impl GatedDisk {
    pub(crate) fn new(inner: Arc<dyn Disk>) -> Self {
        Self { inner, store: Mutex::default() }
    }

    fn store(&self) -> Arc<GatedStore> {
        self.store.lock().upgrade().expect("the disk is open")
    }

    /// Holds up every write from now on.
    pub(crate) fn shut(&self) {
        self.store().shut();
    }

    pub(crate) fn release(&self) {
        self.store().open();
    }

    /// How often the open store was written.
    pub(crate) fn writes(&self) -> usize {
        self.store().writes.load(Ordering::SeqCst)
    }

    fn gated(&self, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        let store = Arc::new(GatedStore::new(inner));
        *self.store.lock() = Arc::downgrade(&store);
        store
    }
}

impl Disk for GatedDisk {
    fn open(&self) -> Result<Opened, StoreError> {
        Ok(match self.inner.open()? {
            Opened::Blank(blank) => Opened::Blank(blank),
            Opened::Member(store) => Opened::Member(self.gated(store)),
        })
    }

    fn adopt(&self, identity: Identity) -> Result<Arc<dyn Store>, StoreError> {
        Ok(self.gated(self.inner.adopt(identity)?))
    }
}
