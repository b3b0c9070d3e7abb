//! Scratch: the buffers that all TLS connections of a thread share.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use crate::limits::{RECORD_PLAIN_MAX, RECORD_WIRE_MAX};

/// Room for one read and one write, about 52 KiB a thread that has TLS connections.
pub(crate) struct Buffers {
    /// Ciphertext just read; it is decrypted where it lies.
    pub(crate) received: [u8; RECORD_WIRE_MAX],
    /// Plaintext of one record, gathered from slices.
    pub(crate) gathered: [u8; RECORD_PLAIN_MAX],
    /// The record made of it.
    pub(crate) sealed: [u8; RECORD_WIRE_MAX],
}

thread_local! {
    static BUFFERS: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// The thread's buffers, lent out until this is dropped. Who borrows them a second time meanwhile (a stream within a
/// stream) gets others, which are then thrown away.
pub(crate) struct Scratch(Option<Box<Buffers>>);

impl Scratch {
    pub(crate) fn borrow() -> Self {
        // A thread that ends has none any more.
        let kept = BUFFERS.try_with(Cell::take).ok().flatten();
        Self(Some(kept.unwrap_or_else(|| {
            Box::new(Buffers {
                received: [0; RECORD_WIRE_MAX],
                gathered: [0; RECORD_PLAIN_MAX],
                sealed: [0; RECORD_WIRE_MAX],
            })
        })))
    }
}

impl Deref for Scratch {
    type Target = Buffers;

    fn deref(&self) -> &Buffers {
        self.0.as_ref().expect("only the drop takes it")
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Buffers {
        self.0.as_mut().expect("only the drop takes it")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffers = self.0.take();
        let _ = BUFFERS.try_with(|kept| kept.set(buffers));
    }
}
