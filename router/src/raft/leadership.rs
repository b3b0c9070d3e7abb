//! Leadership: who leads a shard, as far as this node has evidence. What openraft names is the leader of the
//! newest vote; a node that is cut off goes on naming it for ever, itself included, because with pre-votes it
//! never gets to a newer one.

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Instant as _, RaftMetrics};
use orrery_model::NodeId;

use super::group::Group;
use super::members::Standing;
use super::types::Types;
use crate::error::WriteError;

impl Group {
    /// The term in which this node leads the shard, as far as it knows.
    pub(crate) fn leading_term(&self) -> Option<u64> {
        // Not openraft's `as_leader`: that goes by the vote alone, which a leader that has restarted still
        // holds although it leads no more.
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let leads = metrics.state.is_leader() && metrics.current_leader == Some(metrics.id);
        leads.then_some(metrics.vote.leader_id.term)
    }

    /// Who leads, while there is evidence of it: this node while its quorum answers, another one while it is
    /// heard.
    pub(super) fn evident_leader(&self, metrics: &RaftMetrics<Types>) -> Option<NodeId> {
        let leader = metrics.current_leader?;
        let evident = match leader == metrics.id {
            true => metrics.state.is_leader() && self.has_quorum(metrics),
            false => self.heard.is_steady(),
        };
        evident.then_some(NodeId(leader))
    }

    /// Whether a quorum answered this leader lately: the very rule by which openraft takes entries.
    fn has_quorum(&self, metrics: &RaftMetrics<Types>) -> bool {
        if metrics.membership_config.voter_ids().eq([metrics.id]) {
            return true;
        }
        let acked = metrics.last_quorum_acked.map(|acked| acked.into_inner().elapsed());
        acked.is_some_and(|ago| ago < self.lease)
    }

    /// Begins nothing more of its own accord, neither heartbeats nor elections. Says whether heartbeats may be
    /// under way.
    pub(crate) fn fall_silent(&self) -> bool {
        self.set_ticking(false);
        self.standing() == Standing::Leads
    }

    /// Why an entry would be refused, and certainly not logged, if it were handed to the core now; none where
    /// it may be taken.
    pub(crate) fn refuses(&self) -> Option<WriteError> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let named = metrics.current_leader.map(NodeId);
        let me = Some(NodeId(metrics.id));
        if !metrics.state.is_leader() || named != me {
            return Some(WriteError::NotLeader { leader: named.filter(|_| named != me) });
        }
        let lost = || WriteError::Unavailable("the leader has lost its quorum".to_owned());
        (!self.has_quorum(&metrics)).then(lost)
    }
}
