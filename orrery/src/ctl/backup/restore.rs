//! `orrery ctl backup restore`: makes blank nodes a new cluster whose numbers begin far above those of the old
//! one, and of every other cluster made from the same backup.

use std::path::Path;

use orrery_model::cluster::Counters;
use orrery_model::control::Found;
use orrery_model::{Incarnation, Seq, ShardId};

use super::manifest::Manifest;
use super::restores::{GENERATIONS_MAX, Restore, Restores, claim};
use super::verify::read_whole;
use crate::ctl::args::RestoreOptions;
use crate::ctl::cluster::status;
use crate::ctl::context::Context;
use crate::ctl::error::CtlError;
use crate::ctl::founding::{Named, check_plan, describe_all, draw, found, plan_of, protocols};
use crate::ctl::print::Output;

/// How far above the backup's the numbers of its first restore begin, and those of each further one above
/// those of the one before it: more than a cluster gives in its life.
const AHEAD: u64 = 1 << 40;

/// The highest number that a cluster may begin with: as much again is left above it, and a client may keep it
/// with a sign.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// The first version of the protocol that knows where a cluster's numbers begin.
const PROTOCOL: u32 = 2;

/// Makes a new cluster.
pub(in crate::ctl) async fn restore(
    context: &Context,
    options: &RestoreOptions,
) -> Result<Output, CtlError> {
    let RestoreOptions { dir, nodes: addresses, replicas, generation } = options;
    let manifest = read_whole(dir)?;
    let table = manifest.table()?;
    let context = context.at(addresses);
    let nodes = describe_all(&context, addresses).await?;
    if protocols(&nodes).0 < PROTOCOL {
        return Err(CtlError::failed(format!(
            "a restore needs version {PROTOCOL} of the protocol on every node",
        )));
    }
    let now_ms = context.host.clock.wall_ms();
    let book = Book { dir, manifest: &manifest, stated: *generation };
    let plan = match plan_of(&nodes)? {
        // An earlier try was interrupted; what it began is gone on with.
        Some(plan) if plan.table == table && book.generation_of(&plan).is_some() => {
            check_plan(&plan, &nodes)?;
            book.go_on(&plan, entry(&plan, &nodes, now_ms))?;
            plan
        }
        Some(plan) => {
            return Err(CtlError::failed(format!(
                "the nodes belong to the cluster {} already: a backup is restored to blank nodes",
                plan.cluster_id,
            )));
        }
        None => {
            let mut plan = draw(&context.host, &nodes, table, *replicas, Counters::default())?;
            plan.counters = book.begin(entry(&plan, &nodes, now_ms))?;
            plan
        }
    };
    Ok(status(&found(&context, &plan, &nodes).await?))
}

/// What is written down of a restore; its generation is not known yet.
fn entry(plan: &Found, nodes: &[Named], begun_at_ms: u64) -> Restore {
    let nodes = nodes.iter().map(|(address, _)| address.clone()).collect();
    Restore { generation: 0, cluster_id: plan.cluster_id.clone(), begun_at_ms, nodes }
}

/// A backup whose restores are counted.
struct Book<'a> {
    dir: &'a Path,
    manifest: &'a Manifest,
    /// The generation that the operator says this restore is.
    stated: Option<u32>,
}

