//! Body: what comes in a request's body, as far as it is wanted.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// What a body is, where it is no longer than that. Copied piece by piece: a piece of one byte keeps the whole buffer
/// that it was read into.
pub(super) async fn gather(
    body: &mut Incoming,
    most: usize,
) -> Result<Option<Vec<u8>>, hyper::Error> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        if text.len() + piece.len() > most {
            return Ok(None);
        }
        text.extend_from_slice(&piece);
    }
    Ok(Some(text))
}

/// Reads on and throws it away, so much at most.
pub(super) async fn discard(body: &mut Incoming, most: usize) {
    let mut left = most;
    while left > 0
        && let Some(Ok(frame)) = body.frame().await
    {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
    }
}
