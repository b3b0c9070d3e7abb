//! Nodes on both fabrics: what reaches whom, and when.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use machine::{Fabric, HARNESS, Link, Network, Node};
use support::{Bench, DEADLINE, PORT, Part, Player, can, until};

const MS: Duration = Duration::from_millis(1);

/// A network with the harness and one node that sends everything back.
struct Pair {
    fabric: Fabric,
    network: Network,
    node: Node,
    player: Player,
    socket: UdpSocket,
    bench: Bench,
}

impl Pair {
    fn new(fabric: Fabric) -> Self {
        let bench = Bench::new();
        let network = Network::new(&bench.ledger, fabric, 7).unwrap();
        let harness = network.harness().unwrap();
        let node = network.node("echo").unwrap();
        let player = bench.play(Part::at(&node, "echo"));
        let socket = UdpSocket::bind((harness, 0)).unwrap();
        socket.connect((node.address, PORT)).unwrap();
        let pair = Self { fabric, network, node, player, socket, bench };
        // Whoever is asked the first time is looked for on the network first.
        assert_eq!(pair.echoes(&[u32::MAX], 1), [u32::MAX]);
        pair
    }

    fn send(&self, number: u32) {
        let mut bytes = [0; 1000];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        self.socket.send(&bytes).unwrap();
    }

