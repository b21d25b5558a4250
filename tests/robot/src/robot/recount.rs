//! What the server sums up, against what this program counts in the rows; quotas against what is used of them; and what the
//! server keeps in memory against rows, as it compares them itself.

use std::collections::BTreeMap;

use anyhow::Result;
use cairn_api::settings;
use cairn_store::{Tx, params};
use cairn_testkit::Api;
use serde_json::{Value, json};

use super::check::{Memory, texts};
use crate::rig::Rig;

/// What was used of quotas and their limits, by account and name of the quota.
pub type Quotas = BTreeMap<(String, String), (i64, i64)>;

/// Rows that are counted here and by the server.
struct Rows {
    vms: Vec<Value>,
    accounts: Vec<String>,
    hosts: Vec<(String, i64, i64)>,
    networks: Vec<(String, i64)>,
    images: BTreeMap<String, i64>,
    /// Limits that accounts were given since the last check: account, quota, limit.
    limits: Vec<(String, String, i64)>,
}

/// One line for each sum that differs from a recount, each account that uses more than it may, and each thing in the server's
/// memory that is not what rows say; and what is used of quotas.
pub async fn recounted(rig: &Rig, admin: &Api, memory: &Memory) -> Result<(Vec<String>, Quotas)> {
    let since = memory.last_event();
    let rows = rig.look(move |tx| read(tx, since)).await?;
    let mut lines = Vec::new();
    compared(admin, &mut lines).await;
    hosts(admin, &rows, &mut lines).await;
    networks(admin, &rows, &mut lines).await;
    let used = quotas(admin, &rows, memory.quotas(), &mut lines).await;
    Ok((lines, used))
}

/// What VMs hold, by host or account, as this program counts it.
fn held(tx: &mut dyn Tx) -> cairn_types::Result<Vec<Value>> {
    let sql =
        "SELECT v.uuid, v.state, v.cpu_num, v.memory_size, v.host_uuid, r.account_uuid FROM vm_instance v
               LEFT JOIN resource r ON r.uuid = v.uuid";
    let mut all = Vec::new();
    for row in tx.query(sql, params![])? {
        all.push(json!({
            "state": row.text("state")?, "cpu": row.int("cpu_num")?, "memory": row.int("memory_size")?,
            "host": row.opt_text("host_uuid")?, "account": row.opt_text("account_uuid")?,
        }));
    }
    for row in tx.query("SELECT host_uuid, cpu_num, memory_size FROM departed_guest", params![])? {
        all.push(json!({
            "state": "Departed", "cpu": row.int("cpu_num")?, "memory": row.int("memory_size")?, "host": row.text("host_uuid")?,
        }));
    }
    Ok(all)
}

fn read(tx: &mut dyn Tx, since: i64) -> cairn_types::Result<Rows> {
    let accounts =
        texts(&tx.query("SELECT uuid AS line FROM account WHERE type <> 'SystemAdmin'", params![])?)?;
    let sql = "SELECT uuid, reserved_cpu, reserved_memory FROM host WHERE state = 'Enabled' AND status = 'Connected'";
    let hosts = tx.query(sql, params![])?;
    let hosts =
        hosts.iter().map(|r| Ok((r.text("uuid")?, r.int("reserved_cpu")?, r.int("reserved_memory")?)));
    let sql = "SELECT l.uuid, (SELECT count(*) FROM used_ip u WHERE u.l3_network_uuid = l.uuid AND u.ip_range_uuid IS NOT NULL) AS n
               FROM l3_network l WHERE EXISTS (SELECT 1 FROM ip_range r WHERE r.l3_network_uuid = l.uuid)";
    let networks = tx.query(sql, params![])?;
    let networks = networks.iter().map(|r| Ok((r.text("uuid")?, r.int("n")?)));
    let sql = "SELECT account_uuid, count(*) AS n FROM resource WHERE resource_type = 'ImageVO' GROUP BY account_uuid";
    let images = tx.query(sql, params![])?;
    let images = images.iter().map(|r| Ok((r.text("account_uuid")?, r.int("n")?)));
    let images = images.collect::<cairn_types::Result<_>>()?;
    let hosts = hosts.collect::<cairn_types::Result<_>>()?;
    let networks = networks.collect::<cairn_types::Result<_>>()?;
    let sql = "SELECT resource_uuid, data FROM event WHERE seq > ? AND resource_type = 'AccountVO' AND kind = 'updated'";
    let mut limits = Vec::new();
    for row in tx.query(sql, params![since])? {
        let data: Value = serde_json::from_str(&row.text("data")?).unwrap_or_default();
        if let (Some(quota), Some(limit)) = (data["quota"].as_str(), data["value"].as_i64()) {
            limits.push((row.text("resource_uuid")?, quota.to_owned(), limit));
        }
    }
    Ok(Rows { vms: held(tx)?, accounts, hosts, networks, images, limits })
}

