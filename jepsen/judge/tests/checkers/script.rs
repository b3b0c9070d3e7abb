//! Script: a history told in short lines, so that a test shows what is wrong with it at a glance.
//!
//! ```text
//! 1 bind u a1.7 newest1 = 4 - b1.2:3 @10   process 1 binds conn 7 of comet a, life 1: ok, seq 4, a loser, index 10
//! 1> bind u a1.7                           it only begins
//! 1< = 4 @10                               and ends
//! 1 bind u a1.7 ! gone @10                 refused
//! 1 bind u a1.7 ?                          nobody knows
//! 2 locate u = a1.7:4 @11 s2 x1            a read; s: shard (1 unless said), x: attempts
//! * heal                                   a mark
//! + 500                                    half a second passes
//! ```

use orrery_judge::history::{
    Attach, Bind, CometRoutes, Connect, Count, Deliver, Digest, Drained, Ended, Event, Fault,
    FaultOutcome, HarnessFailure, Heal, Held, History, Joined, Keep, KeepAlive, Kind, Listing,
    Living, Locate, Member, NEMESIS, Named, Online, Op, Panicked, Phase, Policy, Primary, Push,
    ReadRoom, Receipt, Replica, Report, Route, Scope, Seen, Serving, SetRooms, Standing, Told,
    Unbind,
};
use orrery_judge::settings::Settings;
use orrery_judge::verdict::{Verdict, Violation};

const MILLISECOND: u64 = 1_000_000;

/// The events of a script.
pub(crate) fn events(text: &str) -> Vec<Event> {
    let mut script = Script::default();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            script.line(line);
        }
    }
    script.events
}

