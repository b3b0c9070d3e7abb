//! Nodes: which comets a device is advised to connect to, weighted as goim does it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::comets::Living;
use crate::config::NodesConfig;
use crate::limits::NODES_MAX;
use crate::online::Online;

/// Bounds of a node's weight, goim's.
const WEIGHT_MIN: i64 = 1;
const WEIGHT_MAX: i64 = 1 << 20;

/// What a device is advised of, best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    /// Host names with the configured domain.
    pub(crate) domains: Vec<String>,
    /// Public addresses.
    pub(crate) addresses: Vec<String>,
}

/// Advises devices. Each advice counts as a connection of the first node until the next census, so that
/// a rush of devices is spread.
#[derive(Debug, Default)]
pub(crate) struct Nodes(Mutex<Advised>);

#[derive(Debug, Default)]
struct Advised {
    /// The census that `advised` is counted since.
    census: u64,
    advised: BTreeMap<String, u64>,
}

impl Nodes {
    /// The best nodes now.
    pub(crate) fn advise<'a>(
        &self,
        living: impl Iterator<Item = &'a Living>,
        online: &Online,
        config: &NodesConfig,
    ) -> Advice {
        let census = online.census();
        let living: Vec<&Living> = living.collect();
        let mut advised = self.0.lock();
        if advised.census != census.number {
            *advised = Advised { census: census.number, advised: BTreeMap::new() };
        }
        let node = |living: &&Living| {
            let id = &living.comet.comet.id;
            let counted =
                census.connections_of(id) + advised.advised.get(id.as_str()).unwrap_or(&0);
            let region = &living.comet.advertise.region;
            let near = !config.region.is_empty() && *region == config.region;
            Node {
                fixed: i64::from(living.comet.advertise.weight.max(1)),
                gain: if near { config.region_weight } else { 1.0 },
                connections: i64::try_from(counted).unwrap_or(i64::MAX / 4),
            }
        };
        let nodes: Vec<Node> = living.iter().map(node).collect();
        let weights = weigh(&nodes);
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_by_key(|index| Reverse(weights[*index]));
        if let Some(best) = order.first() {
            let id = living[*best].comet.comet.id.to_string();
            *advised.advised.entry(id).or_default() += 1;
        }
        let best = order.iter().take(NODES_MAX).map(|index| &living[*index].comet.advertise);
        let mut advice = Advice::default();
        for advertise in best {
            advice.domains.push(format!("{}{}", advertise.hostname, config.host_domain));
            advice.addresses.extend(advertise.addresses.iter().cloned());
        }
        advice
    }
}

/// A node on the scales.
#[derive(Debug, Clone, Copy)]
struct Node {
    fixed: i64,
    gain: f64,
    connections: i64,
}

/// The weight of each node: its share of the weights against half its share of the connections, on
/// the scale of all connections; 0 for all while there are none.
fn weigh(nodes: &[Node]) -> Vec<i64> {
    let total_weight: i64 = nodes.iter().map(|node| node.fixed).sum();
    let total: i64 = nodes.iter().map(|node| node.connections).sum();
    nodes.iter().map(|node| if total > 0 { weight(node, total_weight, total) } else { 0 }).collect()
}

fn weight(node: &Node, total_weight: i64, total: i64) -> i64 {
    let fixed = node.fixed as f64 * node.gain;
    let total_weight = total_weight + (fixed as i64 - node.fixed);
    let diff = fixed / total_weight as f64 - node.connections as f64 / total as f64 * 0.5;
    let scaled = diff * total as f64;
    // Halves go down, as goim's do.
    let rounded = if scaled - scaled.floor() <= 0.5 { scaled.floor() } else { scaled.ceil() };
    ((fixed + rounded) as i64).clamp(WEIGHT_MIN, WEIGHT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(nodes: &[(i64, f64, i64)]) -> Vec<Node> {
        let node = |&(fixed, gain, connections)| Node { fixed, gain, connections };
        nodes.iter().map(node).collect()
    }

    #[test]
    fn without_connections_nobody_weighs_anything() {
        assert_eq!(weigh(&nodes(&[(10, 1.0, 0), (20, 1.0, 0)])), [0, 0]);
        assert!(weigh(&[]).is_empty());
    }

    #[test]
    fn equal_weights_prefer_the_emptier_node() {
        // 10 + (1/2 - 0.5 * 30/100) * 100 = 45; 10 + (1/2 - 0.5 * 70/100) * 100 = 25.
        assert_eq!(weigh(&nodes(&[(10, 1.0, 30), (10, 1.0, 70)])), [45, 25]);
    }

    #[test]
    fn halves_are_rounded_down_and_more_than_halves_up() {
        // (1/2 - 0.5 * 1/1) * 1 = 0 and (1/2 - 0) * 1 = 0.5, which goes down.
        assert_eq!(weigh(&nodes(&[(1, 1.0, 1), (1, 1.0, 0)])), [1, 1]);
        // (1/3 - 0.5 * 1/5) * 5 = 1.17 goes down; (2/3 - 0.5 * 4/5) * 5 = 1.33 goes down.
        assert_eq!(weigh(&nodes(&[(1, 1.0, 1), (2, 1.0, 4)])), [2, 3]);
        // (1/3 - 0.5 * 0/5) * 5 = 1.67 goes up; (2/3 - 0.5 * 5/5) * 5 = 0.83 goes up.
        assert_eq!(weigh(&nodes(&[(1, 1.0, 0), (2, 1.0, 5)])), [3, 3]);
    }

    #[test]
    fn a_gain_raises_a_node_and_weights_stay_within_bounds() {
        // fixed 16, total 26: (16/26 - 0.25) * 10 = 3.65; the other: (10/20 - 0.25) * 10 = 2.5.
        assert_eq!(weigh(&nodes(&[(10, 1.6, 5), (10, 1.0, 5)])), [20, 12]);
        assert_eq!(weigh(&nodes(&[(1, 1.0, 1000), (1000, 1.0, 0)]))[0], 1);
        let many = weigh(&nodes(&[(1, 1.0, 0), (1, 1.0, 100_000_000)]));
        assert_eq!(many[0], WEIGHT_MAX);
    }
}
