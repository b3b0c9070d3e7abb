//! Calls: one handler for each path under `/v1`.

use std::sync::Arc;

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use bytes::BytesMut;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use orrery_proto::push as wire;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::api::Api;
use crate::error::ApiError;
use crate::http::{Answer, words};
use crate::limits::{HTTP_BODY_TIMEOUT, REQUEST_BYTES_MAX};

type Shared = State<Arc<Api>>;
type Result<T = Answer> = std::result::Result<T, ApiError>;
type PathId = std::result::Result<Path<String>, PathRejection>;
type Parameters<T> = std::result::Result<Query<T>, QueryRejection>;

pub(super) async fn push(State(api): Shared, body: Body) -> Result {
    let text = read_body(body, REQUEST_BYTES_MAX).await?;
    let request = words::read::<words::Push>(&text)?.try_into()?;
    Ok(Answer(value(&api.push(request, None, None).await?)))
}

pub(super) async fn push_many(State(api): Shared, body: Body) -> Result {
    let text = read_body(body, REQUEST_BYTES_MAX).await?;
    let request = words::read::<words::PushMany>(&text)?.try_into()?;
    let result = |result: Result<_>| match result {
        Ok(receipt) => json!({ "response": value(&receipt) }),
        Err(error) => error.to_json(),
    };
    let results = api.push_many(request, None, None).await?;
    let results: Vec<Value> = results.into_iter().map(result).collect();
    Ok(Answer(json!({ "results": results })))
}

pub(super) async fn disconnect(State(api): Shared, body: Body) -> Result {
    let text = read_body(body, REQUEST_BYTES_MAX).await?;
    let request = words::read::<words::Disconnect>(&text)?.into();
    Ok(Answer(value(&api.disconnect(request, None, None).await?)))
}

/// Parameters of the calls that have no others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plain {
    #[serde(default)]
    namespace: String,
}

pub(super) async fn user_connections(
    State(api): Shared,
    user: PathId,
    plain: Parameters<Plain>,
) -> Result {
    let (user, namespace) = (path_id(user)?, parameters(plain)?.namespace);
    let request = wire::ListConnectionsRequest { user, key: String::new(), namespace };
    Ok(Answer(words::connections(&api.list_connections(request, None).await?)))
}

pub(super) async fn key_connections(
    State(api): Shared,
    key: PathId,
    plain: Parameters<Plain>,
) -> Result {
    let (key, namespace) = (path_id(key)?, parameters(plain)?.namespace);
    let request = wire::ListConnectionsRequest { user: String::new(), key, namespace };
    Ok(Answer(words::connections(&api.list_connections(request, None).await?)))
}

/// Parameters of a paged call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paged {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    page_size: i32,
    #[serde(default)]
    page_token: String,
}

pub(super) async fn room_members(
    State(api): Shared,
    room: PathId,
    paged: Parameters<Paged>,
) -> Result {
    let Paged { namespace, page_size, page_token } = parameters(paged)?;
    let room = path_id(room)?;
    let request = wire::ListRoomMembersRequest { room, namespace, page_size, page_token };
    Ok(Answer(words::members(&api.list_room_members(request, None).await?)))
}

pub(super) async fn room_count(
    State(api): Shared,
    room: PathId,
    plain: Parameters<Plain>,
) -> Result {
    let (room, namespace) = (path_id(room)?, parameters(plain)?.namespace);
    let request = wire::CountRoomMembersRequest { room, namespace };
    Ok(Answer(json!({ "count": api.count_room_members(request, None).await?.count })))
}

/// Reads a request's body.
///
/// # Errors
/// [`ApiError`] when it is too large, too slow, or breaks off.
pub(crate) async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes> {
    let incomplete = |what: String| ApiError::invalid("BODY_INCOMPLETE", "body", what);
    match timeout(HTTP_BODY_TIMEOUT, gather(Limited::new(body, bytes_max))).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(ApiError::TooLarge { what: format!("more than {bytes_max} bytes") })
        }
        Ok(Err(error)) => Err(incomplete(error.to_string())),
        Err(_) => Err(incomplete("the body did not arrive in time".to_owned())),
    }
}

/// Copied piece by piece: a piece of one byte keeps the whole buffer that it was read into.
async fn gather(mut body: Limited<Body>) -> std::result::Result<Bytes, BoxError> {
    let mut text = BytesMut::new();
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(frame?.data_ref().map_or(&[], |piece| piece.as_ref()));
    }
    Ok(text.freeze())
}

fn path_id(id: PathId) -> Result<String> {
    match id {
        Ok(Path(id)) => Ok(id),
        Err(rejection) => Err(ApiError::invalid("BAD_PATH", "path", rejection.body_text())),
    }
}

fn parameters<T>(parameters: Parameters<T>) -> Result<T> {
    match parameters {
        Ok(Query(parameters)) => Ok(parameters),
        Err(rejection) => Err(ApiError::invalid("BAD_QUERY", "query", rejection.body_text())),
    }
}

fn value(answer: &impl serde::Serialize) -> Value {
    serde_json::to_value(answer).expect("texts and numbers always have a JSON form")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;

    use super::*;

    /// A buffer of which a body has one byte, and that knows how many there are.
    struct Buffer(Arc<AtomicUsize>);

    impl Buffer {
        fn new(living: &Arc<AtomicUsize>) -> Self {
            living.fetch_add(1, Ordering::Relaxed);
            Self(living.clone())
        }
    }

    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            b"x"
        }
    }

    impl Drop for Buffer {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_body_that_trickles_keeps_no_more_than_itself() {
        let (living, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let pieces = (0..1000).map({
            let (living, most) = (living.clone(), most.clone());
            move |_| {
                let piece = Bytes::from_owner(Buffer::new(&living));
                most.fetch_max(living.load(Ordering::Relaxed), Ordering::Relaxed);
                Ok::<_, BoxError>(piece)
            }
        });
        let body = Body::from_stream(stream::iter(pieces));
        assert_eq!(read_body(body, 1000).await.unwrap(), vec![b'x'; 1000]);
        assert!(most.load(Ordering::Relaxed) <= 2, "{most:?} at a time");
    }
}
