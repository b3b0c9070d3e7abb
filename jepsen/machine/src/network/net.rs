//! Net: the addresses of one run, and the names of its devices and namespaces.

use std::fs;
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::{SystemTime, UNIX_EPOCH};

use super::chance::Chance;
use crate::MachineError;
use crate::limits::NET_DRAWS_MAX;
use crate::tool::Line;

/// A network 10.x.y.0/24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    number: u16,
}

/// The right of this process to a net, until it is dropped or the process ends.
///
/// It is a name of the kernel's that only one socket can have, so that nothing is left behind by a kill.
#[derive(Debug)]
pub(crate) struct Claim {
    net: Net,
    _socket: UnixListener,
}

impl Net {
    /// Its number: x and y in 10.x.y.0.
    pub fn number(self) -> u16 {
        self.number
    }

    /// One of its addresses.
    pub fn host(self, host: u8) -> Ipv4Addr {
        let [x, y] = self.number.to_be_bytes();
        Ipv4Addr::new(10, x, y, host)
    }

    /// What all names of the run's devices and namespaces begin with.
    pub(crate) fn prefix(self) -> String {
        format!("oj{:04x}", self.number)
    }

    /// The device of one host. With at most nine characters it is short enough for the kernel, which takes 15.
    pub(crate) fn device(self, host: u8) -> String {
        format!("{}n{host:02x}", self.prefix())
    }

    /// How many bits the destination of this line of `ip route` has, if it shares an address with the net.
    fn meets(self, route: &str) -> Option<u32> {
        // Before the destination there may be a word for the kind of route.
        let (address, bits) = route.split_whitespace().take(2).find_map(parse_place)?;
        let common = bits.min(24);
        let apart = u32::from(address) ^ u32::from(self.host(0));
        (bits > 0 && apart >> (32 - common) == 0).then_some(bits)
    }
}

impl Claim {
    /// Draws a net that no route of the machine meets and no other run has or has left names of.
    pub(crate) fn draw() -> Result<Self, MachineError> {
        // Nothing of a run depends on the number, so it need not follow from the seed.
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        let mut chance = Chance::new(u64::from(std::process::id()) << 32 | u64::from(nanos), &[]);
        let routes = Line::words("ip -4 route show table all").run()?;
        for draw in 0..NET_DRAWS_MAX {
            let net = Net { number: (chance.number() >> 48) as u16 };
            // Where all of 10.0.0.0/8 goes somewhere, a few of its addresses have to do without that.
            let bits_taken = if draw < NET_DRAWS_MAX / 2 { 1 } else { 24 };
            let taken = |route| net.meets(route).is_some_and(|bits| bits >= bits_taken);
            if routes.lines().any(taken) || names_left(&net.prefix()) {
                continue;
            }
            let name = format!("orrery-jepsen/{}", net.prefix());
            let address = SocketAddr::from_abstract_name(name)
                .map_err(MachineError::kernel("name a socket"))?;
            if let Ok(socket) = UnixListener::bind_addr(&address) {
                return Ok(Self { net, _socket: socket });
            }
        }
        let text = format!("no free network in 10.0.0.0/8 after {NET_DRAWS_MAX} tries");
        Err(MachineError::Refused(text))
    }

    pub(crate) fn net(&self) -> Net {
        self.net
    }
}

/// Whether a namespace or device of this prefix is there.
fn names_left(prefix: &str) -> bool {
    ["/run/netns", "/sys/class/net"].iter().any(|folder| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name())
            .any(|name| name.to_string_lossy().starts_with(prefix))
    })
}

/// `10.1.2.0/24` or `10.1.2.3`.
fn parse_place(word: &str) -> Option<(Ipv4Addr, u32)> {
    let (address, bits) = word.split_once('/').unwrap_or((word, "32"));
    Some((address.parse().ok()?, bits.parse().ok().filter(|bits| *bits <= 32)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_net_has_its_addresses_and_names() {
        let net = Net { number: 0x02fe };
        assert_eq!(net.host(7), Ipv4Addr::new(10, 2, 254, 7));
        assert_eq!(net.device(254), "oj02fenfe");
    }

    #[test]
    fn routes_that_share_addresses_are_seen_and_others_are_not() {
        let net = Net { number: 0x0103 };
        for (route, bits) in [
            ("10.0.0.0/8 via 192.0.2.1 dev eth0", 8),
            ("10.1.3.0/24 dev x proto kernel scope link src 10.1.3.1", 24),
            ("local 10.1.3.77 dev x table local proto kernel", 32),
            ("broadcast 10.1.3.255 dev x table local", 32),
            ("10.1.2.0/23 dev x", 23),
            ("unreachable 10.1.3.128/25", 25),
        ] {
            assert_eq!(net.meets(route), Some(bits), "{route}");
        }
        for route in [
            "default via 10.1.3.1 dev eth0",
            "10.1.4.0/24 dev x src 10.1.3.1",
            "10.1.2.0/24 dev x",
            "192.0.2.0/24 dev eth0",
            "0.0.0.0/0 dev x",
            "",
        ] {
            assert_eq!(net.meets(route), None, "{route}");
        }
    }
}
