//! Totals: how many members rooms have over all comets, as logic last said.

use std::collections::HashMap;

use orrery_model::Address;
use orrery_proto::edge::RoomTotals;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::TOTALS_MAX_AGE;

struct Total {
    count: u32,
    at: Instant,
}

/// Room totals by the room's id. Logic names only rooms that this comet is listed for, so they are as
/// many as its rooms.
#[derive(Default)]
pub(crate) struct Totals(Mutex<HashMap<String, Total>>);

impl Totals {
    /// Takes what logic sent, and forgets what it has not mentioned for long.
    pub(crate) fn update(&self, totals: RoomTotals, now: Instant) {
        let mut known = self.0.lock();
        known.retain(|_, total| now.duration_since(total.at) < TOTALS_MAX_AGE);
        for total in totals.totals {
            known.insert(total.room, Total { count: total.count, at: now });
        }
    }

    /// The room's members over all comets, where logic said so lately.
    pub(crate) fn of(&self, room: &Address, now: Instant) -> Option<u32> {
        let known = self.0.lock();
        let total = known.get(room.id.as_str())?;
        (now.duration_since(total.at) < TOTALS_MAX_AGE).then_some(total.count)
    }
}

#[cfg(test)]
mod tests {
    use orrery_model::Id;
    use orrery_proto::edge::RoomTotal;

    use super::*;

    #[test]
    fn totals_are_believed_for_a_minute() {
        let totals = Totals::default();
        let now = Instant::now();
        let room = Address::room(Id::new("live://1").unwrap());
        let total = RoomTotal { room: "live://1".to_owned(), count: 7 };
        totals.update(RoomTotals { totals: vec![total] }, now);
        assert_eq!(totals.of(&room, now), Some(7));
        assert_eq!(totals.of(&room, now + TOTALS_MAX_AGE), None);
    }
}
