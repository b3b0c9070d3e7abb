//! Log writer: the one place where anything becomes durable. All shards' appends, votes, truncations
//! and purges go through one queue to one thread; whatever waits is written as one batch and made
//! durable by one sync, and only then are its jobs completed, in the order in which they came.
//!
//! The first failure is final: after a failed sync nobody knows what is on the disk, so every job that
//! waits or comes later fails too, and the node stops.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orrery_host::{Task, Tasks};
use orrery_model::ShardId;
use orrery_router_store::{Store, Write, WriteBatch};
use seeded_bugs::Bug;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::limits::{JOBS_PER_WRITE_MAX, LOG_WRITER_QUEUE_MAX};
use crate::metrics::LogMetrics;

/// Told when a job's change is durable, or that it never will be.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

struct Job {
    shard: ShardId,
    write: Write,
    done: Option<Done>,
}

/// How long a seeded bug puts syncs off.
const SEEDED_DELAY: Duration = Duration::from_millis(50);

/// The queue's near end. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogWriter {
    queue: mpsc::Sender<Job>,
}

/// The writer's thread, owned by the node.
pub(crate) struct LogWriterTask {
    close: oneshot::Sender<()>,
    task: Task,
}

impl LogWriter {
    /// Starts the writer.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        tasks: &Arc<dyn Tasks>,
        failure: Failure,
        metrics: LogMetrics,
    ) -> (Self, LogWriterTask) {
        let (queue, jobs) = mpsc::channel(LOG_WRITER_QUEUE_MAX);
        let (close, closed) = oneshot::channel();
        let worker = Worker { store, jobs, closed, failure, metrics, committed: BTreeMap::new() };
        let start = Box::new(move || -> futures_util::future::LocalBoxFuture<'static, ()> {
            Box::pin(worker.run())
        });
        let task = tasks.worker("log-writer".to_owned(), start);
        (Self { queue }, LogWriterTask { close, task })
    }

    /// Queues a change; `done` is called when it is durable. Waits while the queue is full.
    ///
    /// # Errors
    /// When the writer has stopped; `done` is dropped then.
    pub(crate) async fn submit(&self, shard: ShardId, write: Write, done: Done) -> io::Result<()> {
        if seeded_bugs::is(Bug::AckBeforeSync) && matches!(write, Write::Append(_)) {
            done(Ok(()));
            return self.submit_unwatched(shard, write).await;
        }
        self.queue(Job { shard, write, done: Some(done) }).await
    }

    /// Queues a change that nobody waits for: it takes its place in the order and that is all.
    ///
    /// # Errors
    /// When the writer has stopped.
    pub(crate) async fn submit_unwatched(&self, shard: ShardId, write: Write) -> io::Result<()> {
        self.queue(Job { shard, write, done: None }).await
    }

    /// Makes a change durable before it returns.
    ///
    /// # Errors
    /// When the disk refused or the writer has stopped: nobody knows whether the change is there.
    pub(crate) async fn write(&self, shard: ShardId, write: Write) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        let done = Box::new(move |result| {
            let _ = done.send(result);
        });
        self.submit(shard, write, done).await?;
        durable.await.map_err(|_| stopped())?
    }

    async fn queue(&self, job: Job) -> io::Result<()> {
        self.queue.send(job).await.map_err(|_| stopped())
    }
}

impl LogWriterTask {
    /// Writes what is queued, then ends the thread. Later jobs are refused.
    pub(crate) async fn stop(self) {
        let _ = self.close.send(());
        self.task.join().await;
    }
}

struct Worker {
    store: Arc<dyn Store>,
    jobs: mpsc::Receiver<Job>,
    closed: oneshot::Receiver<()>,
    failure: Failure,
    metrics: LogMetrics,
    /// What is known to be committed but not yet written. It only shortens a restart, so it rides on
    /// the next batch instead of costing a sync of its own; behind everything queued before it, since
    /// it must never become durable before the entries it speaks of.
    committed: BTreeMap<ShardId, Bytes>,
}

impl Worker {
    async fn run(mut self) {
        let mut jobs = Vec::with_capacity(JOBS_PER_WRITE_MAX);
        let mut open = true;
        loop {
            tokio::select! {
                // Jobs first: closing lets everything queued before it through.
                biased;
                count = self.jobs.recv_many(&mut jobs, JOBS_PER_WRITE_MAX) => {
                    if count == 0 {
                        break;
                    }
                    if seeded_bugs::is(Bug::AckBeforeSync) {
                        tokio::time::sleep(SEEDED_DELAY).await;
                    }
                    self.handle(&mut jobs);
                }
                _ = &mut self.closed, if open => {
                    open = false;
                    self.jobs.close();
                }
            }
        }
        if self.failure.reason().is_none() {
            let _ = self.flush(Vec::new());
        }
    }

    fn handle(&mut self, jobs: &mut Vec<Job>) {
        let mut writes = Vec::with_capacity(jobs.len());
        let mut completions = Vec::with_capacity(jobs.len());
        for job in jobs.drain(..) {
            completions.extend(job.done);
            match job.write {
                Write::Committed(position) => {
                    self.committed.insert(job.shard, position);
                }
                Write::Clear => {
                    // It spoke of entries that are no more; behind this it would become durable alone.
                    self.committed.remove(&job.shard);
                    writes.push((job.shard, Write::Clear));
                }
                write => writes.push((job.shard, write)),
            }
        }
        let result = if self.failure.reason().is_some() {
            Err(stopped())
        } else if writes.is_empty() {
            Ok(())
        } else {
            self.flush(writes)
        };
        for done in completions {
            done(result.as_ref().copied().map_err(|error| io::Error::other(error.to_string())));
        }
    }

