//! Writer: a comet as the registry sees one. It binds connections, moves them through rooms, unbinds them, and
//! binds the living ones again when it was fenced. What it does not know it asks again under the same name.

use std::collections::BTreeSet;
use std::time::Duration;

use judge::history::{Bind, Listing, Op, SetRooms, Unbind};
use orrery_model::command::{self, Command, Outcome, RouteName};
use orrery_model::{CometRef, Conn, Details, Id, Policy, Seq, Version};
use orrery_router_client::{ClientError, Written};
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep, timeout};

use super::bed::Bed;
use super::life::Lives;
use super::{OPERATION_TIMEOUT, words};
use crate::recorder::{Process, Said};

/// Most connections that a writer keeps.
const LIVING_MAX: usize = 12;

/// Pause before a goodbye is sent again.
const GOODBYE_PAUSE: Duration = Duration::from_millis(100);

/// How long goodbyes are tried at the end.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(30);

/// One process that writes as a comet does.
pub struct Writer {
    bed: Bed,
    process: Process,
    chance: SmallRng,
    lives: Lives,
    life: Option<CometRef>,
    /// The comet's own number for its next connection.
    next: Conn,
    living: Vec<Living>,
    /// Connections that are not there any more, or of which that is not known.
    leaving: Vec<(String, Conn)>,
    /// Rooms for which the comet is listed in this life, as far as it knows.
    listed: BTreeSet<String>,
    /// The comet's version of its next listing, of any room.
    listings: u64,
}

#[derive(Debug, Clone)]
struct Living {
    key: String,
    conn: Conn,
    seq: Seq,
    /// The seq of its first life.
    first: Seq,
    rooms: BTreeSet<String>,
    version: u64,
    policy: Policy,
}

/// How a write ended.
enum End {
    Done(Outcome, Said),
    Refused(command::Refusal, Said),
    NotDone(String),
    Unknown(String),
}

impl Writer {
    /// A writer for a comet whose life somebody else keeps.
    pub fn new(bed: Bed, name: &str, lives: Lives) -> Self {
        let (process, chance) = (bed.recorder.process(), bed.chance(name));
        Self {
            bed,
            process,
            chance,
            lives,
            life: None,
            next: Conn(1),
            living: Vec::new(),
            leaving: Vec::new(),
            listed: BTreeSet::new(),
            listings: 0,
        }
    }

    /// Works until it is told to end, and then says goodbye to what is undecided.
    pub async fn run(mut self) {
        while self.bed.works() {
            if !self.is_alive().await {
                continue;
            }
            match self.chance.random_range(0..10) {
                0..5 if self.living.len() < LIVING_MAX => self.bind().await,
                5..7 => self.set_rooms().await,
                7 if self.chance.random_bool(0.5) => self.let_go().await,
                8 if self.chance.random_ratio(1, 8) => self.bind_again().await,
                _ => self.unbind().await,
            }
            self.goodbye().await;
            self.bed.pause(&mut self.chance).await;
        }
        let goodbyes = async {
            while !self.leaving.is_empty() && self.life.is_some() {
                self.goodbye().await;
                sleep(GOODBYE_PAUSE).await;
            }
        };
        // What is still undecided then is unknown, as the history says.
        let _ = timeout(GOODBYE_TIMEOUT, goodbyes).await;
    }

