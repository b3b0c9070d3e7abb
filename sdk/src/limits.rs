//! Limits of a device, each with its unit and its reason.

use std::time::Duration;

/// How long connecting may take, authentication included, unless the options say otherwise: a little
/// more than a comet's own limit, so that the comet's verdict is seen.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the answer to a request may take unless the options say otherwise.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest first pause before a client comes back, unless it is told otherwise: devices that were cut
/// together come back spread over it.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);

/// The longest pause of all, unless it is told otherwise: nobody waits longer for a cluster that is back.
pub const BACKOFF_CAP: Duration = Duration::from_secs(60);

/// The longest pause that a server may ask for; what it asks beyond that is not believed.
pub const HINT_MAX: Duration = Duration::from_secs(3600);

/// How long a connection must have lived for the backoff to begin anew after it: a comet that lets devices
/// in and loses them at once should not be asked at the fastest rate.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Most events that are kept while a request waits for its answer. A caller that asks for so much while
/// not taking events is told, and what waits stays.
pub const WAITING_EVENTS_MAX: usize = 65_536;

/// How much is read at once, in bytes.
pub(crate) const READ_BYTES: usize = 4096;

/// Longest WebSocket message accepted, in bytes: the longest body, each byte of it as a JSON escape.
pub(crate) const MESSAGE_BYTES_MAX: usize =
    6 * orrery_model::limits::PUSH_BODY_BYTES_MAX + READ_BYTES;

/// How long a poll waits, or a stream is quiet, where a comet does not say it over HTTP: a comet's default.
pub(crate) const HTTP_WAIT: Duration = Duration::from_secs(25);

/// The longest that a comet may be configured to say; what is said beyond that is not believed, since for so long nobody
/// would notice that the network has forgotten a connection.
pub(crate) const HTTP_WAIT_MAX: Duration = Duration::from_secs(120);

/// How much longer than that nothing may come over HTTP before a request has failed: for the way there and back,
/// and for a connection to be made.
pub(crate) const HTTP_GRACE: Duration = Duration::from_secs(10);

/// The longest first pause before events are asked for again over HTTP.
pub(crate) const HTTP_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause of all between requests for events that fail: nobody is deaf for longer once the network is
/// back.
pub(crate) const HTTP_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Which part of the longest silence asking for events over HTTP may fail before the session is given up: the rest
/// is for the request that waited before it, and the one that is on its way at the end.
pub(crate) const HTTP_FAILING_SHARE: u32 = 2;

/// How long it may fail at most: then another comet may be of more use than what this one has kept.
pub(crate) const HTTP_FAILING_MAX: Duration = Duration::from_secs(60);

/// How long it may fail at most where a comet said that the session is over: one that is there answers at once, and
/// what it has kept is little.
pub(crate) const HTTP_OVER_FAILING_MAX: Duration = Duration::from_secs(2);

/// How many events that nobody has taken yet a device over HTTP keeps before it asks for more while it says something:
/// the comet keeps the next ones.
pub(crate) const HTTP_ARRIVED_MAX: usize = 256;

/// How long the goodbye of a device over HTTP may take that gives its session up: time for a connection and an answer
/// where there is a comet, and little where there is none.
pub(crate) const HTTP_GOODBYE_MAX: Duration = Duration::from_secs(2);

/// How long nothing may have been asked on a connection of HTTP that is used again. Far below the time after which a
/// comet closes it, 5 seconds unless configured.
pub(crate) const LINK_IDLE_MAX: Duration = Duration::from_secs(1);

/// Longest answer over HTTP, in bytes: as much as a comet hands out at once, and one message that is longer.
pub(crate) const ANSWER_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

/// Longest piece of a stream that is not an event yet, in bytes.
pub(crate) const STREAM_LINE_BYTES_MAX: usize = ANSWER_BYTES_MAX;

const _: () = assert!(BACKOFF_BASE.as_nanos() <= BACKOFF_CAP.as_nanos());
const _: () = assert!(BACKOFF_CAP.as_nanos() <= HINT_MAX.as_nanos());
const _: () = assert!(HTTP_PAUSE.as_nanos() <= HTTP_PAUSE_MAX.as_nanos());
// A poll that failed for its silence is repeated, and that one may do the same.
const _: () = assert!(HTTP_WAIT.as_secs() + HTTP_GRACE.as_secs() < HTTP_FAILING_MAX.as_secs());
const _: () = assert!(HTTP_OVER_FAILING_MAX.as_nanos() <= HTTP_FAILING_MAX.as_nanos());
const _: () = assert!(HTTP_WAIT.as_secs() <= HTTP_WAIT_MAX.as_secs());
