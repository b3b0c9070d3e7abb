//! Report: all figures, and whether they are good enough.

use std::time::Duration;

use serde::Serialize;

use super::limits::{
    QUIET_ROOM_MAX, RATE_KEPT_SHARE, ROOM_MEMBERS, ROOM_PUSHES_PER_SECOND, USER_P99_MAX,
    USER_PUSHES_PER_SECOND,
};
use super::parts::{Connects, QuietRooms, Room, Users};
use crate::bar::Bar;
use crate::edge::arrivals::Arrivals;
use crate::machine::Machine;
use crate::resources::Resources;

/// What the parts measured.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) connects: Connects,
    pub(super) users: Users,
    pub(super) quiet_rooms: QuietRooms,
    pub(super) room: Room,
}

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    #[serde(flatten)]
    pub(super) measured: Measured,
    /// What the system's process used altogether; none where it is not our own.
    pub(super) server: Option<Resources>,
    /// Cores that were busy with something else meanwhile: the more, the less the figures mean.
    pub(super) others_cores: Option<f64>,
    pub(super) bars: Vec<Bar>,
}

impl Report {
    pub(super) fn new(
        machine: Machine,
        measured: Measured,
        server: Option<Resources>,
        others_cores: Option<f64>,
    ) -> Self {
        let bars = bars(&measured);
        Self { machine, measured, server, others_cores, bars }
    }
}

fn bars(measured: &Measured) -> Vec<Bar> {
    let Measured { users, quiet_rooms, room, .. } = measured;
    let users = &users.at_rate;
    let (members, room) = (room.members, &room.pushing);
    vec![
        Bar {
            what: "push to one user",
            asked: format!("p99 < {USER_P99_MAX:?} at {USER_PUSHES_PER_SECOND}/s, nothing lost"),
            measured: format!(
                "p99 {:.2} ms at {:.0}/s{}",
                users.to_socket.p99_ms,
                users.per_second,
                amiss(&users.arrivals)
            ),
            reached: users.to_socket.p99_ms < ms(USER_P99_MAX)
                && users.arrivals.are_complete()
                && is_kept(users.per_second, USER_PUSHES_PER_SECOND),
        },
        Bar {
            what: "first message to a quiet room",
            asked: format!("max < {QUIET_ROOM_MAX:?}"),
            measured: format!(
                "max {:.2} ms{}",
                quiet_rooms.to_socket.max_ms,
                amiss(&quiet_rooms.arrivals)
            ),
            reached: quiet_rooms.to_socket.max_ms < ms(QUIET_ROOM_MAX)
                && quiet_rooms.arrivals.are_complete(),
        },
        Bar {
            what: "busy room",
            asked: format!("{ROOM_PUSHES_PER_SECOND}/s to {ROOM_MEMBERS} members, nothing lost"),
            measured: format!(
                "{:.0}/s, {} of {} arrived{}",
                room.deliveries_per_second / members as f64,
                room.arrivals.arrived,
                room.arrivals.expected,
                amiss(&room.arrivals)
            ),
            reached: room.arrivals.are_complete()
                && is_kept(room.deliveries_per_second / members as f64, ROOM_PUSHES_PER_SECOND),
        },
    ]
}

/// Whether a rate was kept up, but for the time of its last messages.
fn is_kept(measured: f64, asked: u64) -> bool {
    measured > asked as f64 * RATE_KEPT_SHARE
}

/// What is wrong with arrivals, if anything is.
fn amiss(arrivals: &Arrivals) -> String {
    match arrivals.are_complete() {
        true => String::new(),
        false => format!(
            ", {} lost, {} too many, {} devices with the wrong ones",
            arrivals.lost, arrivals.surplus, arrivals.mixed_up
        ),
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_when_only_its_end_is_missing() {
        assert!(is_kept(995.0, 1000));
        assert!(!is_kept(900.0, 1000));
    }

    #[test]
    fn a_bar_that_loses_says_what_was_lost() {
        let whole = Arrivals { expected: 5, arrived: 5, lost: 0, surplus: 0, mixed_up: 0 };
        assert_eq!(amiss(&whole), "");
        let short = Arrivals { arrived: 3, lost: 2, ..whole };
        assert_eq!(amiss(&short), ", 2 lost, 0 too many, 0 devices with the wrong ones");
    }
}
