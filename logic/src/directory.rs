//! Directory: who is connected and who is in a room, straight from the registry.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use orrery_model::{Address, Kind, Route, Seq, ShardId};
use orrery_proto::push as wire;
use orrery_proto::registry as registry_wire;
use orrery_router_client::MembersCursor;
use prost::Message as _;
use tokio::time::Instant;

use crate::error::ApiError;
use crate::limits::{PAGE_SIZE_DEFAULT, PAGE_TOKEN_CHARS_MAX};
use crate::push::check;
use crate::registry::Registry;

use orrery_model::limits::PAGE_SIZE_MAX;

/// Answers questions about connections.
pub(crate) struct Directory {
    registry: Registry,
}

impl Directory {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// The connections of a user or a key.
    ///
    /// # Errors
    /// [`ApiError`] when the request names neither or both, or the registry does not answer.
    pub(crate) async fn connections(
        &self,
        request: wire::ListConnectionsRequest,
        deadline: Instant,
    ) -> Result<wire::ListConnectionsResponse, ApiError> {
        let namespace = check::namespace(&request.namespace)?;
        let address = check::owner(namespace, ("user", &request.user), ("key", &request.key))?;
        let located = self.registry.locate(address, false, deadline).await;
        let routes = located.map_err(|error| ApiError::registry(&error))?.routes;
        let connections = routes.into_iter().map(connection_info).collect();
        Ok(wire::ListConnectionsResponse { connections })
    }

    /// A page of the members of a room.
    ///
    /// # Errors
    /// [`ApiError`] when the room or the token cannot be, or the registry does not answer.
    pub(crate) async fn members(
        &self,
        request: wire::ListRoomMembersRequest,
        deadline: Instant,
    ) -> Result<wire::ListRoomMembersResponse, ApiError> {
        let room = room(&request.namespace, &request.room)?;
        let size = page_size(request.page_size)?;
        let from = match request.page_token.as_str() {
            "" => None,
            token => Some(read_token(&room, token)?),
        };
        let page = self.registry.members(room.clone(), from, size, deadline).await;
        let page = page.map_err(|error| ApiError::registry(&error))?;
        let member = |member: orrery_router_client::Member| {
            let mut connection = connection_info(member.route);
            let id = member.address.id.to_string();
            let (user, key) = match member.address.kind {
                Kind::User => (id, String::new()),
                Kind::Key | Kind::Room => (String::new(), id),
            };
            connection.user.clone_from(&user);
            wire::RoomMember { user, key, connection: Some(connection) }
        };
        Ok(wire::ListRoomMembersResponse {
            members: page.members.into_iter().map(member).collect(),
            next_page_token: page.next.map(|next| write_token(&room, &next)).unwrap_or_default(),
        })
    }

    /// How many members a room has.
    ///
    /// # Errors
    /// [`ApiError`] when the room cannot be, or the registry does not answer.
    pub(crate) async fn count(
        &self,
        request: wire::CountRoomMembersRequest,
        deadline: Instant,
    ) -> Result<wire::CountRoomMembersResponse, ApiError> {
        let room = room(&request.namespace, &request.room)?;
        let count = self.registry.count(room, deadline).await;
        let count = count.map_err(|error| ApiError::registry(&error))?;
        Ok(wire::CountRoomMembersResponse { count })
    }
}

fn room(namespace: &str, room: &str) -> Result<Address, ApiError> {
    let namespace = check::namespace(namespace)?;
    Ok(Address { namespace, kind: Kind::Room, id: check::id("room", room)? })
}

fn page_size(asked: i32) -> Result<usize, ApiError> {
    match usize::try_from(asked) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
        Err(_) => {
            let what = format!("{asked} is negative");
            Err(ApiError::invalid("BAD_PAGE_SIZE", "page_size", what))
        }
    }
}

fn connection_info(route: Route) -> wire::ConnectionInfo {
    let details = route.details;
    let user = details.primary.filter(|primary| primary.address.kind == Kind::User);
    wire::ConnectionInfo {
        seq: route.seq.0,
        comet: route.comet.id.to_string(),
        incarnation: route.comet.incarnation.0,
        platform: details.platform,
        device: details.device,
        labels: details.labels.into_iter().collect(),
        rooms: details.rooms.iter().map(ToString::to_string).collect(),
        bound_at_ms: route.bound_at_ms,
        user: user.map(|primary| primary.address.id.to_string()).unwrap_or_default(),
    }
}

/// Writes where a walk goes on: the room and the cursor, with a checksum, so that a token that was
/// damaged or belongs to another room is refused instead of skipping members.
fn write_token(room: &Address, next: &MembersCursor) -> String {
    let after = next.after.as_ref().map(|(address, seq)| registry_wire::Member {
        address: Some(address.into()),
        seq: seq.0,
        route: None,
    });
    let walk = registry_wire::Members { room: Some(room.into()), after, limit: next.shard.0 };
    let mut bytes = walk.encode_to_vec();
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_token(room: &Address, token: &str) -> Result<MembersCursor, ApiError> {
    let bad = || {
        let what = "the token is not one that was given for this room";
        ApiError::invalid("BAD_PAGE_TOKEN", "page_token", what)
    };
    if token.len() > PAGE_TOKEN_CHARS_MAX {
        return Err(bad());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
    let (walk, checksum) = bytes.split_last_chunk::<4>().ok_or_else(bad)?;
    if crc32fast::hash(walk).to_le_bytes() != *checksum {
        return Err(bad());
    }
    let walk = registry_wire::Members::decode(walk).map_err(|_| bad())?;
    let of = walk.room.map(Address::try_from).ok_or_else(bad)?.map_err(|_| bad())?;
    if of != *room {
        return Err(bad());
    }
    let after = |member: registry_wire::Member| {
        let address = member.address.map(Address::try_from).ok_or_else(bad)?.map_err(|_| bad())?;
        Ok((address, Seq(member.seq)))
    };
    Ok(MembersCursor { shard: ShardId(walk.limit), after: walk.after.map(after).transpose()? })
}

#[cfg(test)]
mod tests {
    use orrery_model::Id;

    use super::*;

    #[test]
    fn a_token_leads_back_to_its_room_and_no_other() {
        let room = |id: &str| Address::room(Id::new(id).unwrap());
        for after in [None, Some((Address::user(Id::new("u".repeat(128)).unwrap()), Seq(u64::MAX)))]
        {
            let cursor = MembersCursor { shard: ShardId(3), after };
            let token = write_token(&room("live://1"), &cursor);
            assert!(token.len() <= PAGE_TOKEN_CHARS_MAX);
            assert_eq!(read_token(&room("live://1"), &token), Ok(cursor));
            let refused =
                |token: &str, id: &str| read_token(&room(id), token).unwrap_err().reason();
            assert_eq!(refused(&token, "live://2"), "BAD_PAGE_TOKEN");
            assert_eq!(refused(&token[1..], "live://1"), "BAD_PAGE_TOKEN");
            assert_eq!(refused("", "live://1"), "BAD_PAGE_TOKEN");
            assert_eq!(refused("%%%", "live://1"), "BAD_PAGE_TOKEN");
        }
    }

    #[test]
    fn a_page_has_a_default_and_a_largest_size() {
        assert_eq!(page_size(0), Ok(PAGE_SIZE_DEFAULT));
        assert_eq!(page_size(5), Ok(5));
        assert_eq!(page_size(i32::MAX), Ok(PAGE_SIZE_MAX));
        assert_eq!(page_size(-1).unwrap_err().reason(), "BAD_PAGE_SIZE");
    }
}
