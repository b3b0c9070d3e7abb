//! Session: the TLS of one connection, without IO: ciphertext in, plaintext out, and the other way. Pure but for
//! the randomness that rustls takes.

use std::io;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};
use rustls::{PeerMisbehaved, ServerConfig};
use tokio::io::ReadBuf;

use crate::backlog::Backlog;
use crate::ledger::{Barren, Ledger};
use crate::limits::{RECORD_WIRE_MAX, UNSENT_BYTES_MAX};

/// A server's side of TLS. All whole records are taken as soon as they are there; so it keeps at most the beginning of
/// one, and plaintext that the reader had no room for.
///
/// [`receive`](Session::receive) what came, [`take`](Session::take) plaintext that waits before receiving more,
/// send what is [`unsent`](Session::unsent) before anything that is [sealed](Session::seal).
pub(crate) struct Session {
    connection: UnbufferedServerConnection,
    /// The beginning of a record, or of a handshake message that is spread over records.
    received: Vec<u8>,
    /// Plaintext that nobody has taken.
    plain: Backlog,
    /// Ciphertext that is to be sent before all else.
    pub(crate) unsent: Backlog,
    /// The device will say nothing more.
    ended: bool,
    /// We will.
    closed: bool,
    ledger: Ledger,
    failed: Option<Box<rustls::Error>>,
}

impl Session {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            received: Vec::new(),
            plain: Backlog::default(),
            unsent: Backlog::default(),
            ended: false,
            closed: false,
            ledger: Ledger::default(),
            failed: None,
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the device has said that nothing more follows, and all of it was taken.
    pub(crate) fn is_at_end(&self) -> bool {
        self.ended && self.plain.is_empty()
    }

    /// Why nothing more will be received, what was before it aside.
    pub(crate) fn failure(&self) -> Option<&rustls::Error> {
        self.failed.as_deref()
    }

    pub(crate) fn connection(&self) -> &UnbufferedServerConnection {
        &self.connection
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.received.capacity() + self.plain.capacity() + self.unsent.capacity()
    }

    /// How many bytes may be received at once.
    pub(crate) fn room(&self) -> usize {
        RECORD_WIRE_MAX - self.received.len()
    }

    /// Bytes received after the handshake, and since the last call, beside the plaintext in them.
    pub(crate) fn take_overhead(&mut self) -> usize {
        self.ledger.take_overhead()
    }

    /// Moves plaintext that waits to a reader. Returns whether there was any.
    pub(crate) fn take(&mut self, reader: &mut ReadBuf<'_>) -> bool {
        let len = self.plain.len().min(reader.remaining());
        reader.put_slice(&self.plain.waiting()[..len]);
        if len > 0 {
            self.plain.advance(len);
        }
        len > 0
    }

    /// Takes bytes from the device, at most as many as there is [room](Session::room) for. Their plaintext goes to
    /// the reader, and where he has no more room it waits to be [taken](Session::take).
    ///
    /// # Errors
    /// When the device breaks the protocol or refuses us; final. What to tell it is then [`unsent`](Session::unsent).
    pub(crate) fn receive(
        &mut self,
        bytes: &mut [u8],
        reader: &mut ReadBuf<'_>,
    ) -> Result<(), rustls::Error> {
        if let Some(error) = &self.failed {
            // What rustls remembers of handshake messages may be of bytes that are gone.
            return Err((**error).clone());
        }
        // What comes before has a limit of its own.
        if self.is_handshaking() {
            return self.receive_all(bytes, reader);
        }
        let (came, read, waited) = (bytes.len(), reader.filled().len(), self.plain.len());
        self.receive_all(bytes, reader)?;
        let plaintext = reader.filled().len() - read + self.plain.len() - waited;
        let entered = self.ledger.enter(came, plaintext);
        entered.map_err(|Barren| self.fail(PeerMisbehaved::TooManyEmptyFragments.into()))
    }

