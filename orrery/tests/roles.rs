//! One role a process, each with its configuration file, and what they refuse.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use orrery_host::Host;
use orrery_sdk::{Device, Event, Options, Transport};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::process::Child;

use support::{DEADLINE, free, http, orrery, output, push_to_user, refusal, signal};

fn config(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn role(role: &str, file: &Path) -> Child {
    orrery(&[role, "--config", file.to_str().unwrap()]).spawn().unwrap()
}

async fn ready(admin: SocketAddr, child: &mut Child) {
    let ready = async {
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("it ended while starting: {status}");
            }
            let listening = tokio::net::TcpStream::connect(admin).await.is_ok();
            if listening && http(admin, "GET", "/readyz", "").await.0 == 200 {
                return;
            }
            // A condition is waited for, not a time.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, ready).await.expect("it becomes ready");
}

async fn stop(mut child: Child) {
    signal(&child, rustix::process::Signal::TERM);
    let status = tokio::time::timeout(DEADLINE, child.wait()).await.expect("it ends").unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn three_processes_do_what_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let [registry, http_, grpc, edge, websocket] = std::array::from_fn(|_| free());
    let admins: [SocketAddr; 3] = std::array::from_fn(|_| free());
    let data = folder.path().join("data");
    let router = format!(
        "[admin]\nlisten = '{}'\n[store]\npath = {data:?}\n[router]\nfound_alone = true\n\
         registry_listen = '{registry}'\npeers_listen = '127.0.0.1:0'\n",
        admins[0],
    );
    let logic = format!(
        "[admin]\nlisten = '{}'\n[logic]\nauth = 'open'\nrouters = ['{registry}']\n\
         http_listen = '{http_}'\ngrpc_listen = '{grpc}'\nedge_listen = '{edge}'\n",
        admins[1],
    );
    let comet = format!(
        "[admin]\nlisten = '{}'\n[comet]\nlogic = ['{edge}']\nwebsocket_listen = '{websocket}'\n\
         tcp_listen = '127.0.0.1:0'\ndelivery_listen = '127.0.0.1:0'\n",
        admins[2],
    );
    let mut router = role("router", &config(&folder, "router.toml", &router));
    let mut logic = role("logic", &config(&folder, "logic.toml", &logic));
    let mut comet = role("comet", &config(&folder, "comet.toml", &comet));
    ready(admins[0], &mut router).await;
    ready(admins[1], &mut logic).await;
    ready(admins[2], &mut comet).await;

    let options = Options::new(Transport::Json, websocket.to_string()).user("alice");
    let mut alice = Device::connect(&Host::system().net, options).await.unwrap();
    let receipt = push_to_user(http_, "/v1/push", "alice", "hello").await;
    assert_eq!(receipt["summary"]["written"], 1, "{receipt}");
    let event = tokio::time::timeout(DEADLINE, alice.next()).await.unwrap();
    assert!(matches!(&event, Event::Message { body, .. } if body == "hello"), "{event:?}");

    stop(comet).await;
    stop(logic).await;
    stop(router).await;
}

#[tokio::test]
async fn strangers_are_kept_out_of_every_role() {
    for (role, key) in [
        ("router", "router.registry_listen"),
        ("router", "router.peers_listen"),
        ("logic", "logic.http_listen"),
        ("logic", "logic.grpc_listen"),
        ("logic", "logic.edge_listen"),
        ("comet", "comet.tcp_listen"),
        ("comet", "comet.websocket_listen"),
        ("comet", "comet.delivery_listen"),
        ("comet", "admin.listen"),
    ] {
        let line = refusal(orrery(&[role, "--set", &format!("{key}=0.0.0.0:0")])).await;
        assert!(line.contains(key) && line.contains("insecure = true"), "{line}");
    }
}

#[tokio::test]
async fn slip_in_the_configuration_is_named_with_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(&folder, "comet.toml", "[comet]\n\nhandshake = 5\n");
    let path = file.to_str().unwrap();
    let expected =
        format!("orrery: {path}:3: unknown key comet.handshake, did you mean comet.handshake_ms?");
    assert_eq!(refusal(orrery(&["comet", "--config", path])).await, expected);
    assert_eq!(refusal(orrery(&["dev", "--config", path])).await, expected);
    assert_eq!(refusal(orrery(&["config", "check", path])).await, expected);

    let file = config(&folder, "router.toml", "[router]\nlease_ms = 10\n");
    let path = file.to_str().unwrap();
    let line = refusal(orrery(&["config", "check", path])).await;
    assert!(line.starts_with("orrery: router.lease_ms: "), "{line}");
    assert!(output(orrery(&["config", "check", path, "--role", "comet"])).await.status.success());

    let line = refusal(orrery(&["logic", "--config", "/nowhere/logic.toml"])).await;
    assert!(line.contains("/nowhere/logic.toml"), "{line}");

    let mut command = orrery(&["logic"]);
    command.env("ORRERY_LOGIC__AUHT", "open");
    let line = refusal(command).await;
    assert!(line.contains("ORRERY_LOGIC__AUHT") && line.contains("logic.auth?"), "{line}");
}

