//! Config text: what each binary is told, as TOML.

use std::fmt::Write as _;
use std::path::Path;

use super::topology::{Place, Role};
use crate::plan::edge::HEARTBEATS_MAX;
use crate::plan::{Edge, Swarm};

/// Bytes of a router's disk that it keeps free: a disk of the harness is small.
const DISK_RESERVE_BYTES: u64 = 24 << 20;

/// What a node's configuration says besides where it listens. It may differ from node to node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tuning {
    heartbeat_ms: u64,
    election_ms_min: u64,
    election_ms_max: u64,
    lease_ms: u64,
    snapshot_log_entries: u64,
    log_keep_entries: u64,
    filter: &'static str,
    edge: Edge,
}

impl Tuning {
    /// What the plan says.
    pub(crate) fn of(swarm: &Swarm) -> Self {
        Self {
            heartbeat_ms: swarm.heartbeat_ms,
            election_ms_min: swarm.election_ms_min,
            election_ms_max: swarm.election_ms_max,
            lease_ms: swarm.lease_ms,
            snapshot_log_entries: swarm.snapshot_log_entries,
            log_keep_entries: swarm.log_keep_entries,
            filter: "info,openraft=error,raft_engine=warn,sled=warn,h2=warn,hyper=warn",
            edge: swarm.edge.clone(),
        }
    }

    /// The same cluster under an operator who changes one node after the other.
    pub(crate) fn changed(&self, step: u64) -> Self {
        let mut changed = self.clone();
        match step % 3 {
            0 => changed.heartbeat_ms = self.heartbeat_ms * 3 / 2,
            1 => {
                changed.snapshot_log_entries = self.snapshot_log_entries / 2 + 10;
                changed.log_keep_entries = self.log_keep_entries / 2;
            }
            _ => changed.filter = "warn,orrery=debug",
        }
        changed
    }
}

/// Whom a node must know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Registries of the routers that founded the cluster.
    pub(crate) routers: Vec<String>,
    /// Edge services of all logics.
    pub(crate) logics: Vec<String>,
}

/// A node's configuration.
pub(crate) fn text(
    place: &Place,
    node: u64,
    data: &Path,
    known: &Known,
    tuning: &Tuning,
) -> String {
    let mut text = format!(
        "insecure = true\n\n[admin]\nlisten = \"{}\"\n\n[telemetry]\nfilter = \"{}\"\n\n",
        place.admin(),
        tuning.filter
    );
    // Writing to a text cannot fail.
    let _ = match place.role {
        Role::Router => write!(
            text,
            "[store]\npath = {data:?}\n\n[router]\nnode_id = {node}\nregistry_listen = \"{}\"\n\
             peers_listen = \"{}\"\ndisk_reserve_bytes = {DISK_RESERVE_BYTES}\nlease_ms = {}\n\
             keep_alive_ms = {}\nsnapshot_log_entries = {}\nlog_keep_entries = {}\n\
             purge_batch_entries = 20\nheartbeat_ms = {}\nelection_ms_min = {}\n\
             election_ms_max = {}\n",
            place.registry(),
            place.peers(),
            tuning.lease_ms,
            tuning.lease_ms / 5,
            tuning.snapshot_log_entries,
            tuning.log_keep_entries,
            tuning.heartbeat_ms,
            tuning.election_ms_min,
            tuning.election_ms_max,
        ),
        Role::Logic => write!(
            text,
            "[logic]\nhttp_listen = \"{}\"\ngrpc_listen = \"{}\"\nedge_listen = \"{}\"\n\
             routers = {:?}\nauth = \"open\"\nheartbeat_ms = {}\nheartbeats_max = {}\n",
            place.http(),
            place.grpc(),
            place.edge(),
            known.routers,
            tuning.edge.heartbeat_ms,
            HEARTBEATS_MAX,
        ),
        Role::Comet => write!(
            text,
            "[comet]\nid = \"{}\"\ntcp_listen = \"{}\"\nwebsocket_listen = \"{}\"\n\
             delivery_listen = \"{}\"\nlogic = {:?}\nworkers = 1\naudit_ms = {}\n\
             room_linger_ms = {}\noutbox_frames = {}\n",
            place.name,
            place.tcp(),
            place.websocket(),
            place.delivery(),
            known.logics,
            tuning.edge.audit_ms,
            tuning.edge.room_linger_ms,
            tuning.edge.outbox_frames,
        ),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(role: Role) -> Place {
        let name = format!("{}-1", role.word());
        Place { name, role, address: [10, 7, 3, 2].into() }
    }

    #[test]
    fn each_role_listens_on_its_own_address_and_knows_the_others() {
        let tuning = Tuning::of(&Swarm::of(1));
        let known =
            Known { routers: vec!["10.7.3.5:3121".into()], logics: vec!["10.7.3.6:3118".into()] };
        let of = |role| text(&place(role), 7, Path::new("/disk/data"), &known, &tuning);
        let router = of(Role::Router);
        assert!(router.contains("node_id = 7\n"), "{router}");
        assert!(router.contains("path = \"/disk/data\""), "{router}");
        assert!(router.contains("registry_listen = \"10.7.3.2:3121\""), "{router}");
        assert!(of(Role::Logic).contains("routers = [\"10.7.3.5:3121\"]"));
        assert!(of(Role::Comet).contains("logic = [\"10.7.3.6:3118\"]"));
    }

    #[test]
    fn a_router_takes_what_it_is_told() {
        let mut tuning = Tuning::of(&Swarm::of(3));
        for step in 0..3 {
            let changed = tuning.changed(step);
            assert_ne!(changed, tuning, "step {step}");
            assert!(changed.election_ms_min > 2 * changed.heartbeat_ms, "the router refuses that");
        }
        (tuning.heartbeat_ms, tuning.election_ms_min) = (100, 400);
        assert_eq!(tuning.changed(0).heartbeat_ms, 150);
    }
}
