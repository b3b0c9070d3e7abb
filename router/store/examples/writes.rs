//! Prints what the store does on this disk: how long opening takes, and synced writes a second.
//!
//! `cargo run --release -p orrery-router-store --example writes [folder]`
#![allow(clippy::print_stdout, reason = "printing is what it is for")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use orrery_model::{NodeId, ShardId};
use orrery_router_store::disk::NodeDirectory;
use orrery_router_store::{Disk, Identity, Record, Store, StoreError, Write, WriteBatch};

/// How long each size of batch is measured.
const MEASURED: Duration = Duration::from_secs(2);
const ENTRY_BYTES: usize = 200;
const SHARD: ShardId = ShardId(1);

fn main() -> Result<(), StoreError> {
    let path = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let path = path.join(format!("orrery-writes-{}", std::process::id()));
    let (node, instance) = (NodeId(1), "first".to_owned());
    let (cluster_id, founding) = ("writes".to_owned(), Default::default());
    let identity = Identity { cluster_id, node, instance, shards: 4, founding };
    let disk = NodeDirectory::new(&path, node, || "first".to_owned());
    let mut began = Instant::now();
    let mut store = disk.adopt(identity.clone())?;
    println!("made in          {:>9.1?}", began.elapsed());
    let mut next = 1;
    for entries in [1, 16, 256] {
        measure(&*store, entries, &mut next)?;
    }
    drop(store);
    began = Instant::now();
    store = disk.adopt(identity)?;
    println!("opened again in  {:>9.1?} with {} entries", began.elapsed(), next - 1);
    began = Instant::now();
    let found = store.entries(SHARD, 1, next.min(10_001), usize::MAX)?;
    println!("read {} entries in {:.1?}", found.len(), began.elapsed());
    drop(store);
    std::fs::remove_dir_all(&path).map_err(|source| StoreError::Io {
        action: "remove",
        path,
        source,
    })
}

fn measure(store: &dyn Store, entries: u64, next: &mut u64) -> Result<(), StoreError> {
    let mut took = Vec::new();
    let began = Instant::now();
    while began.elapsed() < MEASURED {
        let record = |index| Record { index, bytes: vec![index as u8; ENTRY_BYTES].into() };
        let append = Write::Append((*next..*next + entries).map(record).collect());
        let write = Instant::now();
        store.write(WriteBatch { writes: vec![(SHARD, append)] })?;
        took.push(write.elapsed());
        *next += entries;
    }
    took.sort();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    let rate = took.len() as f64 / MEASURED.as_secs_f64();
    println!(
        "{entries:>4} entries a write: {rate:>7.0} writes/s, p50 {p50:>7.1?}, p99 {p99:>7.1?}"
    );
    Ok(())
}
