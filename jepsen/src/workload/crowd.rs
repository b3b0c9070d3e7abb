//! Crowd: the comets that write and the processes that read, the same in every world.

use tokio::task::JoinSet;

use super::bed::Bed;
use super::life::{self, Lives};
use super::reader::Reader;
use super::writer::Writer;

/// Who asks something of the system.
pub struct Crowd {
    /// Those who end when the work does.
    pub processes: JoinSet<()>,
    /// The writers' lives. They go on after the work, so that at the end somebody is there to be seen.
    pub comets: JoinSet<()>,
}

impl Crowd {
    /// Lets so many writers and readers begin.
    pub fn begin(bed: &Bed, writers: usize, readers: usize) -> Self {
        let (mut processes, mut comets) = (JoinSet::new(), JoinSet::new());
        for number in 1..=writers {
            let (lives, comet) = (Lives::new(), format!("writer-{number}"));
            comets.spawn(life::keep(bed.clone(), comet.clone(), lives.clone()));
            processes.spawn(Writer::new(bed.clone(), &comet, lives).run());
        }
        for number in 1..=readers {
            processes.spawn(Reader::new(bed.clone(), &format!("reader-{number}")).run());
        }
        Self { processes, comets }
    }

    /// Waits until the work has ended.
    pub async fn ended(&mut self) {
        all(&mut self.processes).await;
    }
}

/// Waits for all of them.
pub async fn all(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a process of the workload does not panic");
    }
}
