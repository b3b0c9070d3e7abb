//! Limits of TLS connections and certificates, each with its unit and reason.

use std::time::Duration;

/// Most plaintext of one record, in bytes (RFC 8446, 5.1). One write encrypts at most this much.
pub const RECORD_PLAIN_MAX: usize = 16 * 1024;

/// Longest record on the wire, in bytes: a header, the plaintext, and what TLS 1.2 lets encryption add (RFC 5246,
/// 6.2.3; TLS 1.3 allows 256). So much ciphertext is read at once, and a connection never keeps more of it.
pub const RECORD_WIRE_MAX: usize = 5 + RECORD_PLAIN_MAX + 2048;

/// Most bytes a device may send before its handshake is done. It is asked before each read, so that the last one may
/// go beyond it, by [`RECORD_WIRE_MAX`] at most. A hello with a post-quantum key share and a ticket has about 2 KiB,
/// and it may have to be repeated once.
pub const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;

/// Most bytes of ciphertext in a row that carry no plaintext at all, after the handshake. Empty records may hide how much
/// is said (RFC 8446, 5.4), and keys are replaced now and then; who sends more than this says nothing.
pub const BARREN_BYTES_MAX: usize = 64 * 1024;

/// Most ciphertext that waits for the kernel in one connection, in bytes: our longest flight of the handshake,
/// or one record and what goes before it. A connection that would have more has failed.
pub const UNSENT_BYTES_MAX: usize = 64 * 1024;

/// Most bytes that are read and thrown away from somebody who is refused, so that the kernel does not throw away
/// what he was told. Nothing is waited for.
pub const REFUSED_UNREAD_MAX: usize = 64 * 1024;

/// Handshakes that a thread works at in one round of its tasks: to agree on keys and to sign takes longer than anything
/// else that is done for a connection, and where thousands of devices come at once the others would wait for them all.
pub const HANDSHAKES_PER_ROUND: usize = 4;

/// Tickets a device gets for its next connection, in each handshake of TLS 1.3. They are encrypted and kept by the
/// device; nothing is kept here, so that nobody notices one that is used twice. Each connection brings a new one, and
/// who uses each once cannot be recognized by it (RFC 8446, C.4).
pub const TICKETS_PER_HANDSHAKE: usize = 1;

/// Longest file of certificates or of a key, in bytes. Its certificates are sent in every full handshake.
pub const FILE_BYTES_MAX: u64 = 48 * 1024;

/// Most pairs of certificate and key of one comet: each handshake looks through them for the name it asks for.
pub const CERTIFICATES_MAX: usize = 64;

/// How often the files are looked at. They are small and seldom change; an operator who replaced them does not
/// want to wait.
pub const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// The part of its life, as one over this, that a certificate must have left not to be warned about. Those who
/// renew certificates do so with a third or a half of it left, so by then they have failed for long.
pub const EXPIRY_WARNING_PART: u64 = 6;

/// How often the same warning about a certificate is repeated.
pub const EXPIRY_WARNING_PERIOD: Duration = Duration::from_secs(6 * 60 * 60);

const _: () = assert!(RECORD_WIRE_MAX < HANDSHAKE_BYTES_MAX);
const _: () = assert!(RECORD_WIRE_MAX < UNSENT_BYTES_MAX);
// The parts of a whole record come before its plaintext does.
const _: () = assert!(2 * RECORD_WIRE_MAX < BARREN_BYTES_MAX);
// A chain of certificates is a part of our longest flight; in its file it is a third longer.
const _: () = assert!((FILE_BYTES_MAX as usize) < UNSENT_BYTES_MAX);