impl Book<'_> {
    /// Gives a new restore a generation, durably where the folder can be written, and says where its numbers
    /// begin.
    ///
    /// # Errors
    /// When it cannot have the one that was stated, or there is no saying which it is.
    fn begin(&self, mut restore: Restore) -> Result<Counters, CtlError> {
        loop {
            let last = Restores::read(self.dir)?.last();
            restore.generation = match self.stated {
                Some(stated) if stated > last => stated,
                Some(stated) => {
                    return Err(CtlError::failed(format!(
                        "generation {stated} is not above {last}, which this backup was restored as: \
                         state a higher one",
                    )));
                }
                None if last < GENERATIONS_MAX => last + 1,
                None => {
                    return Err(CtlError::failed(format!(
                        "this backup was restored {last} times, which is as often as it can be",
                    )));
                }
            };
            let counters = counters(self.manifest, restore.generation)?;
            match claim(self.dir, &restore) {
                Ok(true) => return Ok(counters),
                // Somebody else restores it at this moment; who stated a generation is refused above.
                Ok(false) => {}
                Err(_) if self.stated.is_some() => return Ok(counters),
                Err(error) => return Err(self.cannot_write(&error)),
            }
        }
    }

    /// Which restore of this backup a plan is, where it is one.
    fn generation_of(&self, plan: &Found) -> Option<u32> {
        let first = plan.counters.first_incarnation.0;
        let generation = first.checked_sub(self.manifest.next_incarnation)? / AHEAD;
        let generation =
            u32::try_from(generation).ok().filter(|n| (1..=GENERATIONS_MAX).contains(n))?;
        let same = counters(self.manifest, generation).is_ok_and(|begun| begun == plan.counters);
        same.then_some(generation)
    }

    /// Makes sure that a restore that some of the nodes know is the one that has its generation.
    ///
    /// # Errors
    /// When that is another one, or the folder does not know and cannot be written.
    fn go_on(&self, plan: &Found, mut restore: Restore) -> Result<(), CtlError> {
        restore.generation = self.generation_of(plan).unwrap_or_default();
        let generation = restore.generation;
        if let Some(stated) = self.stated
            && stated != generation
        {
            return Err(CtlError::failed(format!(
                "the nodes are part of an interrupted restore of generation {generation}, not {stated}",
            )));
        }
        loop {
            match Restores::read(self.dir)?.get(generation) {
                Some(Some(held)) if held.cluster_id == plan.cluster_id => return Ok(()),
                Some(held) => {
                    let other = held.map_or("another cluster", |held| held.cluster_id.as_str());
                    return Err(CtlError::failed(format!(
                        "the nodes are part of the cluster {}, which has the numbers of {other}: wipe them \
                         and restore again",
                        plan.cluster_id,
                    )));
                }
                // Begun from a copy of this backup, or from where it could not be written.
                None => match claim(self.dir, &restore) {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(_) if self.stated.is_some() => return Ok(()),
                    Err(error) => return Err(self.cannot_write(&error)),
                },
            }
        }
    }

    fn cannot_write(&self, error: &std::io::Error) -> CtlError {
        CtlError::failed(format!(
            "{}: a restore cannot be written down there ({error}), so that another one could begin with the \
             same numbers: make it writable, or state by --generation which restore of this backup it is, \
             above that of every earlier one",
            self.dir.display(),
        ))
    }
}

/// Where the numbers of a restore begin.
fn counters(manifest: &Manifest, generation: u32) -> Result<Counters, CtlError> {
    let ahead = |number: u64| {
        let ahead = number.checked_add(AHEAD * u64::from(generation));
        let ahead = ahead.filter(|ahead| *ahead <= NUMBER_MAX);
        ahead.ok_or_else(|| CtlError::failed(format!("no number is left above {number}")))
    };
    let data = manifest.shards.iter().filter(|shard| shard.shard != ShardId::CONTROL.0);
    let first_seqs = data.map(|shard| Ok((ShardId(shard.shard), Seq(ahead(shard.next_seq)?))));
    Ok(Counters {
        first_incarnation: Incarnation(ahead(manifest.next_incarnation)?),
        first_seqs: first_seqs.collect::<Result<_, CtlError>>()?,
    })
}

const _: () = assert!(AHEAD * (GENERATIONS_MAX as u64) <= 1 << 52, "as the limit's reason says");

#[cfg(test)]
mod tests {
    use orrery_model::{SlotTable, ring};

    use super::*;
    use crate::ctl::backup::manifest::ManifestShard;

    fn table() -> SlotTable {
        ring::propose(1, &[ShardId(1), ShardId(2)]).unwrap()
    }

    fn manifest() -> Manifest {
        let mut manifest = Manifest::new("old".to_owned(), 0, &table());
        let shard = |shard, next_seq| ManifestShard {
            shard,
            file: String::new(),
            bytes: 0,
            crc32: 0,
            log_index: 0,
            log_term: 0,
            records: 0,
            next_seq,
            routes: 0,
            listings: 0,
            comets: 0,
        };
        manifest.next_incarnation = 9;
        manifest.shards = vec![shard(0, 0), shard(1, 101), shard(2, 202)];
        manifest
    }

    fn plan(cluster_id: &str, counters: Counters) -> Found {
        let cluster_id = cluster_id.to_owned();
        Found { cluster_id, nodes: Vec::new(), table: table(), placements: Vec::new(), counters }
    }

    fn entry(cluster_id: &str) -> Restore {
        super::entry(&plan(cluster_id, Counters::default()), &[], 0)
    }

    fn numbers(counters: &Counters) -> [u64; 3] {
        let seq = |shard| counters.first_seqs[&ShardId(shard)].0;
        [counters.first_incarnation.0, seq(1), seq(2)]
    }

