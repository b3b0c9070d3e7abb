//! Prints how long a snapshot of this size takes to write, to open (which reads and checks all of it) and to
//! read.
//!
//! `cargo run --release -p orrery-router-store --example snapshot [folder] [megabytes]`
#![allow(clippy::print_stdout, reason = "printing is what it is for")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

use std::path::PathBuf;
use std::time::Instant;

use orrery_model::{NodeId, ShardId};
use orrery_router_store::disk::NodeDirectory;
use orrery_router_store::{Disk, Identity, StoreError};

const SHARD: ShardId = ShardId(1);
const RECORD_BYTES: usize = 256 << 10;

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let megabytes = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(300_usize);
    let path = path.join(format!("orrery-snapshot-{}", std::process::id()));
    let (node, instance) = (NodeId(1), "first".to_owned());
    let (cluster_id, founding) = ("snapshot".to_owned(), Default::default());
    let identity = Identity { cluster_id, node, instance, shards: 4, founding };
    let store = NodeDirectory::new(&path, node, || "first".to_owned()).adopt(identity)?;
    let record: Vec<u8> = (0..RECORD_BYTES).map(|at| (at * 31 % 251) as u8).collect();
    let mut began = Instant::now();
    let mut writer = store.begin_snapshot(SHARD, "meta".into())?;
    for _ in 0..(megabytes << 20) / RECORD_BYTES {
        writer.record(&record)?;
    }
    writer.finish()?;
    println!("{megabytes} MB written in {:>9.1?}", began.elapsed());
    for _ in 0..3 {
        began = Instant::now();
        let reader = store.snapshot(SHARD)?;
        println!("opened in         {:>9.1?}", began.elapsed());
        began = Instant::now();
        if let Some(mut reader) = reader {
            while reader.next_record()?.is_some() {}
        }
        println!("read in           {:>9.1?}", began.elapsed());
    }
    drop(store);
    std::fs::remove_dir_all(&path).map_err(|source| StoreError::Io {
        action: "remove",
        path,
        source,
    })
}
