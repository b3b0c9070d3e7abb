//! Decoded: what a comet's decoder understands of bytes, however they are cut.

use orrery_comet_core::{Decoder, Dialect, Input, Violation};

/// What a decoder says of these bytes in pieces of this length.
pub(crate) fn decoded(
    dialect: Dialect,
    bytes: &[u8],
    length: usize,
) -> (Vec<Input>, Option<Violation>) {
    let mut decoder = Decoder::new(dialect, 8192);
    let mut inputs = Vec::new();
    for piece in bytes.chunks(length) {
        decoder.feed(piece);
        loop {
            match decoder.poll() {
                Ok(Some(input)) => inputs.push(input),
                Ok(None) => break,
                Err(violation) => return (inputs, Some(violation)),
            }
        }
    }
    (inputs, None)
}
