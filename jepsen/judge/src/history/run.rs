//! Marks of a run: faults and their ends, phases, digests, and what the harness has to say.

use serde::{Deserialize, Serialize};

/// See [`super::Op::Fault`]. Without an outcome it is an announcement that no checker counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The family, like `kill` or `partition`.
    pub family: String,
    /// This fault in words.
    #[serde(default)]
    pub name: String,
    /// What it hit.
    #[serde(default)]
    pub targets: Vec<String>,
    /// `installed`, `skipped` or `indeterminate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<FaultOutcome>,
    /// Why it was skipped or is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultOutcome {
    /// It was in effect.
    Installed,
    /// It was not.
    Skipped,
    /// Nobody knows.
    Indeterminate,
}

/// See [`super::Op::Heal`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heal {
    /// The families that end; empty: all faults are over.
    #[serde(default)]
    pub families: Vec<String>,
}

/// See [`super::Op::Phase`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Which phase begins.
    pub name: PhaseName,
}

/// The phases of a run, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseName {
    /// No faults yet.
    WarmUp,
    /// Faults come and go.
    Main,
    /// All faults end and the cluster recovers.
    Heal,
    /// The last reads; nothing is written.
    Final,
}

/// See [`super::Op::Digest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Which shard.
    pub shard: u32,
    /// The last index applied.
    pub applied: u64,
    /// The digest of the state there, as text.
    pub digest: String,
}

/// See [`super::Op::Standing`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// All nodes that were ever part of the cluster, each with its state's word.
    pub nodes: Vec<(u64, String)>,
    /// Each shard with the nodes that should hold it; the control shard is 0.
    pub placements: Vec<(u32, Vec<u64>)>,
    /// What the node itself holds.
    pub replicas: Vec<Replica>,
    /// The look at which all nodes were asked, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<u64>,
}

/// A replica by the word of its node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Of which shard.
    pub shard: u32,
    /// Who votes, in order.
    pub voters: Vec<u64>,
    /// Who only follows, in order.
    pub learners: Vec<u64>,
    /// The voters are changing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joint: bool,
    /// The term in which its node leads the shard, by its word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leads: Option<u64>,
    /// The last index applied.
    pub applied: u64,
    /// The last index known to be committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<u64>,
    /// The last index of its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Of a data shard: what it says that it holds, at that index or a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// What a replica of a data shard says that it holds, in the figures of its metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Visible routes.
    pub routes: u64,
    /// The seq that the next bind takes.
    pub next_seq: u64,
}

/// See [`super::Op::Drained`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Which router it is.
    pub name: String,
}

/// See [`super::Op::Serving`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// Which shard.
    pub shard: u32,
}

/// See [`super::Op::Ended`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which one.
    pub name: String,
    /// What it said.
    pub why: String,
    /// What explains it; none: nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excuse: Option<String>,
}

/// See [`super::Op::Panicked`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panicked {
    /// Where, and with which words.
    pub text: String,
}

/// See [`super::Op::HarnessFailure`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HarnessFailure {
    /// What went wrong.
    pub text: String,
}
