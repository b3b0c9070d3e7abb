//! Next seqs: what a replica would give next lies above everything that was given before.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::standings::{CONTROL, Standings, staying};
use crate::history::{History, Member, Op, Operation};
use crate::settings::Settings;
use crate::verdict::Violation;

/// A seq that an answer showed.
#[derive(Debug, Clone, Copy, Default)]
struct Given<'a> {
    seq: u64,
    key: &'a str,
    event: u64,
}

/// Everything that was given in a shard.
#[derive(Debug, Default)]
struct Shard<'a> {
    /// By the log index of the answer.
    answers: BTreeMap<u64, Given<'a>>,
    /// The highest of all.
    highest: Option<Given<'a>>,
}

impl<'a> Shard<'a> {
    fn take(&mut self, log_index: Option<u64>, given: Given<'a>) {
        let higher = |held: &Given<'_>| held.seq >= given.seq;
        if let Some(index) = log_index
            && !self.answers.get(&index).is_some_and(higher)
        {
            self.answers.insert(index, given);
        }
        if !self.highest.as_ref().is_some_and(higher) {
            self.highest = Some(given);
        }
    }

    /// Makes each the highest up to there.
    fn close(&mut self) {
        let mut highest = Given::default();
        for given in self.answers.values_mut() {
            if highest.seq > given.seq {
                *given = highest;
            }
            highest = *given;
        }
    }

    /// The highest seq that an answer at this index or before showed.
    fn by_index(&self, log_index: u64) -> Option<Given<'a>> {
        self.answers.range(..=log_index).next_back().map(|(_, given)| *given)
    }
}

/// Whatever a replica says of the seq that its shard gives next, at an index: no answer from there or from before
/// shows one that is as high. At the end no answer of the whole history does, whatever became of the operation, and
/// on whichever replica. What is missing for a verdict, if something is.
pub(super) fn check(
    history: &History<'_>,
    settings: &Settings,
    violations: &mut Vec<Violation>,
) -> Option<String> {
    let shards = given(history);
    for event in history.events {
        let (Op::Standing(standing), Some(node)) = (&event.op, event.node) else { continue };
        for replica in &standing.replicas {
            let Some(held) = replica.held.filter(|_| replica.shard != CONTROL) else { continue };
            let shard = shards.get(&replica.shard);
            let Some(given) = shard.and_then(|shard| shard.by_index(replica.applied)) else {
                continue;
            };
            if held.next_seq <= given.seq {
                let text = format!(
                    "node {node} would give seq {} next in shard {} at index {}, but {} was shown with {} \
                     by then",
                    held.next_seq, replica.shard, replica.applied, given.key, given.seq
                );
                violations.push(Violation::new([given.event, event.index], text));
            }
        }
    }
    let told = last_words(history, &shards, violations);
    let shards = settings.gates.shards.iter().filter(|_| settings.gates.compared);
    let missing: Vec<&u32> = shards.filter(|shard| !told.contains(shard)).collect();
    (!missing.is_empty()).then(|| {
        format!("no replica of the shards {missing:?} said what seq comes next at the end")
    })
}

/// Judges what the nodes said last, when nothing was written any more; the shards of which one did.
fn last_words(
    history: &History<'_>,
    shards: &BTreeMap<u32, Shard<'_>>,
    violations: &mut Vec<Violation>,
) -> BTreeSet<u32> {
    let standings = Standings::new(history);
    let mut told = BTreeSet::new();
    let Some((_, best)) = standings.best() else { return told };
    let stay: BTreeSet<u64> = staying(best).collect();
    for (node, (event, standing)) in &standings.last {
        // What was removed or has gone knows nothing of what came after.
        if !stay.contains(node) || !standings.answers(*node) {
            continue;
        }
        for replica in &standing.replicas {
            let is_placed = Standings::holders(best, replica.shard).contains(node);
            let held = replica.held.filter(|_| is_placed && replica.shard != CONTROL);
            let Some(held) = held else { continue };
            told.insert(replica.shard);
            let highest = shards.get(&replica.shard).and_then(|shard| shard.highest);
            if let Some(given) = highest.filter(|given| held.next_seq <= given.seq) {
                let text = format!(
                    "at the end node {node} would give seq {} next in shard {}, but {} was shown with {}",
                    held.next_seq, replica.shard, given.key, given.seq
                );
                violations.push(Violation::new([given.event, *event], text));
            }
        }
    }
    told
}

/// What was given in each shard, by every answer that shows it.
fn given<'a>(history: &History<'a>) -> BTreeMap<u32, Shard<'a>> {
    let mut shards: BTreeMap<u32, Shard<'a>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        let Some(shard) = operation.shard() else { continue };
        let shard = shards.entry(shard).or_default();
        for (key, seq) in seqs(operation) {
            let given = Given { seq, key, event: operation.told_by() };
            shard.take(operation.log_index(), given);
        }
    }
    shards.values_mut().for_each(Shard::close);
    shards
}

/// The seqs that an answer shows, each with its address.
fn seqs<'a>(operation: &Operation<'a>) -> Vec<(&'a str, u64)> {
    let members: fn(&'a Member) -> (&'a str, u64) = |member| (&member.key, member.seq);
    let of_key: Vec<u64> = match operation.op() {
        Op::CometRoutes(read) => return read.routes.iter().flatten().map(members).collect(),
        Op::ReadRoom(read) => return read.members.iter().flatten().map(members).collect(),
        Op::Bind(bind) => {
            let losers = bind.losers.iter().flatten().map(|loser| loser.seq);
            losers.chain(bind.seq).collect()
        }
        Op::Locate(locate) => locate.routes.iter().flatten().map(|route| route.seq).collect(),
        Op::Online(online) => online.connections.iter().flatten().map(|seen| seen.seq).collect(),
        _ => Vec::new(),
    };
    operation.key().map_or(Vec::new(), |key| of_key.into_iter().map(|seq| (key, seq)).collect())
}
