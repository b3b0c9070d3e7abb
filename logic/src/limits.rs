//! Every limit of this service, with its unit and its reason. Limits that other crates share are in
//! `orrery_model::limits`.

use std::time::Duration;

use orrery_model::limits;

/// Largest request on the push and HTTP ports, in bytes: a body of the largest size in base64, or a
/// `PushMany` of a few such bodies. Larger ones are refused before they are read.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Most calls one HTTP/2 connection may have open at a time. More wait at the client.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 1024;

/// Most gRPC connections at a time on the push port. More wait in the listener's queue.
pub const GRPC_CONNECTIONS_MAX: usize = 8192;

/// How long a push that is still being received keeps those behind it on its connection waiting. Then
/// they go ahead: long enough for a body that is on its way, short enough that an upload that is stuck
/// does not use up the deadlines of the pushes behind.
pub const LINE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Most HTTP connections at a time. More wait in the listener's queue.
pub const HTTP_CONNECTIONS_MAX: usize = 8192;

/// How long an HTTP client may take until the head of its next request is there. Slower ones are cut
/// off; longer than clients usually keep an unused connection for.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an HTTP client may take to send a request's body. Slower ones are refused.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How much sooner than the caller's deadline an answer is written, so that a receipt that says
/// "unknown" arrives before the caller gives up; at most a tenth of the time there is.
pub const ANSWER_MARGIN_MAX: Duration = Duration::from_millis(50);

/// How much sooner than the push's deadline a comet is to answer, so that what it knows of the other
/// connections is not lost with the one it waits for; at most a fifth of the time there is.
pub const COMET_MARGIN_MAX: Duration = Duration::from_millis(100);

/// How long past its deadline a push waits for the parts that end exactly then.
pub const COLLECT_GRACE: Duration = Duration::from_millis(25);

/// How long an address may keep later pushes waiting once its look-up is done: long enough for every
/// comet that answers at all, short enough that one silent comet does not use up the deadline of the
/// pushes behind.
pub const TURN_MAX: Duration = Duration::from_secs(1);

/// How long what one comet did not have waits for the other comets of the push before it is looked up
/// again: long enough for those that answer at all, so that one look-up serves them together, and short
/// enough that the second try is done before the turn is over.
pub const RETRY_WAIT_MAX: Duration = Duration::from_millis(250);

/// How long one attempt of a look-up lasts before it is begun anew with everything that came
/// meanwhile.
pub const LOOK_UP_MAX: Duration = Duration::from_secs(1);

/// Pause before a look-up that failed at once is begun again.
pub const LOOK_UP_PAUSE: Duration = Duration::from_millis(20);

/// How long a push that named several addresses waits for the slowest look-up once the first is
/// there. What is known by then is sent; the rest follows.
pub const GATHER_MAX: Duration = Duration::from_millis(50);

/// How long the search for a comet that is not known yet may hold a turn.
pub const RESOLVE_MAX: Duration = Duration::from_millis(500);

/// Most pushes to one address that share a look-up. More wait for the next one.
pub const GROUP_MAX: usize = 256;

/// Most targets in one delivery; a larger one is cut, in order.
pub const TARGETS_PER_DELIVERY_MAX: usize = 4096;

/// Most deliveries in one message to a comet.
pub const DELIVERIES_PER_BATCH_MAX: usize = 512;

/// Bytes after which no further delivery joins a message to a comet.
pub const DELIVERY_BATCH_BYTES_MAX: usize = limits::BATCH_BYTES_MAX;

/// How long deliveries wait for each other where a message went to their comet just before and is not answered yet: a
/// message costs the comet several times what a delivery in it does.
pub const DELIVERY_GATHER: Duration = Duration::from_millis(1);

/// Most deliveries that wait to be sent to one comet. More are answered `dropped: overloaded`.
pub const DELIVERIES_WAITING_MAX: usize = 8192;

/// Most bytes of deliveries that wait to be sent to one comet. More are answered `dropped: overloaded`:
/// what waits for a comet that hangs outlives its pushes, which no longer count as in flight.
pub const DELIVERIES_WAITING_BYTES_MAX: usize = 64 << 20;

/// Most deliveries a comet may leave unanswered. More wait in the queue above.
pub const DELIVERIES_UNANSWERED_MAX: usize = 32_768;

