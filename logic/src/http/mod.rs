//! HTTP: the push API as JSON under `/v1`, its OpenAPI document, and goim's paths beside it.

pub(crate) mod calls;
pub(crate) mod serve;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use orrery_host::trace::{TRACEPARENT, Trace, within};
use serde_json::Value;

use crate::api::Api;
use crate::error::ApiError;
use crate::goim::Goim;
use crate::metrics::Metrics;

/// The OpenAPI document, as served.
pub(crate) const OPENAPI: &str = include_str!("../../openapi.json");

/// The paths under `/v1`: method, path, handler.
fn routes() -> [(&'static str, &'static str, MethodRouter<Arc<Api>>); 8] {
    [
        ("get", "/v1/openapi.json", get(openapi)),
        ("post", "/v1/push", post(calls::push)),
        ("post", "/v1/push-many", post(calls::push_many)),
        ("post", "/v1/disconnect", post(calls::disconnect)),
        ("get", "/v1/users/{user}/connections", get(calls::user_connections)),
        ("get", "/v1/keys/{key}/connections", get(calls::key_connections)),
        ("get", "/v1/rooms/{room}/members", get(calls::room_members)),
        ("get", "/v1/rooms/{room}/count", get(calls::room_count)),
    ]
}

/// Everything that the HTTP port answers.
pub(crate) fn router(api: Arc<Api>, goim: Arc<Goim>, metrics: Metrics) -> Router {
    let counted = metrics.clone();
    let routes = routes().into_iter();
    let v1 = routes
        .fold(Router::new(), |router, (_, path, handler)| router.route(path, handler))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::map_response(move |response: Response| {
            counted.http("v1", response.status());
            std::future::ready(response)
        }))
        .with_state(api);
    v1.fallback(move |request: Request| {
        let (goim, metrics) = (goim.clone(), metrics.clone());
        async move { elsewhere(&goim, &metrics, request).await }
    })
    .layer(axum::middleware::from_fn(|request: Request, next: Next| {
        let trace = request.headers().get(TRACEPARENT).and_then(|text| text.to_str().ok());
        within(trace.and_then(Trace::parse), next.run(request))
    }))
}

/// What is not under `/v1` is goim's; what is, and is not there, is answered in our own words.
async fn elsewhere(goim: &Goim, metrics: &Metrics, request: Request) -> Response {
    let path = request.uri().path();
    if path == "/v1" || path.starts_with("/v1/") {
        let what = format!("there is nothing at {path}");
        let response = ApiError::NoSuchPath { what }.into_response();
        metrics.http("v1", response.status());
        return response;
    }
    let response = goim.answer(request).await;
    metrics.http("goim", response.status());
    response
}

async fn openapi() -> Response {
    json(StatusCode::OK, OPENAPI.to_owned())
}

async fn method_not_allowed(method: Method) -> ApiError {
    ApiError::MethodNotAllowed { what: format!("{method} is not allowed here") }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json(self.http_status(), self.to_json().to_string());
        if let Some(delay) = self.retry_after() {
            // Whole seconds, and none is too few.
            let seconds = delay.as_secs().max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A successful answer.
pub(crate) struct Answer(pub(crate) Value);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        json(StatusCode::OK, self.0.to_string())
    }
}

fn json(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Takes a body for each of the requests, for fuzz targets.
pub(crate) fn read_as_each(text: &[u8]) {
    use orrery_proto::push as wire;

    let _ = words::read::<words::Push>(text).and_then(wire::PushRequest::try_from);
    let _ = words::read::<words::PushMany>(text).and_then(wire::PushManyRequest::try_from);
    let _ = words::read::<words::Disconnect>(text).map(wire::DisconnectRequest::from);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_describes_exactly_the_paths_there_are() {
        let document: Value = serde_json::from_str(OPENAPI).expect("the document is JSON");
        assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")));
        let paths = document["paths"].as_object().expect("it has paths");
        let described: BTreeSet<(&str, &str)> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().expect("a path has methods").keys();
                methods.filter(|key| *key != "parameters").map(|m| (m.as_str(), path.as_str()))
            })
            .collect();
        let routes = routes();
        let served = routes.iter().map(|(method, path, _)| (*method, *path)).collect();
        assert_eq!(described, served);
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn check(value: &Value, document: &Value) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        let pointer = reference.strip_prefix('#').expect("references are local");
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    members.values().for_each(|member| check(member, document));
                }
                Value::Array(elements) => elements.iter().for_each(|e| check(e, document)),
                _ => {}
            }
        }
        let document: Value = serde_json::from_str(OPENAPI).expect("the document is JSON");
        check(&document, &document);
    }
}