impl Rows {
    fn sum(&self, of: &str, uuid: &str, what: &str) -> i64 {
        self.vms.iter().filter(|v| holds(v) && v[of] == uuid).filter_map(|v| v[what].as_i64()).sum()
    }
}

fn holds(vm: &Value) -> bool {
    !matches!(vm["state"].as_str(), Some("Stopped" | "Created" | "Destroyed"))
}

/// The answer; a call that fails is a line.
async fn ask(admin: &Api, action: &str, params: Value, lines: &mut Vec<String>) -> Option<Value> {
    match admin.call(action, params.clone()).await {
        Ok(told) => Some(told),
        Err(f) => {
            lines.push(format!("{action} of {params} failed while nothing is at work: {f}"));
            None
        }
    }
}

/// What the server says of its memory and the rows.
async fn compared(admin: &Api, lines: &mut Vec<String>) {
    let Some(told) = ask(admin, "GetIndexDifferences", json!({}), lines).await else { return };
    match told["differences"].as_array() {
        Some(all) => lines.extend(all.iter().map(|l| format!("in memory: {}", l.as_str().unwrap_or("?")))),
        None => lines.push(format!("GetIndexDifferences tells no differences, not even none: {told}")),
    }
}

async fn hosts(admin: &Api, rows: &Rows, lines: &mut Vec<String>) {
    for (host, cpu, memory) in &rows.hosts {
        let params = json!({ "hostUuids": [host] });
        let Some(told) = ask(admin, "GetCpuMemoryCapacity", params, lines).await else { continue };
        let taken = |total: &str, free: &str| Some(told[total].as_i64()? - told[free].as_i64()?);
        let cpu = rows.sum("host", host, "cpu") + cpu;
        let memory = rows.sum("host", host, "memory") + memory;
        for (what, told, counted) in [
            ("processors", taken("totalCpu", "availableCpu"), cpu),
            ("bytes of memory", taken("totalMemory", "availableMemory"), memory),
        ] {
            if told != Some(counted) {
                lines.push(format!(
                    "host {host}: {told:?} {what} are taken by the server's word, {counted} by a recount"
                ));
            }
        }
    }
}

async fn networks(admin: &Api, rows: &Rows, lines: &mut Vec<String>) {
    for (l3, taken) in &rows.networks {
        let params = json!({ "l3NetworkUuids": [l3] });
        let Some(told) = ask(admin, "GetIpAddressCapacity", params, lines).await else { continue };
        let total = told["totalCapacity"].as_i64();
        let told = total.zip(told["availableCapacity"].as_i64()).map(|(total, free)| total - free);
        if told != Some(*taken) {
            lines.push(format!(
                "L3 network {l3}: {told:?} addresses are taken by the server's word, {taken} by a recount"
            ));
        }
    }
}

