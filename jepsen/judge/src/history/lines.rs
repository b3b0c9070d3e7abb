//! Lines: a history as a file of JSON lines.

use std::io::{self, BufRead, Write};

use super::Event;

/// Why a file is not a history. Reading the same file again cannot help.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The reader failed.
    #[error("line {line} could not be read")]
    Io {
        /// From 1.
        line: usize,
        /// Why.
        source: io::Error,
    },
    /// The file ends in the middle of an event.
    #[error("line {line}, the last one, is cut: the history is not whole")]
    Cut {
        /// From 1.
        line: usize,
    },
    /// A line is not an event.
    #[error("line {line} is not an event")]
    NotAnEvent {
        /// From 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// An event is missing before this line.
    #[error("line {line} has index {index} where {expected} was expected: the history has a gap")]
    Gap {
        /// From 1.
        line: usize,
        /// The index found.
        index: u64,
        /// The index that belongs there.
        expected: u64,
    },
    /// Time runs backwards at this line.
    #[error("line {line} is earlier than the line before it")]
    TimeFell {
        /// From 1.
        line: usize,
    },
}

/// Writes a history as JSON lines.
///
/// # Errors
/// When the writer refuses.
pub fn write(events: &[Event], mut out: impl Write) -> io::Result<()> {
    for event in events {
        serde_json::to_writer(&mut out, event)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Reads a history of JSON lines.
///
/// # Errors
/// [`ReadError`], naming the line: a history cut in the middle, with a gap, or not a history at all.
pub fn read(input: impl BufRead) -> Result<Vec<Event>, ReadError> {
    match read_what_is_whole(input) {
        (events, None) => Ok(events),
        (_, Some(error)) => Err(error),
    }
}

/// Reads a history of JSON lines as far as it is one: the events up to there, and why it ends there if
/// that is not the end of the input.
pub fn read_what_is_whole(mut input: impl BufRead) -> (Vec<Event>, Option<ReadError>) {
    let mut events: Vec<Event> = Vec::new();
    let mut text = Vec::new();
    loop {
        text.clear();
        match next(&mut input, &mut text, &events) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
        }
    }
}

/// The event after these; none at the end of the input.
fn next(
    input: &mut impl BufRead,
    text: &mut Vec<u8>,
    events: &[Event],
) -> Result<Option<Event>, ReadError> {
    let line = events.len() + 1;
    input.read_until(b'\n', text).map_err(|source| ReadError::Io { line, source })?;
    if text.is_empty() {
        return Ok(None);
    }
    // Every event is written with its line's end.
    if !text.ends_with(b"\n") {
        return Err(ReadError::Cut { line });
    }
    let event: Event =
        serde_json::from_slice(text).map_err(|source| ReadError::NotAnEvent { line, source })?;
    let expected = events.len() as u64;
    if event.index != expected {
        return Err(ReadError::Gap { line, index: event.index, expected });
    }
    if events.last().is_some_and(|last| last.time > event.time) {
        return Err(ReadError::TimeFell { line });
    }
    Ok(Some(event))
}
