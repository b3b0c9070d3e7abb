//! Network: nodes in network namespaces of their own, and the links between them.

mod agenda;
mod bridge;
mod chance;
mod link;
mod net;
mod node;
mod ports;
mod switch;
pub(crate) mod tun;
mod wire;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::MachineError;
use crate::ledger::record::Thing;
use crate::ledger::{Ledger, Made};
use crate::limits::{DEVICE_QUEUE_PACKETS, MTU_BYTES};
use crate::tool::Line;

use self::bridge::Bridge;
pub use self::link::{Counters, Link};
use self::net::Claim;
pub use self::net::Net;
pub use self::node::Node;
pub(crate) use self::node::check_name;
use self::ports::Ports;
use self::switch::Switch;

/// The name of the harness's own port in links.
pub const HARNESS: &str = "harness";

/// Keeps all devices of a namespace, also those to come, from speaking IPv6 by themselves.
const SILENCE: &str =
    "cd /proc/sys/net/ipv6/conf || exit 0; for f in all default; do echo 1 >$f/disable_ipv6; done";

/// What carries packets between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fabric {
    /// A switch in this process over TUN devices, which does all that a [`Link`] can say.
    Switch,
    /// The kernel's bridge with nftables, which cuts and loses.
    Bridge,
}

/// A network of one run; dropping it removes it. Its processes should have ended before.
#[derive(Debug)]
pub struct Network {
    fabric: Carrier,
    ports: Mutex<Ports>,
    table: Option<Made>,
    device: Option<Made>,
    claim: Claim,
    ledger: Arc<Ledger>,
}

#[derive(Debug)]
enum Carrier {
    Switch(Switch),
    Bridge(Bridge),
}

impl Network {
    /// Draws a free net and prepares what carries its packets. The chances of its links follow from the seed
    /// and the nodes' names.
    ///
    /// # Errors
    /// When there is no free net, or a tool fails, which it does without the rights of root.
    pub fn new(ledger: &Arc<Ledger>, fabric: Fabric, seed: u64) -> Result<Self, MachineError> {
        let claim = Claim::draw()?;
        let prefix = claim.net().prefix();
        let (mut table, mut device) = (None, None);
        let fabric = match fabric {
            Fabric::Switch => Carrier::Switch(Switch::new(seed)?),
            Fabric::Bridge => {
                let name = bridge_name(&prefix);
                device = Some(ledger.makes(Thing::Device(name.clone()))?);
                let kind = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0";
                Line::words("ip -batch -").telling(format!("link add {name} {kind}\n")).run()?;
                quiet(&name)?;
                Line::new("ip", ["link", "set", &name, "up"]).run()?;
                table = Some(ledger.makes(Thing::Table(prefix.clone()))?);
                Carrier::Bridge(Bridge::new(&prefix)?)
            }
        };
        Ok(Self { fabric, ports: Mutex::default(), table, device, claim, ledger: ledger.clone() })
    }

    /// Its addresses.
    pub fn net(&self) -> Net {
        self.claim.net()
    }

    /// Makes a namespace whose only ways are `lo` and this network.
    ///
    /// # Errors
    /// When the name is taken or will not do, the network is full, or a tool fails.
    pub fn node(&self, name: &str) -> Result<Node, MachineError> {
        let mut ports = self.ports();
        let host = ports.draw(name)?;
        let net = self.net();
        let (prefix, device) = (net.prefix(), net.device(host));
        let namespace = format!("{prefix}-{name}");
        let made = self.ledger.makes(Thing::Namespace(namespace.clone()))?;
        // What goes first is the namespace, and with it the device in it.
        ports.made.insert(0, made);
        Line::words("ip netns add").and(&namespace).run()?;
        Line::new("nsenter", [&format!("--net=/run/netns/{namespace}"), "sh", "-c", SILENCE])
            .run()?;
        self.plug(&mut ports, host, name, &device, Some(&namespace))?;
        let address = net.host(host);
        let steps = format!(
            "link set lo up\naddress add {address}/24 dev {device}\nlink set {device} up\n"
        );
        Line::words("ip -netns").and(&namespace).and("-batch").and("-").telling(steps).run()?;
        ports.hosts.insert(name.to_owned(), host);
        Ok(Node { name: name.to_owned(), address, namespace })
    }

