use cairn_types::state::VmState;

use super::*;

#[test]
fn capacity_counts_the_states_that_hold_it() {
    for state in VmState::ALL {
        let counted = HOLDING_STATES.contains(&format!("'{}'", state.as_str()));
        assert_eq!(counted, state.holds_capacity(), "{state}");
    }
}

#[test]
fn names_are_unique_and_joins_lead_to_listed_resources() {
    for (n, resource) in ALL.iter().enumerate() {
        assert!(ALL[..n].iter().all(|r| r.inventory != resource.inventory), "{} twice", resource.inventory);
        assert!(!resource.class.is_empty(), "{} has no class", resource.inventory);
        for join in resource.joins() {
            assert!(find(join.to.inventory).is_some(), "{}.{}", resource.inventory, join.name);
        }
        let mut names: Vec<&str> =
            resource.fields().map(|f| f.name).chain(resource.lists().map(|l| l.name)).collect();
        names.extend(resource.nested().map(|x| x.name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{} has a field twice", resource.inventory);
    }
}

#[test]
fn resources_are_found_by_every_name() {
    assert_eq!(find("VmInstanceInventory").map(|r| r.table), Some("vm_instance"));
    assert_eq!(find_by_name("vminstance").map(|r| r.table), Some("vm_instance"));
    assert_eq!(find_by_entity("HostVO").map(|r| r.inventory), Some("HostInventory"));
    assert!(find_by_name("nothing").is_none());
}
