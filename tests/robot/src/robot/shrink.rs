//! Makes a failing list as short as it gets (delta debugging): parts are left out as long as it still fails in the same way.

use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::op::{Deed, Op};
use super::play::try_out;
use crate::rig::Terms;

/// Whether a list still fails.
type Verdict = Pin<Box<dyn Future<Output = Result<bool>> + Send>>;

/// What sort of failure it is: the text without uuids and numbers.
pub fn sort(line: &str) -> String {
    let words = line.split_whitespace().take(12);
    let plain = words.filter(|w| !w.chars().any(|c| c.is_ascii_digit()));
    plain.collect::<Vec<_>>().join(" ")
}

/// The shortest list found within the time that still fails like this. Each try is a server of its own.
pub async fn shrink(terms: &Terms, ops: &[Op], line: &str, time: Duration) -> Result<Vec<Op>> {
    let (wanted, end) = (sort(line), Instant::now() + time);
    let terms = terms.clone();
    let fails = move |list: Vec<Op>| -> Verdict {
        let (wanted, terms) = (wanted.clone(), terms.clone());
        Box::pin(async move {
            let played = try_out(&terms, &list).await?;
            Ok(played.violations.iter().any(|l| sort(l) == wanted))
        })
    };
    minimal(ops, end, fails).await
}

/// Leaves out ever smaller parts. The last operation, the check, stays.
async fn minimal(
    ops: &[Op],
    end: Instant,
    mut fails: impl FnMut(Vec<Op>) -> Verdict + Send,
) -> Result<Vec<Op>> {
    let (mut list, check) = match ops.split_last() {
        Some((check, rest)) => (rest.to_vec(), check.clone()),
        None => return Ok(Vec::new()),
    };
    // Checks between are most often not needed.
    let without: Vec<Op> = list.iter().filter(|o| o.deed != Deed::Check).cloned().collect();
    if fails(whole(&without, &check)).await? {
        list = without;
    }
    let mut size = list.len().div_ceil(2);
    while size > 0 && Instant::now() < end {
        let (mut at, mut has_shrunk) = (0, false);
        while at < list.len() && Instant::now() < end {
            let mut shorter = list.clone();
            shorter.drain(at..(at + size).min(list.len()));
            if fails(whole(&shorter, &check)).await? {
                list = shorter;
                has_shrunk = true;
            } else {
                at += size;
            }
        }
        if size == 1 && !has_shrunk {
            break;
        }
        size = if size == 1 { 1 } else { size.div_ceil(2) };
    }
    Ok(whole(&list, &check))
}

