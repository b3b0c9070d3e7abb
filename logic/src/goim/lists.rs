//! Lists: goim's counts of who is online, and its advice on where to connect. Counts are as old as the
//! last census.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;
use serde::Serialize;

use crate::comets::Living;
use crate::goim::Goim;
use crate::goim::answer::{self, Refusal};
use crate::goim::pushing::room_id;
use crate::goim::query::{Query, invalid, require};

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Top {
    room_id: String,
    count: u32,
}

#[derive(Debug, Serialize)]
struct Total {
    conn_count: u64,
    ip_count: u64,
}

#[derive(Debug, Serialize)]
struct Weighted<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    domain: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    tcp_port: u16,
    #[serde(skip_serializing_if = "is_zero")]
    ws_port: u16,
    #[serde(skip_serializing_if = "is_zero")]
    wss_port: u16,
    #[serde(skip_serializing_if = "is_zero")]
    heartbeat: u32,
    nodes: Vec<String>,
    backoff: Backoff,
    #[serde(skip_serializing_if = "is_zero")]
    heartbeat_max: u32,
}

#[derive(Debug, Serialize)]
struct Backoff {
    #[serde(skip_serializing_if = "is_zero")]
    max_delay: i32,
    #[serde(skip_serializing_if = "is_zero")]
    base_delay: i32,
    #[serde(skip_serializing_if = "is_zero")]
    factor: f32,
    #[serde(skip_serializing_if = "is_zero")]
    jitter: f32,
}

#[derive(Debug, Serialize)]
struct Instance<'a> {
    region: &'a str,
    zone: &'a str,
    env: &'a str,
    appid: &'static str,
    hostname: &'a str,
    addrs: [String; 1],
    version: &'static str,
    latest_timestamp: u64,
    metadata: BTreeMap<&'static str, String>,
}

impl Goim {
    /// The fullest rooms of a type.
    pub(super) fn online_top(&self, query: &Query) -> Result<Response, Refusal> {
        let limit = query.int64("limit")?;
        let kind = query.text("type");
        require(&[("Type", !kind.is_empty()), ("Limit", limit != 0)])?;
        let limit =
            usize::try_from(limit).map_err(|_| Refusal::Request(invalid("Limit", "min")))?;
        let census = self.online.census();
        Ok(answer::data(&top(census.rooms(), kind, limit)))
    }

    /// The members of some rooms.
    pub(super) fn online_room(&self, query: &Query) -> Result<Response, Refusal> {
        let kind = query.text("type");
        let rooms = query.texts("rooms");
        require(&[("Type", !kind.is_empty()), ("Rooms", !rooms.is_empty())])?;
        let census = self.online.census();
        let count = |room: &&str| (room.to_string(), census.room(&room_id(kind, room)));
        let counts: BTreeMap<String, u32> = rooms.iter().map(count).collect();
        Ok(answer::data(&counts))
    }

    /// All connections.
    pub(super) fn online_total(&self) -> Response {
        let (conn_count, ip_count) = self.online.census().total();
        answer::data(&Total { conn_count, ip_count })
    }

    /// Where a device should connect.
    pub(super) fn nodes_weighted(&self, query: &Query) -> Response {
        let config = &self.config.nodes;
        let living = self.comets.living();
        let open = living.iter().map(Arc::as_ref).filter(|living| !living.is_draining());
        let advice = self.nodes.advise(open, &self.online, config);
        let mut nodes = match query.text("platform") {
            "web" => advice.domains,
            _ => advice.addresses,
        };
        if nodes.is_empty() {
            nodes.push(config.domain.clone());
        }
        answer::data(&Weighted {
            domain: &config.domain,
            tcp_port: config.tcp_port,
            ws_port: config.ws_port,
            wss_port: config.wss_port,
            heartbeat: self.config.heartbeat_ms / 1000,
            nodes,
            backoff: Backoff {
                max_delay: config.backoff.max_delay,
                base_delay: config.backoff.base_delay,
                factor: config.backoff.factor,
                jitter: config.backoff.jitter,
            },
            heartbeat_max: self.config.heartbeats_max,
        })
    }

    /// All comets, as goim's discovery lists its own.
    pub(super) fn nodes_instances(&self) -> Response {
        let census = self.online.census();
        let living = self.comets.living();
        let instance = |living: &'_ Arc<Living>| {
            let counted = census.comet(&living.comet.comet.id);
            let (connections, ips) = counted.map_or((0, 0), |c| (c.connections, c.ips));
            BTreeMap::from([
                ("addrs", living.comet.advertise.addresses.join(",")),
                ("conn_count", connections.to_string()),
                ("ip_count", ips.to_string()),
                ("offline", living.is_draining().to_string()),
                ("weight", living.comet.advertise.weight.max(1).to_string()),
            ])
        };
        let instances: Vec<Instance<'_>> = living
            .iter()
            .map(|living| {
                let advertise = &living.comet.advertise;
                Instance {
                    region: &advertise.region,
                    zone: &advertise.zone,
                    env: &advertise.env,
                    appid: "goim.comet",
                    hostname: &advertise.hostname,
                    addrs: [format!("grpc://{}", advertise.delivery)],
                    version: "",
                    latest_timestamp: living.comet.attached_at_ms.saturating_mul(1_000_000),
                    metadata: instance(living),
                }
            })
            .collect();
        // goim's empty list is Go's nil.
        answer::data(&if instances.is_empty() { None } else { Some(instances) })
    }
}

/// The fullest rooms whose id begins with `kind`, in goim's short form.
fn top<'a>(rooms: impl Iterator<Item = (&'a str, u32)>, kind: &str, limit: usize) -> Vec<Top> {
    let short = |(room, count): (&str, u32)| {
        let room_id = room.starts_with(kind).then(|| host(room)).flatten()?.to_owned();
        Some(Top { room_id, count })
    };
    let mut tops: Vec<Top> = rooms.filter_map(short).collect();
    tops.sort_by(|a, b| Reverse(a.count).cmp(&Reverse(b.count)).then(a.room_id.cmp(&b.room_id)));
    tops.truncate(limit);
    tops
}

/// The host of a room's id read as a URL, which is how goim shortens it; `None` where it is no URL.
fn host(room: &str) -> Option<&str> {
    let (scheme, rest) = room.split_once("://")?;
    let mut letters = scheme.chars();
    let is_scheme = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let is_host = !host
        .contains(|letter: char| letter.is_ascii_control() || " %\\^`{}|".contains(letter))
        && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_scheme && is_host).then_some(host)
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_shortened_as_goim_shortens_them() {
        for (room, short) in [
            ("live://1000", Some("1000")),
            ("live://a/b?c", Some("a")),
            ("live://", Some("")),
            ("live://host:80", Some("host:80")),
            ("live://host:x", None),
            ("live://a b", None),
            ("li ve://a", None),
            ("1://a", None),
            ("plain", None),
        ] {
            assert_eq!(host(room), short, "{room}");
        }
    }

    #[test]
    fn the_fullest_rooms_come_first_and_the_type_is_a_prefix() {
        let rooms = [("live://1", 5), ("live://2", 9), ("test://3", 7), ("live://4", 9)];
        let top = |kind, limit| -> Vec<(String, u32)> {
            let top = top(rooms.into_iter(), kind, limit).into_iter();
            top.map(|top| (top.room_id, top.count)).collect()
        };
        assert_eq!(top("li", 2), [("2".into(), 9), ("4".into(), 9)]);
        assert_eq!(top("test", 10), [("3".into(), 7)]);
        assert!(top("other", 10).is_empty());
    }
}
