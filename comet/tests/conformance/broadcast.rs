//! Broadcast: pushes to everybody, in stacks of their own.

use std::time::{Duration, Instant};

use crate::device::{Device, Who};
use crate::stack::{Plan, id};
use crate::wire::{ALL, EVERY};

#[tokio::test]
async fn everybody_who_accepts_the_operation_gets_it_once() {
    let stack = Plan::new().with(|plan| plan.comets = 2).start().await;
    let mut accepting = Vec::new();
    let mut others = Vec::new();
    for transport in EVERY {
        for number in 0..2 {
            let doors = stack.comets[number];
            let yes = Who::key(&id("yes")).accepts(&[7, 8]);
            accepting.push(Device::connect(&doors, transport, &yes).await);
            let no = Who::key(&id("no")).accepts(&[8]);
            others.push(Device::connect(&doors, transport, &no).await);
            others.push(Device::connect(&doors, transport, &Who::member("t://r")).await);
        }
    }
    let mut http = stack.http().await;
    for speed in ["", "&speed=0", "&speed=1000", "&speed=-1"] {
        http.push(&format!("all?operation=7{speed}"), speed).await;
        for device in &mut accepting {
            device.expect(7, speed.as_bytes()).await;
        }
    }
    for device in accepting.iter_mut().chain(&mut others) {
        device.beat().await;
    }
}

#[tokio::test]
async fn speed_paces_a_broadcast() {
    let stack = Plan::new().with(|plan| plan.comets = 2).start().await;
    let mut devices = Vec::new();
    for number in 0..20 {
        let who = Who::key(&id("key")).accepts(&[7]);
        devices.push(Device::connect(&stack.comets[number % 2], ALL[0], &who).await);
    }
    let begun = Instant::now();
    stack.http().await.push("all?operation=7&speed=40", "paced").await;
    for device in &mut devices {
        device.expect(7, b"paced").await;
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(200), "20 devices at 40 a second took {took:?}");
}