    fn flush(&mut self, mut writes: Vec<(ShardId, Write)>) -> io::Result<()> {
        let committed = std::mem::take(&mut self.committed);
        writes.extend(committed.into_iter().map(|(shard, at)| (shard, Write::Committed(at))));
        if writes.is_empty() {
            return Ok(());
        }
        self.metrics.batch_changes.observe(writes.len() as f64);
        let begun = Instant::now();
        let result = self.store.write(WriteBatch { writes });
        self.metrics.sync_seconds.observe(begun.elapsed().as_secs_f64());
        if seeded_bugs::is(Bug::SyncErrorIgnored) {
            return Ok(());
        }
        result.map_err(|error| {
            // The engine's words for it are not what an operator looks for.
            let why = if error.is_full() { "the disk is full: " } else { "" };
            self.failure.report(format!("{why}the log cannot be written: {error}"));
            io::Error::other(error)
        })
    }
}

fn stopped() -> io::Error {
    io::Error::other("the log's writer has stopped")
}

#[cfg(test)]
mod tests {
    use orrery_host::Host;
    use orrery_model::NodeId;
    use orrery_router_store::model::ModelDisk;
    use orrery_router_store::{Identity, Record};

    use super::*;
    use crate::metrics::Metrics;

    const SHARD: ShardId = ShardId(1);

    fn disk() -> ModelDisk {
        ModelDisk::new(Identity {
            cluster_id: "test".to_owned(),
            node: NodeId(1),
            instance: "first".to_owned(),
            shards: 1,
            founding: Default::default(),
        })
    }

    fn append(index: u64) -> Write {
        Write::Append(vec![Record { index, bytes: Bytes::from_static(b"entry") }])
    }

    fn start(disk: &ModelDisk) -> (Arc<dyn Store>, LogWriter, LogWriterTask, Failure) {
        let store: Arc<dyn Store> = Arc::new(disk.open().unwrap());
        let (failure, metrics) = (Failure::new(), Metrics::default().log());
        let tasks = Host::system().tasks;
        let (writer, task) = LogWriter::start(store.clone(), &tasks, failure.clone(), metrics);
        (store, writer, task, failure)
    }

    #[tokio::test]
    async fn jobs_complete_in_the_order_in_which_they_came() {
        let (store, writer, task, _failure) = start(&disk());
        let (completed, mut completions) = mpsc::unbounded_channel();
        for index in 0..500 {
            let (completed, store) = (completed.clone(), store.clone());
            let done = Box::new(move |result: io::Result<()>| {
                result.unwrap();
                assert!(store.log_state(SHARD).unwrap().last_index >= index, "not stored yet");
                let _ = completed.send(index);
            });
            writer.submit(SHARD, append(index), done).await.unwrap();
        }
        // A job that is dropped ends the completions instead of holding them up.
        drop(completed);
        for index in 0..500 {
            assert_eq!(completions.recv().await, Some(index));
        }
        task.stop().await;
    }

    #[tokio::test]
    async fn after_the_first_failure_nothing_succeeds_any_more() {
        let disk = disk();
        let (_store, writer, task, failure) = start(&disk);
        writer.write(SHARD, append(0)).await.unwrap();
        disk.fail_next_write();
        assert!(writer.write(SHARD, append(1)).await.is_err());
        assert!(failure.reason().is_some());
        assert!(writer.write(SHARD, Write::Vote(Bytes::new())).await.is_err());
        task.stop().await;
        assert!(writer.write(SHARD, append(2)).await.is_err());
    }

    #[tokio::test]
    async fn what_is_committed_rides_on_the_next_write_or_the_end() {
        let (store, writer, task, _failure) = start(&disk());
        let committed = |at: &'static [u8]| Write::Committed(Bytes::from_static(at));
        writer.write(SHARD, committed(b"one")).await.unwrap();
        assert_eq!(store.committed(SHARD).unwrap(), None);
        writer.write(SHARD, append(0)).await.unwrap();
        assert_eq!(store.committed(SHARD).unwrap().as_deref(), Some(&b"one"[..]));
        writer.write(SHARD, committed(b"two")).await.unwrap();
        task.stop().await;
        assert_eq!(store.committed(SHARD).unwrap().as_deref(), Some(&b"two"[..]));
    }

    #[tokio::test]
    async fn what_is_committed_goes_with_a_log_that_is_cleared() {
        let (store, writer, task, _failure) = start(&disk());
        let committed = |at: &'static [u8]| Write::Committed(Bytes::from_static(at));
        let other = ShardId(0);
        writer.write(SHARD, append(0)).await.unwrap();
        writer.write(SHARD, committed(b"old")).await.unwrap();
        writer.write(other, committed(b"kept")).await.unwrap();
        writer.write(SHARD, Write::Clear).await.unwrap();
        assert_eq!(store.committed(SHARD).unwrap(), None);
        task.stop().await;
        assert_eq!(store.committed(SHARD).unwrap(), None);
        assert_eq!(store.committed(other).unwrap().as_deref(), Some(&b"kept"[..]));
    }
}
