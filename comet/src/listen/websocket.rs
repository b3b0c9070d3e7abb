//! WebSocket: the opening handshake, which chooses the dialect.

use std::io;

use bytes::{Buf, BytesMut};
use orrery_comet_core::Dialect;
use orrery_comet_core::http::Opening;
use orrery_host::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{
    Request, Response, create_response, write_response,
};
use tokio_tungstenite::tungstenite::http::header::{
    CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    TRANSFER_ENCODING,
};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};

use super::handshake::Shaken;
use crate::admission::Refused;
use crate::comet::Comet;
use crate::limits::{HANDSHAKE_BUFFER_BYTES, HANDSHAKE_BYTES_MAX};
use crate::unread::discard;

/// The WebSocket's path.
const PATH: &str = "/sub";

/// What a device is told for which there is no place: to come back after so many seconds.
pub(super) fn overloaded(retry_after_s: u64) -> String {
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {retry_after_s}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    )
}

/// A key as the RFC wants it, where only the form of the others is checked.
const ANY_KEY: HeaderValue = HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA==");

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    /// The device went, or the network did.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What was asked for is not here; the device has been told.
    #[error("refused with {0}")]
    Refused(StatusCode),
}

/// What a device is told instead of being let in: a status, and why.
type Refusal = (StatusCode, String);

/// Shakes hands with a device, unless its request is one that is answered in [HTTP](crate::http): that it finds whole.
/// Otherwise the stream carries WebSocket frames of the dialect afterwards. None is let in while the comet sends its
/// devices elsewhere. The caller bounds the time.
///
/// # Errors
/// [`UpgradeError`]; it is worth another try only with another request.
pub(crate) async fn upgrade(
    comet: &Comet,
    mut stream: Box<dyn Stream>,
) -> Result<Shaken, UpgradeError> {
    let mut received = BytesMut::with_capacity(HANDSHAKE_BUFFER_BYTES);
    let answered = loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match Opening::of(&received) {
            Opening::HttpHead => return Ok(Shaken::Http(stream, received.freeze())),
            Opening::Http if received.len() < HANDSHAKE_BYTES_MAX => continue,
            Opening::Http => break Err(too_long()),
            Opening::Unknown | Opening::WebSocket => {}
        }
        if let Some(answered) = answer(&mut received) {
            break answered;
        }
    };
    match answered {
        Ok(_) if comet.drain.is_on() => {
            comet.metrics.refused(Refused::Draining);
            end(stream, &overloaded(comet.retry_after_s())).await?;
            Err(UpgradeError::Refused(StatusCode::SERVICE_UNAVAILABLE))
        }
        Ok((response, dialect)) => {
            stream.write_all(&response).await?;
            stream.flush().await?;
            Ok(Shaken::Hands(stream, dialect))
        }
        Err((status, reason)) => {
            refuse(stream, status, &reason).await?;
            Err(UpgradeError::Refused(status))
        }
    }
}

/// Answers a request once all of it is there.
fn answer(received: &mut BytesMut) -> Option<Result<(Vec<u8>, Dialect), Refusal>> {
    let bad = |reason: String| Some(Err((StatusCode::BAD_REQUEST, reason)));
    let request = match Request::try_parse(received) {
        Ok(Some((len, request))) => {
            received.advance(len);
            request
        }
        Ok(None) if received.len() < HANDSHAKE_BYTES_MAX => return None,
        Ok(None) => return Some(Err(too_long())),
        Err(error) => return bad(error.to_string()),
    };
    if !received.is_empty() {
        return bad("nothing may follow a request before its answer".to_owned());
    }
    Some(choose(request))
}

fn too_long() -> Refusal {
    let reason = format!("a request has at most {HANDSHAKE_BYTES_MAX} bytes");
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
}

/// Chooses the dialect by what the device offers. goim knows no sub-protocols: a device that offers
/// others than ours speaks goim's protocol, and none is selected.
fn choose(mut request: Request) -> Result<(Vec<u8>, Dialect), Refusal> {
    if request.uri().path_and_query().map(|target| target.as_str()) != Some(PATH) {
        let reason =
            format!("there is only {PATH} here, for a WebSocket, and what is below it over HTTP");
        return Err((StatusCode::NOT_FOUND, reason));
    }
    let bad = |reason: String| (StatusCode::BAD_REQUEST, reason);
    if announces_body(&request) {
        return Err(bad("a WebSocket handshake has no body".to_owned()));
    }
    // goim takes a key of any length, and devices written for it may have one.
    let key = request.headers().get(SEC_WEBSOCKET_KEY).cloned();
    if key.as_ref().is_some_and(|key| !key.is_empty()) {
        request.headers_mut().insert(SEC_WEBSOCKET_KEY, ANY_KEY);
    }
    let mut response: Response =
        create_response(&request).map_err(|error| bad(error.to_string()))?;
    let key = key.as_ref().map_or(&[][..], HeaderValue::as_bytes);
    let accept =
        HeaderValue::from_str(&derive_accept_key(key)).map_err(|error| bad(error.to_string()))?;
    response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    let mut dialect = Dialect::WebSocket;
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let offered = offers.iter().filter_map(|offer| offer.to_str().ok());
    if offered.flat_map(|offer| offer.split(',')).any(|name| name.trim() == Dialect::JSON_NAME) {
        dialect = Dialect::Json;
        let selected = HeaderValue::from_static(Dialect::JSON_NAME);
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, selected);
    }
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(|error| bad(error.to_string()))?;
    Ok((bytes, dialect))
}

/// Whether a body is going to follow, which would be read as frames.
fn announces_body(request: &Request) -> bool {
    let headers = request.headers();
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0")
}

/// Tells a device why it is not let in, and ends.
async fn refuse(stream: Box<dyn Stream>, status: StatusCode, reason: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{reason}\n",
        reason.len() + 1
    );
    end(stream, &answer).await
}

/// Says a last word.
async fn end(mut stream: Box<dyn Stream>, answer: &str) -> io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    discard(&mut stream).await
}
