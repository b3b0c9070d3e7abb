//! Server: the bare loop. It accepts whoever comes, and writes every order to everybody, one send each. It
//! knows nothing of protocols, users or rooms: what it needs, nobody can do without.
//!
//! An order is a length of 32 bits and so many bytes, on the control connection. The loop ends with it, or
//! when it is asked to.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Most bytes that wait for one socket; above it the socket is closed, which the client counts as a loss.
const BACKLOG_BYTES_MAX: usize = 64 << 20;

/// Longest order, in bytes.
const ORDER_BYTES_MAX: usize = 8 << 20;

/// Most events that are taken at once.
const EVENTS_MAX: usize = 1024;

const CONTROLS: Token = Token(0);
const DEVICES: Token = Token(1);
const CONTROL: Token = Token(2);
/// The first socket's; the others follow.
const FIRST: usize = 3;

/// A socket and what it did not take yet.
struct Socket {
    stream: TcpStream,
    backlog: VecDeque<u8>,
}

/// The loop and everything it has.
struct Server {
    poll: Poll,
    controls: TcpListener,
    devices: TcpListener,
    control: Option<TcpStream>,
    /// None: closed.
    sockets: Vec<Option<Socket>>,
    /// What came on the control connection and is no whole order yet.
    orders: Vec<u8>,
}

/// Serves until the control connection ends; says on the standard output where it listens.
///
/// # Errors
/// When the kernel refuses something that it should not.
pub fn run() -> io::Result<()> {
    let server = Server::listen()?;
    let (controls, devices) = (server.controls.local_addr()?, server.devices.local_addr()?);
    writeln!(io::stdout(), "{controls} {devices}")?;
    server.serve()
}

impl Server {
    fn listen() -> io::Result<Self> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (mut controls, mut devices) = (TcpListener::bind(any)?, TcpListener::bind(any)?);
        let poll = Poll::new()?;
        poll.registry().register(&mut controls, CONTROLS, Interest::READABLE)?;
        poll.registry().register(&mut devices, DEVICES, Interest::READABLE)?;
        let (sockets, orders) = (Vec::new(), Vec::new());
        Ok(Self { poll, controls, devices, control: None, sockets, orders })
    }

    fn serve(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    CONTROLS => self.accept_control()?,
                    DEVICES => self.accept_devices()?,
                    CONTROL => {
                        // Whoever was there before an order gets it.
                        self.accept_devices()?;
                        if !self.read_orders()? {
                            return Ok(());
                        }
                    }
                    Token(token) => self.write_backlog(token - FIRST),
                }
            }
        }
    }

    fn accept_control(&mut self) -> io::Result<()> {
        let Some(mut control) = accept(&self.controls)? else { return Ok(()) };
        self.poll.registry().register(&mut control, CONTROL, Interest::READABLE)?;
        self.control = Some(control);
        Ok(())
    }

    fn accept_devices(&mut self) -> io::Result<()> {
        while let Some(mut stream) = accept(&self.devices)? {
            stream.set_nodelay(true)?;
            let token = Token(FIRST + self.sockets.len());
            self.poll.registry().register(&mut stream, token, Interest::WRITABLE)?;
            self.sockets.push(Some(Socket { stream, backlog: VecDeque::new() }));
        }
        Ok(())
    }

    /// Carries out what came. Returns false when nothing more will.
    fn read_orders(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 64 << 10];
        loop {
            let Some(control) = &mut self.control else { return Ok(true) };
            match control.read(&mut bytes) {
                Ok(0) => return Ok(false),
                Ok(read) => self.orders.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error),
            }
            self.carry_out()?;
        }
    }

    fn carry_out(&mut self) -> io::Result<()> {
        let mut done = 0;
        while let Some((len, rest)) = self.orders[done..].split_first_chunk::<4>() {
            let len = u32::from_be_bytes(*len) as usize;
            if len > ORDER_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an order is too long"));
            }
            let Some(bytes) = rest.get(..len) else { break };
            for socket in &mut self.sockets {
                send(socket, bytes);
            }
            done += 4 + len;
        }
        self.orders.drain(..done);
        Ok(())
    }

    fn write_backlog(&mut self, index: usize) {
        let Some(slot) = self.sockets.get_mut(index) else { return };
        while let Some(socket) = slot
            && !socket.backlog.is_empty()
        {
            match socket.stream.write(socket.backlog.as_slices().0) {
                Ok(written) => drop(socket.backlog.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => *slot = None,
            }
        }
    }
}

fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            // Gone before it was taken.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes with one send, or puts what is not taken behind what waits.
fn send(slot: &mut Option<Socket>, bytes: &[u8]) {
    let Some(socket) = slot else { return };
    let written = match socket.backlog.is_empty() {
        true => socket.stream.write(bytes),
        false => Ok(0),
    };
    let waits = match written {
        Ok(written) => &bytes[written..],
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => bytes,
        Err(_) => {
            *slot = None;
            return;
        }
    };
    socket.backlog.extend(waits);
    if socket.backlog.len() > BACKLOG_BYTES_MAX {
        *slot = None;
    }
}

#[cfg(test)]
mod tests {
    use orrery_host::Host;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn whoever_does_not_read_gets_everything_later_and_holds_up_nobody() {
        let host = Host::system();
        let server = Server::listen().unwrap();
        let [control, devices] = [&server.controls, &server.devices]
            .map(|listener| listener.local_addr().unwrap().to_string());
        let serve = Box::new(move || server.serve().unwrap());
        let served = host.tasks.blocking("bare loop", serve);
        let mut slow = host.net.connect(&devices).await.unwrap();
        let mut quick = host.net.connect(&devices).await.unwrap();
        let mut control = host.net.connect(&control).await.unwrap();

        // Far more than a socket takes.
        let orders: Vec<Vec<u8>> = (0..200_u8).map(|nth| vec![nth; 100_000]).collect();
        let reading = async {
            let mut all = vec![0; orders.iter().map(Vec::len).sum()];
            quick.read_exact(&mut all).await.unwrap();
            all
        };
        let ordering = async {
            for order in &orders {
                control.write_u32(order.len() as u32).await.unwrap();
                control.write_all(order).await.unwrap();
            }
        };
        let (read, ()) = tokio::join!(reading, ordering);
        assert!(read == orders.concat(), "the quick one got something else");
        let mut all = vec![0; read.len()];
        slow.read_exact(&mut all).await.unwrap();
        assert!(all == read, "the slow one got something else");
        drop(control);
        served.await;
    }
}
