//! Response: the heads of answers.

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use orrery_comet_core::http::{self, Refusal};

use super::reply::Reply;
use crate::comet::Comet;
use crate::limits::PREFLIGHT_MAX_AGE_S;

/// An answer in JSON.
pub(super) fn json(status: StatusCode, reply: Reply) -> Response<Reply> {
    respond(status, "application/json", reply)
}

/// A stream of events.
pub(super) fn events(reply: Reply) -> Response<Reply> {
    let mut response = respond(StatusCode::OK, "text/event-stream", reply);
    // nginx would gather events otherwise.
    let name = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(name, HeaderValue::from_static("no"));
    response
}

/// There is nothing to say.
pub(super) fn empty() -> Response<Reply> {
    let mut response = Response::new(Reply::plain(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// What a page of another origin may do.
pub(super) fn preflight() -> Response<Reply> {
    let mut response = empty();
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static(http::ALLOWED_METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let names = HeaderValue::from_static(http::ALLOWED_HEADERS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(PREFLIGHT_MAX_AGE_S));
    response
}

/// The connection ends with this answer.
pub(super) fn close(response: &mut Response<Reply>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// The answer to a request that is refused; its connection closes.
pub(super) fn refused(comet: &Comet, refusal: &Refusal) -> Response<Reply> {
    let status = StatusCode::from_u16(refusal.status()).expect("it is one of ours");
    let mut response = json(status, Reply::plain(refusal.body()));
    if let Refusal::NoSuchMethod(allowed) = refusal {
        let allowed = HeaderValue::from_str(&allowed.join(", ")).expect("methods are ASCII");
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    if refusal.may_retry() {
        come_back(comet, &mut response);
    }
    close(&mut response);
    response
}

/// Says after how long to come back.
pub(super) fn come_back(comet: &Comet, response: &mut Response<Reply>) {
    let seconds = HeaderValue::from(comet.retry_after_s());
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
}

/// Adds what each answer has, to a request that is from a page of this origin.
pub(super) fn finish(comet: &Comet, response: &mut Response<Reply>, origin: Option<HeaderValue>) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(allowed) = origin.and_then(|origin| allowed(comet, origin)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        let exposed = HeaderValue::from_static(http::EXPOSED_HEADERS);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

/// The origin whose pages may read the answer, if this one's may.
fn allowed(comet: &Comet, origin: HeaderValue) -> Option<HeaderValue> {
    let allowed = &comet.config.allow_origins;
    let any = allowed.iter().any(|allowed| allowed == "*");
    let named = || allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
    (any || named()).then_some(origin)
}

fn respond(status: StatusCode, kind: &'static str, reply: Reply) -> Response<Reply> {
    let mut response = Response::new(reply);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
