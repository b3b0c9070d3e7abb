//! Pusher: a backend. Pushes through the gRPC API, on schedule or as fast as answers come.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use orrery_bench::clock::Clock;
use orrery_bench::latency::Latencies;
use orrery_host::Host;
use orrery_proto::push::push_service_client::PushServiceClient;
use orrery_proto::push::{PushRequest, PushResponse, Summary, Target, Users, target};
use tonic::Status;
use tonic::transport::Channel;

use super::device::OP;
use super::limits::{PUSH_CONNECTIONS, PUSHES_IN_FLIGHT_MAX};
use super::metronome::{Beat, Metronome};
use super::stamp::Stamp;

/// Whom the push of a number is for.
pub(super) type Addressee = dyn Fn(u64) -> Target;

/// Somebody who pushes.
pub(super) struct Pusher {
    clients: Vec<PushServiceClient<Channel>>,
    clock: Clock,
    host: Host,
}

/// What became of a run of pushes, as the backend sees it.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    /// Calls made.
    pub(super) calls: u64,
    /// Calls that failed, and how the first of them did.
    pub(super) failed: u64,
    pub(super) first_failure: Option<Status>,
    /// The sum of all receipts.
    pub(super) told: Told,
    /// From due to answered.
    pub(super) answered: Latencies,
    /// From due to called: how late the client itself was.
    pub(super) late: Latencies,
    /// From the first call to the last answer.
    pub(super) took: Duration,
}

/// What receipts said, in connections (or addresses, of `offline`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Told {
    pub(super) queued: u64,
    pub(super) dropped: u64,
    pub(super) unknown: u64,
    pub(super) gone: u64,
    pub(super) filtered: u64,
    pub(super) offline: u64,
}

/// One call that ended.
struct Ended {
    beat: Beat,
    result: Result<PushResponse, Status>,
}

/// A user as a target.
pub(super) fn user(user: u64) -> Target {
    Target { target: Some(target::Target::Users(Users { ids: vec![user.to_string()] })) }
}

/// A room as a target.
pub(super) fn room(room: &str) -> Target {
    Target { target: Some(target::Target::Room(room.to_owned())) }
}

impl Pusher {
    /// Connects when it first pushes.
    ///
    /// # Errors
    /// When the address is none.
    pub(super) fn new(host: &Host, clock: Clock, address: &str) -> anyhow::Result<Self> {
        let client = |_| {
            let channel = orrery_host::grpc::channel(host.net.clone(), address)?;
            Ok(PushServiceClient::new(channel))
        };
        let clients = (0..PUSH_CONNECTIONS).map(client).collect::<anyhow::Result<_>>()?;
        Ok(Self { clients, clock, host: host.clone() })
    }

    /// Pushes at a rate for a time, whatever becomes of the pushes before.
    pub(super) async fn on_schedule(
        &self,
        run: u64,
        per_second: u64,
        lasting: Duration,
        whom: &Addressee,
    ) -> Pushes {
        let count = per_second * lasting.as_millis() as u64 / 1000;
        let mut metronome = Metronome::start(&self.host, self.clock, per_second, count);
        let mut pushes = Pushes::default();
        let begun_ns = self.clock.now_ns();
        let mut calls = FuturesUnordered::new();
        let mut over = false;
        while !over || !calls.is_empty() {
            tokio::select! {
                biased;
                // A push that is due leaves before an answer is looked at: rates are kept.
                beat = metronome.next(), if !over && calls.len() < PUSHES_IN_FLIGHT_MAX => match beat {
                    Some(beat) => {
                        pushes.calling(beat, self.clock.now_ns());
                        calls.push(self.push(run, beat, whom(beat.number)));
                    }
                    None => over = true,
                },
                Some(ended) = calls.next() => pushes.ended(ended, self.clock.now_ns()),
            }
        }
        pushes.took = Duration::from_nanos(self.clock.now_ns() - begun_ns);
        pushes
    }

    /// Pushes for a time from so many callers, each of which waits for its answer.
    pub(super) async fn as_fast_as_answered(
        &self,
        run: u64,
        callers: usize,
        lasting: Duration,
        whom: &Addressee,
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
                calls.push(self.push(run, beat, whom(beat.number)));
                continue;
            }
            match calls.next().await {
                Some(ended) => pushes.ended(ended, self.clock.now_ns()),
                None => break,
            }
        }
        pushes.took = Duration::from_nanos(self.clock.now_ns() - begun_ns);
        pushes
    }

    /// Pushes once, now.
    pub(super) async fn once(&self, run: u64, number: u64, whom: Target) -> Pushes {
        let mut pushes = Pushes::default();
        let beat = Beat { number, due_ns: self.clock.now_ns() };
        pushes.calling(beat, beat.due_ns);
        pushes.ended(self.push(run, beat, whom).await, self.clock.now_ns());
        pushes
    }

    fn push(&self, run: u64, beat: Beat, whom: Target) -> impl Future<Output = Ended> + use<> {
        let connection = usize::try_from(beat.number).unwrap_or(0) % self.clients.len();
        let mut client = self.clients[connection].clone();
        let Beat { number, due_ns } = beat;
        let body = Stamp { run, number, due_ns }.body();
        let request = PushRequest { target: Some(whom), op: OP, body, ..PushRequest::default() };
        async move {
            let result = client.push(request).await.map(tonic::Response::into_inner);
            Ended { beat, result }
        }
    }
}

impl Pushes {
    fn calling(&mut self, beat: Beat, now_ns: u64) {
        self.calls += 1;
        self.late.record(now_ns.saturating_sub(beat.due_ns));
    }

    fn ended(&mut self, ended: Ended, now_ns: u64) {
        match ended.result {
            Ok(response) => {
                self.told.add(&response.summary.unwrap_or_default());
                self.answered.record(now_ns.saturating_sub(ended.beat.due_ns));
            }
            Err(status) => {
                self.failed += 1;
                self.first_failure.get_or_insert(status);
            }
        }
    }
}

impl Told {
    fn add(&mut self, summary: &Summary) {
        self.queued += u64::from(summary.queued) + u64::from(summary.written);
        self.dropped += u64::from(summary.dropped);
        self.unknown += u64::from(summary.unknown) + u64::from(summary.comets_unknown);
        self.gone += u64::from(summary.gone);
        self.filtered += u64::from(summary.filtered);
        self.offline += u64::from(summary.offline);
    }
}
