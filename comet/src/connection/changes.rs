//! Changes: a connection's changes of rooms and new binds, one after the other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use orrery_comet_core::Answer;
use orrery_comet_core::json::ErrorCode;
use orrery_model::Id;
use orrery_model::limits::ROOMS_PER_CONNECTION_MAX;

use super::Connection;
use super::agenda::Change;
use super::member::Member;
use super::task::End;
use crate::presence::{BindError, Names, Registration};

/// The change under way; it has the registration until it ends.
pub(super) struct UnderWay {
    work: LocalBoxFuture<'static, (Registration, Result<Arc<Names>, BindError>)>,
    /// The rooms it is in if the change succeeds, and if it does not.
    after: BTreeSet<Id>,
    before: BTreeSet<Id>,
    answer: Option<Answer>,
}

/// What came of a look at the changes.
pub(super) enum Moved {
    /// Nothing.
    Not,
    /// One began or ended: there may be answers to write, and room for further wishes.
    On,
    /// The connection has lost its place.
    End(End),
}

/// A connection's place in the registry and what is being done to it.
// The large variant is the usual one: a box would only add to it.
#[allow(clippy::large_enum_variant)]
pub(super) enum Changes {
    Idle(Registration),
    UnderWay(Box<UnderWay>),
    /// Between the two, and before there is one. Its drop has been the goodbye if it is ever seen in between.
    Taken,
}

impl Changes {
    /// Of a connection that has no place yet.
    pub(super) fn none() -> Self {
        Self::Taken
    }

    pub(super) fn new(registration: Registration) -> Self {
        Self::Idle(registration)
    }

    /// Carries on with what is under way and begins what waits.
    pub(super) fn poll(&mut self, member: &mut Member, cx: &mut Context<'_>) -> Moved {
        let connection = &member.connection.clone();
        let mut moved = Moved::Not;
        loop {
            if let Self::UnderWay(under_way) = self {
                let Poll::Ready((registration, outcome)) = under_way.work.poll_unpin(cx) else {
                    return moved;
                };
                moved = Moved::On;
                let done = std::mem::replace(self, Self::Idle(registration));
                if let Self::UnderWay(done) = done
                    && let Some(end) = conclude(*done, outcome, connection, member)
                {
                    return Moved::End(end);
                }
            }
            let next = connection.agenda.next_change();
            let Some(change) = next else { return moved };
            self.begin(change, connection, member);
            moved = Moved::On;
        }
    }

    fn begin(&mut self, change: Change, connection: &Connection, member: &mut Member) {
        let before = member.rooms();
        let (after, answer) = match change {
            Change::Rebind => (before.clone(), None),
            Change::Room(room, answer) => (room.into_iter().collect(), Some(answer)),
            Change::Join(rooms, answer) => (before.union(&rooms).cloned().collect(), Some(answer)),
            Change::Leave(rooms, answer) => (&before - &rooms, Some(answer)),
        };
        if after.len() > ROOMS_PER_CONNECTION_MAX {
            if let Some(answer) = answer {
                let detail = format!("a connection is in at most {ROOMS_PER_CONNECTION_MAX} rooms");
                connection.answer(answer.failed(ErrorCode::TooManyRooms, &detail));
            }
            return;
        }
        let Self::Idle(mut registration) = std::mem::replace(self, Self::Taken) else {
            unreachable!("a change begins when none is under way");
        };
        // First locally: what is pushed to a new room from now on reaches the device.
        member.join(&after);
        let rooms = after.clone();
        let work = async move {
            let changed = registration.change_rooms(rooms).await;
            (registration, changed)
        };
        let work = work.boxed_local();
        *self = Self::UnderWay(Box::new(UnderWay { work, after, before, answer }));
    }
}

fn conclude(
    done: UnderWay,
    outcome: Result<Arc<Names>, BindError>,
    connection: &Connection,
    member: &mut Member,
) -> Option<End> {
    let UnderWay { after, before, answer, .. } = done;
    match outcome {
        Ok(names) => {
            connection.named(names);
            member.retain(&after);
            if let Some(answer) = answer {
                connection.answer(answer.done());
            }
            None
        }
        Err(BindError::Room(error)) => {
            member.retain(&before);
            if let Some(answer) = answer {
                let detail = error.to_string();
                connection.answer(answer.failed(ErrorCode::Unavailable, &detail));
            }
            None
        }
        Err(error) => {
            let close = connection.session.borrow_mut().close(error.close_reason());
            Some(End::Closed(close))
        }
    }
}
