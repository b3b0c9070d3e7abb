//! Stack: a system of its own for the time of a load, each role a process of its own, so that the comet's
//! figures are the comet's alone.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use orrery_host::Host;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio::time::{sleep, timeout};

use super::process::Process;
use crate::admin;
use crate::clock::Clock;
use crate::edge::limits::{LOOK, START_TIMEOUT};
use crate::latency::Latency;
use crate::machine;

/// The first port that is listened on. Each process of this tool has an address of its own, so that
/// nobody else's ports matter.
const FIRST_PORT: u16 = 20_000;

/// Processes that were started for the load, with their data below the current folder: the system's folder
/// for temporary files is often in memory, where a sync costs nothing. Its drop kills and removes them.
pub struct Stack {
    /// In the order in which they end.
    processes: Vec<Process>,
    /// How many of them, from the first, are comets and nothing else.
    comets: usize,
    folder: TempDir,
    /// Kept open: what nobody could read any more would end a process.
    _stdout: Option<BufReader<ChildStdout>>,
    /// How long a sync takes where its data is.
    pub sync: Latency,
}

/// Where a stack listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// TCP of each comet.
    pub tcp: Vec<String>,
    /// WebSocket of each comet.
    pub websocket: Vec<String>,
    /// The certificate of the comets in PEM, where both are within TLS.
    pub trusted: Option<String>,
    /// The push API in gRPC.
    pub grpc: String,
    /// The push API in HTTP.
    pub http: String,
}

impl Stack {
    /// Starts a router node, a logic and so many comets, and waits until all are ready. With `tls` the comets'
    /// addresses are those for TLS, with a certificate that is made for the time. `settings` are further `SECTION.KEY=VALUE`.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn roles(
        host: &Host,
        clock: Clock,
        comets: usize,
        tls: bool,
        settings: &[String],
    ) -> anyhow::Result<(Self, Addresses)> {
        let mut stack = Self::empty(clock)?;
        let mut ports = Ports::default();
        let certificate = if tls { Some(stack.certify(ports.own)?) } else { None };
        let [registry, peers, edge, grpc, http] = std::array::from_fn(|_| ports.next());
        let data = stack.folder.path().join("data");
        let router = format!(
            "[store]\npath = {data:?}\n[router]\nfound_alone = true\n\
             registry_listen = '{registry}'\npeers_listen = '{peers}'\n"
        );
        stack.role(host, "router", "router", &router, ports.next(), settings).await?;
        let logic = format!(
            "[logic]\nauth = 'open'\nrouters = ['{registry}']\nhttp_listen = '{http}'\n\
             grpc_listen = '{grpc}'\nedge_listen = '{edge}'\n"
        );
        stack.role(host, "logic", "logic", &logic, ports.next(), settings).await?;
        let trusted = certificate.as_ref().map(|(certificate, _)| certificate.clone());
        let mut addresses = Addresses { tcp: vec![], websocket: vec![], trusted, grpc, http };
        for nth in 1..=comets {
            let [tcp, websocket, delivery] = std::array::from_fn(|_| ports.next());
            let mut comet = format!(
                "[comet]\nid = 'bench-{nth}'\nlogic = ['{edge}']\ntcp_listen = '{tcp}'\n\
                 websocket_listen = '{websocket}'\ndelivery_listen = '{delivery}'\n"
            );
            let (tcp, websocket) = match &certificate {
                None => (tcp, websocket),
                Some((_, section)) => {
                    let [tcp, websocket] = std::array::from_fn(|_| ports.next());
                    comet += section;
                    comet += &format!("tcp_listen = '{tcp}'\nwebsocket_listen = '{websocket}'\n");
                    (tcp, websocket)
                }
            };
            let name = format!("comet-{nth}");
            stack.role(host, "comet", &name, &comet, ports.next(), settings).await?;
            addresses.tcp.push(tcp);
            addresses.websocket.push(websocket);
        }
        stack.comets = comets;
        Ok((stack, addresses))
    }

    /// Starts `orrery dev`, everything in one process, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn dev(clock: Clock) -> anyhow::Result<(Self, Addresses)> {
        let mut stack = Self::empty(clock)?;
        let data = stack.folder.path().join("data");
        let data = data.to_str().context("the current folder's name is not UTF-8")?;
        let arguments = ["dev", "--any-ports", "--json", "--data", data];
        let mut process = Process::start("dev", &arguments, stack.folder.path())?;
        let mut stdout = BufReader::new(process.take_stdout());
        let mut line = String::new();
        let read = timeout(START_TIMEOUT, stdout.read_line(&mut line)).await;
        read.with_context(|| format!("dev was not ready within {START_TIMEOUT:?}"))??;
        let addresses = match ready::read(&line) {
            Ok(addresses) => addresses,
            Err(_) if line.is_empty() => {
                anyhow::bail!("dev did not start: {}", process.last_words())
            }
            Err(error) => anyhow::bail!("dev said {line:?} instead of its addresses: {error}"),
        };
        stack.processes.push(process);
        stack._stdout = Some(stdout);
        Ok((stack, addresses))
    }

    /// The processes that are comets and nothing else.
    pub fn comet_pids(&self) -> Vec<u32> {
        self.processes[..self.comets].iter().filter_map(Process::id).collect()
    }

    /// All its processes.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().filter_map(Process::id).collect()
    }

    /// Ends all of it in order and removes its data.
    ///
    /// # Errors
    /// When a process does not end, or had ended by itself.
    pub async fn close(self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for process in self.processes {
            outcome = outcome.and(process.stop().await);
        }
        outcome
    }

    fn empty(clock: Clock) -> anyhow::Result<Self> {
        let unusable = "cannot write to the current folder, where the data would be";
        let current = std::env::current_dir().context(unusable)?;
        let folder = tempfile::Builder::new().prefix("orrery-bench-").tempdir_in(current);
        let folder = folder.context(unusable)?;
        let sync = machine::time_syncs(folder.path(), clock).context(unusable)?;
        Ok(Self { processes: Vec::new(), comets: 0, folder, _stdout: None, sync })
    }

    /// Makes a certificate for an address. Returns it in PEM, and the beginning of the comets' section about TLS.
    fn certify(&self, address: Ipv4Addr) -> anyhow::Result<(String, String)> {
        let signed = rcgen::generate_simple_self_signed([address.to_string()])?;
        let [certificate, key] =
            ["comet.pem", "comet.key"].map(|name| self.folder.path().join(name));
        fs::write(&certificate, signed.cert.pem())?;
        fs::write(&key, signed.signing_key.serialize_pem())?;
        let section = format!("[comet.tls]\ncertificates = [{certificate:?}]\nkeys = [{key:?}]\n");
        Ok((signed.cert.pem(), section))
    }

    /// Starts a role with its own configuration file, and waits until it says that it is ready.
    async fn role(
        &mut self,
        host: &Host,
        role: &str,
        name: &str,
        sections: &str,
        admin: String,
        settings: &[String],
    ) -> anyhow::Result<()> {
        let file = configure(self.folder.path(), name, sections, &admin)?;
        let mut arguments = vec![role, "--config", &file];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let process = Process::start(name, &arguments, self.folder.path())?;
        // In front of those that it needs: it ends before them.
        self.processes.insert(0, process);
        let process = &mut self.processes[0];
        let ready = async {
            loop {
                process.check()?;
                let answer = admin::get(host, &admin, "/readyz").await;
                if answer.is_ok_and(|answer| answer.status == 200) {
                    return anyhow::Ok(());
                }
                sleep(LOOK).await;
            }
        };
        timeout(START_TIMEOUT, ready)
            .await
            .with_context(|| format!("{name} was not ready within {START_TIMEOUT:?}"))?
    }
}

