//! Limits of a comet that nobody configures, each with its unit and reason.

use std::time::Duration;

use orrery_model::limits::SLOTS;

/// Most workers of one comet: a connection's number carries its worker's in the lowest eight bits.
pub(crate) const WORKERS_MAX: usize = 1 << WORKER_BITS;

/// Bits of a connection's number that name its worker.
pub(crate) const WORKER_BITS: u32 = 8;

/// Messages waiting for one worker (a batch of deliveries or one new connection each). When it is
/// full whoever sends waits, so that pressure reaches logic and the kernel's accept queue.
pub(crate) const WORKER_QUEUE: usize = 1024;

/// Pieces of mail a worker takes at once.
pub(crate) const MAIL_BATCH: usize = 128;

/// Deliveries a worker carries out before the connections have their turn to write: fewer than fit an
/// outbox, so that a burst costs a device that reads nothing.
pub(crate) const DELIVERIES_PER_TURN: usize = 256;

/// Connections that deliveries are given to before those who have something to say have their turn: about a quarter of a
/// millisecond. A single delivery to more of them is not cut.
pub(crate) const GIVEN_IN_A_ROW: usize = 1024;

/// The same before the connections have their turn to write. What is given meanwhile shares a write, which is what keeps
/// up with a burst; but each piece takes about 72 bytes of memory in each outbox, and so many of them 36 MiB.
pub(crate) const GIVEN_PER_TURN: usize = 512 * 1024;
const _: () = assert!(GIVEN_IN_A_ROW <= GIVEN_PER_TURN);

/// Members that are given what waited in their rooms before all of them have their turn to write: about ten
/// milliseconds of writes, in which a push to somebody else has to wait. The last section may go beyond it.
pub(crate) const MEMBERS_PER_TURN: usize = 1024;

/// Members of a room on one worker who are given what waited at one moment: about a millisecond of writes. A room with
/// more has several sections, each with a moment of its own.
pub(crate) const SECTION_MEMBERS: usize = 128;
const _: () = assert!(SECTION_MEMBERS <= MEMBERS_PER_TURN);

/// Connections a worker writes to in one go: about two milliseconds, in which it reads from nobody.
pub(crate) const WRITES_MAX: usize = 256;

/// Bytes a worker writes in one go, after which it writes to nobody else: some milliseconds within TLS. One connection
/// has at most its outbox written, or what the kernel has room for.
pub(crate) const WRITE_BYTES_MAX: usize = 2 << 20;

/// Pushes that wait in a room, and their bytes, at most; then they are written early. A device that reads goim's
/// protocol gets them as one message, which it may have to keep in memory.
pub(crate) const ROOM_FRAMES_MAX: usize = 256;
/// See [`ROOM_FRAMES_MAX`].
pub(crate) const ROOM_BYTES_MAX: usize = 32 * 1024;

/// Longest time for which a push waits for others that are written with it, however long writing takes.
pub(crate) const COALESCE_MAX: Duration = Duration::from_millis(100);

/// Requests waiting for the stream to logic. When it is full whoever asks waits.
pub(crate) const EDGE_QUEUE: usize = 4096;

/// Attaches, keep-alives and detaches waiting for the stream to logic, ahead of all other requests. A comet asks
/// for one after the other; what makes it more are the looks of the audit and those that were given up.
pub(crate) const EDGE_LEASE_QUEUE: usize = 16;

/// Requests on one stream to logic that wait for their answers. Above it the queue waits, and
/// only what is about the lease is sent.
pub(crate) const EDGE_UNANSWERED_MAX: usize = 8192;

/// Requests in one message to logic.
pub(crate) const EDGE_BATCH: usize = 256;

/// Messages to logic that wait for the transport's window.
pub(crate) const EDGE_OUTBOUND: usize = 16;

/// Deliveries of one session without a receipt yet. Above it the session is not read.
pub(crate) const DELIVERIES_UNANSWERED_MAX: usize = 16 * 1024;

/// Receipts in one message to logic.
pub(crate) const RECEIPTS_BATCH: usize = 512;

/// How long receipts wait for each other where some were sent just before.
pub(crate) const RECEIPTS_GATHER: Duration = Duration::from_millis(1);

/// Messages of receipts that wait for the transport's window.
pub(crate) const RECEIPTS_OUTBOUND: usize = 16;

/// Deliveries held for one connection whose seq is not known yet; what comes on top is dropped.
pub(crate) const HELD_MAX: usize = 64;

/// Changes of rooms and binds of one connection that wait for the one under way. Above it the
/// device is not read.
pub(crate) const CHANGES_WAITING_MAX: usize = 16;

/// Shared buffers handed to the kernel in one write.
pub(crate) const WRITE_SLICES_MAX: usize = 64;

/// Bytes read from a device at once, into a buffer that a worker's connections share.
pub(crate) const READ_BYTES: usize = 16 * 1024;

/// Answers waiting in an outbox above which the device is not read until it has taken some.
pub(crate) const ANSWERS_WAITING_MAX: usize = 256;

