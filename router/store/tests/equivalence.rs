//! Any history leaves the same on the disk and in the model, with restarts at any point.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod scene;

use std::path::Path;
use std::sync::Arc;

use orrery_model::ShardId;
use orrery_router_store::contract::identity;
use orrery_router_store::disk::{LogSizes, NodeDirectory};
use orrery_router_store::model::ModelDisk;
use orrery_router_store::{Disk, LogState, Record, Store, Write, WriteBatch};
use proptest::prelude::*;
use scene::quick_folder;

/// One change, relative to where the log is when it comes to it.
#[derive(Debug, Clone)]
enum Step {
    Append { count: u64, skip: u64, bytes: usize },
    Truncate { back: u64 },
    Purge { forward: u64 },
    Vote(u8),
    Committed(u8),
    Left(u8),
    Clear,
}

fn step() -> impl Strategy<Value = (u32, Step)> {
    let step = prop_oneof![
        4 => (1..6_u64, 1..4_u64, 0..600_usize)
            .prop_map(|(count, skip, bytes)| Step::Append { count, skip, bytes }),
        2 => (0..8_u64).prop_map(|back| Step::Truncate { back }),
        2 => (0..12_u64).prop_map(|forward| Step::Purge { forward }),
        1 => any::<u8>().prop_map(Step::Vote),
        1 => any::<u8>().prop_map(Step::Committed),
        1 => any::<u8>().prop_map(Step::Left),
        1 => Just(Step::Clear),
    ];
    (0..3_u32, step)
}

/// Turns relative steps into a batch that leaves no holes.
fn batch(store: &dyn Store, steps: &[(u32, Step)], serial: &mut u8) -> WriteBatch {
    let mut states: Vec<LogState> =
        (0..3).map(|shard| store.log_state(ShardId(shard)).unwrap()).collect();
    let writes = steps.iter().map(|(shard, step)| {
        let state = &mut states[*shard as usize];
        *serial = serial.wrapping_add(1);
        let write = match step {
            Step::Append { count, skip, bytes } => {
                let skip = if state.empty { *skip } else { 1 };
                let first = state.last_index + skip;
                let record = |index| Record { index, bytes: vec![*serial; *bytes].into() };
                state.last_index = first + count - 1;
                state.empty = false;
                Write::Append((first..first + count).map(record).collect())
            }
            Step::Truncate { back } => {
                let keep = state.last_index.checked_sub(*back);
                // Where the log begins is not looked at: if nothing is left, an append may follow here
                // as well as anywhere above the purge.
                state.last_index = keep.unwrap_or(0).max(state.purged_index);
                Write::TruncateAfter(keep)
            }
            Step::Purge { forward } => {
                let index = state.purged_index + forward;
                state.purged_index = index;
                state.last_index = state.last_index.max(index);
                state.empty |= state.last_index == index;
                Write::Purge { index, position: vec![*serial].into() }
            }
            Step::Vote(vote) => Write::Vote(vec![*vote].into()),
            Step::Committed(committed) => Write::Committed(vec![*committed].into()),
            Step::Left(left) => Write::Left(vec![*left].into()),
            Step::Clear => {
                *state = LogState { empty: true, ..LogState::default() };
                Write::Clear
            }
        };
        (ShardId(*shard), write)
    });
    WriteBatch { writes: writes.collect() }
}

fn assert_equal(disk: &dyn Store, model: &dyn Store) {
    for shard in (0..3).map(ShardId) {
        let state = model.log_state(shard).unwrap();
        assert_eq!(disk.log_state(shard).unwrap(), state, "shard {shard}");
        assert_eq!(disk.vote(shard).unwrap(), model.vote(shard).unwrap());
        assert_eq!(disk.left(shard).unwrap(), model.left(shard).unwrap());
        assert_eq!(disk.committed(shard).unwrap(), model.committed(shard).unwrap());
        for from in state.purged_index.saturating_sub(2)..state.last_index + 2 {
            let [disk, model] =
                [disk, model].map(|store| store.entries(shard, from, state.last_index + 1, 700));
            match (disk, model) {
                (Ok(disk), Ok(model)) => assert_eq!(disk, model, "shard {shard} from {from}"),
                (Err(disk), Err(model)) => assert_eq!(disk.to_string(), model.to_string()),
                (disk, model) => panic!("shard {shard} from {from}: {disk:?} and {model:?}"),
            }
        }
    }
}

fn open(path: &Path, sizes: LogSizes) -> Arc<dyn Store> {
    let disk = NodeDirectory::new(path, identity().node, || identity().instance);
    disk.with_log_sizes(sizes).adopt(identity()).unwrap()
}

/// What comes after a batch.
#[derive(Debug, Clone, Copy)]
enum Then {
    Nothing,
    Restart,
    Reclaim,
    ReclaimAndRestart,
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        6 => Just(Then::Nothing),
        2 => Just(Then::Restart),
        2 => Just(Then::Reclaim),
        1 => Just(Then::ReclaimAndRestart),
    ]
}

type Batches = Vec<(Vec<(u32, Step)>, Then)>;

fn batches(count: usize) -> impl Strategy<Value = Batches> {
    prop::collection::vec((prop::collection::vec(step(), 1..6), then()), 1..count)
}

fn run(batches: Batches, sizes: LogSizes) {
    let folder = tempfile::tempdir_in(quick_folder()).unwrap();
    let path = folder.path().join("data");
    let model_disk = ModelDisk::new(identity());
    let mut disk = open(&path, sizes);
    let mut model = model_disk.open().unwrap();
    let mut serial = 0;
    for (steps, then) in batches {
        let batch = batch(&model, &steps, &mut serial);
        model.write(batch.clone()).expect("the steps leave no holes");
        disk.write(batch).unwrap();
        assert_equal(&*disk, &model);
        if matches!(then, Then::Reclaim | Then::ReclaimAndRestart) {
            disk.reclaim().unwrap();
            assert_equal(&*disk, &model);
        }
        if matches!(then, Then::Restart | Then::ReclaimAndRestart) {
            drop(disk);
            disk = open(&path, sizes);
            drop(model);
            model = model_disk.open().unwrap();
            assert_equal(&*disk, &model);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_disk_and_the_model_agree_after_any_history(batches in batches(14)) {
        run(batches, LogSizes::default());
    }

    /// So small that files are given back, reused and rewritten all the time.
    #[test]
    fn they_agree_as_well_when_the_log_has_many_small_files(batches in batches(60)) {
        run(batches, LogSizes { file_bytes: 1 << 10, purge_bytes: 4 << 10 });
    }
}
