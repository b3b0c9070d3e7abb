//! Tenure: what one instance of a comet asks the control shard about its lives, and what it is told.

use std::time::Duration;

use judge::history::{Attach, KeepAlive, Op};
use orrery_model::control::{self, Advertise};
use orrery_model::{CometRef, Id};
use orrery_router_client::{Attached, ClientError, Pulse};
use tokio::time::{Instant, sleep};

use super::bed::Bed;
use super::{OPERATION_TIMEOUT, READ_TIMEOUT};
use crate::recorder::{Process, Said};

/// Pause before something is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// One instance of a comet.
pub(super) struct Tenure {
    bed: Bed,
    process: Process,
    comet: Id,
    instance: String,
    attempt: u64,
}

/// A life that has begun.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) life: CometRef,
    pub(super) attached: Attached,
}

impl Begun {
    /// How often the lease is to be renewed.
    pub(super) fn every(&self) -> Duration {
        Duration::from_millis(u64::from(self.attached.keep_alive_ms))
    }

    /// How long it lasts.
    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(u64::from(self.attached.lease_ms))
    }
}

/// Why no life has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoLife {
    /// Another instance runs under the comet's id: this one is over.
    Superseded,
    /// Nothing is begun any more.
    Over,
}

impl Tenure {
    /// An instance by its number.
    pub(super) fn new(bed: Bed, comet: &str, number: u32) -> Self {
        let (process, instance) =
            (bed.recorder.process(), format!("{comet}-{}-{number}", bed.seed));
        let comet = Id::new(comet).expect("the harness's names are short");
        Self { bed, process, comet, instance, attempt: 0 }
    }

    /// Begins a new life, and asks until that is known.
    pub(super) async fn attach(&mut self) -> Result<Begun, NoLife> {
        self.attempt += 1;
        let ask = control::Attach {
            comet: self.comet.clone(),
            instance: self.instance.clone(),
            attempt: self.attempt,
            advertise: Advertise::default(),
        };
        let op = |incarnation| {
            let (comet, instance) = (ask.comet.to_string(), ask.instance.clone());
            Op::Attach(Attach { comet, instance, attempt: ask.attempt, incarnation })
        };
        loop {
            self.process.invoke(None, op(None));
            let deadline = Instant::now() + OPERATION_TIMEOUT;
            match self.bed.client.attach(ask.clone(), deadline).await {
                Ok(attached) => {
                    let incarnation = attached.incarnation;
                    self.process.ok(op(Some(incarnation.0)), Said::default());
                    let life = CometRef { id: ask.comet, incarnation };
                    return Ok(Begun { life, attached });
                }
                Err(ClientError::Superseded { .. }) => {
                    self.process.fail("superseded", Said::default());
                    return Err(NoLife::Superseded);
                }
                Err(error) => self.failed(&error),
            }
            if !self.bed.works() {
                return Err(NoLife::Over);
            }
            sleep(AGAIN).await;
        }
    }

    /// Renews the lease once; whether the life goes on, as far as is known.
    pub(super) async fn renew(&mut self, life: &CometRef) -> bool {
        let op = Op::KeepAlive(named(life));
        self.process.invoke(None, op.clone());
        match self.bed.client.keep_alive(life.clone(), Instant::now() + READ_TIMEOUT).await {
            Ok(Pulse::Alive) => self.process.ok(op, Said::default()),
            Ok(Pulse::Ended) => {
                self.process.fail("fenced", Said::default());
                return false;
            }
            Ok(Pulse::Superseded) => {
                self.process.fail("superseded", Said::default());
                return false;
            }
            Err(error) => self.process.fail(error.to_string().as_str(), Said::default()),
        }
        true
    }

    /// Ends the life, and asks until that is known.
    pub(super) async fn detach(&mut self, life: &CometRef) {
        while !self.bed.is_over() {
            let op = Op::Detach(named(life));
            self.process.invoke(None, op.clone());
            let deadline = Instant::now() + OPERATION_TIMEOUT;
            match self.bed.client.detach(life.clone(), deadline).await {
                Ok(()) => return self.process.ok(op, Said::default()),
                Err(error) => self.failed(&error),
            }
            sleep(AGAIN).await;
        }
    }

    fn failed(&mut self, error: &ClientError) {
        match error {
            ClientError::Unknown { .. } => self.process.info(error.to_string().as_str()),
            _ => self.process.fail(error.to_string().as_str(), Said::default()),
        }
    }
}

fn named(life: &CometRef) -> KeepAlive {
    KeepAlive { comet: life.id.to_string(), incarnation: life.incarnation.0 }
}
