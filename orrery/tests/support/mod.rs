//! Runs the binary as a child process and speaks to it.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod cluster;
pub(crate) mod process;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

/// How long anything may take before the test has failed. Machines that run tests are busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// An address that nobody else takes, also while whoever listens there is down: connections that are opened
/// without an address of their own come from 127.0.0.1, and each test process has its own in 127.0.0.0/8.
pub(crate) fn free() -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(20_000);
    // A process id has 22 bits.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, high + 1, middle, low);
    SocketAddr::from((own, PORT.fetch_add(1, Ordering::Relaxed)))
}

/// The binary with arguments, and with none of this process's configuration.
pub(crate) fn orrery(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orrery"));
    command
        .args(arguments)
        .env_clear()
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs to the end.
pub(crate) async fn output(mut command: Command) -> Output {
    tokio::time::timeout(DEADLINE, command.output()).await.expect("it ends in time").unwrap()
}

/// Runs to an error and returns its one line, the last that is said.
pub(crate) async fn refusal(command: Command) -> String {
    let output = output(command).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let line = stderr.lines().last().unwrap_or_default();
    assert!(line.starts_with("orrery: "), "{stderr}");
    line.to_owned()
}

/// A running `orrery dev`.
pub(crate) struct Dev {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    addresses: BTreeMap<String, SocketAddr>,
}

impl Dev {
    /// Starts one on free ports and waits until it is ready.
    pub(crate) async fn start(data: &Path, more: &[&str]) -> Self {
        let data = data.to_str().unwrap();
        let mut arguments = vec!["dev", "--any-ports", "--json", "--data", data];
        arguments.extend(more);
        let mut child = orrery(&arguments).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(DEADLINE, stdout.next_line()).await.expect("it starts");
        let Some(line) = line.unwrap() else {
            let output = child.wait_with_output().await.unwrap();
            panic!("it did not start: {}", String::from_utf8_lossy(&output.stderr));
        };
        let ready: Value = serde_json::from_str(&line).unwrap();
        let addresses = serde_json::from_value(ready["addresses"].clone()).unwrap();
        Self { child, stdout, addresses }
    }

    /// Where the listener of a key listens.
    pub(crate) fn address(&self, key: &str) -> SocketAddr {
        self.addresses[key]
    }

    /// Interrupts it; it ends by itself and with success. Returns what it said meanwhile.
    pub(crate) async fn interrupt(mut self) -> String {
        signal(&self.child, rustix::process::Signal::INT);
        let mut rest = self.stdout;
        assert_eq!(rest.next_line().await.unwrap(), None, "nothing follows the first line");
        let mut stderr = self.child.stderr.take().unwrap();
        let mut said = String::new();
        let ended = async {
            stderr.read_to_string(&mut said).await.unwrap();
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(DEADLINE, ended).await.expect("it ends in time");
        assert!(status.success(), "{status}: {said}");
        said
    }

    /// Sends signals one after the other and returns the code with which it exits.
    pub(crate) async fn signals(mut self, signals: &[rustix::process::Signal]) -> i32 {
        for each in signals {
            signal(&self.child, *each);
        }
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await.expect("it ends");
        status.unwrap().code().expect("it exits by itself")
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(process(child), signal).unwrap();
}

/// The process of a child that runs.
pub(crate) fn process(child: &Child) -> rustix::process::Pid {
    let id = i32::try_from(child.id().expect("it still runs")).unwrap();
    rustix::process::Pid::from_raw(id).unwrap()
}

/// Sends one HTTP request and returns status and body.
pub(crate) async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len(),
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(DEADLINE, exchange).await.expect("an answer in time");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Pushes a text to a user at a path and returns the receipt.
pub(crate) async fn push_to_user(address: SocketAddr, path: &str, user: &str, text: &str) -> Value {
    let target = json!({ "users": { "ids": [user] } });
    let body = json!({ "target": target, "op": 1000, "body": text, "wait_for": "written" });
    let (status, answer) = http(address, "POST", path, &body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).unwrap()
}
