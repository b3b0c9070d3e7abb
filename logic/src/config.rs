//! Config: what an operator can say about this service.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of a logic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where backends speak HTTP (`/v1/…` and goim's paths). Default 127.0.0.1:3111; port 0 takes a
    /// free one.
    pub http_listen: SocketAddr,
    /// Where backends speak gRPC. Default 127.0.0.1:3119.
    pub grpc_listen: SocketAddr,
    /// Where comets speak gRPC. Default 127.0.0.1:3118.
    pub edge_listen: SocketAddr,
    /// `host:port` of the registry service of some router nodes; the rest are learned from them.
    /// Default 127.0.0.1:3121.
    pub routers: Vec<String>,
    /// How devices are authenticated. Default `closed`: nobody gets in until this is chosen.
    pub auth: AuthMode,
    /// How long a push may take where the caller does not say, in milliseconds. Default 3000: a comet
    /// that has not answered by then has most likely lost its network.
    pub push_timeout_ms: u64,
    /// The longest a caller may make a push last, in milliseconds. Default 30000.
    pub push_timeout_ms_max: u64,
    /// Most addresses that pushes in flight may name together; more are refused with
    /// `RESOURCE_EXHAUSTED`. Default 65536: above it memory goes before throughput grows.
    pub addresses_in_flight_max: u32,
    /// Most bytes that the bodies of pushes in flight may have together; more are refused with
    /// `RESOURCE_EXHAUSTED`. Default 256 MiB.
    pub body_bytes_in_flight_max: u32,
    /// How often devices should send a heartbeat, in milliseconds. Default 240000, as goim's example.
    pub heartbeat_ms: u32,
    /// How many heartbeats a device may miss before it is closed. Default 2, as goim's example.
    pub heartbeats_max: u32,
    /// How often the comets are counted, in milliseconds. Default 10000, as goim.
    pub census_ms: u64,
    /// How often the list of living comets is refreshed, in milliseconds. Default 2000. A comet that
    /// is not on it yet is looked for when a route names it.
    pub comets_ms: u64,
    /// What devices are told about where to connect.
    pub nodes: NodesConfig,
}

/// How devices are authenticated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Every device is refused, and told why.
    #[default]
    Closed,
    /// Every device is whoever it claims to be. For development only.
    Open,
}

/// What `/goim/nodes/weighted` tells devices. Fields that are 0 or empty are left out of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodesConfig {
    /// Name under which comets can be reached when none is known. Default `localhost`.
    pub domain: String,
    /// What is appended to a comet's host name for browsers. Default empty.
    pub host_domain: String,
    /// Port of the comets' TCP listener. Default 3101.
    pub tcp_port: u16,
    /// Port of the comets' WebSocket listener. Default 3102.
    pub ws_port: u16,
    /// Port of the comets' secure WebSocket listener. Default 0: there is none.
    pub wss_port: u16,
    /// This logic's region; comets in it are preferred by `region_weight`. Default empty: none is.
    pub region: String,
    /// By how much comets in this logic's region weigh more. Default 1.6, as goim's example.
    pub region_weight: f64,
    /// How devices should pace their reconnects.
    pub backoff: BackoffConfig,
}

/// How devices should pace their reconnects; goim's words and defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackoffConfig {
    /// Longest pause, in seconds. Default 300.
    pub max_delay: i32,
    /// First pause, in seconds. Default 3.
    pub base_delay: i32,
    /// By how much each pause is longer than the last. Default 1.8.
    pub factor: f32,
    /// Share of a pause that is drawn at random. Default 0.3.
    pub jitter: f32,
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            http_listen: local(3111),
            grpc_listen: local(3119),
            edge_listen: local(3118),
            routers: vec!["127.0.0.1:3121".to_owned()],
            auth: AuthMode::Closed,
            push_timeout_ms: 3_000,
            push_timeout_ms_max: 30_000,
            addresses_in_flight_max: 65_536,
            body_bytes_in_flight_max: 256 << 20,
            heartbeat_ms: 240_000,
            heartbeats_max: 2,
            census_ms: 10_000,
            comets_ms: 2_000,
            nodes: NodesConfig::default(),
        }
    }
}

impl Default for NodesConfig {
    fn default() -> Self {
        Self {
            domain: "localhost".to_owned(),
            host_domain: String::new(),
            tcp_port: 3101,
            ws_port: 3102,
            wss_port: 0,
            region: String::new(),
            region_weight: 1.6,
            backoff: BackoffConfig::default(),
        }
    }
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self { max_delay: 300, base_delay: 3, factor: 1.8, jitter: 0.3 }
    }
}

impl Config {
    /// Refuses values that no logic could run with.
    ///
    /// # Errors
    /// [`StartError::Config`](crate::StartError::Config) naming the key.
    pub fn check(&self) -> Result<(), crate::StartError> {
        crate::server::check(self)
    }

    /// How long a push may take, given what its caller allows.
    pub(crate) fn push_timeout(&self, caller: Option<Duration>) -> Duration {
        let max = Duration::from_millis(self.push_timeout_ms_max);
        let own = Duration::from_millis(self.push_timeout_ms);
        let timeout = caller.unwrap_or(own).min(max);
        timeout - (timeout / 10).min(crate::limits::ANSWER_MARGIN_MAX)
    }

    /// How long a device may stay silent before it is closed, in milliseconds.
    pub(crate) fn heartbeat_max_ms(&self) -> u32 {
        self.heartbeat_ms.saturating_mul(self.heartbeats_max.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_shorten_and_lengthen_its_deadline_within_the_maximum() {
        let config = Config::default();
        let ms = |ms| Duration::from_millis(ms);
        assert_eq!(config.push_timeout(None), ms(2950));
        assert_eq!(config.push_timeout(Some(ms(100))), ms(90));
        assert_eq!(config.push_timeout(Some(ms(3_600_000))), ms(29_950));
        assert_eq!(config.heartbeat_max_ms(), 480_000);
    }
}
