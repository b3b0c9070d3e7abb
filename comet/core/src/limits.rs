//! Limits of the device protocols, each with its unit and its reason.

/// Length of goim's frame header, in bytes.
pub const HEADER_BYTES: usize = 16;

/// Longest body of a frame that a device may send, in bytes: goim's own limit. A longer one closes the
/// connection.
pub const CLIENT_BODY_BYTES_MAX: usize = 4096;

/// Longest frame that a device may send, header included, in bytes.
pub const CLIENT_PACKET_BYTES_MAX: usize = CLIENT_BODY_BYTES_MAX + HEADER_BYTES;

/// Longest frame that a device may receive, header included, in bytes: a push's body in goim's wrapper.
pub const SERVER_PACKET_BYTES_MAX: usize =
    orrery_model::limits::PUSH_BODY_BYTES_MAX + 2 * HEADER_BYTES;

/// Longest WebSocket message on goim's protocol, fragments joined, in bytes: goim's read buffer. A
/// longer one closes the connection.
pub const GOIM_MESSAGE_BYTES_MAX: usize = 8192;

/// Longest message of `orrery.json.v1` unless configured otherwise, in bytes. A longer one closes the
/// connection with 1009.
pub const JSON_MESSAGE_BYTES_DEFAULT: usize = 8192;

/// The largest value that may be configured in place of [`JSON_MESSAGE_BYTES_DEFAULT`], in bytes: what
/// one device may make a comet remember.
pub const JSON_MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Longest head of a WebSocket frame from a device, its mask included, in bytes (RFC 6455, 5.2).
pub const FRAME_HEAD_BYTES_MAX: usize = 14;

/// Most WebSocket frames that one message may come in, as goim has it. One more closes the connection.
pub const FRAGMENTS_MAX: u32 = 100;

/// Longest payload of a WebSocket control frame, in bytes (RFC 6455, 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Most operations a connection can name as accepted. A list that would exceed it is ignored whole:
/// the set is memory that a device makes us keep.
pub const ACCEPTS_MAX: usize = 4096;

/// Longest text id a device may give a request of `orrery.json.v1`, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 64;

/// Longest platform or device name in a hello, in bytes.
pub const NAME_BYTES_MAX: usize = orrery_model::limits::ID_BYTES_MAX;

/// Longest explanation in an error of `orrery.json.v1`, in bytes; longer ones are cut.
pub const DETAIL_BYTES_MAX: usize = 256;

/// Most events of a session over HTTP that are kept after a socket has taken them, for a device whose stream broke
/// off: a second or two of a busy room. Those of its newest response are kept in any case.
pub const HTTP_KEPT_EVENTS_MAX: usize = 256;

/// Most bytes of events that are kept so: what one device makes a comet remember that reads well.
pub const HTTP_KEPT_BYTES_MAX: usize = 64 << 10;

/// Most events that one response shows, or one piece of a stream. More is never given, and so never kept, for a device
/// that asks on with an old cursor.
pub const HTTP_SHOWN_EVENTS_MAX: usize = 1024;

/// Most bytes of events that are shown so; a single longer one is shown all the same. Who gets on is handed less at
/// once.
pub const HTTP_SHOWN_BYTES_MAX: usize = 128 << 10;

/// Most answers with events of a session that no socket has taken yet, each with a copy of what it shows. Who reads has
/// one; more are of connections that broke off, until that is noticed.
pub const HTTP_ANSWERS_MAX: usize = 4;

/// Most signs of life that wait to be counted, one for each request that acknowledges nothing. Who asks on with what
/// was answered has one or two; more come of whoever repeats itself while its connection does not read.
pub const HTTP_SIGNS_MAX: usize = 256;

/// Most bytes that wait to be carried out of what a device has posted: the longest message and more.
pub const HTTP_INBOX_BYTES_MAX: usize = 128 << 10;

const _: () = assert!(JSON_MESSAGE_BYTES_MAX < HTTP_INBOX_BYTES_MAX);
const _: () = assert!(HTTP_KEPT_EVENTS_MAX <= HTTP_SHOWN_EVENTS_MAX);
const _: () = assert!(HTTP_KEPT_BYTES_MAX <= HTTP_SHOWN_BYTES_MAX);
const _: () = assert!(CLIENT_PACKET_BYTES_MAX <= GOIM_MESSAGE_BYTES_MAX);
const _: () = assert!(JSON_MESSAGE_BYTES_DEFAULT <= JSON_MESSAGE_BYTES_MAX);
const _: () = assert!(JSON_MESSAGE_BYTES_MAX <= u32::MAX as usize);
const _: () = assert!(SERVER_PACKET_BYTES_MAX <= i32::MAX as usize);
