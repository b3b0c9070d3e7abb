//! Final reads: when nothing is written any more, everything is asked for from all sides, shard by shard: which
//! comets live, each user, each life of a comet, each room.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use judge::history::{CometRoutes, Count, Event, Kind, Living, Locate, Op, ReadRoom};
use orrery_model::{CometRef, Id, Incarnation, ShardId};
use orrery_router_client::{Client, ClientError};
use tokio::time::{Instant, sleep};

use super::{READ_TIMEOUT, words};
use crate::recorder::{Process, Recorder, Said};

/// Reads under way at once.
const AT_ONCE: usize = 16;

/// How often a read is tried.
const TRIES: u32 = 5;

/// Pause before it is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Read {
    Living,
    User(String),
    /// The routes of a comet's life in one shard.
    Comet(String, u64, ShardId),
    /// How many members of a room one shard has.
    Count(String, ShardId),
    /// Which members of a room one shard has.
    Room(String, ShardId),
}

/// Reads everything that the history speaks of.
pub async fn run(client: &Client, recorder: &Recorder) {
    let each = |read| async move {
        let mut process = recorder.process();
        for _ in 0..TRIES {
            if one(client, &mut process, &read).await {
                return;
            }
            sleep(PAUSE).await;
        }
    };
    // Whose routes are to be counted.
    each(Read::Living).await;
    let shards = client.table().map(|table| table.shards.clone()).unwrap_or_default();
    let reads = reads(&recorder.events(), &shards);
    stream::iter(reads).for_each_concurrent(AT_ONCE, each).await;
}

fn reads(events: &[Event], shards: &[ShardId]) -> BTreeSet<Read> {
    let mut reads = BTreeSet::new();
    let (mut rooms, mut others) = (BTreeSet::new(), BTreeSet::new());
    let mut lives: BTreeSet<(&str, u64)> = BTreeSet::new();
    for event in events {
        lives.extend(event.op.writer());
        match &event.op {
            Op::Bind(_) => reads.extend(event.key.clone().map(Read::User)),
            Op::SetRooms(set) => rooms.extend(set.rooms.iter().cloned()),
            Op::Connect(connect) => others.extend(connect.rooms.iter().cloned()),
            Op::Join(joined) => _ = others.insert(joined.room.clone()),
            Op::Comets(living) if event.kind == Kind::Ok => {
                let living = living.comets.iter().flatten();
                lives.extend(living.map(|(comet, life)| (comet.as_str(), *life)));
            }
            _ => {}
        }
    }
    for shard in shards {
        let comet = |(comet, life): &(&str, u64)| Read::Comet((*comet).to_owned(), *life, *shard);
        reads.extend(lives.iter().map(comet));
        // Whose devices are members too, that is counted by nobody here.
        for room in rooms.difference(&others) {
            reads.insert(Read::Count(room.clone(), *shard));
            reads.insert(Read::Room(room.clone(), *shard));
        }
    }
    reads
}

/// Whether it was answered.
async fn one(client: &Client, process: &mut Process, read: &Read) -> bool {
    let (key, op) = asked(read);
    process.invoke(key, op);
    match answer(client, read).await {
        Ok((op, said)) => process.ok(op, said),
        Err(error) => {
            process.fail(error.to_string().as_str(), Said::default());
            return false;
        }
    }
    true
}

fn asked(read: &Read) -> (Option<&str>, Op) {
    match read {
        Read::Living => (None, Op::Comets(Living::default())),
        Read::User(key) => (Some(key), Op::Locate(Locate::default())),
        Read::Comet(comet, incarnation, _) => {
            let (comet, incarnation) = (comet.clone(), *incarnation);
            (None, Op::CometRoutes(CometRoutes { comet, incarnation, routes: None }))
        }
        Read::Count(room, _) => (Some(room), Op::Count(Count::default())),
        Read::Room(room, _) => (Some(room), Op::ReadRoom(ReadRoom::default())),
    }
}

