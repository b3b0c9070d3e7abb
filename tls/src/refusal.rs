//! Refusal: why somebody who connected did not become a TLS connection.

use std::io;

use rustls::{AlertDescription, InvalidMessage};

/// Why there is no TLS connection. The stream is closed. Who breaks the protocol was told by an alert where rustls has
/// one for it, who speaks HTTP by a 400; who sends too much ([`HandshakeTooLong`](Refusal::HandshakeTooLong)) only sees
/// the end. None is worth another try by this side; the device may come again, with the same outcome unless it was
/// [`Io`](Refusal::Io), [`Truncated`](Refusal::Truncated) or its operator changes something.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// HTTP without TLS; answered with a 400.
    #[error("http without tls")]
    PlainHttp,
    /// A hello of SSL 2.0.
    #[error("ssl 2.0")]
    SslV2,
    /// Neither TLS nor HTTP.
    #[error("not tls")]
    NotTls,
    /// A record that is longer than TLS allows.
    #[error("a record is too long")]
    OversizedRecord,
    /// More than a handshake has.
    #[error("a handshake has at most {} bytes", crate::limits::HANDSHAKE_BYTES_MAX)]
    HandshakeTooLong,
    /// It ended before the handshake did.
    #[error("ended within the handshake")]
    Truncated,
    /// No version, cipher suite, key exchange or application protocol in common.
    #[error("nothing in common: {0}")]
    Incompatible(#[source] rustls::Error),
    /// The device refuses us; that it does not trust our certificate is the usual reason.
    #[error("refused by the device: {0:?}")]
    RefusedByDevice(AlertDescription),
    /// What was sent breaks the protocol.
    #[error("not a handshake: {0}")]
    Malformed(#[source] rustls::Error),
    /// The network failed.
    #[error(transparent)]
    Io(io::Error),
}

impl Refusal {
    /// The names of all reasons, for metrics.
    pub const NAMES: [&'static str; 10] = [
        "plain_http",
        "ssl_v2",
        "not_tls",
        "oversized_record",
        "handshake_too_long",
        "truncated",
        "incompatible",
        "refused_by_device",
        "malformed",
        "io",
    ];

    /// The name of the reason, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PlainHttp => "plain_http",
            Self::SslV2 => "ssl_v2",
            Self::NotTls => "not_tls",
            Self::OversizedRecord => "oversized_record",
            Self::HandshakeTooLong => "handshake_too_long",
            Self::Truncated => "truncated",
            Self::Incompatible(_) => "incompatible",
            Self::RefusedByDevice(_) => "refused_by_device",
            Self::Malformed(_) => "malformed",
            Self::Io(_) => "io",
        }
    }

    /// What he is told who speaks something else than TLS.
    pub(crate) fn last_word(&self) -> &'static [u8] {
        match self {
            Self::PlainHttp => BAD_REQUEST,
            Self::SslV2 | Self::NotTls => PROTOCOL_VERSION,
            // rustls has told the others what there is to tell.
            _ => b"",
        }
    }
}

impl From<rustls::Error> for Refusal {
    fn from(error: rustls::Error) -> Self {
        use rustls::Error;
        match error {
            Error::AlertReceived(alert) => Self::RefusedByDevice(alert),
            Error::PeerSentOversizedRecord
            | Error::InvalidMessage(InvalidMessage::MessageTooLarge) => Self::OversizedRecord,
            Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => {
                Self::HandshakeTooLong
            }
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible(error),
            error => Self::Malformed(error),
        }
    }
}

/// A fatal alert in the form all versions share: protocol_version (RFC 8446, 6).
const PROTOCOL_VERSION: &[u8] = &[21, 3, 1, 0, 2, 2, 70];

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 25\r\nConnection: close\r\n\r\nthis port speaks TLS only";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_the_400_is_that_of_its_body() {
        let text = std::str::from_utf8(BAD_REQUEST).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
