//! Envelope: who sends a message and whom it is for, and the gate that looks at it before anything else.

use std::fmt;
use std::sync::Arc;

use orrery_model::{NodeId, ShardId};
use orrery_proto::peers as wire;
use seeded_bugs::{Bug, is};

use super::refusal::Refusal;

/// Who this node is to its peers.
#[derive(Debug, Clone)]
pub(crate) struct Me {
    pub(crate) cluster_id: String,
    pub(crate) node: NodeId,
    /// Names the data directory.
    pub(crate) instance: String,
    /// The version that this node speaks.
    pub(crate) protocol: u32,
    /// The data directories that other nodes are known by.
    pub(crate) instance_of: InstanceOf,
}

type OfNode = dyn Fn(NodeId) -> Option<String> + Send + Sync;

/// Tells the data directory that a node is known by. By default of none.
#[derive(Clone, Default)]
pub(crate) struct InstanceOf(Option<Arc<OfNode>>);

impl InstanceOf {
    pub(crate) fn new(of: impl Fn(NodeId) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(of)))
    }

    fn get(&self, node: NodeId) -> Option<String> {
        self.0.as_ref()?(node)
    }
}

impl fmt::Debug for InstanceOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceOf")
    }
}

impl Me {
    /// The envelope of a message to another node.
    pub(crate) fn envelope(&self, shard: ShardId, to: NodeId) -> wire::Envelope {
        wire::Envelope {
            cluster_id: self.cluster_id.clone(),
            shard: shard.0,
            from: self.node.0,
            from_instance: self.instance.clone(),
            to: to.0,
            protocol: self.protocol,
            to_instance: self.instance_of.get(to).unwrap_or_default(),
        }
    }
}

/// Who sent a message, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) cluster_id: String,
    pub(crate) from: NodeId,
    pub(crate) from_instance: String,
    pub(crate) to: NodeId,
    pub(crate) protocol: u32,
    /// The data directory that the sender knows the target by; empty where it does not.
    pub(crate) to_instance: String,
}

impl From<wire::Envelope> for Envelope {
    fn from(wire: wire::Envelope) -> Self {
        Self {
            cluster_id: wire.cluster_id,
            from: NodeId(wire.from),
            from_instance: wire.from_instance,
            to: NodeId(wire.to),
            protocol: wire.protocol,
            to_instance: wire.to_instance,
        }
    }
}

/// Decides whether a message is listened to. Asked for every message, so it must be cheap.
pub(crate) trait Gate: Send + Sync + 'static {
    /// Lets a message in.
    ///
    /// # Errors
    /// Why not; the sender is told.
    fn check(&self, envelope: &Envelope) -> Result<(), Refusal>;
}

impl<F: Fn(&Envelope) -> Result<(), Refusal> + Send + Sync + 'static> Gate for F {
    fn check(&self, envelope: &Envelope) -> Result<(), Refusal> {
        self(envelope)
    }
}

/// What is known of a node that sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// A member with this instance.
    Member {
        /// Names its data directory.
        instance: String,
    },
    /// It was removed for good.
    Removed,
    /// The cluster has no such node.
    Unknown,
    /// This node has not learnt yet who belongs to the cluster, so whoever names it is let in.
    NotLearnt,
}

/// The gate of a node: cluster, target and protocol by what the node is, the sender by what it knows.
pub(crate) struct Door {
    me: Me,
    known: Box<dyn Fn(NodeId) -> Known + Send + Sync>,
}

