//! Faults that need to know the hosts, or that come at a moment.

use std::time::Duration;

use cairn_simhost::{SimCloud, SimHost};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::behaviour::{Behaviour, FaultKind, FaultRule, Hosts, TimedEvent};

/// Hosts are looked for this often until there are some.
const LOOK: Duration = Duration::from_millis(200);
/// How long a host that loses its VMs is away.
const AWAY: Duration = Duration::from_secs(1);

/// Lets the faults happen; never returns.
pub async fn run(cloud: &SimCloud, behaviour: &Behaviour, seed: u64) {
    join_all(behaviour.faults.iter().map(|rule| one(cloud, rule, seed))).await;
    std::future::pending().await
}

async fn one(cloud: &SimCloud, rule: &FaultRule, seed: u64) {
    match &rule.kind {
        FaultKind::Timed { event, after, until } => {
            sleep(*after).await;
            let hosts = hosts(cloud, &rule.hosts, seed).await;
            tracing::info!(?event, hosts = hosts.len(), "{event:?} begins on {} hosts", hosts.len());
            happen(*event, &hosts, *until).await;
        }
        kind => {
            if matches!(rule.hosts, Hosts::Share(_)) {
                hosts(cloud, &rule.hosts, seed).await.iter().for_each(|h| kind.set(h));
            }
        }
    }
}

/// The hosts that a rule is about, once there are any.
async fn hosts(cloud: &SimCloud, wanted: &Hosts, seed: u64) -> Vec<SimHost> {
    let all = loop {
        let all = match wanted {
            Hosts::Named(uuids) => uuids.clone(),
            Hosts::All | Hosts::Share(_) => cloud.host_uuids(),
        };
        if !all.is_empty() {
            break all;
        }
        sleep(LOOK).await;
    };
    let share = if let Hosts::Share(share) = wanted { *share } else { 1.0 };
    all.iter().filter(|uuid| share >= 1.0 || lot(uuid, seed) < share).map(|uuid| cloud.host(uuid)).collect()
}

/// A fraction that the same host draws each time with the same seed.
fn lot(uuid: &str, seed: u64) -> f64 {
    // FNV-1a, then a mix, since uuids made together differ in few bits.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
    for byte in uuid.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from(u32::try_from(hash >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

async fn happen(event: TimedEvent, hosts: &[SimHost], until: Option<Duration>) {
    let begin: fn(&SimHost) = match event {
        TimedEvent::Silence => |h| h.silence(true),
        TimedEvent::Vanish => SimHost::vanish,
        TimedEvent::Hypervisor => SimHost::fail_hypervisor,
        TimedEvent::LoseVms => |h| {
            h.vanish();
            h.vms().keys().for_each(|vm| h.lose_vm(vm));
        },
    };
    let end: fn(&SimHost) = match event {
        TimedEvent::Silence => |h| h.silence(false),
        TimedEvent::Vanish | TimedEvent::Hypervisor | TimedEvent::LoseVms => SimHost::recover,
    };
    hosts.iter().for_each(begin);
    let until = if event == TimedEvent::LoseVms { Some(until.unwrap_or(AWAY)) } else { until };
    if let Some(until) = until {
        sleep(until).await;
        hosts.iter().for_each(end);
        tracing::info!(?event, hosts = hosts.len(), "{event:?} ends");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bey_07_a_share_of_the_hosts_is_the_same_for_the_same_seed() {
        let uuids: Vec<String> = (0..10_000).map(|n| format!("019ad0000000700080000000{n:08x}")).collect();
        let draw = |seed| uuids.iter().filter(|u| lot(u, seed) < 0.1).cloned().collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!((850..1150).contains(&draw(3).len()), "{}", draw(3).len());
    }
}
