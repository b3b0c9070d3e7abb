//! Digest: one number over everything that a replica holds at one index of its log, by which replicas are
//! compared. It covers what a snapshot carries, the shard's members too.

use orrery_model::ShardId;
use orrery_router_core::digest;

use super::entry::encode_meta;
use super::replica::Replica;
use super::snapshot::StateView;
use super::types::SnapshotMeta;

/// What a replica holds at one index, to be made a digest of where that takes nobody's time.
pub(crate) struct Undigested {
    shard: ShardId,
    view: StateView,
    meta: SnapshotMeta,
}

/// A replica's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShardDigest {
    pub(crate) shard: ShardId,
    /// Term of the last entry applied.
    pub(crate) term: u64,
    /// Index of the last entry applied.
    pub(crate) index: u64,
    pub(crate) digest: u64,
}

impl Replica {
    /// The state as it is now, at the price of some thousand references.
    pub(crate) fn undigested(&self) -> Undigested {
        let (view, meta) = self.capture(StateView::of);
        Undigested { shard: self.shard(), view, meta }
    }
}

impl Undigested {
    /// Reads all of it; none where nothing was applied yet.
    pub(crate) fn digest(self) -> Option<ShardDigest> {
        let last = self.meta.last_log_id?;
        // A snapshot's id is its file's, not the state's.
        let meta = encode_meta(self.shard, &self.meta, String::new());
        let digest = digest::with(self.view.digest(), &meta);
        Some(ShardDigest {
            shard: self.shard,
            term: last.leader_id.term,
            index: last.index,
            digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use openraft::entry::RaftEntry as _;
    use openraft::vote::leader_id_std::CommittedLeaderId;
    use orrery_model::command::{Batch, Bind, Command, Open, RouteName, Unbind};
    use orrery_model::{Address, CometRef, Conn, Details, Id, Incarnation, Policy, Seq, Slot};

    use super::*;
    use crate::raft::types::{Entry, LogId, Membership, Payload, PeerAddress};

    const SHARD: ShardId = ShardId(1);

    fn id(index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(1), index)
    }

    fn comet() -> CometRef {
        CometRef { id: Id::new("comet-1").unwrap(), incarnation: Incarnation(1) }
    }

    fn user() -> Address {
        Address::user(Id::new("alice").unwrap())
    }

    /// A replica that has applied these commands, an entry each.
    fn replica(commands: Vec<Command>) -> Replica {
        let replica = Replica::new(SHARD);
        let slots = Slot::all().collect();
        let open = Command::Open(Open { slots, epoch: 1, next_seq: Seq(1), floor: Incarnation(0) });
        for (index, command) in (1..).zip([open].into_iter().chain(commands)) {
            let batch = Batch { elapsed_ms: 0, wall_ms: 0, commands: vec![command] };
            replica.apply(&Entry::new_normal(id(index), Payload::Data(batch.into()))).unwrap();
        }
        replica
    }

    fn unbind(conn: u64) -> Command {
        let (address, comet, route) = (user(), comet(), RouteName::Conn(Conn(conn)));
        Command::Unbind(Unbind { address, comet, route, settled: Conn(1) })
    }

    fn bind(conn: u64) -> Command {
        Command::Bind(Bind {
            address: user(),
            comet: comet(),
            conn: Conn(conn),
            details: Details::default(),
            policy: Policy::default(),
            settled: Conn(1),
            rank: None,
        })
    }

    fn digest(replica: &Replica) -> ShardDigest {
        replica.undigested().digest().expect("it has applied something")
    }

    #[test]
    fn replicas_that_applied_the_same_are_equal() {
        let one = digest(&replica(vec![bind(1), unbind(2)]));
        assert_eq!(one, digest(&replica(vec![bind(1), unbind(2)])));
        assert_eq!((one.term, one.index), (1, 3));
    }

    #[test]
    fn one_mark_makes_a_difference() {
        // Neither removes anything; each leaves a mark of another conn.
        let (one, other) = (replica(vec![unbind(7)]), replica(vec![unbind(8)]));
        assert_eq!(digest(&one).index, digest(&other).index);
        assert_ne!(digest(&one).digest, digest(&other).digest);
    }

    #[test]
    fn members_make_a_difference() {
        let member = |nodes: &[u64]| {
            let replica = replica(vec![bind(1)]);
            let voters: BTreeSet<_> = nodes.iter().copied().collect();
            let addresses: BTreeMap<_, _> =
                voters.iter().map(|node| (*node, PeerAddress::default())).collect();
            let membership = Membership::new(vec![voters], addresses).unwrap();
            replica.apply(&Entry::new_membership(id(3), membership)).unwrap();
            digest(&replica)
        };
        assert_eq!(member(&[1, 2, 3]), member(&[1, 2, 3]));
        assert_ne!(member(&[1, 2, 3]).digest, member(&[1, 2, 4]).digest);
    }

    #[test]
    fn nothing_applied_has_no_digest() {
        assert!(Replica::new(SHARD).undigested().digest().is_none());
    }
}
