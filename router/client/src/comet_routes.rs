//! Comet routes: walks the routes of one comet's life, shard after shard, in pages.

use orrery_model::limits::PAGE_SIZE_MAX;
use orrery_model::{Address, CometRef, Seq, ShardId};
use orrery_proto::registry::response;
use orrery_proto::registry::{CometRoutes, Member as WireMember, MembersPage as WirePage, request};
use tokio::time::Instant;

use crate::ask::{Ask, Target};
use crate::client::{Client, garbled, malformed};
use crate::error::ClientError;
use crate::limits::COMET_ROUTES_ASKS_MAX;
use crate::members::{Member, MembersCursor, MembersPage, ShardMembers, cursor_at};

impl Client {
    /// The first routes of a comet's life in one shard, on whatever address, at most `limit` (0 or too many:
    /// [`PAGE_SIZE_MAX`]), all of one moment: linearizable. There may be more although these are fewer: the
    /// registry looks at a bounded part of a shard at once.
    ///
    /// # Errors
    /// [`ClientError`]; a read may always be repeated.
    pub async fn comet_routes_in(
        &self,
        comet: &CometRef,
        shard: ShardId,
        limit: usize,
        deadline: Instant,
    ) -> Result<ShardMembers, ClientError> {
        let limit = if (1..=PAGE_SIZE_MAX).contains(&limit) { limit } else { PAGE_SIZE_MAX };
        let start = MembersCursor { shard, after: None };
        let (page, log_index) = self.comet_routes_page(comet, &start, limit, deadline).await?;
        let members: Result<_, _> = page.members.into_iter().map(Member::try_from).collect();
        let members = members.map_err(|error| malformed(&error))?;
        Ok(ShardMembers { members, more: page.more, log_index })
    }

    /// The next routes of a comet's life, on whatever address, from the start (`None`) or a cursor, at most
    /// `limit` (0 or too many: [`PAGE_SIZE_MAX`]). Each shard's part is linearizable; the walk is not one
    /// instant. A page may be empty although it is not the last one: the registry looks at a bounded part
    /// of a shard at once.
    ///
    /// # Errors
    /// [`ClientError`]; a read may always be repeated from the same cursor.
    pub async fn comet_routes(
        &self,
        comet: CometRef,
        from: Option<MembersCursor>,
        limit: usize,
        deadline: Instant,
    ) -> Result<MembersPage, ClientError> {
        let limit = if (1..=PAGE_SIZE_MAX).contains(&limit) { limit } else { PAGE_SIZE_MAX };
        let table = self.first_table(deadline).await?;
        let mut shards = table.shards.iter().copied();
        let start = from.unwrap_or(MembersCursor { shard: ShardId::CONTROL, after: None });
        let mut next = cursor_at(&start, shards.find(|shard| *shard >= start.shard));
        let mut members = Vec::new();
        for _ in 0..COMET_ROUTES_ASKS_MAX {
            if members.len() == limit {
                break;
            }
            let Some(cursor) = next.take() else { break };
            let (page, _) =
                self.comet_routes_page(&comet, &cursor, limit - members.len(), deadline).await?;
            for member in page.members {
                members.push(Member::try_from(member).map_err(|error| malformed(&error))?);
            }
            next = match (page.more, page.next) {
                (true, Some(next)) => {
                    let after = Some(position(next)?);
                    if after == cursor.after {
                        // It would be asked for without end.
                        return Err(garbled("page of a comet's routes"));
                    }
                    Some(MembersCursor { shard: cursor.shard, after })
                }
                (true, None) => return Err(garbled("page of a comet's routes")),
                (false, _) => shards.next().map(|shard| MembersCursor { shard, after: None }),
            };
        }
        Ok(MembersPage { members, next })
    }

    async fn comet_routes_page(
        &self,
        comet: &CometRef,
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
        let routes = CometRoutes { comet: Some(comet.into()), after, limit };
        let ask = Ask::read(Target::Shard(cursor.shard), request::Kind::CometRoutes(routes));
        match self.call(&ask, deadline).await? {
            (response::Kind::Members(page), log_index) => Ok((page, log_index)),
            _ => Err(garbled("page of a comet's routes")),
        }
    }
}

fn position(next: WireMember) -> Result<(Address, Seq), ClientError> {
    let garbled = || garbled("page of a comet's routes");
    let address = Address::try_from(next.address.ok_or_else(garbled)?);
    Ok((address.map_err(|error| malformed(&error))?, Seq(next.seq)))
}
