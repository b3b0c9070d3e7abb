//! Crew: what becomes of a comet one of whose workers ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use orrery_comet::Ended;
use orrery_host::system::SystemTasks;
use orrery_host::tasks::{TaskFuture, WorkerStart};
use orrery_host::{Host, Task, Tasks};
use tokio::sync::Notify;

use crate::support::device::{BOTH, Transport};
use crate::support::{Stage, soon};

/// Tasks of which one worker panics when it is asked to.
struct Fragile {
    tasks: SystemTasks,
    worker: &'static str,
    panics: Arc<Notify>,
}

impl Tasks for Fragile {
    fn spawn_boxed(&self, name: &'static str, task: TaskFuture) -> Task {
        self.tasks.spawn_boxed(name, task)
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) -> TaskFuture {
        self.tasks.blocking(name, work)
    }

    fn worker(&self, name: String, start: WorkerStart) -> Task {
        if name != self.worker {
            return self.tasks.worker(name, start);
        }
        let panics = self.panics.clone();
        let start = move || {
            let running = start();
            let fragile = async move {
                tokio::select! {
                    () = running => {}
                    () = panics.notified() => panic!("a panic was asked for"),
                }
            };
            fragile.boxed_local()
        };
        self.tasks.worker(name, Box::new(start))
    }

    fn thread_time(&self) -> Duration {
        self.tasks.thread_time()
    }
}

#[tokio::test]
async fn a_comet_one_of_whose_workers_panics_ends_and_sends_the_devices_of_the_others_elsewhere() {
    for transport in BOTH {
        let panics = Arc::new(Notify::new());
        let tasks = SystemTasks::current();
        let fragile = Fragile { tasks, worker: "comet-1", panics: panics.clone() };
        let host = Host { tasks: Arc::new(fragile), ..Host::system() };
        let stage = Stage::on(host, |config| config.workers = 2).await;
        let mut devices = Vec::new();
        for mid in 1..=4 {
            devices.push(stage.device(transport, &format!(r#"{{"mid":{mid}}}"#)).await);
        }
        assert_eq!(stage.comet.ended().now_or_never(), None);
        panics.notify_one();
        assert_eq!(soon("the end", stage.comet.ended()).await, Ended::Worker(1));
        assert_eq!(stage.comet.ready(), Err("its worker 1 ended".to_owned()));
        // What is left ends in order: nobody's route stays.
        soon("the stop", stage.comet.stop()).await;
        for device in &mut devices {
            device.ended().await;
        }
        assert_eq!(stage.logic.routes(), []);
    }
}

#[tokio::test]
async fn workers_that_end_since_they_were_told_to_are_not_why_a_comet_ends() {
    let stage = Stage::new().await;
    let mut device = stage.device(Transport::Tcp, r#"{"mid":1}"#).await;
    stage.logic.supersede();
    device.ended().await;
    for _ in 0..2 {
        assert_eq!(soon("the end", stage.comet.ended()).await, Ended::Superseded);
    }
}