impl Door {
    /// A gate; `known` says what this node knows of another one.
    pub(crate) fn new(me: Me, known: impl Fn(NodeId) -> Known + Send + Sync + 'static) -> Self {
        Self { me, known: Box::new(known) }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Gate for Door {
    fn check(&self, envelope: &Envelope) -> Result<(), Refusal> {
        let me = &self.me;
        if envelope.cluster_id != me.cluster_id {
            let (ours, theirs) = (me.cluster_id.clone(), envelope.cluster_id.clone());
            return Err(Refusal::WrongCluster { ours, theirs });
        }
        if envelope.to != me.node {
            let detail = format!("this is node {}, the message is for {}", me.node, envelope.to);
            return Err(Refusal::WrongNode(detail));
        }
        // Answered by another directory, what this number promised before would be taken back.
        let other_directory = |known: &str, told: &str| known != told && !is(Bug::NodeIdReused);
        if !envelope.to_instance.is_empty() && other_directory(&me.instance, &envelope.to_instance)
        {
            return Err(Refusal::WrongNode(format!(
                "this is node {} with instance {}, the message is for {}: a lost disk comes back under \
                 a new node id",
                me.node, me.instance, envelope.to_instance
            )));
        }
        if envelope.protocol.abs_diff(me.protocol) > 1 {
            return Err(Refusal::Protocol { ours: me.protocol, theirs: envelope.protocol });
        }
        match (self.known)(envelope.from) {
            Known::NotLearnt => Ok(()),
            Known::Unknown => Err(Refusal::UnknownNode(envelope.from)),
            Known::Removed => Err(Refusal::RemovedNode(envelope.from)),
            Known::Member { instance } if !other_directory(&instance, &envelope.from_instance) => {
                Ok(())
            }
            Known::Member { instance } => Err(Refusal::WrongNode(format!(
                "node {} has instance {instance}, the sender has {}",
                envelope.from, envelope.from_instance
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Me {
        Me {
            cluster_id: "one".to_owned(),
            node: NodeId(1),
            instance: "first".to_owned(),
            protocol: 5,
            instance_of: InstanceOf::default(),
        }
    }

    fn door() -> Door {
        Door::new(me(), |node| match node.0 {
            2 => Known::Member { instance: "second".to_owned() },
            3 => Known::Removed,
            4 => Known::NotLearnt,
            _ => Known::Unknown,
        })
    }

    fn envelope() -> Envelope {
        Envelope {
            cluster_id: "one".to_owned(),
            from: NodeId(2),
            from_instance: "second".to_owned(),
            to: NodeId(1),
            protocol: 5,
            to_instance: "first".to_owned(),
        }
    }

    fn refused(change: impl FnOnce(&mut Envelope)) -> String {
        let mut envelope = envelope();
        change(&mut envelope);
        door().check(&envelope).unwrap_err().detail()
    }

    #[test]
    fn a_known_member_is_let_in_also_one_version_apart() {
        assert_eq!(door().check(&envelope()), Ok(()));
        for protocol in [4, 6] {
            assert_eq!(door().check(&Envelope { protocol, ..envelope() }), Ok(()));
        }
        assert_eq!(door().check(&Envelope { from: NodeId(4), ..envelope() }), Ok(()));
    }

    #[test]
    fn each_mismatch_is_refused_by_name() {
        let words = [
            (refused(|envelope| envelope.cluster_id = "two".to_owned()), "WRONG_CLUSTER: "),
            (refused(|envelope| envelope.to = NodeId(9)), "WRONG_NODE: "),
            (refused(|envelope| envelope.to_instance = "lost".to_owned()), "WRONG_NODE: "),
            (refused(|envelope| envelope.from_instance = "other".to_owned()), "WRONG_NODE: "),
            (refused(|envelope| envelope.from = NodeId(9)), "UNKNOWN_NODE: "),
            (refused(|envelope| envelope.from = NodeId(3)), "REMOVED_NODE: "),
        ];
        for (detail, word) in words {
            assert!(detail.starts_with(word), "{detail} should begin with {word}");
        }
    }

    #[test]
    fn versions_two_apart_are_refused_and_both_are_named() {
        for theirs in [3, 7] {
            let detail = refused(|envelope| envelope.protocol = theirs);
            assert!(detail.starts_with("PROTOCOL: "), "{detail}");
            assert!(detail.contains("protocol 5"), "{detail}");
            assert!(detail.contains(&format!("the sender {theirs}")), "{detail}");
        }
    }
}
