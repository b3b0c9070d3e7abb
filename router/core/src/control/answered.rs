//! Answered attaches: what the control shard remembers so that a repeat is answered alike, and an
//! instance that another one has superseded is known as such.
//!
//! Of each (comet, instance) the last answered attempt is kept: that of a living comet always, beside
//! them the [`ANSWERED_ATTACHES_MAX`] with the highest incarnations. What is forgotten is taken for new.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_model::control::{Attach, Comet};
use orrery_model::{CometId, CometRef, Incarnation};

use crate::limits::ANSWERED_ATTACHES_MAX;

/// One answered attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) comet: CometId,
    pub(super) instance: String,
    pub(super) attempt: u64,
    pub(super) position: u64,
}

/// The answered attaches by the incarnation they were given. Attaches are rare, so looking through all
/// of them is cheaper than a second index.
#[derive(Debug, Clone, Default)]
pub(super) struct Answered {
    answers: BTreeMap<Incarnation, Arc<Answer>>,
}

/// What is to be made of an attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is a new one.
    New,
    /// It was answered with this.
    Repeat { incarnation: Incarnation, position: u64 },
    /// A later attach, which was given this incarnation, has taken its place.
    Superseded { incarnation: Incarnation },
}

impl Answered {
    pub(super) fn judge(&self, attach: &Attach) -> Judgement {
        let Some((latest, last)) = self.latest(&attach.comet) else { return Judgement::New };
        if last.instance == attach.instance {
            return match attach.attempt.cmp(&last.attempt) {
                std::cmp::Ordering::Less => Judgement::Superseded { incarnation: latest },
                std::cmp::Ordering::Equal => {
                    Judgement::Repeat { incarnation: latest, position: last.position }
                }
                std::cmp::Ordering::Greater => Judgement::New,
            };
        }
        match self.of_instance(&attach.comet, &attach.instance) {
            Some(_) => Judgement::Superseded { incarnation: latest },
            None => Judgement::New,
        }
    }

    /// Whether another instance has attached since this life was given.
    pub(super) fn is_superseded(&self, comet: &CometRef) -> bool {
        let answer = self.answers.get(&comet.incarnation).filter(|a| a.comet == comet.id);
        let latest = self.latest(&comet.id);
        matches!((answer, latest), (Some(answer), Some((_, last))) if answer.instance != last.instance)
    }

    /// Remembers an answer in place of the instance's earlier one.
    pub(super) fn insert(&mut self, incarnation: Incarnation, attach: &Attach, position: u64) {
        if let Some(earlier) = self.of_instance(&attach.comet, &attach.instance) {
            self.answers.remove(&earlier);
        }
        let answer = Answer {
            comet: attach.comet.clone(),
            instance: attach.instance.clone(),
            attempt: attach.attempt,
            position,
        };
        self.answers.insert(incarnation, Arc::new(answer));
    }

    /// Forgets the oldest answers that are not those of `living` comets and too many.
    pub(super) fn forget_excess(&mut self, living: &BTreeMap<CometId, Arc<Comet>>) {
        let is_past = |incarnation: &Incarnation, answer: &Answer| {
            living.get(&answer.comet).is_none_or(|comet| comet.comet.incarnation != *incarnation)
        };
        while self.answers.len() > living.len() + ANSWERED_ATTACHES_MAX {
            let oldest =
                self.answers.iter().find(|(incarnation, answer)| is_past(incarnation, answer));
            let oldest = *oldest.expect("more answers than living comets").0;
            self.answers.remove(&oldest);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Incarnation, &Answer)> {
        self.answers.iter().map(|(incarnation, answer)| (*incarnation, answer.as_ref()))
    }

    /// Takes an answer as a snapshot tells it; false where the incarnation was taken already.
    pub(super) fn restore(&mut self, incarnation: Incarnation, answer: Answer) -> bool {
        self.answers.insert(incarnation, Arc::new(answer)).is_none()
    }

    fn latest(&self, comet: &CometId) -> Option<(Incarnation, &Answer)> {
        self.iter_back().find(|(_, answer)| answer.comet == *comet)
    }

    fn of_instance(&self, comet: &CometId, instance: &str) -> Option<Incarnation> {
        let mut answers = self.iter_back();
        let found = answers.find(|(_, a)| a.comet == *comet && a.instance == instance);
        found.map(|(incarnation, _)| incarnation)
    }

    fn iter_back(&self) -> impl Iterator<Item = (Incarnation, &Answer)> {
        self.answers.iter().rev().map(|(incarnation, answer)| (*incarnation, answer.as_ref()))
    }
}
