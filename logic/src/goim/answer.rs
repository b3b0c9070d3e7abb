//! Answer: what goim's HTTP server writes.

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use crate::error::ApiError;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// goim's codes.
const REQUEST_ERROR: i32 = -400;
const SERVER_ERROR: i32 = -500;

/// A request that goim refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its parameters cannot be bound: status 400, and JSON that is called text.
    Request(String),
    /// Its body is too large; goim takes any.
    TooLarge(String),
    /// It could not be carried out: status 200 with a code.
    Server(String),
}

impl Refusal {
    pub(super) fn into_response(self) -> Response {
        let body = |code: i32, message: String| json!({ "code": code, "message": message });
        match self {
            Self::Request(message) => {
                write(StatusCode::BAD_REQUEST, TEXT, body(REQUEST_ERROR, message).to_string())
            }
            Self::TooLarge(message) => {
                write(StatusCode::PAYLOAD_TOO_LARGE, TEXT, body(REQUEST_ERROR, message).to_string())
            }
            Self::Server(message) => {
                write(StatusCode::OK, JSON, body(SERVER_ERROR, message).to_string())
            }
        }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        match &error {
            ApiError::TooLarge { what } => Self::TooLarge(what.clone()),
            ApiError::Invalid { reason: "BODY_TOO_LARGE", what, .. } => {
                Self::TooLarge(what.clone())
            }
            ApiError::Invalid { .. } => Self::Request(error.to_string()),
            _ => Self::Server(error.to_string()),
        }
    }
}

/// A push that was carried out.
pub(super) fn done() -> Response {
    write(StatusCode::OK, JSON, r#"{"code":0,"message":""}"#.to_owned())
}

/// An answer with data, its members in the order of their declaration.
pub(super) fn data(data: &impl Serialize) -> Response {
    #[derive(Serialize)]
    struct Success<'a, T> {
        code: i32,
        message: &'static str,
        data: &'a T,
    }
    let success = Success { code: 0, message: "", data };
    let text = serde_json::to_string(&success).expect("texts and numbers always have a JSON form");
    write(StatusCode::OK, JSON, text)
}

/// Nothing at this path, or not with this method.
pub(super) fn not_found() -> Response {
    let text = HeaderValue::from_static("text/plain");
    write(StatusCode::NOT_FOUND, text, "404 page not found".to_owned())
}

/// A path with a slash too many.
pub(super) fn moved(method: &Method, path: &str, query: Option<&str>) -> Response {
    let status = match *method {
        Method::GET => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::TEMPORARY_REDIRECT,
    };
    let location = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    // The path is one of ours, and the query came in a request's head: both can stand in a header.
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn write(status: StatusCode, content_type: HeaderValue, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