    /// Takes up the comet's life. In a new one the living connections are bound again first.
    async fn is_alive(&mut self) -> bool {
        if self.life.is_some() && self.lives.now() == self.life {
            return true;
        }
        let mut stage = self.bed.stage.clone();
        let fresh = tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage >= super::bed::Stage::End) => return false,
            fresh = self.lives.after(self.life.as_ref()) => fresh,
        };
        self.life = fresh;
        // All routes of the life before are gone with it.
        self.leaving.clear();
        self.listed.clear();
        for mut old in std::mem::take(&mut self.living) {
            if !self.bed.works() || self.lives.now() != self.life {
                self.living.push(old);
                continue;
            }
            old.conn = self.take_number();
            let rank = Some(old.first);
            self.bind_at(old, rank).await;
        }
        self.life.is_some()
    }

    fn take_number(&mut self) -> Conn {
        let conn = self.next;
        self.next = conn.next();
        conn
    }

    /// Every connection below it is decided.
    fn settled(&self, asked: Conn) -> Conn {
        let undecided = self.leaving.iter().map(|(_, conn)| *conn);
        undecided.chain([asked, self.next]).min().unwrap_or(asked)
    }

    async fn bind(&mut self) {
        let key = self.bed.user(&mut self.chance);
        let policy = match self.chance.random_range(0..4) {
            0 => Policy::ONE_NEWEST,
            _ => Policy::default(),
        };
        let conn = self.take_number();
        let (seq, rooms) = (Seq(0), BTreeSet::new());
        self.bind_at(Living { key, conn, seq, first: seq, rooms, version: 0, policy }, None).await;
    }

    /// Sends the bind of a connection once more, as who did not hear the answer. It is the same connection.
    async fn bind_again(&mut self) {
        if self.living.is_empty() {
            return;
        }
        let at = self.chance.random_range(0..self.living.len());
        let one = self.living[at].clone();
        let (conn, rank) = (one.conn, (one.first != one.seq).then_some(one.first));
        self.bind_at(one, rank).await;
        let is_left = self.leaving.iter().any(|(_, left)| *left == conn);
        let mut is_known = false;
        // The first one knows its rooms.
        self.living.retain(|living| {
            living.conn != conn || !is_left && !std::mem::replace(&mut is_known, true)
        });
    }

    async fn bind_at(&mut self, mut new: Living, rank: Option<Seq>) {
        let Some(comet) = self.life.clone() else { return };
        let settled = self.settled(new.conn);
        // Its rooms are set anew in each life.
        (new.rooms, new.version) = (BTreeSet::new(), 0);
        let asked = Bind {
            comet: comet.id.to_string(),
            incarnation: comet.incarnation.0,
            conn: new.conn.0,
            policy: words::policy(&new.policy),
            rank: rank.map(|rank| rank.0),
            settled: Some(settled.0),
            ..Bind::default()
        };
        let command = Command::Bind(command::Bind {
            address: words::address(&new.key),
            comet: comet.clone(),
            conn: new.conn,
            details: Details::default(),
            policy: new.policy,
            settled,
            rank,
        });
        self.process.invoke(Some(&new.key), Op::Bind(asked.clone()));
        match self.write(command).await {
            End::Done(Outcome::Bound(bound), said) => {
                let losers = Some(bound.losers.iter().map(words::loser).collect());
                self.process.ok(Op::Bind(Bind { seq: Some(bound.seq.0), losers, ..asked }), said);
                self.drop_losers(&comet, &bound.losers);
                new.seq = bound.seq;
                new.first = rank.unwrap_or(bound.seq);
                self.living.push(new);
            }
            End::Done(other, said) => {
                self.process.ok(Op::Bind(asked), said);
                self.bed.recorder.harness_failure(format!("a bind was answered {other:?}"));
            }
            End::Refused(refusal, said) => {
                self.process.fail(words::refusal(&refusal), said);
                self.meet(&comet, &refusal);
            }
            End::NotDone(why) => self.process.fail(why.as_str(), Said::default()),
            End::Unknown(why) => {
                self.process.info(why.as_str());
                self.leaving.push((new.key, new.conn));
            }
        }
    }

    /// Connections of one's own that gave way are closed, and unbound by name.
    fn drop_losers(&mut self, comet: &CometRef, losers: &[command::Loser]) {
        for loser in losers.iter().filter(|loser| loser.comet == *comet) {
            let is_loser = |one: &Living| one.conn == loser.conn;
            if let Some(at) = self.living.iter().position(is_loser) {
                let lost = self.living.swap_remove(at);
                self.leaving.push((lost.key, lost.conn));
            }
        }
    }

    fn meet(&mut self, comet: &CometRef, refusal: &command::Refusal) {
        if matches!(refusal, command::Refusal::Fenced { .. }) {
            self.lives.ended(comet);
        }
    }

    async fn unbind(&mut self) {
        if self.living.is_empty() {
            return;
        }
        let at = self.chance.random_range(0..self.living.len());
        let gone = self.living.swap_remove(at);
        self.leaving.push((gone.key, gone.conn));
    }

    /// Sends one of the goodbyes that wait.
    async fn goodbye(&mut self) {
        let Some(comet) = self.life.clone() else { return };
        let Some((key, conn)) = self.leaving.first().cloned() else { return };
        let settled = self.settled(conn);
        let asked = Unbind {
            comet: comet.id.to_string(),
            incarnation: comet.incarnation.0,
            conn: conn.0,
            settled: Some(settled.0),
            removed: None,
        };
        let command = Command::Unbind(command::Unbind {
            address: words::address(&key),
            comet: comet.clone(),
            route: RouteName::Conn(conn),
            settled,
        });
        self.process.invoke(Some(&key), Op::Unbind(asked.clone()));
        let is_over = match self.write(command).await {
            End::Done(Outcome::Unbound { removed }, said) => {
                self.process.ok(Op::Unbind(Unbind { removed: Some(removed), ..asked }), said);
                true
            }
            End::Done(other, said) => {
                self.process.ok(Op::Unbind(asked), said);
                self.bed.recorder.harness_failure(format!("an unbind was answered {other:?}"));
                true
            }
            End::Refused(refusal, said) => {
                self.process.fail(words::refusal(&refusal), said);
                self.meet(&comet, &refusal);
                true
            }
            End::NotDone(why) => {
                self.process.fail(why.as_str(), Said::default());
                false
            }
            End::Unknown(why) => {
                self.process.info(why.as_str());
                false
            }
        };
        if is_over {
            self.leaving.retain(|(_, left)| *left != conn);
        }
    }

    async fn set_rooms(&mut self) {
        let Some(comet) = self.life.clone() else { return };
        if self.living.is_empty() {
            return;
        }
        let at = self.chance.random_range(0..self.living.len());
        let room = self.bed.room(&mut self.chance);
        let is_in = self.living[at].rooms.contains(&room);
        if !is_in && !self.listed.contains(&room) && !self.list(&room, true).await {
            return;
        }
        let Some(one) = self.living.get_mut(at) else { return };
        match is_in {
            true => one.rooms.remove(&room),
            false => one.rooms.insert(room),
        };
        one.version += 1;
        let one = one.clone();
        let asked = SetRooms {
            comet: comet.id.to_string(),
            incarnation: comet.incarnation.0,
            conn: one.conn.0,
            seq: one.seq.0,
            rooms: one.rooms.iter().cloned().collect(),
            version: one.version,
        };
        let rooms = one.rooms.iter().map(|room| Id::new(room).expect("short")).collect();
        let command = Command::SetRooms(command::SetRooms {
            address: words::address(&one.key),
            comet: comet.clone(),
            seq: one.seq,
            rooms,
            version: Version(one.version),
        });
        self.process.invoke(Some(&one.key), Op::SetRooms(asked.clone()));
        match self.write(command).await {
            End::Done(Outcome::Stale, said) => self.process.fail("stale", said),
            End::Done(_, said) => self.process.ok(Op::SetRooms(asked), said),
            End::Refused(refusal, said) => {
                self.process.fail(words::refusal(&refusal), said);
                self.meet(&comet, &refusal);
                if refusal == command::Refusal::NotBound {
                    // Somebody else's bind took its place.
                    self.living.retain(|living| living.conn != one.conn);
                    self.leaving.push((one.key, one.conn));
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
    async fn let_go(&mut self) {
        let is_empty = |room: &&String| !self.living.iter().any(|one| one.rooms.contains(*room));
        let Some(room) = self.listed.iter().find(is_empty).cloned() else { return };
        // Until it is certain that it is off, nobody may rely on it.
        self.listed.remove(&room);
        self.list(&room, false).await;
    }

    async fn write(&self, command: Command) -> End {
        let shard = match &command {
            Command::Bind(bind) => self.bed.shard(&bind.address),
            Command::Unbind(unbind) => self.bed.shard(&unbind.address),
            Command::SetRooms(set) => self.bed.shard(&set.address),
            Command::BindRoom(listing) | Command::UnbindRoom(listing) => {
                self.bed.shard(&listing.room)
            }
            Command::ExpireComet(_) | Command::Open(_) => None,
        };
        match self.bed.client.write(command, Instant::now() + OPERATION_TIMEOUT).await {
            Ok(Written { reply, log_index, attempts }) => {
                let said = Said { shard, log_index: Some(log_index), attempts: Some(attempts) };
                match reply {
                    Ok(outcome) => End::Done(outcome, said),
                    Err(refusal) => End::Refused(refusal, said),
                }
            }
            Err(error @ ClientError::Unknown { .. }) => End::Unknown(error.to_string()),
            Err(error) => End::NotDone(error.to_string()),
        }
    }
}
