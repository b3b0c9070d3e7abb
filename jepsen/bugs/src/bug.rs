//! Bug: every bug that can be seeded, with the famous one that it is like.

/// A bug that the product can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A write is acknowledged before it is synced.
    AckBeforeSync,
    /// A sync that failed is taken for one that did not.
    SyncErrorIgnored,
    /// A vote that was given is forgotten by a restart.
    VoteNotPersisted,
    /// A leader answers reads without asking whether it still leads.
    ReadWithoutReadIndex,
    /// Any replica answers reads.
    ReadFromFollower,
    /// A lease is reckoned by the wall clock.
    WallClockLease,
    /// Who leads again ends the leases that it did not hear of meanwhile.
    ExpiryByStaleLeader,
    /// A new leader counts seqs from the routes that live.
    SeqCountedAfterFailover,
    /// A snapshot does not bring back the seq counter.
    SeqResetBySnapshot,
    /// A snapshot does not bring back who must not come back.
    MarksLostInSnapshot,
    /// A write of an ended life is taken for one of the present life.
    FencedWriteAccepted,
    /// A snapshot brings back listings that were taken off.
    LeaveResurrected,
    /// A goodbye removes whatever connection is there.
    ExactRemovalSkipped,
    /// A snapshot does not say who the members are.
    SnapshotWithoutMembership,
    /// Commands of one entry take effect in an order of each replica's own.
    NondeterministicApply,
    /// A leader counts what it sent as stored.
    SubQuorum,
    /// A lost disk comes back under its old node id.
    NodeIdReused,
    /// A bind that is repeated is a second bind.
    RepeatBindsAgain,
    /// A vote goes to whoever asks, whatever its log lacks.
    VoteForShorterLog,
    /// A leader that restarts goes on in its old term.
    LeaderRestored,
    /// Nobody loses by policy.
    PolicyIgnored,
    /// A connection that goes is not unbound.
    GoodbyeLost,
    /// A receipt calls queued what was sent and not answered.
    SentIsQueued,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::AckBeforeSync,
        Self::SyncErrorIgnored,
        Self::VoteNotPersisted,
        Self::ReadWithoutReadIndex,
        Self::ReadFromFollower,
        Self::WallClockLease,
        Self::ExpiryByStaleLeader,
        Self::SeqCountedAfterFailover,
        Self::SeqResetBySnapshot,
        Self::MarksLostInSnapshot,
        Self::FencedWriteAccepted,
        Self::LeaveResurrected,
        Self::ExactRemovalSkipped,
        Self::SnapshotWithoutMembership,
        Self::NondeterministicApply,
        Self::SubQuorum,
        Self::NodeIdReused,
        Self::RepeatBindsAgain,
        Self::VoteForShorterLog,
        Self::LeaderRestored,
        Self::PolicyIgnored,
        Self::GoodbyeLost,
        Self::SentIsQueued,
    ];

    /// The bug with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        self.about().0
    }

    /// What is wrong, in a line.
    pub const fn text(self) -> &'static str {
        self.about().1
    }

    /// The famous bug that it is like.
    pub const fn source(self) -> &'static str {
        self.about().2
    }

    const fn about(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::AckBeforeSync => (
                "ack-before-sync",
                "a write is acknowledged before it is synced",
                "NATS JetStream #7564",
            ),
            Self::SyncErrorIgnored => (
                "sync-error-ignored",
                "a sync that failed is taken for one that did not",
                "PostgreSQL's fsyncgate",
            ),
            Self::VoteNotPersisted => (
                "vote-not-persisted",
                "a vote that was given is forgotten by a restart",
                "Raft, figure 2: persistent state",
            ),
            Self::ReadWithoutReadIndex => (
                "read-without-read-index",
                "a leader answers reads without asking whether it still leads",
                "etcd 0.4.1 in Jepsen; etcd #20418",
            ),
            Self::ReadFromFollower => {
                ("read-from-follower", "any replica answers reads", "Consul 0.4.1 in Jepsen")
            }
            Self::WallClockLease => {
                ("wall-clock-lease", "a lease is reckoned by the wall clock", "d-engine #390")
            }
            Self::ExpiryByStaleLeader => (
                "expiry-by-stale-leader",
                "who leads again ends the leases that it did not hear of meanwhile",
                "etcd #12528, #15247",
            ),
            Self::SeqCountedAfterFailover => (
                "seq-counted-after-failover",
                "a new leader counts seqs from the routes that live",
                "Redpanda #6018",
            ),
            Self::SeqResetBySnapshot => (
                "seq-reset-by-snapshot",
                "a snapshot does not bring back the seq counter",
                "etcd #17780",
            ),
            Self::MarksLostInSnapshot => (
                "marks-lost-in-snapshot",
                "a snapshot does not bring back who must not come back",
                "Raft dissertation 6.3: sessions are part of a snapshot",
            ),
            Self::FencedWriteAccepted => (
                "fenced-write-accepted",
                "a write of an ended life is taken for one of the present life",
                "etcd locks in Jepsen (#11457)",
            ),
            Self::LeaveResurrected => (
                "leave-resurrected",
                "a snapshot brings back listings that were taken off",
                "Riak and Cassandra: deletes without tombstones",
            ),
            Self::ExactRemovalSkipped => (
                "exact-removal-skipped",
                "a goodbye removes whatever connection is there",
                "goim: a late goodbye erases the new session",
            ),
            Self::SnapshotWithoutMembership => (
                "snapshot-without-membership",
                "a snapshot does not say who the members are",
                "NATS JetStream #7545",
            ),
            Self::NondeterministicApply => (
                "nondeterministic-apply",
                "commands of one entry take effect in an order of each replica's own",
                "Xline: revisions differ between nodes",
            ),
            Self::SubQuorum => {
                ("sub-quorum", "a leader counts what it sent as stored", "openraft #1802")
            }
            Self::NodeIdReused => (
                "node-id-reused",
                "a lost disk comes back under its old node id",
                "Raft with amnesia; TigerBeetle's reformat",
            ),
            Self::RepeatBindsAgain => {
                ("repeat-binds-again", "a bind that is repeated is a second bind", "Redpanda #3039")
            }
            Self::VoteForShorterLog => (
                "vote-for-shorter-log",
                "a vote goes to whoever asks, whatever its log lacks",
                "Raft 5.4.1: election restriction",
            ),
            Self::LeaderRestored => (
                "leader-restored",
                "a leader that restarts goes on in its old term",
                "openraft's enable_leader_restore",
            ),
            Self::PolicyIgnored => {
                ("policy-ignored", "nobody loses by policy", "goim: two logins under one key")
            }
            Self::GoodbyeLost => (
                "goodbye-lost",
                "a connection that goes is not unbound",
                "goim: sessions that stay for ever",
            ),
            Self::SentIsQueued => (
                "sent-is-queued",
                "a receipt calls queued what was sent and not answered",
                "Bufstream 0.1.0 in Jepsen: acknowledged and lost",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_bug_has_a_name_of_its_own_and_is_found_by_it() {
        let names: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
        assert!(Bug::ALL.into_iter().all(|bug| Bug::named(bug.name()) == Some(bug)));
        assert_eq!(Bug::named("no-such-bug"), None);
    }

    #[test]
    fn each_bug_is_listed_once() {
        let bugs: BTreeSet<Bug> = Bug::ALL.into_iter().collect();
        assert_eq!(bugs.len(), Bug::ALL.len());
        assert!(Bug::ALL.iter().all(|bug| !bug.text().is_empty() && !bug.source().is_empty()));
    }
}
