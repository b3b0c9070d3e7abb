//! Calls: one handler for each path under `/v1`.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
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
    match timeout(HTTP_BODY_TIMEOUT, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(ApiError::TooLarge { what: format!("more than {bytes_max} bytes") })
        }
        Ok(Err(error)) => Err(incomplete(error.to_string())),
        Err(_) => Err(incomplete("the body did not arrive in time".to_owned())),
    }
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
