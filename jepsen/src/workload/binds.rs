//! Connections come and go: each process is a comet that binds and unbinds connections of a few hot
//! users, repeats what it does not know, and reads.

use std::sync::Arc;
use std::time::Duration;

use orrery_model::command::{Bind, Command, Outcome, RouteName, Unbind};
use orrery_model::control::{Advertise, Attach};
use orrery_model::{Address, CometRef, Conn, Details, Id, Policy};
use orrery_router_client::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::checker::binds_survive::comet_of;
use crate::history::{Op, Phase, Recorder};

/// Users that all processes share: few, so that operations on the same address meet.
const USERS: u64 = 8;

/// Most connections a process keeps bound.
const BOUND_MAX: usize = 20;

/// How long one attempt may take before its outcome counts as unknown.
const ATTEMPT: Duration = Duration::from_millis(500);

/// How long an operation may stay unknown altogether: longer than a restart takes.
const OPERATION: Duration = Duration::from_secs(20);

/// Pause between attempts while the registry is away.
const PAUSE: Duration = Duration::from_millis(20);

/// One logical process.
pub struct Process {
    number: i64,
    client: Client,
    recorder: Arc<Recorder>,
    random: StdRng,
    comet: CometRef,
    next: Conn,
    bound: Vec<(String, Conn)>,
}

/// The user with a number.
pub fn user(number: u64) -> String {
    format!("user-{number}")
}

/// All users of the workload.
pub fn users() -> impl Iterator<Item = String> {
    (0..USERS).map(user)
}

impl Process {
    /// Attaches the process's comet.
    ///
    /// # Errors
    /// When the registry does not answer in time.
    pub async fn start(
        number: i64,
        seed: u64,
        client: Client,
        recorder: Arc<Recorder>,
    ) -> anyhow::Result<Self> {
        let id = Id::new(comet_of(number))?;
        let attach = Attach {
            comet: id.clone(),
            instance: format!("jepsen-{seed}"),
            attempt: 1,
            advertise: Advertise::default(),
        };
        let attached = client.attach(attach, Instant::now() + OPERATION).await?;
        let comet = CometRef { id, incarnation: attached.incarnation };
        let random = StdRng::seed_from_u64(seed ^ u64::from_ne_bytes(number.to_ne_bytes()));
        Ok(Self { number, client, recorder, random, comet, next: Conn(1), bound: Vec::new() })
    }

    /// Works until told to stop.
    pub async fn run(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            match self.random.random_range(0..10) {
                0..5 => self.bind().await,
                5..8 => self.unbind().await,
                _ => {
                    let key = user(self.random.random_range(0..USERS));
                    locate(&self.client, &self.recorder, self.number, &key, ATTEMPT).await;
                }
            }
            // The comet's lease must outlive the run, or its routes go by right.
            if self.next.0.is_multiple_of(16) {
                let _ = self.client.keep_alive(self.comet.clone(), Instant::now() + ATTEMPT).await;
            }
        }
    }

    async fn bind(&mut self) {
        if self.bound.len() >= BOUND_MAX {
            return self.unbind().await;
        }
        let key = user(self.random.random_range(0..USERS));
        let conn = self.next;
        self.next = conn.next();
        let command = Command::Bind(Bind {
            address: address(&key),
            comet: self.comet.clone(),
            conn,
            details: Details::default(),
            policy: Policy::default(),
            settled: conn,
            rank: None,
        });
        let op = |seq| Op::Bind { key: key.clone(), conn: conn.0, seq };
        if let Some(outcome) = self.until_known(op(None), command).await {
            let Outcome::Bound(bound) = outcome else {
                return self.record(Phase::Info, op(None), Some(format!("{outcome:?}")));
            };
            self.record(Phase::Ok, op(Some(bound.seq.0)), None);
            self.bound.push((key, conn));
        }
    }

    async fn unbind(&mut self) {
        if self.bound.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.bound.len());
        let (key, conn) = self.bound.swap_remove(at);
        let command = Command::Unbind(Unbind {
            address: address(&key),
            comet: self.comet.clone(),
            route: RouteName::Conn(conn),
            settled: self.next,
        });
        let op = Op::Unbind { key, conn: conn.0 };
        if self.until_known(op.clone(), command).await.is_some() {
            self.record(Phase::Ok, op, None);
        }
    }

    /// Repeats a write with the same identity until its outcome is known, as a comet does. Each repeat
    /// is recorded; `None` means that it ended refused or unknown, which is recorded too.
    async fn until_known(&self, op: Op, command: Command) -> Option<Outcome> {
        let give_up = Instant::now() + OPERATION;
        self.record(Phase::Invoke, op.clone(), None);
        loop {
            match self.client.write(command.clone(), Instant::now() + ATTEMPT).await {
                Ok(written) => match written.reply {
                    Ok(outcome) => return Some(outcome),
                    Err(refusal) => {
                        self.record(Phase::Fail, op, Some(refusal.to_string()));
                        return None;
                    }
                },
                Err(error) if Instant::now() < give_up && error.may_retry() => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    self.record(Phase::Info, op, Some(error.to_string()));
                    return None;
                }
            }
        }
    }

    fn record(&self, phase: Phase, op: Op, error: Option<String>) {
        self.recorder.record(self.number, phase, op, error);
    }
}

/// Reads a user's connections once and records it. Returns whether it ended ok.
pub async fn locate(
    client: &Client,
    recorder: &Recorder,
    process: i64,
    key: &str,
    timeout: Duration,
) -> bool {
    let op = |routes| Op::Locate { key: key.to_owned(), routes };
    recorder.record(process, Phase::Invoke, op(None), None);
    match client.locate(address(key), false, Instant::now() + timeout).await {
        Ok(located) => {
            let routes = located.routes.iter();
            let routes = routes.map(|r| (r.comet.id.to_string(), r.conn.0, r.seq.0)).collect();
            recorder.record(process, Phase::Ok, op(Some(routes)), None);
            true
        }
        Err(error) => {
            recorder.record(process, Phase::Fail, op(None), Some(error.to_string()));
            false
        }
    }
}

fn address(key: &str) -> Address {
    Address::user(Id::new(key).expect("workload users are short"))
}
