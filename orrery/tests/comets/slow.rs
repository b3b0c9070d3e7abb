//! An operator asks which devices do not keep up.

use std::time::Duration;

use orrery_host::Host;
use orrery_sdk::{Device, Options, Transport};
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::support::cluster::ctl;
use crate::support::{DEADLINE, http, orrery, output};

const BODY: usize = 300_000;

/// Pushes to a device that reads nothing until so many pushes were dropped, and waits until it is seen to stand still.
async fn fill(fleet: &Fleet, comet: &str, target: Value, dropped: u64) {
    let body = "x".repeat(BODY);
    let push = json!({ "target": target, "op": 1000, "body": body, "wait_for": "queued" });
    let push = push.to_string();
    let routers = fleet.registry.to_string();
    let filled = async {
        let mut left = dropped;
        while left > 0 {
            let (status, receipt) = http(fleet.push, "POST", "/v1/push", &push).await;
            assert_eq!(status, 200, "{receipt}");
            let receipt: Value = serde_json::from_str(&receipt).unwrap();
            let summary = &receipt["summary"];
            left -= summary["dropped"].as_u64().unwrap();
            assert_eq!(
                summary["queued"].as_u64().unwrap() + summary["dropped"].as_u64().unwrap(),
                1
            );
        }
        loop {
            let slow = ctl(&routers, &["comet", "slow", comet]).await;
            let mut rows = slow["devices"].as_array().unwrap().iter();
            // The next one will have stood still for less, whatever the moments at which they are looked at.
            if rows.any(|row| row["dropped"] == dropped && row["still_seconds"].as_u64() >= Some(2))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(DEADLINE, filled).await.expect("it stands still");
}

/// Who is listed, in which order, with what a row says of itself; what waits is as much as there was room for.
fn told(slow: &Value) -> Vec<Value> {
    let rows = slow["devices"].as_array().unwrap();
    let of_one = |row: &Value| {
        let [frames, bytes] = ["frames", "bytes"].map(|name| row[name].as_u64().unwrap() as usize);
        assert!(
            frames >= 2 && bytes > (frames - 1) * BODY && bytes < frames * (BODY + 200),
            "{row}"
        );
        json!([row["comet"], row["user"], row["key"], row["protocol"], row["dropped"]])
    };
    rows.iter().map(of_one).collect()
}

#[tokio::test]
async fn slow_devices_are_listed_with_what_they_lost_and_the_worst_come_first() {
    let fleet = Fleet::start(2, &[]).await;
    let routers = fleet.registry.to_string();
    let net = Host::system().net;
    let goim = |comet: usize, user: &str, key: &str| {
        let options = Options::new(Transport::Tcp, fleet.tcp[comet].to_string());
        options.user(user).key(key).accepts([1000])
    };
    let json = Options::new(Transport::Json, fleet.websocket[0].to_string()).key("c");
    // None of them ever reads. The worst is on the comet that is asked last.
    let _worst = Device::connect(&net, goim(1, "7", "a")).await.unwrap();
    fill(&fleet, "comet-1", json!({ "users": { "ids": ["7"] } }), 1).await;
    let _other = Device::connect(&net, goim(0, "8", "b")).await.unwrap();
    fill(&fleet, "comet-0", json!({ "users": { "ids": ["8"] } }), 3).await;
    let _nobodys = Device::connect(&net, json).await.unwrap();
    fill(&fleet, "comet-0", json!({ "keys": { "ids": ["c"] } }), 2).await;

    let [a, b, c] = [
        json!(["comet-1", "7", "a", "tcp", 1]),
        json!(["comet-0", "8", "b", "tcp", 3]),
        json!(["comet-0", null, "c", "json", 2]),
    ];
    let slow =
        async |arguments: &[&str]| ctl(&routers, &[&["comet", "slow"], arguments].concat()).await;
    assert_eq!(told(&slow(&["comet-0"]).await), [b.clone(), c.clone()]);
    assert_eq!(told(&slow(&["comet-1"]).await), std::slice::from_ref(&a));
    assert_eq!(told(&slow(&["--all", "--limit", "2"]).await), [a.clone(), b.clone()]);
    let all = slow(&["--all"]).await;
    assert_eq!(told(&all), [a, b, c]);

    // For people the same.
    let table = output(orrery(&["ctl", "--router", &routers, "comet", "slow", "--all"])).await;
    assert_eq!(table.status.code(), Some(0), "{table:?}");
    let table = String::from_utf8(table.stdout).unwrap();
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let columns = ["comet", "user", "key", "conn", "protocol", "frames", "bytes", "dropped"];
    let mut head = columns.map(str::to_uppercase).to_vec();
    head.push("STILL_S".to_owned());
    assert_eq!(lines.next().unwrap(), head);
    for row in all["devices"].as_array().unwrap() {
        let cells = lines.next().unwrap();
        let expected = columns.map(|name| match &row[name] {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            number => number.to_string(),
        });
        assert_eq!(cells[..columns.len()], expected, "{table}");
        assert!(cells[columns.len()].parse().ok() >= row["still_seconds"].as_u64(), "{table}");
    }
    assert_eq!(lines.next(), None, "{table}");
}