    #[test]
    fn every_restore_begins_above_all_that_the_one_before_it_can_give() {
        let (dir, manifest) = (tempfile::tempdir().unwrap(), manifest());
        let book = Book { dir: dir.path(), manifest: &manifest, stated: None };
        let begun: Vec<_> =
            ["a", "b", "c"].map(|id| numbers(&book.begin(entry(id)).unwrap())).into();
        assert_eq!(begun[0], [9, 101, 202].map(|number| number + (1 << 40)));
        for pair in begun.windows(2) {
            assert_eq!(pair[1], pair[0].map(|number| number + (1 << 40)));
        }
        let written = Restores::read(dir.path()).unwrap();
        let ids: Vec<_> = written.iter().map(|restore| restore.cluster_id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
    }

    #[test]
    fn an_interrupted_restore_keeps_its_generation() {
        let (dir, manifest) = (tempfile::tempdir().unwrap(), manifest());
        let book = Book { dir: dir.path(), manifest: &manifest, stated: None };
        let first = plan("a", book.begin(entry("a")).unwrap());
        let second = plan("b", book.begin(entry("b")).unwrap());
        for (generation, plan) in [(1, &first), (2, &second)] {
            assert_eq!(book.generation_of(plan), Some(generation));
            book.go_on(plan, entry(&plan.cluster_id)).unwrap();
        }
        assert_eq!(Restores::read(dir.path()).unwrap().last(), 2, "nothing was given away anew");
        // What was begun from a copy of the folder is written down here too, unless it is somebody else's.
        let third = plan("c", counters(&manifest, 3).unwrap());
        book.go_on(&third, entry("c")).unwrap();
        assert_eq!(Restores::read(dir.path()).unwrap().last(), 3);
        let copied = plan("d", second.counters);
        let refused = book.go_on(&copied, entry("d")).unwrap_err().to_string();
        assert!(refused.contains("numbers of b") && refused.contains("wipe"), "{refused}");
    }

    #[test]
    fn a_plan_of_another_backup_is_no_restore_of_this_one() {
        let (dir, manifest) = (tempfile::tempdir().unwrap(), manifest());
        let book = Book { dir: dir.path(), manifest: &manifest, stated: None };
        let sound = counters(&manifest, 1).unwrap();
        for wrong in [
            Counters::default(),
            Counters { first_incarnation: Incarnation(9), ..sound.clone() },
            Counters { first_incarnation: Incarnation((1 << 40) + 10), ..sound.clone() },
            Counters { first_seqs: [(ShardId(1), Seq(1))].into(), ..sound },
        ] {
            assert_eq!(book.generation_of(&plan("a", wrong)), None);
        }
    }

    #[test]
    fn a_stated_generation_is_taken_only_above_all_others() {
        let (dir, manifest) = (tempfile::tempdir().unwrap(), manifest());
        let stating = |stated| Book { dir: dir.path(), manifest: &manifest, stated: Some(stated) };
        let begun = stating(5).begin(entry("a")).unwrap();
        assert_eq!(begun, counters(&manifest, 5).unwrap());
        for taken in [4, 5] {
            let refused = stating(taken).begin(entry("b")).unwrap_err().to_string();
            assert!(refused.contains("not above 5"), "{refused}");
        }
        let refused = stating(6).go_on(&plan("a", begun), entry("a")).unwrap_err().to_string();
        assert!(refused.contains("generation 5, not 6"), "{refused}");
        let book = Book { dir: dir.path(), manifest: &manifest, stated: None };
        assert_eq!(book.begin(entry("c")).unwrap(), counters(&manifest, 6).unwrap());
    }

    #[test]
    fn numbers_that_would_run_out_are_refused() {
        let (dir, mut manifest) = (tempfile::tempdir().unwrap(), manifest());
        claim_last(dir.path());
        let book = Book { dir: dir.path(), manifest: &manifest, stated: None };
        let refused = book.begin(entry("a")).unwrap_err().to_string();
        assert!(refused.contains("4096 times"), "{refused}");
        manifest.next_incarnation = NUMBER_MAX;
        let refused = counters(&manifest, 1).unwrap_err().to_string();
        assert!(refused.contains("no number is left"), "{refused}");
    }

    fn claim_last(dir: &Path) {
        assert!(claim(dir, &Restore { generation: GENERATIONS_MAX, ..entry("last") }).unwrap());
    }
}