/// Bursts of frames, on top of one, that a device is allowed as having sent them while it was not read: at the default
/// rate what it may send in 80 seconds.
pub(crate) const UNREAD_BURSTS_MAX: u32 = 8;

/// Bytes of the same, on top of a burst: somewhat more than the largest receive buffer that Linux gives out unasked
/// (`tcp_rmem`, 6 MiB), so that no device has more of them waiting.
pub(crate) const UNREAD_BYTES_MAX: u32 = 8 << 20;

/// How long a connection that is being closed may take to accept what is still in its outbox.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the device of a session over HTTP that has ended may take to come for its last words from a comet that
/// stops.
pub(crate) const LAST_WORDS_WAIT: Duration = FLUSH_TIMEOUT;

/// Part of the stopping time, before the next, that is kept for what follows when the last devices are sent away: each
/// takes what waits for it, or comes for its last words, and the workers end.
pub(crate) const FAREWELL_SHARE: Duration = Duration::from_secs(2);

/// Part of it that is the workers' own: whoever is still shaking hands is closed.
pub(crate) const WORKERS_END_SHARE: Duration = Duration::from_millis(500);

/// Part of the stopping time that is kept for the comet's own goodbye, with that of the transport to logic.
pub(crate) const DETACH_SHARE: Duration = Duration::from_secs(1);

/// How long the transport may take to say goodbye to those who deliver, at the end of it.
pub(crate) const DELIVERY_FAREWELL: Duration = Duration::from_millis(500);

/// How often a worker looks at some of its connections.
pub(crate) const SWEEP_PERIOD: Duration = Duration::from_millis(100);

/// Within what time a worker looks at each of its connections: how late a device's silence is noticed.
pub(crate) const SWEEP_ROUND: Duration = Duration::from_secs(1);

/// The most that a gap between two looks counts for, on a worker's clock and for the silence of logic. Who did
/// not run in between heard nobody, which says nothing of those who may have spoken.
pub(crate) const GAP_MAX: Duration = Duration::from_secs(1);

/// Steps in which work that is paced over a second is done (rebinds, broadcasts, evictions).
pub(crate) const PACE_STEP: Duration = Duration::from_millis(20);

/// What the time between two looks of a drain counts for at most. Workers that are busy take their time to answer, which
/// is made up for, or the rate would not be kept; after a longer pause of the process a burst would be no pace.
pub(crate) const DRAIN_GAP_MAX: Duration = Duration::from_secs(1);

/// How often a drained comet that has no device left looks for one that came in all the same.
pub(crate) const DRAINED_STEP: Duration = Duration::from_millis(200);

/// Unbinds of goodbyes under way at once, as many writes that list rooms, and as many that let go of them: one a
/// slot. A shard that does not answer holds up its own slots and no others, and all together are enough to fill
/// batches.
pub(crate) const LINES_MAX: usize = SLOTS;

/// Connections, and routes, in one page of the audit: each connection costs the registry up to two look-ups
/// at once, and a page of the largest routes stays below a gRPC message.
pub(crate) const AUDIT_PAGE: usize = 128;

/// Fewest pages that a round of the audit is paced for, so that the pace soon follows what has changed.
pub(crate) const AUDIT_PAGES_MIN: u32 = 16;

/// Shortest pause between two pages of the audit: whatever is configured, it stays a trickle.
pub(crate) const AUDIT_PAUSE_MIN: Duration = Duration::from_millis(10);

/// Paced broadcasts under way on one worker; one more is dropped as too much to do.
pub(crate) const BROADCASTS_MAX: usize = 64;

/// Rooms in one page of a census: a page of the longest ids stays far below a gRPC message.
pub(crate) const CENSUS_PAGE: usize = 1000;

/// How long totals of rooms are believed after logic last sent them.
pub(crate) const TOTALS_MAX_AGE: Duration = Duration::from_secs(60);

/// Pause before a write that got no answer is repeated, and the longest such pause.
pub(crate) const REPEAT_PAUSE: Duration = Duration::from_millis(50);
/// See [`REPEAT_PAUSE`].
pub(crate) const REPEAT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Pause after a failed accept (descriptors ran out), so that the listener does not spin.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Connections bound again per second when the attach reply names no pace.
pub(crate) const REBIND_PER_SECOND: u32 = 1000;

/// Seconds after which a device may come back that was refused at the door, at least: those who hold the places of
/// handshakes have gone by then.
pub(crate) const RETRY_AFTER_S: u64 = 5;

/// Seconds over which those who were refused at once are spread, on top of [`RETRY_AFTER_S`]: they do not come back
/// as the storm they came as.
pub(crate) const RETRY_AFTER_SPREAD_S: u64 = 10;

/// Seconds after which a device may come back that was refused by a comet that is drained, at least: it should rather
/// go elsewhere.
pub(crate) const RETRY_ELSEWHERE_AFTER_S: u64 = 1;

/// Seconds over which those who were refused by a drained comet are spread, on top of [`RETRY_ELSEWHERE_AFTER_S`].
pub(crate) const RETRY_ELSEWHERE_SPREAD_S: u64 = 1;

