//! Members: walks the members of a room, shard after shard, in pages.

use orrery_model::limits::PAGE_SIZE_MAX;
use orrery_model::{Address, Route, Seq, ShardId};
use orrery_proto::convert::WireError;
use orrery_proto::registry::response;
use orrery_proto::registry::{Member as WireMember, Members, MembersPage as WirePage, request};
use tokio::time::Instant;

use crate::ask::{Ask, Target};
use crate::client::{Client, check_room, garbled, malformed};
use crate::error::ClientError;

/// A member of a room, or a route of a comet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The connection's primary address; of a comet's routes, the address where the route is.
    pub address: Address,
    /// Its route there.
    pub route: Route,
}

/// Where a walk goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersCursor {
    /// The shard to ask next; shards are walked in order of their numbers.
    pub shard: ShardId,
    /// The last member, or place, of that shard already looked at; `None` before its first.
    pub after: Option<(Address, Seq)>,
}

/// A page of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersPage {
    /// The members, in order of (shard, address, seq); at most as many as asked for.
    pub members: Vec<Member>,
    /// Where to go on; `None` when that was all. The page it leads to may be empty.
    pub next: Option<MembersCursor>,
}

/// A room's members in one shard, or a comet's routes there, all of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardMembers {
    /// The members, in order of (address, seq); at most as many as asked for.
    pub members: Vec<Member>,
    /// Whether there are more.
    pub more: bool,
    /// Index in the shard's log at which this was so.
    pub log_index: u64,
}

impl Client {
    /// The first members of a room in one shard, at most `limit` (0 or too many: [`PAGE_SIZE_MAX`]):
    /// linearizable.
    ///
    /// # Errors
    /// [`ClientError`]; a read may always be repeated.
    pub async fn members_in(
        &self,
        room: Address,
        shard: ShardId,
        limit: usize,
        deadline: Instant,
    ) -> Result<ShardMembers, ClientError> {
        check_room(&room)?;
        let limit = if (1..=PAGE_SIZE_MAX).contains(&limit) { limit } else { PAGE_SIZE_MAX };
        let start = MembersCursor { shard, after: None };
        let (page, log_index) = self.shard_page(&room, &start, limit, deadline).await?;
        let members: Result<_, _> = page.members.into_iter().map(Member::try_from).collect();
        let members = members.map_err(|error| malformed(&error))?;
        Ok(ShardMembers { members, more: page.more, log_index })
    }

    /// The next members of a room, from its start (`None`) or a cursor, at most `limit` (0 or too many:
    /// [`PAGE_SIZE_MAX`]). Each shard's part is linearizable; the walk is not one instant.
    ///
    /// # Errors
    /// [`ClientError`]; a read may always be repeated from the same cursor.
    pub async fn members(
        &self,
        room: Address,
        from: Option<MembersCursor>,
        limit: usize,
        deadline: Instant,
    ) -> Result<MembersPage, ClientError> {
        check_room(&room)?;
        let limit = if (1..=PAGE_SIZE_MAX).contains(&limit) { limit } else { PAGE_SIZE_MAX };
        let table = self.first_table(deadline).await?;
        let mut shards = table.shards.iter().copied();
        let start = from.unwrap_or(MembersCursor { shard: ShardId::CONTROL, after: None });
        let mut next = cursor_at(&start, shards.find(|shard| *shard >= start.shard));
        let mut members = Vec::new();
        while members.len() < limit
            && let Some(cursor) = next.take()
        {
            let (page, _) =
                self.shard_page(&room, &cursor, limit - members.len(), deadline).await?;
            let more = page.more;
            let before = members.len();
            for member in page.members {
                members.push(Member::try_from(member).map_err(|error| malformed(&error))?);
            }
            next = match members.get(before..).and_then(<[Member]>::last) {
                Some(last) if more => {
                    let after = Some((last.address.clone(), last.route.seq));
                    Some(MembersCursor { shard: cursor.shard, after })
                }
                // An empty page with more behind it would be asked for without end.
                None if more => return Err(garbled("page of members")),
                _ => shards.next().map(|shard| MembersCursor { shard, after: None }),
            };
        }
        Ok(MembersPage { members, next })
    }

    async fn shard_page(
        &self,
        room: &Address,
        cursor: &MembersCursor,
        limit: usize,
        deadline: Instant,
    ) -> Result<(WirePage, u64), ClientError> {
        let after = cursor.after.as_ref().map(|(address, seq)| WireMember {
            address: Some(address.into()),
            seq: seq.0,
            route: None,
        });
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let members = Members { room: Some(room.into()), after, limit };
        let ask = Ask::read(Target::Shard(cursor.shard), request::Kind::Members(members));
        match self.call(&ask, deadline).await? {
            (response::Kind::Members(page), log_index) => Ok((page, log_index)),
            _ => Err(garbled("page of members")),
        }
    }
}

/// The cursor itself where its shard is still there, else the start of the shard that follows.
pub(crate) fn cursor_at(start: &MembersCursor, shard: Option<ShardId>) -> Option<MembersCursor> {
    let shard = shard?;
    let after = start.after.clone().filter(|_| shard == start.shard);
    Some(MembersCursor { shard, after })
}

impl TryFrom<WireMember> for Member {
    type Error = WireError;

    fn try_from(wire: WireMember) -> Result<Self, WireError> {
        let missing = |field| WireError { field, what: orrery_proto::convert::Fault::Missing };
        let address = wire.address.ok_or_else(|| missing("member.address"))?.try_into()?;
        let route = wire.route.ok_or_else(|| missing("member.route"))?.try_into()?;
        Ok(Self { address, route })
    }
}