    fn receive_all(
        &mut self,
        bytes: &mut [u8],
        reader: &mut ReadBuf<'_>,
    ) -> Result<(), rustls::Error> {
        if self.received.is_empty() {
            let done = self.process(bytes, reader)?;
            self.received.extend_from_slice(&bytes[done..]);
        } else {
            // It grows with what comes and not with what is announced.
            let mut received = std::mem::take(&mut self.received);
            received.extend_from_slice(bytes);
            let done = self.process(&mut received, reader)?;
            if done == 0 {
                self.received = received;
            } else {
                self.received.extend_from_slice(&received[done..]);
            }
        }
        if self.ended {
            self.received = Vec::new();
        }
        if self.room() == 0 {
            // No record is as long, so it is a message over many of them; in our direction none is.
            return Err(self.fail(rustls::InvalidMessage::HandshakePayloadTooLarge.into()));
        }
        Ok(())
    }

    /// Takes all whole records. Returns how many bytes that were.
    fn process(
        &mut self,
        bytes: &mut [u8],
        reader: &mut ReadBuf<'_>,
    ) -> Result<usize, rustls::Error> {
        let mut done = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut bytes[done..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        let fits = match self.plain.is_empty() {
                            true => record.payload.len().min(reader.remaining()),
                            false => 0,
                        };
                        let (now, later) = record.payload.split_at(fits);
                        reader.put_slice(now);
                        if !later.is_empty() {
                            self.plain.push(later);
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.unsent),
                // It is in order among what is to be sent, and that is all rustls wants to know.
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                // More is needed, or nothing more will be.
                Ok(_) => return Ok(done + discard),
                Err(error) => {
                    if self.connection.wants_write() {
                        let last = self.connection.process_tls_records(&mut bytes[done..]);
                        if let Ok(ConnectionState::EncodeTlsData(alert)) = last.state {
                            encode(alert, &mut self.unsent);
                        }
                    }
                    return Err(self.fail(error));
                }
            }
            done += discard;
            if self.unsent.len() > UNSENT_BYTES_MAX {
                return Err(self.fail(rustls::Error::EncryptError));
            }
        }
    }

    /// Encrypts plaintext of at most one record. What was [`unsent`](Session::unsent) has to be sent before it.
    ///
    /// # Errors
    /// When nothing can be sent any more; final. In TLS 1.2 that comes also after 2^24 records by AES-GCM, which has no
    /// new keys for more.
    pub(crate) fn seal(&mut self, plaintext: &[u8], sealed: &mut [u8]) -> io::Result<usize> {
        if self.failed.is_some() || self.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // There is no whole record in it, so that nothing else can be the state.
        match self.connection.process_tls_records(&mut self.received).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                traffic.encrypt(plaintext, sealed).map_err(|error| {
                    if matches!(error, EncryptError::EncryptExhausted) {
                        tracing::info!("a connection ends whose keys have encrypted what they may");
                    }
                    io::Error::other(error)
                })
            }
            Ok(_) => Err(io::ErrorKind::NotConnected.into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Says that nothing more follows; what says so is [`unsent`](Session::unsent) then. A handshake that is not
    /// done is left without a word.
    pub(crate) fn close(&mut self) {
        if self.closed || self.failed.is_some() {
            return;
        }
        self.closed = true;
        let state = self.connection.process_tls_records(&mut self.received).state;
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            let mut sealed = [0; 256];
            if let Ok(len) = traffic.queue_close_notify(&mut sealed) {
                self.unsent.push(&sealed[..len]);
            }
        }
    }

    fn fail(&mut self, error: rustls::Error) -> rustls::Error {
        self.failed = Some(Box::new(error.clone()));
        self.received = Vec::new();
        error
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, unsent: &mut Backlog) {
    // It says how long it is only to who has no room for it.
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        unsent.push_with(size.required_size, |room| {
            let encoded = data.encode(room);
            debug_assert!(encoded.is_ok_and(|len| len == room.len()));
        });
    }
}
