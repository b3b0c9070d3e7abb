//! Shard: what the records of one shard say, counted while they are copied or read again.

use orrery_model::ShardId;
use orrery_model::record::{ControlRecord, ShardRecord};
use orrery_proto::storage as wire;
use prost::Message as _;

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) records: u64,
    pub(super) routes: u64,
    pub(super) listings: u64,
    pub(super) comets: u64,
    pub(super) next_seq: u64,
    pub(super) next_incarnation: u64,
    heads: u64,
}

impl Tally {
    /// Takes the next record of a shard.
    ///
    /// # Errors
    /// When it is no record of such a shard.
    pub(super) fn count(&mut self, shard: ShardId, record: &[u8]) -> Result<(), String> {
        self.records += 1;
        match shard {
            ShardId::CONTROL => self.count_control(record),
            shard => self.count_data(shard, record),
        }
        .map_err(|what| format!("record {}: {what}", self.records))
    }

    /// Checks that the records were a shard's.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.heads {
            1 => Ok(()),
            heads => Err(format!("{heads} records say where its numbers stand, not one")),
        }
    }

    fn count_data(&mut self, shard: ShardId, record: &[u8]) -> Result<(), String> {
        let record = wire::ShardRecord::decode(record).map_err(|error| error.to_string())?;
        match ShardRecord::try_from(record).map_err(|error| error.to_string())? {
            ShardRecord::Head(head) if head.shard != shard => {
                return Err(format!("it is of shard {}", head.shard));
            }
            ShardRecord::Head(head) => {
                self.heads += 1;
                self.next_seq = head.next_seq.0;
            }
            ShardRecord::Route { .. } => self.routes += 1,
            ShardRecord::Listing { .. } => self.listings += 1,
            ShardRecord::Slot(_)
            | ShardRecord::Fence { .. }
            | ShardRecord::Mark { .. }
            | ShardRecord::Settled { .. } => {}
        }
        Ok(())
    }

    fn count_control(&mut self, record: &[u8]) -> Result<(), String> {
        let record = wire::ControlRecord::decode(record).map_err(|error| error.to_string())?;
        match ControlRecord::try_from(record).map_err(|error| error.to_string())? {
            ControlRecord::Head { next_incarnation, .. } => {
                self.heads += 1;
                self.next_incarnation = next_incarnation.0;
            }
            ControlRecord::Comet(_) => self.comets += 1,
            _ => {}
        }
        Ok(())
    }
}