async fn quotas(admin: &Api, rows: &Rows, before: &Quotas, lines: &mut Vec<String>) -> Quotas {
    let mut seen = Quotas::new();
    for account in &rows.accounts {
        let params = json!({ "uuid": account });
        let Some(told) = ask(admin, "GetAccountQuotaUsage", params, lines).await else { continue };
        for usage in told["usages"].as_array().map_or(&[][..], Vec::as_slice) {
            let key = (account.clone(), usage["name"].as_str().unwrap_or_default().to_owned());
            match (usage["used"].as_i64(), usage["total"].as_i64()) {
                (Some(used), Some(total)) => drop(seen.insert(key, (used, total))),
                _ => lines.push(format!("account {account}: a quota without figures: {usage}")),
            }
        }
        let own = rows.vms.iter().filter(|v| v["account"] == account.as_str());
        let live = own.clone().filter(|v| holds(v)).count();
        let all = own.filter(|v| v["state"] != "Destroyed").count();
        for (name, counted) in [
            ("vm.num", i64::try_from(live).unwrap_or(0)),
            ("vm.totalNum", i64::try_from(all).unwrap_or(0)),
            ("vm.cpuNum", rows.sum("account", account, "cpu")),
            ("vm.memorySize", rows.sum("account", account, "memory")),
            ("image.num", rows.images.get(account).copied().unwrap_or(0)),
        ] {
            let used = seen.get(&(account.clone(), name.to_owned())).map(|(used, _)| *used);
            if used != Some(counted) {
                lines.push(format!(
                    "account {account}: quota {name} is {used:?} by the server's word, {counted} by a recount"
                ));
            }
        }
    }
    lines.extend(exceeded(&seen, before, &rows.limits));
    seen
}

/// One line for each account that uses more than it may. A limit bounds what comes later, not what exists: so more than the
/// limit is used rightly only as far as that was used at the last check, or was allowed at some time since.
fn exceeded(seen: &Quotas, before: &Quotas, limits: &[(String, String, i64)]) -> Vec<String> {
    let mut lines = Vec::new();
    for ((account, name), (used, total)) in seen {
        let (used_before, limit_before) = match before.get(&(account.clone(), name.clone())) {
            Some(known) => *known,
            // A new account begins with the default.
            None => (0, default_limit(name)),
        };
        let given = limits.iter().filter(|(a, n, _)| a == account && n == name).map(|l| l.2).max();
        let (allowed, changed) = match given {
            Some(given) => (used_before.max(limit_before).max(given).max(*total), ", which was changed,"),
            // Only what was there already may go beyond the limit.
            None => (used_before.max(*total), ""),
        };
        if *used > allowed {
            lines.push(format!(
                "account {account}: {used} are used of quota {name}{changed} whose limit is {total}; \
                 {used_before} were used before"
            ));
        }
    }
    lines
}

fn default_limit(name: &str) -> i64 {
    settings::find("quota", name).and_then(|s| s.default_value().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(used: i64, total: i64) -> Quotas {
        Quotas::from([(("a".to_owned(), "vm.num".to_owned()), (used, total))])
    }

    fn limit(value: i64) -> Vec<(String, String, i64)> {
        vec![("a".to_owned(), "vm.num".to_owned(), value)]
    }

    #[test]
    fn iam_04_more_than_the_quota_is_found() {
        assert_eq!(exceeded(&quotas(5, 5), &quotas(4, 5), &[]).len(), 0);
        assert_eq!(exceeded(&quotas(6, 5), &quotas(4, 5), &[]).len(), 1);
        assert_eq!(exceeded(&quotas(1_000_000, 5), &Quotas::new(), &[]).len(), 1, "a new account");
    }

    #[test]
    fn iam_04_a_lowered_quota_bounds_only_what_comes_later() {
        assert_eq!(exceeded(&quotas(8, 5), &quotas(7, 10), &limit(5)).len(), 0, "it may have come before");
        assert_eq!(exceeded(&quotas(8, 5), &quotas(8, 5), &[]).len(), 0, "it is still there");
        assert_eq!(exceeded(&quotas(9, 5), &quotas(8, 5), &[]).len(), 1, "one more came later");
        assert_eq!(exceeded(&quotas(11, 5), &quotas(7, 10), &limit(5)).len(), 1, "it never was allowed");
    }
}
