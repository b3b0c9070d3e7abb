//! Own reads: a writer looks at what it has just written, as the same process.

use std::collections::BTreeSet;

use judge::history::{Locate, Op};
use orrery_model::{Route, Seq};
use rand::Rng as _;
use tokio::time::Instant;

use super::Writer;
use crate::recorder::Said;
use crate::workload::{READ_TIMEOUT, words};

/// Of so many acknowledged writes one is looked at.
const LOOK_ONE_IN: u32 = 10;

impl Writer {
    /// Looks at an address now and then. Connections that it does not show have lost their place, as somebody
    /// else's bind was told: half of the time this one closes them then.
    pub(super) async fn look(&mut self, key: &str) {
        if !self.chance.random_ratio(1, LOOK_ONE_IN) {
            return;
        }
        self.process.invoke(Some(key), Op::Locate(Locate::default()));
        let (address, deadline) = (words::address(key), Instant::now() + READ_TIMEOUT);
        let shard = self.bed.shard(&address);
        let located = match self.bed.client.locate(address, false, deadline).await {
            Ok(located) => located,
            Err(error) => return self.process.fail(error.to_string().as_str(), Said::default()),
        };
        let route = |route: &Route| words::route(&route.comet, route.conn.0, route.seq.0);
        let routes = Some(located.routes.iter().map(route).collect());
        let said = Said { shard, log_index: Some(located.log_index), ..Said::default() };
        self.process.ok(Op::Locate(Locate { stale: false, routes }), said);

        let of_others = |route: &&Route| Some(&route.comet) != self.life.as_ref();
        let other = located.routes.iter().find(of_others).map(|route| (key.to_owned(), route.seq));
        self.foreign = other.or(self.foreign.take());
        let shown: BTreeSet<Seq> = located.routes.iter().map(|route| route.seq).collect();
        if self.chance.random_bool(0.5) {
            let missing = self.living.extract_if(.., |one| one.is_missing(key, &shown));
            let missing: Vec<_> = missing.collect();
            missing.into_iter().for_each(|one| self.leave(one, Vec::new()));
        }
    }
}
