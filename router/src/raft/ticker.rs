//! Ticker: one for all groups of a node. A core's own ticks would wake it many times a second only to
//! find that nothing is due; so they are off while there is a leader, and the ticker sends the heartbeats
//! of the groups that this node leads, in bursts, so that those to one peer leave as one message.
//!
//! It decides about ticks only. Whether and when to campaign is the core's own matter, so that a ticker
//! that is late can at worst delay a heartbeat, which is what elections are for.

use std::sync::Weak;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::sleep;

use super::group::Group;
use super::members::Standing;
use crate::peers::Groups;

/// Groups whose heartbeats leave in one burst: many, because what a burst costs is mostly that it wakes
/// this node and its peers.
const GROUPS_PER_BURST: usize = 64;

/// Most bursts in one interval.
const BURSTS_MAX: usize = 8;

/// A follower whose leader was silent for so many halves of an interval watches for itself: two
/// heartbeats are lost by then. Far less than any election needs.
const SILENCE_HALVES: u32 = 5;

/// What is to be done about a group now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Its followers want to hear of it.
    Heartbeat,
    /// Nothing.
    Nothing,
    /// Its core must watch the time itself.
    Watch,
}

fn due(standing: Standing, heard_ago: Option<Duration>, heartbeat: Duration) -> Due {
    match standing {
        Standing::Leads => Due::Heartbeat,
        // A learner never campaigns, and a leader is only deposed by others.
        Standing::LeadsAlone | Standing::Follows => Due::Nothing,
        Standing::Votes => match heard_ago {
            Some(ago) if ago * 2 <= heartbeat * SILENCE_HALVES => Due::Nothing,
            _ => Due::Watch,
        },
    }
}

/// Ticks for the groups until they are dropped.
pub(crate) async fn run(groups: Weak<dyn Groups>, heartbeat: Duration) {
    let mut burst = 0;
    // A group may miss a burst when the number of groups changes that of the bursts; the next one comes
    // before anybody watches.
    while let Some(pause) = groups.upgrade().map(|groups| {
        let groups = groups.groups();
        let bursts = bursts(groups.len());
        burst = (burst + 1) % bursts;
        for group in groups.iter().filter(|group| group.shard().0 % bursts == burst) {
            group.tick();
        }
        heartbeat / bursts
    }) {
        // Not an interval: after a stall the next bursts come at their distance, not all at once.
        sleep(pause).await;
    }
}

fn bursts(groups: usize) -> u32 {
    let bursts = groups.div_ceil(GROUPS_PER_BURST).clamp(1, BURSTS_MAX);
    u32::try_from(bursts).expect("there are few")
}

impl Group {
    fn tick(&self) {
        // Looked at here because no campaign can be due before the next tick anyway.
        self.look_whether_caught_up();
        let due = due(self.standing(), self.heard.ago(), self.heartbeat);
        self.set_ticking(due == Due::Watch);
        if due == Due::Heartbeat {
            // A core with a full queue is busy enough for its followers to hear of it.
            let _ = self.raft.trigger().heartbeat().now_or_never();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_millis(100);

    fn ago(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    #[test]
    fn a_leader_sends_heartbeats_whatever_it_heard() {
        assert_eq!(due(Standing::Leads, None, HEARTBEAT), Due::Heartbeat);
        assert_eq!(due(Standing::Leads, ago(10_000), HEARTBEAT), Due::Heartbeat);
        assert_eq!(due(Standing::LeadsAlone, None, HEARTBEAT), Due::Nothing);
    }

    #[test]
    fn a_voter_watches_once_its_leader_is_silent() {
        assert_eq!(due(Standing::Votes, None, HEARTBEAT), Due::Watch);
        assert_eq!(due(Standing::Votes, ago(0), HEARTBEAT), Due::Nothing);
        assert_eq!(due(Standing::Votes, ago(250), HEARTBEAT), Due::Nothing);
        assert_eq!(due(Standing::Votes, ago(251), HEARTBEAT), Due::Watch);
    }

    #[test]
    fn who_has_no_vote_never_watches() {
        assert_eq!(due(Standing::Follows, None, HEARTBEAT), Due::Nothing);
        assert_eq!(due(Standing::Follows, ago(10_000), HEARTBEAT), Due::Nothing);
    }
}
