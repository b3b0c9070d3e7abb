//! The stage of the registry's scripts: one data shard.

use orrery_model::command::*;
use orrery_model::limits::SLOTS;
use orrery_model::record::ShardRecord;
use orrery_model::{
    Conn, Details, Incarnation, Keep, Policy, Route, Scope, Seq, ShardId, Slot, Version,
};
use orrery_router_core::registry::Registry;

use super::words::{self, Words};

/// One shard, all slots open unless the script begins with `closed`.
pub(crate) struct Stage {
    registry: Registry,
    elapsed_ms: u64,
    wall_ms: u64,
}

impl Default for Stage {
    fn default() -> Self {
        let mut registry = Registry::new(ShardId(1));
        let slots = Slot::all().collect();
        let commands = vec![Command::Open(Open::new(slots, 1))];
        registry.apply(&Batch { commands, ..Batch::default() });
        Self { registry, elapsed_ms: 0, wall_ms: 0 }
    }
}

impl super::Stage for Stage {
    fn run(&mut self, words: &mut Words<'_>) -> String {
        match words.next() {
            "closed" => {
                self.registry = Registry::new(ShardId(1));
                "no slot is open".to_owned()
            }
            "at" => {
                self.elapsed_ms = words.need("elapsed");
                self.wall_ms = words.number_or("wall", self.wall_ms);
                self.apply(Vec::new());
                format!("elapsed {}", self.registry.elapsed_ms())
            }
            "tick" => {
                self.apply(Vec::new());
                format!("sweep due: {}", self.registry.sweep_due())
            }
            "locate" => self.locate(words),
            "members" => self.members(words),
            "comet_routes" => self.comet_routes(words),
            "count" => self.registry.count(&words.address()).to_string(),
            "stats" => format!("{:?}", self.registry.stats()),
            "head" => format!(
                "next_seq={} elapsed={} cursor={} epoch={}{}",
                self.registry.next_seq(),
                self.registry.elapsed_ms(),
                self.registry.cursor(),
                self.registry.epoch(),
                show_floor(self.registry.floor()),
            ),
            "fence" => self.registry.fence(&words::id(words.next())).to_string(),
            "records" => self.records(),
            "restore" => self.restore(),
            verb => {
                let command = command(verb, words);
                let mut replies = self.apply(vec![command]);
                assert_eq!(replies.len(), 1);
                show(&replies.remove(0))
            }
        }
    }
}

impl Stage {
    fn apply(&mut self, commands: Vec<Command>) -> Vec<Reply> {
        let (elapsed_ms, wall_ms) = (self.elapsed_ms, self.wall_ms);
        self.registry.apply(&Batch { elapsed_ms, wall_ms, commands })
    }

    fn locate(&self, words: &mut Words<'_>) -> String {
        let address = words.address();
        match self.registry.locate(&address) {
            Ok(located) => {
                let routes = located.routes.iter().map(show_route);
                let comets = located.comets.iter().map(|comet| comet.to_string());
                lines(&address.to_string(), routes.chain(comets).collect())
            }
            Err(error) => error.to_string(),
        }
    }

    fn members(&self, words: &mut Words<'_>) -> String {
        let room = words.address();
        let after = words.get("after").map(words::connection);
        let after = after.as_ref().map(|after| (&after.address, after.seq));
        let limit = words.number_or("limit", 0) as usize;
        let page = self.registry.members(&room, after, limit);
        let members = page.members.iter();
        let mut shown: Vec<_> =
            members.map(|m| format!("{}@{} {}", m.address, m.route.seq, m.route.comet)).collect();
        if page.more {
            shown.push("more".to_owned());
        }
        lines(&room.to_string(), shown)
    }

    fn comet_routes(&self, words: &mut Words<'_>) -> String {
        let comet = words.comet();
        let after = words.get("after").map(words::connection);
        let after = after.as_ref().map(|after| (&after.address, after.seq));
        let (limit, scan) = (words.number_or("limit", 0), words.number_or("scan", 0));
        let page = self.registry.comet_routes(&comet, after, limit as usize, scan as usize);
        let members = page.members.iter();
        let mut shown: Vec<_> =
            members.map(|m| format!("{} {}", m.address, show_route(&m.route))).collect();
        shown.extend(page.next.map(|(address, seq)| format!("next {address}@{seq}")));
        lines(&comet.to_string(), shown)
    }

    /// All records but those of slots.
    fn records(&self) -> String {
        let snapshot = self.registry.snapshot();
        let records = snapshot.records().filter(|r| !matches!(r, ShardRecord::Slot(_)));
        records.map(|record| show_record(&record)).collect::<Vec<_>>().join("\n")
    }

    /// Goes on with the registry that the snapshot's records make.
    fn restore(&mut self) -> String {
        let snapshot = self.registry.snapshot();
        let restored = Registry::restore(snapshot.records()).unwrap();
        assert_eq!(restored.digest(), self.registry.digest());
        assert!(restored.snapshot().records().eq(snapshot.records()));
        self.registry = restored;
        "restored alike".to_owned()
    }
}