pub(crate) type Check = fn(&History<'_>, &Settings) -> Verdict;

/// The verdict on a script.
pub(crate) fn verdict(check: Check, text: &str) -> Verdict {
    check(&History::new(&events(text)).unwrap(), &settings())
}

/// Asserts that a property holds in a script.
pub(crate) fn holds(check: Check, text: &str) {
    assert_eq!(verdict(check, text), Verdict::Holds);
}

/// Asserts that a checker finds what is wrong, and says so in these words.
pub(crate) fn finds(check: Check, text: &str, words: &str) -> Vec<Violation> {
    match verdict(check, text) {
        Verdict::Violated(violations) => {
            assert!(violations.iter().any(|v| v.text.contains(words)), "{violations:#?}");
            assert!(violations.iter().all(|v| !v.events.is_empty()), "{violations:#?}");
            violations
        }
        other => panic!("expected {words:?}, but the verdict is {other:?}"),
    }
}

/// Leases of 10 s, with everything else at its default.
pub(crate) fn settings() -> Settings {
    Settings::default()
}

#[derive(Default)]
struct Script {
    events: Vec<Event>,
    time: u64,
    open: Vec<(i64, Op, String)>,
}

/// What stands at the end of a line.
#[derive(Clone, Copy)]
struct Tail {
    index: Option<u64>,
    shard: u32,
    attempts: Option<u32>,
}

impl Script {
    fn line(&mut self, line: &str) {
        let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
        if head == "+" {
            self.time += rest.parse::<u64>().unwrap() * MILLISECOND;
            return;
        }
        let mut words: Vec<&str> = rest.split_whitespace().collect();
        let tail = tail(&mut words);
        if head == "*" {
            let op = mark(&words);
            let node = match op {
                Op::Digest(_) => Some(number(words[4])),
                Op::Standing(_) | Op::Drained(_) => Some(number(words[1])),
                _ => None,
            };
            self.push(NEMESIS, Kind::Info, op).node = node;
        } else if let Some(process) = head.strip_suffix('>') {
            self.begin(process.parse().unwrap(), &words);
        } else if let Some(process) = head.strip_suffix('<') {
            self.end(process.parse().unwrap(), &words, tail);
        } else {
            let process = head.parse().unwrap();
            let cut = words.iter().position(|word| ["=", "!", "?"].contains(word)).unwrap();
            self.begin(process, &words[..cut]);
            self.end(process, &words[cut..], tail);
        }
    }

    fn push(&mut self, process: i64, kind: Kind, op: Op) -> &mut Event {
        self.time += MILLISECOND;
        self.events.push(Event::new(self.events.len() as u64, self.time, process, kind, op));
        self.events.last_mut().unwrap()
    }

    fn begin(&mut self, process: i64, words: &[&str]) {
        let (key, op) = asked(words);
        self.open.push((process, op.clone(), key.to_owned()));
        self.push(process, Kind::Invoke, op).key = Some(key.to_owned());
    }

    fn end(&mut self, process: i64, words: &[&str], tail: Tail) {
        let at = self.open.iter().position(|(open, ..)| *open == process).unwrap();
        let (_, mut op, key) = self.open.remove(at);
        let kind = match words[0] {
            "=" => Kind::Ok,
            "!" => Kind::Fail,
            _ => Kind::Info,
        };
        if kind == Kind::Ok {
            answer(&mut op, &words[1..]);
        }
        let event = self.push(process, kind, op);
        event.key = Some(key);
        event.shard = Some(tail.shard);
        event.log_index = tail.index;
        event.attempts = tail.attempts;
        if kind == Kind::Fail {
            event.error = Some(words[1..].join(" ").into());
        }
    }
}

fn tail(words: &mut Vec<&str>) -> Tail {
    let mut tail = Tail { index: None, shard: 1, attempts: None };
    while let Some(word) = words.last() {
        let (first, rest) = word.split_at(1);
        match (first, rest.parse::<u64>()) {
            ("@", Ok(index)) => tail.index = Some(index),
            ("s", Ok(shard)) => tail.shard = shard as u32,
            ("x", Ok(attempts)) => tail.attempts = Some(attempts as u32),
            _ => break,
        }
        words.pop();
    }
    tail
}

fn number(word: &str) -> u64 {
    word.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap()
}

/// `a1`: comet a in life 1.
fn life(word: &str) -> (String, u64) {
    (word[..1].to_owned(), word[1..].parse().unwrap())
}

/// `a1.7`: conn 7 of that life.
fn conn(word: &str) -> (String, u64, u64) {
    let (of, conn) = word.split_once('.').unwrap();
    let (comet, incarnation) = life(of);
    (comet, incarnation, conn.parse().unwrap())
}

/// `a1.7:4`: with seq 4.
fn route(word: &str) -> Route {
    let (of, seq) = word.split_once(':').unwrap();
    let (comet, incarnation, conn) = conn(of);
    Route { comet, incarnation, conn, seq: seq.parse().unwrap() }
}

/// `a1:4`: seq 4 on comet a in life 1.
fn seen(word: &str) -> Seen {
    let (of, seq) = word.split_once(':').unwrap();
    let (comet, incarnation) = life(of);
    Seen { comet, incarnation, seq: seq.parse().unwrap() }
}

/// `u:4`: seq 4 of address u.
fn member(word: &str) -> Member {
    let (key, seq) = word.split_once(':').unwrap();
    Member { key: key.into(), seq: seq.parse().unwrap() }
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn asked<'w>(words: &[&'w str]) -> (&'w str, Op) {
    let key = words[1];
    let listing = || {
        let (comet, incarnation) = life(words[2]);
        Listing { comet, incarnation, version: number(words[3]) }
    };
    let keep_alive = || {
        let (comet, incarnation) = life(words[1]);
        KeepAlive { comet, incarnation }
    };
    let op = match words[0] {
        "bind" => Op::Bind(bind(words)),
        "unbind" => {
            let (comet, incarnation, conn) = conn(words[2]);
            let settled = words.get(3).map(|word| number(word));
            Op::Unbind(Unbind { comet, incarnation, conn, settled, removed: None })
        }
        "rooms" => {
            let (comet, incarnation, conn) = conn(words[2]);
            let (seq, version) = (number(words[3]), number(words[4]));
            let rooms = texts(&words[5..]);
            Op::SetRooms(SetRooms { comet, incarnation, conn, seq, rooms, version })
        }
        "list" => Op::ListRoom(listing()),
        "unlist" => Op::UnlistRoom(listing()),
        "locate" => Op::Locate(Locate::default()),
        "locate~" => Op::Locate(Locate { stale: true, routes: None }),
        "comets" | "members" => {
            let of_comets = words[0] == "comets";
            let (comets, members) = (of_comets.then(Vec::new), (!of_comets).then(Vec::new));
            Op::ReadRoom(ReadRoom { comets, members })
        }
        "count" => Op::Count(Count::default()),
        "routes" => {
            let (comet, incarnation) = life(words[1]);
            Op::CometRoutes(CometRoutes { comet, incarnation, routes: None })
        }
        "attach" => Op::Attach(Attach {
            comet: words[1].into(),
            instance: words[2].into(),
            attempt: number(words[3]),
            incarnation: None,
        }),
        "alive" => Op::KeepAlive(keep_alive()),
        "detach" => Op::Detach(keep_alive()),
        "connect" => {
            let option = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
            let rooms: Vec<&str> =
                words.iter().filter_map(|word| word.strip_prefix("room=")).collect();
            Op::Connect(Connect {
                user: key.into(),
                conn: number(words[2]),
                second: option("second=").map(Into::into),
                comet: option("comet=").map(Into::into),
                rooms: texts(&rooms),
            })
        }
        "disconnect" => Op::Disconnect(Named { user: key.into(), conn: number(words[2]) }),
        "heartbeat" => Op::Heartbeat(Named { user: key.into(), conn: number(words[2]) }),
        "online" => Op::Online(Online::default()),
        "living" => Op::Comets(Living::default()),
        "join" => Op::Join(Joined { conn: number(words[1]), room: words[2].into() }),
        "leave" => Op::Leave(Joined { conn: number(words[1]), room: words[2].into() }),
        "push" => Op::Push(Push { message: key.into(), to: words[2].into(), receipt: None }),
        other => panic!("no operation {other}"),
    };
    (key, op)
}

