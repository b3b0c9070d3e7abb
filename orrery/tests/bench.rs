//! `orrery bench` as a child process: each load with tiny numbers, whose figures must agree with each other.
//! Nothing is said about speed here.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use support::{Dev, orrery, output, refusal};

/// `orrery bench` in a folder of its own.
fn bench(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = orrery(&[&["bench"], arguments].concat());
    command.current_dir(folder);
    command
}

/// Runs a load to its end, and returns its figures. It leaves nothing behind.
async fn figures(arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let output = output(bench(folder.path(), &[arguments, &["--json"]].concat())).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the folder is empty again");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs a load to its end, and returns the table that people get, and what was said meanwhile.
async fn table(arguments: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = output(bench(folder.path(), arguments)).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

/// The latencies in a row of a table: each percentile is no less than the one before it.
fn assert_row(table: &str, name: &str) {
    let row = table.lines().find_map(|line| line.strip_prefix("  ")?.strip_prefix(name));
    let row = row.unwrap_or_else(|| panic!("{name} in {table}"));
    let cells: Vec<f64> = row.split_whitespace().map(|cell| cell.parse().unwrap()).collect();
    assert!(cells.len() == 5 && cells.is_sorted() && cells[0] >= 0.0, "{name}: {cells:?}");
}

fn number(figures: &Value, path: &str) -> u64 {
    figures.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} of {figures}"))
}

fn real(figures: &Value, path: &str) -> f64 {
    figures.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} of {figures}"))
}

/// Every message came to everybody it was for, once, and was timed.
fn assert_all_arrived(figures: &Value, pushes: u64, each_reaches: u64) {
    assert_eq!(number(figures, "/pushes"), pushes, "{figures}");
    assert_eq!(number(figures, "/failed"), 0, "{figures}");
    assert_arrivals(&figures["arrivals"], pushes * each_reaches);
    assert_eq!(number(figures, "/to_socket/count"), pushes * each_reaches, "{figures}");
    assert_eq!(number(figures, "/to_receipt/count"), pushes, "{figures}");
    assert_eq!(number(figures, "/client_late/count"), pushes, "{figures}");
    assert!(real(figures, "/to_socket/p50_ms") > 0.0, "{figures}");
    assert!(real(figures, "/to_socket/p50_ms") <= real(figures, "/to_socket/max_ms"));
}

fn assert_arrivals(arrivals: &Value, expected: u64) {
    assert_eq!(number(arrivals, "/expected"), expected, "{arrivals}");
    assert_eq!(number(arrivals, "/arrived"), expected, "{arrivals}");
    for amiss in ["/lost", "/surplus", "/mixed_up"] {
        assert_eq!(number(arrivals, amiss), 0, "{arrivals}");
    }
}

#[tokio::test]
async fn idle_connections_are_weighed() {
    let idle = figures(&["idle", "--connections", "40", "--transport", "websocket"]).await;
    assert_eq!((number(&idle, "/connections"), number(&idle, "/broken")), (40, 0));
    assert_eq!(number(&idle, "/connect/count"), 40);
    for (each, after) in [("each_connected", "connected"), ("each_settled", "settled")] {
        let grown = real(&idle[after], "/rss_kib") - real(&idle, "/before/rss_kib");
        let each = real(&idle[each], "/rss_kib");
        assert!((each * 40.0 - grown).abs() < 0.1, "{each} for each of 40, {grown} together");
    }
    assert!(real(&idle, "/before/rss_kib") > 0.0, "{idle}");
}

#[tokio::test]
async fn churn_counts_every_connect_in_its_second() {
    let churn = figures(&["churn", "--rate", "40", "--seconds", "1", "--transport", "json"]).await;
    assert_eq!((number(&churn, "/begun"), number(&churn, "/welcomed")), (40, 40), "{churn}");
    let seconds = churn["each_second"].as_array().unwrap();
    assert_eq!(seconds.iter().filter_map(Value::as_u64).sum::<u64>(), 40, "{churn}");
    assert_eq!(number(&churn, "/to_welcome/count"), 40);
    assert_eq!(number(&churn, "/client_late/count"), 40);
    // The last one is due 25 ms before the second is over.
    assert!(real(&churn, "/per_second") <= 40.0 / 0.975, "{churn}");
}

#[tokio::test]
async fn unicast_reaches_each_user_in_turn_also_through_goims_paths() {
    let pace = ["--rate", "50", "--seconds", "1", "--warm-up", "0", "--users", "7"];
    let goim = ["unicast", "--push-api", "goim", "--transport", "websocket"];
    let unicast = figures(&[&goim[..], &pace].concat()).await;
    assert_all_arrived(&unicast, 50, 1);
    // goim's answers say nothing about what became of a push.
    assert_eq!(number(&unicast, "/told/queued"), 0);
}

