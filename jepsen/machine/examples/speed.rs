//! Measures a network between two nodes: `speed [switch|bridge] [delay in ms]`. Prints how long a byte takes
//! there and back, and how much a connection carries.
#![allow(clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use machine::{FOLDER, Fabric, Ledger, Link, Network, Process};

const PORT: u16 = 7000;

const ROUNDS: usize = 5000;

const SECONDS: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve"] => serve(),
        ["ask", address] => ask(address),
        ["bridge"] => between(Fabric::Bridge, 0),
        [] | ["switch"] => between(Fabric::Switch, 0),
        ["switch", delay] => between(Fabric::Switch, delay.parse()?),
        _ => Err("speed [switch|bridge] [delay in ms]".into()),
    }
}

fn between(fabric: Fabric, delay_ms: u64) -> Result<(), Box<dyn Error>> {
    let ledger = Ledger::begin(Path::new(FOLDER))?;
    let network = Network::new(&ledger, fabric, 1)?;
    let (a, b) = (network.node("a")?, network.node("b")?);
    let link = Link { delay: Duration::from_millis(delay_ms), ..Link::default() };
    network.set("a", "b", link)?;
    network.set("b", "a", link)?;
    let program = env::current_exe()?;
    let mut command: Command = a.command(&program);
    command.arg("serve");
    let _server = Process::spawn(&ledger, "a", command, Path::new("/dev/stderr"))?;
    let mut command = b.command(&program);
    let asked = command.args(["ask", &a.address.to_string()]).output()?;
    print!("{}{}", String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
    println!("{:?}", network.counters());
    Ok(())
}

/// Sends single bytes back, and after a longer beginning takes everything.
fn serve() -> Result<(), Box<dyn Error>> {
    for stream in TcpListener::bind(("0.0.0.0", PORT))?.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            let mut taken = 0_u64;
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                taken += count as u64;
                if count == 1 && stream.write_all(&buffer[..1]).is_err() {
                    return;
                }
            }
            let _ = stream.write_all(taken.to_string().as_bytes());
        });
    }
    Ok(())
}

fn ask(address: &str) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut stream = loop {
        match TcpStream::connect((address, PORT)) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    };
    stream.set_nodelay(true)?;
    let mut took = Vec::new();
    let limit = Instant::now() + Duration::from_secs(SECONDS);
    while took.len() < ROUNDS && Instant::now() < limit {
        let began = Instant::now();
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    println!(
        "there and back: min {:?}, p50 {:?}, p99 {:?} of {}",
        took[0],
        at(50),
        at(99),
        took.len()
    );

    let mut stream = TcpStream::connect((address, PORT))?;
    let chunk = vec![7; 1 << 16];
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(SECONDS) {
        stream.write_all(&chunk)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut taken = String::new();
    stream.read_to_string(&mut taken)?;
    let bits = taken.parse::<f64>()? * 8.0;
    println!("one connection: {:.0} Mbit/s", bits / began.elapsed().as_secs_f64() / 1e6);
    Ok(())
}
