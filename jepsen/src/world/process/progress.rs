//! Progress: tells a person what a run is doing while it does it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::command::say;
use crate::recorder::Recorder;

/// Pause between two counts.
const EVERY: Duration = Duration::from_secs(10);

/// One run as it tells itself. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    began: Instant,
    seed: u64,
}

impl Progress {
    /// A run that begins now.
    pub(crate) fn begin(seed: u64) -> Self {
        Self { began: Instant::now(), seed }
    }

    /// Tells one thing.
    pub(crate) fn say(&self, what: &str) {
        say(&format!("[{} {:6.1} s] {what}", self.seed, self.began.elapsed().as_secs_f64()));
    }

    /// Tells how many operations ended ok, from time to time, until it is dropped.
    pub(crate) async fn count(self, recorder: Recorder) {
        let mut before = 0;
        loop {
            sleep(EVERY).await;
            let ok = recorder.ok();
            let rate = (ok - before) as f64 / EVERY.as_secs_f64();
            self.say(&format!("{ok} operations ok, {rate:.0} a second"));
            before = ok;
        }
    }
}
