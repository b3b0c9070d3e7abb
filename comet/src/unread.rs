//! Unread: what a device says after the last word that it was sent. Closing with unread input would make the kernel
//! throw that word away.

use std::io;

use orrery_host::Stream;
use tokio::io::AsyncReadExt;

use crate::limits::UNREAD_MAX;

/// Reads it until the device has closed, and throws it away. Whoever goes on without an end is reset.
pub(crate) async fn discard(stream: &mut Box<dyn Stream>) -> io::Result<()> {
    let mut piece = [0; 512];
    let mut left = UNREAD_MAX;
    while left > 0 {
        match stream.read(&mut piece).await? {
            0 => return Ok(()),
            read => left = left.saturating_sub(read),
        }
    }
    stream.reset_on_drop();
    Ok(())
}
