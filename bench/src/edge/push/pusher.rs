//! Pusher: a backend. Pushes on schedule or as fast as answers come.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use orrery_host::Host;

use super::api::{Api, ApiKind, Told, Whom};
use super::metronome::{Beat, Metronome, Schedule};
use crate::clock::Clock;
use crate::edge::client::stamp::Stamp;
use crate::edge::limits::PUSHES_IN_FLIGHT_MAX;
use crate::latency::Latencies;

/// Somebody who pushes.
pub struct Pusher {
    api: Api,
    clock: Clock,
    host: Host,
}

/// What is pushed in a run.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Which run it is.
    pub run: u16,
    /// Length of each body.
    pub bytes: usize,
}

/// What became of a run of pushes, as the backend sees it.
#[derive(Debug, Default)]
pub struct Pushes {
    /// Calls made.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// How the first of them did.
    pub first_failure: Option<String>,
    /// The sum of all receipts.
    pub told: Told,
    /// From due to answered.
    pub answered: Latencies,
    /// From due to called: how late the client itself was.
    pub late: Latencies,
    /// From the first call to the last answer.
    pub took: Duration,
    /// From the first call to the last.
    pub calling_took: Duration,
}

/// One call that ended.
struct Ended {
    beat: Beat,
    result: Result<Told, String>,
}

impl Pusher {
    /// Connects when it first pushes.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(host: &Host, clock: Clock, kind: ApiKind, address: &str) -> anyhow::Result<Self> {
        Ok(Self { api: Api::new(host, kind, address)?, clock, host: host.clone() })
    }

    /// Pushes on schedule, whatever becomes of the pushes before.
    pub async fn on_schedule(
        &self,
        load: Load,
        schedule: Schedule,
        whom: &dyn Fn(u64) -> Whom,
    ) -> Pushes {
        let mut pushes = Pushes::default();
        let begun_ns = self.clock.now_ns();
        let mut metronome = Metronome::start(&self.host, self.clock, schedule, begun_ns, (0, 1));
        let mut calls = FuturesUnordered::new();
        let mut over = false;
        while !over || !calls.is_empty() {
            tokio::select! {
                biased;
                // A push that is due leaves before an answer is looked at: rates are kept.
                beat = metronome.next(), if !over && calls.len() < PUSHES_IN_FLIGHT_MAX => match beat {
                    Some(beat) => {
                        pushes.calling(beat, self.clock.now_ns());
                        calls.push(self.push(load, beat, whom(beat.number)));
                    }
                    None => {
                        over = true;
                        pushes.calling_took = self.since(begun_ns);
                    }
                },
                Some(ended) = calls.next() => pushes.ended(ended, self.clock.now_ns()),
            }
        }
        pushes.took = self.since(begun_ns);
        pushes
    }

    /// Pushes for a time from so many callers, each of which waits for its answer.
    pub async fn as_fast_as_answered(
        &self,
        load: Load,
        callers: usize,
        lasting: Duration,
        whom: &dyn Fn(u64) -> Whom,
    ) -> Pushes {
        let mut pushes = Pushes::default();
        let begun_ns = self.clock.now_ns();
        let end_ns = begun_ns + lasting.as_nanos() as u64;
        let mut calls = FuturesUnordered::new();
        loop {
            let now_ns = self.clock.now_ns();
            if now_ns < end_ns && calls.len() < callers {
                let beat = Beat { number: pushes.calls, due_ns: now_ns };
                pushes.calling(beat, now_ns);
                calls.push(self.push(load, beat, whom(beat.number)));
                continue;
            }
            match calls.next().await {
                Some(ended) => pushes.ended(ended, self.clock.now_ns()),
                None => break,
            }
        }
        pushes.took = self.since(begun_ns);
        pushes.calling_took = pushes.took;
        pushes
    }

    /// Pushes once, now.
    pub async fn once(&self, load: Load, number: u64, whom: Whom) -> Pushes {
        let mut pushes = Pushes::default();
        let beat = Beat { number, due_ns: self.clock.now_ns() };
        pushes.calling(beat, beat.due_ns);
        pushes.ended(self.push(load, beat, whom).await, self.clock.now_ns());
        pushes
    }

    fn push(&self, load: Load, beat: Beat, whom: Whom) -> impl Future<Output = Ended> + use<> {
        let Beat { number, due_ns } = beat;
        let body = Stamp { run: load.run, number, due_ns }.body(load.bytes);
        let push = self.api.push(number, whom, body);
        async move { Ended { beat, result: push.await } }
    }

    fn since(&self, begun_ns: u64) -> Duration {
        Duration::from_nanos(self.clock.now_ns() - begun_ns)
    }
}

impl Pushes {
    fn calling(&mut self, beat: Beat, now_ns: u64) {
        self.calls += 1;
        self.late.record(now_ns.saturating_sub(beat.due_ns));
    }

    fn ended(&mut self, ended: Ended, now_ns: u64) {
        match ended.result {
            Ok(told) => {
                self.told.add(&told);
                self.answered.record(now_ns.saturating_sub(ended.beat.due_ns));
            }
            Err(words) => {
                self.failed += 1;
                self.first_failure.get_or_insert(words);
            }
        }
    }

    /// Refuses pushes of which some failed.
    ///
    /// # Errors
    /// When one did.
    pub fn all_taken(&self) -> anyhow::Result<()> {
        match &self.first_failure {
            Some(words) => {
                anyhow::bail!("{} of {} pushes failed, first: {words}", self.failed, self.calls)
            }
            None => Ok(()),
        }
    }
}
