//! Crew: the threads of the workers. One that ends before it is told to took the devices that it had along, and those
//! that come would still be handed to it: a comet that serves only some of its devices would look alive.

use std::sync::Arc;

use futures_util::FutureExt as _;
use orrery_host::Task;
use tokio::sync::{mpsc, watch};

use crate::comet::Comet;
use crate::mailbox::ToWorker;
use crate::worker;

/// The threads of a comet's workers. They end with it.
pub(crate) struct Crew {
    threads: Vec<Task>,
    /// The first worker whose thread has ended.
    ended: watch::Receiver<Option<usize>>,
}

impl Crew {
    /// Starts the workers that read these mailboxes.
    pub(crate) fn start(comet: &Arc<Comet>, mailboxes: Vec<mpsc::Receiver<ToWorker>>) -> Self {
        let (tell, ended) = watch::channel(None);
        let tell = Arc::new(tell);
        let mut threads = Vec::new();
        for (index, mailbox) in mailboxes.into_iter().enumerate() {
            let comet_of_it = comet.clone();
            let at_work = AtWork { worker: index, ended: tell.clone() };
            let run = async move || {
                let _at_work = at_work;
                worker::run(comet_of_it, index, mailbox).await;
            };
            let start = Box::new(move || run().boxed_local());
            threads.push(comet.tasks.worker(format!("comet-{index}"), start));
        }
        Self { threads, ended }
    }

    /// The first worker that has ended, if one has.
    pub(crate) fn first_ended(&self) -> Option<usize> {
        *self.ended.borrow()
    }

    /// Waits until a worker has ended, and says which was the first.
    pub(crate) async fn ended(&self) -> usize {
        let ended = self.ended.clone().wait_for(Option::is_some).await.map(|first| *first);
        ended.ok().flatten().expect("who could tell has told at its end")
    }

    /// Waits until all of them have ended.
    pub(crate) async fn join(self) {
        for thread in self.threads {
            thread.join().await;
        }
    }
}

/// A worker at work. Its drop tells that the worker has ended, also where it panicked, on whatever host it runs.
struct AtWork {
    worker: usize,
    ended: Arc<watch::Sender<Option<usize>>>,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(worker = self.worker, "a worker panicked; this comet ends");
        }
        self.ended.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(self.worker);
            is_first
        });
    }
}
