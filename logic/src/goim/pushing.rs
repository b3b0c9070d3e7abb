//! Pushing: goim's four push calls. Each answers once the message is in the outboxes.

use std::collections::HashSet;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::try_join_all;
use orrery_model::limits::{PUSH_BODY_BYTES_MAX, PUSH_TARGETS_MAX};
use orrery_model::{Address, Id, Kind};

use crate::goim::Goim;
use crate::goim::answer::{self, Refusal};
use crate::goim::query::{Query, require};
use crate::http::calls::read_body;
use crate::push::{Target, check};

type Result<T = Response> = std::result::Result<T, Refusal>;

impl Goim {
    /// To connections by key. A key named twice receives the message twice; nobody has the empty one.
    pub(super) async fn push_keys(&self, query: &Query, body: Body) -> Result {
        let op = query.int32("operation")?;
        let keys = query.texts("keys");
        require(&[("Keys", !keys.is_empty())])?;
        let keys = keys.into_iter().filter(|key| !key.is_empty());
        let addresses = keys.map(|key| address(Kind::Key, "keys", key)).collect::<Result<_>>()?;
        self.push_addresses(addresses, op, body).await
    }

    /// To users by number. One named twice receives the message once, as goim's do.
    pub(super) async fn push_mids(&self, query: &Query, body: Body) -> Result {
        let op = query.int32("operation")?;
        let mids = query.int64s("mids")?;
        require(&[("Mids", !mids.is_empty())])?;
        let mut seen = HashSet::new();
        let mids = mids.into_iter().filter(|mid| seen.insert(*mid));
        let user = |mid: i64| address(Kind::User, "mids", &mid.to_string());
        let addresses = mids.map(user).collect::<Result<_>>()?;
        self.push_addresses(addresses, op, body).await
    }

    /// To the members of a room, whose id is `type://room`.
    pub(super) async fn push_room(&self, query: &Query, body: Body) -> Result {
        let op = query.int32("operation")?;
        let (kind, room) = (query.text("type"), query.text("room"));
        require(&[("Op", op != 0), ("Type", !kind.is_empty()), ("Room", !room.is_empty())])?;
        let room = address(Kind::Room, "room", &room_id(kind, room))?;
        let message = message(body).await?;
        self.push(Target::Room(room), op, message).await
    }

    /// To everybody.
    pub(super) async fn push_all(&self, query: &Query, body: Body) -> Result {
        let op = query.int32("operation")?;
        let speed = query.int32("speed")?;
        require(&[("Op", op != 0)])?;
        let message = message(body).await?;
        // A negative speed is as unlimited as none.
        let rate = u32::try_from(speed).unwrap_or(0);
        self.push(Target::Everybody { namespace: None, rate }, op, message).await
    }

    /// goim has no limit on the number of addresses, so many become several pushes.
    async fn push_addresses(&self, addresses: Vec<Address>, op: i32, body: Body) -> Result {
        let message = message(body).await?;
        let begin = |addresses: &[Address]| {
            let target = Target::Addresses(addresses.to_vec());
            let push = check::live(target, op, message.clone())?;
            Ok(self.pushes.push(push, self.push_timeout()))
        };
        let begun = addresses.chunks(PUSH_TARGETS_MAX).map(begin).collect::<Result<Vec<_>>>()?;
        try_join_all(begun).await?;
        Ok(answer::done())
    }

    async fn push(&self, target: Target, op: i32, message: Bytes) -> Result {
        let push = check::live(target, op, message)?;
        self.pushes.push(push, self.push_timeout()).await?;
        Ok(answer::done())
    }

    fn push_timeout(&self) -> Duration {
        self.config.push_timeout(None)
    }
}

/// goim's id of a room.
pub(super) fn room_id(kind: &str, room: &str) -> String {
    format!("{kind}://{room}")
}

fn address(kind: Kind, field: &str, text: &str) -> Result<Address> {
    let id: Id = check::id(field, text)?;
    Ok(Address::new(kind, id))
}

async fn message(body: Body) -> Result<Bytes> {
    Ok(read_body(body, PUSH_BODY_BYTES_MAX).await?)
}
