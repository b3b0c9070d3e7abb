//! Limits of a device, each with its unit and its reason.

use std::time::Duration;

/// How long connecting may take, authentication included, unless the options say otherwise: a little
/// more than a comet's own limit, so that the comet's verdict is seen.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the answer to a request may take unless the options say otherwise.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Most events that are kept while a request waits for its answer. A caller that asks for so much while
/// not taking events is told, and what waits stays.
pub const WAITING_EVENTS_MAX: usize = 65_536;

/// How much is read at once, in bytes.
pub(crate) const READ_BYTES: usize = 4096;

/// Longest WebSocket message accepted, in bytes: the longest body, each byte of it as a JSON escape.
pub(crate) const MESSAGE_BYTES_MAX: usize =
    6 * orrery_model::limits::PUSH_BODY_BYTES_MAX + READ_BYTES;
