//! Many simulated hosts in one call (BEY-07, OPS-15). Their agents live in other processes (`cairn-agent --simulate`), so that
//! they get certificates; each serves up to a thousand of the hosts over one connection.
//!
//! The hosts are there when the call is answered. Nothing has been seen of them then: they are Disconnected and say why.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cairn_api::ops::hardware::AddSimulatorHosts;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind, new_uuid, time};
use serde_json::{Value, json};

use super::{ENTITY, store};
use crate::agents::{Credentials, SERVER_NAME};
use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::rows;

type Host = Id<kind::Host>;

/// Why a host is not connected whose agent never was.
const NEVER_SEEN: &str =
    "no agent has dialled in for it yet; start cairn-agent --simulate with its credentials";

pub(in crate::hardware) fn handlers(h: &mut Handlers) {
    h.prepared(prepare, add);
}

/// What is made before the transaction.
struct Prepared {
    hosts: Vec<New>,
    agents: Vec<(String, Credentials)>,
    server: String,
}

/// One host that is to be.
struct New {
    uuid: Host,
    name: String,
    address: String,
}

async fn prepare(call: Call, op: AddSimulatorHosts) -> Result<Prepared> {
    let hosts = plan_hosts(&op)?;
    let count = hosts.chunks(per_agent(&op)).count();
    let app = call.app.clone();
    // Thousands of keys take their time.
    let work = move || {
        let issue = |_| {
            let agent = new_uuid();
            app.agents.authority().issue(&agent).map(|c| (agent, c))
        };
        let agents = (0..count).map(issue).collect::<Result<Vec<_>>>()?;
        Ok(Prepared { hosts, agents, server: app.agents.advertised("127.0.0.1") })
    };
    let stopped = |_| Fault::new(code::NOT_READY, "the server is stopping").retry();
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

fn per_agent(op: &AddSimulatorHosts) -> usize {
    usize::try_from(op.hosts_per_agent).unwrap_or(1).max(1)
}

/// Uuid, name and address of each.
fn plan_hosts(op: &AddSimulatorHosts) -> Result<Vec<New>> {
    let first = op.management_ip.as_deref().filter(|a| !a.is_empty()).map(parse_address).transpose()?;
    let one = |n: i64| {
        let uuid = Host::new();
        let address = match first {
            Some(first) => nth(first, n).ok_or_else(|| too_many(op))?,
            None => own_address(uuid),
        };
        Ok(New { uuid, name: name_of(&op.name, op.first_number + n), address: address.to_string() })
    };
    (0..op.count).map(one).collect()
}

fn parse_address(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| {
        let text = format!("parameter managementIp is {text:?}, which is no IP address to count up from");
        Fault::argument(text).with("parameter", "managementIp")
    })
}

fn too_many(op: &AddSimulatorHosts) -> Fault {
    let text = format!("there are not {} addresses from managementIp on; begin with a lower one", op.count);
    Fault::argument(text).with("parameter", "managementIp")
}

/// The address that many places behind the first.
fn nth(first: IpAddr, n: i64) -> Option<IpAddr> {
    match first {
        IpAddr::V4(first) => {
            let bits = u32::from(first).checked_add(u32::try_from(n).ok()?)?;
            Some(Ipv4Addr::from(bits).into())
        }
        IpAddr::V6(first) => {
            let bits = u128::from(first).checked_add(u128::try_from(n).ok()?)?;
            Some(Ipv6Addr::from(bits).into())
        }
    }
}

/// A unique local address (fd00::/8) out of the host's uuid, whose first byte does not change in centuries.
fn own_address(host: Host) -> IpAddr {
    let rest = host.as_u128() & ((1 << 120) - 1);
    Ipv6Addr::from(0xfd << 120 | rest).into()
}

fn name_of(pattern: &str, number: i64) -> String {
    if pattern.contains("{n}") {
        pattern.replace("{n}", &number.to_string())
    } else {
        format!("{pattern}{number}")
    }
}

fn add(call: &Call, tx: &mut dyn Tx, op: &AddSimulatorHosts, made: &Prepared) -> Result<Value> {
    let cluster: Id<kind::Cluster> = id("clusterUuid", &op.cluster_uuid)?;
    let zone = store::claim_cluster(tx, cluster, "Simulator")?;
    let uuids: Vec<Host> = made.hosts.iter().map(|h| h.uuid).collect();
    rows::register_all(tx, ENTITY, &uuids)?;
    let now = time::now_ms();
    for (agent, credentials) in &made.agents {
        let sql = "INSERT INTO agent (uuid, fingerprint, local, create_ms) VALUES (?, ?, 0, ?)";
        tx.execute(sql, params![agent, &credentials.fingerprint, now])?;
    }
    let reason = format!("{}: {NEVER_SEEN}", code::HOST_DISCONNECTED);
    for (hosts, (agent, _)) in made.hosts.chunks(per_agent(op)).zip(&made.agents) {
        for host in hosts {
            let sql = "INSERT INTO host (uuid, zone_uuid, cluster_uuid, name, description, management_ip, hypervisor_type, state,
                         status, status_reason, status_ms, agent_uuid, cpu_num, total_cpu, total_memory, create_ms, last_op_ms)
                       VALUES (?, ?, ?, ?, ?, ?, 'Simulator', 'Enabled', 'Disconnected', ?, ?, ?, ?, ?, ?, ?, ?)";
            let values = params![
                host.uuid,
                zone,
                cluster,
                &host.name,
                op.description.clone(),
                &host.address,
                &reason,
                now,
                agent,
                op.cpu_num,
                op.cpu_num,
                op.memory_size,
                now,
                now
            ];
            tx.execute(sql, values).map_err(|f| store::taken(f, &host.address))?;
        }
    }
    // A plan names nothing that works.
    Ok(if call.is_plan { json!({}) } else { answer(op, made) })
}

fn answer(op: &AddSimulatorHosts, made: &Prepared) -> Value {
    let agents = made.hosts.chunks(per_agent(op)).zip(&made.agents).map(|(hosts, (agent, credentials))| {
        json!({
            "uuid": agent, "hosts": hosts.len(), "cpuNum": op.cpu_num, "memorySize": op.memory_size,
            "certificate": credentials.certificate, "key": credentials.key,
        })
    });
    json!({
        "hostUuids": made.hosts.iter().map(|h| h.uuid.to_string()).collect::<Vec<_>>(),
        "agents": agents.collect::<Vec<_>>(),
        "ca": made.agents.first().map(|(_, c)| c.ca.as_str()),
        "server": made.server,
        "serverName": SERVER_NAME,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bey_07_names_and_addresses_count_up_and_end_where_there_are_no_more() {
        assert_eq!(name_of("rack-{n}.sim", 7), "rack-7.sim");
        assert_eq!(name_of("host", 12), "host12");
        let first: IpAddr = "10.0.0.254".parse().unwrap();
        assert_eq!(nth(first, 3).unwrap().to_string(), "10.0.1.1");
        assert_eq!(nth("255.255.255.255".parse().unwrap(), 1), None);
        assert_eq!(nth("fd00::ffff".parse().unwrap(), 1).unwrap().to_string(), "fd00::1:0");
    }

    #[test]
    fn bey_07_addresses_out_of_uuids_are_unique_and_local() {
        let all: std::collections::HashSet<IpAddr> = (0..10_000).map(|_| own_address(Host::new())).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|a| matches!(a, IpAddr::V6(a) if a.is_unique_local())));
    }
}
