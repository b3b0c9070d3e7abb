//! Operation: an invocation and how it ended.

use std::collections::{BTreeMap, BTreeSet};

use super::{Event, Kind, Op, Refusal};

/// Why events do not pair into operations: the harness that wrote them is broken, and no checker may
/// judge them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// A process began an operation while another was open.
    #[error("event {event}: process {process} begins while its operation of event {open} is open")]
    Open {
        /// The second invocation.
        event: u64,
        /// Whose.
        process: i64,
        /// The first invocation.
        open: u64,
    },
    /// A process ended an operation that it never began.
    #[error("event {event}: process {process} ends an operation that it never began")]
    NotBegun {
        /// The completion.
        event: u64,
        /// Whose.
        process: i64,
    },
    /// A completion is of another kind than its invocation.
    #[error("event {event} ends the {began} of event {open} as {ended}")]
    Other {
        /// The completion.
        event: u64,
        /// The invocation.
        open: u64,
        /// What began.
        began: &'static str,
        /// What ended.
        ended: &'static str,
    },
    /// A process went on after an operation of unknown outcome, which may still take effect.
    #[error(
        "event {event}: process {process} goes on after its operation of event {unknown}, \
             whose outcome nobody knows"
    )]
    Retired {
        /// The invocation.
        event: u64,
        /// Whose.
        process: i64,
        /// The completion that retired it.
        unknown: u64,
    },
}

/// An invocation and how it ended.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    /// Its beginning.
    pub invoke: &'a Event,
    /// Its end; none where the history ended first, which is as good as `info`.
    pub end: Option<&'a Event>,
}

impl<'a> Operation<'a> {
    /// How it ended.
    pub fn kind(&self) -> Kind {
        self.end.map_or(Kind::Info, |end| end.kind)
    }

    /// Whether it certainly happened.
    pub fn is_ok(&self) -> bool {
        self.kind() == Kind::Ok
    }

    /// Whether it may have taken effect: it did, nobody knows, or the registry refused a repeat of it as
    /// it would after a first attempt that did. (A bind is never outranked after it took effect.)
    pub fn may_have_happened(&self) -> bool {
        match self.kind() {
            Kind::Ok | Kind::Info | Kind::Invoke => true,
            Kind::Fail => match self.refusal() {
                None | Some(Refusal::Other(_) | Refusal::Outranked) => false,
                Some(_) => !self.is_exact(),
            },
        }
    }

    /// What it did: with its answers where it ended ok.
    pub fn op(&self) -> &'a Op {
        match self.end {
            Some(end) if end.kind == Kind::Ok => &end.op,
            _ => &self.invoke.op,
        }
    }

    /// Event index of its beginning.
    pub fn began(&self) -> u64 {
        self.invoke.index
    }

    /// Event index after which it takes no more effect; `u64::MAX` where nobody knows.
    pub fn ended(&self) -> u64 {
        match self.end {
            Some(end) if end.kind != Kind::Info => end.index,
            _ => u64::MAX,
        }
    }

    /// The event that tells most of it, for explanations.
    pub fn told_by(&self) -> u64 {
        self.end.unwrap_or(self.invoke).index
    }

    /// The address judged.
    pub fn key(&self) -> Option<&'a str> {
        let end = self.end.and_then(|end| end.key.as_deref());
        end.or(self.invoke.key.as_deref())
    }

    /// The shard that answered.
    pub fn shard(&self) -> Option<u32> {
        self.end.and_then(|end| end.shard).or(self.invoke.shard)
    }

    /// The log index of its answer.
    pub fn log_index(&self) -> Option<u64> {
        self.end.and_then(|end| end.log_index)
    }

    /// Whether it was sent once only, so that its log index is where it took effect.
    pub fn is_exact(&self) -> bool {
        self.end.is_some_and(|end| end.attempts == Some(1))
    }

    /// Why it failed.
    pub fn refusal(&self) -> Option<&'a Refusal> {
        let failed = self.end.filter(|end| end.kind == Kind::Fail);
        failed.and_then(|end| end.error.as_ref())
    }
}

/// A history with its operations.
#[derive(Debug, Clone)]
pub struct History<'a> {
    /// All events.
    pub events: &'a [Event],
    /// All operations, in order of their beginnings.
    pub operations: Vec<Operation<'a>>,
}

impl<'a> History<'a> {
    /// Pairs the events of a history.
    ///
    /// # Errors
    /// [`PairError`] when a process did two things at once or went on after an unknown outcome.
    pub fn new(events: &'a [Event]) -> Result<Self, PairError> {
        let mut operations: Vec<Operation<'a>> = Vec::with_capacity(events.len() / 2);
        let mut open: BTreeMap<i64, usize> = BTreeMap::new();
        let mut retired: BTreeMap<i64, u64> = BTreeMap::new();
        for event in events.iter().filter(|event| !event.op.is_mark()) {
            let process = event.process;
            if event.kind == Kind::Invoke {
                if let Some(unknown) = retired.get(&process) {
                    return Err(PairError::Retired {
                        event: event.index,
                        process,
                        unknown: *unknown,
                    });
                }
                if let Some(earlier) = open.insert(process, operations.len()) {
                    let open = operations[earlier].began();
                    return Err(PairError::Open { event: event.index, process, open });
                }
                operations.push(Operation { invoke: event, end: None });
                continue;
            }
            let Some(begun) = open.remove(&process) else {
                return Err(PairError::NotBegun { event: event.index, process });
            };
            let operation = &mut operations[begun];
            let (began, ended) = (operation.invoke.op.name(), event.op.name());
            if began != ended {
                let open = operation.began();
                return Err(PairError::Other { event: event.index, open, began, ended });
            }
            operation.end = Some(event);
            if event.kind == Kind::Info {
                retired.insert(process, event.index);
            }
        }
        Ok(Self { events, operations })
    }

    /// The names of all operations and marks in it.
    pub fn names(&self) -> BTreeSet<&'static str> {
        self.events.iter().map(|event| event.op.name()).collect()
    }

    /// The time of an event in nanoseconds.
    pub fn time(&self, event: u64) -> u64 {
        usize::try_from(event).ok().and_then(|at| self.events.get(at)).map_or(u64::MAX, |e| e.time)
    }
}
