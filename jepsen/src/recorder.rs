//! Recorder: writes down what every logical process does, in one order.

use std::collections::BTreeSet;
use std::sync::Arc;

use judge::history::{
    Ended, Event, HarnessFailure, Heal, Kind, NEMESIS, Op, Panicked, Refusal, Serving,
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The history of a run as it grows. Clones write the same one.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// Hosts of a simulation have clocks of their own, which all began with it.
    began: Began,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Clone, Copy)]
enum Began {
    Simulation,
    At(Instant),
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Event>,
    processes: i64,
    /// Since everything was healed: the shards that have acknowledged a write.
    serving: Option<BTreeSet<u32>>,
}

/// What an answer says besides its value.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// The shard that answered.
    pub shard: Option<u32>,
    /// The index in its log.
    pub log_index: Option<u64>,
    /// How often a write was sent.
    pub attempts: Option<u32>,
}

impl Recorder {
    /// An empty history of this process, which begins now.
    pub fn begin() -> Self {
        Self { began: Began::At(Instant::now()), inner: Arc::default() }
    }

    /// An empty history of the simulation that writes it.
    pub fn simulated() -> Self {
        Self { began: Began::Simulation, inner: Arc::default() }
    }

    /// A new logical process.
    pub fn process(&self) -> Process {
        Process { recorder: self.clone(), number: self.next_process(), open: None }
    }

    fn next_process(&self) -> i64 {
        let mut inner = self.inner.lock();
        inner.processes += 1;
        inner.processes - 1
    }

    /// Writes a mark of a process.
    pub fn mark(&self, process: i64, op: Op) {
        self.push(process, Kind::Info, op, |_| {});
    }

    /// Writes a mark of the nemesis that speaks of a node.
    pub fn mark_of(&self, node: u64, op: Op) {
        self.push(NEMESIS, Kind::Info, op, |event| event.node = Some(node));
    }

    /// Writes that all faults are over. From here on the first write of each shard is marked.
    pub fn healed(&self) {
        self.mark(NEMESIS, Op::Heal(Heal::default()));
        self.watch_shards();
    }

    /// Begins to look which shards acknowledge a write.
    pub fn watch_shards(&self) {
        self.inner.lock().serving = Some(BTreeSet::new());
    }

    /// How many shards have acknowledged a write since that was last begun.
    pub fn serving(&self) -> usize {
        self.inner.lock().serving.as_ref().map_or(0, BTreeSet::len)
    }

    /// Writes that a process ended by itself, and what explains it, if anything does.
    pub fn ended(&self, name: impl Into<String>, why: impl Into<String>, excuse: Option<String>) {
        let ended = Ended { name: name.into(), why: why.into(), excuse };
        self.mark(NEMESIS, Op::Ended(ended));
    }

    /// Writes that a task of some process panicked.
    pub fn panicked(&self, text: String) {
        self.mark(NEMESIS, Op::Panicked(Panicked { text }));
    }

    /// Writes that the harness could not do its work: the run says nothing about the system.
    pub fn harness_failure(&self, text: String) {
        self.mark(NEMESIS, Op::HarnessFailure(HarnessFailure { text }));
    }

    /// The history so far.
    pub fn events(&self) -> Vec<Event> {
        self.inner.lock().events.clone()
    }

    /// How many operations ended ok so far.
    pub fn ok(&self) -> usize {
        self.inner.lock().events.iter().filter(|event| event.kind == Kind::Ok).count()
    }

    fn push(&self, process: i64, kind: Kind, op: Op, with: impl FnOnce(&mut Event)) {
        let time = match self.began {
            Began::Simulation => turmoil::sim_elapsed().unwrap_or_default(),
            Began::At(began) => began.elapsed(),
        };
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut inner = self.inner.lock();
        // What is said after a simulation has ended has no time of its own.
        let time = inner.events.last().map_or(time, |last| last.time.max(time));
        let mut event = Event::new(inner.events.len() as u64, time, process, kind, op);
        with(&mut event);
        let wrote = event.shard.filter(|_| event.kind == Kind::Ok && event.op.writer().is_some());
        inner.events.push(event);
        if let Some(shard) = wrote
            && inner.serving.as_mut().is_some_and(|serving| serving.insert(shard))
        {
            let index = inner.events.len() as u64;
            let serving = Op::Serving(Serving { shard });
            inner.events.push(Event::new(index, time, NEMESIS, Kind::Info, serving));
        }
    }
}

/// A logical process: one operation at a time, and after one of unknown outcome it goes on as another.
#[derive(Debug)]
pub struct Process {
    recorder: Recorder,
    number: i64,
    open: Option<(Op, Option<String>)>,
}

impl Process {
    /// Its number.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// The history that it writes.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Begins an operation on an address.
    pub fn invoke(&mut self, key: Option<&str>, op: Op) {
        debug_assert!(self.open.is_none(), "one operation at a time");
        let key = key.map(str::to_owned);
        self.recorder
            .push(self.number, Kind::Invoke, op.clone(), |event| event.key.clone_from(&key));
        self.open = Some((op, key));
    }

    /// It happened, and this is what it did.
    pub fn ok(&mut self, op: Op, said: Said) {
        self.end(Kind::Ok, Some(op), said, None);
    }

    /// It did not happen and never will.
    pub fn fail(&mut self, why: impl Into<Refusal>, said: Said) {
        self.end(Kind::Fail, None, said, Some(why.into()));
    }

    /// Nobody knows. The process goes on as another.
    pub fn info(&mut self, why: impl Into<Refusal>) {
        self.end(Kind::Info, None, Said::default(), Some(why.into()));
        self.number = self.recorder.next_process();
    }

    fn end(&mut self, kind: Kind, op: Option<Op>, said: Said, error: Option<Refusal>) {
        let Some((begun, key)) = self.open.take() else { return };
        self.recorder.push(self.number, kind, op.unwrap_or(begun), |event| {
            event.key = key;
            event.shard = said.shard;
            event.log_index = said.log_index;
            event.attempts = said.attempts;
            event.error = error;
        });
    }
}
