//! Device: connects and authenticates on goim's TCP protocol, with as little as it takes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use orrery_comet_core::{Frame, ops};
use orrery_host::{Net, Stream};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::frames::Frames;

/// The operation of everything that is pushed here; devices accept it.
pub(super) const OP: i32 = 1000;

/// Seq of what devices send; pushes have 0.
const SEQ: i32 = 1;

/// Who a device is.
#[derive(Debug, Clone)]
pub(super) struct Guise {
    /// Its user, as goim's `mid`.
    pub(super) user: u64,
    /// Its room.
    pub(super) room: Option<String>,
}

/// A connected device.
pub(super) struct Device {
    stream: Box<dyn Stream>,
    frames: Frames,
}

impl Device {
    /// Connects and authenticates. From then on every push to it arrives.
    ///
    /// # Errors
    /// When the comet cannot be reached or does not let it in.
    pub(super) async fn connect(net: &dyn Net, comet: &str, guise: &Guise) -> anyhow::Result<Self> {
        let mut stream =
            net.connect(comet).await.with_context(|| format!("cannot reach {comet}"))?;
        let token = serde_json::json!({
            "mid": guise.user,
            "room_id": guise.room.as_deref().unwrap_or_default(),
            "platform": "bench",
            "accepts": [OP],
        });
        let auth =
            Frame { version: 1, op: ops::AUTH, seq: SEQ, body: Bytes::from(token.to_string()) };
        stream.write_all(&auth.encode()).await?;
        let mut device = Self { stream, frames: Frames::default() };
        device.welcome().await?;
        Ok(device)
    }

    async fn welcome(&mut self) -> anyhow::Result<()> {
        let mut scratch = [0; 512];
        let mut welcome = false;
        while !welcome {
            let read = std::future::poll_fn(|cx| {
                self.poll_frames(cx, &mut scratch, |_, op, _| welcome |= op == ops::AUTH_REPLY)
            });
            if !read.await? {
                bail!("the comet closed the connection instead of welcoming it");
            }
        }
        Ok(())
    }

    /// Reads what the socket has; calls `each` with every complete frame (its seq, op and body). Ready
    /// with false when the comet closed the connection.
    pub(super) fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        mut each: impl FnMut(i32, i32, &[u8]),
    ) -> Poll<anyhow::Result<bool>> {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        self.frames.take(bytes, |header, body| each(header.seq, header.op, body))?;
        Poll::Ready(Ok(!bytes.is_empty()))
    }

    /// Says that it lives.
    ///
    /// # Errors
    /// When the connection broke.
    pub(super) async fn heartbeat(&mut self) -> anyhow::Result<()> {
        let beat = Frame { version: 1, op: ops::HEARTBEAT, seq: SEQ, body: Bytes::new() };
        Ok(self.stream.write_all(&beat.encode()).await?)
    }
}
