//! Rooms: a writer moves its connections through rooms, and lists its comet for those that they are in.

use judge::history::{Listing, Op, SetRooms};
use orrery_model::command::{self, Command, Outcome, Refusal};
use orrery_model::{Conn, Id, Version};

use super::Writer;
use super::write::End;
use crate::recorder::Said;
use crate::workload::bed::LOBBY;
use crate::workload::words;

impl Writer {
    /// Puts a connection into a room, or takes it out.
    pub(super) async fn set_rooms(&mut self) {
        let Some(conn) = self.any_living().map(|at| self.living[at].conn) else { return };
        let room = self.bed.room(&mut self.chance);
        self.cross(conn, room).await;
    }

    /// Puts a connection into the room that all of them are in.
    pub(super) async fn enter_lobby(&mut self, conn: Conn) {
        self.cross(conn, LOBBY.to_owned()).await;
    }

    /// Puts a connection into this room, or takes it out.
    async fn cross(&mut self, conn: Conn, room: String) {
        let Some(comet) = self.life.clone() else { return };
        let is_in = self.living.iter().any(|one| one.conn == conn && one.rooms.contains(&room));
        if !is_in && !self.listed.contains(&room) && !self.list(&room, true).await {
            return;
        }
        let Some(one) = self.living.iter_mut().find(|one| one.conn == conn) else { return };
        let Some(seq) = one.seq() else { return };
        match is_in {
            true => one.rooms.remove(&room),
            false => one.rooms.insert(room),
        };
        one.version += 1;
        let asked = SetRooms {
            comet: comet.id.to_string(),
            incarnation: comet.incarnation.0,
            conn: conn.0,
            seq: seq.0,
            rooms: one.rooms.iter().cloned().collect(),
            version: one.version,
        };
        let rooms = one.rooms.iter().map(|room| Id::new(room).expect("short")).collect();
        let (key, version) = (one.user.clone(), Version(one.version));
        let address = words::address(&key);
        let set = command::SetRooms { address, comet: comet.clone(), seq, rooms, version };
        self.process.invoke(Some(&key), Op::SetRooms(asked.clone()));
        match self.write(Command::SetRooms(set)).await {
            End::Done(Outcome::Stale, said) => self.process.fail("stale", said),
            End::Done(_, said) => self.process.ok(Op::SetRooms(asked), said),
            End::Refused(refusal, said) => {
                self.process.fail(words::refusal(&refusal), said);
                self.meet(&comet, &refusal);
                if refusal == Refusal::NotBound {
                    // Somebody else's bind took its place.
                    self.close(conn);
                }
            }
            End::NotDone(why) => self.process.fail(why.as_str(), Said::default()),
            End::Unknown(why) => self.process.info(why.as_str()),
        }
    }

    /// Lists the comet for a room, or takes it off. Whether that is certain.
    async fn list(&mut self, room: &str, on: bool) -> bool {
        let Some(comet) = self.life.clone() else { return false };
        self.listings += 1;
        let version = self.listings;
        let listing = command::ListRoom {
            room: words::address(room),
            comet: comet.clone(),
            version: Version(version),
        };
        let (id, incarnation) = (comet.id.to_string(), comet.incarnation.0);
        let asked = Listing { comet: id, incarnation, version };
        let (op, command) = match on {
            true => (Op::ListRoom(asked), Command::BindRoom(listing)),
            false => (Op::UnlistRoom(asked), Command::UnbindRoom(listing)),
        };
        self.process.invoke(Some(room), op.clone());
        match self.write(command).await {
            End::Done(Outcome::Stale, said) => self.process.fail("stale", said),
            End::Done(_, said) => {
                self.process.ok(op, said);
                match on {
                    true => self.listed.insert(room.to_owned()),
                    false => self.listed.remove(room),
                };
                return true;
            }
            End::Refused(refusal, said) => {
                self.process.fail(words::refusal(&refusal), said);
                self.meet(&comet, &refusal);
            }
            End::NotDone(why) => self.process.fail(why.as_str(), Said::default()),
            End::Unknown(why) => self.process.info(why.as_str()),
        }
        false
    }

    /// Lets a listing go whose room has no member here any more.
    pub(super) async fn let_go(&mut self) {
        let is_empty = |room: &&String| !self.living.iter().any(|one| one.rooms.contains(*room));
        let Some(room) = self.listed.iter().find(is_empty).cloned() else { return };
        // Until it is certain that it is off, nobody may rely on it.
        self.listed.remove(&room);
        self.list(&room, false).await;
    }
}