#[tokio::test]
async fn room_reaches_every_member_and_so_does_a_bare_loop() {
    let room = ["room", "--members", "15", "--rate", "40", "--seconds", "1"];
    let room =
        figures(&[&room[..], &["--warm-up", "0", "--separate-sends-baseline"]].concat()).await;
    assert_all_arrived(&room, 40, 15);
    assert_eq!(number(&room, "/told/queued"), 40 * 15);
    assert_eq!(number(&room, "/bytes"), 32);
    // The comet is a process of its own, and a part of the system.
    assert!(real(&room, "/cpu/comet_s") <= real(&room, "/cpu/server_s"), "{room}");
    assert_arrivals(&room["separate_sends"]["arrivals"], 40 * 15);
    assert_eq!(number(&room, "/separate_sends/to_socket/count"), 40 * 15);
}

#[tokio::test]
async fn every_transport_is_loaded_within_tls_too() {
    for transport in ["tcp", "websocket", "json"] {
        let room = ["room", "--members", "6", "--rate", "20", "--seconds", "1", "--warm-up", "0"];
        let room = figures(&[&room[..], &["--tls", "--transport", transport]].concat()).await;
        assert_eq!(room["tls"], true, "{room}");
        assert_all_arrived(&room, 20, 6);
    }
}

#[tokio::test]
async fn every_load_runs_within_tls_too() {
    let brief = ["--rate", "20", "--seconds", "1"];
    let load = async |arguments: &[&str], transport: &str| {
        let figures = figures(&[arguments, &["--tls", "--transport", transport]].concat()).await;
        assert_eq!(figures["tls"], true, "{figures}");
        figures
    };
    let idle = load(&["idle", "--connections", "20"], "tcp").await;
    assert_eq!((number(&idle, "/connections"), number(&idle, "/broken")), (20, 0));
    let churn = load(&[&["churn"], &brief[..]].concat(), "websocket").await;
    assert_eq!((number(&churn, "/begun"), number(&churn, "/welcomed")), (20, 20), "{churn}");
    let unicast = load(&[&["unicast", "--users", "7"], &brief[..]].concat(), "json").await;
    assert_all_arrived(&unicast, 20, 1);
    let broadcast = load(&[&["broadcast", "--devices", "5"], &brief[..]].concat(), "tcp").await;
    assert_all_arrived(&broadcast, 20, 5);
    let storm = load(&["storm", "--devices", "10", "--backoff-base-ms", "200"], "json").await;
    assert_eq!((number(&storm, "/devices"), number(&storm, "/back")), (10, 10), "{storm}");
}

#[tokio::test]
async fn people_are_told_how_far_it_is_and_get_a_table() {
    let brief = ["--rate", "20", "--seconds", "2"];
    let within_tls = ["--warm-up", "0", "--tls", "--transport", "json"];
    let (room, said) =
        table(&[&["room", "--members", "15"], &brief[..], &within_tls].concat()).await;
    assert!(
        room.contains("\nroom over json within TLS\n\n15 members, bodies of 32 bytes\n"),
        "{room}"
    );
    assert!(room.contains("\n40 pushes, "), "{room}");
    let all = "\n600 of 600 messages arrived: 0 lost, 0 too many, 0 devices with the wrong ones\n";
    assert!(room.contains(all), "{room}");
    assert!(room.contains("p50      p90      p99    p99.9      max\n"), "{room}");
    for name in ["push to socket", "push to receipt", "client late by"] {
        assert_row(&room, name);
    }
    // Each second a line, where nobody looks at a terminal.
    let lines: Vec<&str> = said.lines().map(|line| line.strip_prefix("bench: ").unwrap()).collect();
    assert_eq!(lines.first(), Some(&"starting a system"), "{said}");
    assert_eq!(lines.last(), Some(&"stopping the system"), "{said}");
    let so_far = lines.iter().filter_map(|line| line.strip_suffix(" of 600 messages arrived"));
    let so_far: Vec<u64> = so_far.map(|arrived| arrived.parse().unwrap()).collect();
    assert!(!so_far.is_empty() && so_far.is_sorted() && so_far[0] < 600, "{said}");

    let (churn, _) = table(&[&["churn"], &brief[..]].concat()).await;
    assert!(churn.contains("\nchurn over tcp\n\n20 connects/s asked for, "), "{churn}");
    assert!(churn.contains("; 40 of 40 got in\n"), "{churn}");
    assert_row(&churn, "due to welcome");
    let (idle, _) = table(&["idle", "--connections", "20"]).await;
    assert!(idle.contains("\nidle over tcp\n\n20 connections, "), "{idle}");
    assert!(
        idle.contains("; 0 broke\n") && idle.contains("\n  growth for each, settled "),
        "{idle}"
    );
    let (storm, _) = table(&["storm", "--devices", "10", "--backoff-base-ms", "200"]).await;
    assert!(storm.contains("\nstorm over tcp\n\n10 of 10 devices came back\n"), "{storm}");
    assert!(storm.contains("\n  100 % after "), "{storm}");
}