async fn answer(client: &Client, read: &Read) -> Result<(Op, Said), ClientError> {
    let deadline = Instant::now() + READ_TIMEOUT;
    let at = |shard: Option<ShardId>, log_index| Said {
        shard: shard.map(|shard| shard.0),
        log_index: Some(log_index),
        ..Said::default()
    };
    let whole = |more| match more {
        true => Err(ClientError::Unavailable { detail: "not all fit into one answer".to_owned() }),
        false => Ok(()),
    };
    match read {
        Read::Living => {
            let living = client.comets(false, deadline).await?;
            let name = |comet: &orrery_model::control::Comet| {
                (comet.comet.id.to_string(), comet.comet.incarnation.0)
            };
            let comets = Some(living.iter().map(name).collect());
            Ok((Op::Comets(Living { comets }), Said::default()))
        }
        Read::User(key) => {
            let located = client.locate(words::address(key), false, deadline).await?;
            let routes = located.routes.iter();
            let routes = routes.map(|r| words::route(&r.comet, r.conn.0, r.seq.0)).collect();
            let slot = words::address(key).slot();
            let shard = client.table().map(|table| table.slots.owner(slot));
            let locate = Locate { stale: false, routes: Some(routes) };
            Ok((Op::Locate(locate), at(shard, located.log_index)))
        }
        Read::Comet(comet, incarnation, shard) => {
            let id = Id::new(comet).expect("the harness's names are short");
            let asked = CometRef { id, incarnation: Incarnation(*incarnation) };
            let found = client.comet_routes_in(&asked, *shard, 0, deadline).await?;
            whole(found.more)?;
            let routes = Some(found.members.iter().map(words::member).collect());
            let read = CometRoutes { comet: comet.clone(), incarnation: *incarnation, routes };
            Ok((Op::CometRoutes(read), at(Some(*shard), found.log_index)))
        }
        Read::Count(room, shard) => {
            let (count, index) = client.count_in(&words::address(room), *shard, deadline).await?;
            Ok((Op::Count(Count { count: Some(count) }), at(Some(*shard), index)))
        }
        Read::Room(room, shard) => {
            let found = client.members_in(words::address(room), *shard, 0, deadline).await?;
            whole(found.more)?;
            let members = Some(found.members.iter().map(words::member).collect());
            let read = ReadRoom { comets: None, members };
            Ok((Op::ReadRoom(read), at(Some(*shard), found.log_index)))
        }
    }
}

#[cfg(test)]
mod tests {
    use judge::history::{NEMESIS, SetRooms};

    use super::*;

    #[test]
    fn every_shard_is_asked_about_each_life_and_room_and_devices_rooms_are_left_out() {
        let set = SetRooms {
            comet: "writer-1".to_owned(),
            incarnation: 7,
            conn: 1,
            seq: 4,
            rooms: vec!["room-1".to_owned(), "hall-1".to_owned()],
            version: 1,
        };
        let living = Living { comets: Some(vec![("comet-1".to_owned(), 9)]) };
        let joined = judge::history::Joined { conn: 3, room: "hall-1".to_owned() };
        let told = [
            (Kind::Invoke, Op::SetRooms(set)),
            (Kind::Ok, Op::Comets(living)),
            (Kind::Ok, Op::Join(joined)),
            (Kind::Invoke, Op::Bind(judge::history::Bind::default())),
        ];
        let mut events = Vec::new();
        for (kind, op) in told {
            let mut event = Event::new(events.len() as u64, 0, NEMESIS, kind, op);
            event.key = Some("user-1".to_owned());
            events.push(event);
        }
        let shards = [ShardId(1), ShardId(2)];
        let mut expected = BTreeSet::from([Read::User("user-1".to_owned())]);
        for shard in shards {
            let lives = [("writer-1", 7), ("comet-1", 9), ("", 0)];
            expected.extend(lives.map(|(comet, life)| Read::Comet(comet.to_owned(), life, shard)));
            expected.insert(Read::Count("room-1".to_owned(), shard));
            expected.insert(Read::Room("room-1".to_owned(), shard));
        }
        assert_eq!(reads(&events, &shards), expected);
    }
}
