//! Pushing: how pushed frames reach a connection's outbox.

use bytes::Bytes;
use orrery_comet_core::{Audience, Batch};
use orrery_model::message::{CloseReason, Delivered, DropReason, WhenFull};

use super::Connection;
use super::agenda::Held;
use crate::delivery::Slip;
use crate::worker::Section;

/// How a connection took a pushed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is in the outbox (or held for it).
    Queued,
    /// It waits for the kernel; its slip tells.
    Pending,
    /// The device does not accept the operation.
    Filtered,
    /// It is dropped.
    Dropped(DropReason),
}

impl Pushed {
    /// What to say of it now; `None` where a slip will.
    pub(crate) fn delivered(self) -> Option<Delivered> {
        match self {
            Self::Queued => Some(Delivered::Queued),
            Self::Pending => None,
            Self::Filtered => Some(Delivered::Filtered),
            Self::Dropped(reason) => Some(Delivered::Dropped(reason)),
        }
    }
}

impl Connection {
    /// Pushes a frame for this connection or for everybody, if the device accepts the operation; behind what
    /// it [takes](Self::take_waiting) first.
    pub(crate) fn push_addressed(
        &self,
        bytes: Bytes,
        op: i32,
        slip: Option<Slip>,
        when_full: WhenFull,
    ) -> Pushed {
        if self.session.borrow().admits(Audience::Addressed, op) {
            return self.push(bytes, slip, when_full);
        }
        match slip {
            Some(slip) => {
                slip.dropped(Delivered::Filtered);
                Pushed::Pending
            }
            None => Pushed::Filtered,
        }
    }

    /// Pushes a frame for a room that the connection is in. Never filtered; held until the device is
    /// told that it is connected.
    pub(crate) fn push_to_room(
        &self,
        bytes: Bytes,
        slip: Option<Slip>,
        when_full: WhenFull,
    ) -> Pushed {
        if self.is_ready() {
            return self.push(bytes, slip, when_full);
        }
        let pending = slip.is_some();
        match self.hold(Held::Room(bytes, 1, slip)) {
            Ok(()) if pending => Pushed::Pending,
            Ok(()) => Pushed::Queued,
            Err(Held::Room(_, _, Some(slip))) => {
                slip.dropped(Delivered::Dropped(DropReason::BindingFull));
                Pushed::Pending
            }
            Err(_) => Pushed::Dropped(DropReason::BindingFull),
        }
    }

    /// Takes frames for a room in one piece, that were said to be in its outbox already. They are written at once.
    pub(crate) fn push_batch(&self, batch: &Batch<'_>) {
        self.take_promised(batch.bytes(self.dialect), batch.messages());
        self.write_now();
    }

    /// Whether nothing more is to be promised.
    pub(crate) fn is_full(&self) -> bool {
        match self.is_ready() {
            true => self.outbox.borrow().is_full(self.limits()),
            false => self.is_holding_all_it_may(),
        }
    }

    /// Counts a push to one of its rooms that it has no room for. Before it has a name it is not the device that is slow.
    pub(crate) fn had_no_room(&self) {
        if self.is_ready() {
            self.outbox.borrow_mut().dropped(1);
        }
    }

    /// Whether another one of its rooms has something for it that waits.
    pub(crate) fn waits_elsewhere(&self, section: &Section) -> bool {
        let rooms = self.rooms.borrow();
        let elsewhere = |other: &&super::Membership| !std::ptr::eq(&*other.section, section);
        rooms.len() > 1 && rooms.iter().filter(elsewhere).any(|it| it.section.waits_for(it.slot))
    }

    /// Takes what waits for it in its rooms before the others do, in the order in which it came: what is about to
    /// be pushed came after it.
    pub(crate) fn take_waiting(&self) {
        let mut waiting = Vec::new();
        for membership in &*self.rooms.borrow() {
            membership.section.take_for(membership.slot, &mut waiting);
        }
        waiting.sort_unstable_by_key(|waiting| waiting.number);
        let any = !waiting.is_empty();
        for waiting in waiting {
            self.take_promised(waiting.encoded.bytes(self.dialect), 1);
        }
        if any {
            self.write_soon();
        }
    }

    fn take_promised(&self, bytes: Bytes, frames: usize) {
        match self.is_ready() {
            true => self.outbox.borrow_mut().push_promised(bytes, frames, None),
            false => self.agenda.hold(Held::Room(bytes, frames, None)),
        }
    }

