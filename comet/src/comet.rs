//! Comet: what all workers and services of one comet share.

use std::sync::Arc;

use orrery_host::{Random, Tasks};
use orrery_model::Address;
use tokio::time::Instant;

use crate::admission::Admission;
use crate::config::Config;
use crate::drain::Drain;
use crate::edge::Edge;
use crate::http::Sessions;
use crate::limits::{
    RETRY_AFTER_S, RETRY_AFTER_SPREAD_S, RETRY_ELSEWHERE_AFTER_S, RETRY_ELSEWHERE_SPREAD_S,
    ROOM_BYTES_MAX, ROOM_FRAMES_MAX,
};
use crate::mailbox::Workers;
use crate::metrics::Metrics;
use crate::outbox::OutboxLimits;
use crate::presence::Presence;
use crate::totals::Totals;

/// What all workers and services of one comet share.
pub(crate) struct Comet {
    pub(crate) began: Instant,
    pub(crate) config: Config,
    pub(crate) edge: Edge,
    pub(crate) presence: Arc<Presence>,
    pub(crate) totals: Arc<Totals>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) admission: Admission,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) workers: Workers,
    pub(crate) drain: Drain,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) tasks: Arc<dyn Tasks>,
}

impl Comet {
    pub(crate) fn outbox_limits(&self) -> OutboxLimits {
        OutboxLimits { frames: self.config.outbox_frames, bytes: self.config.outbox_bytes }
    }

    /// How much may wait in a room to be written to its members in one piece: a device that reads has room for
    /// as much again.
    pub(crate) fn room_limits(&self) -> OutboxLimits {
        let OutboxLimits { frames, bytes } = self.outbox_limits();
        OutboxLimits {
            frames: (frames / 2).clamp(1, ROOM_FRAMES_MAX),
            bytes: (bytes / 2).min(ROOM_BYTES_MAX),
        }
    }

    /// After how many seconds a device may come back for which there is no place; drawn for each. From a comet that is
    /// drained it should rather go elsewhere.
    pub(crate) fn retry_after_s(&self) -> u64 {
        let (least, spread) = match self.drain.is_on() {
            true => (RETRY_ELSEWHERE_AFTER_S, RETRY_ELSEWHERE_SPREAD_S),
            false => (RETRY_AFTER_S, RETRY_AFTER_SPREAD_S),
        };
        least + self.random.below(spread + 1)
    }

    /// Members of a room: over all comets where logic said so lately, else those of this comet.
    pub(crate) fn room_count(&self, room: &Address) -> i32 {
        let total = self.totals.of(room, Instant::now()).filter(|total| *total > 0);
        let count = total.map_or_else(|| self.presence.members(room), u64::from);
        i32::try_from(count).unwrap_or(i32::MAX)
    }
}