fn bind(words: &[&str]) -> Bind {
    let (comet, incarnation, conn) = conn(words[2]);
    let mut bind = Bind { comet, incarnation, conn, ..Bind::default() };
    for word in &words[3..] {
        match word.split_once('=') {
            Some(("rank", seq)) => bind.rank = Some(number(seq)),
            Some(("settled", conn)) => bind.settled = Some(number(conn)),
            Some(("primary", of)) => {
                let Member { key, seq } = member(of);
                bind.primary = Some(Primary { key, seq });
            }
            Some(("platform", name)) => {
                bind.platform = Some(name.into());
                bind.policy = Some(Policy { scope: Scope::Platform, n: 1, keep: Keep::Newest });
            }
            _ => {
                let keep = if word.starts_with("newest") { Keep::Newest } else { Keep::Oldest };
                let n = number(word) as u32;
                bind.policy = Some(Policy { scope: Scope::Address, n, keep });
            }
        }
    }
    bind
}

fn answer(op: &mut Op, words: &[&str]) {
    match op {
        Op::Bind(bind) => {
            bind.seq = words.first().map(|word| number(word));
            bind.losers = Some(words.iter().skip(2).map(|word| route(word)).collect());
        }
        Op::Unbind(unbind) => unbind.removed = words.first().map(|word| *word == "true"),
        Op::Locate(locate) => locate.routes = Some(words.iter().map(|word| route(word)).collect()),
        Op::ReadRoom(read) if read.comets.is_some() => {
            read.comets = Some(words.iter().map(|word| life(word)).collect());
        }
        Op::ReadRoom(read) => {
            read.members = Some(words.iter().map(|word| member(word)).collect());
        }
        Op::Count(count) => count.count = Some(number(words[0])),
        Op::CometRoutes(read) => {
            read.routes = Some(words.iter().map(|word| member(word)).collect());
        }
        Op::Attach(attach) => attach.incarnation = Some(number(words[0])),
        Op::Push(push) => push.receipt = Some(receipt(words)),
        Op::Online(online) => {
            online.connections = Some(words.iter().map(|word| seen(word)).collect());
        }
        Op::Comets(living) => living.comets = Some(words.iter().map(|word| life(word)).collect()),
        _ => {}
    }
}

