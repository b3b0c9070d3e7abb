//! Request: one request of a session, from the wire to a shard and back.

use std::sync::Arc;

use orrery_model::command::Command;
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_model::{Address, CometRef, Kind, Seq};
use orrery_proto::convert::WireError;
use orrery_proto::registry as wire;
use orrery_proto::registry::failure::Reason;
use orrery_router_core::registry::{Member, WrongShard};
use prost::Message as _;
use seeded_bugs::Bug;
use tokio::time::Instant;

use crate::error::{ReadError, failure};
use crate::limits::RESPONSES_BYTES_MAX;
use crate::shard::DataShard;

/// An answer, with the log index of the write, or at which the read was answered.
type Answer = Result<(wire::response::Kind, u64), wire::Failure>;

/// Room that an answer leaves in its message for everything around it.
const MESSAGE_OVERHEAD_BYTES: usize = 1 << 10;

/// Carries out a request on a shard.
pub(crate) async fn answer(
    shard: Arc<DataShard>,
    kind: Option<wire::request::Kind>,
    deadline: Instant,
) -> Answer {
    match kind.ok_or_else(|| failure(Reason::Invalid, "an unknown kind of request"))? {
        wire::request::Kind::Write(command) => write(&shard, command, deadline).await,
        wire::request::Kind::Locate(locate) => self::locate(&shard, locate, deadline).await,
        wire::request::Kind::Members(members) => self::members(&shard, members, deadline).await,
        wire::request::Kind::Count(count) => self::count(&shard, count, deadline).await,
        wire::request::Kind::CometRoutes(asked) => comet_routes(&shard, asked, deadline).await,
    }
}

/// The response that carries an answer.
pub(crate) fn response(id: u64, answer: Answer) -> wire::Response {
    let (kind, log_index) =
        answer.unwrap_or_else(|failure| (wire::response::Kind::Failure(failure), 0));
    let response = wire::Response { id, kind: Some(kind), log_index };
    let bytes = response.encoded_len();
    if bytes + MESSAGE_OVERHEAD_BYTES <= INTERNAL_MESSAGE_BYTES_MAX {
        return response;
    }
    // Sent, it would break the whole session. No answer within the limits is so large.
    let failure = failure(Reason::Invalid, format!("the answer of {bytes} bytes is too large"));
    wire::Response { id, kind: Some(wire::response::Kind::Failure(failure)), log_index: 0 }
}

async fn write(shard: &DataShard, command: wire::Command, deadline: Instant) -> Answer {
    let bytes = command.encoded_len();
    let command = Command::try_from(command).map_err(invalid)?;
    if matches!(command, Command::ExpireComet(_) | Command::Open(_)) {
        return Err(failure(
            Reason::Invalid,
            "only the cluster itself writes this kind of command",
        ));
    }
    let written = shard.write_sized(command, bytes, deadline).await?;
    Ok((wire::response::Kind::Reply((&written.reply).into()), written.log_index))
}

async fn locate(shard: &DataShard, locate: wire::Locate, deadline: Instant) -> Answer {
    let address = address(locate.address)?;
    confirm(shard, locate.stale_ok, deadline).await?;
    let (located, index) =
        shard.replica().registry(|registry, index| (registry.locate(&address), index));
    let located = located.map_err(wrong_shard)?;
    let located = wire::Located {
        routes: located.routes.iter().map(Into::into).collect(),
        comets: located.comets.iter().map(Into::into).collect(),
    };
    Ok((wire::response::Kind::Located(located), index))
}

async fn members(shard: &DataShard, members: wire::Members, deadline: Instant) -> Answer {
    let room = room(members.room)?;
    let after = after(members.after)?;
    let after = after.as_ref().map(|(address, seq)| (address, *seq));
    let limit = usize::try_from(members.limit).unwrap_or(usize::MAX);
    confirm(shard, false, deadline).await?;
    let (page, index) =
        shard.replica().registry(|registry, index| (registry.members(&room, after, limit), index));
    let more = page.more;
    let (members, cut) = fitting(page.members);
    let answer = wire::MembersPage { members, more: more || cut, next: None };
    Ok((wire::response::Kind::Members(answer), index))
}

async fn comet_routes(shard: &DataShard, asked: wire::CometRoutes, deadline: Instant) -> Answer {
    let comet = asked.comet.ok_or_else(|| failure(Reason::Invalid, "the comet is missing"))?;
    let comet = CometRef::try_from(comet).map_err(invalid)?;
    let after = after(asked.after)?;
    let after = after.as_ref().map(|(address, seq)| (address, *seq));
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    confirm(shard, false, deadline).await?;
    let (page, index) = shard.replica().registry(|registry, index| {
        // It looks at as much of the shard at once as the registry allows.
        (registry.comet_routes(&comet, after, limit, 0), index)
    });
    let (members, cut) = fitting(page.members);
    let next = match members.last() {
        Some(last) if cut => {
            Some(wire::Member { address: last.address.clone(), seq: last.seq, route: None })
        }
        _ => page.next.map(|(address, seq)| wire::Member {
            address: Some(address.into()),
            seq: seq.0,
            route: None,
        }),
    };
    let answer = wire::MembersPage { members, more: next.is_some(), next };
    Ok((wire::response::Kind::Members(answer), index))
}

