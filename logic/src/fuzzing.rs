//! Fuzzing: the parsers of what backends send over HTTP, for fuzz targets only.

/// Takes a body for each of the JSON requests.
pub fn json(text: &[u8]) {
    crate::http::read_as_each(text);
}

/// Takes a text for the query of each of goim's paths.
pub fn goim_query(text: &str) {
    crate::goim::read_as_each(text);
}
