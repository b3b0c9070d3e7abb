//! Errors: why the service did not start, why a call of the API was refused, and the one place where
//! that becomes a gRPC or HTTP status.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use prost::Message as _;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::limits::RETRY_AFTER;

/// The domain of every reason.
pub const DOMAIN: &str = "orrery";

/// Why the service did not start. Trying again helps only once what it names has changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be opened.
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// Which of the ports.
        purpose: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The configuration cannot work.
    #[error("configuration key {key}: {what}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

/// A call of the push API that was not carried out, or whose outcome is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The request breaks a rule; the same request can never be taken.
    #[error("{field}: {what}")]
    Invalid {
        /// A stable word for the rule.
        reason: &'static str,
        /// The field, as the contract spells it.
        field: String,
        /// What is wrong with it.
        what: String,
    },
    /// Too much is in flight; trying again later helps.
    #[error("{what}")]
    Exhausted {
        /// A stable word for what ran out.
        reason: &'static str,
        /// What ran out.
        what: String,
    },
    /// The registry did not answer; trying again helps. A live push may then be delivered twice.
    #[error("{what}")]
    Unavailable {
        /// A stable word for what is missing.
        reason: &'static str,
        /// What is missing.
        what: String,
    },
    /// The request is larger than any may be; the same request can never be taken.
    #[error("{what}")]
    TooLarge {
        /// How much is allowed.
        what: String,
    },
    /// There is nothing at this path.
    #[error("{what}")]
    NoSuchPath {
        /// The path.
        what: String,
    },
    /// The path does not take this method.
    #[error("{what}")]
    MethodNotAllowed {
        /// The method.
        what: String,
    },
    /// A rule of ours was broken by ourselves.
    #[error("{what}")]
    Internal {
        /// Which one.
        what: String,
    },
}

impl ApiError {
    /// A request that breaks a rule.
    pub(crate) fn invalid(
        reason: &'static str,
        field: impl Into<String>,
        what: impl Into<String>,
    ) -> Self {
        Self::Invalid { reason, field: field.into(), what: what.into() }
    }

    /// The registry did not answer in time.
    pub(crate) fn registry(error: &crate::registry::RegistryError) -> Self {
        Self::Unavailable { reason: "REGISTRY_UNAVAILABLE", what: error.to_string() }
    }

    /// The same error with the field's place in the request in front of its name.
    pub(crate) fn within(mut self, place: &str) -> Self {
        if let Self::Invalid { field, .. } = &mut self {
            *field = format!("{place}.{field}");
        }
        self
    }

    /// The stable word for what happened.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { reason, .. }
            | Self::Exhausted { reason, .. }
            | Self::Unavailable { reason, .. } => reason,
            Self::TooLarge { .. } => "REQUEST_TOO_LARGE",
            Self::NoSuchPath { .. } => "NO_SUCH_PATH",
            Self::MethodNotAllowed { .. } => "METHOD_NOT_ALLOWED",
            Self::Internal { .. } => "INTERNAL",
        }
    }

    /// The canonical code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } | Self::TooLarge { .. } => Code::InvalidArgument,
            Self::NoSuchPath { .. } => Code::NotFound,
            Self::MethodNotAllowed { .. } => Code::Unimplemented,
            Self::Exhausted { .. } => Code::ResourceExhausted,
            Self::Unavailable { .. } => Code::Unavailable,
            Self::Internal { .. } => Code::Internal,
        }
    }

    /// When the caller may try again, where that can help.
    pub fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Exhausted { .. } | Self::Unavailable { .. }).then_some(RETRY_AFTER)
    }

    /// The status of the HTTP answer.
    pub fn http_status(&self) -> http::StatusCode {
        match self {
            Self::Invalid { .. } => http::StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoSuchPath { .. } => http::StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => http::StatusCode::METHOD_NOT_ALLOWED,
            Self::Exhausted { .. } => http::StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } => http::StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal { .. } => http::StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The message of `google.rpc` as protobuf.
    pub fn to_rpc(&self) -> tonic_types::Status {
        let status = tonic::Status::from(self.clone());
        tonic_types::Status::decode(status.details()).unwrap_or_default()
    }

    /// The body of the HTTP answer: `google.rpc.Status` as JSON under `error`.
    pub fn to_json(&self) -> Value {
        let mut details = vec![json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": self.reason(),
            "domain": DOMAIN,
            "metadata": {},
        })];
        if let Self::Invalid { field, what, .. } = self {
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{ "field": field, "description": what }],
            }));
        }
        if let Some(delay) = self.retry_after() {
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": format!("{}s", delay.as_secs_f64()),
            }));
        }
        json!({ "error": {
            "code": self.http_status().as_u16(),
            "status": code_word(self.code()),
            "message": self.to_string(),
            "details": details,
        }})
    }
}

impl From<ApiError> for tonic::Status {
    fn from(error: ApiError) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(error.reason(), DOMAIN, HashMap::new());
        if let ApiError::Invalid { field, what, .. } = &error {
            details.set_bad_request(vec![FieldViolation::new(field, what)]);
        }
        if let Some(delay) = error.retry_after() {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(error.code(), error.to_string(), details)
    }
}

/// A canonical code as JSON APIs spell it.
fn code_word(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::NotFound => "NOT_FOUND",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::Unavailable => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_names_its_reason_and_says_when_to_come_back() {
        let busy = ApiError::Exhausted { reason: "PUSHES_IN_FLIGHT", what: "busy".into() };
        let status = tonic::Status::from(busy.clone());
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(details.error_info().map(|i| i.reason.as_str()), Some("PUSHES_IN_FLIGHT"));
        assert_eq!(details.error_info().map(|i| i.domain.as_str()), Some("orrery"));
        assert_eq!(details.retry_info().and_then(|r| r.retry_delay), Some(RETRY_AFTER));
        assert_eq!(busy.to_rpc().code, Code::ResourceExhausted as i32);
        assert_eq!(busy.to_rpc().details.len(), 2);
        assert_eq!(busy.to_json()["error"]["code"], 429);
        assert_eq!(busy.to_json()["error"]["details"][1]["retryDelay"], "0.2s");
    }

    #[test]
    fn a_bad_request_names_its_field_from_the_outside_in() {
        let error = ApiError::invalid("ID_TOO_LONG", "target.room", "x").within("items[3]");
        assert_eq!(
            error.to_json()["error"]["details"][1]["fieldViolations"][0]["field"],
            "items[3].target.room"
        );
    }
}
