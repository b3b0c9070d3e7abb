//! Doorkeeper: who may speak to this node as a peer, by what it knows of the cluster, and what it learns of
//! itself from who knocks.

use std::sync::{Arc, Weak};

use orrery_model::cluster::{Node, NodeState};

use crate::desk::Desk;
use crate::failure::Failure;
use crate::limits::REPORT_LIFE;
use crate::peers::{Door, Envelope, Gate, InstanceOf, Known, Me, Refusal};
use crate::view::Views;

/// The data directories that the cluster knows its nodes by.
pub(crate) fn instances(views: &Views) -> InstanceOf {
    let views = views.clone();
    InstanceOf::new(move |node| views.now().nodes.get(&node).map(|(node, _)| node.instance.clone()))
}

/// The door, and what the node learns from who knocks.
pub(crate) struct Doorkeeper {
    door: Door,
    me: Arc<Node>,
    failure: Failure,
}

impl Doorkeeper {
    pub(crate) fn new(
        me: Me,
        node: Arc<Node>,
        views: Views,
        desk: Weak<Desk>,
        failure: Failure,
    ) -> Self {
        Self { door: door(me, views, desk), me: node, failure }
    }
}

impl Gate for Doorkeeper {
    fn check(&self, envelope: &Envelope) -> Result<(), Refusal> {
        let checked = self.door.check(envelope);
        // A number is known by one directory for ever: this one can never be of the cluster.
        let lost = matches!(checked, Err(Refusal::WrongNode(_)))
            && envelope.to == self.me.id
            && !envelope.to_instance.is_empty()
            && envelope.to_instance != self.me.instance;
        if lost {
            let (node, held) = (self.me.id, &envelope.to_instance);
            self.failure.report(format!(
                "the cluster knows node {node} by another data directory (instance {held}): a lost \
                 disk comes back under a new node id"
            ));
        }
        checked
    }
}

/// Who is let in: members with the directory they joined with.
fn door(me: Me, views: Views, desk: Weak<Desk>) -> Door {
    Door::new(me, move |node| {
        let view = views.now();
        match view.nodes.get(&node) {
            Some((_, NodeState::Removed)) => Known::Removed,
            Some((node, _)) => Known::Member { instance: node.instance.clone() },
            // What this node knows may be older than whoever knocks: it may even be the leader that
            // would tell.
            None => match view.learnt && hears_the_leader(&desk) {
                true => Known::Unknown,
                false => Known::NotLearnt,
            },
        }
    })
}

fn hears_the_leader(desk: &Weak<Desk>) -> bool {
    let silence = desk.upgrade().and_then(|desk| desk.silence());
    silence.is_some_and(|silence| silence <= REPORT_LIFE)
}
