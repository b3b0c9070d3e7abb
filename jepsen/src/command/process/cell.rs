//! Cell: one run of many: its seed, and what breaks it.

use serde_json::Value;

use crate::plan::{Family, Plan, processes, scenario};

/// Time without faults before those of a plan, beside what the plan has: where time is real writes are slow, and
/// before anything breaks every shard shall have acknowledged some.
const SETTLE_MS: u64 = 8_000;

/// One run of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) seed: u64,
    /// A plan that has a name.
    pub(super) scenario: Option<String>,
    /// Families of faults; those that the seed draws where none is named.
    pub(super) families: Vec<Family>,
}

impl Cell {
    /// Where it keeps what it writes.
    pub(super) fn name(&self) -> String {
        let what = match &self.scenario {
            Some(scenario) => scenario.clone(),
            None if self.families.is_empty() => "drawn".to_owned(),
            None => words(&self.families).join("-"),
        };
        format!("{what}-{}", self.seed)
    }

    /// What happens in it.
    pub(super) fn plan(&self, seconds: u64, without: &[u32]) -> Plan {
        let mut plan = processes::plan(self.seed, seconds * 1_000, &self.families);
        if let Some(scenario) = self.scenario.as_deref().and_then(scenario::named) {
            plan = scenario.over(plan);
        }
        plan.swarm.main_ms += SETTLE_MS;
        plan.faults.iter_mut().for_each(|fault| fault.at_ms += SETTLE_MS);
        plan.without(without)
    }

    /// Families of which a fault must have been installed: a short run may have had no time for one.
    pub(super) fn required(&self, plan: &Plan) -> Vec<String> {
        let required = match self.scenario.as_deref().and_then(scenario::named) {
            Some(scenario) => scenario.families.to_vec(),
            None => self.families.clone(),
        };
        plan.required_faults(&required)
    }
}

/// Every scenario, every family alone, some that make each other worse, and what seeds draw.
pub(super) fn matrix(seed: u64) -> Cell {
    let scenarios = scenario::ALL.iter().map(|one| (Some(one.name.to_owned()), Vec::new()));
    let alone = Family::ALL.iter().map(|one| (None, vec![*one]));
    let together = [
        vec![Family::Kill, Family::Partition, Family::Admin],
        vec![Family::Power, Family::Disk, Family::Kill],
        vec![Family::Pause, Family::Clock, Family::Network],
        vec![],
        vec![],
        Family::ALL.to_vec(),
    ];
    let mut all = scenarios.chain(alone).chain(together.map(|families| (None, families)));
    let many = all.clone().count() as u64;
    let at = usize::try_from(seed % many).unwrap_or(0);
    let (scenario, families) = all.nth(at).unwrap_or_default();
    Cell { seed, scenario, families }
}

/// The family of a name.
pub(super) fn family(name: &str) -> Result<Family, String> {
    serde_json::from_value(Value::String(name.to_owned()))
        .map_err(|_| format!("there is no family {name}"))
}

/// Families in words.
pub(super) fn words<'a>(families: impl IntoIterator<Item = &'a Family>) -> Vec<String> {
    families.into_iter().map(|one| one.word()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_has_every_scenario_and_every_family() {
        let cells: Vec<Cell> = (0..40).map(matrix).collect();
        for scenario in scenario::ALL {
            assert!(cells.iter().any(|cell| cell.scenario.as_deref() == Some(scenario.name)));
        }
        for family in Family::ALL {
            assert!(cells.iter().any(|cell| cell.families == [family]), "{family:?}");
        }
        assert_eq!(matrix(3), matrix(3));
    }

    #[test]
    fn nothing_breaks_before_shards_have_settled() {
        for cell in (0..40).map(matrix) {
            let plan = cell.plan(30, &[]);
            assert!(plan.faults.iter().all(|fault| fault.at_ms >= SETTLE_MS), "{}", cell.name());
            assert!(!plan.faults.is_empty(), "{}", cell.name());
        }
    }

    #[test]
    fn no_two_runs_of_a_matrix_write_into_one_folder() {
        let names: std::collections::BTreeSet<String> =
            (1..=100).map(|seed| matrix(seed).name()).collect();
        assert_eq!(names.len(), 100);
    }

    #[test]
    fn families_are_told_by_their_names() {
        assert_eq!(family("power"), Ok(Family::Power));
        assert!(family("powder").is_err());
        for one in Family::ALL {
            assert_eq!(family(&one.word()), Ok(one));
        }
    }
}
