//! Crowd: the comets that write and the processes that read, the same in every world. Each process has a client
//! of its own and with it its own memory of who leads; only a comet's writer shares one with its life.

use std::ops::RangeInclusive;
use std::time::Duration;

use orrery_router_client::{Client, Config};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::bed::Bed;
use super::life::{self, Lives};
use super::reader::Reader;
use super::stubborn::Stubborn;
use super::writer::Writer;

/// Pause between two looks whether a client has its slot table.
const LOOK: Duration = Duration::from_millis(10);

/// Who asks something of the system, from one place.
#[derive(Debug, Clone)]
pub struct Share {
    /// Where the registries listen that clients know from the start.
    pub nodes: Vec<String>,
    /// Writers, by number.
    pub writers: Vec<usize>,
    /// Readers, by number.
    pub readers: Vec<usize>,
    /// Whom somebody asks by name, whoever leads.
    pub stubborn: Vec<String>,
}

/// Those who ask.
pub struct Crowd {
    /// Those who end when the work does.
    pub processes: JoinSet<()>,
    /// The writers' lives. They go on after the work, so that at the end somebody is there to be seen.
    pub comets: JoinSet<()>,
}

impl Share {
    /// All of so many writers and readers, and one who asks each of these nodes.
    pub fn all(nodes: Vec<String>, writers: usize, readers: usize) -> Self {
        let all = |most: usize| RangeInclusive::new(1, most).collect();
        Self { stubborn: nodes.clone(), nodes, writers: all(writers), readers: all(readers) }
    }

    /// How a client finds the registries.
    pub fn ways(&self) -> Config {
        Config { nodes: self.nodes.clone(), ..Config::default() }
    }

    /// The part of one of so many places.
    pub fn part(&self, place: usize, places: usize) -> Self {
        fn every<T: Clone>(all: &[T], place: usize, places: usize) -> Vec<T> {
            all.iter().skip(place).step_by(places).cloned().collect()
        }
        Self {
            nodes: self.nodes.clone(),
            writers: every(&self.writers, place, places),
            readers: every(&self.readers, place, places),
            stubborn: every(&self.stubborn, place, places),
        }
    }
}

impl Crowd {
    /// Lets a share of them begin.
    pub fn begin(bed: &Bed, share: &Share) -> Self {
        let (mut processes, mut comets) = (JoinSet::new(), JoinSet::new());
        for number in &share.writers {
            let (lives, comet) = (Lives::new(), format!("writer-{number}"));
            let (bed, ways) = (own(bed, share), share.ways());
            let (for_life, its_lives) = (bed.clone(), lives.clone());
            let its_name = comet.clone();
            comets.spawn(async move {
                life::keep(ready(for_life).await, ways, its_name, its_lives).await;
            });
            processes
                .spawn(async move { Writer::new(ready(bed).await, &comet, lives).run().await });
        }
        for number in &share.readers {
            let (bed, name) = (own(bed, share), format!("reader-{number}"));
            processes.spawn(async move { Reader::new(ready(bed).await, &name).run().await });
        }
        for node in &share.stubborn {
            processes.spawn(Stubborn::new(bed.clone(), node).run());
        }
        Self { processes, comets }
    }

    /// Waits until the work has ended.
    pub async fn ended(&mut self) {
        all(&mut self.processes).await;
    }
}

/// The bed of a process that shares its client with nobody.
fn own(bed: &Bed, share: &Share) -> Bed {
    bed.clone().with_client(Client::new(share.ways(), bed.host.clone()))
}

/// Waits until its client knows the shards, so that the first operation already tells its own.
async fn ready(bed: Bed) -> Bed {
    while bed.client.table().is_none() && bed.asks() {
        sleep(LOOK).await;
    }
    bed
}

/// Waits for all of them.
pub async fn all(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a process of the workload does not panic");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_has_one_place() {
        let nodes: Vec<String> = ["one", "two", "three", "four"].map(str::to_owned).into();
        let all = Share::all(nodes.clone(), 5, 3);
        let parts: Vec<Share> = (0..3).map(|place| all.part(place, 3)).collect();
        let mut writers: Vec<usize> = parts.iter().flat_map(|part| part.writers.clone()).collect();
        writers.sort_unstable();
        assert_eq!(writers, [1, 2, 3, 4, 5]);
        assert_eq!(parts.iter().map(|part| part.readers.len()).collect::<Vec<_>>(), [1, 1, 1]);
        let asked: usize = parts.iter().map(|part| part.stubborn.len()).sum();
        assert_eq!(asked, nodes.len());
        assert!(parts.iter().all(|part| part.nodes == nodes));
    }
}