    /// Takes what waits for it in its rooms, now that it is written.
    pub(crate) fn take_waiting_now(&self) {
        self.take_waiting();
        self.write_now();
    }

    /// Does what is to be done where the device reads too slowly for a frame of this length; whether there is room now.
    /// What waits may be there only since others were not written to yet, so that the kernel is tried first.
    pub(crate) fn make_room(&self, len: usize, when_full: WhenFull) -> bool {
        self.write_early();
        if self.outbox.borrow().has_room(len, self.limits()) {
            return true;
        }
        match when_full {
            WhenFull::DropNewest => {}
            WhenFull::DropOldest => {
                let displaced = self.outbox.borrow_mut().displace(len, self.limits());
                self.shared.displaced.inc_by(displaced as u64);
            }
            // Before it has a name it is not the device that is slow.
            WhenFull::Close if self.is_ready() && !self.is_closing() => {
                self.close(CloseReason::Slow)
            }
            WhenFull::Close => {}
        }
        self.outbox.borrow().has_room(len, self.limits())
    }

    /// Pushes a frame of this connection's dialect to its outbox.
    fn push(&self, bytes: Bytes, slip: Option<Slip>, when_full: WhenFull) -> Pushed {
        let pending = slip.is_some();
        let has_room = self.outbox.borrow().has_room(bytes.len(), self.limits());
        // A slip whose frame does not fit must not say that the connection closed.
        if !has_room && !self.make_room(bytes.len(), when_full) {
            self.outbox.borrow_mut().dropped(1);
            if let Some(slip) = slip {
                slip.dropped(Delivered::Dropped(DropReason::OutboxFull));
                return Pushed::Pending;
            }
            return Pushed::Dropped(DropReason::OutboxFull);
        }
        let mut outbox = self.outbox.borrow_mut();
        let fits = outbox.push(bytes, slip, self.limits());
        debug_assert!(fits.is_ok(), "there was room a moment ago");
        let half_full = outbox.is_half_full(self.limits());
        drop(outbox);
        if pending || half_full {
            self.write_now();
        } else {
            self.write_soon();
        }
        if pending { Pushed::Pending } else { Pushed::Queued }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use orrery_comet_core::{Dialect, Encoded, Session};
    use orrery_model::message::Message;
    use orrery_model::{Address, Conn, Id, Incarnation, Seq};
    use tokio::sync::{Semaphore, mpsc};

    use super::*;
    use crate::connection::{Membership, Shared};
    use crate::delivery::{Delivery, ReplyTo, Target, Work};
    use crate::limits::HELD_MAX;
    use crate::outbox::OutboxLimits;
    use crate::presence::Names;
    use crate::worker::Waiting;

    /// A connection that is being bound.
    fn connection() -> Rc<Connection> {
        let limits = OutboxLimits { frames: HELD_MAX, bytes: 1024 };
        let session = Session::new(Dialect::Tcp, 0);
        Rc::new(Connection::new(Conn(256), session, Shared::of(Rc::default(), limits)))
    }

    /// One in a room.
    fn member() -> (Rc<Connection>, Rc<Section>) {
        let (connection, id) = (connection(), Id::new("lobby").unwrap());
        let room = Rc::new(Section::new(Address::room(id.clone()), 0));
        let slot = room.join(connection.clone());
        let membership = Membership { id, section: room.clone(), slot };
        connection.rooms.borrow_mut().push(membership);
        (connection, room)
    }

    fn encoded(op: i32) -> Encoded {
        Encoded::new(Message { op, body: Bytes::new() })
    }

    fn wait(section: &Section, op: i32) -> (usize, usize) {
        wait_or(section, op, WhenFull::DropNewest)
    }

    fn wait_or(section: &Section, op: i32, when_full: WhenFull) -> (usize, usize) {
        let encoded = Arc::new(encoded(op));
        section.wait(Waiting { number: op as u64, encoded }, when_full)
    }

    fn names() -> Arc<Names> {
        let primary = (Address::user(Id::new("1").unwrap()), Seq(7));
        Arc::new(Names { incarnation: Incarnation(1), primary, secondary: None })
    }

    fn push_to(names: &Names, op: i32) -> Arc<Delivery> {
        let (address, seq) = names.primary.clone();
        let targets = vec![Target { address: Some(address), conn: Conn(256), seq }];
        let (receipts, _sent) = mpsc::channel(1);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let reply = ReplyTo { receipts, place, nudge: None, due: None };
        let work = Work::Push { encoded: encoded(op), targets };
        Arc::new(Delivery::new(1, names.incarnation, false, WhenFull::default(), work, reply))
    }

    /// The operations of what is in the outbox of a connection over TCP.
    fn ops(connection: &Connection) -> Vec<i32> {
        let outbox = connection.outbox.borrow();
        let op = |bytes: &[u8]| i32::from_be_bytes(bytes[8..12].try_into().unwrap());
        outbox.queued().flat_map(|bytes| bytes.chunks(16).map(op)).collect()
    }

    #[test]
    fn what_was_held_comes_before_what_waits_when_the_connection_has_its_name() {
        let (connection, room) = member();
        connection.take_target(&push_to(&names(), 1), 0);
        wait(&room, 2);
        room.write();
        wait(&room, 3);
        wait(&room, 4);
        connection.named(names());
        connection.take_waiting();
        assert_eq!(ops(&connection), [2, 3, 4], "the device accepts none that is for it alone");
    }

    #[test]
    fn what_is_lost_while_a_connection_is_bound_does_not_make_it_slow() {
        let (connection, room) = member();
        for op in 0..HELD_MAX as i32 {
            assert_eq!(wait(&room, op), (1, 0));
            room.write();
        }
        assert_eq!(wait(&room, 100), (0, 1), "no more is held");
        connection.named(names());
        assert_eq!(connection.lag().map(|lag| lag.dropped), Some(0));
    }

    #[test]
    fn all_members_of_a_room_get_the_same_bytes_of_what_waited() {
        let (first, room) = member();
        let second = connection();
        room.join(second.clone());
        let all = [first, second];
        all.iter().for_each(|member| member.named(names()));
        let pieces = || {
            all.each_ref().map(|member| {
                let outbox = member.outbox.take();
                outbox.queued().map(|bytes| (bytes.as_ptr(), bytes.len())).collect::<Vec<_>>()
            })
        };
        for pushes in [1, 2] {
            (0..pushes).for_each(|op| assert_eq!(wait(&room, op), (2, 0)));
            room.write();
            let [first, second] = pieces();
            assert_eq!((first.len(), &first), (1, &second), "{pushes} in one piece");
        }
    }

    #[test]
    fn who_was_full_when_its_room_was_written_gets_what_comes_once_it_has_room_again() {
        let (connection, room) = member();
        connection.named(names());
        for op in 0..HELD_MAX as i32 {
            assert_eq!(wait(&room, op), (1, 0));
        }
        room.write();
        assert_eq!(wait(&room, 100), (0, 1), "its outbox is full");
        connection.outbox.take();
        assert_eq!(wait(&room, 101), (1, 0));
        assert_eq!(wait(&room, 102), (1, 0));
        room.write();
        assert_eq!(ops(&connection), [101, 102]);
    }

    #[test]
    fn a_push_that_waits_in_a_room_does_with_a_full_member_what_it_is_to_do() {
        let full = || {
            let (connection, room) = member();
            connection.named(names());
            (0..HELD_MAX as i32).for_each(|op| _ = wait(&room, op));
            room.write();
            (connection, room)
        };
        let (connection, room) = full();
        assert_eq!(wait_or(&room, 100, WhenFull::Close), (0, 1));
        assert!(connection.is_closing());

        let (connection, room) = full();
        // Those that were written in one piece make room in one piece.
        assert_eq!(wait_or(&room, 100, WhenFull::DropOldest), (1, 0));
        assert_eq!(wait(&room, 101), (1, 0));
        room.write();
        assert_eq!((ops(&connection), connection.is_closing()), (vec![100, 101], false));
        assert_eq!(connection.shared.displaced.get(), HELD_MAX as u64);
    }

    #[test]
    fn who_is_full_when_it_joins_is_promised_nothing() {
        let (connection, room) = member();
        connection.named(names());
        (0..HELD_MAX as i32).for_each(|op| _ = wait(&room, op));
        room.write();
        let other = Section::new(Address::room(Id::new("other").unwrap()), 0);
        other.join(connection);
        assert_eq!(wait(&other, 1), (0, 1));
    }
}