/// `offline`, `incomplete`, `queued`, `dropped:7` …
fn receipt(words: &[&str]) -> Receipt {
    let mut receipt = Receipt::default();
    for word in words {
        let (told, conn) =
            word.split_once(':').map_or((*word, None), |(t, c)| (t, Some(number(c))));
        let told = match told {
            "offline" => {
                receipt.offline = true;
                continue;
            }
            "incomplete" => {
                receipt.incomplete = true;
                continue;
            }
            "queued" => Told::Queued,
            "written" => Told::Written,
            "acked" => Told::Acked,
            "filtered" => Told::Filtered,
            "dropped" => Told::Dropped,
            "gone" => Told::Gone,
            "unknown" => Told::Unknown,
            other => panic!("no receipt says {other}"),
        };
        receipt.reports.push(Report { told, conn, reason: None });
    }
    receipt
}

/// `2=leaving`: a node; `s1=1,2`: where shard 1 is placed; `r1=1,2+3*@7`: a replica of it, with voters,
/// learners, changing, at index 7. `@7<8<9:2:5`: it applied 7, knows 8 to be committed and has 9, holds 2
/// routes, and seq 5 is the next. `l1=7` after it: the node leads it in term 7. `look=3`: at that look.
fn standing(words: &[&str]) -> Standing {
    let numbers = |text: &str| text.split(',').filter_map(|word| word.parse().ok()).collect();
    let mut standing = Standing::default();
    for word in words {
        let (what, is) = word.split_once('=').unwrap();
        match what.split_at(1) {
            ("l", "ook") => standing.look = Some(number(is)),
            ("l", _) => standing.replicas.last_mut().unwrap().leads = Some(number(is)),
            ("s", shard) => standing.placements.push((shard.parse().unwrap(), numbers(is))),
            ("r", shard) => {
                let (members, applied) = is.split_once('@').unwrap();
                let (members, joint) =
                    members.strip_suffix('*').map_or((members, false), |members| (members, true));
                let (voters, learners) = members.split_once('+').unwrap_or((members, ""));
                let (voters, learners) = (numbers(voters), numbers(learners));
                let mut figures = applied.split(':');
                let mut indexes = figures.next().unwrap().split('<').map(number);
                let applied = indexes.next().unwrap();
                let (committed, last) = (indexes.next(), indexes.next());
                let held: Vec<u64> = figures.map(number).collect();
                let held = held.first().map(|routes| Held { routes: *routes, next_seq: held[1] });
                let shard = shard.parse().unwrap();
                standing.replicas.push(Replica {
                    shard,
                    voters,
                    learners,
                    joint,
                    leads: None,
                    applied,
                    committed,
                    last,
                    held,
                });
            }
            _ => standing.nodes.push((what.parse().unwrap(), is.to_owned())),
        }
    }
    standing
}

fn mark(words: &[&str]) -> Op {
    match words[0] {
        "deliver" => Op::Deliver(Deliver {
            message: words[1].into(),
            to: words[2].into(),
            conn: number(words[3]),
        }),
        "fault" => Op::Fault(Fault {
            family: words[1].into(),
            outcome: match words[2] {
                "installed" => Some(FaultOutcome::Installed),
                "skipped" => Some(FaultOutcome::Skipped),
                "announced" => None,
                _ => Some(FaultOutcome::Indeterminate),
            },
            ..Fault::default()
        }),
        "heal" => Op::Heal(Heal::default()),
        "phase" => Op::Phase(Phase { name: serde_json::from_value(words[1].into()).unwrap() }),
        "digest" => Op::Digest(Digest {
            shard: number(words[1]) as u32,
            applied: number(words[2]),
            digest: words[3].into(),
        }),
        "standing" => Op::Standing(standing(&words[2..])),
        "drained" => Op::Drained(Drained { name: "a router".into() }),
        "serving" => Op::Serving(Serving { shard: number(words[1]) as u32 }),
        // `ended router-1 why it said`, with `excused` in the place of `ended` where something explains it.
        "ended" | "excused" => Op::Ended(Ended {
            name: words[1].into(),
            why: words[2..].join(" "),
            excuse: (words[0] == "excused").then(|| "its sync failed".into()),
        }),
        "panicked" => Op::Panicked(Panicked { text: words[1..].join(" ") }),
        "harness" => Op::HarnessFailure(HarnessFailure { text: words[1..].join(" ") }),
        other => panic!("no mark {other}"),
    }
}