/// How often deliveries nobody waits for any longer are forgotten.
pub const FORGET_EVERY: Duration = Duration::from_secs(1);

/// First and last pause between two attempts to open a delivery session.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(50);
/// See [`RECONNECT_FIRST`].
pub const RECONNECT_LAST: Duration = Duration::from_secs(1);

/// How long a comet may take to say on a new session whether it is draining, as it does at once.
pub const FIRST_WORD_MAX: Duration = Duration::from_secs(2);

/// How long a comet may take for a page of its census.
pub const CENSUS_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest page of a census, in bytes. A room takes up to its id's length and a few bytes more.
pub const CENSUS_PAGE_BYTES_MAX: usize = limits::INTERNAL_MESSAGE_BYTES_MAX;

/// Most rooms in one message of totals to a comet.
pub const TOTALS_PER_MESSAGE_MAX: usize = 2048;

/// Most requests of one comet in flight. Above it writes and handshakes are answered "overloaded";
/// the comet's lease is never refused.
pub const EDGE_REQUESTS_MAX: usize = 8192;

/// Most attaches, keep-alives and detaches of one comet in flight; a correct comet has one.
pub const EDGE_LEASE_REQUESTS_MAX: usize = 64;

/// Most answers in one message to a comet.
pub const EDGE_RESPONSES_PER_BATCH_MAX: usize = 512;

/// Messages of answers that wait for a comet to read them; a full queue holds the session up.
pub const EDGE_RESPONSES_WAITING_MAX: usize = 64;

/// How long a write of a comet may take before its outcome is called unknown.
pub const EDGE_WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Most routes in one audit question, and in one page of a comet's routes. Comets ask for fewer.
pub const AUDIT_ROUTES_MAX: usize = 512;

/// Most look-ups under way for one audit question: they share confirmations, and leave room for pushes.
pub const AUDIT_LOOK_UPS_MAX: usize = 64;

/// How long the registry may take for an audit question. Less than comets wait for an answer, so that they
/// are told.
pub const AUDIT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long after an overload or a failure a comet should wait before it repeats.
pub const EDGE_RETRY_AFTER_MS: u32 = 200;

/// Longest credentials of a device, in bytes: goim's frames end at 4096.
pub const CREDENTIALS_BYTES_MAX: usize = 64 * 1024;

/// Most connections that wait to be closed because another took their place. More are left to their
/// comets, which compare their connections with the registry anyway.
pub const LOSERS_WAITING_MAX: usize = 4096;

/// How long the closing of a loser is tried.
pub const LOSER_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause before a close that got no answer is tried again.
pub const LOSER_PAUSE: Duration = Duration::from_millis(100);

/// How long a caller should wait before it repeats what was refused for overload or unavailability.
pub const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Page size of a list call that names none.
pub const PAGE_SIZE_DEFAULT: usize = 100;

/// Longest page token, in characters.
pub const PAGE_TOKEN_CHARS_MAX: usize = 2048;

/// Most nodes that a device is advised of (goim's number).
pub const NODES_MAX: usize = 5;

/// How long the ports may take to finish what they do when the service stops.
pub const STOP_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(limits::PUSH_BODY_BYTES_MAX * 4 / 3 < REQUEST_BYTES_MAX);
const _: () = assert!(
    DELIVERY_BATCH_BYTES_MAX + limits::PUSH_BODY_BYTES_MAX + TARGETS_PER_DELIVERY_MAX * 320
        < limits::INTERNAL_MESSAGE_BYTES_MAX
);
const _: () = assert!(DELIVERIES_WAITING_BYTES_MAX > limits::INTERNAL_MESSAGE_BYTES_MAX);
const _: () = assert!(RESOLVE_MAX.as_millis() < TURN_MAX.as_millis());
const _: () = assert!(RETRY_WAIT_MAX.as_millis() * 2 <= TURN_MAX.as_millis());
const _: () = assert!(GATHER_MAX.as_millis() < LOOK_UP_MAX.as_millis());
const _: () = assert!(limits::ROUTES_PER_ADDRESS_MAX <= TARGETS_PER_DELIVERY_MAX);
const _: () =
    assert!(AUDIT_ROUTES_MAX * limits::ROUTE_BYTES_MAX < limits::INTERNAL_MESSAGE_BYTES_MAX);