#[tokio::test]
async fn every_load_runs_over_http_too() {
    let brief = ["--rate", "20", "--seconds", "1"];
    for transport in ["poll", "sse"] {
        let load = async |arguments: &[&str]| {
            let figures = figures(&[arguments, &["--transport", transport]].concat()).await;
            assert_eq!(figures["transport"], transport, "{figures}");
            figures
        };
        let idle = load(&["idle", "--connections", "20"]).await;
        assert_eq!((number(&idle, "/connections"), number(&idle, "/broken")), (20, 0));
        assert_eq!(number(&idle, "/connect/count"), 20);
        let churn = load(&[&["churn"], &brief[..]].concat()).await;
        assert_eq!((number(&churn, "/begun"), number(&churn, "/welcomed")), (20, 20), "{churn}");
        let unicast = load(&[&["unicast", "--users", "7"], &brief[..]].concat()).await;
        assert_all_arrived(&unicast, 20, 1);
        let room = load(&[&["room", "--members", "6", "--tls"], &brief[..]].concat()).await;
        assert_all_arrived(&room, 20, 6);
        assert_eq!(number(&room, "/told/queued"), 20 * 6);
        let broadcast = load(&[&["broadcast", "--devices", "5"], &brief[..]].concat()).await;
        assert_all_arrived(&broadcast, 20, 5);
        let storm = load(&["storm", "--devices", "10", "--backoff-base-ms", "200"]).await;
        assert_eq!((number(&storm, "/devices"), number(&storm, "/back")), (10, 10), "{storm}");
        assert!(number(&storm, "/attempts") >= 10, "{storm}");
    }
}

#[tokio::test]
async fn broadcast_reaches_everybody() {
    let broadcast = figures(&[
        "broadcast",
        "--devices",
        "12",
        "--rate",
        "20",
        "--seconds",
        "1",
        "--transport",
        "json",
    ])
    .await;
    assert_all_arrived(&broadcast, 20, 12);
}

#[tokio::test]
async fn storm_brings_everybody_back() {
    let storm =
        figures(&["storm", "--devices", "30", "--backoff-base-ms", "200", "--transport", "json"])
            .await;
    assert_eq!((number(&storm, "/devices"), number(&storm, "/back")), (30, 30), "{storm}");
    let [half, most, all] =
        ["/half_back_s", "/p99_back_s", "/all_back_s"].map(|at| real(&storm, at));
    assert!(0.0 < half && half <= most && most <= all, "{storm}");
    assert!(number(&storm, "/attempts") >= 30, "{storm}");
    assert!((1..=30).contains(&number(&storm, "/handshakes_peak")), "{storm}");
    // A device counts its time away from its own cut to its welcome, which the tool sees a moment later.
    assert!(
        real(&storm, "/longest_gap_s") <= all && real(&storm, "/longest_gap_s") > 0.0,
        "{storm}"
    );
}

#[tokio::test]
async fn system_that_runs_already_is_loaded_and_left_alone() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let [pem, key] = ["comet.pem", "comet.key"].map(|name| folder.path().join(name));
    std::fs::write(&pem, signed.cert.pem()).unwrap();
    std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    let certificates = format!("comet.tls.certificates={}", pem.display());
    let keys = format!("comet.tls.keys={}", key.display());
    let dev = Dev::start(data.path(), &["--set", &certificates, "--set", &keys]).await;
    let address = |key| dev.address(key).to_string();
    let [plain, secured] = ["comet.tcp_listen", "comet.tls.tcp_listen"].map(address);
    let within_tls = ["--tls", "--target-ca", pem.to_str().unwrap()];
    let pace = ["--rate", "20", "--seconds", "1", "--users", "3"];
    for (comet, how) in [(&plain, &[][..]), (&secured, &within_tls)] {
        let target = ["--target-comet", comet, "--target-push", &address("logic.grpc_listen")];
        let unicast = figures(&[&["unicast"], &pace[..], &target, how].concat()).await;
        assert_all_arrived(&unicast, 20, 1);
        assert_eq!(number(&unicast, "/told/queued"), 20);
        assert_eq!(unicast["tls"], !how.is_empty(), "{unicast}");
        assert!(unicast["cpu"]["comet_s"].is_null() && unicast["own_system"] == false, "{unicast}");
    }
    dev.interrupt().await;
}

#[tokio::test]
async fn what_cannot_be_measured_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["idle", "--connections", "4000000000"][..], "file descriptors"),
        (&["idle", "--target-comet", "127.0.0.1:1"], "--target-pid"),
        (&["unicast", "--target-comet", "127.0.0.1:1"], "--target-push"),
        (
            &["churn", "--target-comet", "127.0.0.1:1", "--rate", "1", "--seconds", "1"],
            "nobody was welcomed",
        ),
        (&["room", "--set", "comet.no_such_key=1"], "no_such_key"),
        (&["room", "--separate-sends-baseline", "--transport", "sse"], "on sse"),
    ] {
        let line = refusal(bench(folder.path(), arguments)).await;
        assert!(line.contains(words), "{arguments:?}: {line}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the folder is empty again");
}
