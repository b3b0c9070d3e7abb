//! Final reads: when nothing is written any more, everything is asked for from all sides: each user, each
//! life of a comet, each room.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use judge::history::{CometRoutes, Count, Event, Locate, Member, Op};
use orrery_model::{CometRef, Id, Incarnation};
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

/// Members in one page.
const PAGE: usize = 100;

/// What is read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Read {
    User(String),
    Comet(String, u64),
    Room(String),
}

/// Reads everything that the history speaks of.
pub async fn run(client: &Client, recorder: &Recorder) {
    let reads = reads(&recorder.events());
    let each = |read| async move {
        let mut process = recorder.process();
        for _ in 0..TRIES {
            if one(client, &mut process, &read).await {
                return;
            }
            sleep(PAUSE).await;
        }
    };
    stream::iter(reads).for_each_concurrent(AT_ONCE, each).await;
}

fn reads(events: &[Event]) -> BTreeSet<Read> {
    let mut reads = BTreeSet::new();
    let (mut rooms, mut others) = (BTreeSet::new(), BTreeSet::new());
    for event in events {
        if let Some((comet, incarnation)) = event.op.writer() {
            reads.insert(Read::Comet(comet.to_owned(), incarnation));
        }
        match &event.op {
            Op::Bind(_) => reads.extend(event.key.clone().map(Read::User)),
            Op::SetRooms(set) => rooms.extend(set.rooms.iter().cloned()),
            Op::Connect(connect) => others.extend(connect.rooms.iter().cloned()),
            Op::Join(joined) => _ = others.insert(joined.room.clone()),
            _ => {}
        }
    }
    // Whose devices are members too, that is counted by nobody here.
    reads.extend(rooms.difference(&others).cloned().map(Read::Room));
    reads
}

/// Whether it was answered.
async fn one(client: &Client, process: &mut Process, read: &Read) -> bool {
    let deadline = Instant::now() + READ_TIMEOUT;
    let answered = match read {
        Read::User(key) => {
            process.invoke(Some(key), Op::Locate(Locate::default()));
            client.locate(words::address(key), false, deadline).await.map(|located| {
                let routes = located.routes.iter();
                let routes = routes.map(|r| words::route(&r.comet, r.conn.0, r.seq.0)).collect();
                let slot = words::address(key).slot();
                let shard = client.table().map(|table| table.slots.owner(slot).0);
                let said = Said { shard, log_index: Some(located.log_index), ..Said::default() };
                (Op::Locate(Locate { stale: false, routes: Some(routes) }), said)
            })
        }
        Read::Comet(comet, incarnation) => {
            let (comet, incarnation) = (comet.clone(), *incarnation);
            let op =
                |routes| Op::CometRoutes(CometRoutes { comet: comet.clone(), incarnation, routes });
            process.invoke(None, op(None));
            let found = routes(client, &comet, incarnation, deadline).await;
            found.map(|found| (op(Some(found)), Said::default()))
        }
        Read::Room(key) => {
            process.invoke(Some(key), Op::Count(Count::default()));
            let count = client.count(words::address(key), deadline).await;
            count.map(|count| (Op::Count(Count { count: Some(count) }), Said::default()))
        }
    };
    match answered {
        Ok((op, said)) => process.ok(op, said),
        Err(error) => {
            process.fail(error.to_string().as_str(), Said::default());
            return false;
        }
    }
    true
}

/// All routes of a comet's life, page by page: nothing is written meanwhile.
async fn routes(
    client: &Client,
    comet: &str,
    incarnation: u64,
    deadline: Instant,
) -> Result<Vec<Member>, ClientError> {
    let id = Id::new(comet).expect("the harness's names are short");
    let comet = CometRef { id, incarnation: Incarnation(incarnation) };
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let page = client.comet_routes(comet.clone(), from, PAGE, deadline).await?;
        let member = |member: &orrery_router_client::Member| Member {
            key: words::key_of(&member.address),
            seq: member.route.seq.0,
        };
        found.extend(page.members.iter().map(member));
        from = page.next;
        if from.is_none() {
            return Ok(found);
        }
    }
}