fn command(verb: &str, words: &mut Words<'_>) -> Command {
    match verb {
        "bind" => Command::Bind(bind(words)),
        "unbind" => Command::Unbind(Unbind {
            address: words.address(),
            comet: words.comet(),
            route: match words.number("seq") {
                Some(seq) => RouteName::Seq(Seq(seq)),
                None => RouteName::Conn(Conn(words.need("conn"))),
            },
            settled: Conn(words.number_or("settled", 0)),
        }),
        "set_rooms" => Command::SetRooms(SetRooms {
            address: words.address(),
            comet: words.comet(),
            seq: Seq(words.need("seq")),
            rooms: words.ids("rooms"),
            version: Version(words.need("version")),
        }),
        "bind_room" => Command::BindRoom(list_room(words)),
        "unbind_room" => Command::UnbindRoom(list_room(words)),
        "expire" => Command::ExpireComet(ExpireComet {
            comet: words::id(words.next()),
            fence: Incarnation(words.need("fence")),
            position: words.need("position"),
        }),
        "open" => Command::Open(Open {
            next_seq: Seq(words.number_or("next_seq", 0)),
            floor: Incarnation(words.number_or("floor", 0)),
            ..Open::new(slots(words), words.need("epoch"))
        }),
        other => words.fail(&format!("no command {other}")),
    }
}

fn bind(words: &mut Words<'_>) -> Bind {
    Bind {
        address: words.address(),
        comet: words.comet(),
        conn: Conn(words.need("conn")),
        policy: Policy {
            scope: match words.get("policy") {
                None | Some("all") => Scope::All,
                Some("platform") => Scope::PerPlatform,
                Some(n) => Scope::PerAddress { n: n.parse().unwrap() },
            },
            keep: match words.get("keep") {
                None | Some("newest") => Keep::Newest,
                Some(_) => Keep::Oldest,
            },
        },
        settled: Conn(words.number_or("settled", 0)),
        details: Details {
            platform: words.get("platform").unwrap_or("").to_owned(),
            device: words.get("device").unwrap_or("").to_owned(),
            labels: words.all("label"),
            rooms: words.ids("rooms"),
            rooms_version: Version(words.number_or("version", 0)),
            primary: words.get("primary").map(words::connection),
        },
        rank: words.number("rank").map(Seq),
    }
}

fn list_room(words: &mut Words<'_>) -> ListRoom {
    let (room, comet) = (words.address(), words.comet());
    ListRoom { room, comet, version: Version(words.need("version")) }
}

/// `of=ADDRESS` for the slot of an address, `but=ADDRESS` for all but that, else all.
fn slots(words: &mut Words<'_>) -> Vec<Slot> {
    if let Some(address) = words.get("of") {
        return vec![words::address(address).slot()];
    }
    let but = words.get("but").map(|address| words::address(address).slot());
    let slots: Vec<_> = Slot::all().filter(|slot| Some(*slot) != but).collect();
    assert!(slots.len() >= SLOTS - 1);
    slots
}

fn show(reply: &Reply) -> String {
    match reply {
        Ok(Outcome::Bound(bound)) => {
            let losers = bound.losers.iter();
            let losers: Vec<_> = losers
                .map(|l| format!("loser {}@{} {} conn={}", l.address, l.seq, l.comet, l.conn))
                .collect();
            lines(&format!("bound seq={}", bound.seq), losers)
        }
        Ok(Outcome::Unbound { removed }) => format!("unbound removed={removed}"),
        Ok(Outcome::Done) => "done".to_owned(),
        Ok(Outcome::Stale) => "stale".to_owned(),
        Err(refusal) => format!("refused: {refusal}"),
    }
}

fn show_route(route: &Route) -> String {
    let mut shown = format!("seq={} {} conn={}", route.seq, route.comet, route.conn);
    let details = &route.details;
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            shown.push_str(&format!(" {name}={value}"));
        }
    };
    say("platform", details.platform.clone());
    say("device", details.device.clone());
    details.labels.iter().for_each(|(name, value)| say("label", format!("{name}:{value}")));
    say("rooms", details.rooms.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(","));
    if details.rooms_version.0 > 0 {
        say("version", details.rooms_version.to_string());
    }
    if let Some(primary) = &details.primary {
        say("primary", format!("{}@{}", primary.address, primary.seq));
    }
    if route.bound_at_ms > 0 {
        say("at", route.bound_at_ms.to_string());
    }
    shown
}

fn show_record(record: &ShardRecord) -> String {
    match record {
        ShardRecord::Head(head) => {
            let floor = show_floor(head.floor);
            format!("head next_seq={} cursor={}{floor}", head.next_seq, head.cursor)
        }
        ShardRecord::Slot(slot) => format!("slot {slot}"),
        ShardRecord::Route { address, route, losers, rank } => {
            let rank = rank.map_or(String::new(), |rank| format!(" rank={rank}"));
            let losers = losers.iter().map(|loser| format!(" loser={}", loser.seq));
            format!("route {address} {}{rank}{}", show_route(route), losers.collect::<String>())
        }
        ShardRecord::Listing { room, comet, version, listed } => {
            format!("listing {room} {comet} version={version} listed={listed}")
        }
        ShardRecord::Fence { comet, fence } => format!("fence {comet} {fence}"),
        ShardRecord::Mark { address, comet, conn, removed, seq, outranked } => {
            let seq = seq.map_or(String::new(), |seq| format!(" seq={seq}"));
            let outranked = if *outranked { " outranked" } else { "" };
            format!("mark {address} {comet} conn={conn} removed={removed}{seq}{outranked}")
        }
        ShardRecord::Settled { comet, settled } => format!("settled {comet} {settled}"),
    }
}

fn show_floor(floor: Incarnation) -> String {
    if floor > Incarnation(0) { format!(" floor={floor}") } else { String::new() }
}

/// A headline and what belongs to it.
fn lines(head: &str, below: Vec<String>) -> String {
    if below.is_empty() && !head.starts_with("bound") {
        return format!("{head}: nothing");
    }
    std::iter::once(head.to_owned())
        .chain(below.into_iter().map(|line| format!("  {line}")))
        .collect::<Vec<_>>()
        .join("\n")
}
