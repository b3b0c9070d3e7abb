//! Write: one command of a writer, sent until its client knows or gives up.

use std::ops::RangeInclusive;
use std::time::Duration;

use orrery_model::command::{Command, Outcome, Refusal};
use orrery_router_client::{ClientError, Written};
use rand::Rng as _;
use tokio::time::Instant;

use super::Writer;
use crate::recorder::Said;
use crate::workload::OPERATION_TIMEOUT;

/// Of so many binds and unbinds one is not waited for: it is still under way when the next one follows.
const IMPATIENT_ONE_IN: u32 = 8;

/// How long such a one is waited for, in milliseconds.
const IMPATIENT_MS: RangeInclusive<u64> = 5..=200;

/// How a write ended.
pub(super) enum End {
    Done(Outcome, Said),
    Refused(Refusal, Said),
    NotDone(String),
    Unknown(String),
}

impl Writer {
    /// Sends a command.
    pub(super) async fn write(&mut self, command: Command) -> End {
        let shard = match &command {
            Command::Bind(bind) => self.bed.shard(&bind.address),
            Command::Unbind(unbind) => self.bed.shard(&unbind.address),
            Command::SetRooms(set) => self.bed.shard(&set.address),
            Command::BindRoom(listing) | Command::UnbindRoom(listing) => {
                self.bed.shard(&listing.room)
            }
            Command::ExpireComet(_) | Command::Open(_) => None,
        };
        let patience = match &command {
            Command::Bind(_) | Command::Unbind(_)
                if self.chance.random_ratio(1, IMPATIENT_ONE_IN) =>
            {
                Duration::from_millis(self.chance.random_range(IMPATIENT_MS))
            }
            _ => OPERATION_TIMEOUT,
        };
        match self.bed.client.write(command, Instant::now() + patience).await {
            Ok(Written { reply, log_index, attempts }) => {
                let said = Said { shard, log_index: Some(log_index), attempts: Some(attempts) };
                match reply {
                    Ok(outcome) => End::Done(outcome, said),
                    Err(refusal) => End::Refused(refusal, said),
                }
            }
            Err(error @ ClientError::Unknown { .. }) => End::Unknown(error.to_string()),
            Err(error) => End::NotDone(error.to_string()),
        }
    }
}

/// Whether the same may be asked again after this refusal.
pub(super) fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Unsettled | Refusal::WrongShard { .. })
}
