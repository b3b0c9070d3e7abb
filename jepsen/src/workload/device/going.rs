//! Going: how a device's connection ends.

use judge::history::{Named, Op};
use rand::Rng as _;
use tokio::time::Instant;

use super::Device;
use super::connection::Connection;
use crate::recorder::Said;

/// How a device goes.
#[derive(Debug, Clone, Copy)]
enum Going {
    /// It says goodbye.
    Politely,
    /// Its connection is gone at once.
    Abruptly,
    /// It says and reads nothing any more, and its connection stays.
    Silently,
}

impl Device {
    /// Ends its connection in one way or another.
    pub(super) async fn go(&mut self, connection: Connection) {
        let op = Op::Disconnect(Named { user: self.user.clone(), conn: connection.conn });
        self.process.invoke(None, op.clone());
        let going = match self.chance.random_range(0..4) {
            0 | 1 => Going::Politely,
            2 => Going::Abruptly,
            _ => Going::Silently,
        };
        match going {
            Going::Politely => connection.device.close().await,
            Going::Abruptly => drop(connection.device),
            Going::Silently => {
                let until = Instant::now() + self.edge.plan.silence();
                self.silent.push((until, connection.device));
            }
        }
        self.process.ok(op, Said::default());
    }

    /// Its connection is no more.
    pub(super) fn left(&mut self, conn: u64) {
        let op = Op::Disconnect(Named { user: self.user.clone(), conn });
        self.process.invoke(None, op.clone());
        self.process.ok(op, Said::default());
    }
}