/// As many members, from the first on, as one answer should carry, and whether that is not all of them: the
/// client asks on from the last one.
fn fitting(members: Vec<Member>) -> (Vec<wire::Member>, bool) {
    let mut fitting = Vec::with_capacity(members.len());
    let mut bytes = 0;
    for member in &members {
        let member = wire::Member {
            address: Some((&member.address).into()),
            seq: member.route.seq.0,
            route: Some((&member.route).into()),
        };
        bytes += member.encoded_len();
        if bytes > RESPONSES_BYTES_MAX && !fitting.is_empty() {
            return (fitting, true);
        }
        fitting.push(member);
    }
    (fitting, false)
}

async fn count(shard: &DataShard, count: wire::Count, deadline: Instant) -> Answer {
    let room = room(count.room)?;
    confirm(shard, false, deadline).await?;
    let (count, index) = shard.replica().registry(|registry, index| (registry.count(&room), index));
    Ok((wire::response::Kind::Counted(wire::Counted { count }), index))
}

async fn confirm(
    shard: &DataShard,
    stale_ok: bool,
    deadline: Instant,
) -> Result<(), wire::Failure> {
    if !stale_ok && !seeded_bugs::is(Bug::ReadFromFollower) {
        return Ok(shard.confirm(deadline).await?);
    }
    if shard.group().has_recovered() {
        return Ok(());
    }
    // Older than stale: a state that was served before the restart would seem to be undone.
    Err(ReadError::Unavailable("still starting".to_owned()).into())
}

fn after(after: Option<wire::Member>) -> Result<Option<(Address, Seq)>, wire::Failure> {
    after.map(|after| Ok((address(after.address)?, Seq(after.seq)))).transpose()
}

fn room(room: Option<orrery_proto::common::Address>) -> Result<Address, wire::Failure> {
    let room = address(room)?;
    match room.kind {
        Kind::Room => Ok(room),
        _ => Err(failure(Reason::Invalid, format!("{room} is not a room"))),
    }
}

fn address(address: Option<orrery_proto::common::Address>) -> Result<Address, wire::Failure> {
    let address = address.ok_or_else(|| failure(Reason::Invalid, "the address is missing"))?;
    Address::try_from(address).map_err(invalid)
}

fn invalid(error: WireError) -> wire::Failure {
    failure(Reason::Invalid, error)
}

fn wrong_shard(WrongShard { epoch }: WrongShard) -> wire::Failure {
    let detail = format!("the slot is not owned here at table epoch {epoch}");
    wire::Failure { epoch, ..failure(Reason::WrongShard, detail) }
}

#[cfg(test)]
mod tests {
    use orrery_model::limits::{LABEL_BYTES_MAX, LABELS_MAX};
    use orrery_model::{Conn, Details, Id, Incarnation, Route};

    use super::*;

    /// A member with so many labels of the largest size.
    fn member(number: u64, labels: usize) -> Member {
        let id = |text: &str| Id::new(text).unwrap();
        let label = |n| (format!("{n:02}"), "x".repeat(LABEL_BYTES_MAX - 2));
        let details = Details { labels: (0..labels).map(label).collect(), ..Details::default() };
        let route = Route {
            seq: Seq(number),
            comet: CometRef { id: id("c"), incarnation: Incarnation(1) },
            conn: Conn(number),
            details,
            bound_at_ms: 0,
        };
        Member { address: Address::user(id("u")), route }
    }

    #[test]
    fn a_page_ends_before_it_is_too_long_for_a_message() {
        let small: Vec<_> = (1..=1000).map(|number| member(number, 0)).collect();
        let (fits, cut) = fitting(small);
        assert_eq!((fits.len(), cut), (1000, false));

        let large: Vec<_> = (1..=1000).map(|number| member(number, LABELS_MAX)).collect();
        let (fits, cut) = fitting(large);
        let bytes: usize = fits.iter().map(prost::Message::encoded_len).sum();
        assert!(cut && bytes <= RESPONSES_BYTES_MAX && bytes > RESPONSES_BYTES_MAX * 9 / 10);
        let seqs: Vec<u64> = fits.iter().map(|member| member.seq).collect();
        assert_eq!(seqs, (1..=fits.len() as u64).collect::<Vec<_>>());
    }
}
