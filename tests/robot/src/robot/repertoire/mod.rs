//! What robots can do: a generator of parameters for every operation that changes something.

mod compute;
mod hardware;
mod identity;
mod maker;
mod network;
mod platform;
mod storage;
mod trouble;

use serde_json::Value;

pub use maker::{CLIENTS, Maker, generate};

/// One operation: its name, how often it is done beside others, and what makes its parameters. None: there is nothing now
/// to do it to.
pub struct Act {
    pub name: &'static str,
    pub weight: usize,
    pub make: fn(&mut Maker) -> Option<Value>,
}

const fn act(name: &'static str, weight: usize, make: fn(&mut Maker) -> Option<Value>) -> Act {
    Act { name, weight, make }
}

/// Everything that robots do.
pub fn acts() -> impl Iterator<Item = &'static Act> {
    [hardware::ACTS, storage::ACTS, network::ACTS, compute::ACTS, identity::ACTS, platform::ACTS]
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Operations that robots leave alone, and why.
    const LEFT_OUT: &[(&str, &str)] = &[
        ("AddKVMHost", "logs in to a machine by SSH; tests/lab does it"),
        ("AddLocalHost", "needs the agent of this machine; tests/lab does it"),
        ("AddImageStoreBackupStorage", "logs in to a machine by SSH; tests/lab does it"),
        ("AddLocalImageStore", "needs the agent of this machine; tests/lab does it"),
        ("UpdateImageStoreBackupStorage", "only for image stores that were added by SSH"),
        ("ReconnectImageStoreBackupStorage", "only for image stores that were added by SSH"),
        ("AbandonRun", "leaves things behind on purpose"),
        ("AddSimulatorHosts", "its hosts are served by cairn-agent --simulate, which robots do not start"),
    ];

    /// Operations that change something, are served, and are neither in the repertoire nor left out.
    fn unknown_acts() -> Vec<&'static str> {
        let known: BTreeSet<&str> = acts().map(|a| a.name).chain(LEFT_OUT.iter().map(|l| l.0)).collect();
        let handlers = cairn_server::handlers::Handlers::all();
        let served: BTreeSet<&'static str> = handlers.names().collect();
        let changing =
            served.into_iter().filter(|n| cairn_api::Operation::find(n).is_some_and(|o| o.changes()));
        changing.filter(|n| !known.contains(n)).collect()
    }

    #[test]
    fn bey_03_every_operation_that_changes_something_is_in_the_repertoire() {
        assert_eq!(unknown_acts(), Vec::<&str>::new());
        for name in acts().map(|a| a.name).chain(LEFT_OUT.iter().map(|l| l.0)) {
            assert!(cairn_api::Operation::find(name).is_some(), "there is no operation {name}");
        }
    }

    #[test]
    fn bey_03_the_same_seed_gives_the_same_operations_and_all_of_them_come() {
        let one = generate(7, 6000, 50, true);
        assert_eq!(one, generate(7, 6000, 50, true));
        assert_ne!(one, generate(8, 6000, 50, true));
        let done: BTreeSet<String> = one
            .iter()
            .filter_map(|o| match &o.deed {
                super::super::op::Deed::Call { action, .. } => Some(action.clone()),
                _ => None,
            })
            .collect();
        let never: Vec<&str> = acts().map(|a| a.name).filter(|n| !done.contains(*n)).collect();
        assert_eq!(never, Vec::<&str>::new());
    }
}
