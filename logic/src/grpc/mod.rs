//! gRPC: the push service. Errors carry `google.rpc.ErrorInfo` always.

pub(crate) mod serve;

use std::sync::Arc;
use std::time::Duration;

use orrery_host::trace::{TRACEPARENT, Trace, within};
use orrery_proto::push as wire;
use orrery_proto::push::push_service_server::PushService;
use tonic::{Request, Response, Status};

use crate::api::Api;
use crate::error::ApiError;
use crate::line::Entry;

/// The gRPC service.
pub(crate) struct Grpc(pub(crate) Arc<Api>);

#[tonic::async_trait]
impl PushService for Grpc {
    async fn push(
        &self,
        mut request: Request<wire::PushRequest>,
    ) -> Result<Response<wire::PushResponse>, Status> {
        let (timeout, entry) = (timeout(&request), entry(&mut request));
        let trace = trace(&request);
        let receipt = within(trace, self.0.push(request.into_inner(), timeout, entry)).await?;
        Ok(Response::new(receipt.into()))
    }

    async fn push_many(
        &self,
        mut request: Request<wire::PushManyRequest>,
    ) -> Result<Response<wire::PushManyResponse>, Status> {
        let (timeout, entry) = (timeout(&request), entry(&mut request));
        let trace = trace(&request);
        let results = within(trace, self.0.push_many(request.into_inner(), timeout, entry)).await?;
        let result = |result: Result<_, ApiError>| match result {
            Ok(receipt) => {
                let response = Some(wire::PushResponse::from(receipt));
                wire::PushManyResult { status: None, response }
            }
            Err(error) => wire::PushManyResult { status: Some(error.to_rpc()), response: None },
        };
        let results = results.into_iter().map(result).collect();
        Ok(Response::new(wire::PushManyResponse { results }))
    }

    async fn list_connections(
        &self,
        request: Request<wire::ListConnectionsRequest>,
    ) -> Result<Response<wire::ListConnectionsResponse>, Status> {
        let timeout = timeout(&request);
        Ok(Response::new(self.0.list_connections(request.into_inner(), timeout).await?))
    }

    async fn list_room_members(
        &self,
        request: Request<wire::ListRoomMembersRequest>,
    ) -> Result<Response<wire::ListRoomMembersResponse>, Status> {
        let timeout = timeout(&request);
        Ok(Response::new(self.0.list_room_members(request.into_inner(), timeout).await?))
    }

    async fn count_room_members(
        &self,
        request: Request<wire::CountRoomMembersRequest>,
    ) -> Result<Response<wire::CountRoomMembersResponse>, Status> {
        let timeout = timeout(&request);
        Ok(Response::new(self.0.count_room_members(request.into_inner(), timeout).await?))
    }

    async fn disconnect(
        &self,
        mut request: Request<wire::DisconnectRequest>,
    ) -> Result<Response<wire::DisconnectResponse>, Status> {
        let (timeout, entry) = (timeout(&request), entry(&mut request));
        let trace = trace(&request);
        let disconnected =
            within(trace, self.0.disconnect(request.into_inner(), timeout, entry)).await?;
        Ok(Response::new(disconnected.into()))
    }
}

/// A call's place among the calls of its connection.
fn entry<T>(request: &mut Request<T>) -> Option<Arc<Entry>> {
    request.extensions_mut().remove()
}

/// The trace that a caller follows.
fn trace<T>(request: &Request<T>) -> Option<Trace> {
    Trace::parse(request.metadata().get(TRACEPARENT)?.to_str().ok()?)
}

/// The time a caller allows, from its `grpc-timeout`.
fn timeout<T>(request: &Request<T>) -> Option<Duration> {
    parse_timeout(request.metadata().get("grpc-timeout")?.to_str().ok()?)
}

/// At most eight digits and a unit, as gRPC's protocol over HTTP/2 says.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_and_nonsense_is_not() {
        assert_eq!(parse_timeout("1S"), Some(Duration::from_secs(1)));
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for text in ["", "S", "1", "1x", "-1S", "123456789S", "1é", "é"] {
            assert_eq!(parse_timeout(text), None, "{text}");
        }
    }
}
