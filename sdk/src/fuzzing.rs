//! Fuzzing: the parser of the text of a stream, for fuzz targets only.

/// Takes a text in pieces of this length, none of which may have more bytes than that together with what is kept
/// before it. What each block says, and whether there was room for all of the text.
///
/// # Panics
/// Where more is kept than may be, or anything else than what has no end yet.
pub fn event_stream(text: &[u8], length: usize, bytes_max: usize) -> (Vec<String>, bool) {
    crate::http::read_in_pieces(text, length, bytes_max)
}
