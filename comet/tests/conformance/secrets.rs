//! Secrets: what devices and backends say never shows in the logs, however much is logged.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use orrery_host::system::SystemTasks;
use orrery_host::{Host, Task, Tasks};
use serde_json::json;
use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;

use crate::bytes::frame;
use crate::device::Device;
use crate::http::Http;
use crate::stack::{Doors, Plan};
use crate::wire::{ALL, GOIM, Transport};

/// In every token and every body of this file.
const SECRET: &str = "s3cr3t";

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Tasks whose workers log to one place; the others run on the test's own thread.
struct Watched(SystemTasks, Dispatch);

impl Tasks for Watched {
    fn spawn_boxed(&self, name: &'static str, task: orrery_host::tasks::TaskFuture) -> Task {
        self.0.spawn_boxed(name, task)
    }

    fn blocking(
        &self,
        name: &'static str,
        work: Box<dyn FnOnce() + Send>,
    ) -> orrery_host::tasks::TaskFuture {
        let dispatch = self.1.clone();
        let work = move || tracing::dispatcher::with_default(&dispatch, work);
        self.0.blocking(name, Box::new(work))
    }

    fn thread_time(&self) -> std::time::Duration {
        self.0.thread_time()
    }

    fn worker(&self, name: String, start: orrery_host::tasks::WorkerStart) -> Task {
        let dispatch = self.1.clone();
        let start = move || -> futures_util::future::LocalBoxFuture<'static, ()> {
            let logging = tracing::dispatcher::set_default(&dispatch);
            let running = start();
            Box::pin(async move {
                running.await;
                drop(logging);
            })
        };
        self.0.worker(name, Box::new(start))
    }
}

#[tokio::test(flavor = "current_thread")]
async fn tokens_and_bodies_are_never_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let dispatch = Dispatch::new(subscriber);
    let _logging = tracing::dispatcher::set_default(&dispatch);
    let tasks = Arc::new(Watched(SystemTasks::current(), dispatch.clone()));
    let change = |plan: &mut Plan| plan.host = Host { tasks, ..Host::system() };
    let stack = Plan::new().with(change).start().await;
    let mut http = stack.http().await;

    for transport in GOIM {
        let mut wire = stack.wire(transport).await;
        let token = json!({"mid": 7, "key": "k", "accepts": [1], "password": SECRET});
        wire.send(&frame(1, 7, 1, token.to_string().as_bytes())).await;
        wire.expect(&frame(1, 8, 1, b"")).await;
        for op in [4, 7, 12, 14, 1000] {
            wire.send(&frame(1, op, 2, SECRET.as_bytes())).await;
            assert!(crate::soon("an echo", wire.unit()).await.is_some());
        }
        http.push("keys?operation=1&keys=k", SECRET).await;
        assert!(crate::soon("a push", wire.unit()).await.is_some());
        for refused in [
            format!(r#"{{"mid":"{SECRET}"}}"#),
            format!(r#"{{"mid":1,"{SECRET}"}}"#),
            format!(r#"{{"key":["{SECRET}"]}}"#),
            format!(r#"{{"key":"{}"}}"#, SECRET.repeat(30)),
            SECRET.to_owned(),
        ] {
            let mut wire = stack.wire(transport).await;
            wire.send(&frame(1, 7, 1, refused.as_bytes())).await;
            wire.expect_end().await;
        }
    }

    let mut device = Device::over(stack.wire(Transport::Json).await);
    for message in [
        json!({"type": "hello", "token": [SECRET]}),
        json!({"type": "hello", SECRET: 1}),
        json!({"type": "hello", "token": SECRET, "key": "json"}),
        json!({"type": "message", "op": SECRET}),
        json!({"type": SECRET}),
    ] {
        device.wire.send(message.to_string().as_bytes()).await;
        device.json().await;
    }
    let talk = json!({"type": "message", "op": 5, "data": SECRET});
    device.wire.send(talk.to_string().as_bytes()).await;
    http.push_v1(json!({"target": {"keys": {"ids": ["json"]}}, "op": 5, "body": SECRET})).await;
    assert_eq!(device.json().await["data"], SECRET);
    http.post("/v1/push", format!(r#"{{"target":"{SECRET}"}}"#)).await;
    for transport in ALL {
        let mut wire = stack.wire(transport).await;
        wire.send_bytes(SECRET.repeat(20).as_bytes()).await;
        wire.expect_broken().await;
    }
    let session = over_http(&stack, &mut http).await;
    stack.stop().await;

    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("comet started"), "the comet's log is seen: {logged}");
    assert!(logged.contains("a device was refused"), "the workers' logs are seen: {logged}");
    let leaks: Vec<&str> =
        logged.lines().filter(|line| line.contains(SECRET) || line.contains(&session)).collect();
    assert!(leaks.is_empty(), "logged: {leaks:#?}");
}

/// The same by a device over HTTP: hellos, posts, what is pushed, and targets with a secret in them. Gives its session,
/// which whoever has read it in a log could take over.
async fn over_http(stack: &Doors, http: &mut Http) -> String {
    let fetch = async |method: &str, target: &str, body: String| {
        let mut wire = stack.wire(Transport::Poll).await;
        wire.fetch(method, target, body.as_bytes()).await
    };
    for (status, hello) in [
        (400, json!({"type": "hello", "token": [SECRET]})),
        (400, json!({"type": "hello", SECRET: [1], "key": 1})),
        (400, json!({"type": SECRET})),
    ] {
        let reply = fetch("POST", "/sub/poll", hello.to_string()).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
    assert_eq!(fetch("POST", "/sub/poll", SECRET.to_owned()).await.status, 400);
    let hello = json!({"type": "hello", "token": SECRET, "key": "http"});
    let welcome = fetch("POST", "/sub/poll", hello.to_string()).await.json();
    let session = welcome["session"].as_str().unwrap().to_owned();
    let cursor = welcome["cursor"].as_str().unwrap().to_owned();
    for talk in [json!({"type": "message", "op": 5, "data": SECRET}), json!({"type": SECRET})] {
        let reply = fetch("POST", &format!("/sub/send?session={session}"), talk.to_string()).await;
        assert_eq!(reply.status, 204, "{reply:?}");
    }
    http.push_v1(json!({"target": {"keys": {"ids": ["http"]}}, "op": 5, "body": SECRET})).await;
    for path in ["poll", "events"] {
        let target = format!("/sub/{path}?session={session}&cursor={cursor}");
        assert_eq!(fetch("GET", &target, String::new()).await.status, 200);
    }
    for (path, status) in [("poll", 400), ("events", 400), ("send", 400), ("nothing", 404)] {
        let target = format!("/sub/{path}?session={SECRET}&cursor={SECRET}");
        let method = if path == "send" { "POST" } else { "GET" };
        assert_eq!(fetch(method, &target, SECRET.to_owned()).await.status, status, "{path}");
    }
    session
}
