//! Lobby: what a node is at the moment, for whoever comes in by its services: opening its disk, blank,
//! a member, or gone. Outlives nothing: the member itself is owned by the node's life.

use std::sync::{Arc, Weak};

use orrery_model::NodeId;
use orrery_model::cluster::Node;
use orrery_model::control::Found;
use orrery_router_store::{Blank, Identity};
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use crate::failure::Failure;
use crate::limits::CLUSTER_ID_BYTES_MAX;
use crate::member::Member;
use crate::plan::{self, PlanError};

/// What a node is at the moment.
#[derive(Clone, Default)]
pub(crate) enum Phase {
    /// It was not said yet.
    #[default]
    Opening,
    /// It belongs to no cluster yet.
    Blank(Blank),
    /// It is becoming a member.
    Joining(Identity),
    /// It is a member.
    Member(Identity, Weak<Member>),
    /// It is stopping.
    Gone,
}

/// What a node is asked to become a member of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Adoption {
    pub(crate) cluster_id: String,
    /// Whom this is for, and in which directory.
    pub(crate) node: NodeId,
    pub(crate) instance: String,
    /// Data shards of the cluster.
    pub(crate) shards: u32,
    /// How it begins; none for a node that joins later.
    pub(crate) founding: Option<Found>,
}

/// Why a node did not become a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AdoptError {
    /// It is meant for another node, or for a directory that was lost.
    #[error("this is node {node} with instance {instance:?}, not {asked}")]
    OtherNode { node: NodeId, instance: String, asked: String },
    /// It is a member already, of another cluster or by another plan.
    #[error("this node belongs to cluster {cluster_id:?} already, founded otherwise")]
    OtherCluster { cluster_id: String },
    /// The plan does not have it.
    #[error("{0}")]
    NotInPlan(String),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The directory could not be written; it is as it was.
    #[error("the data directory: {0}")]
    Disk(String),
}

type Answer = oneshot::Sender<Result<(), AdoptError>>;

/// An identity to take, and who waits for it to be taken.
pub(crate) type Offer = (Identity, Answer);

/// What a node is at the moment.
pub(crate) struct Lobby {
    /// This node; its instance is known once its disk was opened.
    node: RwLock<Arc<Node>>,
    phase: RwLock<Phase>,
    offers: mpsc::Sender<Offer>,
    failure: Failure,
}

impl Lobby {
    /// A node whose disk was not opened yet, and where its life hears of offers.
    pub(crate) fn new(node: Node, failure: Failure) -> (Arc<Self>, mpsc::Receiver<Offer>) {
        let (offers, taken) = mpsc::channel(1);
        let (node, phase) = (RwLock::new(Arc::new(node)), RwLock::default());
        (Arc::new(Self { node, phase, offers, failure }), taken)
    }

    /// This node, with the addresses it has now.
    pub(crate) fn node(&self) -> Arc<Node> {
        self.node.read().clone()
    }

    /// What the node is.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.read().clone()
    }

    /// Says what the node is from now on.
    pub(crate) fn enter(&self, phase: Phase) {
        let instance = match &phase {
            Phase::Blank(blank) => Some(&blank.instance),
            Phase::Joining(identity) | Phase::Member(identity, _) => Some(&identity.instance),
            Phase::Opening | Phase::Gone => None,
        };
        if let Some(instance) = instance {
            Arc::make_mut(&mut self.node.write()).instance.clone_from(instance);
        }
        *self.phase.write() = phase;
    }

    /// The member, where the node is one.
    ///
    /// # Errors
    /// A status that says what it is instead.
    pub(crate) fn member(&self) -> Result<Arc<Member>, Status> {
        let gone = || Status::unavailable("the node is stopping");
        match &*self.phase.read() {
            Phase::Opening | Phase::Joining(_) => Err(Status::unavailable("the node is starting")),
            Phase::Blank(_) => Err(Status::unavailable("the node belongs to no cluster yet")),
            Phase::Member(_, member) => member.upgrade().ok_or_else(gone),
            Phase::Gone => Err(gone()),
        }
    }

    /// Why the node cannot serve, where it is no member; nothing where it is one.
    pub(crate) fn not_serving(&self) -> Option<String> {
        if let Some(reason) = self.failure.reason() {
            return Some(reason.to_string());
        }
        self.member().err().map(|status| status.message().to_owned())
    }

    /// Makes the node a member. A repeat changes nothing.
    ///
    /// # Errors
    /// See [`AdoptError`].
    pub(crate) async fn adopt(&self, adoption: Adoption) -> Result<(), AdoptError> {
        let identity = identity(adoption)?;
        match self.phase() {
            Phase::Joining(held) | Phase::Member(held, _) => repeat(&held, &identity),
            Phase::Blank(blank) => {
                if (blank.node, &blank.instance) != (identity.node, &identity.instance) {
                    let asked = format!("node {} {:?}", identity.node, identity.instance);
                    let Blank { node, instance } = blank;
                    return Err(AdoptError::OtherNode { node, instance, asked });
                }
                let (answer, answered) = oneshot::channel();
                let ended = || AdoptError::Disk("the node is stopping".to_owned());
                self.offers.send((identity, answer)).await.map_err(|_| ended())?;
                answered.await.map_err(|_| ended())?
            }
            Phase::Opening | Phase::Gone => {
                Err(AdoptError::Disk("the node is starting or stopping".to_owned()))
            }
        }
    }
}

/// Whether what is asked is what was done.
pub(crate) fn repeat(held: &Identity, asked: &Identity) -> Result<(), AdoptError> {
    if (held.node, &held.instance) != (asked.node, &asked.instance) {
        let asked = format!("node {} {:?}", asked.node, asked.instance);
        let (node, instance) = (held.node, held.instance.clone());
        return Err(AdoptError::OtherNode { node, instance, asked });
    }
    match held == asked {
        true => Ok(()),
        false => Err(AdoptError::OtherCluster { cluster_id: held.cluster_id.clone() }),
    }
}

fn identity(adoption: Adoption) -> Result<Identity, AdoptError> {
    let Adoption { cluster_id, node, instance, shards, founding } = adoption;
    if !(1..=CLUSTER_ID_BYTES_MAX).contains(&cluster_id.len()) {
        let wrong = format!("the id of a cluster has 1 to {CLUSTER_ID_BYTES_MAX} bytes");
        return Err(AdoptError::Invalid(wrong));
    }
    if !(1..=orrery_model::limits::SLOTS).contains(&(shards as usize)) {
        return Err(AdoptError::Invalid(format!("{shards} is no number of data shards")));
    }
    if let Some(plan) = &founding {
        let checked = plan::check_whole(plan)
            .and_then(|()| plan::check(plan, &cluster_id, shards, node, &instance));
        checked.map_err(|error| match error {
            PlanError::NotInPlan { .. } => AdoptError::NotInPlan(error.to_string()),
            _ => AdoptError::Invalid(error.to_string()),
        })?;
    }
    let founding = founding.as_ref().map(plan::encode).unwrap_or_default();
    Ok(Identity { cluster_id, node, instance, shards, founding })
}