    /// Makes the harness's own port, in the namespace that this process is in, and returns its address. Links
    /// know it as [`HARNESS`]. To be called once.
    ///
    /// # Errors
    /// When there is one already, or a tool fails.
    pub fn harness(&self) -> Result<Ipv4Addr, MachineError> {
        let mut ports = self.ports();
        let host = ports.draw(HARNESS)?;
        let net = self.net();
        let device = net.device(host);
        self.plug(&mut ports, host, HARNESS, &device, None)?;
        quiet(&device)?;
        let address = net.host(host);
        // With the address comes the route to the whole net.
        let steps = format!("address add {address}/24 dev {device}\nlink set {device} up\n");
        Line::words("ip -batch -").telling(steps).run()?;
        ports.hosts.insert(HARNESS.to_owned(), host);
        Ok(address)
    }

    /// Changes the link in one direction.
    ///
    /// # Errors
    /// When a node is not known, or the link says what its fabric cannot do.
    pub fn set(&self, from: &str, to: &str, link: Link) -> Result<(), MachineError> {
        link.check()?;
        let ports = self.ports();
        let (from, to) = (ports.host(from)?, ports.host(to)?);
        if from == to {
            return Err(MachineError::Refused("a node has no link to itself".to_owned()));
        }
        match &self.fabric {
            Carrier::Switch(switch) => {
                switch.set(from, to, link);
                Ok(())
            }
            Carrier::Bridge(bridge) => bridge.set(from, to, link),
        }
    }

    /// Makes every link as new.
    ///
    /// # Errors
    /// When the tool of a bridge fails.
    pub fn clear(&self) -> Result<(), MachineError> {
        match &self.fabric {
            Carrier::Switch(switch) => {
                switch.clear();
                Ok(())
            }
            Carrier::Bridge(bridge) => bridge.clear(),
        }
    }

    /// What was counted on all links.
    pub fn counters(&self) -> Counters {
        match &self.fabric {
            Carrier::Switch(switch) => switch.counters(),
            Carrier::Bridge(bridge) => bridge.counters(),
        }
    }

    /// Makes the device of a host and moves it where it belongs.
    fn plug(
        &self,
        ports: &mut Ports,
        host: u8,
        name: &str,
        device: &str,
        namespace: Option<&str>,
    ) -> Result<(), MachineError> {
        let mut steps = String::new();
        match &self.fabric {
            // The kernel removes the device with its descriptor: nothing to write down.
            Carrier::Switch(switch) => {
                switch.attach(host, name, tun::open(device)?)?;
                steps += &format!(
                    "link set {device} mtu {MTU_BYTES} txqueuelen {DEVICE_QUEUE_PACKETS}\n"
                );
            }
            Carrier::Bridge(_) => {
                let prefix = self.net().prefix();
                let plugged = bridge::port(&prefix, host);
                ports.made.push(self.ledger.makes(Thing::Device(plugged.clone()))?);
                let cable = format!("link add {plugged} type veth peer name {device}\n");
                Line::words("ip -batch -").telling(cable).run()?;
                quiet(&plugged)?;
                steps += &format!("link set {plugged} master {} up\n", bridge_name(&prefix));
            }
        }
        if let Some(namespace) = namespace {
            steps += &format!("link set {device} netns {namespace}\n");
        }
        Line::words("ip -batch -").telling(steps).run().map(drop)
    }

    fn ports(&self) -> MutexGuard<'_, Ports> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.ports().made.clear();
        self.table.take();
        self.device.take();
    }
}

fn bridge_name(prefix: &str) -> String {
    format!("{prefix}b")
}

/// Keeps a device of this namespace from speaking IPv6 by itself.
fn quiet(device: &str) -> Result<(), MachineError> {
    let folder = Path::new("/proc/sys/net/ipv6/conf").join(device);
    if !folder.exists() {
        return Ok(());
    }
    let path = folder.join("disable_ipv6");
    fs::write(&path, "1").map_err(MachineError::file("write", &path))
}