#[tokio::test]
async fn certificate_that_cannot_be_shown_ends_the_start_by_its_path() {
    let certificate = "comet.tls.certificates=/nowhere/comet.pem";
    let line = refusal(orrery(&["comet", "--set", certificate])).await;
    assert_eq!(line, "orrery: comet.tls.keys: must be one for each of tls.certificates");
    let key = "comet.tls.keys=/nowhere/comet.key";
    let line = refusal(orrery(&["comet", "--set", certificate, "--set", key])).await;
    assert!(line.starts_with("orrery: cannot serve devices over TLS (keys comet.tls."), "{line}");
    assert!(line.contains("cannot read /nowhere/comet.pem: No such file"), "{line}");
}

#[tokio::test]
async fn certificates_are_checked_with_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let [pem, key] = ["comet.pem", "comet.key"].map(|name| folder.path().join(name));
    let text = format!("[comet.tls]\ncertificates = [{pem:?}]\nkeys = [{key:?}]\n");
    let file = config(&folder, "comet.toml", &text);
    let check = || orrery(&["config", "check", file.to_str().unwrap()]);
    let line = refusal(check()).await;
    assert!(line.starts_with("orrery: cannot serve devices over TLS (keys comet.tls."), "{line}");
    assert!(line.contains(&format!("cannot read {}: No such file", pem.display())), "{line}");
    let mut as_logic = check();
    as_logic.args(["--role", "logic"]);
    assert!(output(as_logic).await.status.success(), "it reads none");

    let mut params = CertificateParams::new(vec!["comet.test".to_owned()]).unwrap();
    let keys = KeyPair::generate().unwrap();
    std::fs::write(&key, keys.serialize_pem()).unwrap();
    for (is_ca, warned) in [
        (IsCa::NoCa, String::new()),
        (
            IsCa::Ca(BasicConstraints::Unconstrained),
            format!("orrery: warning: {}: the certificate is that of a CA ", pem.display()),
        ),
    ] {
        params.is_ca = is_ca;
        std::fs::write(&pem, params.self_signed(&keys).unwrap().pem()).unwrap();
        let checked = output(check()).await;
        assert!(checked.status.success());
        let told = String::from_utf8(checked.stderr).unwrap();
        assert!(told.starts_with(&warned) && told.is_empty() == warned.is_empty(), "{told}");
    }
    std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let line = refusal(check()).await;
    assert!(line.ends_with(": the key is not that of the certificate"), "{line}");
}

#[tokio::test]
async fn example_is_a_good_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let example = output(orrery(&["config", "example"])).await;
    assert!(example.status.success());
    let file = config(&folder, "all.toml", &String::from_utf8(example.stdout).unwrap());
    let checked = output(orrery(&["config", "check", file.to_str().unwrap()])).await;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