fn configure(folder: &Path, name: &str, sections: &str, admin: &str) -> anyhow::Result<String> {
    let file = folder.join(format!("{name}.toml"));
    fs::write(&file, format!("[admin]\nlisten = '{admin}'\n{sections}"))?;
    Ok(file.to_str().context("the current folder's name is not UTF-8")?.to_owned())
}

/// Addresses that nobody else takes.
struct Ports {
    own: Ipv4Addr,
    next: u16,
}

impl Default for Ports {
    fn default() -> Self {
        // A process id has 22 bits; the client's sources begin above.
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        Self { own: Ipv4Addr::new(127, high + 1, middle, low), next: FIRST_PORT }
    }
}

impl Ports {
    fn next(&mut self) -> String {
        self.next += 1;
        SocketAddr::from((self.own, self.next)).to_string()
    }
}

mod ready {
    //! The line that `orrery dev --json` prints when it is ready.

    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Ready {
        addresses: Listeners,
    }

    #[derive(Debug, Deserialize)]
    struct Listeners {
        #[serde(rename = "comet.tcp_listen")]
        tcp: String,
        #[serde(rename = "comet.websocket_listen")]
        websocket: String,
        #[serde(rename = "logic.grpc_listen")]
        grpc: String,
        #[serde(rename = "logic.http_listen")]
        http: String,
    }

    pub(super) fn read(line: &str) -> serde_json::Result<super::Addresses> {
        let Ready { addresses: Listeners { tcp, websocket, grpc, http } } =
            serde_json::from_str(line)?;
        let (tcp, websocket) = (vec![tcp], vec![websocket]);
        Ok(super::Addresses { tcp, websocket, trusted: None, grpc, http })
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn addresses_are_found_among_the_others() {
            let line = r#"{"addresses":{"admin.listen":"a:1","comet.tcp_listen":"a:2",
                "comet.websocket_listen":"a:3","logic.grpc_listen":"a:4","logic.http_listen":"a:5"},
                "ready_ms":421}"#;
            let read = super::read(line).unwrap();
            assert_eq!(
                (read.tcp, read.websocket),
                (vec!["a:2".to_owned()], vec!["a:3".to_owned()])
            );
            assert_eq!((read.grpc.as_str(), read.http.as_str()), ("a:4", "a:5"));
            assert!(super::read(r#"{"addresses":{"comet.tcp_listen":"a:2"}}"#).is_err());
        }
    }
}
