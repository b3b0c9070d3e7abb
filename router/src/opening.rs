//! Opening: a data shard's leader opens the slots that the cluster was founded with, once.

use std::sync::Arc;

use orrery_model::cluster::Counters;
use orrery_model::command::{Command, Open};
use orrery_model::control::Found;
use orrery_model::{Incarnation, Seq, Slot};
use tokio::time::{Instant, sleep, timeout};

use crate::failure::Failure;
use crate::limits::{LOOK_AGAIN, UPKEEP_PAUSE, UPKEEP_TIMEOUT};
use crate::shard::{ControlShard, DataShard};

/// Whether the shard's slots are open, as far as this replica knows.
pub(crate) fn is_open(shard: &DataShard) -> bool {
    shard.replica().registry(|registry, _| registry.stats().slots > 0)
}

/// Opens the shard's slots when this node leads it and nobody has. Runs until they are open.
pub(crate) async fn open(shard: Arc<DataShard>, control: Arc<ControlShard>, failure: Failure) {
    let mut applied = shard.replica().watch_applied();
    let mut decided = control.replica().watch_applied();
    loop {
        applied.mark_unchanged();
        decided.mark_unchanged();
        if is_open(&shard) {
            return;
        }
        let found = control.replica().control(|control, _| control.found().cloned());
        let leads = shard.group().leading_term().is_some();
        if let Some(command) = found.filter(|_| leads).and_then(|found| command(&shard, &found)) {
            let deadline = Instant::now() + UPKEEP_TIMEOUT;
            // Only what is confirmed to be the newest state can say that nobody has opened them.
            if shard.confirm(deadline).await.is_ok() && !is_open(&shard) {
                match shard.write_in_turn(command, deadline).await.map(|written| written.reply) {
                    Ok(Err(refusal)) => {
                        let shard = shard.id();
                        failure.report(format!("shard {shard} cannot be opened: {refusal}"));
                        return;
                    }
                    // Opened, or in doubt: the next look tells.
                    Ok(Ok(_)) => continue,
                    Err(error) => tracing::debug!(%error, shard = %shard.id(), "not opened yet"),
                }
            }
            sleep(UPKEEP_PAUSE).await;
            continue;
        }
        let news = async {
            tokio::select! {
                biased;
                _ = applied.changed() => {}
                _ = decided.changed() => {}
            }
        };
        // Becoming leader is followed by an entry; should that be missed, it is looked at again.
        let _ = timeout(LOOK_AGAIN, news).await;
    }
}

fn command(shard: &DataShard, found: &Found) -> Option<Command> {
    let slots: Vec<Slot> = found.table.slots_of(shard.id()).collect();
    let Counters { first_incarnation, first_seqs } = &found.counters;
    let next_seq = first_seqs.get(&shard.id()).copied().unwrap_or(Seq(0));
    let floor = (*first_incarnation).max(Incarnation(0));
    let open = Open { next_seq, floor, ..Open::new(slots, found.table.epoch) };
    (!open.slots.is_empty()).then_some(Command::Open(open))
}