    /// Sends these and returns what comes back until there are so many, or nothing comes for a while.
    fn echoes(&self, numbers: &[u32], wanted: usize) -> Vec<u32> {
        self.socket.set_read_timeout(Some(500 * MS)).unwrap();
        // A socket keeps only so much until it is read.
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in numbers {
                    self.send(*number);
                    thread::sleep(MS / 5);
                }
            });
            self.receive(wanted)
        })
    }

    fn receive(&self, wanted: usize) -> Vec<u32> {
        let mut echoes = Vec::new();
        let mut bytes = [0; 2048];
        while echoes.len() < wanted {
            match self.socket.recv(&mut bytes) {
                Ok(_) => echoes.push(u32::from_be_bytes(bytes[..4].try_into().unwrap())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The end of a child of another test.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
        echoes
    }

    fn got(&self) -> usize {
        self.player.lines("got").len()
    }

    fn set(&self, to_node: Link, to_harness: Link) {
        self.network.set(HARNESS, "echo", to_node).unwrap();
        self.network.set("echo", HARNESS, to_harness).unwrap();
    }

    /// Sends bytes over a connection; how long it took until the other end had them all.
    fn stream(&self, bytes: usize) -> Duration {
        let began = Instant::now();
        let mut stream = TcpStream::connect((self.node.address, PORT)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(&vec![7; bytes]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, bytes.to_string());
        began.elapsed()
    }
}

const ALL: [u32; 20] = {
    let mut all = [0; 20];
    let mut index = 0;
    while index < all.len() {
        all[index] = index as u32;
        index += 1;
    }
    all
};

fn each_fabric(test: impl Fn(Pair)) {
    for (fabric, probe) in [(Fabric::Switch, "switch"), (Fabric::Bridge, "bridge")] {
        if can(&[probe]) {
            println!("{fabric:?}");
            test(Pair::new(fabric));
        }
    }
}

#[test]
fn this_machine_can() {
    let table = machine::doctor::table(&machine::doctor::examine());
    // Whoever reads the log of a build shall see what was tested there.
    std::io::stderr().write_all(table.as_bytes()).unwrap();
    assert!(table.lines().count() >= 13, "{table}");
}

#[test]
fn nodes_reach_the_harness_and_each_other_and_nothing_else_is_said() {
    each_fabric(|pair| {
        assert_eq!(pair.echoes(&ALL, 20), ALL);
        pair.stream(1 << 20);
        // From one node to another: the second echo's answer goes to whom the datagram came from.
        let other = pair.network.node("other").unwrap();
        let text = format!("exec 3<>/dev/tcp/{}/{PORT}", pair.node.address);
        let mut command = other.command("bash".as_ref());
        assert!(command.args(["-c", &text]).status().unwrap().success());
        // A namespace has its own net and nothing besides.
        let mut command = other.command("ip".as_ref());
        let routes = command.args(["route", "show"]).output().unwrap();
        let routes = String::from_utf8(routes.stdout).unwrap();
        assert_eq!(routes.lines().count(), 1, "{routes}");
        let counters = pair.network.counters();
        assert!(counters.passed > 50, "{counters:?}");
        assert_eq!((counters.stray, counters.cut, counters.lost), (0, 0, 0));
    });
}

#[test]
fn a_cut_is_of_one_direction_and_ends() {
    each_fabric(|pair| {
        let before = pair.got();
        pair.network.set("echo", HARNESS, Link::CUT).unwrap();
        assert_eq!(pair.echoes(&ALL, 1), []);
        until("all have come in", || pair.got() == before + 20);
        pair.set(Link::CUT, Link::default());
        assert_eq!(pair.echoes(&ALL, 1), []);
        assert_eq!(pair.got(), before + 20);
        pair.network.clear().unwrap();
        assert_eq!(pair.echoes(&ALL, 20), ALL);
        let counters = pair.network.counters();
        assert!(counters.cut >= 40, "{counters:?}");
    });
}

#[test]
fn a_cut_is_between_two_and_a_third_does_not_notice() {
    each_fabric(|pair| {
        pair.network.node("other").unwrap();
        pair.network.set("other", "echo", Link::CUT).unwrap();
        pair.network.set("echo", "other", Link::CUT).unwrap();
        assert_eq!(pair.echoes(&ALL, 20), ALL);
    });
}

#[test]
fn a_machine_that_lost_its_power_knows_of_no_connection_when_its_links_are_back() {
    each_fabric(|mut pair| {
        let mut stream = TcpStream::connect((pair.node.address, PORT)).unwrap();
        pair.player.until("taken", 1);
        pair.set(Link::CUT, Link::CUT);
        pair.player.process.kill().unwrap();
        pair.node.forget_connections().unwrap();
        pair.network.clear().unwrap();
        // What its system had not been told that it arrived would be sent again several times meanwhile.
        stream.set_read_timeout(Some(1500 * MS)).unwrap();
        let silent = stream.read(&mut [0]).expect_err("nobody says that it is over");
        assert_eq!(silent.kind(), ErrorKind::WouldBlock);
        stream.write_all(&[7]).unwrap();
        let unknown = stream.read(&mut [0]).expect_err("nobody knows of it");
        assert_eq!(unknown.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn loss_takes_its_share() {
    each_fabric(|pair| {
        pair.set(Link { loss: 0.3, ..Link::default() }, Link::default());
        let numbers: Vec<u32> = (0..500).collect();
        let came = pair.echoes(&numbers, 500).len();
        assert!((300..400).contains(&came), "{came}");
        let counters = pair.network.counters();
        assert!((100..200).contains(&counters.lost), "{counters:?}");
    });
}

#[test]
fn a_delay_is_added_in_each_direction_and_connections_work_with_it() {
    if !can(&["switch"]) {
        return;
    }
    let pair = Pair::new(Fabric::Switch);
    let slow = Link { delay: 30 * MS, jitter: 10 * MS, ..Link::default() };
    pair.set(slow, slow);
    for number in 0..10 {
        let began = Instant::now();
        assert_eq!(pair.echoes(&[number], 1), [number]);
        let took = began.elapsed();
        assert!(took >= 60 * MS && took < 300 * MS, "{took:?}");
    }
    // A connection takes two and a half ways to be made and used.
    assert!(pair.stream(100) >= 120 * MS);
    // Jitter alone changes no order.
    assert_eq!(pair.echoes(&ALL, 20), ALL);
    let counters = pair.network.counters();
    assert!(counters.delayed >= 60 && counters.reordered == 0, "{counters:?}");
}

#[test]
fn duplicates_come_twice_and_reordered_ones_later() {
    if !can(&["switch"]) {
        return;
    }
    let pair = Pair::new(Fabric::Switch);
    pair.set(Link { duplicate: 1.0, ..Link::default() }, Link::default());
    let echoes = pair.echoes(&ALL, 40);
    assert_eq!(echoes, ALL.map(|number| [number, number]).concat());
    pair.set(Link { reorder: 0.2, ..Link::default() }, Link::default());
    let numbers: Vec<u32> = (0..200).collect();
    let mut echoes = pair.echoes(&numbers, 200);
    assert!(!echoes.is_sorted());
    echoes.sort_unstable();
    assert_eq!(echoes, numbers);
}

#[test]
fn a_rate_bounds_what_passes() {
    if !can(&["switch"]) {
        return;
    }
    let pair = Pair::new(Fabric::Switch);
    pair.set(Link { rate: Some(1_000_000), ..Link::default() }, Link::default());
    let took = pair.stream(1_000_000);
    assert!(took > 900 * MS && took < 5000 * MS, "{took:?}");
}

#[test]
fn a_bridge_refuses_what_it_cannot_do_and_a_network_whom_it_does_not_know() {
    each_fabric(|pair| {
        let slow = Link { delay: MS, ..Link::default() };
        match (pair.fabric, pair.network.set("echo", HARNESS, slow)) {
            (Fabric::Switch, done) => done.unwrap(),
            (Fabric::Bridge, done) => {
                let error = done.expect_err("a bridge delays nothing").to_string();
                assert!(error.contains("use the switch"), "{error}");
            }
        }
        for (from, to) in [("echo", "nobody"), ("nobody", "echo"), ("echo", "echo")] {
            assert!(pair.network.set(from, to, Link::CUT).is_err(), "{from} {to}");
        }
        assert!(pair.network.node("echo").is_err(), "the name is taken");
        assert!(pair.network.harness().is_err(), "there is one");
        assert!(pair.network.node("a/b").is_err());
        // None of that took anything from those who are there.
        assert_eq!(pair.echoes(&ALL, 20), ALL);
    });
}

#[test]
fn two_networks_at_once_do_not_meet_and_nothing_stays_of_them() {
    each_fabric(|first| {
        let second = Network::new(&first.bench.ledger, Fabric::Switch, 7).unwrap();
        let harness = second.harness().unwrap();
        second.node("echo").unwrap();
        assert_ne!(second.net(), first.network.net());
        assert_eq!(first.echoes(&ALL, 20), ALL);
        let prefixes =
            [first.network.net(), second.net()].map(|net| format!("oj{:04x}", net.number()));
        assert!(prefixes.iter().all(|prefix| machine_names().contains(prefix.as_str())));
        assert!(UdpSocket::bind((harness, 0)).is_ok());
        drop(second);
        until("the second is gone", || !machine_names().contains(&prefixes[1]));
        assert!(UdpSocket::bind((IpAddr::V4(harness), 0)).is_err());
        assert_eq!(first.echoes(&ALL, 20), ALL);
        drop(first);
        until("the first is gone", || !machine_names().contains(&prefixes[0]));
    });
}

/// The names of all namespaces, devices and tables.
fn machine_names() -> String {
    let mut names = String::new();
    for line in ["ip netns list", "ip -brief link", "nft list tables"] {
        let mut words = line.split(' ');
        let output = std::process::Command::new(words.next().unwrap()).args(words).output();
        // Without the tool there is nothing of its kind.
        names +=
            &output.map_or(String::new(), |it| String::from_utf8_lossy(&it.stdout).into_owned());
    }
    names
}

#[test]
fn addresses_are_of_the_net_that_was_drawn() {
    if !can(&["switch"]) {
        return;
    }
    let bench = Bench::new();
    let network = Network::new(&bench.ledger, Fabric::Switch, 1).unwrap();
    let [x, y] = network.net().number().to_be_bytes();
    assert_eq!(network.node("a").unwrap().address, Ipv4Addr::new(10, x, y, 1));
    assert_eq!(network.harness().unwrap(), Ipv4Addr::new(10, x, y, 2));
    assert_eq!(network.node("b").unwrap().address, Ipv4Addr::new(10, x, y, 3));
}