fn whole(list: &[Op], check: &Op) -> Vec<Op> {
    list.iter().chain([check]).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::dice::Dice;
    use super::*;

    fn op(n: usize) -> Op {
        Op { n, client: 1, deed: Deed::Kill { after_ms: n as u64 } }
    }

    #[tokio::test]
    async fn bey_03_a_failing_list_shrinks_to_what_makes_it_fail() {
        let mut ops: Vec<Op> = (0..200).map(op).collect();
        ops.push(Op { n: 200, client: 0, deed: Deed::Check });
        // It fails when 17 comes before 144.
        let mut tries = 0;
        let fails = |list: Vec<Op>| -> Verdict {
            tries += 1;
            let at = |n: usize| list.iter().position(|o| o.n == n);
            let is_bad = at(17).is_some_and(|a| at(144).is_some_and(|b| a < b));
            Box::pin(async move { Ok(is_bad) })
        };
        let end = Instant::now() + Duration::from_secs(60);
        let least = minimal(&ops, end, fails).await.unwrap();
        assert_eq!(least.iter().map(|o| o.n).collect::<Vec<_>>(), [17, 144, 200]);
        assert!(tries < 100, "{tries} tries");
    }

    const ACTIONS: [&str; 6] = [
        "StartVmInstance",
        "StopVmInstance",
        "RebootVmInstance",
        "UpdateVmInstance",
        "PauseVmInstance",
        "DestroyVmInstance",
    ];

    /// Random calls over a few VMs, with kills and checks in between, and a check at the end.
    fn random_list(dice: &mut Dice, vms: &[String], count: usize) -> Vec<Op> {
        let mut deed = |n: usize| match dice.below(20) {
            0 => Deed::Kill { after_ms: n as u64 },
            1 => Deed::Check,
            _ => {
                let vm = &vms[dice.below(vms.len())];
                let (action, job) = (dice.one(&ACTIONS), dice.uuid());
                let params = json!({ "uuid": vm });
                Deed::Call { who: "admin".into(), action: action.into(), params, job, plan: false }
            }
        };
        let mut ops: Vec<Op> = (0..count).map(|n| Op { n, client: 1 + n % 6, deed: deed(n) }).collect();
        ops.push(Op { n: count, client: 0, deed: Deed::Check });
        ops
    }

    fn call(op: &Op) -> Option<(&str, &str)> {
        match &op.deed {
            Deed::Call { action, params, .. } => Some((action, params["uuid"].as_str()?)),
            _ => None,
        }
    }

    /// The planted defect: a VM was rebooted and some time later destroyed, with whatever in between.
    fn is_bad(list: &[Op]) -> bool {
        let mut rebooted = BTreeSet::new();
        list.iter().filter_map(call).any(|(action, vm)| match action {
            "RebootVmInstance" => {
                rebooted.insert(vm);
                false
            }
            "DestroyVmInstance" => rebooted.contains(vm),
            _ => false,
        })
    }

    #[tokio::test]
    async fn bey_03_a_defect_that_needs_two_operations_on_one_resource_shrinks_to_these_two() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let vms: Vec<String> = (0..8).map(|_| dice.uuid()).collect();
            let ops = random_list(&mut dice, &vms, 300);
            assert!(is_bad(&ops), "seed {seed}: the list does not fail");
            let mut tries = 0;
            let fails = |list: Vec<Op>| -> Verdict {
                tries += 1;
                assert_eq!(list.last(), ops.last(), "the check at the end stays");
                let bad = is_bad(&list);
                Box::pin(async move { Ok(bad) })
            };
            let end = Instant::now() + Duration::from_secs(60);
            let least = minimal(&ops, end, fails).await.unwrap();
            let calls: Vec<(&str, &str)> = least.iter().filter_map(call).collect();
            assert_eq!(least.len(), 3, "seed {seed}: two operations and the check: {least:#?}");
            let [(first, rebooted), (second, destroyed)] = calls[..] else { panic!("{least:#?}") };
            assert_eq!((first, second), ("RebootVmInstance", "DestroyVmInstance"));
            assert_eq!(rebooted, destroyed, "seed {seed}: of one VM");
            assert!(least.is_sorted_by_key(|o| o.n) && least.iter().all(|o| ops.contains(o)), "{least:#?}");
            assert!(tries < 300, "seed {seed}: {tries} tries");
        }
    }

    #[tokio::test]
    async fn bey_03_a_list_that_is_not_made_shorter_in_time_still_fails() {
        let mut dice = Dice::new(5);
        let vms = [dice.uuid(), dice.uuid()];
        let ops = random_list(&mut dice, &vms, 300);
        let fails = |list: Vec<Op>| -> Verdict {
            let bad = is_bad(&list);
            Box::pin(async move { Ok(bad) })
        };
        let least = minimal(&ops, Instant::now(), fails).await.unwrap();
        assert!(is_bad(&least) && least.len() <= ops.len());
    }

    #[test]
    fn failures_of_one_sort_have_the_same_text_without_uuids() {
        let (a, b) = ("volume 01a2 has a file and no row", "volume 77ff0 has a file and no row");
        assert_eq!(sort(a), sort(b));
        assert_ne!(sort(a), sort("volume 01a2 has a row and no file"));
    }
}