/// Longest spread of the devices that a drained comet sends away, in milliseconds: nobody is kept away for longer.
pub(crate) const DRAIN_SPREAD_MS_MAX: u64 = 600_000;

/// Slots of a worker in which slow devices are looked for at once, between its other work.
pub(crate) const SLOW_PAGE: usize = 4096;

/// How long a word to a device that is refused may take; others at its door wait meanwhile. A new connection has room
/// for it as soon as the runtime has looked, so that one which takes longer is broken.
pub(crate) const REFUSAL_TIMEOUT: Duration = Duration::from_millis(20);

/// Most bytes that are read and thrown away from a device that was sent its last word. More than one that behaves has
/// on its way by then; one that floods us is not listened to for longer.
pub(crate) const UNREAD_MAX: usize = 64 * 1024;

/// How long what is left of a request over HTTP is waited for before an answer after which its connection closes.
pub(crate) const UNREAD_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes that are read and thrown away from a device that is refused with a word, so that the kernel does not
/// throw the word away: a request as devices send it. Nothing is waited for.
pub(crate) const REFUSED_UNREAD_MAX: usize = 2048;

/// Bits of an address of IPv6 that name its network; its hosts choose the others freely (RFC 4291, 2.5.1).
pub(crate) const NETWORK_BITS: u32 = 64;

/// Buffers of the WebSocket handshake, in bytes: a request line and the usual headers fit at once.
pub(crate) const HANDSHAKE_BUFFER_BYTES: usize = 4096;

/// Longest request of a WebSocket handshake, in bytes: room for the cookies of a browser. A longer one is
/// refused with 431.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// Most bytes of pushes that are handed to a session over HTTP before a response has taken them: what waits beyond
/// that is in its outbox. A single longer one is handed on whole.
pub(crate) const GIVE_BYTES_MAX: usize = 64 * 1024;

/// How often a device over HTTP gives a sign of life at most by getting on with its events. Each sign counts as a
/// frame, and a device that reads fast is no flood.
pub(crate) const SIGN_PERIOD: Duration = Duration::from_millis(100);

/// Longest time for which a stream of events lasts; then its device comes back, which shows that it still reads.
pub(crate) const STREAM_MAX: Duration = Duration::from_secs(240);

/// After how long a browser comes back at most whose stream has ended.
pub(crate) const STREAM_RETRY_MAX: Duration = Duration::from_secs(1);

/// How long a device may take nothing of a response that is being written to it.
pub(crate) const RESPONSE_STALL_MAX: Duration = Duration::from_secs(30);

/// How long a connection may go on that waits for a device over HTTP to take its events when that has said goodbye:
/// what it posted before is carried out meanwhile.
pub(crate) const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Sessions over HTTP that are over and remembered with all that their devices may still ask for, up to 64 KiB each.
/// Beyond it only the last words are kept of the oldest, and nothing of those whose devices were told. Of last words
/// there are no more than the comet may have connections, each less than a KiB with its session, unless a drain names
/// many nodes: less than what the sessions took while they lived.
pub(crate) const ENDED_SESSIONS_MAX: usize = 1024;
/// Of the oldest whose last words are kept so many are looked at for one whose device was told meanwhile, when there are
/// too many: it is forgotten, else the oldest. Its device is told only that it is gone.
pub(crate) const ENDED_LOOKS_MAX: usize = 64;
/// For how long both; see [`ENDED_SESSIONS_MAX`].
pub(crate) const ENDED_SESSIONS_MAX_AGE: Duration = Duration::from_secs(60);

/// For how long a browser may remember what pages of another origin may do, in seconds.
pub(crate) const PREFLIGHT_MAX_AGE_S: u64 = 600;

/// Longest that a poll may be configured to wait: networks in between give up on a request of a minute or two.
pub(crate) const POLL_WAIT_MAX: Duration = Duration::from_secs(120);

const _: () = assert!(2 * GIVE_BYTES_MAX <= orrery_comet_core::limits::HTTP_SHOWN_BYTES_MAX);
const _: () = assert!(CHANGES_WAITING_MAX < ANSWERS_WAITING_MAX);
const _: () = assert!(EDGE_BATCH <= EDGE_UNANSWERED_MAX);
// What is left between them is for noticing that the last device has gone.
const _: () = assert!(
    LAST_WORDS_WAIT.as_millis() + WORKERS_END_SHARE.as_millis() < FAREWELL_SHARE.as_millis()
);
const _: () = assert!(DELIVERY_FAREWELL.as_millis() < DETACH_SHARE.as_millis());
const _: () = assert!(SWEEP_PERIOD.as_millis() < GAP_MAX.as_millis());
const _: () = assert!(AUDIT_PAGE * orrery_model::limits::ROUTE_BYTES_MAX < 4 << 20);
// Where the half of all slots is not answered there is still room for the requests of the others.
const _: () = assert!(3 * LINES_MAX / 2 < EDGE_UNANSWERED_MAX);
